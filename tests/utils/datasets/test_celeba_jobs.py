"""CelebA as applicants: the published figures of the generator, probabilities by hand, labels that follow the image."""

import math

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from tests.image_files import write
from tests.utils.datasets.test_celeba import ROWS, face, partition
from utils.datasets.celeba import read_attributes
from utils.datasets.celeba_jobs import FULL, PUBLISHED_TEST, TRAITS, bayes, hiring_chance, own, split_as_published

real = pytest.mark.skipif(
    not (paths_config.data() / "celeba/list_attr_celeba.txt").is_file(),
    reason="no celeba in the data folder (TRILEMMA_DATA)",
)
MALE = 20
NAMES = [f"Trait_{i}" for i in range(TRAITS)]
NAMES[MALE] = "Male"


def made(seed=0, **changes):
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/celeba_jobs.yaml")
    del config["defaults"]
    return instantiate(config, **{"size": 8} | changes)(seed=seed)


def traits(rows=ROWS, seed=1):
    """Attributes (rows, 40), every other row a man; two of four have what speaks for being hired."""
    table = np.random.default_rng(seed).random((rows, TRAITS)) < 0.5
    table[np.arange(rows) % 4 < 2] = np.random.default_rng(1306).standard_normal(TRAITS) > 0
    table[:, MALE] = np.arange(rows) % 2
    return table


