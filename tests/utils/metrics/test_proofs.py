"""Certificates as figures: shares that bracket what attacks find, exact where theory is, and files of every proof."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from evals.database import main as check
from tests.commands import SMALL, command, house
from utils.decides.random_thresholds import RandomThresholds
from utils.decides.threshold import Threshold
from utils.metrics.directions import describe, direction, headlines, is_causal
from utils.metrics.proofs import proofs
from utils.metrics.unfair_area import unfair_area
from utils.models.logistic import Logistic
from utils.models.logistic_sklearn import LogisticSklearn
from utils.models.partition_vote import PartitionVote
from utils.records.decisions import read_proofs, stated
from utils.views.stack import Stack, stack_batches, stack_contexts
from utils.words.numbers import read_radii

SETTINGS = {
    "norm": "l2",
    "coupling": "own",
    "individuals": "rows",
    "n": 100,
    "rows": None,
    "boxes": 500,
    "boxes_total": 10**6,
    "branches": 16,
    "radius_rows": 0,
    "radius_most": 1.0,
    "radius_boxes": 40,
    "level": 0.95,
}
FEW = ("evaluation.metrics.certified.radius_rows=3",)
AREAS = {"individuals": "rows", "n": 100, "rows": None, "samples": 100, "steps": 10, "rel_step": 0.25}
AREAS |= {"restarts": 1, "estimators": "union", "intervals": 0, "level": 0.95}


def proven(model, batch, ctx, radii=("0.05", "0.3"), **changes):
    return proofs(model, batch, ctx, radii=read_radii(radii), **SETTINGS | changes)


def logistic(*weights, bias=0.1):
    model = Logistic(len(weights), 1).requires_grad_(False)
    model.linear.weight.copy_(torch.tensor([weights]))
    model.linear.bias.fill_(bias)
    return model


@pytest.mark.parametrize("name", ["nlm", "loan"])
def test_attacks_find_at_most_whom_no_proof_calls_fair(dataset, context, trained, name):
    ctx, rows = context(name), dataset(name).test
    found = proven(trained(name), rows, ctx)
    attacked = unfair_area(trained(name), rows, ctx, radii=read_radii(["0.05", "0.3"]), **AREAS)
    for r in ("cf", "0.05", "0.3"):
        assert attacked[f"uai_{r}"] <= 1 - found[f"fair_certified_{r}"] + 1e-9
        parts = [found[f"{key}_{r}"] for key in ("fair_certified", "unfair_certified", "open")]
        assert sum(parts) == pytest.approx(1)
        assert found[f"open_{r}"] < 0.02


def test_of_a_linear_model_on_a_linear_scm_shares_are_those_of_the_closed_form(dataset, context):
    """x unfair where a twin's margin is within r norm((J' w)_N): of lin J' w = (., w2 - w3, w3) in raw units."""
    ctx, rows = replace(context("lin"), decide=Threshold(0.6)), dataset("lin").test
    model = logistic(0.4, 1.0, 0.7)
    scale = ctx.scm.scale
    w = model.linear.weight[0] / scale
    own = ctx.scm.own(rows.x).double()
    steep = float(((w[1] - w[2]).square() + w[2].square()).sqrt())
    margins = []
    for a in (0.0, 1.0):
        moved = own.clone()
        shift = a - own[:, 0]
        moved[:, 0], moved[:, 1], moved[:, 2] = a, own[:, 1] + 2 * shift, own[:, 2] - shift
        margins.append(model(ctx.scm.model(moved).float())[:, 0].double() - np.log(1.5))
    mine = model(rows.x)[:, 0].double() - np.log(1.5) >= 0
    for r, spelt in ((0.0, "cf"), (0.05, "0.05"), (0.3, "0.3")):
        safe = [torch.where(mine, m - r * steep >= 0, m + r * steep < 0) for m in margins]
        expected = torch.stack(safe).all(0).double().mean()
        found = proven(model, rows, ctx)
        assert found[f"fair_certified_{spelt}"] == pytest.approx(float(expected), abs=1e-9)
        assert found[f"open_{spelt}"] == 0


