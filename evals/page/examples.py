"""People whom a model decides about, explained for the page: the most unfair, a typical one, the nearest to a limit.

They are explained while the page is made, by the stored model: records hold nothing of them, and a training does
nothing for them.
"""

import base64
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import paths_config
from utils.records.typed import Record
from utils.run_store import RunStore

WORDS = {
    "unfairest": "the most unfair of the test rows",
    "typical": "a typical one",
    "nearest": "the nearest to its threshold",
}
DPI = 110

Example = tuple[str, tuple[tuple[int, str], ...], str]  # title, depth and text of paragraphs, picture as a data URI


def explain_examples(asked: Any, records: Sequence[Record], database: str) -> dict[int, tuple[Example, ...]]:
    """The examples of each record that ``explain=3,7`` names, by its number.

    Raises:
        ValueError: no number, a record that is not on the page, or one whose model explains nobody, as of images.
    """
    if asked is None:
        return {}
    known = {record["doc_id"]: record for record in records}
    words = [word.strip() for word in str(asked).strip("[]").split(",")]
    for word in words:
        if not word.isdecimal() or int(word) not in known:
            raise ValueError(f"explain={asked}: expected numbers of records on the page by commas, such as 3,7")
    return {int(word): _explain(database, int(word), str(known[int(word)]["run_id"])) for word in words}


@lru_cache(maxsize=64)  # of a page that follows a sweep
def _explain(database: str, doc_id: int, run_id: str) -> tuple[Example, ...]:
    """The examples of a record."""
    from evals.explaining.explain_text import to_lines  # load torch, which other pages do not wait for
    from evals.explaining.loading import default_settings, load_model
    from evals.plots.style import render
    from evals.plots.two_worlds import draw_worlds
    from utils.explaining.explanation import explain
    from utils.explaining.picking import pick

    record = RunStore(paths_config.database(database)).get(doc_id)
    model, stored = load_model(record)
    settings, found = default_settings(record), []
    for word, title in WORDS.items():
        (one,) = explain(model, pick(model, word), settings, in_full=True)
        drawn = render(draw_worlds(one, model.scm, model.data, dpi=DPI), "png")
        lines = tuple((line.depth, line.text) for line in to_lines(one, stored.class_names, settings.norm))
        found.append((title, lines, f"data:image/png;base64,{base64.b64encode(drawn).decode()}"))
    return tuple(found)
