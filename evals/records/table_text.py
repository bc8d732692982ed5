"""A table of means over seeds, and its text as Markdown, CSV or LaTeX."""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evals.records import who_pays
from evals.records.judged_rows import describe
from evals.records.rho import GAIN, NEAR_0, RHO, is_derived
from utils.system.console import escape_formulas
from utils.system.tables import DASH, escape_latex, markdown_table
from utils.words.wrapping import fit

Row = tuple[str, str]  # data set, regularizer (and setting, where one regularizer has several)


@dataclass(frozen=True)
class Cell:
    """One metric of one row; NaN where there is no figure."""

    mean: float = math.nan
    sd: float = math.nan
    n: int = 0
    rows: float = math.inf  # test rows that each seed's figure is of, where these are fewer than all
    published: float = math.nan
    published_sd: float = math.nan
    published_n: int = 0

    @property
    def deviation(self) -> float:
        """Our mean less the published one, in published standard deviations; NaN without both or at sd 0."""
        return (self.mean - self.published) / self.published_sd if self.published_sd > 0 else math.nan


@dataclass(frozen=True)
class Table:
    """The figures of a table and how they came about."""

    rows: dict[Row, list[Cell]]  # one cell per metric
    metrics: list[str]
    source: str  # of the published figures, or nothing
    ran: frozenset[str]  # data sets that have runs of ours
    published: frozenset[str]  # data sets that have published rows
    unclear: Sequence[str] = ()  # bases that ran with several settings
    warnings: Sequence[str] = ()  # of the records, each kind once
    notes: Sequence[str] = ()  # what the figures are of: radii, rows, weights of others, causal models
    pays: Sequence[Sequence[str]] = ()  # below who_pays.HEADER: the classes that win and lose against the base

    @property
    def expected(self) -> list[Cell]:
        """The cells of data sets that ran, less those that compare a row with its base, which not every row has."""
        measured = [i for i, key in enumerate(self.metrics) if not is_derived(key)]
        return [cells[i] for (dataset, _), cells in self.rows.items() if dataset in self.ran for i in measured]

    @property
    def missing(self) -> int:
        """Expected cells without a mean of ours."""
        return sum(not cell.n for cell in self.expected)


def markdown(table: Table, wide: int | None = None) -> str:
    """One Markdown table, a row per data set and regularizer; for a terminal of ``wide`` columns fitted to it."""
    header = ["data set", "regularizer", "seeds", *table.metrics]
    compared = table.published if table.source else frozenset()
    rows = [
        [*row, _seeds(cells), *map(_text, cells, table.metrics, [row[0] in compared] * len(cells))]
        for row, cells in table.rows.items()
    ]
    legend = _legend(table, "In brackets the published mean and our deviation from it in published sd.")
    text = f"{markdown_table([header, *rows], wide)}\n{legend if wide is None else fit(legend, wide)}\n"
    return text + _pays(table, wide) if table.pays else text


def _pays(table: Table, wide: int | None) -> str:
    """The classes that the rows gain and lose against their base, as a table of their own."""
    legend = (
        "Classes whose accuracy is higher or lower than the base's, in points, those that change most; in brackets "
        "95 % over seeds (Student)."
    )
    below = legend if wide is None else fit(legend, wide)
    return f"\n{markdown_table([list(who_pays.HEADER), *table.pays], wide)}\n{below}\n"


def latex(table: Table) -> str:
    """A ``tabular`` for the booktabs package: for every metric our mean ± sd, and the published where compared."""
    compared = bool(table.source)
    facts, names = ["data set", "regularizer", "seeds"], [escape_latex(key) for key in table.metrics]
    head = [_line([*facts, *names])]
    if compared:
        above = ["", "", "", *(rf"\multicolumn{{2}}{{c}}{{{name}}}" for name in names)]
        rules = "".join(rf"\cmidrule(lr){{{first}-{first + 1}}}" for first in range(4, 4 + 2 * len(names), 2))
        head = [_line(above), rules, _line([*facts, *["ours", "published"] * len(names)])]
    columns = "llr" + "c" * len(names) * (2 if compared else 1)
    legend = _legend(table, "Published figures are mean ± standard deviation too.")
    opening = [f"% {legend}", r"% needs \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", *head]
    lines = [*opening, r"\midrule", *_latex_rows(table, compared), r"\bottomrule", r"\end{tabular}"]
    return "".join(f"{line}\n" for line in lines)


