"""What the page holds: columns against the records they were made from, and everything a database may throw at it."""

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import report
from evals.page import columns
from evals.page import content as contents
from evals.records import query
from evals.records.points import with_points
from tests.benchmarks import bench_report
from tests.commands import command, refused
from tests.evals.records.test_query import record
from utils.metrics.directions import by_attribute

HOSTILE = "</script><img src=x onerror=alert(1)>&amp;\u2028'\""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, records, dataset="loan"):
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in records}
    (folder / f"{dataset}.json").write_text(json.dumps({"_default": stored}))


def content(records, *words):
    return contents.content(records, query.options(["dataset=loan", *words], report.OPTIONS))


def decoded(column, n):
    """A column as text of base 64, read digit by digit; numbers as running sums of their steps."""
    of = column.get("of") or [total / 10 ** column["power"] for total in itertools.accumulate(column["steps"])]
    digits = [columns.ALPHABET.tobytes().decode().index(sign) for sign in column["at"]]
    wide = column["wide"]
    rows = [digits[i * wide : (i + 1) * wide] for i in range(n)]
    places = [sum(d * 64 ** (wide - 1 - k) for k, d in enumerate(row)) for row in rows]
    return [of[place] if place < len(of) else None for place in places]


def jobs(count):
    return [made | {"doc_id": i} for i, made in enumerate(bench_report.records(count), start=1)]


# --- columns ---------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")) | st.just(float("inf")), min_size=1, max_size=200))
def test_a_column_gives_its_numbers_back_to_twelve_digits_of_the_largest(values):
    found = decoded(columns.numbers(values), len(values))
    largest = max((abs(v) for v in values if np.isfinite(v)), default=0)
    for value, read in zip(values, found, strict=True):
        assert read is None if not np.isfinite(value) else abs(read - value) <= 5.01e-12 * largest + 1e-22


def test_decimals_are_read_as_they_were_written():
    values = [0.1, 0.7, 0.123456789, 1e-12, -0.3]
    assert decoded(columns.numbers(values), 5) == values


@given(st.lists(st.integers(0, 10_000), min_size=1), st.integers(1, 10_000))
def test_shares_of_rows_stay_apart_and_in_order(counts, rows):
    """Shares of up to 10,000 rows differ by at least 1e-4: rounding makes no ties and keeps all order."""
    shares = np.array(counts) / rows
    found = np.array(decoded(columns.numbers(shares), len(shares)))
    assert np.array_equal(np.argsort(found, kind="stable"), np.argsort(shares, kind="stable"))
    assert len(set(found)) == len(set(counts))


@given(st.lists(st.text(max_size=3) | st.none(), min_size=1, max_size=300))
def test_a_column_gives_its_texts_back(values):
    assert decoded(columns.texts(values), len(values)) == values


def test_five_thousand_different_values_take_three_signs_each():
    column = columns.numbers(np.arange(5000))
    assert (column["wide"], len(column["at"]), decoded(column, 5000)) == (3, 15000, list(range(5000)))


def test_the_runs_are_the_records():
    records = jobs(9)
    held = content(records)["runs"]
    for key, value in records[4]["metrics"].items():
        assert decoded(held["metrics"][key], 9)[4] == pytest.approx(value, rel=1e-5), key
    assert decoded(held["doc_id"], 9) == list(range(1, 10))
    assert decoded(held["setting"], 9) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_points_are_those_of_with_points():
    records = jobs(4)
    held = content(records)["points"]
    expected = [made for made in with_points(records) if "point" in made]
    assert decoded(held["policy"], held["n"]) == [made["policy"] for made in expected]
    assert [records[int(i)]["doc_id"] for i in decoded(held["run"], held["n"])] == [made["doc_id"] for made in expected]
    assert decoded(held["metrics"]["fnr_gap"], held["n"]) == pytest.approx(
        [m["metrics"]["fnr_gap"] for m in expected], abs=1e-9
    )


