"""Models to and from the database: the weights are checked, foreign code is refused, units are crossed rightly."""

import hashlib
import json
import os
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

import paths_config
from utils.datasets.csv import csv
from utils.decides.threshold import Threshold
from utils.model_zoo import StoredModel, describe_preprocessing, from_database, from_record, predictor, save_weights
from utils.models.mlp import MLP
from utils.run_store import RunStore
from utils.types import Column


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path / "evals"))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path


@pytest.fixture
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MLP(7, 1, hidden=[5], activation="tanh")


@pytest.fixture
def record(dataset, network):
    """What a training files, of a network with random weights."""
    data = dataset("loan")
    return {
        "name": "loan_mlp_erm",
        "run_id": "ab" * 8,
        "status": "finished",
        "dataset": "loan",
        "params": {
            "model": {
                "_target_": "utils.models.mlp.MLP", "hidden": [5], "activation": "tanh", "inputs": 7, "outputs": 1
            }
        },
        "decide": {"_target_": "utils.decides.threshold.Threshold", "probability": 0.3},
        "preprocessing": describe_preprocessing(data),
        "weights": save_weights(network, "loan", "ab" * 8),
        "metrics": {},
    }  # fmt: skip


def stored(record):
    """Its id in the database of loan, through JSON."""
    return RunStore(paths_config.database("loan")).add(record)


# --- weights ---------------------------------------------------------------------------------------------------


def test_a_model_comes_back_to_the_bit(record, network):
    loaded = from_database(stored(record), "loan")
    assert loaded.network.state_dict().keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], tensor)


def test_a_loaded_model_gives_the_logits_of_the_network(record, network):
    x = torch.randn(20, 7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(from_database(stored(record), "loan")(x), network(x))


def test_a_loaded_model_is_in_eval_mode(record):
    assert not any(part.training for part in from_database(stored(record), "loan").modules())


def test_weights_are_saved_below_the_folder_by_data_set_and_run(folders, record):
    assert record["weights"]["path"] == f"loan/{'ab' * 8}.safetensors"
    assert (folders / "weights" / record["weights"]["path"]).is_file()


def test_saving_the_same_weights_gives_the_same_hash(network, record):
    assert save_weights(network, "loan", "cd" * 8)["sha256"] == record["weights"]["sha256"]


def test_weights_outside_the_folder_are_refused(folders, record):
    for path in ("../outside.safetensors", "/tmp/outside.safetensors"):
        with pytest.raises(ValueError, match="lie outside"):
            from_record(record | {"weights": record["weights"] | {"path": path}})


def test_missing_weights_name_file_and_remedy(folders, record):
    file = folders / "weights" / record["weights"]["path"]
    file.unlink()
    with pytest.raises(ValueError, match=f"record 1 .*{file}.*TRILEMMA_WEIGHTS.*existing=replace"):
        from_database(stored(record), "loan")


@pytest.mark.parametrize("place", [0, 8, 100, -1])
def test_one_flipped_bit_is_refused(folders, record, place):
    file = folders / "weights" / record["weights"]["path"]
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="altered"):
        from_database(stored(record), "loan")


@pytest.mark.parametrize("length", [0, 1, 100])
def test_truncated_weights_are_refused(folders, record, length):
    file = folders / "weights" / record["weights"]["path"]
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match="altered"):
        from_database(stored(record), "loan")


def test_weights_of_another_shape_are_refused(record):
    record["weights"] = save_weights(MLP(7, 1, hidden=[6], activation="tanh"), "loan", "cd" * 8)
    with pytest.raises(ValueError, match="do not fit its model"):
        from_database(stored(record), "loan")


def test_weights_of_another_network_are_refused(record):
    record["weights"] = save_weights(nn.Linear(7, 1), "loan", "cd" * 8)
    with pytest.raises(ValueError, match="do not fit its model"):
        from_database(stored(record), "loan")


# --- records ---------------------------------------------------------------------------------------------------


def test_without_a_database_the_remedy_is_to_train():
    with pytest.raises(ValueError, match="no database for dataset=lona: .*lona.json does not exist; train"):
        from_database(1, "lona")


def test_an_unknown_id_is_told_the_ids_there_are(record):
    stored(record)
    with pytest.raises(ValueError, match="has no record 99: its ids run from 1 to 1"):
        from_database(99, "loan")