def test_another_norm_or_coupling_has_keys_of_its_own(dataset, context):
    """Of a ball of another norm no figure is ranked beside those of this one; twins alone have none."""
    ctx, rows, model = replace(context("lin"), groups=2), dataset("lin").test, logistic(0.4, 1.0, 0.7)
    plain = proven(model, rows, ctx, radius_rows=5)
    wider = proven(model, rows, ctx, radius_rows=5, norm="linf")
    free = proven(model, rows, ctx, radius_rows=5, coupling="any")
    assert wider["fair_certified_linf_0.3"] <= plain["fair_certified_0.3"]
    assert free["fair_certified_any_group0_0.3"] == plain["fair_certified_group0_0.3"]  # no node is discrete here
    assert free["fair_certified_cf_any"] == plain["fair_certified_cf"] == wider["fair_certified_cf"]
    for key in ("fair_certified_group1_linf_0.3", "proven_radius_p50_group0_linf"):
        assert key in wider
        assert direction(key) == 1
    for key in free:
        assert "any" in key
        assert describe(key) != key
    assert not (plain.keys() | {"fair_certified_cf"}) & free.keys()


def test_groups_have_shares_of_their_own_and_make_up_the_whole(dataset, context, trained):
    rows, ctx = dataset("loan").test, replace(context("loan"), groups=2)
    found = proven(trained("loan"), rows, ctx)
    parts = [found.shares[f"fair_certified_group{i}_0.3"] for i in (0, 1)]
    whole = found.shares["fair_certified_0.3"]
    assert [sum(of) for of in zip(*parts, strict=True)] == list(whole)
    assert [of[1] for of in parts] == [int((rows.s == i).sum()) for i in (0, 1)]
    assert found["fair_certified_0.3_low"] < found["fair_certified_0.3"] < found["fair_certified_0.3_high"]


def test_radii_that_are_proven_have_quantiles_whose_intervals_hold_them(dataset, context):
    """Of a logistic regression on imf a ball is proven up to its margin over norm((J' w)_N), of the nearer twin."""
    rows, ctx = dataset("imf").test, context("imf")
    model = logistic(0.0, 1.0, 0.5, bias=0.0)
    found = proven(model, rows, ctx, radius_rows=len(rows.y), radius_most=5.0)
    slope = (model.linear.weight[0] / ctx.scm.scale)[1:].norm()
    exact = np.sort((model(rows.x)[:, 0].abs() / slope).numpy())
    for q in (10, 50, 90):
        value = np.quantile(exact, q / 100, method="inverted_cdf")
        assert 0.85 * value <= found[f"proven_radius_p{q}"] <= 1.0001 * value
        assert found[f"proven_radius_p{q}_low"] <= found[f"proven_radius_p{q}"] <= found[f"proven_radius_p{q}_high"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"predict": lambda x: x.clone()[:, :1]}, "clone"),
        ({"decide": RandomThresholds([[0.0, 0.2]] * 2, [[0.5, 0.5]] * 2)}, "coin"),
    ],
)
def test_what_has_no_bounds_is_undefined_and_says_why(dataset, context, change, reason):
    ctx = context("lin")
    if "decide" in change:
        ctx = replace(ctx, decide=change["decide"])
    found = proven(change.get("predict", logistic(1.0, 1.0, 1.0)), dataset("lin").test, ctx, radius_rows=5)
    assert {key: value for key, value in found.items() if value is not None} == {}
    assert {"fair_certified_0.05", "open_cf", "proven_radius_p50"} <= found.keys()
    assert len(found.reasons) == 1
    assert reason in found.reasons[0]


def test_a_vote_says_that_it_has_no_bounds(dataset, context):
    model, rows = PartitionVote(3, 1, parts=3, base="logistic_sklearn"), dataset("lin").train
    model.fit(rows, 0)
    found = proven(model, rows, context("lin"))
    assert found["fair_certified_0.05"] is None
    assert "no bounds are known of model=partition_vote" in found.reasons[0]


def test_a_learner_of_a_line_has_the_shares_of_that_line(dataset, context):
    """scikit-learn's logistic regression as one of torch with the same weights, where equations bend too."""
    for name in ("lin", "nlm"):
        rows, ctx = dataset(name).test, context(name)
        learner = LogisticSklearn(3, 1, C=1.0, max_iter=100)
        learner.fit(dataset(name).train, 0)
        trained = learner.require_trained()
        line = logistic(*trained.coef_[0].tolist(), bias=float(trained.intercept_[0]))
        found = proven(learner, rows, ctx)
        assert dict(found) == dict(proven(line, rows, ctx))
        assert 0 < found["unfair_certified_0.3"] < 1
        assert found["open_0.3"] == 0


