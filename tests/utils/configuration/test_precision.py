"""The precision of layers by the size of perturbations."""

import pytest
import torch

from tests.benchmarks.bench_causal import built
from utils.configuration.precision import FINEST, warnings_of


def seen_off(radius: float) -> float:
    """How far a perturbation that bfloat16 sees is from the one that was meant, a share of the radius, over pixels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(100_000, generator=generator)
    moved = x + radius * (torch.rand(100_000, generator=generator) * 2 - 1).sign()
    seen = moved.bfloat16().float() - x.bfloat16().float()
    return float((seen - (moved - x)).abs().mean()) / radius


def test_a_radius_that_takes_float32_is_one_that_bfloat16_rounds_away():
    assert seen_off(0.003) > 0.2
    assert seen_off(FINEST) < 0.11
    assert seen_off(8 / 255) < 0.03


L2 = "regularizer.half_adversarial.attack.threat.norm=l2"


@pytest.mark.parametrize(
    ("words", "precision"),
    [
        (("regularizer=pgd_at", "epsilon.radius=0.003"), "float32"),
        (("regularizer=pgd_at", "epsilon.radius=0.01"), "auto"),
        (("regularizer=half_adversarial", "epsilon.radius=1/255"), "float32"),
        (("regularizer=erm", "epsilon.radius=0.003"), "auto"),
        (
            (
                "regularizer=half_adversarial",
                "epsilon.radius=0.5",
                L2,
            ),
            "auto",
        ),
        # 8x8 pixels: .05 / 8 each
        (
            (
                "regularizer=half_adversarial",
                "epsilon.radius=0.05",
                L2,
            ),
            "float32",
        ),
        (("regularizer=pgd_at", "epsilon.radius=0.003", "trainer.precision=bfloat16"), "bfloat16"),
    ],
)
def test_auto_takes_float32_below_it(words, precision):
    assert built("dataset=digits", *words).recipe.precision == precision


def test_bfloat16_that_was_asked_for_is_warned_of():
    run = built("dataset=digits", "regularizer=pgd_at", "epsilon.radius=0.003", "trainer.precision=bfloat16")
    [said] = warnings_of(run.recipe, run.params, run.dataset.shape)
    assert "epsilon.radius=0.003" in said
    wide = built("dataset=digits", "regularizer=pgd_at", "epsilon.radius=0.02", "trainer.precision=bfloat16")
    assert warnings_of(wide.recipe, wide.params, wide.dataset.shape) == []
