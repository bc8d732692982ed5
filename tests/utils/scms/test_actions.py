"""Actions on columns: nothing done changes nothing, a level is set, a shift is cut at its bounds."""

import torch

from utils import seeding
from utils.datasets.tabular import binary, continuous, indicators, mark
from utils.scms.actions import Action, perform, permitted
from utils.scms.counterfactual import chances
from utils.scms.discrete import by_gumbel, of_categories
from utils.scms.structure import additive, structural
from utils.types import Column

COLUMNS = mark((*binary("a"), *indicators("job", ["x", "y", "z"]), *continuous("b")), ["a"], ["job", "b"])
JOBS = ("job=x", "job=y", "job=z")
EQUATIONS = {
    "job": by_gumbel(("a",), lambda p: torch.cat([p, 0 * p, -p], -1), of_categories),
    "b": additive(JOBS, lambda x, y, z: x + 2 * y + 4 * z),
}
FAR = torch.full((5,), torch.inf)


def one():
    own = structural(COLUMNS, EQUATIONS, lambda n, rng: torch.from_numpy(rng.random((n, 5))).float())
    x = torch.tensor([[1.0, 0.0, 1.0, 0.0, 2.5], [0.0, 0.0, 0.0, 1.0, 3.0]])
    chance = chances(own, x, seeding.Rows(1, torch.arange(2)).uniform)
    return own, x, own.to_noise(x, chance[0]), {0: x[:, 0]}


def action(shift=(0.0,) * 5, chosen=(0,) * 5, value=(0.0,) * 5):
    return Action(torch.tensor(shift), torch.tensor(chosen) > 0, torch.tensor(value))


def test_who_does_nothing_stays_as_it_is():
    own, x, noise, do = one()
    reached = perform(own, noise, do, action(), -FAR, FAR)
    assert torch.allclose(reached.x, x, atol=1e-6)
    assert torch.allclose(reached.alone, x, atol=1e-6)


def test_a_level_is_set_and_its_effects_follow():
    own, x, noise, do = one()
    reached = perform(own, noise, do, action(chosen=[0, 1, 1, 1, 0], value=[0.0, 1.0, 0.0, 0.0, 0.0]), -FAR, FAR)
    assert reached.x[:, 1:4].tolist() == [[1.0, 0.0, 0.0]] * 2
    assert torch.allclose(reached.x[:, 4] - x[:, 4], torch.tensor([-1.0, -3.0]), atol=1e-6)


def test_a_shift_is_cut_at_its_bounds_and_what_it_would_be_alone_is_told():
    own, x, noise, do = one()
    high = FAR.clone()
    high[4] = 3.5
    reached = perform(own, noise, do, action(shift=[0.0, 0.0, 0.0, 0.0, 0.8]), -FAR, high)
    assert torch.allclose(reached.x[:, 4], torch.tensor([3.3, 3.5]), atol=1e-6)
    assert torch.allclose(reached.alone[:, 4], x[:, 4], atol=1e-6)


def test_many_actions_of_many_persons_are_one_operation():
    own, _x, noise, do = one()
    several = Action(torch.linspace(0, 1, 7).reshape(7, 1, 1) * torch.eye(5)[4], *action()[1:])
    found = perform(own, noise, do, several, -FAR, FAR).x
    assert found.shape == (7, 2, 5)
    for i, share in enumerate(torch.linspace(0, 1, 7)):
        alone = perform(own, noise, do, action(shift=[0.0, 0.0, 0.0, 0.0, float(share)]), -FAR, FAR).x
        assert torch.equal(found[i], alone)


def test_nobody_is_advised_to_hide_a_value():
    """The level of missing cells is none to choose; who has it may choose another."""
    made = [
        Column(f"job={text}", "binary", actionable=True, levels=(0.0, 1.0), attribute="job", texts=("", text))
        for text in ("clerk", "cook", "missing")
    ]
    made += [Column("degree", "binary", actionable=True, levels=(0.0, 1.0), texts=("yes", "missing"))]
    made += [Column("car", "binary", actionable=True, levels=(0.0, 1.0), texts=("no", "yes"))]
    own, *_ = one()
    jobs, degree, car = permitted(made, torch.zeros(5), torch.ones(5), own).options
    assert jobs.tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert degree.tolist() == [[0.0]]
    assert car.tolist() == [[0.0], [1.0]]
