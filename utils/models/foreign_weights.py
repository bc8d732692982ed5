"""Weights that others trained, in files of torch, for the residual networks here: their names are told by ours.

Networks of one architecture are written by many with the same few names: ``layer1.0.conv1`` for residual networks of 18
layers, ``block1.layer.0.conv1`` for wide ones, with or without a prefix and a layer in front that normalises pixels.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from utils.models.foreign_files import Given

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


def load_weights(model: nn.Module, given: Given) -> None:
    """Puts the weights of a file in place of those of a residual network of the same architecture.

    ``model`` is one of ``resnet18``, ``preact_resnet18``, ``wide_resnet``; its scaling of pixels stays.

    Raises:
        ValueError: tensors that are missing, left over, or of another shape, numbers that are not finite, or names of
            a wide network that is another function.
    """
    path, tensors = given.path, given.tensors
    own = {name: of for name, of in model.state_dict().items() if not name.startswith("pixels.")}
    kind = "preact" if any(name.startswith("last.") for name in own) else "basic"
    if kind == "preact" and not any(name.startswith("stages.3.") for name in own) and _has_layers(tensors):
        raise ValueError(
            f"model.weights={path} is of a wide network whose blocks are named layer1.0, and whose shortcuts read what "
            "comes before the first activation; wide_resnet is the one of block1.layer.0, whose shortcuts read the "
            "activation"
        )
    wanted = {name for name in own if not name.endswith(("num_batches_tracked", ".position"))}
    rename = _renaming(kind)
    if odd := [name for name, of in tensors.items() if not of.is_floating_point()]:
        raise ValueError(f"model.weights={path} holds other numbers than floating-point ones: {odd[0]}")
    theirs = {rename(name): name for name in tensors}
    if len(theirs) < len(tensors):
        raise ValueError(f"model.weights={path} holds two tensors for one place, such as two last layers")
    missing, more = sorted(wanted - theirs.keys()), [theirs[name] for name in sorted(theirs.keys() - own.keys())]
    shapes = [name for name in own if name in theirs and tensors[theirs[name]].shape != own[name].shape]
    if missing or more:
        raise ValueError(f"model.weights={path} does not fit this network: {_misfit(missing, more)}")
    if shapes:
        theirs_shape, own_shape = tuple(tensors[theirs[shapes[0]]].shape), tuple(own[shapes[0]].shape)
        what = "the number of classes" if shapes[0].startswith("head.") else "model.width or model.widen"
        raise ValueError(
            f"model.weights={path} does not fit this network: its {theirs[shapes[0]]} is {theirs_shape}, here "
            f"{own_shape}; see {what}"
        )
    taken = {name: tensors[theirs[name]].to(own[name].dtype) for name in wanted}
    if not all(of.isfinite().all() for of in taken.values()):
        raise ValueError(f"model.weights={path} holds nan or infinite numbers")
    model.load_state_dict({**model.state_dict(), **taken})


def _has_layers(tensors: Mapping[str, Tensor]) -> bool:
    return any(name.startswith("layer1.") for name in tensors)


def _renaming(kind: str) -> Callable[[str], str]:
    """Returns our name of a tensor of a network of this kind; ours as it is, and what is not known."""

    def rename(name: str) -> str:
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


def _misfit(missing: Sequence[str], more: Sequence[str]) -> str:
    """Says what does not fit, and the settings that change it."""
    said = [
        f"{what} {', '.join(names[:SHOWN])}" + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
        for what, names in (("it lacks", [f"{name} (in our names)" for name in missing]), ("it has", more))
        if names
    ]
    return f"{'; '.join(said)}; choose another model=, or model.depth of a wide one"
