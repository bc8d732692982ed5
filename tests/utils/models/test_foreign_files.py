"""Files of weights as others write them: wrappers, prefixes, scalings of pixels, and what is not to be told."""

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from utils.models.foreign_files import read_given

CHANNELS = 3


@pytest.fixture
def network():
    made = nn.Module()
    made.conv1, made.linear = nn.Conv2d(CHANNELS, 4, 3), nn.Linear(4, 2)
    return made


@pytest.fixture
def read(tmp_path):
    """Reads a content that has been saved."""

    def given(content, name="public.pt", **settings):
        torch.save(content, tmp_path / name)
        return read_given({"weights": str(tmp_path / name), "weights_scaling": None, **settings}, lambda path: path)

    return given


def normalised(network: nn.Module, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    """Its state dict behind a layer that scales pixels, with more tensors of that."""
    return {**{f"0.{name}": of for name, of in more.items()}, **nn.Sequential(nn.Identity(), network).state_dict()}


HALVES = {"mean": torch.full((CHANNELS,), 0.5), "std": torch.full((CHANNELS,), 0.25)}
WRAPPED = {
    "bare": lambda made: made.state_dict(),
    "beside an accuracy of numpy": lambda made: {"net": made.state_dict(), "acc": np.float64(93.1), "epoch": 3},
    "averaged": lambda made: AveragedModel(made).state_dict(),
    "averaged, under its own key": lambda made: {"ema": made.state_dict()},
    "in parallel behind another layer": lambda made: normalised(nn.DataParallel(made)),
    "compiled and in parallel": lambda made: {f"_orig_mod.module.{name}": of for name, of in made.state_dict().items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_the_tensors_of_the_network_come_by_their_own_names(read, network, wrap):
    found = read(wrap(network))
    assert found.tensors.keys() == network.state_dict().keys()
    assert all(torch.equal(of, found.tensors[name]) for name, of in network.state_dict().items())
    assert (found.mean, found.std) == ([0.0] * CHANNELS, [1.0] * CHANNELS)
    assert "the file names no scaling" in found.told


def test_a_file_of_safetensors_is_read_too(tmp_path, network):
    safetensors.torch.save_file(network.state_dict(), tmp_path / "own.safetensors")
    found = read_given({"weights": str(tmp_path / "own.safetensors")}, lambda path: path)
    assert found.tensors.keys() == network.state_dict().keys()


def test_it_says_what_was_taken_where_there_is_more(read, network):
    found = read({"ema_state_dict": nn.Conv2d(3, 4, 3).state_dict(), "state_dict": network.state_dict()})
    assert found.tensors.keys() == network.state_dict().keys()
    assert "state_dict of the file (it holds ema_state_dict as well)" in found.told


def test_the_scaling_of_the_file_is_taken_and_said(read, network):
    found = read(normalised(network, **HALVES))
    assert (found.mean, found.std) == ([0.5] * CHANNELS, [0.25] * CHANNELS)
    assert "scaled by 0.mean and 0.std of the file" in found.told


@pytest.mark.parametrize(
    "more", [{"mean": HALVES["mean"]}, {"std": HALVES["std"]}, {**HALVES, "mu": HALVES["mean"]}], ids=[*"123"]
)
def test_a_scaling_that_cannot_be_told_is_refused_unless_it_is_said(read, network, more):
    with pytest.raises(ValueError, match=r"do not tell one mean and one std.*say them by model\.weights_scaling="):
        read(normalised(network, **more))
    said = [[0.1] * CHANNELS, [0.2] * CHANNELS]
    found = read(normalised(network, **more), weights_scaling=said)
    assert [found.mean, found.std] == said
    assert found.tensors.keys() == network.state_dict().keys()


@pytest.mark.parametrize("scaling", [[[76.5] * 3, [102.0] * 3], [[0.5] * 3, [0.0] * 3], [[0.5], [0.5]]])
def test_a_scaling_of_other_pixels_or_channels_is_refused(read, network, scaling):
    with pytest.raises(ValueError, match=r"not of pixels in \[0, 1\]|one for each channel"):
        read(network.state_dict(), weights_scaling=scaling)


def test_two_networks_under_prefixes_are_refused(read, network):
    state = network.state_dict()
    with pytest.raises(ValueError, match=r"several networks \(model\.conv1\.weight and net\.conv1\.weight\)"):
        read({f"{prefix}.{name}": of for prefix in ("model", "net") for name, of in state.items()})


def test_what_cannot_be_read_says_what_to_save(tmp_path):
    (tmp_path / "text.pt").write_text("weights")
    with pytest.raises(ValueError, match=r"without running code in it; save the state dict alone"):
        read_given({"weights": str(tmp_path / "text.pt")}, lambda path: path)
    with pytest.raises(ValueError, match="Is a directory"):
        read_given({"weights": str(tmp_path)}, lambda path: path)
