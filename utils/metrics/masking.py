"""Checks that tell a broken evaluation: an attack that fails says nothing where it could not succeed.

They are those of Carlini et al. 2019 (arXiv 1902.06705, section 5) and of Croce and Hein 2020 (arXiv 2003.01690)
that cost little and have a limit an honest evaluation keeps.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from utils.adversary.worst_case import UNBROKEN, still_right, threat_of
from utils.losses.objective import log_odds_against
from utils.metrics.directions import Key
from utils.metrics.ensemble import first_broken
from utils.threats import slope
from utils.types import Attack, Batch, Context, Figures, Predict, Radius
from utils.views.row_parts import parts, sample

KEYS = {
    "check_random": Key(-1, "answers that are random"),
    "check_zero_gradient": Key(-1, "rows whose gradient is zero"),
    "check_zero_slope": Key(-1, "rows whose log-odds have no gradient"),
    "check_black_box": Key(-1, "rows that only the black-box attack breaks"),
    "check_large_radius": Key(-1, "robust accuracy where none is possible"),
    "check_chance": Key(0, "share of the largest class"),
}
PASSES = 5  # over the same rows, to see whether the answers are random
ROUNDING = 1e-5  # of a logit, as a share of the largest: what the order of a sum may change
ZERO_GRADIENTS = 0.05  # share of rows without a gradient that calls for a warning
MASKED = 0.02  # share of rows that the black-box attack alone breaks that does; .5 % of a network trained by TRADES


def masking(
    predict: Predict,
    batch: Batch,
    ctx: Context,
    *,
    radius: Radius,
    rows: int | None,
    attack: Attack,
    black_box: Attack,
    large: float,
) -> Figures:
    """Returns the signs of masked gradients that ``warnings_of`` judges, on some of the rows.

    - ``check_random``: 1 where passes over the same rows give other logits, else 0.
    - ``check_zero_gradient``: of the rows that are right, the share where the cross-entropy, -log p_y, has a gradient
      of exactly 0 (or none) at x, so that attacks on it do not move.
    - ``check_zero_slope``: of the same rows, the share where the log-odds have none either, which the attacks here
      climb in its place. Where they have one, as under scaled logits, what these attacks found holds.
    - ``check_black_box``: share of rows that the black-box attack breaks and the gradient attack leaves right: what
      the robust accuracy under gradients is too high by, at least.
    - ``check_large_radius``: robust accuracy where every image can be made plain grey, where no model can do better
      than ``check_chance``, the share of the largest class.

    Args:
        predict: the model; of a single one, not of a stack.
        batch: a split.
        ctx: gives random numbers, decision and seed.
        radius: of both attacks, in the unit of their threats.
        rows: how many to judge, drawn by the seed; None: all.
        attack: by gradients; names its threat.
        black_box: without gradients.
        large: how far each coordinate may move at the large radius: .5 takes every pixel to grey. In other norms
            than Linf the radius is the length of that move.

    Raises:
        ValueError: the gradient attack names no threat.
        AssertionError: an attack left its threat's set.
    """
    judged = sample(batch, rows, ctx)
    both = {"gradient": attack, "black_box": black_box}
    near = first_broken(predict, judged, ctx, ladder=[radius], attacks=both)
    far = first_broken(
        predict, judged, ctx, ladder=[_to_grey(attack, judged, ctx, large)], attacks={"gradient": attack}
    )
    still, flat = torch.cat([_still(predict, part, ctx) for part in parts(judged)], -1)
    return {
        "check_random": float(any(_is_random(predict, part) for part in parts(judged))),
        "check_zero_gradient": _share(still),
        "check_zero_slope": _share(flat),
        "check_black_box": _share(near == list(both).index("black_box")),
        "check_large_radius": _share(far == UNBROKEN),
        "check_chance": _share(judged.y == judged.y.bincount().argmax()) if len(judged.y) else None,
    }


def warnings_of(metrics: Mapping[str, float | None]) -> list[str]:
    """A sentence for each check of ``masking`` that failed; metrics without checks give none."""
    random, still, flat, masked, far, chance = (
        metrics.get(f"check_{check}") or 0.0
        for check in ("random", "zero_gradient", "zero_slope", "black_box", "large_radius", "chance")
    )
    if "check_zero_slope" not in metrics:
        flat = still  # of a record from before it was measured
    found = {
        "the model's answers are random: passes over the same rows give other logits, so robust accuracies are too "
        "high; average the answers, or attack their expectation": random > 0,
        f"gradient masking: on {flat:.0%} of the rows that are right no attack by gradients moves, since neither "
        "cross-entropy nor log-odds have a gradient (a step that lets none through, or logits cut off), so "
        "robust accuracies under such attacks are too high": flat > ZERO_GRADIENTS,
        f"large logits: on {still - flat:.0%} of the rows that are right the cross-entropy has a gradient of 0, so "
        "attacks on the cross-entropy stand still there; ours climb the log-odds, and their figures hold": (
            still - flat > ZERO_GRADIENTS
        ),
        f"gradient masking: {masked:.0%} of the rows are broken by a black-box attack and not by the gradient attack, "
        "so robust accuracies under it are too high by as much at least": masked > MASKED,
        f"the attack fails: at a radius that turns every image grey it leaves {far:.0%} right, and no model can be "
        f"right on more than {chance:.0%} there; give it more steps, or look for masked gradients": far > chance,
    }
    return [sentence for sentence, failed in found.items() if failed]


def _to_grey(attack: Attack, batch: Batch, ctx: Context, large: float) -> float:
    """The length of a move of every coordinate by ``large``."""
    threat = threat_of(attack)
    if threat is None:
        raise ValueError(
            "evaluation.metrics.masking.attack names no threat; choose an attack that has one, such as pgd"
        )
    reachable = threat(ctx)
    move = reachable.mask * torch.full(batch.x.shape[1:], large, device=batch.x.device)
    return float(reachable.ball.size(move).amax())


def _still(predict: Predict, part: Batch, ctx: Context) -> Tensor:
    """Returns masks (2, n), of the rows that are right, where cross-entropy and log-odds have no gradient at x."""
    own = part.rows(still_right(predict, part, ctx))

    def against(x: Tensor) -> Tensor:
        return log_odds_against(predict(x), own.y)

    # softplus of the log-odds is the cross-entropy, and keeps its gradient as long as the numbers can hold one
    gradients = [slope(damage, own.x)[0] for damage in (lambda x: F.softplus(against(x)), against)]
    return torch.stack([~(of.flatten(1).abs().amax(1) > 0) for of in gradients])  # so that nan counts as none


def _is_random(predict: Predict, part: Batch) -> bool:
    """Returns whether a pass over the same rows gives other logits."""
    with torch.no_grad():
        logits = predict(part.x)
        tolerated = ROUNDING * logits.abs().max() if logits.numel() else 0.0
        return any(bool(((predict(part.x) - logits).abs() > tolerated).any()) for _ in range(PASSES - 1))


def _share(which: Tensor) -> float | None:
    """Share of the rows (n,); None of no rows."""
    return float(which.double().mean()) if len(which) else None
