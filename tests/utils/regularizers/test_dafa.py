"""DAFA: class weights from the answers to adversarial examples."""

import copy
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from utils.losses.objective import Weighted, make_objective
from utils.regularizers.dafa import Dafa, class_weights
from utils.types import Adaptation, Context

P = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)
# class 0 is harder than 1: t = .3 * .7 = .21; harder than 2: t = .2 * .8 = .16; class 1 than 2: t = .1 * .8 = .08
W = [1 + 0.21 + 0.16, 1 - 0.21 + 0.08, 1 - 0.16 - 0.08]

similarities = (
    st.integers(2, 8)
    .flatmap(lambda c: arrays("float64", (c, c), elements=st.floats(0.001, 1.0)))
    .map(lambda raw: torch.tensor(raw / raw.sum(1, keepdims=True)))
)


def taught(dafa, batch, ctx, similarity, *, at=6):
    """The adaptation after it heard, in an epoch, answers whose class means are ``similarity``."""
    ctx = replace(ctx, epoch=at, epochs=11)
    dafa.observed(similarity.log()[batch.y], batch, ctx)
    dafa.epoch_ended(nn.Identity(), batch, ctx)
    return dafa


# --- the weights -------------------------------------------------------------------------------------------------


def test_the_weights_of_three_classes_by_hand():
    assert class_weights(P, 1.0).tolist() == pytest.approx(W)


def test_strength_multiplies_what_is_given():
    assert class_weights(P, 1.5).tolist() == pytest.approx([1 + 1.5 * (w - 1) for w in W])


@given(similarities, st.floats(0, 3))
def test_the_weights_sum_to_the_number_of_classes(similarity, strength):
    found = class_weights(similarity, strength)
    assert float(found.sum()) == pytest.approx(len(similarity))


@given(similarities)
def test_the_weights_are_those_of_the_algorithm_pair_by_pair(similarity):
    """Lee et al. 2024, algorithm 2, over all unordered pairs."""
    expected = [1.0] * len(similarity)
    for i in range(len(similarity)):
        for j in range(i + 1, len(similarity)):
            hard, easy = (i, j) if similarity[i, i] < similarity[j, j] else (j, i)
            if similarity[hard, hard] < similarity[easy, easy]:
                given_away = float(similarity[hard, easy] * similarity[easy, easy])
                expected[hard] += given_away
                expected[easy] -= given_away
    assert class_weights(similarity, 1.0).tolist() == pytest.approx(expected)


def test_equally_hard_classes_give_each_other_nothing():
    tied = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64)
    assert class_weights(tied, 1.0).tolist() == pytest.approx([1 + 0.1 * 0.8, 1 + 0.2 * 0.8, 1 - 0.3 * 0.8])


def test_a_class_without_rows_keeps_1_and_takes_part_in_no_pair():
    absent = P.clone()
    absent[1] = torch.nan
    assert class_weights(absent, 1.0).tolist() == pytest.approx([1.16, 1, 1 - 0.16])


def test_the_floor_raises_what_is_below_it_and_nothing_else_and_says_so(adaptation, images, image_context):
    """W[2] = .76."""
    batch, dafa = images(), adaptation("dafa", floor=0.8)
    taught(dafa, batch, image_context(batch), P)
    assert dafa.class_weights()["margin"] == pytest.approx([W[0], W[1], 0.8])
    [said] = dafa.remarks(("coat", "shirt", "bag"))
    assert "floor=0.8 raised the weight of bag (0.76)" in said
    assert f"sum to {W[0] + W[1] + 0.8:.2f}, not to 3" in said
    assert taught(adaptation("dafa"), batch, image_context(batch), P).remarks(()) == []


def test_with_many_classes_a_weight_can_fall_below_zero():
    """One easy class that 99 harder ones are mistaken for."""
    similarity = torch.full((100, 100), 0.5 / 99, dtype=torch.float64)
    similarity.fill_diagonal_(0.4)
    similarity[:, 0] = 0.1
    similarity[0, 0] = 0.9
    assert float(class_weights(similarity, 1.0)[0]) == pytest.approx(1 - 99 * 0.1 * 0.9)


