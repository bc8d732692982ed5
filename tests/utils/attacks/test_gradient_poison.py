"""Rows chosen by gradients: what is claimed is what retraining gives, the gap falls, and nothing depends on luck."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import paths_config
from utils.attacks.gradient_poison import gradient_poison
from utils.datasets.compas_two_years import compas_two_years
from utils.decides.fixed import fixed
from utils.decides.threshold import Threshold
from utils.losses.objective import cross_entropy
from utils.metrics import confusion
from utils.models.logistic import Logistic
from utils.poisoning.changes_csv import find_changes
from utils.poisoning.features import valid
from utils.poisoning.influential import ACTIONS
from utils.poisoning.poison_settings import judge_of
from utils.poisoning.predicted_effect import Outlook
from utils.poisoning.rows_csv import with_rows
from utils.poisoning.surrogate import surrogate
from utils.records.settings import SEARCH_KEYS
from utils.types import Answer, Victim

PENALTY = 1e-3  # of |theta|^2 / 2 beside the mean loss


def fitted(rows):
    """Logistic regression by Newton's method, to convergence, in double precision."""
    x, y, w = (
        torch.cat([rows.x, torch.ones(len(rows.y), 1)], 1).double(),
        rows.y.double(),
        rows.w.double() / len(rows.y),
    )
    theta, ridge = x.new_zeros(x.shape[1]), PENALTY * torch.eye(x.shape[1], dtype=torch.float64)
    for _ in range(12):
        p = torch.sigmoid(x @ theta)
        hessian = x.T @ (x * (w * p * (1 - p)).unsqueeze(1)) + ridge
        theta = theta - torch.linalg.solve(hessian, x.T @ (w * (p - y)) + PENALTY * theta)
    model = Logistic(x.shape[1] - 1, 1).eval()
    with torch.no_grad():
        model.linear.weight.copy_(theta[:-1])
        model.linear.bias.copy_(theta[-1:])
    return model


def loss(predict, batch):
    return (cross_entropy(predict(batch.x), batch.y) * batch.w).sum() / batch.w.sum()


@torch.no_grad()
def answered(data, rows):
    return Answer(fitted(rows)(data.valid.x).unsqueeze(0), seconds=0.5)


@pytest.fixture
def of(tmp_path):
    """A victim on a data set, which tells whoever asks how many sets it has been trained on."""

    def make(data, **changes):
        def refit(sets):
            make.trained += len(sets)
            answers = [answered(data, rows) for rows in sets]
            return lambda: answers

        make.trained = 0
        own = Victim(
            *(data.columns, data.groups, data.loc, data.scale, data.train, data.valid, refit),
            fit=fitted,
            loss=loss,
            fit_decide=partial(fixed, probability=0.5),
            seed=0,
            run="of a data set",
            journal=tmp_path / "journal.jsonl",
            earlier=(),
            watch=lambda *_: None,
        )
        return replace(own, **changes)

    return make


@pytest.fixture
def poison(option):
    """The poisoner with the settings of its yaml."""

    def run(victim, **changes):
        settings = option("attack", "gradient_poison")["poison"]
        beside = ("_target_", "_partial_", *SEARCH_KEYS)
        kept = {key: value for key, value in settings.items() if key not in beside}
        return gradient_poison(victim, **kept | changes)

    return run


QUICK = {"budget": 12, "candidates": 100, "steps": 3, "harm": None}


def table(data, rows):
    """Confusion tables of the groups on the validation rows, after a training on some more rows."""
    z = answered(data, with_rows(data.train, rows)).logits[0]
    labels = Threshold(0.5)(z, data.valid.s)
    return confusion.counts(*(of.numpy() for of in (data.valid.y, labels, data.valid.s)), groups=2, classes=2)


def gap(data, rows):
    rates = confusion.RATES["fpr"](table(data, rows))
    return abs(rates[0] - rates[1])


