"""The sections of a model card that one record alone fills: the model, its data, its figures, its thresholds."""

import ast
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import yaml

import paths_config
from evals.cards.document import Block, Bullets, Heading, Paragraph, Table
from evals.cards.levels_compared import against_reference, by_level
from evals.cards.schema_facts import schema_section
from evals.records import causal_ranges, judged_rows
from evals.records.points import describe_fits, describe_limit, fits, gap_of, small_groups, with_points
from evals.records.query import Record
from evals.records.rho import is_at_training_radius
from evals.records.row_intervals import Interval, levels_of, name_intervals, of_share, over_rows, whole
from utils.decides.thresholds_text import describe_small, in_words
from utils.metrics.directions import describe, split_some
from utils.metrics.references import compares_alone, is_of_intersections
from utils.records.settings import TERM_KEYS, flat, metrics_of, own_settings
from utils.runs import causal_figures
from utils.runs.causal_figures import BY_REFITS, TRAINED_AGAINST, find_mean, is_trained_against
from utils.scms import facts
from utils.system.console import count
from utils.words.levels import name_class, write_text
from utils.words.numbers import SPELLED

SHEETS = paths_config.ROOT / "docs" / "data_sheets.yaml"
TARGET = re.compile(r"utils\.(\w+)\.(\w+)\.\w+")
RATES = ("accuracy", "acceptance_rate", "fnr", "fpr", "ppv")  # true positive rates are what fnr lacks to 1
OF_RATE = {
    "accuracy": "support",
    "acceptance_rate": "support",
    "fnr": "positives",
    "tpr": "positives",
    "fpr": "negatives",
}
OVERALL = ("accuracy", "balanced_accuracy", "worst_class_accuracy", "mcc", "auc", "acceptance_rate")
MOST_COLUMNS = 4  # groups up to which each is a column: a telephone shows no more
GIVEN = "utils.decides.fixed."  # thresholds that no data decide
SURE = 7.6  # of a threshold's logit: beyond, the probability is 0.000 or 1.000
GAPS = ("demographic_parity_difference", "equalized_odds_difference")
UNITS = {"noise": "noise units", "noise_sd": "standard deviations of each noise"}
SIGNED = "_signed_gap"
ABOVE = "as above"
AT_RADIUS = re.compile(rf"(.*)_{SPELLED}")
GAP = "A gap is the largest rate less the smallest, never negative unless it says which group's is subtracted"
DETAIL = re.compile(r"(_low|_high|_null)$")


# --- words -----------------------------------------------------------------------------------------------------


def words(key: str, record: Record) -> str:
    """A metric in words, with the names of the record's groups and classes, its radius, and its rows where few."""
    said = causal_figures.label([record], key, groups(record), classes(record))
    radius = (record["params"].get("epsilon") or {}).get("radius") if is_at_training_radius(key) else None
    trained = "" if radius is None else f" at the training radius {radius}"
    rows = judged_rows.count_fewer(record, key)
    return said + trained + (f", of {count(rows, 'row')}" if rows else "")


def groups(record: Record) -> list[str]:
    """The names of the groups."""
    return list((record.get("preprocessing") or {}).get("groups") or [])


def classes(record: Record) -> list[str]:
    """The names of the classes."""
    return list((record.get("preprocessing") or {}).get("class_names") or [])


def number(value: float | None) -> str:
    """Three decimals, or that it is undefined."""
    return "undefined" if value is None or math.isnan(value) else f"{value:.3f}"


def span(interval: Interval) -> str:
    """``[0.805, 0.875]``, or a dash."""
    return "–" if math.isnan(interval[0]) else f"[{interval[0]:.3f}, {interval[1]:.3f}]"


def with_span(value: float | None, interval: Interval) -> str:
    """``0.841 [0.805, 0.875]``, without an interval where none is known."""
    return number(value) + ("" if math.isnan(interval[0]) else f" {span(interval)}")


def figure(record: Record, key: str) -> str:
    """A metric of a record and its interval."""
    return with_span(record["metrics"][key], over_rows(record, key))


