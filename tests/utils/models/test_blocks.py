"""The blocks of residual networks, seeded dropout and initial weights."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from utils.models.blocks import BasicBlock, Dropout, PreActBlock, initialise, stages


def stirred(module):
    """In eval mode, with batch norms that do something."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return module.eval()


def normed(x, norm):
    """gamma (x - mean) / sqrt(var + eps) + beta."""
    mean, var, gamma, beta = (
        v.reshape(-1, 1, 1) for v in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return gamma * (x - mean) / (var + 1e-5).sqrt() + beta


@pytest.mark.parametrize(("outputs", "stride"), [(4, 1), (6, 1), (4, 2), (6, 2)])
def test_a_basic_block_is_the_formula(outputs, stride):
    block, x = stirred(BasicBlock(4, outputs, stride)), torch.randn(2, 4, 7, 7)
    conv1, bn1, _, conv2, bn2 = block.residual
    z = normed(F.conv2d(x, conv1.weight, stride=stride, padding=1), bn1).clamp_min(0)
    z = normed(F.conv2d(z, conv2.weight, padding=1), bn2)
    changes = outputs != 4 or stride != 1
    s = normed(F.conv2d(x, block.shortcut[0].weight, stride=stride), block.shortcut[1]) if changes else x
    assert torch.allclose(block(x), (z + s).clamp_min(0), atol=1e-5)


@pytest.mark.parametrize(("outputs", "stride"), [(4, 1), (6, 1), (4, 2), (6, 2)])
def test_a_pre_activation_block_is_the_formula(outputs, stride):
    block, x = stirred(PreActBlock(4, outputs, stride, dropout=0.3)), torch.randn(2, 4, 7, 7)
    conv1, bn2, _, _, conv2 = block.residual
    a = normed(x, block.activate[0]).clamp_min(0)
    z = normed(F.conv2d(a, conv1.weight, stride=stride, padding=1), bn2).clamp_min(0)
    changes = outputs != 4 or stride != 1
    s = F.conv2d(a, block.shortcut.weight, stride=stride) if changes else x
    assert torch.allclose(block(x), F.conv2d(z, conv2.weight, padding=1) + s, atol=1e-5)


def test_only_the_first_block_of_a_stage_changes_the_shape():
    made = []
    stages(lambda *shape: made.append(shape) or nn.Identity(), [3, 8, 16], [1, 2], 3)
    assert made == [(3, 8, 1), (8, 8, 1), (8, 8, 1), (8, 16, 2), (16, 16, 1), (16, 16, 1)]


def dropout(p=0.3):
    layer = Dropout(p)
    initialise(layer)
    return layer


def test_dropout_drops_its_share_and_keeps_the_mean():
    """Binomial: 5 standard deviations of a share of 10^5 draws are .0073."""
    found = dropout(0.3)(torch.ones(10, 100, 10, 10))
    assert (found == 0).double().mean().item() == pytest.approx(0.3, abs=0.0073)
    assert found[found > 0].unique().tolist() == pytest.approx([1 / 0.7])


def test_dropout_is_drawn_anew_for_every_row_and_batch():
    layer, x = dropout(), torch.ones(2, 1000)
    draws = torch.cat([layer(x), layer(x)]) > 0
    agreement = (draws.unsqueeze(0) == draws.unsqueeze(1)).double().mean(-1)
    different = agreement[~torch.eye(4, dtype=torch.bool)]
    assert different.tolist() == pytest.approx([0.3**2 + 0.7**2] * 12, abs=0.08)  # 5 standard deviations


def test_dropout_goes_on_where_a_checkpoint_was_made():
    layer, x = dropout(), torch.ones(4, 50)
    layer(x)
    other = dropout()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), other(x))


def test_dropout_leaves_the_global_stream_alone():
    layer, before = dropout(), torch.get_rng_state()
    layer(torch.ones(4, 50))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_does_nothing_in_eval_mode():
    layer, x = dropout().eval(), torch.randn(4, 50)
    assert torch.equal(layer(x), x)


def test_convolutions_start_with_the_variance_of_he_by_their_outputs():
    """2 / (outputs * area), whatever the inputs; the error of a variance of n normals is sqrt(2 / n) of it."""
    conv = nn.Conv2d(64, 32, 3)
    initialise(nn.Sequential(conv))
    assert conv.weight.var().item() == pytest.approx(2 / (32 * 9), rel=5 * (2 / conv.weight.numel()) ** 0.5)
    assert torch.equal(conv.bias, torch.zeros(32))


def test_initial_weights_are_the_same_with_and_without_dropout():
    made = []
    for p in (0.0, 0.3):
        torch.manual_seed(1)
        block = PreActBlock(4, 6, 2, dropout=p)
        initialise(block)
        made.append(torch.cat([w.flatten() for w in block.parameters()]))
    assert torch.equal(*made)
