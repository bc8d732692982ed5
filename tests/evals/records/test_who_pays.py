"""Classes that gain and classes that pay, against the base, on records made by hand."""

import pytest

from evals import table
from evals.records import query, who_pays

NAMES = ["coat", "shirt", "bag"]
# robust accuracy of coat, shirt, bag under trades and under trades+dafa, by seed
RUNS = {
    "trades": [(0.60, 0.10, 0.90), (0.58, 0.08, 0.90), (0.62, 0.12, 0.91)],
    "trades+dafa": [(0.50, 0.22, 0.90), (0.47, 0.20, 0.90), (0.54, 0.24, 0.91)],
}


def record(regularizer: str, seed: int, of_classes: tuple[float, ...]) -> dict:
    metrics = {f"robust_accuracy_class_{c}_8/255": value for c, value in enumerate(of_classes)}
    metrics |= {f"robust_accuracy_class_{c}_8/255_low": value - 0.1 for c, value in enumerate(of_classes)}
    metrics |= {"robust_accuracy": sum(of_classes) / 3, "robust_accuracy_worst_class": min(of_classes)}
    return {
        "doc_id": seed,
        "run_id": f"{regularizer}{seed}",
        "group_id": regularizer,
        "dataset": "fashion_mnist",
        "seed": seed,
        "name": regularizer,
        "status": "finished",
        "params": {
            "choices": {"regularizer": regularizer.split("+"), "model": "small_cnn"},
            "epsilon": {"radius": "8/255"},
            "dataset": {"name": "fashion_mnist"},
        },
        "preprocessing": {"class_names": NAMES},
        "metrics": metrics,
    }


@pytest.fixture(scope="module")
def runs():
    return [record(name, seed, of) for name, seeds in RUNS.items() for seed, of in enumerate(seeds)]


def test_changes_are_means_of_differences_by_seed_with_student_s_interval(runs):
    """Coat: -.10, -.11, -.08, mean -.0967, sd .01528, half 4.303 * .01528 / sqrt(3); shirt +.12 in every seed."""
    found = who_pays.find_changes(query.frame(runs), runs, "robust_accuracy", ())["trades+dafa"]
    coat, bag, shirt = found
    assert (coat.name, shirt.name, bag.name) == ("coat", "shirt", "bag")
    assert coat.mean == pytest.approx(-0.29 / 3)
    assert coat.high - coat.mean == pytest.approx(4.3027 * 0.0152753 / 3**0.5, rel=1e-4)
    assert shirt.mean == pytest.approx(0.12)
    assert shirt.low != shirt.low  # all seeds alike: no interval
    assert bag.mean == 0


def test_the_base_has_no_changes(runs):
    assert set(who_pays.find_changes(query.frame(runs), runs, "robust_accuracy", ())) == {"trades+dafa"}


def test_a_radius_that_is_named_is_the_one(runs):
    frame = query.frame(runs)
    named = who_pays.find_changes(frame, runs, "robust_accuracy_8/255", ())
    at_training = who_pays.find_changes(frame, runs, "robust_accuracy", ())
    assert [change[:2] for change in named["trades+dafa"]] == [change[:2] for change in at_training["trades+dafa"]]
    assert who_pays.find_changes(frame, runs, "robust_accuracy_4/255", ()) == {}


def test_the_table_says_who_pays(runs):
    figures, source = table.read_published("dafa")
    shown = ["robust_accuracy", "robust_accuracy_worst_class"]
    built = table.build(runs, shown, figures.head(0), source)
    assert built.pays == [
        [
            "fashion_mnist",
            "trades+dafa",
            "robust_accuracy at 8/255",
            "shirt +12.0",
            "coat -9.7 [-13.5, -5.9]",
        ]
    ]
    text = table.markdown(built)
    assert "pays, in points" in text
    assert "coat -9.7 [-13.5, -5.9]" in text


def test_without_classes_it_is_said_to_be_unknown(runs):
    averages = ("robust_accuracy", "robust_accuracy_worst_class")
    bare = [{**run, "metrics": {key: run["metrics"][key] for key in averages}} for run in runs]
    built = table.build(bare, averages, table.read_published("dafa")[0].head(0), "")
    assert built.pays == []
    assert "who pays in robust_accuracy is not known: no accuracy of each class is filed with it." in table.markdown(
        built
    )


# --- at the radius of the training -----------------------------------------------------------------------------


def at_training(regularizer: str, seed: int, right: tuple[int, int], radius: str = "0.1") -> dict:
    """Of 100 rows of each of two classes so many are right at the training radius: filed as counts alone."""
    made = record(regularizer, seed, (0.0,))
    averages = {"robust_accuracy": sum(right) / 200, "robust_accuracy_worst_class": min(right) / 100}
    shares = {f"robust_accuracy_class_{c}": [part, 100] for c, part in enumerate(right)}
    params = made["params"] | {"epsilon": {"radius": radius}}
    return made | {"metrics": averages, "shares": shares, "params": params}


def test_classes_at_the_training_radius_are_known_by_their_counts_and_the_radius_is_named():
    runs = [at_training("trades", 0, (60, 10)), at_training("trades+dafa", 0, (50, 30))]
    runs += [at_training("trades", 1, (60, 10), "0.2"), at_training("trades+cfa", 1, (40, 10), "0.2")]
    built = table.build(runs, None, table.read_published("dafa")[0].head(0), "")
    assert [row[1:] for row in built.pays] == [
        ["trades+cfa", "robust_accuracy at 0.2", "none", "coat -20.0"],
        ["trades+dafa", "robust_accuracy at 0.1", "shirt +20.0", "coat -10.0"],
    ]


def test_where_no_class_is_known_a_line_says_so_and_which_metrics_tell():
    runs = [record(name, 0, RUNS[name][0]) for name in RUNS]
    for run in runs:
        run["params"]["epsilon"]["radius"] = "1/255"
        run["metrics"] |= {"robust_accuracy_8/255": 0.5, "robust_accuracy_worst_class_8/255": 0.1}
    built = table.build(runs, None, table.read_published("dafa")[0].head(0), "")
    assert built.pays == []
    assert "metrics=robust_accuracy_8/255,robust_accuracy_worst_class_8/255 tells" in table.markdown(built)
