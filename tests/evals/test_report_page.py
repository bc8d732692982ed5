"""The page itself in headless Chromium, opened from disk: against evals.records.pareto, pandas and the records.

Skipped where no Chromium is found (TRILEMMA_CHROMIUM names another one) or Playwright is not installed.
"""

import csv
import io
import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest

from evals import report
from evals.cards import added_rows_facts
from evals.records import pareto, query, reproduce
from evals.records.points import with_points
from tests.benchmarks import bench_report
from tests.evals.chromium import browser, executable, opened, tab, window
from tests.evals.poisoned_records import poisoned
from tests.evals.records.test_points import fitted_record
from tests.evals.records.test_query import record
from utils.metrics.directions import direction

pytest.importorskip("playwright", reason="Playwright is not installed: pip install -r tests/requirements.txt")
if executable() is None:
    pytest.skip("no Chromium found; TRILEMMA_CHROMIUM names its executable", allow_module_level=True)

HOSTILE = "</script><img src=x onerror=alert(1)><b>bold</b>"


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def jobs():
    """66 runs of 22 settings, with operating points; some lack a metric, some are equal."""
    records = [made | {"doc_id": i} for i, made in enumerate(bench_report.records(66), start=1)]
    records[5]["metrics"]["accuracy"] = None
    records[9]["metrics"] = dict(records[8]["metrics"])
    return records


def written(records, path, *words):
    held = report.content(records, query.options(["dataset=celeba_jobs", *words], report.OPTIONS))
    path.write_text(report.page(held), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def file(jobs, tmp_path_factory):
    return written(jobs, tmp_path_factory.mktemp("page") / "page.html")


@pytest.fixture(scope="module")
def shared(chromium, file):
    return opened(chromium, file)


@pytest.fixture
def page(shared):
    """The page with every run on its own, no operating points and no requirement."""
    shared.evaluate("trilemma.open('seeds=runs&points=none&need=')")
    return shared


@pytest.fixture(scope="module")
def beside(chromium, file):
    """A window for the pages that tests visit, with a page that stays, by which others open sooner."""
    return tab(window(chromium), file).context


@pytest.fixture
def visit(beside, tmp_path, jobs, file):
    """Open a page about these or other records, closed again after the test."""
    pages = []

    def make(records, *words, hash="", **settings):
        same = records is jobs and not words
        held = file if same else written(records, tmp_path / f"{len(pages)}.html", *words)
        pages.append(tab(beside, held, hash, **settings))
        return pages[-1]

    yield make
    for page in pages:
        page.close()


def shown(tab, /, **changes):
    tab.evaluate("changes => trilemma.set(changes)", changes)


def of(page, what):
    return set(page.evaluate(f"trilemma.{what}()"))


def table_of(records):
    """The records and their points with the codes that the page gives them."""
    made = with_points(records)
    table = query.frame(made)
    table["code"] = [f"{r['doc_id']}" + (f".{r['point']}" if "point" in r else "") for r in made]
    table["is_point"] = ["point" in r for r in made]
    return table


def efficient(table, x, y):
    """Codes of the rows that evals.records.pareto calls efficient."""
    return set(table["code"][pareto.efficient(table[[x, y]].to_numpy(), [direction(x), direction(y)])])


# --- opening ---------------------------------------------------------------------------------------------------


def test_it_opens_from_disk_without_a_complaint_or_a_request(shared):
    assert shared.url.startswith("file://")
    assert shared.complaints == []


def test_it_says_what_it_holds(page):
    assert page.locator("h1").inner_text() == "celeba_jobs"
    assert "66 runs · 22 settings" in page.locator("#meta").inner_text()
    assert page.locator("#finding").inner_text().startswith("Of 65 runs, ")
    assert "Not shown: 1 without accuracy" in page.locator("#caption").inner_text()


def test_one_run_is_shown_and_said_to_be_alone(visit):
    page = visit([record(1)])
    assert page.evaluate("trilemma.shown()") == ["1"]
    assert "nothing to compare it with" in page.locator("#finding").inner_text()
    assert page.complaints == []


def test_of_a_metric_without_direction_no_frontier_is_drawn(visit):
    records = [record(i, metrics={"accuracy": i / 10, "loudness": 1.0 + i}) for i in (1, 2, 3)]
    page = visit(records, "y=loudness", hash="#seeds=runs")
    assert of(page, "efficient") == set()
    assert "not known which end of loudness is better" in page.locator("#finding").inner_text()
    alone = visit([record(i, metrics={"loudness": 1.0 + i}) for i in (1, 2)])
    assert "No model is named: it is not known which end" in alone.locator("#verdict").inner_text()
    assert alone.evaluate("trilemma.best()") is None
    assert len(page.evaluate("trilemma.shown()")) == 3


# --- the frontier ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y"),
    [("accuracy", "fnr_gap"), ("fpr_gap", "accuracy"), ("mcc", "auc"), ("fnr_gap", "robust_accuracy_l2_1.0")],
)
@pytest.mark.parametrize("points", [False, True])
def test_the_frontier_is_that_of_evals_pareto(page, jobs, x, y, points):
    shown(page, x=x, y=y, points="all" if points else "none")
    table = table_of(jobs)
    assert of(page, "efficient") == efficient(table if points else table[~table["is_point"]], x, y)


