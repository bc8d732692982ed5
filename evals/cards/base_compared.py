"""A model beside its base on the card: the same learner on the same rows, as they are, by the plain loss."""

from collections.abc import Sequence

from evals.cards.card_sections import number, span, words
from evals.cards.document import Block, Bullets, Heading, Paragraph, Table
from evals.choosing.comparison import Difference
from evals.choosing.two_models import PAIRED, Compared
from evals.records.base_run import find_base, list_methods
from evals.records.query import Record
from evals.records.row_intervals import levels_of
from utils.runs.causal_figures import has

KEYS = ("accuracy", "fpr_gap", "fnr_gap", "demographic_parity_difference")
AS_THEY_ARE = (
    "Record {base} has the same data, split, seed and learner, with the training rows as they are and the plain loss; "
    "this model has {methods}. One seed: another training may differ by more than other test rows would."
)


def section(record: Record, stored: Sequence[Record]) -> list[Block]:
    """The section of a model card; nothing where the database holds no base of the record."""
    base = find_base(record, stored)
    keys = [key for key in KEYS if base and has(base, key) and has(record, key)]
    if base is None or not keys:
        return []
    of = Compared((base, record), [], keys, levels_of(record)[0])
    if not of.rows:
        return []
    rows = [[words(found.key, record), *_figures(found)] for found, _ in of.rows]
    paired = all(kind == PAIRED for _, kind in of.rows)
    caption = "Intervals are paired by test rows." if paired else f"Intervals are as of different rows, since {of.why}."
    lead = AS_THEY_ARE.format(base=base["doc_id"], methods=", ".join(list_methods(record, base)))
    header = ["metric", "as they are", "this model", "change", f"{100 * of.level:g} % interval"]
    sides = [f"{text[0].upper()}{text[1:]}." for text in of.sides()]
    blocks: list[Block] = [Heading("Compared with the same learner on rows as they are"), Paragraph(lead)]
    return [*blocks, Table(header, rows, caption), *([Bullets(sides)] if sides else [])]


def _figures(found: Difference) -> list[str]:
    return [number(found.first), number(found.second), f"{found.value:+.3f}", span((found.low, found.high))]
