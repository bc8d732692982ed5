"""Learners as models: shapes, refusals, and files that hold nothing but themselves."""

from functools import partial
from pathlib import Path

import pytest
import skops.io
import torch
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from torch.func import grad, vmap

from utils.build import bind
from utils.models.learner import Learner
from utils.models.logistic_sklearn import LogisticSklearn
from utils.models.random_forest import RandomForest

FOREST = {"trees": 3, "max_depth": None, "min_samples_leaf": 1, "max_features": "sqrt"}


@pytest.fixture(scope="module")
def rows(dataset):
    return dataset("lin").train


@pytest.fixture
def forest(rows):
    model = RandomForest(3, 1, **FOREST)
    model.fit(rows, 0)
    return model


def test_leading_dimensions_are_kept(forest, rows):
    x = rows.x[:12].reshape(2, 3, 2, 3)
    assert torch.equal(forest(x), forest(rows.x[:12]).reshape(2, 3, 2, 1))
    assert forest(x[:0]).shape == (0, 3, 2, 1)


def test_answers_have_the_type_of_the_rows(forest, rows):
    assert forest(rows.x.double()).dtype is torch.float64


def test_it_has_nothing_to_move_or_train(forest):
    assert list(forest.parameters()) == []
    assert forest.to("cpu").eval() is forest


def test_weights_of_rows_reach_the_estimator(rows):
    """Where class 1 counts 100 times as much, more rows are class 1."""
    plain, heavy = (LogisticSklearn(3, 1, C=1.0, max_iter=100) for _ in range(2))
    plain.fit(rows, 0)
    heavy.fit(rows._replace(w=1.0 + 99 * rows.y), 0)
    assert (heavy(rows.x) > plain(rows.x)).all()


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, x: model(x.requires_grad_()),
        lambda model, x: grad(lambda v: model(v).sum())(x),
        lambda model, x: vmap(model)(x),
    ],
    ids=["autograd", "grad", "vmap"],
)
def test_a_gradient_is_refused_with_the_way_out(forest, rows, ask):
    with pytest.raises(ValueError, match="model=random_forest has no gradient.*attack=square_columns evaluation=black"):
        ask(forest, rows.x[:4].clone())


def test_rows_that_ask_for_a_gradient_are_answered_where_none_is_taken(forest, rows):
    with torch.no_grad():
        assert torch.equal(forest(rows.x.clone().requires_grad_()), forest(rows.x))


def test_before_the_training_it_says_so(rows):
    model = RandomForest(3, 1, **FOREST)
    for ask in (lambda: model(rows.x), model.to_bytes):
        with pytest.raises(ValueError, match="model=random_forest is not trained yet"):
            ask()


def test_a_stored_one_answers_the_same(forest, rows):
    again = RandomForest(3, 1, **FOREST)
    again.from_bytes(forest.to_bytes())
    assert torch.equal(again(rows.x), forest(rows.x))


def test_a_foreign_type_is_named_and_nothing_of_it_is_made(forest, tmp_path):
    mark = tmp_path / "ran"
    forest.trained.estimators_ = [partial(Path.touch, mark)]
    with pytest.raises(ValueError, match="they hold functools.partial, .*of which no RandomForestClassifier consists"):
        RandomForest(3, 1, **FOREST).from_bytes(skops.io.dumps(forest.trained))
    assert not mark.exists()


def test_another_estimator_is_refused(rows):
    other = GradientBoostingClassifier(n_estimators=1).fit(rows.x, rows.y)
    with pytest.raises(ValueError, match="a GradientBoostingClassifier in place of a RandomForestClassifier"):
        RandomForest(3, 1, **FOREST).from_bytes(skops.io.dumps(other))


def test_one_of_other_columns_or_classes_is_refused(rows):
    model = LogisticSklearn(3, 1, C=1.0, max_iter=100)
    for x, y in ((rows.x[:, :2], rows.y), (rows.x, rows.y + torch.arange(len(rows.y)) % 2)):
        with pytest.raises(ValueError, match="other columns or classes than 3 and 1"):
            model.from_bytes(skops.io.dumps(LogisticRegression().fit(x, y)))


def test_bytes_that_are_no_skops_file_are_refused():
    with pytest.raises(ValueError, match="no LogisticRegression in them"):
        LogisticSklearn(3, 1, C=1.0, max_iter=100).from_bytes(b"PK")


def test_its_option_is_its_module(rows):
    assert RandomForest(3, 1, **FOREST).option == "random_forest"
    assert issubclass(RandomForest, Learner)


def test_a_record_cannot_say_what_a_stored_one_may_be_made_of():
    """Else a database could make the program load anything."""
    record = {"_target_": "utils.models.learner.Learner", "types": ["functools.partial"], "inputs": 3, "outputs": 1}
    with pytest.raises(ValueError, match="types"):
        bind(record | {"estimator": "any"}, "model")