def test_the_claimed_metric_is_that_of_training_on_the_rows_that_came_out(of, poison, dataset):
    data = dataset("lin", 1000)
    found = poison(of(data), **QUICK)
    assert found.after["fpr_gap"] == pytest.approx(gap(data, found.rows), abs=1e-12)
    assert found.before["fpr_gap"] == pytest.approx(gap(data, found.rows.rows(slice(0, 0))), abs=1e-12)


def test_with_twelve_evaluations_a_gap_of_38_per_cent_falls_below_10(of, poison, dataset):
    found = poison(of(dataset("lin", 1000)), **QUICK, accuracy="ignore")
    assert found.before["fpr_gap"] > 0.35
    assert found.after["fpr_gap"] < 0.1
    assert found.facts["evaluations"] <= 12


@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_no_more_accuracy_is_lost_than_is_permitted(of, poison, dataset, loss):
    found = poison(of(dataset("lin", 1000)), **QUICK, accuracy_loss=loss)
    assert found.after["accuracy"] >= found.before["accuracy"] - loss


def test_an_attacker_widens_the_gap(of, poison, dataset):
    found = poison(of(dataset("lin", 1000)), **QUICK, objective="unfair", accuracy="ignore")
    assert found.after["fpr_gap"] > found.before["fpr_gap"] + 0.1


def test_the_best_so_far_never_rises_and_ends_at_what_came_out(of, poison, dataset):
    found = poison(of(dataset("lin", 1000)), **QUICK)
    numbers, values = zip(*found.steps, strict=True)
    assert list(values) == sorted(values, reverse=True)
    assert list(numbers) == sorted(numbers)
    assert (numbers[0], values[0], values[-1]) == (0, found.before["fpr_gap"], found.after["fpr_gap"])


def test_rows_are_valid_and_within_the_limits(of, poison, dataset):
    data = dataset("loan", 600)
    limits = {"rows": 3, "copies": 4, "label": 1, "fixed": {"gender": 0}}
    found = poison(of(data), **QUICK, **limits, objective="unfair", accuracy="ignore")
    distinct, counts = np.unique(found.natural.numpy(), axis=0, return_counts=True)
    assert 1 <= len(distinct) <= 3
    assert counts.max() <= 4
    assert valid(data.columns, found.natural) == []
    assert (found.rows.y == 1).all()
    assert (found.natural[:, [c.name for c in data.columns].index("gender")] == 0).all()
    assert found.rows.index.tolist() == list(range(-1, -1 - len(found.rows.y), -1))


def test_without_a_budget_nothing_is_added(of, poison, dataset):
    found = poison(of(dataset("lin", 500)), budget=0)
    assert len(found.rows.y) == 0
    assert found.before == found.after
    assert found.facts["evaluations"] == 0


def test_a_learner_that_ignores_added_rows_gets_none(of, poison, dataset):
    data = dataset("lin", 500)
    same = answered(data, data.train)
    victim = of(data, refit=lambda sets: lambda: [same] * len(sets))
    found = poison(victim, **QUICK)
    assert len(found.rows.y) == 0
    assert found.facts["accepted"] == 0


def test_where_every_training_fails_nothing_is_added(of, poison, dataset):
    data = dataset("lin", 500)

    def refit(sets):
        more = [len(rows.y) > len(data.train.y) for rows in sets]
        return lambda: [Answer(None, "out of memory") if bad else answered(data, data.train) for bad in more]

    found = poison(of(data, refit=refit), **QUICK)
    assert (len(found.rows.y), found.facts["failed"]) == (0, 12)


def test_a_search_that_was_cut_off_goes_on_to_the_same_rows(of, poison, dataset):
    """After each line of the journal, and in the midst of one."""
    victim = of(dataset("lin", 500))
    whole = poison(victim, **QUICK)
    trained, journal = of.trained, victim.journal.read_bytes()
    lines = journal.splitlines(keepends=True)
    for kept in (1, 2, 4, len(lines) - 1):
        victim.journal.write_bytes(b"".join(lines[:kept]) + lines[-1][:20])
        of.trained = 0
        again = poison(victim, **QUICK)
        assert torch.equal(again.natural, whole.natural)
        assert again.steps == whole.steps
        assert of.trained == trained - kept + 1
        assert victim.journal.read_bytes() == journal


