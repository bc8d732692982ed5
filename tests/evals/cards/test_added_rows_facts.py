"""What the card, the page and listings say of added rows, and that runs without any look as ever."""

import json

import pytest

from evals import report
from evals.cards import added_rows_facts, fitness, technical_identity
from evals.page.content import content
from evals.records import query
from evals.records.points import with_points
from evals.records.row_intervals import over_rows
from tests.commands import command, refused
from tests.evals.poisoned_records import poisoned
from tests.evals.records.test_query import record, write

GAP = ((0.20, 0.10), (0.22, 0.18))
RUN = poisoned(1, gap=GAP)


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


def searched(**settings):
    search = RUN["params"]["attack"]["poison"] | settings
    return RUN["params"] | {"attack": RUN["params"]["attack"] | {"poison": search}}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spread": False}, "observations of nobody"),
        ({"spread": True}, "Their features are those of people in the training data"),
        ({"spread": True, "bounds": {"age": [18, 30]}}, "which bounds or fixed columns may have changed"),
        ({"spread": True, "fixed": {"age": 18}}, "which bounds or fixed columns may have changed"),
    ],
)
def test_of_an_older_search_it_is_said_whose_features_the_rows_may_have(settings, words):
    assert words in added_rows_facts.section(RUN | {"params": searched(**settings)})[1].text


ORIGINS = {
    **{"rows": 31, "distinct": 5, "cells": {"a": {"no": 30}, "b": {"yes": 1}}},
    **{"copies": 4, "relabelled": 7, "invented": 20, "contradicted": 9, "beyond": 0},
}


def test_rows_that_were_counted_are_called_what_they_are():
    """Whatever the settings promise: 20 of the rows have the features of nobody."""
    record = RUN | {"params": searched(spread=True), "poison": RUN["poison"] | {"origins": ORIGINS}}
    blocks = added_rows_facts.section(record)
    found = dict(blocks[2].rows)
    assert "Their features are those of people" not in blocks[1].text
    assert found["What they are"].startswith("4 of 31: copies of records")
    assert "7 of 31: people's features with a chosen label" in found["What they are"]
    assert "20 of 31: invented" in found["What they are"]
    assert "beyond" not in found["What they are"]
    assert found["By group and class"] == "a: 30 of no; b: 1 of yes"
    assert found["Contradicted"] == "9 by people with the same features and another label"
    assert "GDPR" in blocks[3].text
    assert "no legal advice" in blocks[3].text


def changed(**poison):
    """A run whose search added no row."""
    return RUN | {"poison": RUN["poison"] | {"rows": 0, "distinct": 0, "labels": {}, "groups": {}} | poison}


@pytest.mark.parametrize(
    ("poison", "lead", "law"),
    [
        ({"removed": 12}, "trained without 12 rows of the data, chosen so that", "were left out, or count otherwise"),
        ({"relabelled": 1}, "trained with the labels of 1 row changed, chosen so that", "use people's features again"),
        (
            {"reweighed": 9},
            "trained with the weights of 9 rows changed, chosen so",
            "were left out, or count otherwise",
        ),
        ({"rows": 3, "removed": 2}, "on 3 rows more than the data have, without 2 rows of the data", "left out"),
    ],
)
def test_what_was_done_to_rows_is_said_on_the_card(poison, lead, law):
    heading, said, _, *laws = added_rows_facts.section(changed(**poison))
    assert heading.text == "Changed training rows"
    assert lead in said.text
    assert law in " ".join(block.text for block in laws)
    assert "observations of nobody" not in said.text or "rows" in poison


def test_a_search_that_found_nothing_says_so_and_speaks_of_no_law():
    _, said, table = added_rows_facts.section(changed())
    assert "found none: the model was trained on the rows as they are" in said.text
    assert dict(table.rows)["Added rows"] == "0 (0 distinct)"


