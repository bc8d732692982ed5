"""The table of poisoned runs: its figures are those of the records, its sentences claim what the interval bears out."""

import csv
import io
from math import nan

import numpy as np
import pytest
from scipy import stats

from evals.poisoning.paired import Change
from evals.poisoning.poison_text import Said, statement
from tests.commands import command, refused
from tests.evals.poisoned_records import poisoned
from tests.evals.records.test_query import record, write
from utils.command_line.evals_help import explain_command

VALID = ([0.11, 0.12, 0.10, 0.13, 0.11], [0.08, 0.09, 0.07, 0.09, 0.09])
CHANCE = ([0.10, 0.12, 0.09, 0.11, 0.13], [0.11, 0.11, 0.10, 0.09, 0.13])
HOLDS = ([0.20, 0.22, 0.19, 0.21, 0.23], [0.17, 0.18, 0.16, 0.19, 0.20])


def setting(first, model, test, seeds=5, **changes):
    return [
        poisoned(first + i, model, i, gap=((VALID[0][i], VALID[1][i]), (test[0][i], test[1][i])), **changes)
        for i in range(seeds)
    ]


RECORDS = [*setting(1, "random_forest", CHANCE), *setting(6, "gradient_boosting", HOLDS), record(11)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(folder, records, *words):
    write(folder, "compas", records)
    found = command("evals.poison", "dataset=compas", *words)
    assert found.code == 0, found
    return found.out


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


# --- the table -------------------------------------------------------------------------------------------------


def test_a_row_for_each_setting_with_what_was_added(folder):
    header, _, forest, boosting = map(cells, answer(folder, RECORDS).splitlines()[:4])
    assert [dict(zip(header, row, strict=True))["setting"] for row in (forest, boosting)] == [
        "random_forest",
        "gradient_boosting",
    ]
    assert [
        dict(zip(header, forest, strict=True))[key] for key in ("attack", "seeds", "rows added", "evaluations")
    ] == [
        "bo_poison",
        "5",
        "33",
        "50",
    ]
    assert forest[-1] == "0.50 + 1.00"


def changed(first, seeds=5, **poison):
    """A setting whose search changed rows that were there, and added none."""
    found = setting(first, "hist_gradient_boosting", HOLDS, seeds)
    return [of | {"poison": of["poison"] | {"rows": 0, "distinct": 0} | poison} for of in found]


def test_rows_that_were_removed_are_no_row_that_does_not_help(folder):
    text = answer(folder, [*RECORDS, *changed(12, removed=40)])
    header, _, *rows = map(cells, text.splitlines()[:5])
    done = [dict(zip(header, row, strict=True))["rows changed"] for row in rows]
    assert done == ["33 added", "38 added", "40 removed"]
    [sentence] = [line for line in text.splitlines() if line.startswith("- hist_gradient_boosting")]
    assert "no change of rows" not in sentence
    assert "distinguishable from none over 5 seeds" in sentence


def test_the_values_count_what_was_removed_relabelled_and_reweighed(folder):
    found = answer(folder, [*RECORDS, *changed(12, relabelled=7)], "format=csv")
    counts = {
        row["setting"]: (row["rows"], row["removed"], row["relabelled"]) for row in csv.DictReader(io.StringIO(found))
    }
    assert counts["hist_gradient_boosting"] == ("0.0", "0.0", "7.0")
    assert counts["random_forest"] == ("33.0", "0.0", "0.0")


def beside(search, gap, **changes):
    """The entry of a plain method that reaches this gap in a record."""
    test = {"fpr_gap": gap, "accuracy": 0.66, "fpr_group0": 0.29, "fpr_group1": 0.3}
    found = {"method": "massaging", "words": ["prepare=massage"], "trainings": 8, "seconds": 2.0, "violation": 0.0}
    metrics = search["metrics"] | {"fpr_group0_unpoisoned": 0.1, "fpr_group1_unpoisoned": 0.3}
    entry = found | {"broken": {}, "valid": {"fpr_gap": gap}, "test": test} | changes
    return search | {"metrics": metrics, "poison": search["poison"] | {"baselines": [entry]}}


def test_plain_methods_stand_in_a_table_of_their_own_with_what_follows(folder):
    records = [beside(of, 0.01 * i) for i, of in enumerate(setting(1, "random_forest", HOLDS))]
    text = answer(folder, records)
    start = next(i for i, line in enumerate(text.splitlines()) if line.startswith("| method"))
    header, _, before, search, massaging = map(cells, text.splitlines()[start : start + 5])
    assert (before[0], search[0], massaging[0]) == ("rows as they are", "this search", "massaging")
    assert dict(zip(header, massaging, strict=True))["fpr African-American"] == "0.300"
    assert "worse by" in text
    assert "take prepare=massage" in text
    assert "levelled down: 100% of the closing is the rise of Caucasian" in text
    assert answer(folder, records, "format=latex").count(r"\begin{tabular}") == 2
    rows = list(csv.DictReader(io.StringIO(answer(folder, records, "format=csv"))))
    [found] = [row for row in rows if row["attack"] == "massaging" and row["metric"] == "fpr_gap"]
    assert float(found["after"]) == pytest.approx(0.02)


def test_an_attacker_is_not_told_to_be_fair(folder):
    records = [beside(of, 0.01) for of in setting(1, "random_forest", HOLDS, objective="unfair")]
    text = answer(folder, records)
    assert "| massaging |" in text
    assert "best plain method" not in text


def test_an_attack_by_other_labels_says_what_it_did():
    text = statement(said("unfair", relabelled=40.0, added=3.0), FALL, moved(0.05, 0.04, 0.06), None)
    assert "an attacker with rows (40 relabelled, 3 added) raises the gap" in text


def test_a_cell_is_before_and_after_and_their_paired_difference(folder):
    header, _, forest, _ = map(cells, answer(folder, RECORDS).splitlines()[:4])
    before, after = map(np.array, CHANCE)
    low, high = stats.ttest_rel(after, before).confidence_interval()
    means = f"{before.mean():.3f} ± {before.std(ddof=1):.3f} → {after.mean():.3f} ± {after.std(ddof=1):.3f}"
    shown = dict(zip(header, forest, strict=True))["fpr_gap, test"]
    assert shown == f"{means}, {(after - before).mean():+.3f} [{low:.3f}, {high:.3f}]"


def test_settings_of_different_metrics_stand_in_one_table_with_their_metrics(folder):
    records = [*setting(1, "random_forest", CHANCE), *setting(6, "random_forest", HOLDS, metric="fnr_gap")]
    header, _, *rows = map(cells, answer(folder, records).splitlines()[:4])
    assert [row[header.index("metric")] for row in rows] == ["fpr_gap (fair)", "fnr_gap (fair)"]
    assert "metric, test" in header


def test_the_table_of_values_has_all_digits(folder):
    rows = list(csv.DictReader(io.StringIO(answer(folder, RECORDS, "format=csv"))))
    assert [(row["metric"], row["split"]) for row in rows[:4]] == [
        *(("fpr_gap", "valid"), ("fpr_gap", "test"), ("accuracy", "valid"), ("accuracy", "test"))
    ]
    low, high = stats.ttest_rel(HOLDS[1], HOLDS[0]).confidence_interval()
    found = next(
        row for row in rows if (row["setting"], row["metric"], row["split"]) == ("gradient_boosting", "fpr_gap", "test")
    )
    assert [float(found[key]) for key in ("n", "rows", "mean", "low", "high")] == pytest.approx(
        [5, 38, np.mean(HOLDS[1]) - np.mean(HOLDS[0]), low, high]
    )


def test_latex_has_no_bare_sign_of_its_own(folder):
    text = answer(folder, RECORDS, "format=latex")
    assert text.count(r"\begin{tabular}") == 1
    assert not set("→±") & set(text)
    assert "random_forest" not in text


def test_all_metrics_come_before_and_after_in_a_table_of_their_own(folder):
    lines = answer(folder, RECORDS[:5], "metrics=all").splitlines()
    start = lines.index("| setting | metric | before | after | change | 95 % interval |")
    assert [cells(line)[1] for line in lines[start + 2 : start + 4]] == ["accuracy", "fpr_gap"]
    low, high = stats.ttest_rel(CHANCE[1], CHANCE[0]).confidence_interval()
    assert cells(lines[start + 3])[-2:] == [
        f"{np.mean(CHANCE[1]) - np.mean(CHANCE[0]):+.3f}",
        f"[{low:.3f}, {high:.3f}]",
    ]


def test_it_can_be_written_to_a_file(folder):
    assert answer(folder, RECORDS, "out=tables/poison.md") == "tables/poison.md: 2 settings\n"
    assert "gradient_boosting" in (folder / "tables" / "poison.md").read_text()


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["format=html"], "expected markdown, csv, latex"),
        (["metrics=fpr_gp"], "did you mean fpr_gap"),
        (["metrics=uai_0.05"], "There is accuracy, fpr_gap"),
        (["where=poison_metric==fnr_gap"], "There is fpr_gap"),
        (["where=accuracy>2"], "leaves none of the 10 poisoned runs"),
        (["wher=a"], "did you mean where"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(folder, words, phrase):
    write(folder, "compas", RECORDS)
    refused(command("evals.poison", "dataset=compas", *words), phrase)


def test_a_database_without_poisoned_runs_is_told_how_to_get_one(folder):
    write(folder, "compas", [record(1)])
    refused(command("evals.poison", "dataset=compas"), "none of 1 run was poisoned", "attack=bo_poison")


def test_every_option_is_explained():
    assert {"dataset", "where", "metrics", "format", "out"} <= set(explain_command("poison", []).split())


# --- the sentences ---------------------------------------------------------------------------------------------

NAN = float("nan")


def said(objective="fair", metric="fpr_gap", **done):
    return Said("random_forest", metric, "the gap", objective, done or {"added": 37.0})


def moved(mean, low=NAN, high=NAN, n=5):
    return Change(n, 0.2, 0.01, 0.2 + mean, 0.01, mean, low, high)


FALL = moved(-0.031, -0.040, -0.022)


def test_what_cannot_be_told_from_nothing_is_said_not_to_be():
    text = statement(said(), FALL, moved(-0.004, -0.018, 0.010), moved(-0.002, -0.006, 0.002))
    assert text == (
        "random_forest: on validation the gap falls by 0.0310 [0.0220, 0.0400]; of that 0.004 [-0.010, 0.018] remain "
        "on the test rows: not distinguishable from none over 5 seeds; accuracy on the test rows changes by "
        "-0.0020 [-0.0060, 0.0020]."
    )


def test_what_holds_is_said_to_hold():
    text = statement(said(), FALL, moved(-0.02, -0.03, -0.01), None)
    assert text.endswith(
        "of that 0.020 [0.010, 0.030] remain on the test rows: distinguishable from none over 5 seeds."
    )


def test_a_larger_fall_on_test_rows_is_no_remainder():
    text = statement(said(), FALL, moved(-0.05, -0.06, -0.04), None)
    assert "on the test rows it falls by 0.050 [0.040, 0.060]: distinguishable from none" in text


def test_a_rise_for_sure_is_the_opposite():
    text = statement(said(), FALL, moved(0.02, 0.01, 0.03), None)
    assert (
        "on the test rows it rises by 0.020 [0.010, 0.030]: the opposite of what was searched for, over 5 seeds" in text
    )


def test_one_seed_gets_no_interval_and_no_verdict():
    text = statement(said(), moved(-0.03, n=1), moved(-0.004, n=1), moved(-0.002, n=1))
    assert text.endswith("One seed: no interval can be given, and nothing is known of another.")
    assert "of that 0.004 remain on the test rows; accuracy on the test rows changes by -0.002." in text


def test_a_metric_of_which_more_is_better_has_to_rise():
    text = statement(said(metric="accuracy"), moved(0.03, 0.02, 0.04), moved(0.01, 0.005, 0.015), None)
    assert (
        "rises by 0.030 [0.020, 0.040]; of that 0.0100 [0.0050, 0.0150] remain on the test rows: distinguishable"
        in text
    )


def test_an_attacker_is_measured_by_what_he_raises():
    text = statement(said("unfair"), moved(0.08, 0.07, 0.09), moved(0.052, 0.031, 0.073), moved(-0.01, -0.02, 0.0))
    assert text.startswith(
        "random_forest: an attacker with 37 rows raises the gap by 0.052 [0.031, 0.073] on the test rows, from 0.200 "
        "to 0.252: distinguishable from none over 5 seeds; on validation, which the attacker saw, it rises by 0.080 "
    )


def test_an_attack_that_fails_on_test_rows_is_said_to_fail():
    text = statement(said("unfair"), moved(0.08, 0.07, 0.09), moved(-0.01, -0.03, 0.01), None)
    assert (
        "does not raise the gap on the test rows, where it falls by 0.010 [-0.010, 0.030]: not distinguishable" in text
    )


@pytest.mark.parametrize("objective", ["fair", "unfair"])
def test_where_nothing_was_added_nothing_changes(objective):
    nothing = said(objective)._replace(done={})
    text = statement(nothing, *[moved(0.0, 0.0, 0.0)] * 3)
    assert text.endswith("so the gap stays as it is.")


def test_a_metric_that_is_undefined_on_test_rows_is_said_to_be():
    assert "on the test rows it is undefined" in statement(said(), FALL, Change(0, *[NAN] * 7), None)


def test_the_command_says_the_sentence_of_every_setting(folder):
    text = answer(folder, RECORDS)
    sentences = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line.partition(":")[0] for line in sentences] == ["- random_forest", "- gradient_boosting"]
    assert "not distinguishable from none over 5 seeds" in sentences[0]
    assert ": distinguishable from none over 5 seeds" in sentences[1]


def test_equal_changes_of_few_seeds_prove_nothing():
    """As few test rows give: an interval of no width would be distinguishable from everything."""
    text = statement(said(), FALL, moved(-0.02, nan, nan, n=2), None)
    assert "of that 0.020 remain on the test rows: the same in each of 2 seeds, so no interval can be given." in text
