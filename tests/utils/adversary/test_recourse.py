"""The cheapest change that turns a decision, against closed forms and grids; what follows from it, by the equations."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from utils.adversary.decision import Decision
from utils.adversary.recourse import People, accepted, cheapest_of_linear, find_recourse
from utils.datasets.tabular import binary, continuous, indicators, mark
from utils.decides.threshold import Threshold
from utils.scms.actions import Action, Permitted, perform, permitted
from utils.scms.counterfactual import factual_level
from utils.scms.discrete import by_quantile, of_binary
from utils.scms.structure import structural

HALF = Threshold(0.5)
UNIT = {"norm": "l2", "level_cost": 1.0, "most": 5.0, "seed": 0}


def decision(model, decide=HALF):
    return Decision(model, model, decide)


def people(scm, x):
    return People(scm, scm.to_noise(scm.own(x)).unsqueeze(1), factual_level(scm, x))


def searched(model, scm, x, may, **how):
    return find_recourse(decision(model), people(scm, x), may, **UNIT | how)


def verified(model, scm, x, may, found):
    """Whether the change turns the decision, by the definition."""
    low, high = torch.minimum(may.low, x), torch.maximum(may.high, x)
    do = {i: scm.own(x)[:, i] for i in scm.sensitive}
    reached = perform(scm, scm.to_noise(scm.own(x)), do, found.action, low, high)
    return model(reached.x)[:, 0] >= 0


def refused_rows(dataset, model, name, number, s=None):
    rows = dataset(name).test
    keep = model(rows.x)[:, 0] < 0
    return rows.x[keep if s is None else keep & (rows.s == s)][:number]


def of_lin(dataset, scm, model):
    """Rows of lin that are decided 0, what a unit of shift of x2 and x3 adds to the logit, and what they may change."""
    data, own = dataset("lin"), scm("lin")
    weight = model.weight[0].detach()
    slopes = torch.stack([weight[1] - weight[2] * own.scale[1] / own.scale[2], weight[2]])
    may = permitted(data.columns, data.loc, data.scale, own)._replace(
        low=torch.full((3,), -9.0), high=torch.full((3,), 9.0)
    )
    return refused_rows(dataset, model, "lin", 12), slopes, may


@pytest.fixture
def line() -> nn.Linear:
    model = nn.Linear(3, 1)
    model.weight.data, model.bias.data = torch.tensor([[0.4, 1.1, 0.6]]), torch.tensor([-0.3])
    return model


def test_on_a_linear_model_of_a_linear_scm_the_cost_is_the_margin_over_the_norm(dataset, scm, line):
    """As the distance of a point from a hyperplane; a shift of x2 moves x3 by its coefficient too."""
    x, slopes, may = of_lin(dataset, scm, line)
    margin = -line(x)[:, 0].detach()
    for norm, dual in (("l2", slopes.norm()), ("l1", slopes.abs().max())):
        found = searched(line, scm("lin"), x, may, norm=norm)
        assert torch.allclose(found.cost, margin / dual, rtol=2e-3)
        assert verified(line, scm("lin"), x, may, found).all()
    assert not found.all_tried, "no proof is claimed"


def test_within_bounds_the_rest_is_left_to_the_other_column(dataset, scm, line):
    """x2 may move by .2 only: shift = clamp(t slope), and x3 gives what is left of the margin."""
    line.weight.data = torch.tensor([[0.4, 2.0, 0.4]])
    x, slopes, may = of_lin(dataset, scm, line)
    assert slopes[0] > slopes[1] > 0
    for row in x[:4]:
        bounds = may.high.clone()
        bounds[1] = row[1] + 0.2
        found = searched(line, scm("lin"), row.unsqueeze(0), may._replace(high=bounds))
        margin = -float(line(row).detach())
        free = margin / float(slopes.norm())
        if free * float(slopes[0] / slopes.norm()) > 0.2:
            free = math.hypot(0.2, (margin - 0.2 * float(slopes[0])) / float(slopes[1]))
        assert float(found.cost) == pytest.approx(free if free <= 5 else math.inf, rel=5e-3)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_the_linear_step_is_a_solution_of_its_linear_programme(norm):
    """Of 4 columns at random, none of 20,000 random shifts within bounds gains as much for less."""
    torch.manual_seed(1)
    slope, low, high = torch.randn(8, 4), -torch.rand(8, 4), torch.rand(8, 4)
    most = torch.maximum(slope * low, slope * high).sum(-1)
    gain = most * torch.rand(8)
    shift = cheapest_of_linear(slope, gain, low, high, norm)
    assert torch.allclose((slope * shift).sum(-1), gain, atol=1e-5)
    assert ((shift >= low - 1e-6) & (shift <= high + 1e-6)).all()

    def size(of: Tensor) -> Tensor:
        return of.norm(dim=-1) if norm == "l2" else of.abs().sum(-1)

    others = low + (high - low) * torch.rand(20_000, 8, 4)
    enough = (slope * others).sum(-1) >= gain
    assert (size(others) >= size(shift) - 1e-5)[enough].all()
    corner = cheapest_of_linear(slope, most + 1, low, high, norm)
    assert torch.allclose((slope * corner).sum(-1), most, atol=1e-5)
    assert not cheapest_of_linear(slope, -gain, low, high, norm).any()


def test_no_change_on_a_grid_of_two_columns_is_cheaper(dataset, scm, trained):
    """Of a network on loan, education and savings changed, income following: within one step of the grid."""
    data, own, model = dataset("loan"), scm("loan"), trained("loan")
    x = refused_rows(dataset, model, "loan", 10)
    columns = mark(data.columns, ["gender"], ["education", "savings"])
    may = permitted(columns, data.loc, data.scale, own)
    found = searched(model, own, x, may, most=3.0)
    step = 0.05
    ends = torch.arange(-60, 61) * step
    grid = torch.zeros(len(ends) ** 2, 7)
    grid[:, [may.numbers[0], may.numbers[1]]] = torch.cartesian_prod(ends, ends)
    every = Action(
        grid.expand(len(x), -1, -1), torch.zeros(len(x), len(grid), 7, dtype=torch.bool), torch.zeros(len(x), 1, 7)
    )
    every = every._replace(value=every.value.expand_as(every.shift))
    low, high = torch.minimum(may.low, x), torch.maximum(may.high, x)
    reached = people(own, x).after(every, low, high)
    moved = (reached.x - reached.alone)[:, :, 0]  # cut at the bounds
    turned = accepted(decision(model), people(own, x), every, low, high)[..., 0]
    least = moved.norm(dim=-1).masked_fill(~turned, torch.inf).amin(1)
    least = least.masked_fill(least > 3, torch.inf)
    assert (found.cost <= least + 1e-3).all()
    assert (found.cost >= least - 2 * step)[found.cost.isfinite()].all()
    some = found.cost.isfinite()
    assert some.any()
    assert verified(model, own, x, may, found)[some].all()


def test_what_follows_from_a_change_follows_by_the_equations(dataset, scm):
    """Of loan: income moves by g x education, savings by 1.5 x income where that is positive."""
    data, own = dataset("loan"), scm("loan")
    x = data.test.x[data.test.s == 1][:5]
    shift = torch.zeros(7)
    shift[2] = 0.5
    none = torch.zeros(7)
    far = torch.full((7,), torch.inf)
    do = {0: own.own(x)[:, 0]}
    reached = perform(own, own.to_noise(own.own(x)), do, Action(shift, none > 0, none), -far, far)
    change = own.own(reached.x) - own.own(x)
    assert torch.allclose(change[:, 2], 0.5 * own.scale[2].expand(5), atol=1e-4)
    assert torch.allclose(change[:, 5], change[:, 2], atol=1e-3), "gender is 1"
    income, now = own.own(reached.x)[:, 5], own.own(x)[:, 5]
    assert torch.allclose(change[:, 6], 1.5 * (income.clamp_min(0) - now.clamp_min(0)), atol=1e-3)
    assert torch.allclose(change[:, [0, 1, 3, 4]], torch.zeros(5, 4), atol=1e-4)


# --- whole numbers, levels -------------------------------------------------------------------------------------


def table(*columns, equations=None, scale=None):
    own = structural(columns, equations or {}, lambda n, rng: torch.from_numpy(rng.random((n, len(columns)))).float())
    scale = torch.ones(len(columns), dtype=torch.float64) if scale is None else scale
    return own, permitted(columns, torch.zeros(len(columns), dtype=torch.float64), scale, own)


def whole(*columns):
    return tuple(replace(c, integer=c.name != "a", bounds=(-9.0, 9.0)) for c in columns)


def test_whole_numbers_change_by_whole_steps_and_all_of_them_are_tried():
    """2 b + 3 c >= 6.5 from (0, 0), steps of 1: (1, 2) with sqrt(5), found among all."""
    columns = mark((*binary("a"), *whole(*continuous("b", "c"))), ["a"], ["b", "c"])
    own, may = table(*columns)
    x = torch.tensor([[0.0, 0.0, 0.0]])

    def model(v):
        return 2 * v[..., 1:2] + 3 * v[..., 2:3] - 6.5

    found = searched(model, own, x, may, most=4.0)
    assert (found.action.shift.tolist(), found.all_tried) == ([[0.0, 1.0, 2.0]], True)
    assert float(found.cost) == pytest.approx(math.sqrt(5))


def test_a_whole_number_beside_a_real_one_is_rounded_and_the_other_moved_to_fit():
    """b + c >= 2.5 with b whole: b = 1, c = 1.5 costs as much as b = 2, c = .5 (L2: sqrt 3.25, sqrt 4.25)."""
    b, c = continuous("b", "c")
    bounded = (replace(b, integer=True, bounds=(-9.0, 9.0)), replace(c, bounds=(-9.0, 9.0)))
    own, may = table(*mark((*binary("a"), *bounded), ["a"], ["b", "c"]))
    found = searched(lambda v: v[..., 1:2] + v[..., 2:3] - 2.5, own, torch.zeros(1, 3), may)
    assert found.action.shift[0, 1].item() in (1.0, pytest.approx(1.0))
    assert float(found.cost) == pytest.approx(math.sqrt(3.25), rel=2e-3)
    assert not found.all_tried


def test_another_level_is_chosen_where_that_is_cheaper_and_counts_what_it_is_said_to():
    """job=c adds 2, of a cost of its own; b alone would need 2. A job that one has is no change."""
    columns = mark((*binary("a"), *indicators("job", ["x", "y", "z"]), *continuous("b")), ["a"], ["job", "b"])
    columns = (*columns[:-1], replace(columns[-1], bounds=(-9.0, 9.0)))
    own, may = table(*columns)
    x = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, -4.0]])

    def model(v):
        return v[..., 4:] + 2 * v[..., 3:4] - 2

    cheap = searched(model, own, x, may, level_cost=1.0)
    assert cheap.cost.tolist() == pytest.approx([1.0, 4.0], rel=2e-3)
    assert cheap.action.chosen.tolist() == [[False, True, True, True, False], [False] * 5]
    assert cheap.action.value[0].tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]
    dear = searched(model, own, x, may, level_cost=3.0)
    assert dear.cost.tolist() == pytest.approx([2.0, 4.0], rel=2e-3)
    assert not dear.action.chosen.any()


def test_two_levels_change_together_where_one_is_not_enough():
    columns = mark((*binary("a"), *binary("b", "c")), ["a"], ["b", "c"])
    own, may = table(*columns)
    found = searched(lambda v: v[..., 1:2] + v[..., 2:3] - 1.5, own, torch.zeros(1, 3), may, norm="l1")
    assert (float(found.cost), found.all_tried) == (2.0, True)


# --- worlds, models without a gradient, none -------------------------------------------------------------------


def test_a_change_turns_the_decision_in_every_world_that_agrees_with_the_row():
    """c is b plus a drawn noise; each of 3 draws of d has its own threshold: the change is enough for the worst."""
    columns = mark((*binary("a"), replace(continuous("b")[0], bounds=(-9.0, 9.0)), *binary("d")), ["a"], ["b"])
    d = by_quantile(("b",), lambda p: p[..., 0], of_binary, low=0.0, step=1.0)
    own, may = table(*columns, equations={"d": d})
    noise = torch.tensor([[[0.0, 0.0, -0.5], [0.0, 0.0, -1.0], [0.0, 0.0, -2.0]]])  # d is 1 where noise > -b
    found = find_recourse(decision(lambda v: v[..., 2:] - 0.5), People(own, noise, torch.tensor([0])), may, **UNIT)
    assert float(found.cost) == pytest.approx(2.0, rel=5e-3)


def test_a_model_without_a_gradient_is_searched_along_rays_and_columns():
    """Steps at b > 1.2 and c > .7 that are both needed: L2 sqrt(1.93)."""
    columns = mark((*binary("a"), *continuous("b", "c")), ["a"], ["b", "c"])
    columns = (columns[0], *(replace(c, bounds=(-9.0, 9.0)) for c in columns[1:]))
    own, may = table(*columns)

    def model(v):
        return ((v[..., 1:2] > 1.2) & (v[..., 2:3] > 0.7)).float() - 0.5

    found = searched(model, own, torch.zeros(1, 3), may)
    assert float(found.cost) == pytest.approx(math.hypot(1.2, 0.7), rel=5e-3)


def test_of_several_regions_without_a_gradient_the_nearest_is_found():
    """Five quadrants that are accepted, each from its corner on; the nearest corner is (.3, 1)."""
    columns = mark((*binary("a"), *continuous("b", "c")), ["a"], ["b", "c"])
    columns = (columns[0], *(replace(c, bounds=(-9.0, 9.0)) for c in columns[1:]))
    own, may = table(*columns)
    corners = torch.tensor([[1.2, 0.7], [0.3, 1.0], [2.0, 0.1], [-0.9, 0.8], [-1.5, -1.5]])

    def model(v):
        beyond = (v[..., None, 1:3] * corners.sign() > corners.abs()).all(-1).any(-1, keepdim=True)
        return beyond.float() - 0.5

    found = searched(model, own, torch.zeros(1, 3), may)
    assert float(found.cost) == pytest.approx(math.hypot(0.3, 1.0), rel=5e-3)


def test_none_is_found_where_bounds_or_the_most_are_in_the_way(dataset, scm, line):
    x, slopes, may = of_lin(dataset, scm, line)
    costs = -line(x)[:, 0].detach() / slopes.norm()
    found = searched(line, scm("lin"), x, may, most=float(costs.median()) + 0.01)
    assert torch.equal(found.cost.isfinite(), costs <= float(costs.median()) + 0.01)
    still = searched(line, scm("lin"), x, may._replace(low=x[0], high=x[0]), most=2.0)
    assert still.cost[0].isinf()
    nothing = Permitted((), (), (), may.low, may.high, may.step)
    assert searched(line, scm("lin"), x, nothing).cost.isinf().all()


def test_who_is_accepted_needs_no_change(dataset, scm, line):
    _, _, may = of_lin(dataset, scm, line)
    rows = dataset("lin").test.x
    yes = rows[line(rows)[:, 0] > 0.1][:5]
    assert searched(line, scm("lin"), yes, may).cost.tolist() == [0.0] * 5


def test_what_is_implied_or_implies_and_flags_cannot_be_chosen():
    cut = replace(binary("young", attribute="group")[0], cut=("b", -1e9, 30.0))
    flag = replace(binary("c is missing")[0], tells="c")
    columns = (*binary("a"), cut, *continuous("b", "c"), flag)
    _own, may = table(*mark(columns, ["a"], ["group", "b", "c", "c is missing"]))
    assert (may.numbers, may.levels) == ((3,), ())