@pytest.mark.parametrize("before", [1, 5, 30])
def test_another_budget_goes_on_from_what_is_there_to_the_same_rows(of, poison, dataset, tmp_path, before):
    data, earlier = dataset("lin", 500), tmp_path / "earlier.jsonl"
    poison(of(data, journal=earlier), **QUICK | {"budget": before})
    whole = poison(of(data), **QUICK)
    searched = of.trained
    again = poison(of(data, journal=tmp_path / "again.jsonl", earlier=[earlier]), **QUICK)
    assert torch.equal(again.natural, whole.natural)
    assert again.steps == whole.steps
    assert of.trained == max(0, searched - before - 1)


def test_the_journal_of_another_search_is_refused(of, poison, dataset):
    victim = of(dataset("lin", 500))
    poison(victim, budget=0)
    with pytest.raises(ValueError, match="another search: budget=0, now 1"):
        poison(victim, budget=1)


def test_a_seed_tells_everything(of, poison, dataset, tmp_path):
    victim = of(dataset("lin", 500))
    one, same, other = (
        poison(replace(victim, seed=seed, journal=tmp_path / f"{i}.jsonl"), **QUICK) for i, seed in enumerate((0, 0, 1))
    )
    assert torch.equal(one.natural, same.natural)
    assert not torch.equal(one.natural, other.natural)


def test_every_evaluation_is_a_line_of_the_journal(of, poison, dataset):
    victim = of(dataset("lin", 500))
    found = poison(victim, **QUICK)
    lines = [json.loads(line) for line in victim.journal.read_text().splitlines()]
    assert len(lines) - 2 == found.facts["evaluations"] == of.trained - 1
    assert found.facts["seconds"]["learner"] == pytest.approx(0.5 * of.trained)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accuracy": "objective"}, "objective searches many compromises, which attack=bo_poison does"),
        ({"metric": "fpr_gapp"}, "did you mean fpr_gap"),
        ({"metric": "fpr_group7"}, "no metric fpr_group7"),
        ({"temperature": 0.0}, "temperature=0.0: expected a number above 0"),
        ({"damping": -1.0}, "damping=-1.0: expected a number, 0 or more"),
        ({"cg_steps": 0}, "cg_steps=0: expected a whole number, 1 or more"),
        ({"candidates": 0}, "candidates=0: expected a whole number, 1 or more"),
        ({"rows": 0}, "rows=0: expected a whole number, 1 or more"),
        ({"label": "good"}, "label=good: expected search, or a class"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(of, poison, dataset, changes, words):
    with pytest.raises(ValueError, match=words):
        poison(of(dataset("lin", 500)), **changes)


def test_a_learner_without_gradients_is_sent_to_the_other_search(of, poison, dataset):
    with pytest.raises(ValueError, match="use attack=bo_poison"):
        poison(of(dataset("lin", 500), fit=None, loss=None))


def test_more_than_two_classes_are_refused(of, poison, dataset):
    victim = of(data := dataset("lin", 500))
    with pytest.raises(ValueError, match="there are 3; use attack=bo_poison"):
        poison(replace(victim, train=data.train._replace(y=data.train.y + 1)))


@pytest.mark.slow
def test_on_compas_most_of_the_gap_goes_within_twenty_evaluations(of, poison):
    """Logistic regression's gap in false positive rates, .19 on the validation rows, where harm is permitted."""
    if not (paths_config.data() / "compas").is_dir():
        pytest.skip("needs compas/compas-scores-two-years.csv under TRILEMMA_DATA")
    data = compas_two_years(
        name="c", seed=0, split=[0.5, 0.25, 0.25], sensitive="race_african_american", actionable=None
    )
    found = poison(of(data), budget=20, harm=None)
    assert found.before["fpr_gap"] > 0.15
    assert found.after["fpr_gap"] < 0.05
    assert found.after["accuracy"] >= found.before["accuracy"] - 0.01


def test_a_loss_without_second_derivatives_is_refused_before_anything_is_trained(of, poison, dataset):
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # noqa: ARG004
            return x.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, slope):  # noqa: ARG004
            return slope

    def once(predict, batch):
        return loss(lambda x: Once.apply(predict(x)), batch)

    with pytest.raises(ValueError, match="leave regularizer=erm, or use attack=bo_poison"):
        poison(of(dataset("lin"), loss=once))
    assert of.trained == 0