def test_the_frontier_follows_the_filters(page, jobs):
    page.locator("#legend label", has_text="trades+dafa").click()
    page.locator("#legend label", has_text="erm").click()
    page.locator("#filters summary").click()
    page.locator("#facets label", has_text="0.003").click()
    page.locator("#filters summary").click()
    table = table_of(jobs)
    kept = table[~table["is_point"] & ~table["regularizer"].isin(["erm", "trades+dafa"]) & (table["radius"] != 0.003)]
    assert of(page, "shown") == set(kept["code"][kept["accuracy"].notna()])
    assert of(page, "efficient") == efficient(kept, "accuracy", "fnr_gap")


@pytest.mark.parametrize("points", [False, True])
def test_the_frontier_of_means_is_that_of_the_means_over_seeds(page, jobs, points):
    """The means are those of evals.records.query.aggregate; their code is that of the first run."""
    shown(page, seeds="mean", points="all" if points else "none")
    table = table_of(jobs)
    table = table if points else table[~table["is_point"]]
    means = query.aggregate(table, ["accuracy", "fnr_gap"])
    means["code"] = means["group_id"].map(table.drop_duplicates("group_id").set_index("group_id")["code"])
    assert of(page, "efficient") == efficient(means, "accuracy", "fnr_gap")
    code = means["code"].iloc[1]  # the setting of which one run has no accuracy
    assert page.evaluate("code => trilemma.value(code, 'accuracy')", code) == pytest.approx(means["accuracy"].iloc[1])


def test_ties_and_duplicates_are_efficient_and_nan_never(visit):
    pairs = [(0.5, 0.1), (0.5, 0.1), (0.9, 0.5), (0.4, 0.1), (None, 0.0), (0.9, 0.6), (0.2, 0.0)]
    records = [record(i, metrics={"accuracy": a, "uai_0.05": u}) for i, (a, u) in enumerate(pairs, start=1)]
    page = visit(records, "y=uai_0.05", hash="#seeds=runs")
    assert of(page, "efficient") == {"1", "2", "3", "7"}


def test_the_frontier_of_random_marks_with_many_ties_is_that_of_evals_pareto(visit):
    """2,000 marks, above the number from which bins are used."""
    values = np.random.default_rng(0).integers(0, 60, (2000, 2)) / 100
    records = [record(i, radius=i, metrics={"accuracy": a, "mcc": b}) for i, (a, b) in enumerate(values, start=1)]
    page = visit(records, "y=mcc")
    for x, y in (("accuracy", "mcc"), ("mcc", "accuracy")):
        shown(page, x=x, y=y)
        assert of(page, "efficient") == efficient(table_of(records), x, y)


def test_the_line_is_the_staircase_of_evals_pareto(page, jobs):
    table = table_of(jobs)[lambda t: ~t["is_point"]]
    for x, y in (("accuracy", "fnr_gap"), ("fnr_gap", "accuracy"), ("mcc", "auc"), ("fpr_gap", "fnr_gap")):
        shown(page, x=x, y=y)
        steps = pareto.staircase(table[[x, y]].to_numpy(), [direction(x), direction(y)])
        assert np.array(page.evaluate("trilemma.staircase()")) == pytest.approx(steps, abs=1e-9), (x, y)


def test_intervals_over_seeds_are_those_that_select_shows(page, jobs):
    shown(page, seeds="mean")
    own = query.aggregate(table_of(jobs), ["auc"]).iloc[0]
    assert 0 < own["auc_low"] < own["auc_high"]
    assert page.evaluate("trilemma.interval('1', 'auc')") == pytest.approx([own["auc_low"], own["auc_high"]], abs=1e-6)


def test_intervals_of_a_run_are_those_filed_with_it(page, jobs):
    low, high = (jobs[0]["metrics"][f"accuracy_{end}"] for end in ("low", "high"))
    assert page.evaluate("trilemma.interval('1', 'accuracy')") == pytest.approx([low, high], abs=1e-6)


# --- requirements ----------------------------------------------------------------------------------------------


def test_a_slider_permits_and_marks_what_pandas_would(page, jobs):
    page.locator("#add").click()
    slider = page.locator("#needs input[type=range]")
    slider.fill(str(page.evaluate("Number(document.querySelector('#needs input[type=range]').max) * 0.4")))
    limit = page.evaluate("trilemma.state.needs[0].value")
    table = table_of(jobs)[lambda t: ~t["is_point"] & t["accuracy"].notna()]
    permitted = table[table["fnr_gap"] <= limit]
    assert 0 < len(permitted) < len(table)
    assert of(page, "permitted") == set(permitted["code"])
    assert page.evaluate("trilemma.best()") == permitted.loc[permitted["accuracy"].idxmax(), "code"]
    verdict = page.locator("#verdict").inner_text()
    assert f"{len(permitted)} of {len(table)} runs permitted. 1 without accuracy or difference" in verdict
    cost = table["accuracy"].max() - permitted["accuracy"].max()
    assert page.evaluate("trilemma.answer().cost") == pytest.approx(cost, abs=1e-9)
    assert ("The requirements cost " if cost else "cost nothing") in verdict


