"""Weights that others trained: the names of public networks, a layer that normalises, and what does not fit."""

from pathlib import Path

import pytest
import torch
from torch import nn

from utils.models.foreign_files import read_given
from utils.models.foreign_weights import load_weights
from utils.models.preact_resnet18 import PreActResNet18
from utils.models.resnet18 import ResNet18
from utils.models.wide_resnet import WideResNet

SIZE = {"inputs": [3, 8, 8], "outputs": 10, "mean": [0.0] * 3, "std": [1.0] * 3}


def conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class TheirBasic(nn.Module):
    """A basic block as the common implementation for CIFAR-10 names its parts."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv(inputs, outputs, stride, 1), nn.BatchNorm2d(outputs))

    def forward(self, x):
        out = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (out + self.shortcut(x)).relu()


class TheirPreAct(nn.Module):
    """A pre-activation block, likewise; the wide networks of TRADES call its shortcut ``convShortcut``."""

    def __init__(self, inputs: int, outputs: int, stride: int, *, wide: bool = False):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), conv(inputs, outputs, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(outputs), conv(outputs, outputs)
        self.wide, changes = wide, stride != 1 or inputs != outputs
        if wide:
            self.convShortcut = conv(inputs, outputs, stride, 1) if changes else None
        elif changes:
            self.shortcut = nn.Sequential(conv(inputs, outputs, stride, 1))

    def forward(self, x):
        active = self.bn1(x).relu()
        way = getattr(self, "convShortcut" if self.wide else "shortcut", None)
        return self.conv2(self.bn2(self.conv1(active)).relu()) + (x if way is None else way(active))


class TheirResNet(nn.Module):
    """Four stages of two blocks; a last batch norm after pre-activation ones."""

    def __init__(self, block, width: int):
        super().__init__()
        self.conv1 = conv(3, width)
        self.last = block is TheirPreAct
        self.add_module("bn" if self.last else "bn1", nn.BatchNorm2d(8 * width if self.last else width))
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        for i in range(4):
            stage = [block(widths[i], widths[i + 1], 1 if i == 0 else 2), block(widths[i + 1], widths[i + 1], 1)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.linear = nn.Linear(8 * width, 10)

    def forward(self, x):
        x = self.conv1(x) if self.last else self.bn1(self.conv1(x)).relu()
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.linear((self.bn(x).relu() if self.last else x).mean((-2, -1)))


class Stage(nn.Module):
    """A stage of a wide network, whose blocks are in ``layer``."""

    def __init__(self, inputs: int, outputs: int, stride: int, blocks: int):
        super().__init__()
        first = TheirPreAct(inputs, outputs, stride, wide=True)
        self.layer = nn.Sequential(first, *(TheirPreAct(outputs, outputs, 1, wide=True) for _ in range(blocks - 1)))

    def forward(self, x):
        return self.layer(x)


class TheirWide(nn.Module):
    """A wide network as that of TRADES, with the stage that it declares and never calls."""

    def __init__(self, depth: int, widen: int):
        super().__init__()
        widths, blocks = [16, 16 * widen, 32 * widen, 64 * widen], (depth - 4) // 6
        self.conv1 = conv(3, 16)
        self.block1 = Stage(widths[0], widths[1], 1, blocks)
        self.sub_block1 = Stage(widths[0], widths[1], 1, blocks)
        self.block2, self.block3 = Stage(widths[1], widths[2], 2, blocks), Stage(widths[2], widths[3], 2, blocks)
        self.bn1, self.fc = nn.BatchNorm2d(widths[3]), nn.Linear(widths[3], 10)

    def forward(self, x):
        return self.fc(self.bn1(self.block3(self.block2(self.block1(self.conv1(x))))).relu().mean((-2, -1)))


PAIRS = {
    "resnet18": (lambda: TheirResNet(TheirBasic, 4), lambda **size: ResNet18(**size, width=4)),
    "preact_resnet18": (lambda: TheirResNet(TheirPreAct, 4), lambda **size: PreActResNet18(**size, width=4)),
    "wide_resnet": (lambda: TheirWide(10, 2), lambda **size: WideResNet(**size, depth=10, widen=2, dropout=0.0)),
}


class Scaled(nn.Module):
    """Pixels normalised in front of a network, as public models have it."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.25, 0.3]).reshape(1, 3, 1, 1))
        self.model = network

    def forward(self, x):
        return self.model((x - self.mean) / self.std)


def unequal(network: nn.Module) -> nn.Module:
    """The network with numbers other than the initial ones in all tensors, in eval mode."""
    generator = torch.Generator().manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return network.eval()


def given(folder: Path, content, **settings):
    torch.save(content, folder / "public.pt")
    return read_given({"weights": str(folder / "public.pt"), "weights_scaling": None, **settings}, lambda path: path)