def listing(table, names=NAMES):
    lines = [f"{i + 1:06}.jpg " + " ".join("1" if v else "-1" for v in row) for i, row in enumerate(table)]
    return "\n".join([str(len(lines)), " ".join(names), *lines, ""]).encode()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with a small CelebA of 40 attributes."""
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    write(tmp_path / "celeba", {"list_attr_celeba.txt": listing(traits()), "list_eval_partition.txt": partition()})
    write(tmp_path / "celeba/img_align_celeba", {f"{i + 1:06}.jpg": face(i) for i in range(ROWS)})
    return tmp_path / "celeba"


# The probability


def test_the_weights_are_the_published_ones():
    """By their differences: the log-odds of a face with one attribute more grow by twice its weight."""
    table = np.zeros((TRAITS + 1, TRAITS), dtype=bool)
    table[1:][np.diag_indices(TRAITS)] = True
    odds = hiring_chance(table, 1306)
    logits = np.log(odds / (1 - odds))
    weights = (logits[1:] - logits[0]) / 2
    assert weights[[0, 1, 2, MALE]] == pytest.approx([-0.897374, 1.884877, -0.528856, 0.511298], abs=1e-6)


def test_three_rows_by_hand():
    """No attribute: sigmoid(-5 - sum v); all: sigmoid(-5 + sum v); all but Male: less twice its weight."""
    weights = np.random.default_rng(1306).standard_normal(TRAITS)
    total = math.fsum(weights)
    table = np.array([[False] * TRAITS, [True] * TRAITS, [i != MALE for i in range(TRAITS)]])
    by_hand = [1 / (1 + math.exp(-z)) for z in (-5 - total, -5 + total, -5 + total - 2 * 0.511298)]
    assert hiring_chance(table, 1306) == pytest.approx(by_hand, rel=1e-5)


@real
def test_the_best_decision_on_real_faces_is_right_as_often_as_it_says():
    """Of labels drawn anew by another generator, within four standard errors; .866 of the first 10,000 faces."""
    table = read_attributes(paths_config.data() / "celeba/list_attr_celeba.txt")[2]
    chance = hiring_chance(table, 1306)
    best = bayes(chance, table[:, MALE].astype(int))["bayes_accuracy"]
    y = np.random.default_rng(5).random(len(chance)) < chance
    assert (y == (chance >= 0.5)).mean() == pytest.approx(best, abs=4 * math.sqrt(best * (1 - best) / len(chance)))


# Our labels


def test_a_label_does_not_depend_on_which_other_images_there_are(folder):
    whole = made()
    part = made(rows=9, valid_rows=2, test_rows=7, seed=3)
    labels = {i: y for split in (whole.train, whole.valid, whole.test) for i, y in zip(*of(split), strict=True)}
    for split in (part.train, part.valid, part.test):
        assert [labels[i] for i in split.index.tolist()] == split.y.tolist()


def of(split):
    return split.index.tolist(), split.y.tolist()


def test_labels_do_not_depend_on_the_order_of_the_images():
    chance, files = np.full(50, 0.5), [f"{i}.jpg" for i in range(50)]
    forth, _ = own("jobs", chance, files, np.zeros(50), 1306)
    back, _ = own("jobs", chance, files[::-1], np.zeros(50), 1306)
    assert (forth == back[::-1]).all()


def test_labels_have_their_probability():
    """20,000 draws each: five standard errors."""
    for p in (0.0, 0.1, 0.7, 1.0):
        y, _ = own("jobs", np.full(20000, p), [str(i) for i in range(20000)], np.zeros(20000), 1306)
        assert y.mean() == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 20000))


def test_another_seed_draws_other_labels(folder):
    assert made(label_seed=1).fingerprint != made().fingerprint


def test_the_seed_of_a_run_moves_the_draw_and_no_label(folder):
    first, second = made(seed=1, rows=8), made(seed=2, rows=8)
    assert first.train.index.tolist() != second.train.index.tolist()
    assert torch.equal(made(seed=1).train.y, made(seed=2).train.y)


def test_groups_are_women_and_men(folder):
    dataset = made()
    assert dataset.groups == ("women", "men")
    assert torch.equal(dataset.test.s, dataset.test.index % 2)
    assert dataset.class_names == ("rejected", "hired")


# The best of all decisions


def test_the_best_decision_by_hand():
    """p = .2 and .9 of women, .4 and .6 of men: right .8, .9, .6, .6; missed .2 of 1.1 and .4 of 1.0 positives."""
    facts = bayes(np.array([0.2, 0.9, 0.4, 0.6]), np.array([0, 0, 1, 1]))
    assert facts["bayes_accuracy"] == pytest.approx(0.725)
    assert facts["bayes_fnr_signed_gap"] == pytest.approx(0.4 / 1.0 - 0.2 / 1.1)
    assert facts["bayes_fnr_gap"] == pytest.approx(0.4 / 1.0 - 0.2 / 1.1)


def test_no_decision_from_the_attributes_surpasses_it():
    """Of 2,000 rows with drawn labels the rule p >= 1/2 is right as often as it says, within four standard errors."""
    chance = hiring_chance(traits(2000), 1306)
    y, _ = own("jobs", chance, [str(i) for i in range(2000)], np.zeros(2000), 7)
    best = bayes(chance, np.zeros(2000, dtype=int))["bayes_accuracy"]
    assert ((chance >= 0.5) == y).mean() == pytest.approx(best, abs=4 * math.sqrt(best * (1 - best) / 2000))


def test_a_group_without_rows_leaves_the_gap_out():
    assert set(bayes(np.array([0.2, 0.9]), np.array([0, 0]))) == {"bayes_accuracy"}


def test_the_facts_are_those_of_the_test_rows(folder):
    dataset = made(test_rows=7)
    chance = hiring_chance(traits(), 1306)[dataset.test.index.numpy()]
    assert dataset.facts["bayes_accuracy"] == pytest.approx(np.maximum(chance, 1 - chance).mean())


# Labels as published


@pytest.fixture(scope="module")
def full():
    """Probabilities of 202,599 faces and what the published draw makes of them."""
    chance = hiring_chance(traits(FULL), 1306)
    part = np.zeros(FULL, dtype=np.int64)
    part[1000:3000] = 1
    return chance, part, *split_as_published("jobs", chance, [""] * FULL, part, 1306)


def test_the_published_test_set_is_numpy_s_draw(full):
    """default_rng(1306).choice(202599, 10000, replace=False, shuffle=False)."""
    *_, split = full
    expected = np.random.default_rng(1306).choice(FULL, PUBLISHED_TEST, replace=False, shuffle=False)
    assert (np.flatnonzero(split == 2) == np.sort(expected)).all()


def test_published_labels_restart_the_generator_in_each_split(full):
    """The first test row and the first training row share their uniform number, the 41st draw."""
    chance, _, y, split = full
    stream = np.random.default_rng(1306)
    stream.standard_normal(TRAITS)
    drawn = stream.random()
    test = np.random.default_rng(1306).choice(FULL, PUBLISHED_TEST, replace=False, shuffle=False)[0]
    train = np.flatnonzero(split != 2)[0]
    assert y[test] == (drawn < chance[test])
    assert y[train] == (drawn < chance[train])


def test_published_validation_rows_are_the_publisher_s_outside_the_test_set(full):
    _, part, _, split = full
    assert ((split == 1) == ((part == 1) & (split != 2))).all()


def test_published_labels_need_all_images(folder):
    with pytest.raises(ValueError, match=r"labels=published depend on .* lists 24; get the whole of CelebA"):
        made(labels="published")


def test_published_labels_have_one_seed():
    with pytest.raises(ValueError, match="have label_seed=1306, not 7"):
        split_as_published("jobs", np.zeros(FULL), [""] * FULL, np.zeros(FULL), 7)


# Errors


def test_other_labels_are_refused(folder):
    with pytest.raises(ValueError, match="labels='mine' is not known; choose ours or published"):
        made(labels="mine")


def test_another_number_of_attributes_is_refused(folder):
    write(folder, {"list_attr_celeba.txt": listing(traits()[:, :30], NAMES[:30])})
    with pytest.raises(ValueError, match=r"list_attr_celeba\.txt lists 30 attributes, .* CelebA's 40"):
        made()


def test_a_list_without_the_sensitive_attribute_is_refused(folder):
    write(folder, {"list_attr_celeba.txt": listing(traits(), ["Mael" if n == "Male" else n for n in NAMES])})
    with pytest.raises(ValueError, match=r"no column 'Male'; did you mean Mael"):
        made()


def test_attributes_without_men_are_refused(folder):
    table = traits()
    table[:, MALE] = False
    write(folder, {"list_attr_celeba.txt": listing(table)})
    with pytest.raises(ValueError, match="the sensitive attribute Male is 0 of every image"):
        made()


def test_a_listed_image_that_is_not_there_is_named(folder):
    (folder / "img_align_celeba/000003.jpg").unlink()
    with pytest.raises(ValueError, match=r"000003\.jpg"):
        made()
