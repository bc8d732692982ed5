"""Fair metrics: inFairness' own, least squares, ranges of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from utils.datasets.tabular import assemble
from utils.losses.fair_metrics import Subspace, Twins, sensitive_subspace
from utils.scms.counterfactual import twins
from utils.types import Column
from utils.views.stack import together

WEAK = "ignore:.*penalty.*:Warning"


def logistic_subspace(data, scm, C=1.0):
    return sensitive_subspace(data, scm, directions="attribute", C=C, components=1)


def twin_subspace(data, scm, components):
    return sensitive_subspace(data, scm, directions="twins", C=1.0, components=components)


def squared(metric, delta):
    return metric.priced(delta).square().sum(-1)


@pytest.fixture(scope="module")
def races():
    """A sensitive attribute of three levels as indicators, apart in the table, that two other columns tell of."""
    rng = np.random.default_rng(0)
    level = rng.integers(0, 3, 400)
    indicators = {f"race={i}": (level == i).astype(float) for i in range(3)}
    other = {"a": level + rng.normal(size=400), "b": rng.normal(size=400), "c": (level == 1) + rng.normal(size=400)}
    table = {"race=0": indicators["race=0"]} | other | {"race=1": indicators["race=1"], "race=2": indicators["race=2"]}
    columns = tuple(
        Column(name, "binary", sensitive=True, attribute="race", levels=(0.0, 1.0))
        if name in indicators
        else Column(name, "continuous")
        for name in table
    )
    y = (rng.random(400) < 0.5).astype(np.int64)
    return assemble("races", table, y, columns=columns, split=[0.6, 0.2, 0.2], seed=0)


@pytest.mark.filterwarnings(WEAK)
@pytest.mark.parametrize("name", ["lin", "loan"])
def test_the_logistic_subspace_is_that_of_infairness(dataset, scm, name):
    """LogisticRegSensitiveSubspace of the sensitive column, which both keep."""
    distances = pytest.importorskip("inFairness.distances", reason="needs pip install -r tests/requirements.txt")
    data = dataset(name)
    theirs, x = distances.LogisticRegSensitiveSubspace(), data.train.x
    theirs.fit(x, protected_idxs=data.sensitive)
    ours = squared(logistic_subspace(data, scm(name)), x[:50] - x[50:100])
    torch.testing.assert_close(ours, theirs(x[:50], x[50:100]).squeeze(1), rtol=0.01, atol=1e-4)


@pytest.mark.parametrize("components", [1, 2])
def test_the_subspace_of_twins_is_the_svd_of_infairness(dataset, scm, components):
    """SVDSensitiveSubspaceDistance of one set of comparable samples for each row."""
    distances = pytest.importorskip("inFairness.distances", reason="needs pip install -r tests/requirements.txt")
    data, theirs = dataset("nlm"), distances.SVDSensitiveSubspaceDistance()
    theirs.fit(list(twins(scm("nlm"), data.train.x).transpose(0, 1)), n_components=components)
    ours = squared(twin_subspace(data, scm("nlm"), components=components), data.train.x[:50] - data.train.x[50:100])
    torch.testing.assert_close(ours, theirs(data.train.x[:50], data.train.x[50:100]).squeeze(1), rtol=1e-3, atol=1e-4)


def test_on_a_linear_scm_one_direction_holds_the_difference_of_twins(dataset, scm):
    """do(x1) moves lin's x2 by 2 and x3 by -1: twins are no distance apart."""
    metric, (one, other) = (
        twin_subspace(dataset("lin"), scm("lin"), components=1),
        twins(scm("lin"), dataset("lin").test.x),
    )
    assert squared(metric, one - other).max() < 1e-9


def test_more_components_than_columns_are_refused(dataset, scm):
    with pytest.raises(ValueError, match=r"metric.components=4: expected a whole number in \[1, 3\], the columns"):
        twin_subspace(dataset("lin"), scm("lin"), components=4)


def test_of_more_than_two_levels_softmax_finds_the_directions(races):
    """scikit-learn's multinomial fit: moves along each level's coefficients are free, others are not."""
    metric, x = logistic_subspace(races, None), races.train.x.double().numpy()
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(x[:, 1:4], x[:, [0, 4, 5]].argmax(1))
    free = np.zeros((6, 6))
    free[:3, 1:4], free[3:, [0, 4, 5]] = fitted.coef_, np.eye(3)
    assert squared(metric, torch.from_numpy(free)).max() < 1e-6 * np.square(free).sum(1).max()
    across = np.linalg.svd(free)[2][5]  # what none of them reaches: centred softmax has rank 2
    assert squared(metric, torch.from_numpy(across)).item() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["alike", "absent", "many"])
def test_directions_that_depend_on_each_other_count_once(kind):
    """The residual of least squares, also where an L1 penalty left no coefficient (inFairness' inverse then fails)."""
    rng = np.random.default_rng(0)
    first, rows = rng.normal(size=4), rng.normal(size=(30, 4))
    directions = {"alike": [first, 2 * first], "absent": [first, np.zeros(4)], "many": [*rng.normal(size=(9, 4))]}[kind]
    delta = rng.normal(size=4)
    solved = np.stack(directions).T @ np.linalg.lstsq(np.stack(directions).T, delta, rcond=None)[0]
    found = squared(Subspace(np.stack(directions), rows), torch.from_numpy(delta)).item()
    assert found == pytest.approx(np.square(delta - solved).sum(), abs=1e-6)


def test_a_stack_has_a_metric_for_each_model(dataset, scm):
    metrics = [logistic_subspace(dataset("lin", 500, seed), scm("lin")) for seed in (0, 1)]
    delta = torch.randn(5, 2, 7, 3)  # candidates, models, rows, columns
    found = squared(together(metrics, "metric"), delta)
    for i, metric in enumerate(metrics):
        torch.testing.assert_close(found[:, i], squared(metric, delta[:, i]))


def test_free_moves_cost_nothing_and_end_where_the_training_rows_end(dataset, scm):
    data = dataset("lin")
    metric, x = logistic_subspace(data, scm("lin")), data.train.x
    moves = metric.free_moves
    ends = moves.lift(moves.ends(x))
    assert squared(metric, ends).max() < 1e-9
    along = (x + ends) @ metric.basis
    least, most = (x @ metric.basis).aminmax(dim=0)
    assert (along >= least - 1e-4).all()
    assert (along <= most + 1e-4).all()
    flipped = (x + ends)[..., 0]
    assert (flipped.amin(0).abs() < 1e-4).all()
    assert ((flipped.amax(0) - 1).abs() < 1e-4).all()


def test_the_causal_metric_has_the_twins_as_free_moves(dataset, context):
    rows, ctx = dataset("loan").test, context("loan")
    threat = Twins().threat(ctx)
    assert Twins().free_moves is None
    assert len(threat.zero(rows.x)) == 2
    assert torch.equal(squared(Twins(), torch.ones(2, 3, 7)), torch.full((2, 3), 7.0))


def test_without_a_sensitive_column_there_is_nothing_to_ignore(dataset, scm):
    data = dataset("lin")
    columns = tuple(Column(c.name, c.kind) for c in data.columns)
    with pytest.raises(ValueError, match="no column is one; name one"):
        logistic_subspace(replace(data, columns=columns), scm("lin"))


def test_a_penalty_beyond_its_range_is_refused(dataset, scm):
    with pytest.raises(ValueError, match="metric.C=0: expected a number above 0"):
        logistic_subspace(dataset("lin"), scm("lin"), C=0)
