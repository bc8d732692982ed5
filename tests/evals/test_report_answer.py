"""The answer in the head of the page, in headless Chromium: the figures of select and card for the same question.

Skipped where no Chromium is found (TRILEMMA_CHROMIUM names another one) or Playwright is not installed.
"""

import json
import re

import numpy as np
import pytest
from scipy import stats

from evals import report
from evals.records.row_intervals import at_level, over_rows
from tests.benchmarks import bench_report
from tests.commands import command
from tests.evals.chromium import browser, executable, opened, tab, window
from tests.evals.records.test_query import record
from tests.evals.test_report_page import shown, written

pytest.importorskip("playwright", reason="Playwright is not installed: pip install -r tests/requirements.txt")
if executable() is None:
    pytest.skip("no Chromium found; TRILEMMA_CHROMIUM names its executable", allow_module_level=True)


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def jobs():
    """33 runs of 11 settings with operating points; one run lacks a metric."""
    records = [made | {"doc_id": i} for i, made in enumerate(bench_report.records(33), start=1)]
    records[5]["metrics"]["accuracy"] = None
    return records


@pytest.fixture(scope="module")
def about_jobs(jobs, tmp_path_factory):
    return written(jobs, tmp_path_factory.mktemp("answer") / "page.html")


@pytest.fixture(scope="module")
def page(chromium, about_jobs):
    return opened(chromium, about_jobs)


@pytest.fixture(scope="module")
def beside(chromium, about_jobs):
    """A window for the pages that tests visit, with a page that stays, by which others open sooner."""
    return tab(window(chromium), about_jobs).context


@pytest.fixture
def visit(beside, tmp_path):
    """Open a page about other records, closed again after the test."""
    pages = []

    def make(records, hash=""):
        pages.append(tab(beside, written(records, tmp_path / f"{len(pages)}.html"), hash))
        return pages[-1]

    yield make
    for page in pages:
        page.close()


@pytest.fixture
def folder(tmp_path, monkeypatch, jobs):
    """A folder to work in, with the database of the jobs."""
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    stored = {str(r["doc_id"]): {k: v for k, v in r.items() if k != "doc_id"} for r in jobs}
    (tmp_path / "celeba_jobs.json").write_text(json.dumps({"_default": stored}))
    return tmp_path


def asked(page, needs, **words):
    """The page's answer to a question, through its address."""
    hash = "&".join([*(f"need={need}" for need in needs), *(f"{key}={value}" for key, value in words.items())])
    page.evaluate("hash => trilemma.open(hash)", hash)
    return page.evaluate("trilemma.answer()")


def selected(needs, *words):
    answer = command("evals.select", "dataset=celeba_jobs", f"where={', '.join(needs)}", *words, "format=json")
    return json.loads(answer.out)


# --- one question, three surfaces --------------------------------------------------------------------------------

QUESTIONS = [
    (["fnr_gap<=0.1"], "accuracy", {}, "card.md"),
    pytest.param(["fnr_gap<=0.1"], "accuracy", {"seeds": "runs"}, "null", marks=pytest.mark.slow),
    (["fnr_gap<=0.1"], "accuracy", {"points": "none"}, "null"),
    pytest.param(["fnr_gap<=0.15"], "accuracy", {"sure": 1}, "card.md", marks=pytest.mark.slow),
    (["fnr_gap<=0.15", "accuracy>=0.6"], "robust_accuracy_l2_1.0", {"sure": 1, "seeds": "runs"}, "null"),
    (["fnr_gap<=0.12", "robust_accuracy_l2_1.0>=0.4"], "accuracy", {}, "null"),
]


