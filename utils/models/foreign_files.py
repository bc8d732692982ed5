"""Files of weights that others trained: what wraps them, the prefixes of their names, the scaling of their pixels."""

import hashlib
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

# keys under which files hold the weights, the first that is there; averaged ones only where there are no others
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights", "params", "ema", "model_ema", "ema_state_dict")
PREFIXES = re.compile(r"^(?:(?:module|model|net|backbone|_orig_mod|basic_net|\d+(?=\.[a-z_]))\.)+")
# a layer in front of the network, as in nn.Sequential(Normalize(...), network)
SCALINGS = {"mean": re.compile(r"(?:.*\.)?(?:mean|mu)"), "std": re.compile(r"(?:.*\.)?(?:std|sigma)")}
# declared by TRADES' network and never called; counts of batches and of averages
UNUSED = re.compile(r"sub_block1\.|.*num_batches_tracked$|n_averaged$")
SCALARS: list[Any] = [np.dtype, *{type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)}]
REMEDY = "save the state dict alone: torch.save(network.state_dict(), FILE)"
EXAMPLE = "[[0.5,0.5,0.5],[0.5,0.5,0.5]]"


class Given(NamedTuple):
    """The weights of a file, and the scaling of pixels by which they were trained."""

    path: Path
    tensors: Mapping[str, Tensor]  # of the network, by names without the prefixes of all
    mean: list[float]  # of each channel
    std: list[float]
    sha256: str  # of the file
    told: str  # what was taken from where


def read_given(model: Mapping[str, Any], note: Callable[[Path], Path]) -> Given:
    """Returns the weights that the settings of a model name.

    Args:
        model: its settings, with ``weights`` and ``weights_scaling``.
        note: hears of the file before it is read.

    Raises:
        ValueError: there is no such file, it holds no tensors of one network by name, or a scaling that is none or of
            other pixels than those in [0, 1].
    """
    path = note(Path(str(model["weights"])).expanduser())
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"model.weights={path} is not there") from None
    except OSError as error:
        raise ValueError(f"model.weights={path}: {error.strerror}") from None
    tensors, wrapper = _read(path, data)
    channels = count_channels(tensors)
    scaling, source = model.get("weights_scaling"), "by model.weights_scaling"
    if scaling is None:
        scaling, source = _find_scaling(path, tensors, channels)
    mean, std = _as_scaling(scaling, channels)
    network = {PREFIXES.sub("", name): of for name, of in tensors.items() if not _is_beside(name, of, channels)}
    return Given(
        path,
        network,
        mean,
        std,
        hashlib.sha256(data).hexdigest(),
        f"model.weights={path}: {wrapper}pixels {source}; compare its accuracy with the one that is known",
    )


def _read(path: Path, data: bytes) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors of a file by name, and words on the key that they were under."""
    try:
        found: Any = _load(path, data)
    except Exception:  # noqa: BLE001 - a file may hold anything, and its reader end in any error
        raise ValueError(
            f"model.weights={path} is no file of tensors that torch reads without running code in it; {REMEDY}"
        ) from None
    said = ""
    while isinstance(found, Mapping) and (keys := [key for key in WRAPPERS if isinstance(found.get(key), Mapping)]):
        beside = f" (it holds {' and '.join(keys[1:])} as well)" * (len(keys) > 1)
        said, found = f"{keys[0]} of the file{beside}, ", found[keys[0]]
    named = isinstance(found, Mapping) and all(isinstance(n, str) and isinstance(of, Tensor) for n, of in found.items())
    if not named or not count_channels(found):
        raise ValueError(f"model.weights={path} holds no tensors of a network by name, as a state dict does; {REMEDY}")
    places: dict[str, str] = {}
    for name in found:
        other = places.setdefault(PREFIXES.sub("", name), name)
        if other != name and not any(pattern.fullmatch(name) for pattern in SCALINGS.values()):
            raise ValueError(f"model.weights={path} holds several networks ({other} and {name}); {REMEDY}")
    return dict(found), said


def _load(path: Path, data: bytes) -> Any:
    """Returns what a file holds, of which no code is run."""
    if path.suffix == ".safetensors":
        return safetensors.torch.load(data)
    scalar: Any = getattr(np, "_core", np).multiarray.scalar  # of accuracies that are kept beside the weights
    with torch.serialization.safe_globals([scalar, *SCALARS]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on protocols, of a file that is then refused
        return torch.load(BytesIO(data), map_location="cpu", weights_only=True)


def _find_scaling(path: Path, tensors: Mapping[str, Tensor], channels: int) -> tuple[Sequence[Sequence[float]], str]:
    """Returns mean and std of the layer of a file that normalises pixels, else 0 and 1, and where they are from."""
    names = {
        what: [name for name, of in tensors.items() if pattern.fullmatch(name) and of.numel() == channels]
        for what, pattern in SCALINGS.items()
    }
    if not any(names.values()):
        return [[0.0] * channels, [1.0] * channels], "as they are in [0, 1], since the file names no scaling"
    if any(len(of) != 1 for of in names.values()):
        raise ValueError(
            f"model.weights={path} holds {' and '.join([*names['mean'], *names['std']])}, which do not tell one mean "
            f"and one std of the pixels; say them by model.weights_scaling={EXAMPLE}"
        )
    own = [names[what][0] for what in ("mean", "std")]
    return [tensors[name].flatten().tolist() for name in own], f"scaled by {own[0]} and {own[1]} of the file"


def _as_scaling(scaling: Any, channels: int) -> tuple[list[float], list[float]]:
    try:
        mean, std = ([float(number) for number in of] for of in scaling)
    except (TypeError, ValueError):
        raise ValueError(
            f"model.weights_scaling={scaling}: expected a mean and a std for each channel, such as {EXAMPLE}"
        ) from None
    if not (len(mean) == len(std) == channels):
        raise ValueError(f"model.weights_scaling={scaling}: expected {channels} means and stds, one for each channel")
    if not all(-1 <= of <= 1 for of in mean) or not all(0 < of <= 1 for of in std):
        raise ValueError(
            f"means {mean} and stds {std} are not of pixels in [0, 1], which models see here; of pixels up to 255 "
            f"divide them by 255 and say them by model.weights_scaling={EXAMPLE}"
        )
    return mean, std


def count_channels(tensors: Mapping[str, Tensor]) -> int:
    """Returns the channels of the images that a network takes: those that its first convolution reads."""
    return next((of.shape[1] for of in tensors.values() if of.ndim == 4 and of.shape[2:] != (1, 1)), 0)


def _is_beside(name: str, tensor: Tensor, channels: int) -> bool:
    """Returns whether a tensor is none of the network's: its scaling of pixels, or what is declared and not used."""
    scaling = any(pattern.fullmatch(name) for pattern in SCALINGS.values())
    return bool(UNUSED.match(PREFIXES.sub("", name))) or (scaling and tensor.numel() == channels)
