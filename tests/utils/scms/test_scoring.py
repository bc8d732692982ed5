"""Equations and their reference against what the truth of generated people scores."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tests.truths import BENT, MIXED, draw, share
from tests.utils.scms.test_independence import table
from utils.scms.linear import linear
from utils.scms.scoring import equations_of, held_out, references, scores

FITTED = {"seed": 0, "nodes": {}, "sampling": "residuals", "radius_unit": "noise", "draws": 4}
FITTED |= {"discrete": None, "coupling": "gumbel"}


@pytest.fixture(scope="module")
def mixed():
    data = table(MIXED)
    found = equations_of(linear(data, **FITTED), data.columns)
    people, _ = draw(MIXED, 20_000, 0)
    rows = {name: values[held_out(data).index.numpy()] for name, values in people.items()}
    return data, found, rows


def test_equations_are_found_with_their_mechanisms(mixed):
    data, found, _ = mixed
    assert [(own.name, own.kind) for own in found] == [
        ("job", "multinomial"),
        ("member", "logistic"),
        ("kids", "count"),
        ("income", "additive"),
    ]
    assert [data.columns[i].name for i in found[1].parents] == ["sex", "job=1"]


def test_right_equations_score_what_the_truth_does(mixed):
    data, found, rows = mixed
    own = scores(found, data)
    chance = share(-0.8 + 1.5 * rows["sex"] + 0.6 * rows["job=1"])
    entropy = -np.log(np.where(rows["member"] == 1, chance, 1 - chance)).mean()
    assert own["scm_log_loss_member"] == pytest.approx(entropy, abs=0.003)
    mean = np.exp(0.1 + 0.7 * rows["member"] + 0.02 * rows["age"] - 0.5 * rows["sex"])
    surprise = -stats.poisson.logpmf(rows["kids"], mean).mean()
    assert own["scm_log_loss_kids"] == pytest.approx(surprise, abs=0.005)
    assert own["scm_r2_income"] == pytest.approx(1 - 4 / rows["income"].var(), abs=0.02)


def test_the_reference_comes_near_the_truth_and_not_above_it(mixed):
    data, found, _ = mixed
    own, trees = scores(found, data), references(found, data)
    for name in ("job", "member", "kids"):
        lead = own[f"scm_log_loss_{name}"] - trees[f"scm_log_loss_of_reference_{name}"]
        assert -0.06 < lead < 0.005
    assert -0.05 < trees["scm_r2_of_reference_income"] - own["scm_r2_income"] < 0.005


def test_the_reference_bends():
    data = table(BENT, 4000)
    found = equations_of(linear(data, **FITTED), data.columns)
    own, trees = scores(found, data), references(found, data)
    assert own["scm_r2_income"] < 0.2 < 0.5 < trees["scm_r2_of_reference_income"]


def test_where_no_rows_are_held_out_nothing_is_scored(mixed):
    data, found, _ = mixed
    none = data.valid.rows(torch.zeros(0, dtype=torch.long))
    empty = replace(data, valid=none, test=none)
    assert (scores(found, empty), references(found, empty)) == ({}, {})