def test_two_requirements_hold_together_and_the_objective_can_be_another(page, jobs):
    needs = [{"key": "fnr_gap", "sign": -1, "value": 0.151}, {"key": "accuracy", "sign": 1, "value": 0.64}]
    shown(page, needs=needs, objective="fpr_gap", points="all")
    table = table_of(jobs)[lambda t: t["accuracy"].notna()]
    permitted = table[(table["fnr_gap"] <= 0.151) & (table["accuracy"] >= 0.64)]
    assert of(page, "permitted") == set(permitted["code"])
    assert page.evaluate("trilemma.best()") == permitted.loc[permitted["fpr_gap"].idxmin(), "code"]


def test_a_run_without_the_required_metric_is_not_permitted(page):
    shown(page, x="mcc", needs=[{"key": "accuracy", "sign": 1, "value": 0}])
    assert of(page, "shown") - of(page, "permitted") == {"6"}
    assert "65 of 65 runs permitted. 1 without accuracy do not compete" in page.locator("#verdict").inner_text()


# --- records ---------------------------------------------------------------------------------------------------


def test_a_click_opens_the_record_with_its_command(page, jobs):
    x, y = page.evaluate("trilemma.pixel('12')")
    box = page.locator("#frame").bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + y)
    assert page.locator("#record .sub").inner_text().startswith("record 12 · seed 2")
    assert page.locator("#record .command code").inner_text() == reproduce.command(jobs[11])
    assert page.locator("#record .loading code").inner_text() == 'from_database(12, "celeba_jobs")'
    assert (
        "epsilon" in page.locator("#record dl").first.inner_text()
        or "radius" in page.locator("#record dl").first.inner_text()
    )


def test_an_operating_point_is_loaded_by_its_number(page, jobs):
    shown(page, points="all", pick="12.3")
    assert page.locator("#record .loading code").inner_text() == 'from_database(12, "celeba_jobs", point=3)'
    assert "fnr_gap<=0.05" in page.locator("#record .sub").inner_text()


def test_the_command_of_a_mean_is_a_sweep_over_its_seeds(page, jobs):
    shown(page, seeds="mean", pick="1")
    words = shlex.split(page.locator("#record .command code").inner_text())
    assert (words[2], words[-1]) == ("-m", "seed=0,1,2")
    assert [w for w in words if w != "-m"][:-1] == shlex.split(reproduce.setting(jobs[0]))


def test_hovering_shows_the_run_beside_its_mark_and_in_the_table(page):
    code = page.evaluate("trilemma.order()[0]")
    x, y = page.evaluate("code => trilemma.pixel(code)", code)
    box = page.locator("#frame").bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)
    tip = page.locator("#tip").inner_text()
    assert f"{page.evaluate('code => trilemma.value(code, `accuracy`)', code):.4f}" in tip
    assert page.locator("#rows tr.hovered").count() == 1
    page.mouse.move(0, 0)
    assert page.locator("#tip").is_hidden()


def test_the_keyboard_walks_through_the_marks_and_opens_one(page):
    page.locator("#frame").focus()
    page.keyboard.press("ArrowLeft")
    first = page.locator("#said").inner_text()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#said").inner_text() != first
    page.keyboard.press("Enter")
    assert page.locator("#record .command").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("#record .command").count() == 0


def test_a_row_is_picked_by_the_keyboard(page):
    page.locator("#rows tr").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("trilemma.state.pick") == page.evaluate("trilemma.order()[1]")


def test_copying_gives_the_command(page, jobs):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown(page, pick="3")
    page.locator("#record .command button").click()
    page.locator("#record .command button", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == reproduce.command(jobs[2])


# --- table -----------------------------------------------------------------------------------------------------


def test_a_click_on_a_heading_sorts_those_without_a_value_last(page, jobs):
    shown(page, x="mcc", y="auc")
    page.locator("[data-sort=accuracy]").click()
    table = table_of(jobs)[lambda t: ~t["is_point"]]
    by = table.set_index("code")["accuracy"]
    order = page.evaluate("trilemma.order()")
    assert by[order[:-1]].is_monotonic_decreasing
    assert order[-1] == "6"
    page.locator("[data-sort=accuracy]").click()
    assert by[page.evaluate("trilemma.order()")[:-1]].is_monotonic_increasing
    assert page.locator("th[aria-sort=ascending]").inner_text().startswith("accuracy")


def test_figures_of_several_causal_models_are_put_in_no_order(visit, jobs):
    """Neither by their column nor, where they are the horizontal axis, by themselves; those of one model are."""
    key, records = "uai_0.05", jobs[:12]
    option = {r["doc_id"]: ("linear", "learned")[r["doc_id"] % 2] for r in records}
    made = [r | {"causal": causal_model(option[r["doc_id"]])} for r in records]
    made = [r | {"metrics": r["metrics"] | {key: r["doc_id"] * 7 % 12 / 12}} for r in made]
    page = visit(made, hash="#seeds=runs&points=none")
    for words in ({"sort": {"by": key, "falling": False}}, {"sort": None, "x": key, "y": "accuracy"}):
        shown(page, **words)
        figures = {str(r["doc_id"]): r["metrics"][key] for r in made}
        order = [figures[code] for code in page.evaluate("trilemma.order()")]
        assert sorted(order) not in (order, order[::-1])
    shown(page, sort={"by": key, "falling": False})
    said = page.locator("#unsorted").inner_text()
    assert said.startswith("Not sorted: ")
    assert "belongs to its causal model" in said
    assert page.locator("th[aria-sort=ascending]").count() == 0
    page.locator("[data-sort=accuracy]").click()
    assert page.locator("#unsorted").inner_text() == ""
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("accuracy")


def causal_model(option):
    """A causal model as a record holds it, whose fingerprint is its option."""
    return {"option": option, "settings": {}, "graph": None, "source": {}, "fingerprint": option, "equations": None}


def test_the_download_is_what_is_shown(page, jobs):
    shown(page, sort={"by": "fnr_gap", "falling": False}, points="all")
    page.locator("#legend label", has_text="mart").click()
    with page.expect_download() as waiting:
        page.locator("#csv").click()
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))
    codes = page.evaluate("trilemma.order()")
    table = table_of(jobs).set_index("code").loc[codes]
    assert waiting.value.suggested_filename == "celeba_jobs.csv"
    assert [row["record"] for row in rows] == [str(i) for i in table["doc_id"]]
    assert [row["regularizer"] for row in rows] == list(table["regularizer"])
    assert "mart" not in set(table["regularizer"])
    for key in ("accuracy", "fnr_gap", "auc"):
        found = pd.to_numeric([row[key] or "nan" for row in rows])
        assert found == pytest.approx(table[key].to_numpy(), abs=1e-9, nan_ok=True)


