"""What is filed has been loaded once, by the loader that users have; what cannot be is refused before any training."""

import json
from functools import wraps

import numpy as np
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier
from skops.io import dumps

import paths_config
from tests.commands import SMALL, command, house, refused
from utils.decides import fixed
from utils.decides.threshold import Threshold
from utils.model_zoo import from_database
from utils.models.mlp import MLP
from utils.models.random_forest import RandomForest
from utils.run_store import RunStore
from utils.runs import lifecycle

pytestmark = pytest.mark.e2e

QUICK = ("dataset=loan", "dataset.rows=200", *SMALL)
QUERIES = tuple(f"evaluation.metrics.ensemble.attacks.{k}=10" for k in ("random.samples", "square.queries"))
FOREST = (*QUICK, "model=random_forest", "model.trees=5", "evaluation.metrics.ensemble.intervals=20", *QUERIES)


@pytest.fixture(autouse=True)
def own(tmp_path):
    with house(tmp_path) as folder:
        yield folder


def records():
    path = paths_config.database("loan")
    return RunStore(path).all() if path.is_file() else []


# --- refused before the training -------------------------------------------------------------------------------


def test_a_learner_that_forgets_its_types_is_not_trained(monkeypatch):
    monkeypatch.setattr(RandomForest, "types", ())
    refused(command("train", *FOREST), "model=random_forest could not be loaded again", "sklearn.tree._tree.Tree")
    assert records() == []
    assert not list(paths_config.weights().glob("loan/*"))


def test_a_learner_whose_bytes_are_another_model_is_not_trained(monkeypatch):
    def other(learner):
        return dumps(ExtraTreesClassifier(3).fit(np.eye(learner.inputs), np.arange(learner.inputs) % 2))

    monkeypatch.setattr(RandomForest, "to_bytes", other)
    refused(command("train", *FOREST), "could not be loaded again", "ExtraTreesClassifier")


def test_a_network_that_keeps_numbers_beside_its_weights_is_not_trained(monkeypatch):
    """Its answers depend on what no file holds."""

    def shifted(self, x):
        if not hasattr(self, "shift"):
            self.shift = torch.rand(()).item()
        return self.layers(x) + self.shift

    monkeypatch.setattr(MLP, "forward", shifted)
    refused(command("train", *QUICK), "model=mlp could not be loaded again", "its logits are others")


def test_a_decision_that_no_record_can_name_is_not_trained_for(monkeypatch):
    class Mine(Threshold):
        def to_record(self):
            return {"_target_": "tests.test_filed_is_loaded.Mine", "probability": 0.5}

    monkeypatch.setattr(fixed, "Threshold", Mine)
    refused(command("train", *QUICK, "decide=fixed"), "could not be loaded again", "not a part of utils.decides")


def made(monkeypatch, change):
    """Lets every network be changed as it is made, as another's class would be."""
    make = MLP.__init__

    @wraps(make)
    def changed(self, *words, **settings):
        make(self, *words, **settings)
        change(self)

    monkeypatch.setattr(MLP, "__init__", changed)


def test_two_names_for_one_tensor_are_refused_in_a_line(monkeypatch):
    def tie(network):
        network.layers[2].bias = network.layers[0].bias

    made(monkeypatch, tie)
    refused(command("train", *QUICK), "layers.0.bias and layers.2.bias are one tensor")
    assert records() == []


def test_a_model_without_parameters_is_refused(monkeypatch):
    made(monkeypatch, lambda network: network.requires_grad_(False))
    refused(command("train", *QUICK), "model=mlp has no parameters, so there is nothing to train")


@pytest.mark.parametrize("regularizer", ["erm", "causal_adv"])
def test_a_parameter_that_is_a_single_number_trains_alone_and_in_a_stack(monkeypatch, regularizer):
    """Such as a temperature."""
    made(monkeypatch, lambda network: setattr(network, "temperature", torch.nn.Parameter(torch.tensor(1.0))))
    monkeypatch.setattr(MLP, "forward", lambda self, x: self.layers(x) / self.temperature)
    words = ("train", "-m", "hydra/launcher=batched", *QUICK, f"regularizer={regularizer}", "seed=0,1")
    assert command(*words).code == 0
    assert command("train", *QUICK, f"regularizer={regularizer}", "seed=2").code == 0
    models = [from_database(record["doc_id"], "loan") for record in records()]
    found = [value.item() for model in models for name, value in model.named_parameters() if "temperature" in name]
    assert len(found) == 3
    assert 1.0 not in found


# --- failed after it -------------------------------------------------------------------------------------------


def spoil(monkeypatch, change):
    """Change the bytes of every file after it was written."""
    write = lifecycle.save_weights

    def written(model, dataset, run_id):
        told = write(model, dataset, run_id)
        path = paths_config.weights_file(told["path"])
        path.write_bytes(change(path.read_bytes()))
        return told

    monkeypatch.setattr(lifecycle, "save_weights", written)


@pytest.mark.parametrize("words", [QUICK, FOREST], ids=["network", "forest"])
def test_a_file_that_the_disk_keeps_otherwise_fails_the_run(monkeypatch, words):
    spoil(monkeypatch, lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    answer = command("train", *words)
    assert answer.code != 0
    (record,) = records()
    assert record["status"] == "failed"
    assert record["reason"].startswith("what was filed cannot be loaded: ")
    assert "altered" in record["reason"]


def test_a_learner_that_loads_another_of_its_kind_fails_the_run(monkeypatch):
    """The rehearsal's, which saw a few rows."""
    kept = []
    read = RandomForest.from_bytes

    def first(learner, data):
        kept.append(data)
        read(learner, kept[0])

    monkeypatch.setattr(RandomForest, "from_bytes", first)
    assert command("train", *FOREST).code != 0
    assert "loaded again, its logits are others" in records()[0]["reason"]


def test_of_a_stack_the_spoilt_model_fails_alone(monkeypatch):
    spoilt = iter([True, False])
    spoil(monkeypatch, lambda data: data + b" " if next(spoilt) else data)
    words = ("-m", "hydra/launcher=batched", "hydra.launcher.workers=1", "seed=0,1")
    assert command("train", *QUICK, *words).code == 1
    assert sorted(record["status"] for record in records()) == ["failed", "finished"]
    finished = next(record for record in records() if record["status"] == "finished")
    assert from_database(finished["doc_id"], "loan")(torch.zeros(1, 7)).isfinite().all()


def test_a_finished_record_is_plain_json_that_loads_at_every_point():
    assert (
        command(
            "train",
            *QUICK,
            "decide=group_exact",
            "decide.groups_min=1",
            "operating_points.intervals=20",
            "operating_points.groups_min=1",
        ).code
        == 0
    )
    (record,) = records()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    for point in range(len(record["operating_points"]["logits"])):
        from_database(1, "loan", point=point)