@cache
def describe_target(target: str) -> str:
    """Describes a function of ours by its module's first sentence, without running what a record names."""
    found = TARGET.fullmatch(target)
    path = paths_config.ROOT / "utils" / found[1] / f"{found[2]}.py" if found else None
    if path is None or not path.is_file():
        return target
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or target
    return " ".join(text.partition("\n\n")[0].replace("``", "").split()).rstrip(".")


def settings(node: Mapping[str, Any]) -> Iterator[str]:
    """``steps 20, threat.norm l2``: the settings of a part of a configuration, without targets."""
    for key, value in flat(own_settings(node, TERM_KEYS)).items():
        if not key.rpartition(".")[2].startswith("_"):
            yield f"{key} {', '.join(map(_plain, value)) if isinstance(value, list) else _plain(value)}"


def _plain(value: Any) -> str:
    """A setting as a text, a long number in six digits."""
    return f"{value:.6g}" if isinstance(value, float) and len(str(value)) > 8 else str(value)


def unit_of(record: Record) -> str:
    """The unit of a causal radius."""
    unit = str((record.get("units") or {}).get("radius") or "")
    return UNITS.get(unit, unit)


def part(node: Mapping[str, Any]) -> str:
    """A part of a configuration in words: what it is, and its settings in brackets."""
    said = "; ".join(settings(node))
    return describe_target(str(node.get("_target_"))) + (f" ({said})" if said else "")


# --- data ------------------------------------------------------------------------------------------------------


def data(record: Record) -> list[Block]:
    """The data: source, terms, rows, and the groups with how many test rows each has."""
    params, stored = record["params"].get("dataset") or {}, record.get("preprocessing") or {}
    sheet, rows, named = sheet_of(record), record.get("rows") or {}, columns(record)
    told = [
        ["Data set", describe_data(record)],
        ["Source", sheet.get("source", "not recorded; it is the user's own table or one that this card does not know")],
        ["Licence", sheet.get("licence", "not known; ask whoever the data come from")],
        ["Rows", ", ".join(f"{n} {split}" for split, n in rows.items()) or "not recorded"],
        ["Classes", ", ".join(map(write_text, classes(record))) or sheet.get("classes", "two: 0 and 1")],
        *([["Columns", ", ".join(named)]] if named and not stored.get("schema") else []),
        ["Settings", "; ".join(settings({k: v for k, v in params.items() if k != "schema"})) or "not recorded"],
        ["Fingerprint", str(record.get("fingerprint") or "not recorded")],
    ]
    return [Heading("Data"), Table((), told), *schema_section(stored.get("schema") or {})]


def columns(record: Record) -> list[str]:
    """The names of the columns, of indicators their attribute, once."""
    named = (record.get("preprocessing") or {}).get("columns") or []
    return list(dict.fromkeys(str(column.get("attribute") or column["name"]) for column in named))


def describe_data(record: Record) -> str:
    """The data set by its name, and what it is."""
    name = str(record["dataset"])
    target = (record["params"].get("dataset") or {}).get("_target_")
    text = describe_target(str(target)) if target else name
    return text if text.lower().startswith(name.lower()) else f"{name}: {text}"


def sheet_of(record: Record) -> Mapping[str, str]:
    """Returns what is known of a data set of ours beside its figures."""
    return _sheet(str((record["params"].get("dataset") or {}).get("_target_")))


def _sheet(target: str) -> Mapping[str, str]:
    found = TARGET.fullmatch(target)
    return _read_sheets().get(found[2], {}) if found else {}


@cache
def _read_sheets() -> Mapping[str, Mapping[str, str]]:
    sheets: Mapping[str, Mapping[str, str]] = yaml.safe_load(SHEETS.read_text(encoding="utf-8"))
    return sheets


# --- figures ---------------------------------------------------------------------------------------------------


def every_group(record: Record) -> list[Block]:
    """The rates of each group with their intervals; nothing where no groups were judged."""
    alone = compares_alone(record)
    by_group = list(by_level(record, groups(record), _rates(record)) if alone else _by_group(record))
    if not by_group:
        return []
    note = f"In brackets the {name_intervals(record)} over test rows: the record's, else Clopper and Pearson's (1934)."
    header = ["group", "rows", name_class(1, classes(record)), *(describe(rate) for rate in _rates(record))]
    lines = [header, *by_group]
    if len(by_group) <= MOST_COLUMNS:
        lines = [list(line) for line in zip(*lines, strict=True)]
    return [Heading("How well, by group", 3), Table(lines[0], lines[1:], note)]


