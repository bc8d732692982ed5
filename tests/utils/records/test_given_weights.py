"""What a record of others' weights says, and which of its settings count: none of a training."""

from utils.records import given_weights

SHA256 = "0b9b94f0" + "7" * 56
PARAMS = {
    "model": {"weights": "/their/r18.pt", "weights_sha256": SHA256, "mean": [0.5], "std": [0.25], "width": 8},
    "trainer": {"epochs": 20, "lr": 0.05},
    "regularizer": {"erm": {"weight": 1.0}},
    "epsilon": {"radius": 0.06, "evaluate": ["8/255"]},
    "evaluation": {"metrics": {"ensemble": {"training_radius": 0.06, "rows": 10}}},
    "choices": {"model": "resnet18", "trainer": "image", "regularizer": "erm", "epsilon": "pixels"},
}
TRAINED = PARAMS | {"model": {"weights": None, "width": 8}}


def test_the_file_and_its_hash_are_named():
    assert given_weights.describe(PARAMS) == "weights of r18.pt (sha256 0b9b94f0), not trained here"


def test_nothing_of_a_training_is_left():
    left = given_weights.without_training(PARAMS)
    assert not {"trainer", "regularizer"} & left.keys()
    assert left["epsilon"] == {"evaluate": ["8/255"]}
    assert left["choices"] == {"model": "resnet18"}
    assert left["evaluation"] == {"metrics": {"ensemble": {"rows": 10}}}


def test_a_model_trained_here_keeps_all():
    assert given_weights.without_training(TRAINED) is TRAINED
    assert given_weights.describe(TRAINED) == ""
    assert given_weights.describe({}) == ""


def test_a_label_tells_files_of_one_name_apart_by_a_short_hash_and_the_scaling():
    told = given_weights.tell_settings(PARAMS)
    assert {key: told[key] for key in told if key.startswith("model.")} == {
        "model.width": 8,
        "model.sha256": "0b9b94f0",
        "model.mean": "0.5",
        "model.std": "0.25",
    }
