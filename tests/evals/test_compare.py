"""``python -m evals.compare``: what is filed of each row is what was judged, and two runs compare by it."""

import csv
import io

import numpy as np
import pytest

import paths_config
from tests.commands import SMALL, command, house, refused
from utils.records import decisions
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e
QUICK = ("dataset=loan", "dataset.rows=400", *SMALL)


@pytest.fixture(scope="module")
def filed(tmp_path_factory):
    """Two settings by two seeds, the group thresholds of a third, and a run on other rows."""
    with house(tmp_path_factory.mktemp("compare")) as folder:
        for words in (("seed=0",), ("seed=1",), ("seed=0", "trainer.lr=0.1"), ("seed=1", "trainer.lr=0.1")):
            assert command("train", *QUICK, *words).code == 0
        assert command("train", *QUICK, "seed=0", "decide=group_randomized", "decide.groups_min=2").code == 0
        yield folder


def records():
    return {record["doc_id"]: record for record in RunStore(paths_config.database("loan")).all()}


def test_decisions_are_those_that_were_judged(filed):
    """The accuracies, rates and gaps of the record follow from them, of thresholds of groups and coins too."""
    for record in records().values():
        read, metrics = decisions.read(record), record["metrics"]
        assert len(read.y) == record["rows"]["test"]
        assert np.mean(read.labels == read.y) == pytest.approx(metrics["accuracy"])
        for i in range(read.groups):
            own = read.s == i
            assert np.mean(read.labels[own]) == pytest.approx(metrics[f"acceptance_rate_group{i}"])


def test_the_table_holds_both_figures_their_difference_and_how_it_was_made(filed):
    answer = command("evals.compare", "dataset=loan", "ids=1,3", "format=csv")
    assert answer.code == 0, answer.err
    lines = list(csv.DictReader(io.StringIO(answer.out)))
    one, other = (records()[i]["metrics"] for i in (1, 3))
    for line in lines:
        if line["kind"] != "seeds":
            assert float(line["first"]) == pytest.approx(one[line["metric"]])
            assert float(line["second"]) == pytest.approx(other[line["metric"]])
    kinds = {line["metric"]: line["kind"] for line in lines if line["kind"] != "seeds"}
    assert kinds["accuracy"] == "paired"
    assert kinds["uai_cf"] == "unpaired"
    over = {line["metric"]: line for line in lines if line["kind"] == "seeds"}
    mean = np.mean([records()[i]["metrics"]["accuracy"] for i in (3, 4)])
    assert float(over["accuracy"]["second"]) == pytest.approx(mean)


def test_the_text_counts_rows_that_are_decided_otherwise(filed):
    answer = command("evals.compare", "dataset=loan", "ids=1,3")
    one, other = (decisions.read(records()[i]) for i in (1, 3))
    different = int((one.labels != other.labels).sum())
    assert f"The same {len(one.y)} test rows, of which {different} (" in answer.out
    assert "gender=0" in answer.out
    assert "Over the seeds 0, 1 that both settings have" in answer.out


def test_one_record_is_compared_with_its_base(filed):
    """Thresholds of groups with one threshold for all, of the same data, seed and learner."""
    answer = command("evals.compare", "dataset=loan", "ids=5", "format=csv")
    assert answer.code == 0, answer.err
    assert answer.out == command("evals.compare", "dataset=loan", "ids=1,5", "format=csv").out
    assert "Record 1 is the base of the other, which has decide=group_randomized." in " ".join(
        command("evals.compare", "dataset=loan", "ids=5").out.split()
    )


def test_runs_of_other_rows_and_records_without_decisions_compare_by_their_figures(filed):
    assert "since they were judged on different test rows" in command("evals.compare", "dataset=loan", "ids=1,4").out
    store = RunStore(paths_config.database("loan"))
    old = {
        key: value for key, value in records()[1].items() if key not in ("decisions", "test_rows", "checksum", "doc_id")
    }
    [number] = store.add_many([{**old, "run_id": "older", "seed": 7}])
    answer = command("evals.compare", "dataset=loan", f"ids={number},3")
    assert answer.code == 0
    assert f"since record {number}: its record keeps no decisions" in answer.out
    assert "unpaired" in answer.out
    assert " paired" not in answer.out
    store.remove([number])


def test_damaged_decisions_are_told_by_check_and_by_the_comparison(filed):
    file = paths_config.weights_file(records()[2]["decisions"]["path"])
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    assert "have another checksum than when stored" in command("evals.compare", "dataset=loan", "ids=2,4").out
    file.write_bytes(content)
    assert "by their figures" not in command("evals.compare", "dataset=loan", "ids=2,4").out


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (("ids=1",), ("ids=1: this record is itself a base that others have; name two records",)),
        (("ids=1,1",), ("ids=1,1",)),
        (("ids=1,99",), ("99",)),
        (("ids=1,3", "metrics=acuracy"), ("metrics=acuracy", "accuracy")),
        (("ids=1,3", "level=2"), ("level=2", "(0, 1)")),
        (("ids=1,3", "format=xls"), ("format=xls",)),
    ],
)
def test_bad_words_are_refused(filed, words, phrases):
    refused(command("evals.compare", "dataset=loan", *words), *phrases)


def test_decisions_that_cannot_be_written_leave_no_finished_record(filed, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(decisions, "write", full)
    answer = command("train", *QUICK, "seed=5")
    assert answer.code == 1
    assert "its decisions could not be written: No space left on device" in answer.err
