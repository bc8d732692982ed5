"""Linear equations by least squares."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from tests.conftest import FITTED
from tests.truths import TWO_ATTRIBUTES, draw
from utils.datasets.tabular import assemble
from utils.scms.counterfactual import twins
from utils.scms.linear import linear
from utils.types import Variant

SETTINGS = FITTED | {"seed": 0}


def test_the_noise_is_the_residual_of_ordinary_least_squares(dataset):
    """Oracle: scikit-learn, fitted to the training rows in double precision."""
    data = dataset("loan")
    model = linear(data, **SETTINGS)
    train, test = data.train.x.double().numpy(), data.test.x.double().numpy()
    names = [c.name for c in data.columns]
    for child, parents in data.parents.items():
        given, i = [names.index(p) for p in parents], names.index(child)
        fit = LinearRegression().fit(train[:, given], train[:, i])
        expected = test[:, i] - fit.predict(test[:, given])
        assert model.to_noise(data.test.x)[:, i].numpy() == pytest.approx(expected, abs=1e-5)


def test_it_finds_the_equations_of_lin(dataset):
    """In standard deviations: x2 = 2 x1 + u2 and x3 = x1 - x2 + u3, sd of lin's columns .5, sqrt 2, 1.5."""
    data = dataset("lin", 20_000)
    effect = torch.diff(twins(linear(data, **SETTINGS), data.test.x), dim=0)[0]
    assert effect[:, 1].numpy() == pytest.approx(2 / 2**0.5, abs=0.03)
    assert effect[:, 2].numpy() == pytest.approx(-1 / 1.5, abs=0.03)


def test_a_constant_parent_is_no_trouble(dataset):
    x = dataset("toy").train.x.clone()
    x[:, 1] = 0.0
    data = replace(dataset("toy"), train=dataset("toy").train._replace(x=x))
    model = linear(data, **SETTINGS)
    assert torch.allclose(model.to_noise(x)[:, 2].mean(), torch.zeros(()), atol=1e-5)


def test_a_graph_without_arrows_leaves_every_column_a_root(dataset):
    data = dataset("imf")
    model = linear(data, **SETTINGS)
    assert torch.equal(model.to_noise(data.test.x), data.test.x)
    assert model.facts == {}


def test_a_data_set_without_a_graph_is_refused(dataset):
    with pytest.raises(ValueError, match=r"scm=linear needs a causal graph.*scm=independent"):
        linear(replace(dataset("toy"), parents=None), **SETTINGS)


# --- fitted anew -----------------------------------------------------------------------------------------------


def people(rows=600):
    """Two binary attributes with parents, whose equations are logistic, and an additive one."""
    found, _ = draw(TWO_ATTRIBUTES, rows, 0)
    y = np.arange(rows) % 2
    split = {"split": [0.6, 0.2, 0.2], "seed": 0}
    return assemble("two", found, y, columns=TWO_ATTRIBUTES.columns, parents=TWO_ATTRIBUTES.parents, **split)


def regressions(model):
    return {model.names[m.columns[0]]: m.push.args[0] for m in model.mechanisms if m.parents}


def test_a_sample_in_which_rows_count_is_fitted_as_these_rows_written_out():
    """Oracle: the fit to a table with each training row as often as it counts; and scikit-learn of the line."""
    data, settings = people(), SETTINGS | {"discrete": "posterior"}
    counts = torch.from_numpy(np.random.default_rng(0).multinomial(360, [1 / 360] * 360)).float()
    (weighed,) = linear(data, **settings).refit([Variant(counts=counts)])
    written = replace(data, train=data.train.rows(torch.arange(360).repeat_interleave(counts.long())))
    x, given = data.test.x, written.train.x.double().numpy()
    line = LinearRegression().fit(given[:, [0, 1, 3]], given[:, 4])
    expected = x[:, 4].numpy() - line.predict(x[:, [0, 1, 3]].double().numpy())
    assert weighed.to_noise(x)[:, 4].numpy() == pytest.approx(expected, abs=1e-4)
    own, others = regressions(weighed), regressions(linear(written, **settings))
    for name, columns in {"member": [0, 1], "married": [0, 2]}.items():
        assert torch.allclose(own[name](x[:, columns]), others[name](x[:, columns]), atol=0.01)


def test_another_graph_changes_the_equations_whose_parents_change_and_leaves_the_others_as_they_are():
    data, settings = people(), SETTINGS | {"discrete": "posterior", "nodes": {"married": "additive"}}
    model = linear(data, **settings)
    other = {"member": ("sex", "origin"), "sex": ("married",), "hours": ("sex", "origin", "married")}
    graph, root = model.refit([Variant({**data.parents, "married": ("member",)}), Variant(other)])
    before, after = regressions(model), regressions(graph)
    assert [name for name in before if before[name] is not after[name]] == ["married"]
    alone = linear(replace(data, parents={**data.parents, "married": ("member",)}), **settings)
    assert torch.equal(graph.to_noise(data.test.x), alone.to_noise(data.test.x))
    assert set(regressions(root)) == {"member", "sex", "hours"}  # of married, a root now, no mechanism is asked for