def test_a_failed_run_has_no_model(record):
    failed = {key: record[key] for key in ("name", "run_id", "dataset", "params")}
    with pytest.raises(ValueError, match="failed and has no model: the loss became inf"):
        from_database(stored(failed | {"status": "failed", "reason": "the loss became inf"}), "loan")


FOREIGN = [
    {"_target_": "os.system", "command": "touch trap"},
    {"_target_": "torch.nn.Linear", "in_features": 7, "out_features": 1},
    {"_target_": "utils.models.mlp.nn.Linear", "in_features": 7, "out_features": 1},
    {"_target_": "utils.models.mlp.MLP", "hidden": [{"_target_": "os.system", "command": "touch trap"}]},
    {"_target_": "builtins.eval", "_args_": ["open('trap', 'w')"]},
    {"_partial_": True},
    None,
]


@pytest.mark.parametrize("node", FOREIGN)
@pytest.mark.parametrize("place", ["model", "decide"])
def test_a_record_that_names_foreign_code_is_refused(folders, monkeypatch, record, place, node):
    monkeypatch.chdir(folders)
    spoilt = deepcopy(record)
    (spoilt if place == "decide" else spoilt["params"])[place] = node
    with pytest.raises(ValueError, match="is not loaded"):
        from_record(spoilt)
    assert not (folders / "trap").exists()


def test_a_decision_in_place_of_a_model_is_refused(record):
    record["params"]["model"] = record["decide"]
    with pytest.raises(ValueError, match=r"not a part of utils\.models"):
        from_record(record)


# --- decisions -------------------------------------------------------------------------------------------------


def test_decisions_use_the_stored_threshold(record, network, dataset):
    """Threshold 0.3 on the probability, which is log(3/7) on the logit."""
    x = dataset("loan").test.x
    expected = (network(x).squeeze(-1) >= np.log(3 / 7)).long()
    assert torch.equal(from_record(record).decide(x), expected)


def test_decisions_need_no_gradient(record, dataset):
    assert not from_record(record).decide(dataset("loan").test.x).requires_grad


@pytest.mark.parametrize("name", ["loan", "lin", "toy"])
def test_groups_read_from_the_rows_are_those_of_the_data_set(dataset, name):
    data = dataset(name)
    model = StoredModel(nn.Identity(), Threshold(0.5), data.columns, data.loc, data.scale)
    assert torch.equal(model.groups(data.test.x), data.test.s)


def test_groups_of_several_attributes_are_the_product_of_their_levels():
    columns = (
        Column("a", "binary", sensitive=True, levels=(0.0, 1.0)),
        Column("b", "continuous"),
        Column("c", "categorical", sensitive=True, levels=(0.0, 1.0, 2.0)),
    )
    model = StoredModel(nn.Identity(), Threshold(0.5), columns, torch.zeros(3), torch.ones(3))
    rows = torch.tensor([[a, 9.0, c] for a in (0.0, 1.0) for c in (0.0, 1.0, 2.0)])
    assert model.groups(rows).tolist() == [0, 1, 2, 3, 4, 5]


# --- units -----------------------------------------------------------------------------------------------------


def test_natural_units_and_model_space_are_inverse(record, dataset):
    model, x = from_record(record), dataset("loan").test.x
    torch.testing.assert_close(model.scaled(model.natural(x)), x, rtol=1e-4, atol=1e-5)