def test_changed_rows_are_counted_by_cell_and_their_list_is_named():
    """Numbers of a search are not those of the model where a trivial attack did better."""
    numbers = {"men/0 as 1": 7, "women/1 as 0": 0}
    filed = {"path": "compas/run1.changes.csv", "sha256": "ab"}
    poison = {"relabelled": 7, "numbers": numbers, "changes": filed}
    found = dict(added_rows_facts.facts(changed(**poison)))
    assert found["Relabelled rows"] == "7 (7 of men/0 as 1, by group/label)"
    assert found["List of the changed rows"] == "poison/compas/run1.changes.csv"
    assert "Table of the rows" not in found
    assert "Added rows" not in found
    trivial = {"trivial": {"trainings": 4, "seconds": 0.1, "better": True, "rows": 7, "of": "men with label 0 as 1"}}
    assert dict(added_rows_facts.facts(changed(**poison, **trivial)))["Relabelled rows"] == "7"
    assert "compas/run1.changes.csv ab" in added_rows_facts.section(changed(**poison))[2].caption


def test_both_groups_rates_stand_there_before_and_after_and_who_paid():
    rates = {"fpr_group0_unpoisoned": 0.1, "fpr_group1_unpoisoned": 0.3, "fpr_group0": 0.3, "fpr_group1": 0.3}
    found = dict(added_rows_facts.facts(RUN | {"metrics": RUN["metrics"] | rates}))
    assert found["By group, on test rows"] == (
        "false positive rate: Caucasian 0.100 → 0.300, African-American 0.300 → 0.300; levelled down: 100% of the "
        "closing is the rise of Caucasian"
    )


def test_the_training_rows_of_the_card_are_not_as_they_are():
    told = dict(technical_identity.details(changed(removed=3), [])[1].rows)
    assert told["Training rows"].endswith("but for those removed or changed above")
    listed = record(2, params={**record(2)["params"], "changed": "list.csv"})
    assert (
        "but for those that list.csv removes or changes"
        in dict(technical_identity.details(listed, [])[1].rows)["Training rows"]
    )


def test_consent_is_spoken_of_where_people_s_features_are_used_again():
    nobody = ORIGINS | {"copies": 0, "relabelled": 0, "invented": 31, "contradicted": 0}
    texts = [
        added_rows_facts.section(RUN | {"poison": RUN["poison"] | {"origins": of}})[3].text for of in (ORIGINS, nobody)
    ]
    assert "use people's features again" in texts[0]
    assert "the rows describe nobody" in texts[1]


def test_the_rows_of_a_file_stand_on_the_card():
    added = {"path": "rows.csv", "sha256": "ab", **ORIGINS}
    record_ = record(2, added=added)
    blocks = added_rows_facts.section(record_)
    found = dict(blocks[2].rows)
    assert found["Rows of a file"] == "31 (5 distinct) of rows.csv"
    assert found["SHA-256 of the file"] == "ab"
    assert "31 rows of a file beside those of the data set" in blocks[1].text
    assert ["Training rows", "as they are, all of weight 1; and the added rows above"] in technical_identity.details(
        record_, []
    )[1].rows


def test_an_operating_point_compares_the_run_s_own_thresholds_before_and_after():
    """Thresholds of groups close a gap by themselves: at the point it is 0, by the run's own .18, without rows .22."""
    points = {"rates": ["fpr"], "permitted": [0.0], "logits": [[0.0, 1.0]], "metrics": {"fpr_gap": [0.0]}}
    run, point = with_points([RUN | {"operating_points": points}])
    assert point["metrics"]["fpr_gap"] == 0.0
    found = dict(added_rows_facts.facts(point))
    for name in ("On test rows", "On validation rows"):
        key = f"{name}, by the run's own thresholds"
        assert found[key] == dict(added_rows_facts.facts(run))[key] == dict(added_rows_facts.facts(RUN))[name]
    assert found["On test rows, by the run's own thresholds"].startswith("fpr_gap 0.220 before, 0.180 after")


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
