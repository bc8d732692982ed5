from functools import partial

import pytest
import torch
import yaml

import paths_config
from tests.utils.poisoning.table_learner import victim as table_victim
from utils.attacks.bo_poison import bo_poison
from utils.decides.threshold import Threshold
from utils.poisoning.journal import fingerprint
from utils.records.settings import SEARCH_KEYS
from utils.types import Answer, Victim

DEFAULTS = yaml.safe_load((paths_config.ROOT / "config" / "attack" / "bo_poison.yaml").read_text())["poison"]
OWN = {key: value for key, value in DEFAULTS.items() if key[0] != "_" and key not in SEARCH_KEYS}
FAST = OWN | {"sampler": "random", "budget": 24, "batch": 4, "copies": 60, "accuracy": "ignore", "harm": None}


def centroids(data):
    """A learner without randomness: the nearer of the two classes' means, on which all rows have a say."""

    def refit(sets):
        found = []
        for x, y, *_ in sets:
            near = [-(data.valid.x - x[y == label].mean(0)).square().sum(-1) for label in (0, 1)]
            found.append(Answer((near[1] - near[0])[None, :, None], "", 0.1))
        return lambda: found

    return refit


@pytest.fixture
def of(dataset, tmp_path):
    def make(name="toy", seed=0, **changes) -> Victim:
        data = dataset(name, 400)
        parts = {"columns": data.columns, "groups": data.groups, "loc": data.loc, "scale": data.scale}
        parts |= {"train": data.train, "valid": data.valid, "refit": centroids(data)}
        parts |= {"journal": tmp_path / "a.journal", "seed": seed}
        return table_victim(None, **(parts | changes))

    return make


def test_the_claimed_metrics_are_those_of_training_on_the_rows_again(of):
    own = of()
    found = bo_poison(own, **FAST)
    (answer,) = own.refit([found.train])()
    labels = (answer.logits[0, :, 0] >= 0).long()
    false = [(labels[(own.valid.s == g) & (own.valid.y == 0)] == 1).double().mean().item() for g in (0, 1)]
    assert found.after["fpr_gap"] == pytest.approx(abs(false[1] - false[0]))
    assert found.after["fpr_gap"] < found.before["fpr_gap"]


def test_the_rows_in_natural_units_are_the_same_rows(of):
    own = of()
    found = bo_poison(own, **FAST)
    assert torch.allclose(own.loc + own.scale * found.rows.x, found.natural, atol=1e-5)
    assert found.rows.index.tolist() == [-1 - i for i in range(len(found.natural))]


def test_the_steps_begin_unpoisoned_and_end_with_the_rows(of):
    found = bo_poison(of(), **FAST)
    values = [value for _, value in found.steps]
    assert found.steps[0] == (0, found.before["fpr_gap"])
    assert values[-1] == found.after["fpr_gap"]
    assert values == sorted(values, reverse=True)
    assert len(values) == 1 + found.facts["accepted"]


def test_a_budget_of_zero_adds_nothing(of):
    found = bo_poison(of(), **(FAST | {"budget": 0}))
    assert len(found.rows.y) == len(found.natural) == 0
    assert found.before == found.after
    assert found.facts["evaluations"] == 0


def test_the_seconds_of_the_learner_are_those_of_its_answers(of):
    found = bo_poison(of(), **FAST)
    assert found.facts["seconds"]["learner"] == pytest.approx(0.1 * 25)


def test_no_more_rows_are_kept_than_wanted_and_each_at_most_as_often_as_copies_say(of):
    found = bo_poison(of(), **(FAST | {"rows": 2, "copies": 3}))
    assert found.facts["accepted"] <= 2
    assert len(found.rows.y) <= 6


def test_a_label_that_is_given_is_that_of_all_rows(of):
    found = bo_poison(of(), **(FAST | {"label": 1}))
    assert len(found.rows.y)
    assert set(found.rows.y.tolist()) == {1}


def test_a_joint_search_adds_all_rows_at_once(of):
    found = bo_poison(of(), **(FAST | {"search": "joint", "rows": 3, "budget": 40, "spread": False}))
    assert len(found.natural.unique(dim=0)) == 3


def test_two_objectives_have_a_front(of):
    front = bo_poison(of(), **(FAST | {"accuracy": "objective"})).facts["front"]
    assert [e["fpr_gap"] for e in front] == sorted(e["fpr_gap"] for e in front)
    assert [e["accuracy"] for e in front] == sorted(e["accuracy"] for e in front)


def test_a_second_call_evaluates_nothing_anew(of):
    first = bo_poison(of(), **FAST)
    again = bo_poison(of(refit=None), **FAST)
    assert torch.equal(first.rows.x, again.rows.x)
    assert first.facts == again.facts


