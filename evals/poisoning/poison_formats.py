"""The tables and sentences of poisoned settings as Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Iterator, Sequence

from evals.choosing.comparison import error_rates
from evals.poisoning import beside
from evals.poisoning.paired import Setting
from evals.poisoning.poison_tables import CHANGED, Lines, of_methods, of_metrics, of_settings, of_values
from evals.poisoning.poison_text import statements
from evals.records import levelling
from utils.system.console import escape_formulas
from utils.system.tables import escape_latex, fitting_table, latex_table, markdown_table, table_in_parts
from utils.words.wrapping import fit

LEGEND = (
    "Mean ± standard deviation over seeds with the training rows as they are → with the changed ones; behind it the "
    "mean change, paired by seed, in brackets its 95 % interval by Student's t, which few seeds make wide; none where "
    "all seeds agree. The search saw the validation rows; the test rows were touched once. CPU-s: CPU-seconds an "
    "evaluation, of the optimiser + of the learner."
)
SEVERAL = "On the test rows. Each interval holds by itself: of 20 that only chance moves, one on average looks changed."
BESIDE = (
    "Beside the search, for the same split, learner, seeds and limits; on the test rows, means over seeds, the change "
    "and its 95 % interval paired by seed. Within limits: of so many seeds the accuracy and harm that the search "
    "permits hold on validation; where they do for none of a method's tries, the nearest is shown. What has a number "
    "is swept, and the best is taken on validation. Thresholds of groups need everybody's group to decide, which may "
    "be unlawful. CPU-s: all trainings of a seed."
)


def markdown(settings: Sequence[Setting], metrics: Sequence[str], wide: int | None = None) -> str:
    """The tables, and below the first what holds; for a terminal of ``wide`` columns as it has room for."""
    parts = [fitting_table(of_settings(settings), wide), f"{LEGEND}\n", _bullets(statements(settings))]
    parts += [markdown_table(of_metrics(settings, metrics), wide, CHANGED), f"{SEVERAL}\n"] if metrics else []
    for label, lines, verdicts in (compared := list(_compared(settings))):
        parts += [f"{label}:\n", table_in_parts(lines, wide), *([_bullets(verdicts)] if verdicts else [])]
    parts += [f"{BESIDE}\n"] if compared else []
    return "\n".join(part if wide is None else fit(part, wide) for part in parts)


def _bullets(lines: Sequence[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)


def latex(settings: Sequence[Setting], metrics: Sequence[str]) -> str:
    """The same for the booktabs package."""
    parts = [latex_table(of_settings(settings)), *map(escape_latex, (LEGEND, *statements(settings)))]
    parts += [latex_table(of_metrics(settings, metrics)), escape_latex(SEVERAL)] if metrics else []
    for label, lines, verdicts in (compared := list(_compared(settings))):
        parts += [escape_latex(f"{label}:"), latex_table(lines), *map(escape_latex, verdicts)]
    parts += [escape_latex(BESIDE)] if compared else []
    return "% needs \\usepackage{booktabs}\n" + "\n\n".join(parts) + "\n"


def to_csv(settings: Sequence[Setting], metrics: Sequence[str]) -> str:
    """One line per setting, metric and split, with all digits; an empty field where there is no figure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in of_values(settings, metrics):
        writer.writerow(["" if isinstance(of, float) and math.isnan(of) else escape_formulas(of) for of in row])
    return text.getvalue()


def _compared(settings: Sequence[Setting]) -> Iterator[tuple[str, Lines, list[str]]]:
    """Yields for each setting with plain methods beside it its label, their table, and what follows for who is fair."""
    for setting in settings:
        if not (methods := beside.methods_of(setting)):
            continue
        fair = setting.objective == "fair"
        said = [beside.verdict(setting, methods)] if fair else []
        if fair and (best := beside.best_of(setting, methods)):
            moves = {key: (of.before, of.after) for key, of in best.rates.items()}
            sides = levelling.sides(error_rates(setting.metric), setting.groups, moves.__getitem__, setting.records)
            said += [f"{best.name}: {text}" for text in sides]
        yield setting.label, of_methods(setting, methods), said
