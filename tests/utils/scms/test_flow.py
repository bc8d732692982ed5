"""Flows against closed forms: their inverse, their density, and twins of people whose noise has another spread."""

import math

import numpy as np
import pytest
import torch

from tests.conftest import FITTED, LEARNED
from tests.truths import SPREAD
from tests.utils.scms.test_truths import table
from utils.datasets.tabular import assemble
from utils.scms import flow
from utils.scms.counterfactual import twins
from utils.scms.from_data import hash_of_equations
from utils.scms.layers import EquationNet
from utils.scms.learned import learned
from utils.scms.linear import linear
from utils.types import Column
from utils.views.stack import stack_scms

pytest.importorskip("zuko", reason="needs requirements/causal.txt")

SETTINGS = FITTED | LEARNED | {"seed": 0, "keep": "best", "discrete": "posterior", "hidden": 20, "steps": 700}
COLUMNS = (
    Column("s", "binary", sensitive=True, levels=(0.0, 1.0)),
    Column("p", "continuous"),
    Column("x", "continuous"),
)


@pytest.fixture(autouse=True)
def _weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))


def bent(dtype=torch.float32):
    """A regression far from the identity."""
    torch.manual_seed(0)
    net = EquationNet(2, 20, flow.SCORES).to(dtype).requires_grad_(False)
    net.outer.weight *= 8
    return net