# --- what it gathers, and when -----------------------------------------------------------------------------------


def test_it_is_an_adaptation(adaptation):
    assert isinstance(adaptation("dafa"), Adaptation)


def test_the_similarity_is_the_mean_answer_to_each_class_over_all_batches(adaptation, images, image_context):
    """Class 0 is answered (.9, .05, .05) once and (.3, .45, .25) twice: mean (.5, .31667, .18333)."""
    batch = images(9)
    answers = P[batch.y]
    answers[0], answers[3], answers[6] = (torch.tensor(a) for a in ([0.9, 0.05, 0.05], *[[0.3, 0.45, 0.25]] * 2))
    ctx, dafa = image_context(batch, epoch=6, epochs=11), adaptation("dafa")
    for part in (slice(0, 4), slice(4, 9)):
        dafa.observed(answers[part].log() + 7, batch.rows(part), ctx)  # logits are defined up to a constant
    dafa.epoch_ended(nn.Identity(), batch, ctx)
    mean = P.clone()
    mean[0] = torch.tensor([1.5, 0.95, 0.55]) / 3
    assert dafa.class_weights()["margin"] == pytest.approx(class_weights(mean, 1.0).tolist())


def test_two_classes_answer_by_one_logit(adaptation, images, image_context):
    """P = [[.6, .4], [.2, .8]]: class 0 gets .4 * .8."""
    batch, dafa = images(6, classes=2), adaptation("dafa", classes=2)
    ctx = image_context(batch, epoch=6, epochs=11)
    dafa.observed(torch.tensor([0.4, 0.8]).logit()[batch.y].unsqueeze(1), batch, ctx)
    dafa.epoch_ended(nn.Identity(), batch, ctx)
    assert dafa.class_weights()["natural"] == pytest.approx([1.32, 0.68], rel=1e-6)


@pytest.mark.parametrize("epoch", [0, 5, 7, 10])
def test_other_epochs_than_the_last_of_the_warm_up_teach_nothing(adaptation, images, image_context, epoch):
    """round(.6364 * 11) = 7 epochs, so that of number 6 from 0."""
    batch, dafa = images(), adaptation("dafa")
    before = copy.deepcopy(dafa.state_dict())
    taught(dafa, batch, image_context(batch), P, at=epoch)
    assert all(torch.equal(value, before[name]) for name, value in dafa.state_dict().items())


def test_outside_a_training_it_learns_nothing(adaptation, images, image_context):
    batch, dafa = images(), adaptation("dafa")
    ctx = image_context(batch, epoch=None, epochs=1)
    dafa.observed(P.log()[batch.y], batch, ctx)
    dafa.epoch_ended(nn.Identity(), batch, ctx)
    assert not dafa.counts.any()
    assert dafa.class_weights()["margin"] == [1, 1, 1]


def test_the_weights_hold_from_the_end_of_the_warm_up_on(adaptation, images, image_context):
    batch, dafa = images(), adaptation("dafa")
    ctx = image_context(batch, epoch=6, epochs=11)
    dafa.observed(P.log()[batch.y], batch, ctx)
    assert dafa.class_weights()["margin"] == [1, 1, 1]
    dafa.epoch_ended(nn.Identity(), batch, ctx)
    taught(dafa, batch, ctx, P.flip(0), at=7)
    assert dafa.class_weights() == {"margin": pytest.approx(W), "natural": pytest.approx(W), "boundary": [1, 1, 1]}


def test_a_class_that_the_training_has_no_rows_of_does_no_harm(adaptation, images, image_context):
    batch, dafa = images(), adaptation("dafa", classes=4)
    wide = torch.cat([P * 0.9, torch.full((3, 1), 0.1)], 1)
    taught(dafa, batch, image_context(batch), wide)
    assert dafa.class_weights()["margin"] == pytest.approx([*class_weights(P * 0.9, 1.0).tolist(), 1])


def test_beside_no_term_that_attacks_it_is_refused(adaptation, images, image_context):
    batch = images()
    with pytest.raises(ValueError, match=r"regularizer=dafa learns.*\[trades,dafa\]"):
        adaptation("dafa").epoch_ended(nn.Identity(), batch, image_context(batch, epoch=6, epochs=11))


