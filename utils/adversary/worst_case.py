"""Several attacks as one: each runs only on the rows that those before it left right."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from utils.seeding import Rows, derive
from utils.threats import CausalThreat, MakeThreat, NothingToMoveError, check_budget
from utils.types import Attack, Batch, Context, Predict

UNBROKEN, WRONG = -1, -2  # of a row: right after every attack, wrong before the first


def worst_case(predict: Predict, batch: Batch, ctx: Context, attacks: Mapping[str, Attack]) -> tuple[Tensor, Tensor]:
    """The pointwise worst case over attacks in their order (Croce and Hein 2020, arXiv 2003.01690, section 5).

    Each attack has random numbers of its own, by its name: of images, one more attack moves those of no other.

    Args:
        predict: the model; of a single one, not of a stack.
        batch: rows (n, *), numbers and not bytes.
        ctx: gives radius per row, random numbers and what counts as right.
        attacks: by name, the cheapest first.

    Returns:
        x' (n, *), the first that is misclassified, x itself where none is; and first (n,) int64, the position of the
        attack that broke the row, -1 where none did, -2 where the row was wrong from the start.

    Raises:
        AssertionError: an attack left its threat's set.
    """
    right = still_right(predict, batch, ctx)
    moved = batch.x.clone()
    first = torch.where(right, UNBROKEN, WRONG)
    for position, (name, attack) in enumerate(attacks.items()):
        left = (first == UNBROKEN).nonzero().squeeze(-1)
        if not len(left):
            break
        rows = batch.rows(left)
        found = within_budget(attack, predict, rows, _own_stream(ctx, name))
        broken = ~still_right(predict, rows._replace(x=found), ctx)
        moved[left[broken]] = found[broken]
        first[left[broken]] = position
    return moved, first


def still_right(predict: Predict, batch: Batch, ctx: Context) -> Tensor:
    """Returns a mask (..., n) of the rows whose label is their class."""
    with torch.no_grad():
        return ctx.decide(predict(batch.x), batch.s) == batch.y


def within_budget(attack: Attack, predict: Predict, batch: Batch, ctx: Context) -> Tensor:
    """x' (..., n, *) of the attack on the rows, checked against the threat that its settings name.

    The rows themselves where it has nothing to move.

    Raises:
        AssertionError: it left the threat's set.
    """
    own = ctx.on(batch)
    if not moves(attack, own):
        return batch.x
    moved = attack(predict, batch, own)
    threat = threat_of(attack)
    if threat is not None:
        check_budget(threat(own), batch.x, moved, own.epsilon(batch, own))
    return moved


def moves(attack: Attack, ctx: Context) -> bool:
    """Returns whether the attack can move anything of the data; if not, it tells nothing of a model."""
    make = threat_of(attack)
    try:
        threat = None if make is None else make(ctx)
    except NothingToMoveError:
        return False
    twins = isinstance(threat, CausalThreat) and threat.twins
    return threat is None or twins or bool(threat.mask.any())


def threat_of(attack: Attack) -> MakeThreat | None:
    """The threat that an attack's settings name; None where they name none."""
    return getattr(attack, "keywords", {}).get("threat")


def _own_stream(ctx: Context, name: str) -> Context:
    if not isinstance(ctx.generator, Rows):
        return ctx
    return replace(ctx, generator=Rows(derive(ctx.generator.key, f"attack {name}"), ctx.generator.index))
