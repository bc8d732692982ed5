"""AutoAttack (Croce & Hein 2020, arXiv 2003.01690): several attacks without free parameters, as one."""

from collections.abc import Mapping

from torch import Tensor

from utils.adversary.worst_case import threat_of, worst_case
from utils.attacks.square import require_single
from utils.types import Attack, Batch, Context, Predict


def autoattack(predict: Predict, batch: Batch, ctx: Context, *, attacks: Mapping[str, Attack]) -> Tensor:
    """x' (n, *), of the first attack that breaks the row; x where none does, or where the label is wrong already.

    Each attack sees the rows that those before it left right, and its x' is checked against its own threat. Which
    attack broke a row is what ``utils.adversary.worst_case.worst_case`` gives beside x'.

    Args:
        ctx: gives radius per row, random numbers and what counts as right.
        attacks: by name, in their order; each names its threat.

    Raises:
        ValueError: there is no attack, or one without a threat of its own.
        UnstackableError: a stack of models.
        AssertionError: an attack left its threat's set.
    """
    if not attacks:
        raise ValueError("attack.evasion.attacks is empty: name one attack at least, such as apgd_ce")
    for name, attack in attacks.items():
        if threat_of(attack) is None:
            raise ValueError(f"attack.evasion.attacks.{name} names no threat to check it against; set its threat")
    require_single(batch, "autoattack")
    moved, _ = worst_case(predict, batch, ctx, attacks)
    return moved
