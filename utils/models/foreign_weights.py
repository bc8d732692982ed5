"""Weights that others trained, in files of torch, for the residual networks here: their names are told by ours.

Networks of one architecture are written by many with the same few names: ``layer1.0.conv1`` for residual networks of 18
layers, ``block1.layer.0.conv1`` for wide ones, with or without a prefix and a layer in front that normalises pixels.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights", "params")  # keys under which files hold them
PREFIXES = re.compile(r"^(?:(?:module|model|net|backbone|_orig_mod|basic_net)\.)+")
# a layer in front of the network, as in nn.Sequential(Normalize(...), network)
SCALINGS = {"mean": re.compile(r"(?:.*\.)?(?:mean|mu)"), "std": re.compile(r"(?:.*\.)?(?:std|sigma)")}
UNUSED = re.compile(r"sub_block1\.|.*num_batches_tracked$")  # the first: declared by TRADES' network and never called
PLACES = {  # of the parts of a block, by the names that others give them
    "basic": {
        "conv1": "residual.0",
        "bn1": "residual.1",
        "conv2": "residual.3",
        "bn2": "residual.4",
        "shortcut.0": "shortcut.0",
        "shortcut.1": "shortcut.1",
        "downsample.0": "shortcut.0",
        "downsample.1": "shortcut.1",
    },
    "preact": {
        "bn1": "activate.0",
        "conv1": "residual.0",
        "bn2": "residual.1",
        "conv2": "residual.4",
        "shortcut.0": "shortcut",
        "convShortcut": "shortcut",
    },
}
BLOCK = re.compile(r"(?:layer|block)(?P<stage>\d+)\.(?:layer\.)?(?P<block>\d+)\.(?P<part>.+)\.(?P<tensor>\w+)")
ENDS = {
    "basic": {"conv1": "stem.0", "bn1": "stem.1"},
    "preact": {"conv1": "stem", "bn1": "last.0", "bn": "last.0"},
}
HEADS = ("linear", "fc", "classifier", "logits")
SHOWN = 3  # names in an error


class Given(NamedTuple):
    """The weights of a file, and the scaling of pixels by which they were trained."""

    path: Path
    tensors: Mapping[str, Tensor]
    mean: list[float]  # of each channel
    std: list[float]
    sha256: str  # of the file


def read_given(model: Mapping[str, Any], note: Callable[[Path], Path]) -> Given:
    """Returns the weights that the settings of a model name.

    Args:
        model: its settings, with ``weights`` and ``weights_scaling``.
        note: hears of the file before it is read.

    Raises:
        ValueError: there is no such file, it holds no tensors by name, or a scaling that is none.
    """
    path = note(Path(str(model["weights"])).expanduser())
    tensors, scaling = read_weights(path), model.get("weights_scaling")
    if scaling is None:
        scaling = find_scaling(tensors) or ([0.0] * count_channels(tensors), [1.0] * count_channels(tensors))
    try:
        mean, std = ([float(number) for number in channels] for channels in scaling)
    except (TypeError, ValueError):
        raise ValueError(
            f"model.weights_scaling={scaling}: expected a mean and a std for each channel, such as "
            "[[0.5,0.5,0.5],[0.5,0.5,0.5]]"
        ) from None
    return Given(path, tensors, mean, std, hashlib.sha256(path.read_bytes()).hexdigest())


def read_weights(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of a file by name, without what wraps them and the prefixes of all.

    Raises:
        ValueError: there is no such file, or it holds no tensors by name.
    """
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"model.weights={path} is not there") from None
    except Exception as error:  # noqa: BLE001 - a file may hold anything, and its reader end in any error
        said = re.sub(r"\x1b\[[0-9;]*m", "", " ".join(str(error).split()))[:120]
        raise ValueError(
            f"model.weights={path} is no file of tensors that torch reads without running code in it "
            f"({said or type(error).__name__})"
        ) from None
    while isinstance(found, Mapping) and (key := next((key for key in WRAPPERS if _is_wrapped(found, key)), None)):
        found = found[key]
    named = isinstance(found, Mapping) and all(isinstance(n, str) and isinstance(of, Tensor) for n, of in found.items())
    if not named or not count_channels(found):
        raise ValueError(f"model.weights={path} holds no tensors of a network by name, as a state dict does")
    return {PREFIXES.sub("", name): tensor for name, tensor in found.items()}


def _is_wrapped(found: Mapping[Any, Any], key: str) -> bool:
    return isinstance(found.get(key), Mapping)


