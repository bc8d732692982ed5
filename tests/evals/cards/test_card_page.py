"""The card in headless Chromium: on a telephone and a wide screen, light and dark, by keyboard.

Skipped where no Chromium is found (TRILEMMA_CHROMIUM names another one) or Playwright is not installed.
"""

import re

import pytest

from evals.cards.document import CSS, Bullets, Document, Heading, Paragraph, Table, list_contents, page
from tests.evals.chromium import browser, executable, tab, window

pytest.importorskip("playwright", reason="Playwright is not installed: pip install -r tests/requirements.txt")

WIDE = [f"difference in a rate of many words {i}" for i in range(9)]
BLOCKS = [
    Heading("Fitness for use"),
    Table((), [["Decides", "Whether " + "_".join(["name"] * 30)]]),
    Table(["metric", "value, 95 % interval"], [["accuracy", "0.702 [0.681, 0.721]"]], "On 2,000 test rows."),
    Heading("Known limits", 3),
    Bullets(["Few rows."]),
    Heading("Data: 1, 2 & <3>"),
    Table(["point", *WIDE], [["0", *["0.629 [0.608, 0.651]"] * 9]]),
    Heading("Use"),
    *[Paragraph("Words. " * 60)] * 5,
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("card") / "card.html"
    path.write_text(page(Document("Model card", "lead", [list_contents(BLOCKS), *BLOCKS])), encoding="utf-8")
    return path


SCROLLING = """[...document.querySelectorAll('*')].filter(e => e.scrollWidth > e.clientWidth + 1 &&
  ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)).map(e => [e.tabIndex, e.getAttribute('aria-label')])"""


@pytest.mark.skipif(executable() is None, reason="no Chromium found; TRILEMMA_CHROMIUM names its executable")
def test_it_fits_any_screen_and_is_read_by_keyboard(file):
    with browser() as running:
        context = window(running)
        for width in (1440, 390):
            shown = tab(context, file, width=width)
            assert shown.complaints == []
            assert not shown.evaluate("document.documentElement.scrollWidth > innerWidth")
            scrolling = shown.evaluate(SCROLLING)
            assert all(index == 0 and label for index, label in scrolling)
            assert scrolling or width > 1000  # nine columns on a telephone
            for link in shown.locator("nav a").all():
                link.press("Enter")
                title = shown.locator(":target")
                assert title.inner_text() == link.inner_text()
                assert title.bounding_box()["y"] >= -1


def luminance(colour):
    """Of #rgb or #rrggbb, after WCAG 2.2."""
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    shares = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_words_stand_out_from_their_ground(scheme):
    roots = re.findall(r":root \{(.*?)\}", CSS, re.S)
    colours = dict(re.findall(r"--(\w+): #([0-9a-f]{3,6})", roots[["light", "dark", "print"].index(scheme)]))
    for words in ("ink", "soft", "accent"):
        for ground in ("paper", "tint"):
            high, low = sorted((luminance(colours[words]), luminance(colours[ground])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (words, ground)