def performance(record: Record) -> list[Block]:
    """Metrics of all test rows, and the gaps between groups."""
    metrics = record["metrics"]
    overall = [key for key in OVERALL if key in metrics]
    bounds = [key for key in metrics if key.startswith("bayes_") and not key.endswith("_signed_gap")]
    blocks: list[Block] = [Heading("Performance"), _table(record, [*overall, *bounds], "")]
    if gaps := _list_gaps(record):
        blocks += [Heading("Gaps between groups", 3), _gaps(record, gaps)]
    return [*blocks, *against_reference(record, _rates(record))]


def _list_gaps(record: Record) -> list[str]:
    """The gaps that a record holds: those of true positive rates are those of fnr, signed ones stand beside theirs."""
    keys = [key for key in record["metrics"] if not key.endswith(("_low", "_high", "_null"))]
    of = {key: split_some(key)[0] for key in keys}
    judged = [key for key in keys if of[key] in GAPS or (of[key].endswith("_gap") and of[key][:6] != "bayes_")]
    if compares_alone(record):
        judged = [key for key in judged if not is_of_intersections(key)]
    beside = {_signed(key, of[key]) for key in judged}
    twice = {key for key in judged if key.startswith("tpr_") and key.replace("tpr_", "fnr_", 1) in judged}
    return [key for key in judged if key not in beside | twice]


def _signed(key: str, gap: str) -> str:
    """The key of the difference of two groups whose size is a gap."""
    plain = "acceptance_rate_gap" if gap == GAPS[0] else gap
    return key.replace(gap, plain.removesuffix("_gap") + SIGNED, 1)


def _table(record: Record, keys: Sequence[str], caption: str) -> Table:
    rows = [[words(key, record), number(record["metrics"][key]), span(over_rows(record, key))] for key in keys]
    return Table(["metric", "value", name_intervals(record)], rows, caption)


def _rates(record: Record) -> list[str]:
    return [rate for rate in RATES if any(f"{rate}_group{i}" in record["metrics"] for i in range(len(groups(record))))]


def _by_group(record: Record) -> Iterator[list[str]]:
    metrics = record["metrics"]
    for i, name in enumerate(groups(record)):
        if f"support_group{i}" in metrics or f"accuracy_group{i}" in metrics:
            support = metrics.get(f"support_group{i}")
            shown = "–" if support is None else f"{support:.0f}"
            yield [name, shown, _share(prevalence(record, i)), *(_rate(record, rate, i) for rate in _rates(record))]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _rate(record: Record, rate: str, i: int) -> str:
    value = record["metrics"].get(f"{rate}_group{i}")
    interval = over_rows(record, f"{rate}_group{i}")
    if value is not None and math.isnan(interval[0]) and (rows := _rows_of(record, rate, i)) and whole(value * rows):
        interval = of_share(value, rows, levels_of(record)[0])
    return with_span(value, interval)


def _rows_of(record: Record, rate: str, i: int) -> float:
    """Returns the number of rows of group i that a rate is a share of; 0 where that is not known."""
    support, share = record["metrics"].get(f"support_group{i}"), prevalence(record, i)
    of = OF_RATE.get(rate)
    if support is None or of is None or (share is None and of != "support"):
        return 0
    return support if of == "support" else round(support * (share if of == "positives" else 1 - (share or 0)))


def prevalence(record: Record, i: int) -> float | None:
    """Share of class 1 in group i: as filed, else from a = p (1 - fnr) + (1 - p) fpr, a the acceptance rate."""
    metrics = record["metrics"]
    if metrics.get(f"prevalence_group{i}") is not None:
        return float(metrics[f"prevalence_group{i}"])
    found: Any = (metrics.get(f"{key}_group{i}") for key in ("acceptance_rate", "fnr", "fpr", "support"))
    a, fnr, fpr, support = found
    if None in (a, fnr, fpr, support) or abs(1 - fnr - fpr) < 1e-9:
        return None
    share = (a - fpr) / (1 - fnr - fpr)
    return float(share) if whole(share * support) else None


