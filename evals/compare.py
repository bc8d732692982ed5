"""Two models compared: paired differences with intervals, and the test rows and groups that they decide otherwise.

``python -m evals.compare dataset=loan ids=3,7 [metrics=accuracy,fnr_gap] [format=csv] [out=table.csv]``; options and
defaults stand in ``config/compare.yaml``. One record alone is compared with its base. What is made of decisions is
compared row by row where both records keep them; other figures as if they were of different rows, which is too wide
where they are not.
"""

import csv
import io
import math
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

import paths_config
from evals.choosing.choice_text import describe_given
from evals.choosing.comparison import Difference
from evals.choosing.two_models import OF_GROUPS, Compared
from evals.records import query
from evals.records.base_run import find_base, is_plain, list_methods
from evals.records.seed_intervals import METHOD
from evals.table import format_of, hand_out
from utils.metrics.directions import headlines
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
FIELDS = ("metric", "first", "second", "difference", "low", "high", "kind")


# --- what was asked --------------------------------------------------------------------------------------------


def read_ids(option: Any) -> list[int]:
    """The numbers of two records, or of one. Raises ValueError for anything else."""
    words = [word.strip() for word in str(option).strip("[]").split(",")]
    if len(words) > 2 or not all(word.isdecimal() for word in words) or len(set(words)) < len(words):
        raise ValueError(
            f"ids={option}: expected the numbers of two records by a comma, such as ids=3,7, or of one that is "
            "compared with its base"
        )
    return [int(word) for word in words]


def _with_base(record: Record, stored: Sequence[Record]) -> tuple[Record, Record]:
    """The base of a record, and the record. Raises ValueError where the database has none."""
    base = find_base(record, stored)
    if base is None and is_plain(record):
        raise ValueError(f"ids={record['doc_id']}: this record is itself a base that others have; name two records")
    if base is None:
        raise ValueError(
            f"ids={record['doc_id']}: there is no base of this record, a run of the same data, seed and learner "
            "without prepare, regularizer, thresholds of groups, added or changed rows; name two records"
        )
    return base, record


def _two(store: RunStore, ids: Sequence[int], stored: Sequence[Record]) -> tuple[Record, Record]:
    """The two records, of one its base before it. Raises ValueError where one has no figures."""
    found = [store.get(i) for i in ids]
    first, second = found if len(found) == 2 else _with_base(found[0], stored)
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
    heads += [f"Record {r['doc_id']}: {said}." for r in of.records if (said := describe_given(r))]
    base, own = of.records
    if find_base(own, of.records) is base:
        heads.append(
            f"Record {base['doc_id']} is the base of the other, which has {', '.join(list_methods(own, base))}."
        )
    first, second = (str(record["doc_id"]) for record in of.records)
    header = ["metric", first, second, f"{second} less {first}", f"{100 * of.level:g} % interval", ""]
    rows = [[*_cells(found), kind] for found, kind in of.rows]
    parts = [
        "\n".join(heads),
        _sentence(of, first, second),
        *(f"Left out: {said}." for said in of.other_rows),
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
    return "\n".join(f"{text[0].upper()}{text[1:]}." for text in of.sides() if "levelled down" in text)


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
    records = _two(store, ids, stored)
    keys = read_metrics(options.metrics, *records)
    hand_out(in_format(Compared(records, stored, keys, options.level)), options.out, "2 models")


if __name__ == "__main__":
    sys.exit(query.command(compare, OPTIONS, sys.argv[1:]))
