"""What a CUDA device computes is what the CPU computes; by torch and pytest alone, for machines that have no more."""

from functools import partial

import pytest
import torch

from tests.benchmarks.bench_images import MODELS, STEPS, rows, train
from utils.auto_augment import auto_augment
from utils.seeding import Rows
from utils.training.one_model import PLAIN

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.cuda, needs_cuda])])
def device(request):
    return request.param


def test_augmented_images_are_the_same_on_every_device(device):
    x = rows((3, 32, 32), 200, "cpu").x.float() / 255
    augment = partial(auto_augment, padding=4, flip=True)
    found, expected = (augment(of, Rows(1, torch.arange(200))) for of in (x.to(device), x))
    assert found.device.type == device
    away = (found.cpu() - expected).abs()
    assert away.max() <= 1
    assert (away > 1e-5).double().mean() < 1e-3  # pixels on an edge between two, bytes at half


def test_a_step_of_trades_is_the_same_on_every_device(device):
    """In float32, in which products of matrices have other last bits, and a sign step may turn at 0."""
    shape, make = MODELS["small_cnn"]
    trained = []
    for where in (device, "cpu"):
        torch.manual_seed(0)
        model = make(shape, 10, mean=[0.5], std=[0.25]).to(where)
        train(model, "TRADES-10", rows(shape, 64, where), 32, PLAIN)
        trained.append(torch.cat([p.detach().cpu().flatten() for p in model.parameters()]))
    assert (trained[0] - trained[1]).norm() < 0.01 * trained[1].norm()
    assert STEPS == 10