def test_the_download_has_intervals_and_no_cell_that_a_spreadsheet_would_calculate(visit):
    """Signs of formulas get an apostrophe, as utils.system.console has it; a negative number stays a number."""
    metrics = {"accuracy": 0.5, "accuracy_low": 0.4, "accuracy_high": 0.6, "mcc": -0.25, "=1+1": 0.5}
    made = record(1, metrics=metrics, name="=HYPERLINK(1)", seed="-3")
    made["params"]["choices"] |= {"regularizer": "@SUM(A1)"}
    page = visit(
        [made, record(2, name='a "b", c', metrics=metrics)],
        hash="#seeds=runs&need=&column=accuracy&column=mcc&column=%3D1%2B1&x=mcc",
    )
    with page.expect_download() as waiting:
        page.locator("#csv").click()
    rows = list(csv.DictReader(io.StringIO(waiting.value.path().read_text())))
    [row] = [row for row in rows if row["record"] == "1"]
    assert (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) == ("0.5", "0.4", "0.6")
    assert (row["mcc"], row["seed"], row["name"]) == ("-0.25", "-3", "'=HYPERLINK(1)")
    assert row["regularizer"] == "'@SUM(A1)"
    cells = [cell for one in rows for cell in (*one, *one.values())]
    assert [cell for cell in cells if re.match(r"[=@]|[+-](?![\d.])", cell)] == []
    assert 'a "b", c' in [one["name"] for one in rows]


def test_the_columns_are_those_that_are_ticked_and_the_address_holds_them(page, visit, jobs):
    page.locator("#columns").click()
    page.keyboard.type("ppv")
    page.locator("#column-boxes label", has_text="positive predictive value between").first.click()
    page.keyboard.press("Escape")
    assert page.locator("#column-choice").is_hidden()
    assert page.evaluate("document.activeElement.id") == "columns"
    headings = page.locator("#head th").all_inner_texts()
    assert "difference in positive predictive value" in " ".join(headings[-1].split())
    other = visit(jobs, hash=f"#{page.url.partition('#')[2]}")
    assert other.locator("#head th").all_inner_texts() == headings


def test_metrics_are_chosen_by_words_and_keys_alone(page):
    """The combobox of the ARIA Authoring Practices: arrows move, Enter takes, Escape leaves all as it was."""
    field = page.locator("#y")
    before = field.input_value()
    field.focus()
    page.keyboard.type("robust l1")
    assert field.get_attribute("aria-expanded") == "true"
    options = page.locator("#y-field [role=option]")
    assert "L1" in options.first.inner_text()
    assert field.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    page.keyboard.press("Escape")
    assert (field.get_attribute("aria-expanded"), field.input_value()) == ("false", before)
    page.keyboard.press("ArrowDown")
    active = page.locator("#y-field .active")
    assert active.inner_text() == before  # the list opens at what is chosen
    page.keyboard.press("ArrowDown")
    words = active.inner_text()
    page.keyboard.press("Enter")
    assert field.input_value() == words.split(" (")[0]
    assert page.evaluate("trilemma.state.y") != "fnr_gap"
    page.keyboard.type("no such words")
    page.keyboard.press("Enter")
    assert field.input_value() == words.split(" (")[0]


def test_of_operating_points_those_that_are_efficient_or_pinned_are_drawn(page):
    shown(page, points="few", pins=["12"])
    points = {code for code in of(page, "shown") if "." in code}
    best = {page.evaluate("trilemma.best()")}
    pinned = {f"12.{i}" for i in range(8)}
    assert points == {code for code in of(page, "efficient") | best | pinned if "." in code}
    assert len(points - pinned) < page.evaluate("trilemma.order().length")


