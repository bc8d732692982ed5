"""Predictors of a table by its schema: a model known in closed form, asked in the words of the file."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from utils.decides.threshold import Threshold
from utils.model_zoo import StoredModel
from utils.predictor import EncodedPredictor, TablePredictor, predictor_of
from utils.tables.encoding import blocks
from utils.tables.table_schema import from_plain
from utils.types import Column

SCHEMA = {
    "columns": {
        "sex": {"type": "binary", "levels": ["man", "woman"]},
        "city": {"type": "categorical", "levels": ["101", "205", "309"]},
        "age": {"type": "continuous", "bounds": [18, 99]},
    },
    "sensitive": ["sex"],
    "label": {"column": "hired", "favourable": "yes"},
}
WEIGHTS = {"sex": 1.0, "city=101": 0.0, "city=205": 2.0, "city=309": -3.0, "age": 0.1}
ROWS = pd.DataFrame({"sex": ["man", "woman", "woman"], "city": [101, 205, 309], "age": [30, 20, 50]}, index=[7, 8, 9])
LOGITS = np.array([3.0, 5.0, 3.0]) - 4.0


def linear(names, bias=-4.0):
    """A linear model of columns by name."""
    network = nn.Linear(len(names), 1).double()
    with torch.no_grad():
        network.weight[:] = torch.tensor([[WEIGHTS.get(name, 1.0) for name in names]])
        network.bias.fill_(bias)
    return network


@pytest.fixture
def predict():
    """A predictor that decides at a probability of .3."""
    schema = from_plain(SCHEMA, "people.yaml")
    columns = tuple(column for block in blocks(schema) for column in block.columns)
    d = len(columns)
    network = linear([c.name for c in columns])
    model = StoredModel(
        network, Threshold(0.3), columns, torch.zeros(d), torch.ones(d), class_names=("no", "yes"), schema=schema
    )
    return predictor_of(model.eval(), "cpu")


def test_probabilities_and_decisions_are_those_of_the_model(predict):
    found = predict(ROWS)
    chance = 1 / (1 + np.exp(-LOGITS))
    assert list(found) == ["probability", "decision", "class"]
    assert list(found.index) == [7, 8, 9]
    assert np.allclose(found["probability"], chance, atol=1e-6)
    assert found["decision"].tolist() == [0, 1, 0]  # .27 and .73: the threshold is at .3
    assert found["class"].tolist() == ["no", "yes", "no"]


def test_it_answers_as_a_classifier_of_scikit_learn_does(predict):
    assert predict.classes_.tolist() == ["no", "yes"]
    assert predict.predict(ROWS).tolist() == ["no", "yes", "no"]
    chance = predict.predict_proba(ROWS)
    assert chance.shape == (3, 2)
    assert np.allclose(chance.sum(1), 1)
    assert np.allclose(np.log(chance[:, 1] / chance[:, 0]), LOGITS, atol=1e-5)


def test_it_survives_a_pickle(predict):
    again = pickle.loads(pickle.dumps(predict))
    assert isinstance(again, TablePredictor)
    pd.testing.assert_frame_equal(again(ROWS), predict(ROWS))


def test_it_abstains_where_it_is_asked_to(predict):
    strange = ROWS.assign(city=[101, 999, 309], age=[30, 20, None])
    found = predict(strange, unseen="abstain")
    assert found["probability"].isna().tolist() == [False, True, True]
    assert found["decision"].isna().tolist() == [False, True, True]
    assert found["decision"].iloc[0] == 0
    assert found["class"].isna().tolist() == [False, True, True]
    assert predict.predict(strange, unseen="abstain").tolist() == ["no", None, None]
    assert np.isnan(predict.predict_proba(strange, unseen="abstain")[1:]).all()


def test_the_nearest_answers_and_is_told(predict, capsys):
    found = predict(ROWS.assign(age=[30, 20, 120], sex=["man", "Woman", "woman"]), unseen="nearest")
    assert np.allclose(np.log(found["probability"] / (1 - found["probability"])), [-1, 1, 3.9], atol=1e-5)
    assert "cells taken as the nearest level or bound: sex 1, age 1" in capsys.readouterr().err


def test_rows_that_cannot_be_are_refused_by_row_and_label(predict):
    with pytest.raises(ValueError, match=r"row 1 \(8\): column 'city' holds '999', but its levels are '101', '205'"):
        predict(ROWS.assign(city=[101, 999, 309]))


def test_no_rows_have_no_answers(predict):
    assert len(predict(ROWS.head(0))) == 0
    assert len(predict(ROWS.assign(city=999), unseen="abstain")) == 3


def test_models_of_other_data_sets_take_their_own_columns():
    columns = (Column("sex", "binary", sensitive=True, levels=(0.0, 1.0)), Column("age", "continuous"))
    model = StoredModel(linear(["sex", "age"]), Threshold(0.5), columns, torch.zeros(2), torch.ones(2)).eval()
    predict = predictor_of(model, "cpu")
    assert isinstance(predict, EncodedPredictor)
    assert predict(pd.DataFrame({"sex": [0, 1], "age": [30, 50]}))["decision"].tolist() == [0, 1]
    assert predict.classes_.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"the rows lack \['sex'\]"):
        predict(pd.DataFrame({"age": [30]}))


@pytest.mark.parametrize(("numbers", "told"), [([70.0, 30.0], 0), ([1e9, 30.0], 1), ([1e3, -1e3], 2)])
def test_numbers_far_from_those_of_the_training_are_answered_with_a_warning(capsys, numbers, told):
    """Of columns with loc 40 and scale 10; a binary one is 0 or 1, however rare."""
    columns = (Column("sex", "binary", levels=(0.0, 1.0)), Column("years", "continuous"))
    loc, scale = torch.tensor([0.0, 40.0]), torch.tensor([1.0, 10.0])
    predict = predictor_of(StoredModel(linear(["sex", "years"]), Threshold(0.5), columns, loc, scale).eval(), "cpu")
    answer = predict(pd.DataFrame({"sex": [0, 1], "years": numbers}))
    assert len(answer) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"warning: 'years' of {told} row") == bool(told)
    assert bool(said) == bool(told)
    predict(pd.DataFrame({"sex": [0, 1], "years": numbers}))
    assert capsys.readouterr().err == ""  # once
