"""Bounds over added rows: against all ways in which uncertain rows fall, and against models trained on rows added."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from utils.decides.threshold import Threshold
from utils.metrics import confusion
from utils.metrics.directions import describe, direction, radius_of
from utils.metrics.group import group
from utils.metrics.poison_bounds import OF_GAP, poison_bounds
from utils.metrics.undefined import explain_undefined
from utils.models.partition_vote import PartitionVote
from utils.types import Batch

SETTINGS = {"probability": 0.5, "groups_min": 1, "level": 0.95}


class Drawn(nn.Module):
    """Votes of 9 parts, held by the first column of x."""

    def logit_range(self, x, rows):
        share = (torch.stack([x[:, :1] - rows, x[:, :1] + rows]).clamp(0, 9) / 9).double()
        return tuple(share.logit(eps=1e-6))


def batch(votes, y, s):
    x, y, s = (torch.tensor(of) for of in (votes, y, s))
    return Batch(x.float().unsqueeze(-1), y, s, torch.ones(len(y)), torch.arange(len(y)))


@pytest.mark.parametrize("groups", [2, 3])
@pytest.mark.parametrize("m", [0, 1, 2])
def test_the_bounds_are_the_extremes_over_all_ways_in_which_uncertain_rows_fall(groups, m, context):
    rng = np.random.default_rng(groups)
    n = 5 * groups
    y, s = np.arange(n) // groups % 2, np.arange(n) % groups
    for _ in range(4):
        votes = rng.integers(1, 9, n)
        free = np.flatnonzero((votes - m <= 4) & (votes + m > 4))[:9]
        votes[np.setdiff1d(np.flatnonzero((votes - m <= 4) & (votes + m > 4)), free)] = 9
        ctx = replace(context("lin"), groups=groups)
        found = poison_bounds(Drawn(), batch(votes.tolist(), y.tolist(), s.tolist()), ctx, rows=[m], **SETTINGS)
        labels = np.tile((votes > 4).astype(int), (2 ** len(free), 1))
        labels[:, free] = list(product((0, 1), repeat=len(free)))
        tables = np.stack([confusion.counts(y, own, s, groups=groups, classes=2) for own in labels])
        for gap, rate in OF_GAP.items():
            rates = confusion.RATES[rate](tables)
            assert found[f"{gap}_upper_{m}"] == pytest.approx((rates.max(-1) - rates.min(-1)).max())
        assert found[f"accuracy_lower_{m}"] == pytest.approx((labels == y).mean(-1).min())
        assert found[f"certain_{m}"] == pytest.approx(1 - len(free) / n)


# --- models trained on other rows -------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Of BLAS, as commands set it: a small training takes ten times as long with two."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def loan(dataset):
    data = dataset("loan", 400)
    return data, trained(data.train)


def trained(rows):
    model = PartitionVote(7, 1, parts=15, base="logistic_sklearn")
    model.fit(rows, 0)
    return model


def others(data, kind, m, rng):
    """The training rows with m rows added, removed, or relabelled: one of each."""
    train = data.train
    some = torch.from_numpy(rng.choice(len(train.y), m, replace=False))
    own = train.rows(some)
    if kind == "removed":
        return train.rows(np.setdiff1d(np.arange(len(train.y)), some))
    if kind == "relabelled":
        return train._replace(y=train.y.index_copy(0, some, 1 - own.y))
    worst = own._replace(x=torch.from_numpy(rng.normal(0, 4, own.x.shape)).float())
    added = {"flipped": own._replace(y=1 - own.y), "copied": own, "random": worst, "heavy": worst._replace(w=own.w * 9)}
    return Batch(*(torch.cat(pair) for pair in zip(train, added[kind], strict=True)))


@pytest.mark.parametrize("kind", ["flipped", "copied", "random", "heavy", "removed", "relabelled"])
def test_no_rows_pass_the_bound_and_no_certain_label_changes(loan, kind, context):
    data, model = loan
    test, ctx, rng = data.test, replace(context("loan"), groups=2), np.random.default_rng(3)
    for m in (1, 2, 3):
        counted = 2 * m if kind == "relabelled" else m
        bounds = poison_bounds(model, test, ctx, rows=[counted], **SETTINGS)
        low, high = (ctx.decide(end, test.s) for end in model.logit_range(test.x, counted))
        assert (low == high).any()
        for _ in range(2):
            moved = trained(others(data, kind, m, rng))
            labels = ctx.decide(moved(test.x), test.s)
            assert ((low <= labels) & (labels <= high)).all()
            gaps = group(moved, test, ctx, groups_min=1, intervals=0, level=0.95)
            assert all(gaps[gap] <= bounds[f"{gap}_upper_{counted}"] + 1e-9 for gap in OF_GAP)
            assert float((labels == test.y).double().mean()) >= bounds[f"accuracy_lower_{counted}"] - 1e-9


def test_without_rows_the_bounds_are_the_figures_themselves(loan, context):
    data, model = loan
    ctx = replace(context("loan"), groups=2)
    gaps = group(model, data.test, ctx, groups_min=1, intervals=0, level=0.95)
    found = poison_bounds(model, data.test, ctx, rows=[0], **SETTINGS)
    assert {gap: found[f"{gap}_upper_0"] for gap in OF_GAP} == pytest.approx({gap: gaps[gap] for gap in OF_GAP})
    assert found["certain_0"] == 1


def test_more_rows_bound_less_and_as_many_as_parts_nothing(loan, context):
    data, model = loan
    ctx = replace(context("loan"), groups=2)
    found = poison_bounds(model, data.test, ctx, rows=[0, 1, 3, 8, 15], **SETTINGS)
    for key, sign in {"certain": -1, "accuracy_lower": -1, **{f"{gap}_upper": 1 for gap in OF_GAP}}.items():
        values = [sign * found[f"{key}_{m}"] for m in (0, 1, 3, 8, 15)]
        assert values == sorted(values)
    assert (found["certain_15"], found["fpr_gap_upper_15"]) == (0, 1)


# --- where no bound holds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("probability", "decided"), [(None, 0.5), (0.4, 0.5), (0.5, 0.4)])
def test_a_threshold_that_was_not_given_leaves_all_undefined_with_the_reason(loan, probability, decided, context):
    data, model = loan
    ctx = replace(context("loan"), groups=2, decide=Threshold(decided))
    found = poison_bounds(model, data.test, ctx, rows=[1, 5], **SETTINGS | {"probability": probability})
    assert set(found.values()) == {None}
    assert {"certain_1", "fpr_gap_upper_5"} <= set(found)
    (sentence,) = explain_undefined(found, {}, data.groups, groups_min=1, row="test row")
    assert "certain_1, certain_5 are undefined" in sentence
    assert "decide=fixed" in sentence


def test_a_threshold_that_was_given_need_not_be_a_half(loan, context):
    data, model = loan
    ctx = replace(context("loan"), groups=2, decide=Threshold(0.3))
    found = poison_bounds(model, data.test, ctx, rows=[0], **SETTINGS | {"probability": 0.3})
    gaps = group(model, data.test, ctx, groups_min=1, intervals=0, level=0.95)
    assert found["fpr_gap_upper_0"] == pytest.approx(gaps["fpr_gap"])


def test_of_a_model_that_proves_nothing_all_is_undefined(dataset, context):
    found = poison_bounds(nn.Linear(3, 1), dataset("lin").test, context("lin"), rows=[1], **SETTINGS)
    assert found == {"certain_1": None, "accuracy_lower_1": None}
    (sentence,) = explain_undefined(found, {}, ("all",), groups_min=1, row="test row")
    assert "model=partition_vote alone" in sentence


def test_groups_with_too_few_rows_leave_a_gap_undefined(loan, context):
    data, model = loan
    ctx = replace(context("loan"), groups=2)
    found = poison_bounds(model, data.test, ctx, rows=[1], **SETTINGS | {"groups_min": 10_000})
    assert found["fpr_gap_upper_1"] is None
    assert found["certain_1"] is not None


def test_its_keys_say_how_many_rows_and_are_of_no_radius():
    words = describe("fpr_gap_upper_5", ["men", "women"])
    assert words == (
        "proven largest difference in false positive rate between men and women (training rows added or removed: 5)"
    )
    assert (direction("fpr_gap_upper_5"), direction("certain_20"), direction("accuracy_lower_1")) == (-1, 1, 1)
    assert (radius_of("fpr_gap_upper_5"), radius_of("uai_0.05"), radius_of("accuracy")) == (None, "0.05", None)