def _gaps(record: Record, keys: Sequence[str]) -> Table:
    """Each gap with its interval, that of the difference of two groups, and what chance alone would give."""
    metrics, names = record["metrics"], groups(record)
    columns: dict[str, list[str]] = {
        "gap": [words(key, record) for key in keys],
        f"value, {name_intervals(record)}": [figure(record, key) for key in keys],
    }
    if len(names) == 2:
        pairs = [_signed(key, split_some(key)[0]) for key in keys]
        columns[f"{names[1]} minus {names[0]}"] = [_difference(record, key) for key in pairs]
    columns["by chance"] = [_share(metrics.get(f"{key}_null")) for key in keys]
    shown = {head: cells for head, cells in columns.items() if set(cells) != {"–"}}
    chance = ": by chance alone, were the groups drawn at random, it would on average be what the last column says"
    note = f"{GAP}{chance if 'by chance' in shown else ''}."
    return Table(list(shown), [list(cells) for cells in zip(*shown.values(), strict=True)], note)


def _difference(record: Record, key: str) -> str:
    """The interval of the difference of two groups, its sign where there is none."""
    value, interval = record["metrics"].get(key), over_rows(record, key)
    if value is None or not math.isnan(interval[0]):
        return span(interval) if value is not None else "–"
    return "higher" if value > 0 else "lower" if value < 0 else "equal"


def robustness(record: Record) -> list[Block]:
    """Robust accuracies at every radius, of the training's evaluation and of later ones, and who attacked."""
    rows = [_format_judged(record, key, "") for key in _list_robust(record["metrics"])]
    for name, later in (record.get("evaluations") or {}).items():
        rows_of: Mapping[str, Any] = later.get("judged") or record.get("rows") or {}
        found: Any = {"metrics": later.get("metrics") or {}, "shares": later.get("shares") or {}, "rows": rows_of}
        rows += [_format_judged({**record, **found}, key, f" [{name}]") for key in _list_robust(found["metrics"])]
    heading = Heading("Robustness")
    if not rows:
        return [heading, Paragraph("Robustness was not measured" + _at_point(record))]
    unit = (record.get("units") or {}).get("features")
    note = f"Radii in {unit}. " if unit else ""
    note += "An attack that fails proves nothing: the true robust accuracy is at most what is shown."
    attacks = Bullets(_merge_norms(_attacks(record)) or ["not recorded"])
    return [heading, Table(["metric", "value", name_intervals(record)], rows, note), Heading("Attacks", 3), attacks]


