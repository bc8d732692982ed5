"""CelebA (Liu, Luo, Wang and Tang 2015): 202,599 faces with 40 attributes; one is the class, others make the groups."""

import hashlib
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import paths_config
from utils.datasets.fetch import read_fields, read_lines
from utils.datasets.images import Rows, by, check_size, complete, draw
from utils.datasets.tabular import binary, group_names, mark, names, unknown_name
from utils.system.console import count, notice
from utils.system.sources import note_unseen
from utils.types import Batch, Dataset

HOME = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
FACES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
PARTS = ("training", "validation", "test")  # 0, 1 and 2 of the publisher's partition
SIGNS = frozenset(("1", "-1"))
BLOCK = 256  # files that one thread reads in one go
PATIENCE = 5.0  # seconds between two lines of progress


def celeba(
    *,
    name: str,
    attribute: str,
    sensitive: str | Sequence[str] | None,
    rows: int | None,
    valid_rows: int | None,
    test_rows: int | None,
    size: int | None,
    seed: int,
) -> Dataset:
    """Has a face the attribute (class 1)? In the publisher's partition into train, validation and test.

    The fingerprint is of the files of all faces, the chosen attributes and the partition.

    Args:
        name: of the data set.
        attribute: one of the 40, such as Smiling.
        sensitive: attributes whose values make the groups; None makes one group of all.
        rows: number of training faces, the first of a seeded draw; None takes all.
        valid_rows: the same for the validation faces.
        test_rows: the same for the test faces.
        size: height and width in pixels, see ``read_faces``; None leaves the central square as it is.
        seed: of the draws.

    Raises:
        ValueError: a folder, file or attribute that is not there, a face that cannot be read or is of another size
            than the first, or a class without training or test faces.
    """
    folder = find_folder()
    known, files, table = read_attributes(folder / ATTRIBUTES)
    for what, listed in (("attribute", attribute), *(("sensitive", of) for of in names(sensitive))):
        if listed not in known:
            raise unknown_name(f"{folder / ATTRIBUTES}, {what}={listed}", listed, known)
    s, groups = groups_of(name, known, table, names(sensitive))
    return split_faces(
        name,
        [folder / FACES / file for file in files],
        y=table[:, known.index(attribute)].astype(np.int64),
        s=s,
        part=read_partition(folder / PARTITION, files),
        class_names=(f"not {attribute}", attribute),
        groups=groups,
        draws={"rows": rows, "valid_rows": valid_rows, "test_rows": test_rows},
        size=size,
        seed=seed,
    )


def split_faces(
    name: str,
    paths: Sequence[Path],
    *,
    y: Rows,
    s: Rows,
    part: Rows,
    class_names: Sequence[str],
    groups: tuple[str, ...],
    draws: Mapping[str, int | None],
    size: int | None,
    seed: int,
) -> Dataset:
    """Draws, reads and checks the files of n faces, in an order that ``index`` keeps; returns a Dataset.

    The fingerprint is of the files of all faces, their classes, groups and splits.

    Args:
        name: of the data set.
        paths: the n files.
        y: class of each face, (n,).
        s: its group, (n,).
        part: its split, (n,): 0 for training, 1 for validation, 2 for test.
        class_names: one for each class.
        groups: one name for each group.
        draws: of the three splits in this order, how many rows to draw by the name of the setting; None takes all.
        size: see ``read_faces``.
        seed: of the draws.

    Raises:
        ValueError: see ``celeba``.
    """
    chosen = [
        _draw(name, np.flatnonzero(part == number), PARTS[number], setting, count, seed)
        for number, (setting, count) in enumerate(draws.items())
    ]
    faces, content = read_faces(name, paths, np.concatenate(chosen), size)
    columns = np.stack([y, s, part], 1).astype("<i8").tobytes()
    return complete(
        name,
        *(
            Batch(x, torch.from_numpy(y[keep]), torch.from_numpy(s[keep]), torch.ones(len(x)), torch.from_numpy(keep))
            for x, keep in zip(faces.split([len(keep) for keep in chosen]), chosen, strict=True)
        ),
        class_names=class_names,
        groups=groups,
        fingerprint=hashlib.sha256(content + columns).hexdigest()[:16],
    )


def find_folder() -> Path:
    """The folder of CelebA in the data folder. Raises ValueError, saying where to get it, if a part is missing."""
    folder = paths_config.data() / "celeba"
    for part in (FACES, ATTRIBUTES, PARTITION):
        if not (folder / part).exists():
            raise ValueError(
                f"there is no {folder / part}. CelebA has to be fetched by hand: get "
                f"{FACES}.zip, {ATTRIBUTES} and {PARTITION} from {HOME} (Google Drive, folders Img, Anno and Eval), "
                f"unzip the first, and put all three into {folder}; or set TRILEMMA_DATA to the folder that holds "
                "celeba."
            )
    note_unseen(str(folder))
    return folder


