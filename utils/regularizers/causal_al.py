"""CAL: adversarial training against causal adversarial perturbations (Ehyaei et al. 2024, arXiv 2308.08938)."""

from torch import Tensor

from utils.losses.objective import cross_entropy
from utils.types import Attack, Batch, Context, Predict


def causal_al(predict: Predict, batch: Batch, ctx: Context, *, attack: Attack) -> Tensor:
    """Loss (n,) at the worst point of the causal adversarial perturbation ball: max over x' of l(h(x'), y)."""
    return cross_entropy(predict(attack(predict, batch, ctx)), batch.y)