@pytest.mark.parametrize(("needs", "objective", "words", "file"), QUESTIONS)
def test_page_select_and_card_give_one_answer_with_the_same_figures(page, folder, needs, objective, words, file):
    shown = asked(page, needs, objective=objective, **words)
    options = {"seeds": words.get("seeds", "mean"), "sure": str("sure" in words).lower()}
    options["points"] = "false" if words.get("points") == "none" else "true"
    found = selected(needs, f"maximize={objective}", f"card={file}", *(f"{k}={v}" for k, v in options.items()))
    chosen, use = found["chosen"], found["chosen"]["use"]
    assert chosen["label"].endswith(shown["label"])
    assert (shown["record"], shown["point"]) == (use["doc_id"], chosen["point"])
    assert (shown["allowed"], shown["missed"]) == (found["meeting"], len(use["missed"]))
    assert shown["level"] == (pytest.approx(found["level"], abs=1e-15) if found["level"] else None)
    for key, of in shown["figures"].items():
        there = chosen["metrics"][key]
        assert of["value"] == pytest.approx(there["value"], abs=1e-9)
        assert of["own"] == pytest.approx(use["metrics"][key], abs=1e-9)
        ends = [np.nan if there[end] is None else there[end] for end in ("low", "high")]
        assert of["ends"] == pytest.approx(ends, abs=2e-6, nan_ok=True)
    if len(needs) == 1:
        assert shown["cost"] == pytest.approx(found["constraints"][0]["gain_without"], abs=1e-9)
    if file == "null":
        return
    card = (folder / file).read_text()
    point = "" if chosen["point"] is None else f", point={chosen['point']}"
    assert f'from_database({use["doc_id"]}, "celeba_jobs"{point})' in card
    assert all(holds(card, use["metrics"][need.partition("<")[0].partition(">")[0]]) for need in needs)


def holds(text, value):
    """Whether a text has a figure with the digits that it shows, two decimals or more, as a share or in percent."""
    found = [(number, len(number.partition(".")[2])) for number in re.findall(r"\d*\.\d{2,}|\d+\.\d", text)]
    return any(abs(float(n) - value * scale) <= 0.501 * 10**-d for n, d in found for scale in (1, 100))


@pytest.mark.parametrize("sure", [False, True])
@pytest.mark.parametrize("needs", [["fnr_gap<=-0.01"], ["accuracy>=0.7", "fnr_gap<=0.001"]])
def test_where_nothing_is_permitted_the_nearest_is_that_of_select_and_a_click_permits_it(page, folder, needs, sure):
    found = selected(needs, "maximize=robust_accuracy_l2_1.0", f"sure={str(sure).lower()}", "card=null")
    shown = asked(page, needs, objective="robust_accuracy_l2_1.0", sure=int(sure))
    nearest = found["nearest"][0]
    own = f"{nearest['doc_ids'][0]}" + ("" if nearest["point"] is None else f".{nearest['point']}")
    assert shown["nearest"] == own
    assert "No model meets" in page.locator("#verdict .lead").inner_text()
    page.locator("#permit").click()
    assert own in page.evaluate("trilemma.permitted()")
    assert page.locator("#verdict .lead").inner_text().startswith("Deploy ")


def test_the_requirement_that_excludes_most_is_named(page):
    shown = asked(page, ["accuracy>=0.2", "fnr_gap<=-1"])
    assert shown["meeting"][1] == 0 < shown["meeting"][0]
    assert "difference in false negative rate" in page.locator("#verdict .lead strong").inner_text()


def test_records_without_counts_are_never_sure_and_the_page_says_so(visit):
    page = visit([of_setting("a", 0, 0.7, 0.05), of_setting("b", 0, 0.6, 0.01)], "#need=fnr_gap<=0.1&y=fnr_gap&sure=1")
    assert "No model meets the requirement for sure" in spaced(page, ".lead")
    assert "2 of 2 runs and points are never sure" in spaced(page, ".small")
    page.locator("#sure").uncheck()
    assert "2 of 2 runs permitted" in spaced(page, ".small")


# --- intervals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.95, 0.99990253, 0.9999999])
def test_intervals_of_any_level_are_those_of_python(page, jobs, level):
    for key in ("accuracy", "fnr_gap", "demographic_parity_difference", "ppv_gap", "accuracy_signed_gap"):
        for run in jobs[:4]:
            found = page.evaluate("words => trilemma.atLevel(...words)", [run["doc_id"], key, level])
            assert found == pytest.approx(at_level(run, key, level), abs=1e-9, nan_ok=True), key