def test_points_can_be_left_out():
    assert content(jobs(3), "points=false")["points"] is None


def test_a_null_metric_is_none_and_a_metric_of_no_run_is_not_offered():
    records = [
        record(1, metrics={"accuracy": None, "mcc": None, "auc": 0.5}),
        record(2, metrics={"accuracy": 0.5, "mcc": None}),
    ]
    held = content(records)
    assert {metric["key"] for metric in held["metrics"]} == {"accuracy", "auc"}
    assert decoded(held["runs"]["metrics"]["accuracy"], 2) == [None, 0.5]
    assert decoded(held["runs"]["metrics"]["auc"], 2) == [0.5, None]


# --- words -----------------------------------------------------------------------------------------------------


def test_headlines_come_first_and_details_by_section():
    metrics = content(jobs(3))["metrics"]
    sections = [metric["section"] for metric in metrics]
    first = [metric["key"] for metric in metrics if not metric["section"]]
    assert first[:2] == ["accuracy", "balanced_accuracy"]
    assert 8 <= len(first) <= contents.MOST
    assert sections == sorted(sections, key=list(dict.fromkeys(sections)).index), "sections are not torn apart"
    of = {metric["key"]: metric["section"] for metric in metrics}
    assert (of["fnr_gap"], of["fnr_group0"], of["fnr_gap_null"]) == ("", "Each group", "Checks and chance")
    assert not [key for key in of if key.endswith(("_low", "_high"))]


@pytest.mark.parametrize(
    ("key", "section"),
    [
        ("accuracy_class_3", "Each class"),
        ("robust_accuracy_class_3_8/255", "Each class"),
        ("robust_accuracy_worst_class_0.05", "Robustness"),
        ("uai_gradient_0.05", "Individuals and their twins"),
        ("check_random", "Checks and chance"),
        ("loudness", "Others"),
    ],
)
def test_a_metric_has_its_section(key, section):
    assert contents._section(key) == section


def test_gaps_of_an_attribute_whose_name_needs_quotes_are_offered_with_what_they_are_made_of():
    end = by_attribute("race & 'origin'")
    gap, parts = f"fnr_gap{end}", [f"fnr_group{i}{end}" for i in range(2)]
    metrics = {gap: 0.2, f"{gap}_low": 0.1, f"{gap}_high": 0.3, f"{gap}_null": 0.05, "fnr_gap_by_sex_null": 0.1}
    held = content([record(1, metrics=metrics, shares={part: [2 + i, 10] for i, part in enumerate(parts)})])
    made = {metric["key"]: metric["made"] for metric in held["metrics"]}
    assert made == {gap: ["gap", [parts]], f"{gap}_null": None, "fnr_gap_by_sex_null": None}


def test_a_later_evaluation_is_named_and_has_the_direction_of_its_metric():
    records = [record(1, evaluations={"pgd@8/255": {"uai_0.05": 0.2}}), record(2)]
    [metric] = [m for m in content(records)["metrics"] if m["section"] == contents.LATER]
    assert (metric["key"], metric["direction"]) == ("pgd@8/255/uai_0.05", -1)
    assert metric["words"].endswith("[pgd@8/255]")


def test_the_first_axes_are_accuracy_and_the_gap_that_points_trade():
    assert content(jobs(2))["axes"] == ["accuracy", "fnr_gap"]


def test_without_points_the_watched_metrics_are_the_first_axes():
    made = record(1, metrics={"accuracy": 0.5, "mcc": 0.1, "uai_0.05": 0.1})
    made["params"]["watch"] = ["accuracy", "uai_0.05"]
    assert content([made])["axes"] == ["accuracy", "uai_0.05"]


# --- settings --------------------------------------------------------------------------------------------------


def test_parameters_that_change_together_are_said_once():
    held = content(jobs(66))["settings"]
    assert sorted(held["differs"]) == ["epsilon.radius", "trainer.lr"]
    assert held["shared"]["dataset.name"] == "celeba_jobs"
    assert "evaluation.metrics.linf.training_radius" in held["params"]


