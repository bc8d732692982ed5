"""Two models compared: paired differences with intervals, and the test rows and groups that they decide otherwise.

``python -m evals.compare dataset=loan ids=3,7 [metrics=accuracy,fnr_gap] [format=csv] [out=table.csv]``; options and
defaults stand in ``config/compare.yaml``. What is made of decisions is compared row by row where both records keep
them; other figures as if they were of different rows, which is too wide where they are not.
"""

import csv
import io
import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig

import paths_config
from evals.choosing import comparison
from evals.choosing.comparison import Difference, Otherwise
from evals.records import levelling, query, row_intervals
from evals.records.seed_intervals import METHOD
from evals.table import format_of, hand_out
from utils.metrics.directions import describe, headlines
from utils.records import decisions
from utils.records.decisions import Decisions
from utils.records.typed import Record
from utils.run_store import RunStore
from utils.runs import causal_figures
from utils.runs.data_sources import source_of
from utils.system.console import count, escape_formulas
from utils.system.tables import PLAIN, draw
from utils.words.levels import name_class
from utils.words.near import near
from utils.words.numbers import count_decimals, write_estimate
from utils.words.wrapping import fit

OPTIONS = paths_config.ROOT / "config" / "compare.yaml"
PAIRED, APART = "paired", "unpaired"
FIELDS = ("metric", "first", "second", "difference", "low", "high", "kind")
OF_GROUPS = ("accuracy", "fnr", "fpr")  # rates that the second table shows


class Compared:
    """Two records, what they decide, and their differences.

    Attributes:
        records: the two.
        both: their decisions, where both keep them and the rows are the same.
        why: the reason why there are none, else empty.
        rows: metric by metric, with how its interval was made.
        seeds: the same of the means over the seeds that both settings have, where there are two or more.
    """

    def __init__(self, records: tuple[Record, Record], stored: Sequence[Record], keys: Sequence[str], level: float):
        self.records, self.level = records, level
        self.names, self.classes = query.group_names(records), query.class_names(records)
        self.both, self.why = _decisions(records)
        paired = comparison.compare(*self.both, self.names, self._of_interest(keys), level) if self.both else []
        self.by_key = {of.key: of for of in paired}
        self.rows = [
            (self.by_key[key], PAIRED) if key in self.by_key else (_apart(key, *records, level), APART) for key in keys
        ]
        self.pairs = _pairs(records, stored)
        self.seeds = comparison.over_seeds(self.pairs, keys) if len(self.pairs) > 1 else []

    def _of_interest(self, keys: Sequence[str]) -> list[str]:
        return [*keys, *(f"{rate}_group{i}" for rate in OF_GROUPS for i in range(len(self.names)))]

    def otherwise(self, group: int | None = None) -> Otherwise:
        """Returns how many rows, of one group or of all, the two decide otherwise. For those that have decisions."""
        assert self.both is not None
        first, second = self.both
        everyone = np.ones(len(first.y), dtype=bool)
        return comparison.otherwise(first, second, everyone if group is None else first.s == group)


def _decisions(records: tuple[Record, Record]) -> tuple[tuple[Decisions, Decisions] | None, str]:
    """Returns the decisions of both, or none and the reason."""
    read = []
    for record in records:
        try:
            read.append(decisions.read(record))
        except ValueError as error:
            return None, f"record {record['doc_id']}: {error}"
    first, second = read
    return ((first, second), "") if first.rows == second.rows else (None, "they were judged on different test rows")


def _apart(key: str, first: Record, second: Record, level: float) -> Difference:
    """Returns the difference of figures of different rows, with the hybrid of their own intervals (Newcombe, 1998)."""
    (a, (a_low, a_high)), (b, (b_low, b_high)) = (
        (float(of["metrics"][key]), row_intervals.at_level(of, key, level)) for of in (first, second)
    )
    low, high = b - a - math.hypot(b - b_low, a_high - a), b - a + math.hypot(b_high - b, a - a_low)
    return Difference(key, a, b, low, high)


def _pairs(records: tuple[Record, Record], stored: Sequence[Record]) -> dict[int, dict[str, tuple[float, float]]]:
    """Returns the figures of both settings by seed and metric, of the seeds that both have on the same data."""
    first, second = (
        {
            of["seed"]: of
            for of in stored
            if of.get("group_id") == own.get("group_id") and source_of(of) == source_of(own)
        }
        for own in records
    )
    if records[0].get("group_id") == records[1].get("group_id"):
        return {}
    found = {}
    for seed in sorted(first.keys() & second.keys()):
        one, other = first[seed]["metrics"], second[seed]["metrics"]
        found[seed] = {k: (one[k], other[k]) for k in one.keys() & other.keys() if None not in (one[k], other[k])}
    return found


# --- what was asked --------------------------------------------------------------------------------------------


def read_ids(option: Any) -> tuple[int, int]:
    """The numbers of two records. Raises ValueError for others than two."""
    words = [word.strip() for word in str(option).strip("[]").split(",")]
    if len(words) != 2 or not all(word.isdecimal() for word in words) or len(set(words)) < 2:
        raise ValueError(f"ids={option}: expected the numbers of two records by a comma, such as ids=3,7")
    return int(words[0]), int(words[1])


def _two(store: RunStore, ids: tuple[int, int]) -> tuple[Record, Record]:
    """The two records. Raises ValueError where one has no figures."""
    first, second = (store.get(i) for i in ids)
    for record in (first, second):
        if record["status"] != "finished":
            raise ValueError(f"record {record['doc_id']} failed and has no figures; compare finished ones")
    if len({source_of(first), source_of(second)} - {None}) > 1:
        raise ValueError(
            f"records {first['doc_id']} and {second['doc_id']} are of other data; compare those of one source"
        )
    return first, second