def read_attributes(path: Path) -> tuple[list[str], list[str], NDArray[np.bool_]]:
    """Names of the attributes (a), of the files (n), and whether file i has attribute j, (n, a).

    The first line of the file is n, the second names the attributes; then come a file name and 1 or -1 for each.

    Raises ValueError, naming file and line, for anything else.
    """
    lines = read_lines(path)
    count, known = lines[0].strip(), lines[1].split() if len(lines) > 1 else []
    files, values = [], []
    for number, line in enumerate(lines[2:], 3):
        file, *signs = line.split() or [""]
        if not file:
            continue
        if len(signs) != len(known) or not SIGNS.issuperset(signs):
            raise ValueError(f"{path}, line {number}: not a file name and 1 or -1 for each of {len(known)} attributes.")
        files.append(file)
        values.append(bytes(sign == "1" for sign in signs))
    if not files or count != str(len(files)):
        raise ValueError(f"{path} announces {count} images and lists {len(files)}; is it cut short, or another file?")
    return known, files, np.frombuffer(b"".join(values), np.bool_).reshape(len(files), -1)


def groups_of(
    name: str, known: Sequence[str], table: NDArray[np.bool_], sensitive: Sequence[str]
) -> tuple[Rows, tuple[str, ...]]:
    """The group of each image (n,) and the names of the groups, the values of the sensitive attributes.

    Raises ValueError for an attribute that is the same of every image.
    """
    s = np.zeros(len(table), dtype=np.int64)
    if not sensitive:
        return s, ("all",)
    for place, attribute in enumerate(known):
        if attribute not in sensitive:
            continue
        values = table[:, place]
        if values.all() or not values.any():
            raise ValueError(
                f"data set {name}: the sensitive attribute {attribute} is {int(values[0])} of every image, so there "
                "are no groups to compare; choose another."
            )
        s = 2 * s + values
    return s, group_names(mark(binary(*known), sensitive, None))


def read_partition(path: Path, files: Sequence[str]) -> Rows:
    """The number of each file's split (n,): 0 for training, 1 for validation, 2 for test.

    Raises ValueError, naming the file, for another number or an image that it does not list.
    """
    fields = read_fields(path, ["file", "part"], separator=None, comment="#")
    part = dict(zip(fields["file"], fields["part"], strict=True))
    for file in files:
        if part.get(file) not in ("0", "1", "2"):
            raise ValueError(f"{path}: the split of {file} is {part.get(file)}, not 0, 1 or 2; is it cut short?")
    return np.array([int(part[file]) for file in files])


def read_faces(name: str, paths: Sequence[Path], wanted: Rows, size: int | None) -> tuple[Tensor, bytes]:
    """The wanted images (k, 3, size, size) as bytes, in that order, and the SHA-256 of every file, joined.

    Of an image the central square is taken and reduced by Pillow's bilinear filter, whose window covers all pixels
    that it replaces. Threads read the files, block by block.

    Raises ValueError, naming the file, for one that is missing, cannot be decoded or is of another size than the first.
    """
    width, height = _decode(paths[0], _content(paths[0])).size
    check_size(name, (height, width), size)
    side = min(width, height)
    left, top, wide = (width - side) // 2, (height - side) // 2, size or side
    faces = torch.empty(len(wanted), 3, wide, wide, dtype=torch.uint8)
    pixels, place = faces.numpy(), dict(zip(wanted.tolist(), range(len(wanted)), strict=True))

    def read(rows: range) -> bytes:
        digests = []
        for row in rows:
            content = _content(paths[row])
            digests.append(hashlib.sha256(content).digest())
            if row not in place:
                continue
            image = _decode(paths[row], content)
            if image.size != (width, height):
                raise ValueError(
                    f"{paths[row]} is of {by(image.size)} pixels, and {paths[0].name} of {by((width, height))}; all "
                    "images of a folder have to be of one size."
                )
            square = image.resize((wide, wide), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
            pixels[place[row]] = np.asarray(square).transpose(2, 0, 1)
        return b"".join(digests)

    blocks = [range(start, min(start + BLOCK, len(paths))) for start in range(0, len(paths), BLOCK)]
    notice(f"{name}: reading {count(len(paths), 'file')}, decoding {len(wanted):,}")
    return faces, b"".join(_follow(read, blocks, name, len(paths)))


def _follow(read: Callable[[range], bytes], blocks: Sequence[range], name: str, files: int) -> Iterator[bytes]:
    """Yields what threads read, in order; from time to time a line says how far they are."""
    from joblib import cpu_count  # of those that this process may use

    pool = ThreadPoolExecutor(cpu_count())
    told = time.monotonic()
    try:
        for block, content in zip(blocks, pool.map(read, blocks), strict=True):
            yield content
            if time.monotonic() - told > PATIENCE:
                told = time.monotonic()
                notice(f"{name}: {block.stop:,} of {count(files, 'file')}")
    finally:
        pool.shutdown(cancel_futures=True)  # after an error nobody waits for the other blocks


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}), but {ATTRIBUTES} lists it.") from error


def _decode(path: Path, content: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            return image.convert("RGB")
    except OSError as error:
        raise ValueError(f"{path} cannot be decoded as JPEG ({error}); take it out of {FACES}.zip anew.") from error


def _draw(name: str, inside: Rows, what: str, setting: str, rows: int | None, seed: int) -> Rows:
    return inside[draw(name, what, len(inside), setting, rows, seed)]