def test_intervals_of_shares_are_those_of_scipy(page):
    """Clopper and Pearson's, from scipy's exact binomial test, of few rows and of many, at both ends."""
    for hits, rows in ((0, 5), (5, 5), (1, 7), (3, 10), (499, 1000), (9_990, 10_000), (12, 100_000)):
        for level in (0.95, 0.9999):
            interval = stats.binomtest(hits, rows).proportion_ci(level, "exact")
            found = page.evaluate("words => trilemma.shares(...words)", [hits, rows, level])
            assert found == pytest.approx([interval.low, interval.high], abs=1e-10)


def test_a_deviation_gives_an_interval_with_normal_tails(visit):
    made = record(1, metrics={"accuracy": 0.6, "mcc": 0.3}) | {"deviations": {"mcc": 0.02}}
    page = visit([made, record(2)])
    for level in (0.95, 0.999, 0.9999999):
        found = page.evaluate("level => trilemma.atLevel(1, 'mcc', level)", level)
        assert found == pytest.approx(stats.norm.interval(level, 0.3, 0.02), abs=1e-9)


def test_the_cost_is_paired_by_seed(visit):
    """Student's interval of the differences, from scipy, where both have the same seeds, in whatever order."""
    fair, best = {0: 0.70, 1: 0.72, 2: 0.69}, {2: 0.73, 0: 0.71, 1: 0.75}
    named = (("fair", fair, 0.05), ("best", best, 0.3))
    records = [of_setting(name, seed, value, gap) for name, of, gap in named for seed, value in of.items()]
    page = visit([made | {"doc_id": i} for i, made in enumerate(records, start=1)], "#need=fnr_gap<=0.1&y=fnr_gap")
    answer = page.evaluate("trilemma.answer()")
    differences = [best[seed] - fair[seed] for seed in range(3)]
    expected = stats.t.interval(0.95, 2, np.mean(differences), stats.sem(differences))
    assert answer["cost"] == pytest.approx(np.mean(differences))
    assert answer["ends"] == pytest.approx(expected, abs=1e-9)
    assert "2.7 points of accuracy [-1.1, 6.5] (95 %, over 3 seeds, paired)" in spaced(page, ".second")


def test_the_cost_of_single_runs_is_from_the_intervals_of_both(visit):
    """Zou and Donner's (2008) limits by hand: d - sqrt((a - l)^2 + (u' - b)^2)."""
    ends = {"fair": (0.68, 0.72), "best": (0.71, 0.75)}
    records = [of_setting(name, 0, value, gap) for name, value, gap in (("fair", 0.70, 0.05), ("best", 0.73, 0.3))]
    for made, (low, high) in zip(records, ends.values(), strict=True):
        made["metrics"] |= {"accuracy_low": low, "accuracy_high": high}
    page = visit([made | {"doc_id": i} for i, made in enumerate(records, start=1)], "#need=fnr_gap<=0.1&y=fnr_gap")
    half = np.hypot(0.02, 0.02)
    assert page.evaluate("trilemma.answer().ends") == pytest.approx([0.03 - half, 0.03 + half], abs=1e-6)
    assert "from the intervals of both over test rows" in spaced(page, ".second")


def of_setting(name, seed, accuracy, gap):
    return record(1, name, seed=seed, group_id=name, metrics={"accuracy": accuracy, "fnr_gap": gap})


def spaced(page, part):
    """The text of a part of the answer, its spaces plain and its minus a hyphen."""
    return page.locator(f"#verdict {part}").first.inner_text().replace("\xa0", " ").replace("\u2212", "-")


def test_a_share_without_an_interval_in_its_record_has_that_of_its_test_rows(visit):
    made = [record(i, metrics={"accuracy": a, "mcc": 0.1}) | {"rows": {"test": 50}} for i, a in ((1, 0.5), (2, 0.4))]
    page = visit(made, "#seeds=runs")
    found = page.evaluate("trilemma.interval('1', 'accuracy')")
    assert found == pytest.approx(over_rows(made[0], "accuracy"), abs=1e-6)
    made[1]["metrics"] |= {"accuracy_low": 0.1, "accuracy_high": 0.9}  # beside one that holds its own
    page = visit(made, "#seeds=runs")
    assert page.evaluate("trilemma.interval('1', 'accuracy')") == found
    assert page.evaluate("trilemma.interval('2', 'accuracy')") == [0.1, 0.9]


