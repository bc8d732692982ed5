"""The search by numbers of rows of each group with each label."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

import paths_config
from tests.utils.poisoning.table_learner import victim as table_victim
from utils.attacks.cell_poison import cell_poison
from utils.poisoning.cells import ACTIONS, cells_of, counts_of
from utils.prepares.massage import massage
from utils.prepares.reweigh import reweigh
from utils.records.settings import SEARCH_KEYS
from utils.types import Answer

DEFAULTS = yaml.safe_load((paths_config.ROOT / "config" / "attack" / "cell_poison.yaml").read_text())["poison"]
OWN = {key: value for key, value in DEFAULTS.items() if key[0] != "_" and key not in SEARCH_KEYS}
FAST = OWN | {"sampler": "random", "budget": 24, "batch": 4, "accuracy": "ignore", "harm": None}


def weighed(data):
    """The learner of ``test_bo_poison``, by rows of their weights."""

    def refit(sets):
        found = []
        for rows in sets:
            means = [(rows.x * rows.w[:, None])[rows.y == c].sum(0) / rows.w[rows.y == c].sum() for c in (0, 1)]
            near = [-(data.valid.x - mean).square().sum(-1) for mean in means]
            found.append(Answer((near[1] - near[0])[None, :, None], "", 0.1))
        return lambda: found

    return refit


@pytest.fixture
def of(dataset, tmp_path):
    def make(**changes):
        data = dataset("toy", 400)
        parts = {"columns": data.columns, "groups": data.groups, "loc": data.loc, "scale": data.scale}
        parts |= {"train": data.train, "valid": data.valid, "refit": weighed(data), "journal": tmp_path / "a.journal"}
        return table_victim(None, **(parts | changes))

    return make


@pytest.mark.parametrize("action", ACTIONS)
def test_the_claimed_metrics_are_those_of_training_on_the_rows_again(of, action):
    own = of()
    found = cell_poison(own, **(FAST | {"action": action}))
    (answer,) = own.refit([found.train])()
    labels = (answer.logits[0, :, 0] >= 0).long()
    false = [(labels[(own.valid.s == g) & (own.valid.y == 0)] == 1).double().mean().item() for g in (0, 1)]
    assert found.after["fpr_gap"] == pytest.approx(abs(false[1] - false[0]))
    assert found.after["fpr_gap"] < found.before["fpr_gap"]
    assert found.facts["numbers"]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_budget_of_zero_changes_nothing(of, action):
    own = of()
    found = cell_poison(own, **(FAST | {"action": action, "budget": 0}))
    assert all(torch.equal(*both) for both in zip(found.train, own.train, strict=True))
    assert not len(found.natural)
    assert found.before == found.after


@pytest.mark.parametrize("order", ["border", "chance"])
def test_each_action_does_what_it_says(of, order):
    own = of()
    edits = {a: cell_poison(own_journal(of, a), **(FAST | {"action": a, "order": order})) for a in ACTIONS}
    n, train = len(own.train.y), own.train
    added = edits["add"]
    assert all(torch.equal(a[:n], b) for a, b in zip(added.train, train, strict=True))
    people = {(*row, s, y) for row, s, y in zip(train.x.tolist(), train.s.tolist(), train.y.tolist(), strict=True)}
    of_rows = zip(added.rows.x.tolist(), added.rows.s.tolist(), added.rows.y.tolist(), strict=True)
    assert all((*row, s, y) in people for row, s, y in of_rows)
    assert len(added.rows.y) == sum(added.facts["numbers"].values())
    gone = edits["remove"]
    assert set(gone.reasons) == set(train.index.tolist()) - set(gone.train.index.tolist())
    assert len(gone.reasons) == sum(gone.facts["numbers"].values())
    flipped = edits["relabel"]
    assert set(train.index[flipped.train.y != train.y].tolist()) == set(flipped.reasons)
    assert torch.equal(flipped.train.x, train.x)
    heavy = edits["reweigh"]
    assert set(train.index[heavy.train.w != train.w].tolist()) == set(heavy.reasons)
    assert torch.equal(heavy.train.y, train.y)


def own_journal(of, name):
    own = of()
    return replace(own, journal=own.journal.with_name(name))


def tried(of, **settings):
    """The training rows that a search asks for, the first as they are."""
    asked, own = [], of()
    refit = lambda sets: asked.extend(sets) or own.refit(sets)  # noqa: E731
    name = str(len(list(own.journal.parent.iterdir())))
    cell_poison(replace(own, refit=refit, journal=own.journal.with_name(name)), **(FAST | settings))
    return asked


@pytest.mark.parametrize("share", [0.5, 1.0, 1.5, 2.0])
def test_the_line_of_relabelling_is_massaging(of, share):
    own = of()
    line = tried(of, action="relabel", sampler="line", budget=4)
    same = massage(own.train, own.groups, np.random.default_rng(0), share=share)
    assert torch.equal(line[round(2 * share)].y, same.y)


def test_the_line_of_reweighing_is_reweighing(of):
    own = of()
    line = tried(of, action="reweigh", sampler="line", budget=2)
    assert torch.allclose(line[1].w, reweigh(own.train, own.groups, np.random.default_rng(0)).w)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_search_begins_where_group_and_label_are_independent(of, action):
    _, first, *_ = tried(of, action=action, sampler="sobol", most={"add": 9, "remove": 1, "relabel": 1, "reweigh": 9})
    shares = [(first.w * (first.y == 1))[first.s == g].sum() / first.w[first.s == g].sum() for g in (0, 1)]
    assert shares[0] == pytest.approx(shares[1].item(), abs=0.01)  # a row more or less of a hundred


def test_each_cell_is_tried_by_itself(of):
    plain, *sets = tried(of, sampler="each", budget=8)
    assert len(sets) == 8
    for rows in sets:
        added = rows.rows(slice(len(plain.y), None))
        assert len(set(zip(added.s.tolist(), added.y.tolist(), strict=True))) == 1


def test_an_attacker_may_give_copies_another_label(of):
    fair, unfair = (cell_poison(own_journal(of, o), **(FAST | {"objective": o})) for o in ("fair", "unfair"))
    assert unfair.after["fpr_gap"] > unfair.before["fpr_gap"]
    assert all("as" not in name.split() for name in fair.facts["numbers"])
    assert any("as" in name.split() for name in unfair.facts["numbers"])


def test_a_larger_budget_goes_on_from_a_smaller_one(of, tmp_path):
    cell_poison(own_journal(of, "b"), **(FAST | {"budget": 12}))
    whole = cell_poison(own_journal(of, "c"), **FAST)
    trained = []
    own = of()
    refit = lambda sets: trained.extend(sets) or own.refit(sets)  # noqa: E731
    found = cell_poison(replace(own, refit=refit, earlier=[tmp_path / "b"]), **FAST)
    assert len(trained) == 12
    assert found.steps == whole.steps


def test_quasi_random_points_fill_the_space_more_evenly_than_random_ones():
    from utils.poisoning.acquisition import asker
    from utils.poisoning.features import Parameter
    from utils.poisoning.points import Known, Outcome

    def known(size):
        return Known([Outcome({}, None, 0.0)] * size, 0.0)

    line = [Parameter("a", "float", 0, 1), Parameter("b", "int", 0, 99)]
    points = {of: asker(of, line, 1)(known(0), [], 64, 3) for of in ("sobol", "random")}
    empty = {of: 8 - len({int(8 * p["a"]) for p in found[:8]}) for of, found in points.items()}
    assert empty["sobol"] == 0
    whole = asker("sobol", line, 1)
    halves = whole(known(0), [], 32, 1) + whole(known(30), [{}] * 2, 32, 2)
    assert halves == points["sobol"]
    assert all(p["b"] == int(p["b"]) and 0 <= p["b"] <= 99 for p in points["sobol"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"action": "ad"}, "attack.poison.action=ad: expected one of add, remove"),
        ({"order": "near"}, "attack.poison.order=near"),
        ({"cells": [["women", 7]]}, "no training row of group women has label 7"),
        ({"cells": [["womn", 0]]}, "there is no group womn"),
        ({"cells": ["women"]}, "is no pair of a group and a label"),
        ({"cells": []}, "expected null for all, or pairs"),
        ({"cells": [["women", 0], [0, 0]]}, "names group 0 with label 0 twice"),
        ({"most": {"add": 0}}, "attack.poison.most.add=0 leaves no row"),
        ({"harm": {"tpr": 0.1}}, "attack.poison.harm: tpr=0.1"),
        ({"harm": {"fpr": 2}}, "attack.poison.harm: fpr=2"),
        ({"budget": -1}, "attack.poison.budget=-1"),
    ],
)
def test_what_cannot_be_meant_is_refused(of, settings, words):
    groups = of(groups=("women", "men"))
    with pytest.raises(ValueError, match=words):
        cell_poison(groups, **(FAST | settings))


def test_another_label_is_for_two_classes(of):
    own = of()
    three = own.train._replace(y=torch.arange(len(own.train.y)) % 3)
    for settings in ({"action": "relabel"}, {"labels": "any"}):
        with pytest.raises(ValueError, match="another label is for two classes, and there are 3"):
            cell_poison(of(train=three), **(FAST | settings))


def test_an_attacker_s_bound_is_the_largest_that_was_found(of):
    """A search for a fairer model may take a more accurate change instead, and says so."""
    made = {o: cell_poison(own_journal(of, o), **(FAST | {"objective": o, "slack": 0.2})) for o in ("fair", "unfair")}
    assert made["unfair"].after["fpr_gap"] == made["unfair"].steps[-1][1]
    assert (
        made["fair"].after["accuracy"] >= cell_poison(own_journal(of, "a"), **FAST | {"slack": 0.0}).after["accuracy"]
    )
    told = "the most accurate is taken" in made["fair"].facts["ended"]
    assert told == (made["fair"].after["fpr_gap"] != made["fair"].steps[-1][1])


def test_harm_may_be_of_one_rate(of):
    plain = cell_poison(own_journal(of, "a"), **FAST)
    kept = cell_poison(own_journal(of, "b"), **(FAST | {"harm": {"fpr": 0.0}, "budget": 60}))
    rises = [kept.after[f"fpr_group{i}"] - kept.before[f"fpr_group{i}"] for i in (0, 1)]
    assert max(rises) <= 1e-12
    assert plain.after["fpr_gap"] <= kept.after["fpr_gap"] + 0.05


def test_cells_cover_all_rows_once_and_their_counts_are_right(of):
    own = of()
    found = cells_of(own.train, own.groups, lambda rows, _: rows)
    assert sorted(torch.cat([cell.rows for cell in found]).tolist()) == list(range(len(own.train.y)))
    counts = counts_of(own.train, len(own.groups))
    assert {(c.group, c.label): len(c.rows) for c in found} == {
        (g, y): int(counts[g, y]) for g in (0, 1) for y in (0, 1) if counts[g, y]
    }