@pytest.mark.parametrize("before", [8, 10, 23, 40])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_another_budget_goes_on_from_what_is_there_to_the_same_rows(of, tmp_path, before, sampler):
    """As if the whole had been searched at once: batches of 4 that are whole are taken over, and only those."""
    settings = FAST | {"sampler": sampler}
    whole = bo_poison(of(), **settings)
    earlier = tmp_path / "b.journal"
    bo_poison(of(journal=earlier), **(settings | {"budget": before}))
    trained, own = [], of()
    refit = lambda sets: trained.extend(sets) or own.refit(sets)  # noqa: E731
    again = bo_poison(of(journal=tmp_path / "c.journal", earlier=[earlier], refit=refit), **settings)
    assert len(trained) == 24 - min(24, before // 4 * 4)
    assert torch.equal(whole.rows.x, again.rows.x)
    assert whole.steps == again.steps


def test_what_failed_with_another_budget_is_tried_again(of, tmp_path):
    def failing(sets):
        added = [len(rows.y) > len(own.train.y) for rows in sets]
        found = own.refit(sets)()
        return lambda: [
            Answer(None, "no memory", 0.1) if more else each for each, more in zip(found, added, strict=True)
        ]

    own, earlier = of(), tmp_path / "b.journal"
    with pytest.raises(ValueError, match="no memory"):
        bo_poison(of(journal=earlier, refit=failing), **(FAST | {"budget": 8}))
    assert bo_poison(of(earlier=[earlier]), **FAST).facts["failed"] == 0


@pytest.mark.parametrize("change", [{"budget": 25}, {"metric": "fnr_gap"}, {"copies": 61}])
def test_the_journal_of_another_search_is_refused(of, change):
    bo_poison(of(), **FAST)
    with pytest.raises(ValueError, match=f"another search: {next(iter(change))}="):
        bo_poison(of(), **(FAST | change))


def test_the_journal_of_other_data_is_refused(of):
    own = of()
    bo_poison(own, **FAST)
    fewer = own.train.rows(slice(0, -1))
    with pytest.raises(ValueError, match="another search: data="):
        bo_poison(of(train=fewer), **FAST)


def test_other_rows_have_another_fingerprint(of):
    train = of().train
    assert fingerprint(train) != fingerprint(train._replace(y=1 - train.y))


def test_the_defaults_search_with_a_gaussian_process(of):
    found = bo_poison(of(), **(OWN | {"budget": 14}))
    assert found.facts["sampler"] == "gp"
    assert found.facts["evaluations"] == 14


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"budget": -1}, "budget=-1: expected a whole number, 0 or more"),
        ({"budget": 1.5}, "budget=1.5: expected a whole number"),
        ({"rows": 0}, "rows=0: expected a whole number, 1 or more"),
        ({"copies": 0}, "copies=0: expected a whole number, 1 or more"),
        ({"batch": True}, "batch=True: expected a whole number"),
        ({"spread": "no"}, "spread=no: expected true or false"),
        ({"search": "joined"}, "did you mean joint"),
        ({"sampler": "ga"}, "expected one of gp, tpe, random"),
        ({"label": "yes"}, "label=yes: expected search, or a class"),
        ({"label": 2}, "expected search, or a class"),
        ({"search": "joint", "rows": None}, "rows=null"),
        ({"metric": "fpr"}, "did you mean fpr_gap"),
        ({"fixed": {"d": 1}}, "attack.poison.fixed"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_anything_is_trained(of, setting, message):
    with pytest.raises(ValueError, match=message):
        bo_poison(of(refit=None), **(OWN | setting))


def test_an_undefined_metric_names_the_group_and_the_class(of):
    own = of()
    lacking = own.valid.rows((own.valid.s == 0) | (own.valid.y == 1))
    refit = lambda sets: lambda: [Answer(lacking.x[None, :, :1]) for _ in sets]  # noqa: E731
    with pytest.raises(ValueError, match="fpr_gap is undefined .* has no row of class 0"):
        bo_poison(of(valid=lacking, refit=refit), **OWN)


def test_thresholds_come_from_the_victim(of):
    always = of(fit_decide=lambda *_: Threshold(0.0))
    assert bo_poison(always, **FAST).before["acceptance_rate_group0"] == 1


def test_a_bound_function_needs_only_the_victim(of):
    assert partial(bo_poison, **FAST)(of()).facts["evaluations"] == 24


def test_nobody_is_harmed_by_more_than_is_permitted(of, tmp_path):
    """The best rows at any price raise a rate of some group; those within the limit raise none by more."""
    keys = [f"{rate}_group{i}" for rate in ("fnr", "fpr") for i in (0, 1)]
    rises = {}
    for harm in (None, 0.02, "auto"):
        found = bo_poison(of(journal=tmp_path / f"{harm}.journal"), **(FAST | {"harm": harm, "budget": 60}))
        rises[harm] = max(found.after[key] - found.before[key] for key in keys)
    assert rises[None] > 0.02
    assert rises[0.02] <= 0.02 + 1e-9
    assert rises["auto"] <= 0.01 + 1e-9
