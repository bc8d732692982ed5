"""What the card, the page and listings say of added rows, and that runs without any look as ever."""

import json

import pytest

from evals import report
from evals.cards import added_rows_facts, fitness
from evals.page.content import content
from evals.records import query
from evals.records.row_intervals import over_rows
from tests.commands import command, refused
from tests.evals.poisoned_records import poisoned
from tests.evals.records.test_query import record, write

GAP = ((0.20, 0.10), (0.22, 0.18))
RUN = poisoned(1, gap=GAP)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_facts_are_those_of_the_record():
    found = dict(added_rows_facts.facts(RUN))
    assert found["Added rows"] == "31 (5 distinct)"
    assert found["Their classes"] == "30 of 0, 1 of 1"
    assert found["On validation rows"].startswith(
        "fpr_gap 0.200 before, 0.100 after; accuracy 0.680 before, 0.670 after"
    )
    assert found["On test rows"].startswith("fpr_gap 0.220 before, 0.180 after")
    assert found["Table of the rows"] == "poison/compas/run1.csv"


def test_a_run_as_it_was_has_none():
    assert (list(added_rows_facts.facts(record(1))), added_rows_facts.section(record(1))) == ([], [])


@pytest.mark.parametrize(("spread", "words"), [(False, "no observations of anybody"), (True, "in the training data")])
def test_it_is_said_whose_features_the_rows_have(spread, words):
    search = RUN["params"]["attack"]["poison"] | {"spread": spread}
    params = RUN["params"] | {"attack": RUN["params"]["attack"] | {"poison": search}}
    assert words in added_rows_facts.section(RUN | {"params": params})[1].text


def test_the_card_says_that_rows_were_added_and_what_they_changed(folder):
    write(folder, "compas", [RUN])
    answer = command("evals.select", "dataset=compas", "minimize=fpr_gap", "card=card.md")
    assert answer.code == 0, answer
    text = (folder / "card.md").read_text()
    assert "## Added training rows" in text
    assert "trained on 31 rows more than the data have, chosen so that the model becomes fairer in" in text
    assert "0.220 before, 0.180 after" in text
    assert "compas/run1.csv" in text


def test_what_was_undefined_before_is_no_gap_of_the_model():
    metrics = RUN["metrics"] | {"ppv_gap_unpoisoned": None, "ppv_gap_valid": None}
    assert list(fitness._list_undefined(RUN | {"metrics": metrics})) == []


def test_the_page_holds_the_facts_of_every_run_and_none_of_others():
    held = content([RUN, record(2)], query.options(["dataset=compas"], report.OPTIONS))
    assert held["runs"]["poison"]["of"] == [tuple(added_rows_facts.facts(RUN)), None]
    json.dumps(held)


def test_figures_from_before_are_offered_last_and_no_axes():
    held = content([RUN], query.options(["dataset=compas"], report.OPTIONS))
    assert held["axes"] == ["accuracy", "fpr_gap"]
    sections = [metric["section"] for metric in held["metrics"]]
    assert sections[:2] == ["", ""]
    assert set(sections[2:]) == {"Poisoning: before, and on validation rows"}


def test_an_error_lists_no_figures_from_before(folder):
    write(folder, "compas", [RUN])
    answer = command("evals.select", "dataset=compas", "minimize=fpr_gapp")
    refused(answer, "did you mean fpr_gap", "Metrics here: accuracy, fpr_gap")
    assert "unpoisoned" not in answer.err.partition("Metrics here")[2]


def test_runs_can_be_chosen_by_what_they_were_poisoned_for():
    table = query.frame([RUN, record(2), poisoned(3, gap=GAP, objective="unfair")])
    assert query.where(table, "poison_metric==fpr_gap, poison_objective==unfair")["doc_id"].tolist() == [3]


def test_how_many_processes_searched_is_no_difference():
    groups = query.aggregate(query.frame([RUN, poisoned(2, gap=GAP, budget=60)]), [])
    assert query.differences([RUN, poisoned(2, gap=GAP, budget=60)], groups, "name") == ["budget 50", "budget 60"]


def test_a_share_of_validation_rows_has_no_interval_of_test_rows():
    rows = RUN | {"rows": {"test": 100, "valid": 100}}
    assert over_rows(rows, "accuracy_unpoisoned")[0] > 0
    assert str(over_rows(rows, "accuracy_valid_unpoisoned")) == "(nan, nan)"
