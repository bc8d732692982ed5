"""ResNet-18, against published counts and a network that others wrote and trained."""

import importlib.util
import pickle
import re
from pathlib import Path

import pytest
import torch

import paths_config
from utils.models.resnet18 import ResNet18

PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3}
TEST_IMAGES = paths_config.data() / "cifar-10-batches-py/test_batch"


def published_weights():
    """The CIFAR-10 ResNet-18 that pyautoattack ships, trained without attacks, on pixels in [0, 1] as they are."""
    spec = importlib.util.find_spec("pyautoattack")
    path = Path(spec.origin).parent / "examples/model_test.pt" if spec and spec.origin else Path()
    if not path.is_file():
        pytest.skip("needs examples/model_test.pt of pyautoattack")
    return torch.load(path, weights_only=True, map_location="cpu")


def ours(name):
    """Our name of one of their tensors."""
    name = re.sub(r"^conv1\.", "stem.0.", name)
    name = re.sub(r"^bn1\.", "stem.1.", name)
    name = re.sub(r"^linear\.", "head.", name)
    name = re.sub(r"^layer(\d)", lambda m: f"stages.{int(m[1]) - 1}", name)
    places = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4}
    return re.sub(r"(stages\.\d\.\d)\.(conv1|bn1|conv2|bn2)", lambda m: f"{m[1]}.residual.{places[m[2]]}", name)


@pytest.fixture(scope="module")
def pretrained():
    model = ResNet18([3, 32, 32], 10, **PLAIN, width=64)
    weights = {ours(name): tensor for name, tensor in published_weights().items()}
    model.load_state_dict(weights | {name: getattr(model.pixels, name[7:]) for name in ("pixels.mean", "pixels.std")})
    return model.eval()


def test_the_published_number_of_parameters():
    """11,173,962 for 10 classes, of the common implementation for CIFAR-10."""
    with torch.device("meta"):
        model = ResNet18([3, 32, 32], 10, **PLAIN, width=64)
    assert sum(p.numel() for p in model.parameters()) == 11_173_962


def test_logits_are_those_of_the_network_that_others_wrote(pretrained):
    reference = pytest.importorskip("pyautoattack.examples.resnet").ResNet18()
    reference.load_state_dict(published_weights())
    x = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(pretrained(x), reference.eval()(x), atol=1e-5)


@pytest.mark.skipif(not TEST_IMAGES.is_file(), reason=f"no {TEST_IMAGES.name} in the data folder (TRILEMMA_DATA)")
def test_published_weights_classify_the_test_images(pretrained):
    """93.8 % by its publishers; images that were JPEG files in between lose 9 points, a wrong scaling of pixels 60."""
    batch = pickle.loads(TEST_IMAGES.read_bytes(), encoding="bytes")
    x = torch.from_numpy(batch[b"data"][:150]).reshape(-1, 3, 32, 32) / 255
    with torch.inference_mode():
        predicted = torch.cat([pretrained(part).argmax(-1) for part in x.split(50)])
    assert (predicted == torch.tensor(batch[b"labels"][:150])).double().mean() > 0.8


@pytest.mark.parametrize("inputs", [[1, 8, 8], [3, 28, 28], [3, 64, 48]])
def test_it_takes_images_of_any_size_from_8_pixels_on(inputs):
    c = inputs[0]
    model = ResNet18(inputs, 1, mean=[0.5] * c, std=[0.25] * c, width=4)
    assert model(torch.rand(2, *inputs)).shape == (2, 1)


def test_smaller_images_are_refused():
    with pytest.raises(ValueError, match="need 8 x 8"):
        ResNet18([3, 7, 32], 10, **PLAIN, width=4)


def test_the_answer_to_a_row_does_not_depend_on_the_others(pretrained):
    x = torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(pretrained(x)[2:3], pretrained(x[2:3]), atol=1e-5)


@pytest.mark.parametrize(("side", "trains"), [(8, False), (9, True)])
def test_a_single_row_trains_only_where_the_last_map_has_several_pixels(side, trains):
    model = ResNet18([3, side, side], 10, **PLAIN, width=4).train()
    x = torch.rand(1, 3, side, side)
    if trains:
        assert model(x).shape == (1, 10)
    else:
        with pytest.raises(ValueError, match="batch norm needs at least 2 rows"):
            model(x)


def test_a_width_below_1_is_refused():
    with pytest.raises(ValueError, match=r"model\.width=0 must be at least 1"):
        ResNet18([3, 32, 32], 10, **PLAIN, width=0)
