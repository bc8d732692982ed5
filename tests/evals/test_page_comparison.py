"""Two models pinned on the page: their differences are those of evals.compare, made of the same decisions.

Skipped where no Chromium is found (TRILEMMA_CHROMIUM names another one) or Playwright is not installed.
"""

import numpy as np
import pytest

from evals import report
from evals.choosing import comparison
from evals.page import content, row_decisions
from evals.records import query
from tests.benchmarks import bench_report
from tests.evals.chromium import browser, executable, opened
from utils.records import decisions

pytest.importorskip("playwright", reason="Playwright is not installed: pip install -r tests/requirements.txt")
if executable() is None:
    pytest.skip("no Chromium found; TRILEMMA_CHROMIUM names its executable", allow_module_level=True)

NAMES = ("sex=f,race=a", "sex=f,race=b", "sex=m,race=a", "sex=m,race=b")


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Six runs of two settings, of four groups, with their decisions, but for the last."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRILEMMA_WEIGHTS", str(tmp_path_factory.mktemp("weights")))
        made = [record | {"doc_id": i} for i, record in enumerate(bench_report.records(6), start=1)]
        for record in made:
            rng = np.random.default_rng(record["seed"])
            rows = {"y": rng.integers(0, 2, 500), "s": rng.integers(0, 4, 500), "index": np.arange(500)}
            wrong = np.random.default_rng(record["doc_id"]).random(500) < 0.2 + 0.02 * record["doc_id"]
            labels = np.where(wrong, 1 - rows["y"], rows["y"])
            record["preprocessing"] = {"groups": list(NAMES)}
            if record["doc_id"] < 6:
                record |= decisions.write("celeba_jobs", record["run_id"], labels, rows, (2, 4), str(record["seed"]))
        yield made


@pytest.fixture(scope="module")
def page(jobs, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    held = content.content(jobs, query.options(["dataset=celeba_jobs"], report.OPTIONS))
    path.write_text(report.page(held), encoding="utf-8")
    with browser() as running:
        shown = opened(running, path)
        yield shown
        assert shown.complaints == []


KEYS = (
    *("accuracy", "acceptance_rate", "fnr", "fpr_group2", "accuracy_class_1", "worst_class_accuracy"),
    *(
        "fnr_gap",
        "fpr_gap_by_sex",
        "fnr_signed_gap_by_race",
        "equalized_odds_difference",
        "demographic_parity_difference_by_race",
    ),
)


def test_paired_differences_are_those_of_the_command(jobs, page):
    first, second = (decisions.read(jobs[i]) for i in (0, 3))
    for one in comparison.compare(first, second, NAMES, KEYS, 0.95):
        found = page.evaluate("key => trilemma.paired(1, 4, key)", one.key)
        assert (found["first"], found["second"]) == pytest.approx((one.first, one.second)), one.key
        assert found["ends"] == pytest.approx([one.low, one.high]), one.key


@pytest.mark.parametrize("group", [None, 0, 3])
def test_rows_decided_otherwise_are_those_of_the_command(jobs, page, group):
    first, second = (decisions.read(jobs[i]) for i in (0, 3))
    rows = np.ones(500, dtype=bool) if group is None else first.s == group
    counted = comparison.otherwise(first, second, rows)
    found = page.evaluate("group => trilemma.otherwise(1, 4, group)", group)
    assert tuple(found.values()) == (counted.rows, counted.different, *counted[1:3], *counted[4:])


def panel(page, hash):
    page.evaluate("hash => trilemma.open(hash)", hash)
    return page.locator("#compare").inner_text() if page.locator("#compare").is_visible() else None


def test_the_panel_shows_two_pinned_runs_row_by_row(page):
    said = panel(page, "seeds=runs&pin=1&pin=4")
    assert "Of the same 500 test rows they decide" in said
    assert "paired" in said
    assert "sex=m,race=b" in said
    assert "python -m evals.compare dataset=celeba_jobs ids=1,4" in said


def test_the_panel_shows_two_settings_over_their_seeds(jobs, page):
    said = panel(page, "seeds=mean&pin=1&pin=4")
    assert "Differences of runs of one seed, 3 seeds" in said
    assert "Of the same" not in said
    assert "Rows are not compared, since record 6 keeps no decisions" in said
    accuracy = [jobs[i + 3]["metrics"]["accuracy"] - jobs[i]["metrics"]["accuracy"] for i in range(3)]
    line = next(line for line in said.replace("\u2212", "-").splitlines() if line.startswith("accuracy\t"))
    assert float(line.split("\t")[3]) == pytest.approx(100 * np.mean(accuracy), abs=0.06)


def test_runs_of_other_rows_and_without_decisions_compare_by_their_figures(page):
    assert "they were judged on different test rows" in panel(page, "seeds=runs&pin=1&pin=5")
    said = panel(page, "seeds=runs&pin=3&pin=6")
    assert "since record 6 keeps no decisions" in said
    assert "as of other rows" in said


def test_operating_points_are_paired_by_seed_without_rows(jobs, page):
    said = panel(page, "seeds=mean&points=all&pin=1.0&pin=4")
    assert "Differences of runs of one seed, 3 seeds" in said
    assert "Rows are not compared, since no decisions are kept at operating points" in said
    points = [of["operating_points"]["metrics"]["accuracy"][0] for of in jobs[:3]]
    change = np.mean([of["metrics"]["accuracy"] - one for of, one in zip(jobs[3:], points, strict=True)])
    line = next(line for line in said.replace("\u2212", "-").splitlines() if line.startswith("accuracy\t"))
    assert float(line.split("\t")[3]) == pytest.approx(100 * change, abs=0.06)


def test_one_pin_is_no_comparison(page):
    assert panel(page, "seeds=runs&pin=1") is None


def test_what_does_not_fit_the_page_is_left_out_and_said(jobs, monkeypatch):
    monkeypatch.setattr(row_decisions, "MOST", 1000)
    found = row_decisions.kept(jobs, NAMES, (), "celeba_jobs")
    assert found["full"]
    assert 0 < sum(own is not None for own in found["of"]) < 5