def _latex_rows(table: Table, compared: bool) -> Iterator[str]:
    """The rows, the name of a data set in its first one, a little space between data sets."""
    previous = ""
    for (dataset, regularizer), cells in table.rows.items():
        if previous and dataset != previous:
            yield r"\addlinespace"
        figures = [
            figure
            for key, cell in zip(table.metrics, cells, strict=True)
            for figure in [
                _math(key, cell.mean, cell.sd) + _of_rows(cell),
                _math(key, cell.published, cell.published_sd),
            ][: 2 if compared else 1]
        ]
        name = "" if dataset == previous else escape_latex(dataset)
        yield _line([name, escape_latex(regularizer), escape_latex(_seeds(cells)), *figures])
        previous = dataset


def _line(fields: Sequence[str]) -> str:
    return " & ".join(fields) + r" \\"


def _math(key: str, mean: float, sd: float) -> str:
    if math.isnan(mean):
        return "--"
    return f"${_digits(key, mean)}$" if math.isnan(sd) else rf"${_digits(key, mean)} \pm {sd:.3f}$"


def to_csv(table: Table) -> str:
    """One line per cell, with all digits; an empty field where there is no figure, and rows where they are all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = ("mean", "sd", "n", "published", "published_sd", "published_n", "deviation")
    writer.writerow(["dataset", "regularizer", "metric", *fields, "rows"])
    for row, cells in table.rows.items():
        for key, cell in zip(table.metrics, cells, strict=True):
            figures = [getattr(cell, field) for field in fields]
            writer.writerow(
                [
                    *map(escape_formulas, (*row, key)),
                    *("" if math.isnan(figure) else figure for figure in figures),
                    int(cell.rows) if cell.n and math.isfinite(cell.rows) else "",
                ]
            )
    return text.getvalue()


def _seeds(cells: Sequence[Cell]) -> str:
    """Returns the number of seeds of a row: one, a range where metrics are undefined for some seeds, or a dash."""
    counts = sorted({cell.n for cell in cells if cell.n})
    return f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else str(counts[0]) if counts else DASH


def _text(cell: Cell, key: str, compared: bool) -> str:
    """``0.695 ± 0.027 (0.695, +0.0)``: mean, sd, published mean, deviation."""
    ours = _digits(key, cell.mean) + ("" if math.isnan(cell.sd) else f" ± {cell.sd:.3f}")
    ours += _of_rows(cell)
    if not compared:
        return ours
    theirs = _digits(key, cell.published)
    return f"{ours} ({theirs}" + (")" if math.isnan(cell.deviation) else f", {cell.deviation:+.1f})")


def _of_rows(cell: Cell) -> str:
    """`` of 10 rows``, where these are fewer than all test rows."""
    return f" of {describe(cell.rows)}" if cell.n and math.isfinite(cell.rows) else ""


def _digits(key: str, value: float) -> str:
    """Three decimals, of a gain or rho with its sign; a dash for nan."""
    return DASH if math.isnan(value) else f"{value:{'+' if is_derived(key) else ''}.3f}"


def _legend(table: Table, comparison: str) -> str:
    words = ["Mean ± standard deviation over seeds."]
    if any(map(is_derived, table.metrics)):
        words.append(
            f"{GAIN}: less the base's, seed by seed; {RHO}: relative change of average plus worst class, left out "
            f"where the base's is below {NEAR_0:g}."
        )
        words += [f"{name} ran with several settings: choose one of them with where=." for name in table.unclear]
    if table.source:
        words += [comparison, table.source]
    if table.missing:
        words.append(f"{DASH}: {table.missing} of {len(table.expected)} figures are missing.")
    words += [f"{sentence}." for sentence in (*table.notes, *table.warnings)]
    return " ".join(words)
