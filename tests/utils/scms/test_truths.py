"""Filed against true: the unfair area of people whose twins are known, under equations fitted to their rows alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.truths import MIXED, MONOTONE, TRUTHS, draw
from utils.datasets.tabular import assemble, model_space, natural
from utils.decides.threshold import Threshold
from utils.metrics.unfair_area import unfair_area
from utils.scms.learned import learned
from utils.scms.linear import linear

ROWS = 20_000
FITTED = {"seed": 0, "nodes": {}, "sampling": "residuals", "radius_unit": "noise", "draws": 16}
NETWORKS = {"hidden": 30, "steps": 3000, "batch_size": 200, "lr": 0.005, "keep": "best", "noise": "additive"}
AREAS = {"individuals": "rows", "n": 0, "samples": 1, "steps": 1, "rel_step": 1.0, "estimators": "separate"}
AREAS |= {"restarts": 1, "intervals": 10, "level": 0.95, "radii": {}, "rows": None}


@pytest.fixture(autouse=True)
def _weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))


def table(truth, rows=ROWS):
    """A data set of the truth, and the true twins (L, n, d) of its test rows in model space."""
    people, others = draw(truth, rows, 0)
    y = (np.random.default_rng(1).random(rows) < 0.5).astype(np.int64)
    split = {"split": [0.4, 0.1, 0.5], "seed": 0}
    data = assemble("truth", people, y, columns=truth.columns, parents=truth.parents, **split)
    index = data.test.index.numpy()
    names = [c.name for c in truth.columns]
    natural = torch.from_numpy(np.stack([np.stack([of[n][index] for n in names], 1) for of in others]))
    return data, model_space(data, natural)


def classifier(data, seed=3):
    """A linear one that reads all columns but the sensitive ones, half of whose answers are yes."""
    torch.manual_seed(seed)
    model = nn.Linear(len(data.columns), 1).requires_grad_(False)
    model.weight[:, list(data.sensitive)] = 0.0
    model.bias -= model(data.train.x).median()
    return model


def filed_and_true(data, twins, scm, context):
    model = classifier(data)
    ctx = replace(context("lin"), scm=scm, columns=data.columns, decide=Threshold(0.5), groups=len(data.groups))
    found = unfair_area(model, data.test, ctx, **AREAS)
    answers = model(twins) >= 0
    return found, float((answers != (model(data.test.x) >= 0)).any(0).double().mean())


@pytest.mark.parametrize("name", TRUTHS)
def test_what_is_filed_is_the_truth(name, context):
    data, twins = table(TRUTHS[name])
    scm = linear(data, discrete=None, coupling="gumbel", **FITTED)
    found, truth = filed_and_true(data, twins, scm, context)
    assert found["uai_cf"] == pytest.approx(truth, abs=0.02)
    assert 0.05 < truth < 0.95
    assert found["uai_cf"] <= found["uai_cf_any"]
    assert 0 < found["uai_cf_mcse"] < 0.005


@pytest.mark.slow
def test_networks_find_it_too(context):
    data, twins = table(MIXED)
    scm = learned(data, discrete=None, coupling="gumbel", **FITTED, **NETWORKS)
    found, truth = filed_and_true(data, twins, scm, context)
    assert found["uai_cf"] == pytest.approx(truth, abs=0.02)


def test_the_truth_of_another_coupling_is_in_the_range_of_all(context):
    data, twins = table(MONOTONE)
    filed = {}
    for coupling in ("gumbel", "monotone", "independent"):
        scm = linear(data, discrete=None, coupling=coupling, **FITTED)
        found, truth = filed_and_true(data, twins, scm, context)
        filed[coupling] = found["uai_cf"]
    assert filed["monotone"] == pytest.approx(truth, abs=0.02)
    assert min(filed.values()) - 0.01 < truth < max(filed.values()) + 0.01
    assert filed["independent"] == max(filed.values())


def test_rounded_twins_of_whole_numbers_are_in_the_range_of_the_rows(context):
    data, _ = table(TRUTHS["two_attributes"], 2000)
    scm = linear(data, discrete=None, coupling="gumbel", **FITTED)
    hours = [c.name for c in data.columns].index("hours")
    x = data.test.x
    far = torch.where(torch.arange(x.shape[1]) == hours, x + torch.linspace(-9, 9, len(x)).unsqueeze(1), x)
    found = natural(data, scm.model(scm.rounded(scm.own(far))))
    rows = natural(data, torch.cat([data.train.x, data.valid.x, x]))[:, hours]
    assert (found[:, hours] - found[:, hours].round()).abs().max() < 1e-3
    assert rows.min() - 1e-3 < found[:, hours].min() < rows.min() + 1e-3
    assert rows.max() - 1e-3 < found[:, hours].max() < rows.max() + 1e-3
    others = [i for i in range(x.shape[1]) if i != hours]
    assert torch.equal(scm.rounded(scm.own(far))[:, others], scm.own(far)[:, others])