def test_scaling_is_that_of_the_training_split(record, dataset):
    """In natural units, the training split has the record's means; in model space they are 0 and the spread 1."""
    data, model = dataset("loan"), from_record(record)
    continuous = [i for i, c in enumerate(data.columns) if c.kind == "continuous"]
    natural = model.natural(data.train.x)[:, continuous]
    torch.testing.assert_close(natural.mean(0), model.loc[continuous], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(natural.std(0, correction=0), model.scale[continuous], rtol=1e-3, atol=1e-3)


def frame(model, x):
    return pd.DataFrame(model.natural(x).numpy(), columns=[c.name for c in model.columns])


def test_the_predictor_gives_the_probability_of_class_1(record, network, dataset):
    x = dataset("loan").test.x
    model, predict = from_record(record), predictor(stored(record), "loan")
    found = torch.tensor(predict(frame(model, x))["probability"].to_numpy())
    torch.testing.assert_close(found, network(x).sigmoid().squeeze(-1).detach(), rtol=1e-3, atol=1e-4)


def test_the_predictor_finds_columns_by_name_and_keeps_the_index(record, dataset):
    model, predict = from_record(record), predictor(stored(record), "loan")
    rows = frame(model, dataset("loan").test.x).set_index(pd.Index(range(100, 200)))
    shuffled = rows[rows.columns[::-1]].assign(other="text")
    pd.testing.assert_frame_equal(predict(shuffled), predict(rows))
    assert list(predict(rows).index) == list(rows.index)


def test_the_predictor_names_missing_columns(record, dataset):
    model, predict = from_record(record), predictor(stored(record), "loan")
    with pytest.raises(ValueError, match=r"the rows lack \['age'\]"):
        predict(frame(model, dataset("loan").test.x).drop(columns="age"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_predictor_names_columns_with_values_that_are_no_numbers(record, dataset, value):
    model, predict = from_record(record), predictor(stored(record), "loan")
    rows = frame(model, dataset("loan").test.x)
    rows.loc[3, "age"] = value
    with pytest.raises(ValueError, match=r"\['age'\].*not finite"):
        predict(rows)


@pytest.mark.parametrize("level", [2, 0.4, -1])
def test_the_predictor_refuses_what_is_no_level(record, dataset, level):
    """Else a group that nobody trained on would get the thresholds of another."""
    predict = predictor(stored(record), "loan")
    rows = frame(from_record(record), dataset("loan").test.x)
    rows.loc[1, "gender"] = level
    with pytest.raises(ValueError, match=f"row 1: column 'gender' holds {level:g}, but its levels are 0, 1"):
        predict(rows)


def test_the_predictor_refuses_text(record, dataset):
    model, predict = from_record(record), predictor(stored(record), "loan")
    rows = frame(model, dataset("loan").test.x).astype({"age": object})
    rows.loc[3, "age"] = "old"
    with pytest.raises(ValueError, match="age"):
        predict(rows)


def test_preprocessing_is_plain_json(dataset):
    described = describe_preprocessing(dataset("loan"))
    assert json.loads(json.dumps(described)) == described


def test_an_encoded_table_of_ones_own_keeps_its_columns(tmp_path):
    rows = "".join(f"{i % 2},{20 + i % 37},{'abc'[i % 3]},{(i // 3) % 2}\n" for i in range(60))
    (tmp_path / "t.csv").write_text("sex,age,job,y\n" + rows)
    data = csv(
        name="t", path=str(tmp_path / "t.csv"), label="y", positive=None, sensitive="sex", actionable=None,
        graph=None, ignore=None, seed=0, split=[0.6, 0.2, 0.2],
    )  # fmt: skip
    assert [c["name"] for c in describe_preprocessing(data)["columns"]] == ["sex", "age", "job=a", "job=b", "job=c"]


# --- hostile files and records ---------------------------------------------------------------------------------


def refiled(record, tensors):
    """The record with other tensors in its file, and the SHA-256 that they have."""
    data = safetensors.torch.save(tensors)
    paths_config.weights_file(record["weights"]["path"]).write_bytes(data)
    return record | {"weights": record["weights"] | {"sha256": hashlib.sha256(data).hexdigest()}}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(record, network, value):
    """With nan every decision would be class 0."""
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    tensors["layers.2.weight"][0, 3] = value
    with pytest.raises(ValueError, match=r"record 1 \(loan_mlp_erm\) .*layers.2.weight holds nan or infinite"):
        from_database(stored(refiled(record, tensors)), "loan")


@pytest.mark.parametrize("dtype", [torch.int32, torch.float16, torch.float64])
def test_weights_of_another_type_are_refused(record, network, dtype):
    tensors = network.state_dict()
    tensors["layers.0.weight"] = tensors["layers.0.weight"].to(dtype)
    with pytest.raises(ValueError, match=rf"record 1 .*is \(5, 7\) of {dtype}, expected \(5, 7\) of torch.float32"):
        from_database(stored(refiled(record, tensors)), "loan")


def test_a_weight_more_is_named(record, network):
    with pytest.raises(ValueError, match="they hold extra, layers.0.bias"):
        from_record(refiled(record, {**network.state_dict(), "extra": torch.zeros(1)}))


@pytest.mark.parametrize("inputs", ["???", 8, None, [7], "7", True])
def test_a_model_of_other_columns_than_its_data_is_refused(record, inputs):
    record["params"]["model"]["inputs"] = inputs
    with pytest.raises(ValueError, match=rf"record {'ab' * 8} \(loan_mlp_erm\)"):
        from_record(record)


@pytest.mark.parametrize("outputs", ["???", 2, 0, -1, 1.5, None, 10**9, [1]])
def test_a_model_of_impossible_outputs_is_refused(record, outputs):
    record["params"]["model"]["outputs"] = outputs
    with pytest.raises(ValueError, match=rf"record {'ab' * 8} "):
        from_record(record)


def test_a_network_that_its_record_makes_huge_is_never_made(record):
    """10^12 weights in a file of a few hundred bytes."""
    record["params"]["model"]["hidden"] = [10**6, 10**6]
    with pytest.raises(ValueError, match=r"do not fit its model"):
        from_record(record)


HELPERS = [
    "utils.models.mlp.ACTIVATIONS",
    "utils.models.learner.require",
    "utils.views.fold.fold_batch_norms",
    "utils.models.repeatable.repeatable",
    "utils.models.estimators.log_odds",
    "utils.models.trees.require_sound",
]


@pytest.mark.parametrize("target", HELPERS)
def test_a_helper_in_place_of_a_model_is_refused_and_not_called(record, target):
    record["params"]["model"] = {"_target_": target, "inputs": 7, "outputs": 1}
    with pytest.raises(ValueError, match=rf"record {'ab' * 8} .*{target}.* is not loaded"):
        from_record(record)


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "utils.decides.threshold.logit", "probability": 0.5},
        {"_target_": "utils.decides.threshold.smallest_accepted", "probability": 0.5},
        {"_target_": "utils.decides.thresholds_text.in_words", "logits": [0.0]},
        {"_target_": "utils.decides.exact_thresholds.Side"},
        {"_target_": "utils.decides.fixed.fixed", "probability": 0.5},
        {"_target_": "utils.decides.threshold.Threshold", "probability": "???"},
        {"_target_": "utils.decides.threshold.Threshold", "probability": "many"},
        {"_target_": "utils.decides.threshold.Threshold", "probability": float("nan")},
        {"_target_": "utils.decides.threshold.Threshold", "probability": 0.5, "_partial_": True},
        {"_target_": "utils.decides.threshold.Threshold"},
        {"_target_": "utils.decides.group_thresholds.GroupThresholds", "logits": ["nan"]},
        {"_target_": "utils.decides.group_thresholds.GroupThresholds", "logits": 3},
    ],
    ids=str,
)
def test_a_decision_that_is_none_is_refused(record, node):
    record["decide"] = node
    with pytest.raises(ValueError, match=rf"record {'ab' * 8} \(loan_mlp_erm\)"):
        from_record(record)


