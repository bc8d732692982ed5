"""The precision of a training's layers: bfloat16 only where it still tells a perturbed image from the image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from utils.configuration.traits import perturbs
from utils.records.settings import walk
from utils.records.typed import Params
from utils.training.one_model import Recipe
from utils.words.numbers import read_radius

# In bfloat16 pixels of 1/2 to 1 lie 1/256 apart: of a perturbation of .003 the layers see one that is off by a quarter,
# of .01 by a twentieth, of 8/255 by a hundredth (means over the pixels of photographs)
FINEST = 0.008


def choose_precision(recipe: Recipe, params: Params, shape: Sequence[int]) -> Recipe:
    """The recipe with float32 in place of "auto" where perturbations are too small for bfloat16."""
    if recipe.precision == "auto" and is_too_fine(params, shape):
        return replace(recipe, precision="float32")
    return recipe


def warnings_of(recipe: Recipe, params: Params, shape: Sequence[int]) -> list[str]:
    """A sentence where bfloat16 was asked for all the same."""
    if recipe.precision != "bfloat16" or not is_too_fine(params, shape):
        return []
    return [
        "trainer.precision=bfloat16 rounds pixels to as little as 1/256, and "
        f"epsilon.radius={params['epsilon']['radius']} moves them by hardly more: "
        "inner attacks see another perturbation than the one that is measured; "
        "trainer.precision=auto takes float32 there"
    ]


def is_too_fine(params: Params, shape: Sequence[int]) -> bool:
    """Returns whether the training attacks images (c, h, w) within a radius that moves a pixel by less than FINEST."""
    if not shape or not perturbs(params):
        return False
    nodes = [node for _, node in walk(params["regularizer"]) if isinstance(node, Mapping)]
    norms = {str(node["norm"]) for node in nodes if "norm" in node}
    pixels = read_radius(params["epsilon"]["radius"]) / (math.sqrt(math.prod(shape)) if norms == {"l2"} else 1)
    return pixels < FINEST and norms != {"l1"}