WRAPPED = {
    "bare": lambda state: state,
    "in a checkpoint": lambda state: {"epoch": 3, "state_dict": state},
    "of several devices": lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("name", PAIRS)
def test_the_logits_are_those_of_the_network_that_others_wrote(tmp_path, name, wrap):
    theirs, ours = (make() if i == 0 else make(**SIZE) for i, make in enumerate(PAIRS[name]))
    load_weights(ours, given(tmp_path, wrap(unequal(theirs).state_dict())))
    x = torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(ours.eval()(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PAIRS)
def test_a_layer_that_normalises_gives_the_scaling(tmp_path, name):
    theirs = Scaled(unequal(PAIRS[name][0]())).eval()
    found = given(tmp_path, theirs.state_dict())
    assert found.mean == pytest.approx([0.4, 0.5, 0.6])
    ours = PAIRS[name][1](**SIZE | {"mean": found.mean, "std": found.std})
    load_weights(ours, found)
    x = torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(ours.eval()(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_a_scaling_that_is_said_counts_more_and_none_leaves_pixels_as_they_are(tmp_path):
    state = PAIRS["resnet18"][0]().state_dict()
    assert given(tmp_path, state)[2:4] == ([0, 0, 0], [1, 1, 1])
    own = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    assert given(tmp_path, state, weights_scaling=own)[2:4] == own
    with pytest.raises(ValueError, match=r"model\.weights_scaling=0\.5: expected a mean and a std"):
        given(tmp_path, state, weights_scaling=0.5)


def test_what_is_no_state_dict_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no tensors of a network by name"):
        given(tmp_path, [1, 2])
    for content in ({0: torch.ones(3)}, {"bias": torch.ones(3)}):
        with pytest.raises(ValueError, match="holds no tensors of a network by name"):
            given(tmp_path, content)
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "hello.pt").write_text("hello")
    files = (("text.pt", "no file of tensors"), ("hello.pt", "no file of tensors"), ("absent.pt", "is not there"))
    for name, said in files:
        with pytest.raises(ValueError, match=said):
            read_given({"weights": str(tmp_path / name)}, lambda path: path)


def test_code_in_a_file_is_not_run(tmp_path):
    class Surprise:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    with pytest.raises(ValueError, match="without running code in it"):
        given(tmp_path, {"state_dict": Surprise()})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ("wide_resnet", "resnet18", r"it lacks .*; it has .*choose another model="),
        ("preact_resnet18", "resnet18", "it lacks"),
    ],
)
def test_another_architecture_is_refused_by_name(tmp_path, theirs, ours, said):
    with pytest.raises(ValueError, match=said):
        load_weights(PAIRS[ours][1](**SIZE), given(tmp_path, PAIRS[theirs][0]().state_dict()))


def test_another_depth_or_width_is_refused(tmp_path):
    deep = given(tmp_path, TheirWide(16, 2).state_dict())
    with pytest.raises(ValueError, match=r"it has block1.layer.1.*model\.depth of a wide one"):
        load_weights(PAIRS["wide_resnet"][1](**SIZE), deep)
    broad = given(tmp_path, TheirWide(10, 3).state_dict())
    with pytest.raises(ValueError, match=r"model\.width or model\.widen"):
        load_weights(PAIRS["wide_resnet"][1](**SIZE), broad)


def test_a_wide_network_that_is_another_function_is_refused(tmp_path):
    """Its parts have the same shapes and other names."""
    state = PAIRS["wide_resnet"][0]().state_dict()
    renamed = {name.replace("block", "layer").replace(".layer.", "."): of for name, of in state.items()}
    with pytest.raises(ValueError, match=r"whose blocks are named layer1\.0"):
        load_weights(PAIRS["wide_resnet"][1](**SIZE), given(tmp_path, renamed))


def test_two_last_layers_are_refused(tmp_path):
    state = PAIRS["resnet18"][0]().state_dict()
    state |= {f"fc.{part}": state[f"linear.{part}"] + 1 for part in ("weight", "bias")}
    with pytest.raises(ValueError, match="two tensors for one place"):
        load_weights(PAIRS["resnet18"][1](**SIZE), given(tmp_path, state))


def test_whole_and_complex_numbers_are_refused(tmp_path):
    for kind in (torch.int8, torch.complex64):
        state = PAIRS["resnet18"][0]().state_dict()
        state["linear.weight"] = state["linear.weight"].to(kind)
        with pytest.raises(ValueError, match=r"other numbers than floating-point ones: linear\.weight"):
            load_weights(PAIRS["resnet18"][1](**SIZE), given(tmp_path, state))


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    state = PAIRS["resnet18"][0]().state_dict()
    state["linear.bias"][0] = torch.nan
    with pytest.raises(ValueError, match="nan or infinite"):
        load_weights(PAIRS["resnet18"][1](**SIZE), given(tmp_path, state))