@pytest.mark.parametrize(
    "change",
    [
        {"loc": [0.0] * 6},
        {"scale": [0.0] * 7},
        {"scale": [float("nan")] * 7},
        {"loc": ["a"] * 7},
        {"loc": None},
        {"loc": [[0.0] * 7]},
    ],
    ids=str,
)
def test_a_scaling_that_is_none_is_refused(record, change):
    with pytest.raises(ValueError, match=rf"record {'ab' * 8} .*its scaling"):
        from_record(record | {"preprocessing": record["preprocessing"] | change})


@pytest.mark.parametrize("logits", [["nan", 0.0], ["low", 0.0], None, 3])
def test_an_operating_point_that_is_none_is_refused(record, logits):
    with pytest.raises(ValueError, match=rf"point=0 of record {'ab' * 8}"):
        from_record(record | {"operating_points": {"logits": [logits]}}, point=0)


def test_weights_that_are_a_pipe_are_refused(folders, record):
    path = paths_config.weights_file(record["weights"]["path"])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="is no regular file"):
        from_record(record)


def test_rows_that_the_model_answers_nan_on_are_refused(record):
    model, predict = from_record(record), predictor(stored(record), "loan")
    rows = frame(model, torch.zeros(3, 7)).astype(float)
    rows.loc[1, "income"] = 1e300
    rows.loc[1, "savings"] = -1e300
    with pytest.raises(ValueError, match="answers nan on 1 of 3 rows"):
        predict(rows)
