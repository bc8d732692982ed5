"""Accuracy under the worst attack: closed form on a linear model, by class, with intervals, in parts."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from scipy.stats import binomtest

from utils.attacks.pgd import pgd
from utils.metrics.ensemble import ensemble, first_broken
from utils.threats import pixels
from utils.views import row_parts
from utils.views.row_parts import sample
from utils.words.numbers import read_radii

PIXELS = partial(pixels, norm="linf")
PGD = partial(pgd, threat=PIXELS, steps=10, rel_step=0.25, restarts=1, random_start=True)


def toward(predict, batch, ctx, *, threat, weight, to):
    """The corner of the ball where a linear model prefers class ``to`` most: of all classes, the exact attack."""
    way = (weight[to] - weight[batch.y]).sign().reshape(batch.x.shape)
    return batch.x + ctx.epsilon(batch, ctx).reshape(-1, 1, 1, 1) * way


def exact(model):
    return {f"to_{i}": partial(toward, threat=PIXELS, weight=model.weight, to=i) for i in range(len(model.weight))}


def judge(model, batch, ctx, radii, *, attacks, training_radius=None, rows=None, intervals=0, level=0.95, name=None):
    settings = {"name": name, "training_radius": training_radius, "rows": rows, "intervals": intervals, "level": level}
    return ensemble(model, batch, ctx, radii=read_radii(radii), attacks=attacks, **settings)


@pytest.fixture
def task(linear_task, image_context):
    model, batch = linear_task()
    return model, batch, image_context(batch)


@pytest.mark.parametrize("radius", [0.01, 0.04])
def test_on_a_linear_model_it_is_the_share_of_rows_beyond_the_dual_norm(task, radius):
    model, batch, ctx = task
    found = judge(model, batch, ctx, [radius], attacks=exact(model))
    kept = model.kept(batch, radius)
    assert 0.1 < kept.double().mean() < 0.9
    assert found[f"robust_accuracy_{radius}"] == pytest.approx(float(kept.double().mean()))


def test_each_class_has_its_own_share_and_the_worst_is_the_least(task):
    model, batch, ctx = task
    found = judge(model, batch, ctx, [0.02], attacks=exact(model))
    kept = model.kept(batch, 0.02).double()
    shares = [float(kept[batch.y == i].mean()) for i in range(3)]
    assert [found[f"robust_accuracy_class_{i}_0.02"] for i in range(3)] == pytest.approx(shares)
    assert found["robust_accuracy_worst_class_0.02"] == pytest.approx(min(shares))


def test_a_class_without_rows_is_undefined_and_not_the_worst(task):
    model, batch, ctx = task
    batch = batch._replace(y=torch.full_like(batch.y, 1))
    found = judge(model, batch, ctx, [0.02], attacks=exact(model), intervals=50)
    assert found["robust_accuracy_class_0_0.02"] is None
    assert found["robust_accuracy_worst_class_0.02"] == found["robust_accuracy_class_1_0.02"]
    assert found["robust_accuracy_worst_class_0.02_low"] is not None


def test_after_each_attack_is_the_accuracy_under_it_and_those_before(task):
    """Oracle: the points of every attack on all rows, without any early exit."""
    model, batch, ctx = task
    found = judge(model, batch, ctx, [0.02], attacks=exact(model))
    x, kept = batch.x / 255, torch.ones(len(batch.y), dtype=torch.bool)
    kept &= model(x).argmax(1) == batch.y
    for i in range(3):
        moved = x + 0.02 * (model.weight[i] - model.weight[batch.y]).sign().reshape(x.shape)
        kept &= model(moved).argmax(1) == batch.y
        assert found[f"robust_accuracy_after_to_{i}_0.02"] == pytest.approx(float(kept.double().mean()))


def test_radius_zero_is_the_plain_accuracy(task):
    model, batch, ctx = task
    plain = float((model(batch.x / 255).argmax(1) == batch.y).double().mean())
    assert judge(model, batch, ctx, [0], attacks=exact(model))["robust_accuracy_0"] == pytest.approx(plain)


def test_a_row_lost_at_one_radius_is_lost_at_every_larger_one(task):
    """Even to an attack that forgets how at the larger radius, and to the attack that broke it first."""
    model, batch, ctx = task

    def forgetful(predict, rows, ctx, *, to):
        return (
            rows.x
            if ctx.epsilon(rows, ctx)[0] > 0.03
            else toward(predict, rows, ctx, threat=PIXELS, weight=model.weight, to=to)
        )

    attacks = {f"to_{i}": partial(forgetful, to=i) for i in range(3)}
    first = first_broken(model, batch, ctx, ladder=[0.02, 0.04], attacks=attacks)
    assert torch.equal(first[0], first[1])
    found = judge(model, batch, ctx, [0.04, 0.02], attacks=attacks)
    assert found["robust_accuracy_0.04"] == found["robust_accuracy_0.02"]
    assert found["robust_accuracy_after_to_0_0.04"] == found["robust_accuracy_after_to_0_0.02"]


def test_the_headline_at_the_training_radius_costs_no_second_attack_at_the_same_radius(task):
    """Radii are compared by value."""
    model, batch, ctx = task
    radii = []

    def counted(predict, rows, ctx):
        radii.append(float(ctx.epsilon(rows, ctx)[0]))
        return rows.x

    found = judge(model, batch, ctx, ["1/50", 0.05], training_radius=0.02, attacks={"counted": counted})
    assert radii == pytest.approx([0.02, 0.05])
    assert found["robust_accuracy"] == found["robust_accuracy_1/50"]
    assert found["robust_accuracy_worst_class"] == found["robust_accuracy_worst_class_1/50"]


def test_without_a_training_radius_there_is_no_headline(task):
    model, batch, ctx = task
    assert "robust_accuracy" not in judge(model, batch, ctx, [0.02], attacks={})


def test_some_rows_give_the_figures_of_those_rows(task):
    model, batch, ctx = task
    found = judge(model, batch, ctx, [0.02], rows=30, attacks=exact(model))
    assert found["robust_rows"] == 30
    kept = model.kept(sample(batch, 30, ctx), 0.02)
    assert found["robust_accuracy_0.02"] == pytest.approx(float(kept.double().mean()))


def test_the_shares_are_those_of_the_rows_that_no_perturbation_breaks(linear_task, image_context):
    model, batch = linear_task(300)
    found = judge(model, batch, image_context(batch), [0.02], attacks=exact(model), level=0.9)
    kept, y = model.kept(batch, 0.02).numpy(), batch.y.numpy()
    classes = {f"robust_accuracy_class_{i}_0.02": (kept[y == i].sum(), (y == i).sum()) for i in range(3)}
    after = [key for key in found if "_after_" in key]
    assert {key: found.shares[key] for key in classes} == classes
    assert found.shares["robust_accuracy_0.02"] == found.shares[after[-1]] == (kept.sum(), 300)
    assert [found.shares[key] for key in after] == sorted([found.shares[key] for key in after], reverse=True)
    assert not [key for key in found if key in (f"{of}_low" for of in after)]
    ends = binomtest(int(kept.sum()), 300).proportion_ci(0.9, method="exact")
    filed = (found["robust_accuracy_0.02_low"], found["robust_accuracy_0.02_high"])
    assert filed == pytest.approx((ends.low, ends.high), abs=1e-6)


@pytest.mark.parametrize("numbers", [60, 6 * 30, 6 * 90])
def test_figures_do_not_depend_on_the_size_of_the_parts(task, monkeypatch, numbers):
    """Nor on the early exit of other rows: random starts belong to rows."""
    model, batch, ctx = task
    attacks = {"pgd": PGD, "again": PGD}
    whole = judge(model, batch, ctx, [0.02, 0.03], attacks=attacks)
    monkeypatch.setitem(row_parts.NUMBERS, "cpu", numbers)
    assert judge(model, batch, ctx, [0.02, 0.03], attacks=attacks) == whole


def test_a_name_stands_before_the_radius_in_every_key(task):
    model, batch, ctx = task
    plain = judge(model, batch, ctx, [0.02], attacks=exact(model), training_radius=0.03)
    named = judge(model, batch, ctx, [0.02], attacks=exact(model), training_radius=0.03, name="linf")
    assert list(named.values()) == list(plain.values())
    keys = [key.removesuffix("_low").removesuffix("_high") for key in named]
    assert all(key.endswith(("_linf_0.02", "_linf")) for key in keys)


def test_groups_have_their_own_shares_and_the_worst_is_the_least(task):
    model, batch, ctx = task
    batch, ctx = batch._replace(s=torch.arange(len(batch.y)) % 2), replace(ctx, groups=2)
    found = judge(model, batch, ctx, [0.02], attacks=exact(model), intervals=50)
    kept = model.kept(batch, 0.02).double()
    shares = [float(kept[batch.s == i].mean()) for i in range(2)]
    assert [found[f"robust_accuracy_group{i}_0.02"] for i in range(2)] == pytest.approx(shares)
    assert found["robust_accuracy_worst_group_0.02"] == pytest.approx(min(shares))
    assert found["robust_accuracy_group1_0.02_low"] < shares[1] < found["robust_accuracy_group1_0.02_high"]


def test_an_attack_that_leaves_its_set_is_caught(task):
    model, batch, ctx = task

    def cheat(predict, rows, ctx, *, threat):
        return rows.x + 0.1

    with pytest.raises(AssertionError, match="left its ball"):
        judge(model, batch, ctx, [0.02], attacks={"cheat": partial(cheat, threat=PIXELS)})


def test_no_rows_leave_everything_undefined(linear_task, image_context):
    model, batch = linear_task(30)
    found = judge(model, batch, image_context(batch), [0.02], rows=0, attacks=exact(model), intervals=10)
    assert found.pop("robust_rows") == 0
    assert set(found.values()) == {None}
