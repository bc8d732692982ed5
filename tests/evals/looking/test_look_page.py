"""The page of a look in a browser: nothing is fetched, nothing is cut off, everything can be read."""

from pathlib import Path

import pytest

from evals.look import main
from tests.commands import house
from tests.evals.chromium import browser, executable, tab, window
from tests.evals.test_look import rows, spoil, write

pytestmark = pytest.mark.skipif(executable() is None, reason="no Chromium")

CONTRAST = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255).map(
    v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (!/, 0\\)$|transparent/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
  return [...document.querySelectorAll('main *')].filter(e => [...e.childNodes].some(n => n.nodeType == 3 &&
    n.textContent.trim()) && !(e instanceof SVGElement)).map(e => { const [a, b] = [light(getComputedStyle(e).color),
    light(ground(e))].sort((x, y) => y - x); return [(a + .05) / (b + .05), e.textContent];
  }).sort((x, y) => x[0] - y[0])[0];
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with house(tmp_path_factory.mktemp("look")) as folder:
        write("people.csv", spoil(rows(), "city", "?", lambda i: i % 10 == 0))
        words = ("label=hired", "sensitive=sex,age", "favourable=yes", "graph=sex, age -> income; income -> hired")
        assert main(["people.csv", *words]) == 0
        yield Path(folder, "people.html")


@pytest.fixture(scope="module")
def running():
    with browser() as started:
        yield window(started)


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (375, "dark"),
        (1400, "light"),
        pytest.param(375, "light", marks=pytest.mark.slow),
        pytest.param(1400, "dark", marks=pytest.mark.slow),
    ],
)
def test_it_is_readable_without_scrolling_sideways(page, running, width, scheme):
    shown = tab(running, page, width=width, scheme=scheme)
    assert shown.complaints == []
    assert shown.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    ratio, text = shown.evaluate(CONTRAST)
    assert ratio >= 4.5, text


def test_what_is_drawn_is_said_and_tables_have_headers(page, running):
    shown = tab(running, page)
    assert shown.locator("h1").count() == 1
    assert shown.locator("svg:not([aria-label])").count() == 0
    assert shown.locator("table:not(:has(thead th[scope=col]))").count() == 0
    assert shown.locator("tbody tr:not(:has(th[scope=row]))").count() == 0
    assert shown.locator("h2").all_inner_texts() == [
        *("To decide (2)", "To look at (2)", "Groups and classes", "Columns", "Causal graph", "Schema")
    ]


@pytest.mark.slow
def test_missing_values_by_group_unfold_by_keyboard(page, running):
    shown = tab(running, page)
    shown.locator("summary", has_text="missing in 30 rows").focus()
    shown.keyboard.press("Enter")
    assert shown.get_by_role("row", name="sex=f").last.is_visible()
