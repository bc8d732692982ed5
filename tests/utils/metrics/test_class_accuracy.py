"""Accuracy of each class: the recalls of scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score

from utils.metrics.class_accuracy import class_accuracy


def judge(model, rows, ctx):
    """Without intervals."""
    found = class_accuracy(model, rows, ctx, intervals=0, level=0.95)
    return {key: value for key, value in found.items() if not key.endswith(("_low", "_high"))}


def test_it_is_the_recall_of_scikit_learn(linear_task, image_context):
    model, batch = linear_task(500, 4)
    found = judge(model, batch, image_context(batch))
    labels = model(batch.x / 255).argmax(1)
    expected = recall_score(batch.y.numpy(), labels.numpy(), average=None, labels=range(4))
    assert list(found) == [f"accuracy_class_{i}" for i in range(4)]
    assert list(found.values()) == pytest.approx(expected.tolist())


def test_two_classes_come_from_one_logit_and_the_threshold(dataset, context):
    rows, model = dataset("lin").test, torch.nn.Linear(3, 1)
    found = judge(model, rows, context("lin"))
    labels = (model(rows.x)[:, 0] >= 0).long()
    expected = recall_score(rows.y.numpy(), labels.numpy(), average=None, labels=[0, 1])
    assert list(found.values()) == pytest.approx(expected.tolist())


def test_a_class_without_rows_is_undefined(linear_task, image_context):
    model, batch = linear_task(40)
    batch = batch._replace(y=torch.full_like(batch.y, 2))
    found = judge(model, batch, image_context(batch))
    assert (found["accuracy_class_0"], found["accuracy_class_1"]) == (None, None)
    share = np.mean((model(batch.x / 255).argmax(1) == 2).numpy())
    assert found["accuracy_class_2"] == pytest.approx(share)