def read_metrics(option: Any, first: Record, second: Record) -> list[str]:
    """The metrics to compare. Raises ValueError for one that the two do not both have, or by other causal models."""
    one, other = first["metrics"], second["metrics"]
    known = [key for key in one if one[key] is not None and other.get(key) is not None]
    if option is None:
        return [key for key in headlines(known) if causal_figures.compares([first, second], key)]
    words = [word.strip() for word in str(option).strip("[]").split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise ValueError(f"metrics={word} is not a figure that both have{near(word, known)}")
        if not causal_figures.compares([first, second], word):
            raise ValueError(
                f"metrics={word} is by other causal models, which do not compare; judge both by one, scm=..."
            )
    return words


# --- text ------------------------------------------------------------------------------------------------------


def to_text(of: Compared, wide: int | None = None) -> str:
    """The differences, the rows decided otherwise, the groups and the seeds; for a terminal fitted to its width."""
    heads = [f"{record['doc_id']}: {record['name']}, seed {record.get('seed', '-')}" for record in of.records]
    first, second = (str(record["doc_id"]) for record in of.records)
    header = ["metric", first, second, f"{second} less {first}", f"{100 * of.level:g} % interval", ""]
    rows = [[*_cells(found), kind] for found, kind in of.rows]
    parts = [
        "\n".join(heads),
        _sentence(of, first, second),
        draw(header, rows, wide, PLAIN, first=header[3:5]).rstrip(),
    ]
    if of.both and len(of.names) > 1:
        parts.append(_groups(of, first, second, wide))
    if sides := _sides(of):
        parts.append(sides)
    if of.seeds:
        over = f"Over the seeds {', '.join(map(str, of.pairs))} that both settings have ({METHOD}):"
        header = [*header[:4], "95 % interval"]
        drawn = draw(header, list(map(_cells, of.seeds)), wide, PLAIN, first=header[3:])
        parts.append(f"{over}\n{drawn}".rstrip())
    return "\n\n".join(part if wide is None else fit(part, wide) for part in parts) + "\n"


def _sentence(of: Compared, first: str, second: str) -> str:
    if not of.both:
        return f"Compared by their figures, since {of.why}: intervals are as of different rows."
    every = of.otherwise()
    alone = ""
    if of.both[0].classes == 2:
        one = name_class(1, of.classes)
        alone = (
            f" {every.only_first} get {one} from record {first} alone, {every.only_second} from record {second} alone."
        )
    different = f"{every.different} ({every.different / every.rows:.1%})"
    return (
        f"The same {count(every.rows, 'test row')}, of which {different} are decided otherwise.{alone} "
        f"Where they differ, record {first} is right on {every.first_right}, record {second} on {every.second_right}."
    )


def _groups(of: Compared, first: str, second: str, wide: int | None) -> str:
    rates = [rate for rate in OF_GROUPS if of.both and (rate == "accuracy" or of.both[0].classes == 2)]
    header = ["group", "rows", "otherwise", f"only {first}", f"only {second}", *rates]
    lines = []
    for i, name in enumerate(of.names):
        some = of.otherwise(i)
        share = f"{some.different / some.rows:.1%}" if some.rows else "-"
        found = [of.by_key.get(f"{rate}_group{i}") for rate in rates]
        changes = [" ".join(_cells(one)[3:]) if one else "-" for one in found]
        lines.append([name, str(some.rows), share, str(some.only_first), str(some.only_second), *changes])
    return draw(header, lines, wide, PLAIN).rstrip()


def _sides(of: Compared) -> str:
    """Returns the error rates of the groups where the second model has a smaller gap at the cost of one of them."""
    found = []
    for rate in ("fnr", "fpr"):
        keys = [f"{rate}_group{i}" for i in range(len(of.names))]
        sides = [[_number(record["metrics"].get(key)) for key in keys] for record in of.records]
        text = levelling.describe(describe(rate), of.names, *sides)
        found += [f"{text[0].upper()}{text[1:]}."] if "levelled down" in text else []
    return "\n".join(found)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _cells(found: Difference) -> list[str]:
    value, _, interval = write_estimate(found.value, found.low, found.high, "+").partition(" ")
    digits = count_decimals((found.high - found.low) / 2)
    return [found.key, f"{found.first:.{digits}f}", f"{found.second:.{digits}f}", value, interval or "-"]


def to_csv(of: Compared) -> str:
    """One line per metric with all digits, then those over seeds; an empty field where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIELDS)
    for found, kind in [*of.rows, *((one, "seeds") for one in of.seeds)]:
        figures = [found.first, found.second, found.value, found.low, found.high]
        writer.writerow([escape_formulas(found.key), *("" if math.isnan(x) else repr(float(x)) for x in figures), kind])
    return text.getvalue()


FORMATS = {"text": to_text, "csv": to_csv}


def compare(options: DictConfig) -> None:
    """Reads the two records, compares them, prints or writes the tables."""
    in_format = format_of(options, FORMATS)
    ids = read_ids(options.ids)
    stored = query.read(str(options.dataset))
    store = RunStore(paths_config.database(str(options.dataset)))
    records = _two(store, ids)
    keys = read_metrics(options.metrics, *records)
    hand_out(in_format(Compared(records, stored, keys, options.level)), options.out, "2 models")


if __name__ == "__main__":
    sys.exit(query.command(compare, OPTIONS, sys.argv[1:]))
