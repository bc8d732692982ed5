"""SenSR: inFairness on the same rows, the same start and the same network; the worst twin at radius 0."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from utils.losses.objective import cross_entropy
from utils.models.mlp import MLP
from utils.scms.counterfactual import twins


@pytest.mark.filterwarnings("ignore:.*:Warning")
def test_inner_step_loss_and_multiplier_are_those_of_infairness(dataset, context, own_term, same_start):
    """Over three batches, so that the multiplier has moved twice; without long steps, which inFairness lacks."""
    fairalgo = pytest.importorskip("inFairness.fairalgo", reason="needs pip install -r tests/requirements.txt")
    distances = pytest.importorskip("inFairness.distances")
    data, ctx = dataset("lin"), replace(context("lin", radius=0.1**0.5), epoch=0)
    model, metric = MLP(3, 1, hidden=[8], activation="tanh"), distances.LogisticRegSensitiveSubspace()
    metric.fit(data.train.x, protected_idxs=data.sensitive)

    def loss(logits, y):
        return F.binary_cross_entropy_with_logits(logits[:, 0], y.float(), reduction="none").unsqueeze(1)

    theirs = fairalgo.SenSR(
        model, metric, loss, eps=0.1, lr_lamb=1.0, lr_param=1.0, auditor_nsteps=100, auditor_lr=1e-3
    )
    term = own_term("sensr", data, ctx.scm, free_steps=0)
    term.keywords["metric"].basis.copy_(torch.linalg.svd(metric.basis_vectors_, full_matrices=False)[0])
    same_start()
    for i in range(3):
        rows = data.train.rows(slice(100 * i, 100 * i + 100))
        ours = term(model, rows, ctx).mean()
        assert ours.item() == pytest.approx(theirs(rows.x, rows.y).loss.item(), rel=1e-4)
        assert term.keywords["multiplier"].value.item() == pytest.approx(theirs.lambda_param.item(), rel=1e-3)
        model.requires_grad_(True)


def test_at_radius_0_the_causal_one_is_the_loss_of_the_worst_twin(dataset, context, own_term, trained):
    rows, ctx, model = dataset("nlm").test, context("nlm", radius=0.0), trained("nlm")
    found = own_term("sensr_causal", dataset("nlm"), ctx.scm)(model, rows, ctx)
    assert torch.allclose(found, cross_entropy(model(twins(ctx.scm, rows.x)), rows.y).amax(0), atol=1e-5)


def test_long_steps_find_a_loss_at_least_as_large(dataset, context, own_term, trained):
    """On average: of lin, whose attribute moves its columns."""
    rows, ctx, model = dataset("lin").test, context("lin"), trained("lin")
    short, long = (
        own_term("sensr", dataset("lin"), ctx.scm, free_steps=steps, steps=10)(model, rows, context("lin")).mean()
        for steps in (0, 5)
    )
    assert long > 1.2 * short