def _merge_norms(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Attacks in words, those that differ in their norm alone as one."""
    norms: dict[tuple[str, ...], list[str]] = {}
    for node in nodes:
        said = [word for word in settings(node) if not word.startswith("threat.norm ")]
        norm = str((node.get("threat") or {}).get("norm") or "")
        norms.setdefault((describe_target(str(node.get("_target_"))), *said), []).append(norm)
    found = []
    for (what, *said), under in norms.items():
        named = ", ".join(dict.fromkeys(filter(None, under)))
        found.append(_attack(what, [*said, *([f"norm {named}"] if named else [])]))
    return found


def _attack(what: str, said: Sequence[str]) -> str:
    return f"{what} ({'; '.join(said)})" if said else what


def _list_robust(metrics: Mapping[str, Any]) -> list[str]:
    """Robust accuracies, none of the steps of an ensemble, at radius 0, or of a radius that another one names."""
    keys = [key for key in metrics if key.startswith("robust_accuracy") and not DETAIL.search(key)]
    keys = [key for key in keys if "_after_" not in key and not re.search(r"_0(\.0*)?$", key)]
    named = [(found[1], metrics[key]) for key in keys if (found := AT_RADIUS.fullmatch(key))]
    return [key for key in keys if (key, metrics[key]) not in named]


def _format_judged(record: Record, key: str, suffix: str) -> list[str]:
    return [words(key, record) + suffix, number(record["metrics"][key]), span(over_rows(record, key))]


def _attacks(record: Record) -> Iterator[Mapping[str, Any]]:
    """Yields every attack of the evaluations of a record."""
    looked: list[Any] = [metrics_of(record)]
    looked += [
        (later.get("settings") or {}).get("attack") or {} for later in (record.get("evaluations") or {}).values()
    ]
    for node in looked:
        yield from _targets(node, "utils.attacks.")


def _targets(node: Any, prefix: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        if str(node.get("_target_", "")).startswith(prefix):
            yield node
            return
        for value in node.values():
            yield from _targets(value, prefix)


def individual(record: Record) -> list[Block]:
    """Fairness between an individual and its counterfactual twins, where it was judged."""
    keys = [key for key in record["metrics"] if key.startswith(("uai", "counterfactual")) and not DETAIL.search(key)]
    keys = [key for key in keys if not re.search(r"_(random|gradient)_", key)]
    if not keys:
        return [Heading("Individual fairness"), Paragraph("Individual fairness was not measured" + _at_point(record))]
    unit = unit_of(record)
    causal = part(record["params"].get("scm") or {})
    note = f"Relative to a causal model: {causal}. " + (f"Radii in {unit}. " if unit else "")
    note += "A search finds what it finds: the true share of unfairly treated individuals is at least what is shown."
    if is_trained_against(record) and not find_mean(record, "uai_cf"):
        note += f" The model was {TRAINED_AGAINST} ({BY_REFITS})."
    return [Heading("Individual fairness"), _table(record, keys, note), *_other_models(record), *_causal_model(record)]


def _other_models(record: Record) -> Iterator[Block]:
    """Yields the unfair areas under other causal models, where they were judged."""
    if found := causal_ranges.ranges(record):
        yield Heading("Under other causal models", 3)
        yield Bullets([f"{line[0].upper()}{line[1:]}." for line in map(causal_ranges.sentence, found)])
        remarks = (f"{line[0].upper()}{line[1:]}." for line in causal_ranges.remarks(found))
        yield Table(*causal_ranges.table(found), " ".join(remarks))


def _causal_model(record: Record) -> Iterator[Block]:
    """Yields what data say of the causal model, and what they cannot say."""
    found = record.get("scm") or {}
    if names := facts.names_of(found):
        tests = found.get(facts.INDEPENDENCES) or 0
        wrong = sum(key.startswith(facts.REFUTED) for key in found)
        graph = f"Of {count(tests, 'independence')} that the graph implies the data refute {wrong}."
        said = graph if tests else "The graph implies no independence, so that no data can refute it."
        parts = ("On held-out rows.", facts.LEGEND, facts.describe_flows(found), said, facts.describe_support(found))
        note = " ".join(filter(None, parts))
        rows = [[name, *facts.row_of(found, name)] for name in names]
        yield from (Heading("Equations of the causal model", 3), Table(["attribute", *facts.HEAD], rows, note))
    if (record.get("causal") or {"option": "known"})["option"] != "known":
        yield Paragraph(facts.HIDDEN)


def _at_point(record: Record) -> str:
    """Explains why a record does not tell of an operating point what it tells of its own thresholds."""
    if "point" not in record:
        return "."
    why = "other thresholds decide otherwise about a person, its twins and its perturbations"
    there = f"only at the record's own: {why}. evaluate.py id={record['doc_id']} point={record['point']} measures it."
    return f" at the thresholds of this operating point, {there}"


# --- thresholds ------------------------------------------------------------------------------------------------


def thresholds(record: Record) -> list[Block]:
    """Describes the thresholds in use, how they were fitted, and the operating points that there are."""
    params = record["params"]
    heading = Heading("Decision thresholds")
    given = str((params.get("decide") or {}).get("_target_", "")).startswith(GIVEN)
    fitted = f"Fitted on the rows of the split {params.get('fit_on') or 'that is not recorded'}."
    fitted = "It was given, not fitted." if given else fitted
    how = f" {part(params['decide'])}." if params.get("decide") and not given else ""
    points = record.get("operating_points") or {}
    one = f"C{name_class(1, classes(record))[1:]}"  # at the head of a sentence
    if "point" in record:
        text = f"The model is used at operating point {record['point']}, {describe_limit(record['policy'])} on the "
        text += f"rows of the split {points.get('fit_on')}. {one} from a probability of "
        text += f"{_of_groups(points['logits'][record['point']], record)}."
        return [heading, Paragraph(text), *_fits(record), *_points(record)]
    decide = record.get("decide") or {}
    if "probability" in decide and (params.get("model") or {}).get("outputs", 1) == 1:
        text = f"{one} from a probability of {decide['probability']:.2f}, the same for all groups. {fitted}{how}"
    elif "logits" in decide:
        said = _of_groups(decide["logits"], record, decide.get("shares"))
        text = f"{one} from a probability of {said}. {fitted}{how}"
    else:
        text = "The class of the largest probability; there is no threshold."
    return [heading, Paragraph(text), *_fits(record), *(_points(record) if points else [])]


def _fits(record: Record) -> list[Block]:
    """Describes what the thresholds in use were fitted to and kept to, with the gaps there and on test rows."""
    pairs = zip(describe_fits(record), fits(record), strict=True)
    kept = [line for line, fit in pairs if not fit.crossed]  # the others are known limits
    lines = [f"{line[0].upper()}{line[1:]}." for line in kept] + [f"{small_groups(record)}."]
    return [Bullets(said)] if (said := [line for line in lines if line != "."]) else []


def _points(record: Record) -> list[Block]:
    """Returns the table of operating points, the one in use marked; the thresholds of many groups in another."""
    found = record["operating_points"]
    gaps = [gap_of(rate) for rate in found["rates"]]
    keys = [key for key in ("accuracy", *gaps) if key in found["metrics"]]
    there = (found.get("fitted") or {}).get("gap")
    own = with_points([record])[1:]
    named = [f"{i}{' (in use)' if record.get('point') == i else ''}" for i in range(len(own))]
    names = _names(record, len(found["logits"][0]))
    limits = [[_from(z) for z in found["logits"][i]] for i in range(len(own))]  # of every point, by group
    apart = len(names) > MOST_COLUMNS
    rows = [
        [
            named[i],
            point["policy"],
            *([] if apart else limits[i]),
            *([number(there[i])] if there else []),
            *(ABOVE if record.get("point") == i else figure(point, key) for key in keys),
            "yes" if any(fit.crossed for fit in fits(point)) else "",
        ]
        for i, point in enumerate(own)
    ]
    one = name_class(1, classes(record))
    note = f"From: the probability from which the model decides for {one}. Each point has the most accurate "
    note += (
        "thresholds within its policy on the rows that they were fitted to; the figures are those of the test rows. "
    )
    note += "Beyond: there the gap, or its interval, reaches beyond what was fitted to."
    if small := describe_small(found.get("fitted")):
        note += f" {small}."
    of = [] if apart else [f"{name} from" for name in names]
    fitted = ["gap where fitted"] if there else []
    header = ["point", "fitted to", *of, *fitted, *(words(key, record) for key in keys), "beyond"]
    if not apart:
        return [Table(header, rows, note)]
    by_group = [[name, *of_points] for name, *of_points in zip(names, *limits, strict=True)]
    return [Table(header, rows, note), Table(["from, at point", *named], by_group, "")]


def _of_groups(logits: Sequence[Any], record: Record, shares: Sequence[Sequence[float]] | None = None) -> str:
    """``0.42 (women), 0.51 (men)``."""
    names = _names(record, len(logits))
    return ", ".join(f"{said} ({name})" for said, name in zip(in_words(logits, shares), names, strict=False))


def by_group(record: Record) -> bool:
    """Returns whether the thresholds in use differ between the groups."""
    return "point" in record or "logits" in (record.get("decide") or {})


def _names(record: Record, n: int) -> list[str]:
    """The names of n groups."""
    return groups(record)[:n] or [f"group {i}" for i in range(n)]


def _from(logit: float | str) -> str:
    """A threshold in a table: never, always, or the probability from which on it is class 1."""
    z = float(logit)  # infinity is filed as a text
    return in_words([z])[0] if abs(z) <= SURE else "never" if z > 0 else "always"