def test_a_command_is_of_a_setting_and_what_has_none_says_why():
    held = content([*jobs(4), record(9)])["settings"]
    assert decoded(held["command"], 3)[0].startswith("python train.py dataset=celeba_jobs regularizer=erm")
    assert "seed" not in decoded(held["command"], 3)[0]
    assert (decoded(held["command"], 3)[2], decoded(held["lost"], 3)[0]) == (None, None)
    assert "did not train it" in decoded(held["lost"], 3)[2]


# --- the file --------------------------------------------------------------------------------------------------


def test_nothing_in_the_data_can_end_its_element():
    made = record(1, name=HOSTILE, created=HOSTILE, warnings=[HOSTILE])
    made["params"]["choices"]["regularizer"] = HOSTILE
    text = report.page(content([made, record(2)], f"title={HOSTILE}"))
    data = re.split('type="application/json"[^>]*>', text)[1].split("</script>")[0]
    assert not re.search("[<>&\u2028\u2029]", data)
    assert decoded(json.loads(data)["runs"]["name"], 2)[0] == HOSTILE
    assert "<img" not in text
    assert text.count("</script>") == 2


def test_data_that_look_like_a_place_of_the_template_stay_data():
    text = report.page(content([record(1, name="{{style}}"), record(2)]))
    assert '"{{style}}"' in text


def test_the_page_names_no_address():
    text = report.page(content([record(1), record(2)]))
    assert not re.search(r"""(?:https?:)?//[a-z]|@import|(?:src|href)=["'](?!data:)""", text.replace("// ", ""))


def test_the_policy_names_the_scripts_and_styles_that_are_there():
    """The digest is that of the text between the tags, as browsers take it (CSP level 2)."""
    import base64
    import hashlib

    text = report.page(content([record(1), record(2)]))
    for tag in ("style", "script"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[-1]
        assert base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode() in text


def test_a_line_says_what_was_written(folder):
    write(folder, jobs(3), "celeba_jobs")
    answer = command("evals.report", "dataset=celeba_jobs")
    assert (answer.code, answer.err) == (0, "")
    assert re.fullmatch(
        r"figures/celeba_jobs_report\.html: 3 runs, 24 operating points, \d\.\d MB, \d+\.\d s\n", answer.out
    )
    assert (folder / "figures" / "celeba_jobs_report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "dataset is required"),
        (["dataset=lost"], "no database for dataset=lost"),
        (["dataset=loan", "x=acuracy"], "did you mean accuracy"),
        (["dataset=loan", "y=seed"], "no run has it"),
        (["dataset=loan", "where=accuracy>2"], "leaves none of the 2 runs"),
        (["dataset=loan", "where=acuracy>2"], "did you mean accuracy"),
        (["dataset=loan", "out=a.png"], "ending in .html"),
        (["dataset=loan", "points=maybe"], "true or false"),
        (["dataset=loan", "hue=model"], "unknown option"),
        (["dataset=loan", "where=regularizer==none_of_it"], "no run has"),
    ],
)
def test_a_wrong_word_is_one_line_and_nothing_is_written(folder, words, message):
    write(folder, [record(1), record(2)])
    refused(command("evals.report", *words), message)
    assert not list(folder.rglob("*.html"))


def test_runs_without_any_metric_are_refused(folder):
    write(folder, [record(1, metrics={}), record(2, metrics={"accuracy": None})])
    refused(command("evals.report", "dataset=loan"), "none of the 2 runs has a metric")


def test_a_page_of_many_runs_is_small():
    """Of 300 runs with 2,400 points; of 5,000, for which 10 MB leave 2 kB a run, more values are the same."""
    records = jobs(300)
    size = len(report.page(content(records)))
    assert size - len(report.page(content(records[:1]))) < 300 * 2800
    assert size < len(json.dumps(records)) / 5
