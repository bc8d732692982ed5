"""A vote on parts of the rows through the command line: its bounds hold against a search for the worst rows."""

import pytest

import paths_config
from evals.records.reproduce import command as reproduce
from evals.records.stored import dataset_of
from tests.commands import command, house
from utils.model_zoo import from_database
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e

QUICK = (
    *("dataset=loan", "dataset.rows=400", "device=cpu", "evaluation.metrics.group.groups_min=1"),
    *("evaluation.metrics.classification.intervals=20", "evaluation.metrics.group.intervals=20"),
    *("~evaluation.metrics.unfair_area", "~evaluation.metrics.ensemble", "~evaluation.metrics.attacked"),
    "watch=[accuracy]",
)
VOTE = (*QUICK, "model=partition_vote", "model.parts=15", "operating_points=null")
UNFAIR = (
    *("attack=bo_poison", "attack.poison.objective=unfair", "attack.poison.sampler=random", "attack.poison.budget=4"),
    *("attack.poison.workers=1", "attack.poison.accuracy=ignore", "attack.poison.copies=1"),
    *("attack.poison.spread=false", "attack.poison.rows=4"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Record 1 is the vote, 2 the vote by a threshold fitted."""
    with house(tmp_path_factory.mktemp("home")) as folder:
        for words in ((), ("decide=mcc",)):
            answer = command("train", *VOTE, *words)
            assert answer.code == 0, answer
        yield folder


def records():
    return RunStore(paths_config.database("loan")).all()


@pytest.mark.slow
def test_a_search_for_unfair_rows_stays_below_the_bound_of_the_model_without_them(home):
    assert command("train", *VOTE, *UNFAIR).code == 0  # rows which a search makes the vote worse by
    clean, _, attacked = records()
    m = attacked["poison"]["rows"]
    assert m > 0
    words = ("id=1", "evaluation=poison_bounds", "attack=square_columns", "name=bounds")
    own = (f"evaluation.metrics.poison_bounds.rows=[{m}]", "evaluation.metrics.poison_bounds.probability=0.5")
    answer = command("evaluate", "dataset=loan", "device=cpu", *QUICK[3:-1], *words, *own)
    assert answer.code == 0, answer
    bounds = records()[0]["evaluations"]["bounds"]["metrics"]
    reached, before = attacked["metrics"], clean["metrics"]
    assert reached["fpr_gap_unpoisoned"] == before["fpr_gap"]
    assert before["fpr_gap"] <= bounds[f"fpr_gap_upper_{m}"]
    for gap in ("fpr_gap", "fnr_gap", "demographic_parity_difference"):
        assert reached[gap] <= bounds[f"{gap}_upper_{m}"] <= 1
    assert reached["fpr_gap_under_poisoning"] <= bounds[f"fpr_gap_upper_{m}"]
    assert reached["accuracy"] >= bounds[f"accuracy_lower_{m}"]


def test_the_bounds_are_printed_and_filed(home):
    metrics = records()[0]["metrics"]
    assert {f"{key}_{m}" for key in ("certain", "accuracy_lower", "fpr_gap_upper") for m in (1, 5, 10, 20)} <= set(
        metrics
    )
    assert 0 < metrics["certain_1"] <= 1
    assert metrics["fpr_gap"] <= metrics["fpr_gap_upper_1"] <= metrics["fpr_gap_upper_5"]


def test_of_a_fitted_threshold_nothing_is_proven_and_it_says_why(home):
    record = records()[1]
    assert {record["metrics"][f"certain_{m}"] for m in (1, 5, 10, 20)} == {None}
    assert any("of a threshold that is given (decide=fixed)" in warning for warning in record["warnings"])


def test_its_command_gives_the_run_again(home):
    words = reproduce(records()[0]).removeprefix("python train.py ").replace("'", "").split()
    assert "finished before, record 1" in command("train", *words, "device=cpu").out, words


def test_the_loaded_model_decides_as_it_was_judged(home):
    test = dataset_of(records()[0], "cpu").test
    right = from_database(1, "loan").decide(test.x) == test.y
    assert float(right.double().mean()) == pytest.approx(records()[0]["metrics"]["accuracy"])
