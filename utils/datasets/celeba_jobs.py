"""CelebA as applicants: who is hired is drawn from the 40 attributes of a face, by a probability that is known.

After "Illustrations for Trade-Offs in Fairness and Cybersecurity of AI", the code of Carovano and Meinke, "Improving
the fairness and cybersecurity of the Artificial Intelligence Act". Nothing about real applicants is in it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from utils import seeding
from utils.datasets.celeba import (
    ATTRIBUTES,
    FACES,
    PARTITION,
    find_folder,
    groups_of,
    read_attributes,
    read_partition,
    split_faces,
)
from utils.datasets.images import Rows
from utils.datasets.tabular import Floats, unknown_name
from utils.types import Dataset

TRAITS = 40  # attributes of CelebA
BIAS = -5.0
SENSITIVE = "Male"
GROUPS = ("women", "men")
CLASSES = ("rejected", "hired")
FULL, PUBLISHED_TEST, PUBLISHED_SEED = 202_599, 10_000, 1306
VALID, TEST = 1, 2  # numbers of splits, as in the publisher's partition

Labelled = tuple[Rows, Rows]  # class and split of each image, (n,) each


def celeba_jobs(
    *,
    name: str,
    labels: str,
    label_seed: int,
    rows: int | None,
    valid_rows: int | None,
    test_rows: int | None,
    size: int | None,
    seed: int,
) -> Dataset:
    """Faces of applicants, hired (class 1) with probability p = sigmoid(a . v - 5), a in {-1, 1}^40 the attributes.

    The weights v are the first 40 standard-normal numbers of NumPy's ``default_rng(label_seed)``. The groups are women
    and men, attribute Male. ``facts`` hold what the best of all decisions, p >= 1/2, comes to on the test rows: see
    ``bayes``.

    Args:
        name: of the data set.
        labels: "ours", see ``own``, or "published", see ``split_as_published``.
        label_seed: of the weights and of the labels; published 1306.
        rows: number of training faces, the first of a seeded draw; None takes all.
        valid_rows: the same for the validation faces.
        test_rows: the same for the test faces.
        size: height and width in pixels, see ``celeba.read_faces``; None leaves the central square as it is.
        seed: of the draws, not of the labels.

    Raises:
        ValueError: other labels, other attributes than CelebA's, published labels of another seed or of a part of the
            images, and whatever ``celeba.celeba`` refuses.
    """
    if labels not in LABELS:
        raise ValueError(f"data set {name}: labels={labels!r} is not known; choose {' or '.join(LABELS)}")
    folder = find_folder()
    known, files, table = read_attributes(folder / ATTRIBUTES)
    if SENSITIVE not in known:
        raise unknown_name(str(folder / ATTRIBUTES), SENSITIVE, known)
    if len(known) != TRAITS:
        raise ValueError(
            f"{folder / ATTRIBUTES} lists {len(known)} attributes, and the label is drawn from CelebA's {TRAITS}; is "
            "it another file?"
        )
    chance = hiring_chance(table, label_seed)
    y, part = LABELS[labels](name, chance, files, read_partition(folder / PARTITION, files), label_seed)
    s, _ = groups_of(name, known, table, [SENSITIVE])
    dataset = split_faces(
        name,
        [folder / FACES / file for file in files],
        y=y,
        s=s,
        part=part,
        class_names=CLASSES,
        groups=GROUPS,
        draws={"rows": rows, "valid_rows": valid_rows, "test_rows": test_rows},
        size=size,
        seed=seed,
    )
    tested = dataset.test.index.numpy()
    return replace(dataset, facts=bayes(chance[tested], s[tested]))


def hiring_chance(table: NDArray[np.bool_], label_seed: int) -> Floats:
    """Probability (n,) that each applicant is hired, from the attributes (n, 40) that are true of the face."""
    weights = np.random.default_rng(label_seed).standard_normal(table.shape[1])
    chance: Floats = 1 / (1 + np.exp(-((2.0 * table - 1) @ weights + BIAS)))
    return chance


def own(name: str, chance: Floats, files: Sequence[str], part: Rows, label_seed: int) -> Labelled:
    """Labels by one uniform number for each image, from the seed and the name of its file; the publisher's splits.

    So an image has the same label in every selection of images.
    """
    # 53 of 63 bits, which a float holds exactly
    drawn = np.array([seeding.derive(label_seed, f"label {file}") >> 10 for file in files]) * 2.0**-53
    return (drawn < chance).astype(np.int64), part


def split_as_published(name: str, chance: Floats, files: Sequence[str], part: Rows, label_seed: int) -> Labelled:
    """Labels and test set as published, which needs all 202,599 images.

    The test set is ``default_rng(1306).choice(202599, 10000, replace=False, shuffle=False)``, in this order, all
    others, in ascending order, are for training. In each of the two the generator is started again, draws the 40
    weights and then one uniform number for each row, which is hired where it is below p: a label depends on the
    position in its split. The publication has no validation rows: ours are the publisher's, without those in the test
    set, and keep their labels.

    Raises:
        ValueError: a part of the images, or another seed.
    """
    if len(chance) != FULL:
        raise ValueError(
            f"data set {name}: labels=published depend on the place of an image among all {FULL:,}, and {ATTRIBUTES} "
            f"lists {len(chance):,}; get the whole of CelebA, or choose labels=ours"
        )
    if label_seed != PUBLISHED_SEED:
        raise ValueError(f"data set {name}: labels=published have label_seed={PUBLISHED_SEED}, not {label_seed}")
    test = np.random.default_rng(label_seed).choice(FULL, PUBLISHED_TEST, replace=False, shuffle=False)
    train = np.setdiff1d(np.arange(FULL), test)
    y = np.empty(FULL, dtype=np.int64)
    for rows in (train, test):
        stream = np.random.default_rng(label_seed)
        stream.standard_normal(TRAITS)  # the weights
        y[rows] = stream.random(len(rows)) < chance[rows]
    split = np.where(part == VALID, VALID, 0)
    split[test] = TEST
    return y, split


LABELS: dict[str, Callable[[str, Floats, Sequence[str], Rows, int], Labelled]] = {
    "ours": own,
    "published": split_as_published,
}


def bayes(chance: Floats, s: Rows) -> dict[str, float]:
    """Returns the figures of the decision p >= 1/2, which no other surpasses in accuracy, in the mean over labels.

    Args:
        chance: probability p of class 1 of each row, (n,).
        s: its group, 0 or 1, (n,).

    Returns:
        ``bayes_accuracy`` = mean of max(p, 1 - p); where both groups have rows, ``bayes_fnr_signed_gap`` = FNR of group
        1 less that of group 0, the FNR of a group being the sum of p over its rejected rows by that over all, and
        ``bayes_fnr_gap``, its absolute value.
    """
    facts = {"bayes_accuracy": float(np.maximum(chance, 1 - chance).mean())}
    missed, positive = (np.bincount(s, weights, minlength=2) for weights in (chance * (chance < 0.5), chance))
    if positive.all():
        gap = float(np.diff(missed / positive)[0])
        facts |= {"bayes_fnr_gap": abs(gap), "bayes_fnr_signed_gap": gap}
    return facts