def test_a_few_runs_are_not_magnified_and_axes_of_shares_end_at_0_and_1(visit):
    metrics = [{"accuracy": 0.9991, "fnr_gap": 0.0004}, {"accuracy": 0.9992, "fnr_gap": 0.0005}]
    for runs in (metrics[:1], metrics):
        page = visit([record(i, metrics=of) for i, of in enumerate(runs, start=1)], "y=fnr_gap")
        left, right, bottom, top = page.evaluate("trilemma.axes()")
        assert (right, bottom) == (1, 0)
        assert right - left >= 0.01
        assert top - bottom >= 0.01


def test_pages_hold_all_rows_once(page):
    seen = []
    while True:
        seen += page.eval_on_selector_all("#rows tr", "rows => rows.map(row => row.cells[1].textContent)")
        if page.locator("#next").is_disabled():
            break
        page.locator("#next").click()
    assert sorted(map(int, seen)) == [i for i in range(1, 67) if i != 6]


def test_a_fitted_point_says_what_became_of_its_limit(visit):
    own = {"metrics": {"accuracy": 0.6, "fnr_gap": 0.4}}
    page = visit([fitted_record(0.03, 0.0, 0.07) | own], "dataset=loan", hash="#points=all&seeds=runs&pick=1.0")
    assert "fitted to fnr_gap<=0.05" in page.locator("#record .sub").first.inner_text()
    words = "fitted to fnr_gap<=0.05 (0.0380 on those rows); test 0.030 [0.000, 0.070], whose interval crosses 0.05"
    assert f"Thresholds {words}." in page.locator("#record .warning").inner_text()
    kept = visit([fitted_record(0.03, 0.0, 0.04) | own], "dataset=loan", hash="#points=all&seeds=runs&pick=1.0")
    assert kept.locator("#record .warning").count() == 0
    assert "test 0.030 [0.000, 0.040]." in kept.locator("#record .hint").first.inner_text()


# --- address, widths, colours, names -------------------------------------------------------------------------------


def test_the_address_brings_the_view_back(page, visit, jobs):
    needs = [{"key": "fnr_gap", "sign": -1, "value": 0.12}]
    shown(
        page,
        x="auc",
        y="fpr_gap",
        points="all",
        needs=needs,
        pick="7.2",
        sort={"by": "auc", "falling": True},
        bars=False,
    )
    page.locator("#legend label", has_text="pgd_at+dafa").click()
    other = visit(jobs, hash=f"#{page.url.partition('#')[2]}")
    for what in ("shown", "efficient", "permitted"):
        assert of(other, what) == of(page, what)
    assert other.evaluate("trilemma.order()") == page.evaluate("trilemma.order()")
    assert other.locator("#record .loading code").inner_text().endswith("point=2)")


def test_an_address_that_means_nothing_gives_the_first_view(visit, jobs):
    page = visit(
        jobs, hash="#x=lost&need=nonsense&off.regularizer=lost&page=-3&sort=lost&pick=999&seeds=all&range=a..b"
    )
    assert page.complaints == []
    assert len(page.evaluate("trilemma.shown()")) == page.evaluate("trilemma.order().length") > 0