def spread(rows=3000, seed=0):
    """x = 1.5 p + s + (1/2 + s) u, and what it is at either level of s."""
    rng = np.random.default_rng(seed)
    s, p, u = (rng.random(rows) < 0.5) * 1.0, rng.normal(size=rows), rng.normal(size=rows)
    x, others = (1.5 * p + of + (0.5 + of) * u for of in (s, np.array([[0.0], [1.0]])))
    y, graph = (rng.random(rows) < 0.5) * 1, {"x": ("s", "p")}
    data = assemble(
        "spread", {"s": s, "p": p, "x": x}, y, columns=COLUMNS, parents=graph, split=[0.5, 0.2, 0.3], seed=0
    )
    return data, others[:, data.test.index.numpy()], u[data.test.index.numpy()]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """The equations of ``spread`` under either noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRILEMMA_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        return {noise: learned(spread()[0], **SETTINGS | {"noise": noise}) for noise in ("additive", "flow")}


# --- one equation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-4), (torch.float64, 1e-11)])
def test_push_and_pull_are_inverse(dtype, tolerance):
    g = torch.Generator().manual_seed(0)
    p, u = (torch.randn(3, 500, generator=g).to(dtype) for _ in range(2))
    for noise in (u, 3 * u):  # in the tails, too
        x = flow.push_flow(bent(dtype), noise, p, p.flip(0))
        assert x.dtype == dtype
        assert torch.allclose(flow.pull_flow(bent(dtype), x, p, p.flip(0)), noise, atol=tolerance, rtol=tolerance)


def test_the_child_grows_with_its_noise_and_its_density_is_one_in_all():
    f, p = bent(torch.float64), torch.tensor([0.3, -1.2], dtype=torch.float64)
    u = torch.linspace(-6, 6, 2001, dtype=torch.float64).unsqueeze(1)
    x = flow.push_flow(f, u, p.expand(2001, 2), p.flip(0).expand(2001, 2))
    assert (x.diff(dim=0) > 0).all()
    scores = f(torch.stack((p, p.flip(0)), -1))
    density = flow.log_density(scores.expand(2001, 2, -1), x).exp()
    assert torch.trapezoid(density, x, dim=0).tolist() == pytest.approx([1.0, 1.0], abs=1e-3)
    mean = flow.expected(f, torch.stack((p, p.flip(0)), -1))
    assert mean.tolist() == pytest.approx(torch.trapezoid(density * x, x, dim=0).tolist(), rel=0.01)


def test_slopes_pass_through_the_noise_and_the_parents_both_ways():
    f, g = bent(torch.float64), torch.Generator().manual_seed(0)
    u, p, q = (torch.randn(20, generator=g, dtype=torch.float64).requires_grad_() for _ in range(3))
    assert torch.autograd.gradcheck(lambda *of: flow.push_flow(f, *of), (u, p, q))
    assert torch.autograd.gradcheck(lambda *of: flow.pull_flow(f, *of), (u, p, q))


def test_without_training_the_noise_is_the_child():
    net = EquationNet(2, 20, flow.SCORES).requires_grad_(False)
    net.outer.weight.zero_()
    net.outer.bias.zero_()
    u, p = torch.linspace(-5, 5, 101), torch.zeros(101)
    assert torch.allclose(flow.push_flow(net, u, p, p), u, atol=1e-5)
    normal = -u.square() / 2 - math.log(2 * math.pi) / 2
    assert torch.allclose(flow.log_density(net(torch.zeros(101, 2)), u), normal, atol=1e-5)


# --- fitted ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_twins_keep_their_place_in_another_spread_where_additive_noise_does_not(fitted):
    data, others, u = spread()
    additive, flows = fitted["additive"], fitted["flow"]
    errors = {}
    for name, scm in fitted.items():
        found = twins(scm, data.test.x)[..., 2].double() * data.scale[2] + data.loc[2]
        errors[name] = float((found - torch.from_numpy(others)).square().mean().sqrt())
    assert errors["additive"] > 0.6
    assert errors["flow"] < 0.2
    noise = flows.to_noise(data.test.x)[:, 2]
    assert float(noise.std()) == pytest.approx(1.0, abs=0.08)
    assert np.corrcoef(noise, u)[0, 1] > 0.98
    assert float((flows.to_features(flows.to_noise(data.test.x)) - data.test.x).abs().max()) < 1e-4
    assert (flows.radius_unit, additive.radius_unit) == ("noise_and_flow_sd", "noise")


def test_the_judgement_names_flows_where_additive_noise_is_refuted_and_believes_them(fitted):
    data = spread()[0]
    additive, flows = (fitted[noise].judgement() for noise in ("additive", "flow"))
    (warning,) = (of for of in additive.warnings if "depends on the parents" in of)
    assert "scm=learned 'scm.nodes={x:flow}' lets the noise of numbers" in warning
    assert flows.warnings == []
    assert flows.facts["scm_r2_x"] == pytest.approx(additive.facts["scm_r2_x"], abs=0.03)
    assert flows.facts["scm_log_density_x"] > flows.facts["scm_log_density_of_additive_x"] + 0.15
    # of a normal distribution, whose logarithmic spread is 0 or log(1/2 + 1) by halves
    truth = -0.5 * (math.log(0.5) + math.log(1.5)) - 0.5 - math.log(2 * math.pi) / 2 + math.log(float(data.scale[2]))
    assert flows.facts["scm_log_density_x"] == pytest.approx(truth, abs=0.06)


def test_one_node_is_a_flow_by_name_and_one_fit_is_the_same_with_others():
    data = table(SPREAD, 2000)[0]
    short = SETTINGS | {"steps": 60}
    named = learned(data, **short | {"nodes": {"wage": "flow"}})
    every = learned(data, **short | {"noise": "flow"})
    assert [key for key in named.facts if key.startswith("scm_flow_")] == ["scm_flow_wage"]
    assert [key for key in every.facts if key.startswith("scm_flow_")] == ["scm_flow_wage", "scm_flow_hours"]
    assert hash_of_equations(named) != hash_of_equations(every)
    again = learned(data, **short | {"noise": "flow", "keep": "last"})
    assert torch.isfinite(again.to_noise(data.test.x)).all()


def test_whole_numbers_are_flows_whose_twins_are_rounded_too():
    rng = np.random.default_rng(0)
    s = (rng.random(1000) < 0.5) * 1.0
    hours = np.rint(40 + (2 + 6 * s) * rng.normal(size=1000))
    columns = (COLUMNS[0], Column("x", "continuous", integer=True))
    y, split = (rng.random(1000) < 0.5) * 1, [0.6, 0.2, 0.2]
    data = assemble("whole", {"s": s, "x": hours}, y, columns=columns, parents={"x": ("s",)}, split=split, seed=0)
    scm = learned(data, **SETTINGS | {"noise": "flow", "steps": 300})
    assert scm.facts["scm_whole_x"] == 1.0
    assert scm.whole is not None
    assert float(scm.to_noise(data.test.x)[:, 1].std()) == pytest.approx(1.0, abs=0.2)


def test_a_stack_of_flows_is_each_of_them():
    datas = [spread(600, seed)[0] for seed in (0, 1)]
    scms = [learned(data, **SETTINGS | {"noise": "flow", "steps": 60}) for data in datas]
    x = torch.stack([data.test.x for data in datas])
    together = twins(stack_scms(scms), x)
    for i, scm in enumerate(scms):
        assert torch.allclose(together[:, i], twins(scm, x[i]), atol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"noise": "spline"}, "scm.noise='spline' is not known; choose additive or flow"),
        ({"noise": "flow", "discrete": "anm"}, "flow equations are for scm.discrete=posterior, not anm"),
        (
            {"nodes": {"member": "flow"}},
            "scm.nodes.member='flow' does not fit this column; choose logistic or additive",
        ),
    ],
)
def test_what_no_flow_can_be_is_refused(words, said):
    with pytest.raises(ValueError, match=said):
        learned(table(SPREAD, 200)[0], **SETTINGS | words)


def test_lines_have_no_flows_and_without_the_library_none_are_fitted(monkeypatch):
    data, settings = table(SPREAD, 200)[0], FITTED | {"seed": 0, "discrete": "posterior"}
    with pytest.raises(ValueError, match=r"scm.nodes.wage=flow is an equation of scm=learned"):
        linear(data, **settings | {"nodes": {"wage": "flow"}})
    monkeypatch.setattr(flow, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"not installed: pip install -r requirements/causal.txt"):
        learned(data, **SETTINGS | {"noise": "flow"})
