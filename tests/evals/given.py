"""Records made by hand: of weights that others trained, and of figures of fewer rows."""

from tests.evals.records.test_query import record

SHA256 = "0b9b94f0" + "7" * 56


def given(doc_id, stem="r18", sha256=SHA256, mean=0.0, seed=0, **metrics):
    """A record of the weights of a file, with the settings of a training that nothing reads."""
    made = record(doc_id, "erm", seed=seed, radius=0.06, name=f"loan_resnet18_{stem}", group_id=f"{stem}{sha256}{mean}")
    made["params"] |= {
        "model": {
            "_target_": "utils.models.resnet18.ResNet18",
            "weights": f"/their/{stem}.pt",
            "weights_sha256": sha256,
            "mean": [mean],
            "std": [1.0],
        },
        "choices": {"regularizer": "erm", "model": "resnet18", "trainer": "image"},
        "trainer": {"epochs": 20, "lr": 0.05, "optimizer": {"_target_": "torch.optim.SGD"}},
    }
    return made | {"metrics": {"accuracy": 0.9, **metrics}, "rows": {"train": 100, "test": 359}}


def robust(doc_id, regularizer, rows, accuracy=0.5, worst=0.25, seed=0, **changes):
    """A record whose robust accuracy at 8/255, of two classes, is of so many of 359 rows."""
    figures = {
        "accuracy": 0.9,
        "robust_rows": float(rows),
        "robust_accuracy_8/255": accuracy,
        "robust_accuracy_worst_class_8/255": worst,
    }
    figures |= {"robust_accuracy_class_0_8/255": worst, "robust_accuracy_class_1_8/255": 1.0}
    shares = {"accuracy": [323, 359], "robust_accuracy_8/255": [round(accuracy * rows), rows]}
    made = record(doc_id, regularizer, seed=seed, metrics=figures, rows={"train": 100, "test": 359}, shares=shares)
    return made | {"group_id": f"{regularizer}-{rows}"} | changes