@pytest.mark.parametrize("setting", [{"warmup": 0.0}, {"warmup": 1.0}, {"strength": -1.0}, {"floor": 0.0}])
def test_settings_out_of_range_are_refused(setting):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=rf"regularizer\.dafa\.{name}={value}: expected"):
        Dafa(**{"classes": 3, "warmup": 0.5, "strength": 1.0, "floor": 0.1} | setting)


def test_a_resumed_run_knows_the_weights(adaptation, images, image_context):
    batch = images()
    ctx = image_context(batch, epoch=7, epochs=11)
    dafa = taught(adaptation("dafa"), batch, ctx, P)
    resumed = adaptation("dafa")
    resumed.load_state_dict(dafa.state_dict())
    assert torch.equal(*(a.adapted(batch, ctx).epsilon(batch, ctx) for a in (resumed, dafa)))
    assert resumed.class_weights() == dafa.class_weights()


def weights_of_process(rank, folder, logits, batch):
    """One of two processes, which hears every other row; the weights that it comes to."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=timedelta(minutes=1)
    )
    try:
        ctx = Context(None, (), None, None, None, 0, None, epoch=6, epochs=11)
        dafa = Dafa(classes=3, warmup=0.6364, strength=1.0, floor=0.1)
        dafa.observed(logits[rank::2], batch.rows(torch.arange(rank, len(batch.y), 2)), ctx)
        dafa.epoch_ended(None, batch, ctx)
        torch.save(dafa.weights, f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_several_processes_come_to_the_weights_of_one(adaptation, images, image_context, tmp_path):
    batch = images(11)
    logits = torch.randn(11, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    other = get_context("spawn").Process(target=weights_of_process, args=(1, tmp_path, logits, batch))
    other.start()
    weights_of_process(0, tmp_path, logits, batch)
    other.join(60)
    alone, ctx = adaptation("dafa"), image_context(batch, epoch=6, epochs=11)
    alone.observed(logits, batch, ctx)
    alone.epoch_ended(nn.Identity(), batch, ctx)
    for rank in (0, 1):
        assert torch.allclose(torch.load(tmp_path / f"{rank}.pt"), alone.weights)


# --- what it does to a training ----------------------------------------------------------------------------------


def test_margin_and_natural_loss_have_the_weight_of_the_class_and_the_divergence_has_not(
    adaptation, images, image_context
):
    batch = images(3)
    ctx = image_context(batch)
    found = taught(adaptation("dafa"), batch, ctx, P).adapted(batch, ctx)
    assert found.epsilon(batch, found).tolist() == pytest.approx([8 / 255 * w for w in W])
    assert found.emphasis.natural.tolist() == pytest.approx(W)
    assert found.emphasis.boundary.tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["pgd_at", "trades", "mart"])
def test_every_attack_goes_as_far_as_the_margin_of_its_class_and_no_further(
    adaptation, images, image_context, term, heard, linear, name
):
    """On a linear model every pixel moves to the edge of the ball; a second step on the plain radius would show."""
    batch, model = images(classes=2), heard(linear)
    dafa = adaptation("dafa", classes=2)
    dafa.weights = torch.tensor([[1.32, 0.68], [1.32, 0.68], [1.0, 1.0]], dtype=torch.float64)
    term(name)(model, batch, dafa.adapted(batch, image_context(batch)))
    moved = (model.rows[-1] - batch.x).flatten(1).abs()
    expected = 8 / 255 * torch.tensor([1.32, 0.68], dtype=torch.float64)[batch.y].unsqueeze(1)
    assert torch.allclose(moved, expected.expand_as(moved), atol=1e-12)


def test_the_objective_lets_it_hear_the_terms(adaptation, images, image_context, network, term):
    batch, dafa = images(), adaptation("dafa")
    objective = make_objective(0.0, {"pgd_at": Weighted(1.0, term("pgd_at"))}, [dafa])
    objective(network, batch, image_context(batch, epoch=6, epochs=11))
    assert dafa.counts.tolist() == [4, 4, 4]
    assert dafa.sums.sum(1).tolist() == pytest.approx([4, 4, 4])