@pytest.mark.parametrize("width", [360, 768, *(pytest.param(width, marks=pytest.mark.slow) for width in (390, 1280))])
def test_nothing_overflows_sideways(visit, jobs, width):
    hash = "#seeds=runs&pick=3&need=fnr_gap<=0.1"
    page = visit(jobs, hash=hash, width=width, height=844)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def luminance(colour):
    """Relative luminance of rgb(r, g, b) (WCAG 2.2)."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(page, selector):
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.querySelector('{s}')).{p}")
        for s, p in ((selector, "color"), ("body", "backgroundColor"))
    )
    light, dark = sorted((luminance(ink), luminance(paper)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_dark_and_light_are_legible_and_differ(visit, jobs):
    """Contrast of at least 4.5 to 1, as WCAG 2.2 asks of text."""
    papers = set()
    for scheme in ("light", "dark"):
        page = visit(jobs, scheme=scheme)
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert contrast(page, "h1") > 10
        assert contrast(page, "#meta") > 4.5
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") in papers
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert len(papers) == 2


def test_names_of_the_database_are_text_and_nothing_else(visit):
    made = record(1, name=HOSTILE, created=HOSTILE, warnings=[HOSTILE], seed=HOSTILE)
    made["params"] |= {"experiment": HOSTILE, HOSTILE: HOSTILE}
    made["params"]["choices"] |= {"regularizer": HOSTILE, "model": HOSTILE}
    made["metrics"][HOSTILE] = 0.5
    made["evaluations"] = {HOSTILE: {"accuracy": 0.5}}
    page = visit([made, record(2)], f"title={HOSTILE}", f"x={HOSTILE}", hash="#pick=1&seeds=runs")
    closed = page.locator("#record").inner_text().count(HOSTILE)
    for summary in page.locator("#record summary").all():
        summary.click()
    page.locator("#rows tr").first.hover()
    assert page.locator("h1").inner_text() == HOSTILE
    assert page.locator("#record").inner_text().count(HOSTILE) > closed > 0
    assert page.locator("img, b:text('bold')").count() == 0
    assert page.complaints == []


@pytest.mark.slow
def test_five_thousand_runs_with_points_are_redrawn_at_once(visit, jobs):
    """No more than 60 times the redraw of the 66, for 76 times the marks; the figures are printed."""
    records = [thin(jobs[i % 66], i) for i in range(5000)]
    times = []
    for of_page in (jobs, records):
        page = visit(of_page, hash="#seeds=runs&points=all&bars=0")
        times.append(np.median(page.evaluate("Array.from({length: 5}, () => trilemma.redraw())")))
        marks = page.evaluate("trilemma.shown().length")
    print(f"redraw of 66 runs {times[0]:.0f} ms, of 5,000 with {marks} marks {times[1]:.0f} ms")
    assert marks > 44_000
    assert times[1] < 60 * max(times[0], 2)


def thin(run, i):
    """A run a little beside another one, of the metrics on the axes alone."""
    shift, found = 1 + (i % 89) / 5000, run["operating_points"]
    metrics = {key: (run["metrics"][key] or 0.5) * shift for key in ("accuracy", "fnr_gap")}
    points = {key: [value * shift for value in found["metrics"][key]] for key in metrics}
    return run | {"doc_id": i + 1, "metrics": metrics, "operating_points": found | {"metrics": points}}


def test_the_best_attainable_accuracy_is_a_line_where_accuracy_is_an_axis(visit, jobs):
    """Its colour is on the canvas where the records state it, and not where they do not."""
    painted = """() => {
      const canvas = document.querySelector('canvas.base');
      const accent = getComputedStyle(document.documentElement).getPropertyValue('--accent');
      const [r, g, b] = accent.match(/[0-9a-f]{2}/g).map(part => parseInt(part, 16));
      const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      let found = 0;
      for (let i = 0; i < data.length; i += 4)
        found += [r, g, b].every((part, k) => Math.abs(data[i + k] - part) < 5) && data[i + 3] > 200;
      return found;
    }"""
    bare, near = with_bayes(jobs, None), with_bayes(jobs, max(r["metrics"]["accuracy"] or 0 for r in jobs))
    with_line, without = (visit(records, "y=mcc").evaluate(painted) for records in (near, bare))
    assert with_line > without + 100


def with_bayes(records, value):
    """The records with this best attainable accuracy; with none for None."""
    found = [{k: v for k, v in r["metrics"].items() if not k.startswith("bayes")} for r in records]
    known = {} if value is None else {"bayes_accuracy": value}
    return [r | {"metrics": metrics | known} for r, metrics in zip(records, found, strict=True)]


def test_a_far_best_attainable_accuracy_leaves_the_axes_as_they_are(visit, jobs):
    """It is marked at the edge: a line far from all marks would squeeze them together."""
    far, none = (visit(with_bayes(jobs, value)).evaluate("trilemma.axes()") for value in (5.0, None))
    assert far == none


# --- closer ----------------------------------------------------------------------------------------------------


def dragged(page, start, end):
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#frame").bounding_box()
    page.mouse.move(box["x"] + start[0], box["y"] + start[1])
    page.mouse.down()
    page.mouse.move(box["x"] + (start[0] + end[0]) / 2, box["y"] + (start[1] + end[1]) / 2)
    page.mouse.move(box["x"] + end[0], box["y"] + end[1])
    page.mouse.up()


def test_a_box_becomes_the_whole_plot_and_picks_nothing(page):
    x0, x1, y0, y1 = page.evaluate("trilemma.axes()")
    dragged(page, (300, 80), (500, 200))
    a, b, c, d = page.evaluate("trilemma.axes()")
    assert x0 < a < b < x1
    assert y0 < c < d < y1
    assert page.evaluate("trilemma.state.pick") is None


def test_the_address_holds_what_is_looked_at_closely(page, visit, jobs):
    dragged(page, (300, 80), (500, 200))
    other = visit(jobs, hash=page.evaluate("location.hash"))
    assert other.evaluate("trilemma.axes()") == pytest.approx(page.evaluate("trilemma.axes()"), rel=1e-5)


@pytest.mark.parametrize("back", ["button", "key", "double click", "other axis"])
def test_the_whole_comes_back(page, back):
    whole = page.evaluate("trilemma.axes()")
    dragged(page, (300, 80), (500, 200))
    if back == "button":
        page.locator("#whole").click()
    elif back == "key":
        page.locator("#frame").press("0")
    elif back == "double click":
        page.locator("#frame").dblclick(position={"x": 300, "y": 60})
    else:
        page.locator("#swap").click()
        page.locator("#swap").click()
    assert page.evaluate("trilemma.axes()") == whole
    assert not page.locator("#whole").is_visible()


def test_closer_never_leaves_the_whole(page):
    x0, x1, y0, y1 = page.evaluate("trilemma.axes()")
    page.locator("#frame").focus()
    for key in ("+", "+", "-", "-", "-"):
        page.keyboard.press(key)
        a, b, c, d = page.evaluate("trilemma.axes()")
        assert x0 <= a < b <= x1
        assert y0 <= c < d <= y1
    assert page.evaluate("trilemma.axes()") == [x0, x1, y0, y1]


def test_the_wheel_looks_closer_only_with_control(page):
    whole = page.evaluate("trilemma.axes()")
    turn = "more => document.getElementById('frame').dispatchEvent(new WheelEvent('wheel', {deltaY: -100, ...more}))"
    page.evaluate(turn, {})
    assert page.evaluate("trilemma.axes()") == whole
    page.evaluate(turn, {"ctrlKey": True, "clientX": 400, "clientY": 400})
    assert page.evaluate("trilemma.axes()") != whole


def test_a_hidden_mark_is_not_under_the_pointer(page):
    dragged(page, (300, 80), (500, 200))
    inside = """([a, b, c, d]) => trilemma.shown().filter(code => {
      const [x, y] = [trilemma.value(code, trilemma.state.x), trilemma.value(code, trilemma.state.y)];
      return x >= a && x <= b && y >= c && y <= d;
    })"""
    known = page.evaluate(inside, page.evaluate("trilemma.axes()"))
    page.locator("#frame").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.evaluate("trilemma.state.pick") in known


# --- what a reader may take wrongly ----------------------------------------------------------------------------


def test_a_constant_prediction_is_said_to(visit):
    same = {"accuracy": 0.6, "fnr_gap": 0.0, "balanced_accuracy": 0.5, "worst_class_accuracy": 0.0}
    better = {"accuracy": 0.7, "fnr_gap": 0.1, "balanced_accuracy": 0.6, "worst_class_accuracy": 0.4}
    page = visit([record(1, metrics=same), record(2, metrics=better)], "y=fnr_gap", hash="#seeds=runs&pick=1")
    assert "One of them is a constant prediction, or nearly." in page.locator("#finding").inner_text()
    assert "Constant prediction: " in page.locator("#record .warning").inner_text()
    nearly = same | {"balanced_accuracy": 0.52, "worst_class_accuracy": 0.05, "prevalence": 0.6}
    page = visit([record(1, metrics=nearly), record(2, metrics=better)], "y=fnr_gap", hash="#seeds=runs&pick=1")
    assert "Nearly constant prediction: of one class 5.0 %" in page.locator("#record .warning").inner_text()


def test_the_ends_of_the_frontier_are_said_in_figures(visit):
    records = [record(i, metrics={"accuracy": a, "fnr_gap": g}) for i, a, g in ((1, 0.6, 0.0), (2, 0.7, 0.1))]
    page = visit(records, "y=fnr_gap", hash="#seeds=runs")
    assert "reach from accuracy 0.7000 at 0.1000 to 0.6000 at 0.0000" in page.locator("#finding").inner_text()


def test_of_a_signed_gap_zero_is_said_to_be_best(visit):
    records = [record(i, metrics={"accuracy": i / 10, "fnr_signed_gap": 0.1 * i - 0.2}) for i in (1, 2, 3)]
    page = visit(records, "y=fnr_signed_gap", hash="#seeds=runs")
    assert "is 0, at neither end" in page.locator("#finding").inner_text()


def test_paper_shows_the_plot_in_dark_ink(visit, jobs):
    """On white: the picture that stands for the plot, and the colours of the text, also where the theme is dark."""
    page = visit(jobs, scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#paper").get_attribute("src").startswith("data:image/png")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(31, 30, 27)"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator("#paper").count() == 0
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(31, 30, 27)"


def test_permitted_rows_come_first(page):
    shown(page, needs=[{"key": "fnr_gap", "sign": -1, "value": 0.1}])
    order, permitted = page.evaluate("trilemma.order()"), of(page, "permitted")
    assert set(order[: len(permitted)]) == permitted


def test_the_example_opens(visit):
    from paths_config import ROOT

    stored = json.loads((ROOT / "evals" / "example.json").read_text())["_default"]
    page = visit([made | {"doc_id": int(i)} for i, made in stored.items()])
    assert page.complaints == []
    assert (
        page.locator("#finding")
        .inner_text()
        .startswith("Of 10 settings, 6 are efficient in accuracy and unfair area at radius 0.05")
    )


def test_a_click_on_a_run_shows_the_rows_that_were_added_to_its_training(visit):
    run = poisoned(1, gap=((0.20, 0.10), (0.22, 0.18)))
    page = visit([run, poisoned(2, seed=1, gap=((0.2, 0.1), (0.2, 0.2)))])
    page.locator("tbody tr").first.click()
    summaries = page.locator("#record summary", has_text="Added rows")
    assert summaries.all_inner_texts() == ["Added rows, seed 0", "Added rows, seed 1"]
    summaries.first.click()
    shown = page.locator("#record details", has_text="Added rows, seed 0").inner_text()
    assert all(value in shown for _, value in added_rows_facts.facts(run))
    assert page.complaints == []


def test_a_click_on_a_run_shows_its_unfair_area_under_every_causal_model(visit):
    models = [("as trained (linear)", 0.12), ("no graph", 0.06), ("without <b>age</b> -> pay", 0.39)]
    held = [
        {"name": name, "fingerprint": name, "metrics": {"uai_0.05": value, "uai_0.05_low": 0.0, "uai_0.05_high": 0.5}}
        for name, value in models
    ]
    run = record(1) | {"evaluations": {"sensitivity@0.05": {"metrics": {}, "sensitivity": {"models": held}}}}
    page = visit([run, record(2)])
    page.locator("tbody tr").first.click()
    said = "Unfair area at radius 0.05: 0.060 (no graph) to 0.390 (without <b>age</b> -> pay), depending on the causal"
    assert said in page.locator("#record").inner_text()
    page.locator("#record summary", has_text="uai_0.05 under causal models").click()
    rows = page.locator("#record details", has_text="uai_0.05 under causal models").locator("tbody tr")
    assert rows.all_inner_texts() == [f"{name}\t{value:.2f}\t[0.00, 0.50]" for name, value in models]
    assert page.complaints == []


# --- causal models ---------------------------------------------------------------------------------------------


def under(scm, doc_id):
    """A record whose figures rest on a causal model."""
    made = record(doc_id, radius=doc_id / 10)
    made["params"]["choices"]["scm"] = scm
    held = {"option": scm, "settings": {}, "graph": None, "source": {"fingerprint": "f"}, "equations": None}
    return made | {"causal": held | {"fingerprint": scm}}


def test_figures_of_several_causal_models_have_no_frontier_and_no_best_until_one_is_chosen(visit):
    page = visit([under("independent", 1), under("learned", 2), under("learned", 3)])
    shown(page, x="accuracy", y="uai_0.05", seeds="runs", points="none")
    finding, verdict = page.locator("#finding"), page.locator("#verdict")
    assert "No frontier: unfair area at radius 0.05 belongs to its causal model" in finding.inner_text()
    assert "independent; learned" in finding.inner_text()
    assert "python evaluate.py dataset=celeba_jobs id=all scm=learned" in finding.inner_text()
    page.evaluate("trilemma.open('seeds=runs&need=uai_0.05<=0.3&objective=accuracy&x=accuracy&y=accuracy')")
    assert verdict.inner_text().startswith("No best: unfair area at radius 0.05 belongs to its causal model")
    hash = "seeds=runs&need=uai_0.05<=0.3&objective=accuracy&x=accuracy&y=uai_0.05&off.scm=independent"
    page.evaluate(f"trilemma.open('{hash}')")
    assert "belongs to its causal model" not in finding.inner_text() + verdict.inner_text()
    assert "efficient" in finding.inner_text()
    assert "2 of 2 runs permitted" in verdict.inner_text()


def of_two_files():
    files = {1: "aaaaaaaa", 2: "bbbbbbbb", 3: "bbbbbbbb", 4: None}
    return [record(i, radius=i / 10) | {"fingerprint": of} for i, of in files.items()]


def test_the_page_opens_with_the_file_of_most_runs_and_shows_the_other_instead(visit):
    page = visit(of_two_files(), hash="#seeds=runs&points=none&x=accuracy&y=uai_0.05")
    assert set(page.evaluate("trilemma.shown()")) == {"2", "3", "4"}
    sentence = page.locator("#sources").inner_text()
    assert sentence.startswith("The runs of celeba_jobs are of ")
    assert "2 sources of data, whose figures do not compare: loan-bbbbbbbb (" in sentence
    assert "efficient" in page.locator("#finding").inner_text()
    page.locator("#source").select_option("loan-aaaaaaaa")
    assert set(page.evaluate("trilemma.shown()")) == {"1", "4"}
    page.reload()  # the address holds the choice
    assert set(page.evaluate("trilemma.shown()")) == {"1", "4"}
    assert page.locator("#source").input_value() == "loan-aaaaaaaa"
    page.locator("#reset").click()
    assert set(page.evaluate("trilemma.shown()")) == {"2", "3", "4"}
    assert page.complaints == []


def test_runs_of_two_files_under_one_name_are_never_ranked_even_where_a_reader_shows_both(visit):
    page = visit(of_two_files(), hash="#seeds=runs&points=none&x=accuracy&y=uai_0.05&off.source=")
    shown(page, sort={"by": "accuracy", "falling": False})
    finding = page.locator("#finding").inner_text()
    assert len(page.evaluate("trilemma.shown()")) == 4
    assert "No frontier: these runs are of several sources of data" in finding
    assert "loan-aaaaaaaa; loan-bbbbbbbb. Choose one" in finding
    assert page.locator("#unsorted").inner_text().startswith("Not sorted: ")
    assert page.locator("#source").input_value() == ""
    page.evaluate("trilemma.open('seeds=runs&need=accuracy>=0&objective=accuracy&off.source=')")
    assert page.locator("#verdict").inner_text().startswith("No best: ")
    page.reload()
    assert len(page.evaluate("trilemma.shown()")) == 4


def test_a_page_of_one_source_says_nothing_of_sources(page):
    assert page.locator("#sources").is_hidden()


def test_causal_models_within_the_chosen_source_keep_their_figures_apart(visit):
    """Also where another file's runs are of one of these models."""
    files = {"independent": "same", "learned": "same", "linear": "other"}
    made = [under(scm, i) | {"fingerprint": files[scm]} for i, scm in enumerate(files, start=1)]
    page = visit(made, hash="#seeds=runs&points=none&x=accuracy&y=uai_0.05")
    assert len(page.evaluate("trilemma.shown()")) == 2
    assert "unfair area at radius 0.05 belongs to its causal model" in page.locator("#finding").inner_text()


def test_a_seed_that_is_no_number_gets_no_line_to_copy_and_the_reason(visit):
    made = record(1, seed="0; touch X #")
    page = visit([made, record(2)], hash="#pick=1&seeds=runs")
    assert page.locator("#record .command").count() == 0
    assert "touch X" not in page.locator("#record").inner_text().replace("seed 0; touch X #", "")