def find_scaling(tensors: Mapping[str, Tensor]) -> tuple[list[float], list[float]] | None:
    """Returns mean and std of the layer of a file that normalises pixels; None where it has none."""
    names = {
        what: [n for n, of in tensors.items() if pattern.fullmatch(n) and of.numel() == count_channels(tensors)]
        for what, pattern in SCALINGS.items()
    }
    if any(len(of) != 1 for of in names.values()):
        return None
    mean, std = (tensors[names[what][0]].flatten().tolist() for what in ("mean", "std"))
    return mean, std


def count_channels(tensors: Mapping[str, Tensor]) -> int:
    """Returns the channels of the images that a network takes: those that its first convolution reads."""
    return next((of.shape[1] for of in tensors.values() if of.ndim == 4 and of.shape[2:] != (1, 1)), 0)


def load_weights(model: nn.Module, given: Given) -> None:
    """Puts the weights of a file in place of those of a residual network of the same architecture.

    ``model`` is one of ``resnet18``, ``preact_resnet18``, ``wide_resnet``; its scaling of pixels stays.

    Raises:
        ValueError: tensors that are missing, left over, or of another shape, or numbers that are not finite.
    """
    path = given.path
    own = {name: of for name, of in model.state_dict().items() if not name.startswith("pixels.")}
    kind = "preact" if any(name.startswith("last.") for name in own) else "basic"
    wanted = {name for name in own if not name.endswith(("num_batches_tracked", ".position"))}
    channels, rename = count_channels(given.tensors), _renaming(kind)
    tensors = {name: of for name, of in given.tensors.items() if not _is_beside(name, of, channels)}
    if odd := [name for name, of in tensors.items() if not of.is_floating_point()]:
        raise ValueError(f"model.weights={path} holds other numbers than floating-point ones: {odd[0]}")
    theirs = {rename(name): of for name, of in tensors.items()}
    if len(theirs) < len(tensors):
        raise ValueError(f"model.weights={path} holds two tensors for one place, such as two last layers")
    missing, more = sorted(wanted - theirs.keys()), sorted(theirs.keys() - own.keys())
    shapes = [name for name in sorted(wanted & theirs.keys()) if theirs[name].shape != own[name].shape]
    if missing or more or shapes:
        raise ValueError(
            f"model.weights={path} does not fit this network: {_misfit(missing, more, shapes, theirs, own)}"
        )
    taken = {name: theirs[name].to(own[name].dtype) for name in wanted}
    if not all(of.isfinite().all() for of in taken.values()):
        raise ValueError(f"model.weights={path} holds nan or infinite numbers")
    model.load_state_dict({**model.state_dict(), **taken})


def _is_beside(name: str, tensor: Tensor, channels: int) -> bool:
    """Returns whether a tensor is none of the network's: its scaling of pixels, or what is declared and not used."""
    scaling = any(pattern.fullmatch(name) for pattern in SCALINGS.values())
    return bool(UNUSED.match(name)) or (scaling and tensor.numel() == channels)


def _renaming(kind: str) -> Callable[[str], str]:
    """Returns our name of a tensor of a network of this kind; ours as it is, and what is not known."""

    def rename(name: str) -> str:
        name = re.sub(r"^\d+\.(?=(conv|bn|layer|block|linear|fc)\w*\.)", "", name)  # behind a layer of scaling
        part, _, tensor = name.rpartition(".")
        if part in HEADS:
            return f"head.{tensor}"
        if part in ENDS[kind]:
            return f"{ENDS[kind][part]}.{tensor}"
        found = BLOCK.fullmatch(name)
        if found is None or found["part"] not in PLACES[kind]:
            return name
        return f"stages.{int(found['stage']) - 1}.{found['block']}.{PLACES[kind][found['part']]}.{found['tensor']}"

    return rename


def _misfit(
    missing: Sequence[str],
    more: Sequence[str],
    shapes: Sequence[str],
    given: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
) -> str:
    """Says what does not fit, and the settings that change it."""
    if shapes and not (missing or more):
        name = shapes[0]
        return (
            f"its {name} is {tuple(given[name].shape)}, here {tuple(own[name].shape)}; see model.width or model.widen, "
            "and the number of classes"
        )
    said = [
        f"{what} {', '.join(names[:SHOWN])}" + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
        for what, names in (("it lacks", missing), ("it has", more))
        if names
    ]
    return f"{'; '.join(said)} (in our names); choose another model=, or model.depth of a wide one"