# --- the dial ----------------------------------------------------------------------------------------------------


def test_the_dial_is_the_requirement_of_the_first_gap_and_the_address_holds_it(page):
    page.evaluate("trilemma.open('')")
    assert page.evaluate("trilemma.state.needs") == [{"key": "fnr_gap", "sign": -1, "value": 0.1}]
    assert page.evaluate("location.hash") == ""
    page.locator("#needs input[type=number]").fill("0.12")
    assert page.evaluate("location.hash") == "#need=fnr_gap%3C%3D0.12"
    lead = page.locator("#verdict .lead").inner_text()
    assert re.match(r"Deploy .+ \(record \d+\): \d\d\.\d+\s% right; difference in false negative rate", lead)
    page.locator("#needs button[aria-label^=remove]").click()
    assert page.evaluate("location.hash") == "#need="
    page.reload()
    assert page.evaluate("trilemma.state.needs") == []
    assert page.locator("#verdict .lead").inner_text().startswith("Deploy ")


def test_a_dial_on_a_metric_of_which_more_is_better_asks_for_the_least(page):
    page.evaluate("trilemma.open('')")
    field = page.locator("#needs [role=combobox]")
    field.click()
    field.press_sequentially("robust l2")
    field.press("Enter")
    [need] = page.evaluate("trilemma.state.needs")
    assert (need["key"], need["sign"]) == ("robust_accuracy_l2_1.0", 1)
    assert page.locator("#needs .sign").inner_text() == "Least permitted"


def test_who_has_no_mouse_keeps_the_focus_in_what_a_change_makes_anew(page):
    page.evaluate("trilemma.open('')")
    focused = "document.activeElement.getAttribute('aria-label') || document.activeElement.id"
    page.locator("#needs [role=combobox]").focus()
    page.keyboard.type("false positive rate between")
    page.keyboard.press("Enter")
    assert page.evaluate("trilemma.state.needs[0].key") == "fpr_gap"
    assert page.evaluate(focused) == "metric of the requirement"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert "remove the requirement" in page.evaluate(focused)
    page.keyboard.press("Enter")
    assert page.evaluate("trilemma.state.needs") == []
    assert page.evaluate(focused) == "add"
    page.keyboard.press("Enter")
    assert len(page.evaluate("trilemma.state.needs")) == 1
    page.locator("#rows tr").nth(2).focus()
    code = page.evaluate("document.activeElement.dataset.code")
    page.keyboard.press("p")
    assert page.evaluate("document.activeElement.dataset.code") == code
    assert page.evaluate("trilemma.pins()") == [code]


def test_a_pin_is_held_by_the_address_and_a_third_takes_the_place_of_the_first(page, visit, jobs):
    page.evaluate("trilemma.open('')")
    codes = page.evaluate("trilemma.order().slice(0, 3)")
    for code in codes:
        shown(page, pick=code)
        page.locator("#record button.pin").click()
    assert page.evaluate("trilemma.pins()") == codes[1:]
    assert page.locator("#pins li").count() == 2
    other = visit(jobs, f"#{page.url.partition('#')[2]}")
    assert other.evaluate("trilemma.pins()") == codes[1:]
    page.locator("#frame").focus()
    page.keyboard.press("p")  # of what is picked
    assert page.evaluate("trilemma.pins()") == codes[1:2]


def test_no_two_scripts_of_the_page_define_one_name():
    """They are one scope, in which the later definition would silently stand for both."""
    texts = [(report.PAGE / name).read_text() for name in report.SCRIPTS]
    found = [
        name for text in texts for name in re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", text, re.M)
    ]
    assert sorted(found) == sorted(set(found))
    assert {path.name for path in report.PAGE.glob("*.js")} == set(report.SCRIPTS)
