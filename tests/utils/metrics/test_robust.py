"""Accuracy under attack: closed form on a linear model, nesting, breakdowns, and that cheats are caught."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from utils.attacks.pgd import pgd
from utils.decides.threshold import Threshold
from utils.metrics.robust import attack_rows, attacked, robust
from utils.models.mlp import MLP
from utils.threats import everywhere, features, pixels
from utils.views import row_parts
from utils.views.stack import Stack, stack_batches, stack_contexts
from utils.words.numbers import read_radii

THREAT = partial(features, norm="l2", movable_columns="continuous", relax=False)
PGD = partial(pgd, threat=THREAT, steps=20, rel_step=0.25, restarts=1, random_start=False)


def judge(model, rows, ctx, radii, training_radius=None, attack=PGD, intervals=0):
    settings = {"training_radius": training_radius, "intervals": intervals, "level": 0.95}
    return robust(model, rows, ctx, radii=read_radii(radii), attack=attack, **settings)


def judged_by(model, rows, ctx, name, radii):
    """``attacked`` without intervals."""
    found = attacked(model, rows, ctx, name=name, radii=read_radii(radii), intervals=0, level=0.95)
    return {key: value for key, value in found.items() if not key.endswith(("_low", "_high"))}


@pytest.fixture(scope="module")
def linear():
    model = nn.Linear(3, 1).requires_grad_(False)
    model.weight.copy_(torch.tensor([[0.5, 1.0, 1.5]]))
    model.bias.fill_(0.1)
    return model


def kept(model, rows, radius, cut=0.0):
    """Rows right with a margin above the radius times the norm of the movable weights; class 1 is closed."""
    z, reach = model(rows.x)[:, 0].double() - cut, radius * model.weight[0, 1:].double().norm()
    return torch.where(rows.y == 1, z - reach >= 0, z + reach < 0)


@pytest.mark.parametrize("radius", [0.05, 0.3])
@pytest.mark.parametrize("probability", [0.5, 0.3])
def test_on_a_linear_model_it_is_the_share_of_rows_beyond_the_dual_norm(dataset, context, linear, radius, probability):
    rows, decide = dataset("lin").train, Threshold(probability)
    found = judge(linear, rows, replace(context("lin"), decide=decide), [radius])
    cut = float(torch.logit(torch.tensor(probability)))
    assert found[f"robust_accuracy_{radius}"] == pytest.approx(float(kept(linear, rows, radius, cut).double().mean()))


def test_the_worst_group_and_class_are_the_least_of_their_shares(dataset, context, linear):
    rows = dataset("lin").train
    right = kept(linear, rows, 0.3).double()
    found = judge(linear, rows, context("lin"), [0.3])
    worst_group = min(right[rows.s == s].mean().item() for s in (0, 1))
    worst_class = min(right[rows.y == y].mean().item() for y in (0, 1))
    assert found["robust_accuracy_worst_group_0.3"] == pytest.approx(worst_group)
    assert found["robust_accuracy_worst_class_0.3"] == pytest.approx(worst_class)


def test_radius_zero_is_the_plain_accuracy(dataset, context, trained):
    rows = dataset("loan").test
    right = (trained("loan")(rows.x)[:, 0] >= 0) == rows.y.bool()
    assert judge(trained("loan"), rows, context("loan"), [0])["robust_accuracy_0"] == float(right.double().mean())


def test_it_falls_with_the_radius_in_whatever_order_the_radii_come(dataset, context, trained):
    found = judge(trained("loan"), dataset("loan").train, context("loan"), [0.3, 0, "1/10"])
    shares = [found[f"robust_accuracy_{r}"] for r in ("0", "1/10", "0.3")]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[2]


def test_a_row_lost_at_one_radius_is_lost_at_every_larger_one(dataset, context, linear):
    """Even to an attack that forgets how at the larger radius."""
    rows = dataset("lin").train

    def forgetful(predict, batch, ctx):
        return batch.x if ctx.epsilon(batch, ctx)[0] > 0.2 else PGD(predict, batch, ctx)

    found = attack_rows(linear, rows, context("lin"), radii=[0.3, 0.1], attack=forgetful)
    assert torch.equal(found[0], found[1])


def recording(attacked_rows, attack=PGD):
    """The attack, which notes the rows that it is asked for."""

    def attack_and_note(predict, batch, ctx, **settings):
        attacked_rows.append(batch.index)
        return attack(predict, batch, ctx)

    return partial(attack_and_note, threat=THREAT, steps=20, restarts=1)


def test_rows_that_are_lost_and_rows_that_are_proven_to_stay_right_leave_the_attack(dataset, context, linear):
    """On a linear model bounds are exact, so those are left that the largest radius turns, until they are lost."""
    rows, attacked_rows = dataset("lin").train, []
    attack_rows(linear, rows, context("lin"), radii=[0.1, 0.3], attack=recording(attacked_rows))
    right = kept(linear, rows, 0.0)
    expected = [right & ~kept(linear, rows, 0.3), kept(linear, rows, 0.1) & ~kept(linear, rows, 0.3)]
    assert [set(of.tolist()) for of in attacked_rows] == [set(rows.index[mask].tolist()) for mask in expected]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", ["loan", "nlm"])
def test_proofs_change_no_row(dataset, context, trained, name, norm):
    """Against a function of which no bounds are known."""
    rows, model = dataset(name).train, trained(name)
    attack = partial(PGD, threat=partial(features, norm=norm, movable_columns="continuous", relax=False))
    found, expected = (
        attack_rows(of, rows, context(name), radii=[0.05, 0.3, 1.0], attack=attack)
        for of in (model, lambda x: model(x.clone()))
    )
    assert torch.equal(found, expected)
    assert found[0].sum() > found[2].sum()


def test_an_attack_that_draws_for_all_rows_together_has_all_of_them(dataset, context, linear):
    """Its numbers are those of before, whatever rows are lost."""
    rows, attacked_rows, ctx = dataset("lin").train, [], context("lin")
    random = partial(PGD, random_start=True, steps=1)
    found = attack_rows(linear, rows, ctx, radii=[0.1, 0.3], attack=recording(attacked_rows, random))
    right, again = kept(linear, rows, 0.0), context("lin")
    for radius, own in zip((0.1, 0.3), found, strict=True):
        moved = random(linear, rows, replace(again, epsilon=everywhere(radius)))
        right = right & ((linear(moved)[:, 0] >= 0) == rows.y.bool())
        assert torch.equal(own, right)
    assert {len(of) for of in attacked_rows} >= {len(rows.y)}


def test_a_stack_has_the_robust_accuracy_of_its_models(dataset, context):
    """However many rows of each are open."""
    rows, ctx = dataset("loan").train, context("loan")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        models = [MLP(7, 1, hidden=[8], activation="tanh").requires_grad_(False) for _ in range(3)]
    each = [replace(ctx, seed=seed) for seed in range(3)]
    batches = stack_batches([rows] * 3)
    found = attack_rows(Stack(models), batches, stack_contexts(each), radii=[0.05, 0.3], attack=PGD)
    alone = [attack_rows(model, rows, ctx, radii=[0.05, 0.3], attack=PGD) for model in models]
    assert torch.equal(found, torch.stack(alone))


def test_the_headline_is_at_the_training_radius(dataset, context, linear):
    rows = dataset("lin").test
    found = judge(linear, rows, context("lin"), [0.05, "1/10"], training_radius=0.1)
    assert found["robust_accuracy"] == found["robust_accuracy_1/10"]
    assert "robust_accuracy_0.1" not in found
    assert "robust_accuracy" not in judge(linear, rows, context("lin"), [0.05])


def test_the_attack_of_the_group_is_reported_under_its_name(dataset, context, linear):
    rows, ctx = dataset("lin").test, replace(context("lin"), attack=PGD)
    found = judged_by(linear, rows, ctx, "mine", [0.05])
    assert found == {"robust_accuracy_mine_0.05": judge(linear, rows, ctx, [0.05])["robust_accuracy_0.05"]}


def test_an_attack_that_leaves_its_set_is_caught(dataset, context, linear):
    def cheat(predict, batch, ctx, *, threat):
        return batch.x + 0.1

    with pytest.raises(AssertionError, match="an attack"):
        judge(linear, dataset("lin").test, context("lin"), [0.05], attack=partial(cheat, threat=THREAT))


def test_neither_model_nor_context_changes(dataset, context, linear):
    before, ctx = copy.deepcopy(linear.state_dict()), context("lin")
    state = ctx.generator.get_state()
    found = [judge(linear, dataset("lin").test, ctx, [0.05]) for _ in range(2)]
    assert found[0] == found[1]
    assert all(torch.equal(linear.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(ctx.generator.get_state(), state)


# Images


PIXEL_PGD = partial(pgd, threat=partial(pixels, norm="linf"), steps=10, rel_step=0.25, restarts=1, random_start=True)


@pytest.fixture
def images(linear_task, image_context):
    """Two classes as one logit, whose ascent ends in the exact corner; the rows and their context."""
    model, batch = linear_task(classes=2)

    def logit(x):
        z = model(x)
        return z[..., 1:] - z[..., :1]

    return logit, batch, image_context(batch, attack=PIXEL_PGD), partial(model.kept, batch)


def test_on_images_it_is_the_share_of_rows_beyond_the_dual_norm(images):
    model, batch, ctx, kept = images
    found = judge(model, batch, ctx, [0.02, 0.04], attack=PIXEL_PGD)
    for radius in (0.02, 0.04):
        assert found[f"robust_accuracy_{radius}"] == pytest.approx(float(kept(radius).double().mean()))


@pytest.mark.parametrize("numbers", [60, 6 * 30])
def test_on_images_figures_do_not_depend_on_the_size_of_the_parts(images, monkeypatch, numbers):
    model, batch, ctx, _ = images
    early = partial(PIXEL_PGD, steps=1)  # which ends where its random start lets it
    whole = attack_rows(model, batch, ctx, radii=[0.03], attack=early)
    monkeypatch.setitem(row_parts.NUMBERS, "cpu", numbers)
    assert torch.equal(attack_rows(model, batch, ctx, radii=[0.03], attack=early), whole)


def test_on_images_the_attack_of_the_group_is_reported_under_its_name(images):
    model, batch, ctx, kept = images
    found = judged_by(model, batch, ctx, "pgd_linf", ["1/50"])
    assert found == {"robust_accuracy_pgd_linf_1/50": pytest.approx(float(kept(0.02).double().mean()))}


def test_an_attack_that_leaves_the_range_of_pixels_is_caught(images):
    model, batch, ctx, _ = images

    def cheat(predict, rows, ctx, *, threat):
        return rows.x + 0.9

    with pytest.raises(AssertionError, match=r"range \[0, 1\]"):
        judge(model, batch, ctx, [1], attack=partial(cheat, threat=partial(pixels, norm="linf")))