def test_a_stack_has_the_figures_of_its_models(dataset, context, trained):
    models = [trained("loan"), nn.Sequential(nn.Linear(7, 4), nn.Tanh(), nn.Linear(4, 1)).requires_grad_(False)]
    models[1] = type(models[0])(7, 1, hidden=[8, 8], activation="tanh").requires_grad_(False)
    models[0] = type(models[0])(7, 1, hidden=[8, 8], activation="tanh").requires_grad_(False)
    rows, ctx = dataset("loan").test.rows(slice(0, 40)), context("loan")
    together = proven(Stack(models), stack_batches([rows, rows]), stack_contexts([ctx, ctx]))
    assert [dict(of) for of in together] == [dict(proven(model, rows, ctx)) for model in models]


def test_every_verdict_is_kept_and_a_counterexample_turns_the_decision(dataset, context, trained):
    rows, ctx = dataset("nlm").test, context("nlm")
    found = proven(trained("nlm"), rows, ctx, radius_rows=10)
    kept, level = found.arrays, rows.x[:, 0].long()
    assert np.array_equal(kept["row"], rows.index.numpy())
    assert len(kept["proven_radius"]) == 10
    for r in ("cf", "0.05", "0.3"):
        verdict = kept[f"verdict_{r}"]
        assert float((verdict == 1).mean()) == pytest.approx(found[f"fair_certified_{r}"])
        moved = torch.from_numpy(kept[f"counterexample_{r}"])
        own, other = (
            ctx.decide(trained("nlm")(x), level[torch.from_numpy(verdict == -1)])
            for x in (rows.x[verdict == -1], moved)
        )
        assert (own != other).all()
        assert (kept[f"margin_{r}"][verdict == 1] >= 0).all()


def test_keys_have_words_directions_and_belong_to_their_scm():
    for key, way in (("fair_certified_0.05", 1), ("unfair_certified_group1_0.05", -1), ("open_8/255", -1)):
        assert direction(key) == way
        assert is_causal(key)
        assert describe(key)
    assert "fair_certified_0.05" in headlines(["fair_certified_0.05", "accuracy"])


def test_a_command_files_the_proofs_and_looks_after_their_file(tmp_path, capsys):
    """Trained, judged again at another radius, checked, and told of once it is another file."""
    with house(tmp_path) as home:
        answer = command("train", "dataset=lin", "dataset.rows=200", "evaluation=certified", *FEW, *SMALL)
        assert answer.code == 0, answer.err
        assert "fair_certified_0.05" in answer.out
        answer = command("evaluate", "dataset=lin", "id=1", "evaluation=certified", "epsilon.evaluate=[0.2]", *FEW)
        assert answer.code == 0, answer.err
        record = json.loads((home / "evals/lin.json").read_text())["_default"]["1"]
        files = stated(record)
        assert len(files) == 4
        later = next(key for key in files if key.startswith("evaluations/"))
        assert set(read_proofs(files[later])) >= {"row", "verdict_cf", "verdict_0.2", "counterexample_0.2"}
        assert set(read_proofs(files["certificates"])) >= {"verdict_0.05", "verdict_0.01", "proven_radius"}
        words = ("dataset=lin", "where=fair_certified_0.05>=0", "maximize=accuracy")
        assert command("evals.select", *words).code == 0
        assert check(["check", "dataset=lin"]) == 0
        capsys.readouterr()
        (home / "weights" / files[later]["path"]).write_bytes(b"other")
        assert check(["check", "dataset=lin"]) == 1
        assert "certificates" in capsys.readouterr().out


@pytest.mark.parametrize(("boxes", "total", "judged"), [(0, 10**6, 0), (5, 0, 0), (5, 61, 30), (5, 10**6, 100)])
def test_whom_no_box_is_left_for_is_open_and_never_wrong(dataset, context, boxes, total, judged):
    """Two twins take two boxes; what a budget of 61 leaves open is not tried again with more than one box."""
    rows, ctx, model = dataset("lin").test, context("lin"), logistic(0.4, 1.0, 0.7)
    full = proven(model, rows, ctx)
    found = proven(model, rows, ctx, boxes=boxes, boxes_total=total)
    known = found.shares["fair_certified_cf"][0] + found.shares["unfair_certified_cf"][0]
    assert known == judged
    for r in ("cf", "0.05", "0.3"):
        assert found[f"fair_certified_{r}"] <= full[f"fair_certified_{r}"]
        assert found[f"unfair_certified_{r}"] <= full[f"unfair_certified_{r}"]