# --- rows that go or change --------------------------------------------------------------------------------------

CHANGES = {"budget": 24, "harm": None, "accuracy": "ignore", "temperature": 0.5, "rows": 20}


@pytest.mark.parametrize("action", ACTIONS)
def test_rows_that_go_or_change_close_the_gap_that_they_carry(of, poison, dataset, action):
    """The claim is that of training on what came out, and the ladder says what the most influential rows carry."""
    data = dataset("lin", 1000)
    victim = of(data)
    found = poison(victim, **CHANGES, action=action)
    labels = Threshold(0.5)(answered(data, found.train).logits[0], data.valid.s)
    counts = confusion.counts(*(of.numpy() for of in (data.valid.y, labels, data.valid.s)), groups=2, classes=2)
    rates = confusion.RATES["fpr"](counts)
    assert found.after["fpr_gap"] == pytest.approx(abs(rates[0] - rates[1]), abs=1e-12)
    assert found.after["fpr_gap"] < found.before["fpr_gap"] - 0.05
    changes = find_changes(data.train, found.train).counts()
    assert list(changes) == [{"remove": "removed", "relabel": "relabelled", "reweigh": "reweighed"}[action]]
    assert sum(changes.values()) == len(found.reasons) <= 400
    first, *ladder = found.facts["carried"]
    assert first == [0, found.before["fpr_gap"]]
    assert [k for k, _ in ladder] == pytest.approx([4, 8, 20, 40, 80], abs=3)  # of 400 that may
    assert not len(found.rows.y)


@pytest.mark.parametrize("action", ACTIONS)
def test_the_predicted_effect_of_a_change_is_that_of_training_again(of, dataset, action, option):
    data = dataset("lin", 1000)
    victim, doing, train = of(data), ACTIONS[action], data.train
    own = judge_of({**option("attack", "gradient_poison")["poison"], "harm": None, "accuracy": "ignore"}, victim)
    outlook = Outlook(victim, None, own, candidates=1, steps=0, damping=PENALTY, cg_steps=100, temperature=0.5)
    predicted, values = doing.predict(outlook.effects(train), train)

    def loss_after(rows):
        z = answered(data, rows).logits[0].double()
        parts = {"groups": 2, "sizes": {}, "temperature": 0.5}
        return surrogate(z, data.valid, Threshold(0.5), {"fpr_gap": 1.0}, **parts).item()

    before = loss_after(train)
    chosen = predicted.abs().argsort(descending=True)[:6]
    changed = [doing.edit(train, place[None], values[place][None]) for place in chosen]
    actual = torch.tensor([loss_after(rows) - before for rows in changed])
    assert torch.allclose(predicted[chosen].float(), actual, rtol=0.2, atol=1e-4)


def test_no_more_rows_change_than_may(of, poison, dataset):
    found = poison(of(dataset("lin", 1000)), **(CHANGES | {"rows": 2, "copies": 5}), action="remove")
    assert 0 < len(found.reasons) <= 10


def test_a_search_for_changes_that_was_cut_off_goes_on(of, poison, dataset, tmp_path):
    data = dataset("lin", 1000)
    whole = poison(of(data, journal=tmp_path / "a"), **CHANGES, action="remove")
    lines = (tmp_path / "a").read_text().splitlines(keepends=True)
    (tmp_path / "b").write_text("".join(lines[:9]))
    again = poison(of(data, journal=tmp_path / "b"), **CHANGES, action="remove")
    assert torch.equal(again.train.index, whole.train.index)
    assert again.facts["carried"] == whole.facts["carried"]
