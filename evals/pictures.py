"""Pictures of classifiers with several classes: accuracy by class and by radius, confusions, images that fool them.

``python -m evals.pictures dataset=fashion_mnist kind=classes [id=3,7] [out=a.png,a.svg]``; options and defaults
stand in ``config/pictures.yaml``. Classes and curve read the figures of the records alone; confusion and examples
load a model and attack it.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

import paths_config
from evals.plots import class_drawings
from evals.plots.class_drawings import Confusion, Gallery, Kind
from evals.plots.style import COLOURS, MARKERS, save, targets
from evals.records import judged_rows, query
from evals.records.radius_text import NORMS, in_bytes, radius_words
from utils.records import given_weights, later
from utils.system.console import count, write
from utils.system.tables import align
from utils.words.near import near
from utils.words.numbers import SPELLED, read_number, read_radius

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OPTIONS = paths_config.ROOT / "config" / "pictures.yaml"
MOST = 20  # classes shown as bars, the least robust ones
CURVE = re.compile(rf"robust_accuracy_pgd_({SPELLED})")
HEADLINE = re.compile(rf"robust_accuracy_({SPELLED})")
CLASS = re.compile(r"accuracy_class_(\d+)")
ROBUST_CLASS = re.compile(rf"robust_accuracy_class_\d+_({SPELLED})")
PLAIN = str.maketrans({"ℓ": "l", "∞": "inf", "₂": "2", "₁": "1"})  # for tables of text


class Picture(NamedTuple):
    """A drawn picture and its text."""

    figure: "Figure"
    text: str  # the same figures for a reader, or what is missing


# --- what is shown ---------------------------------------------------------------------------------------------


def select_records(records: Sequence[query.Record], options: DictConfig) -> list[query.Record]:
    """The records that ``id`` and ``where`` ask for. Raises ValueError where one is not there or none is left."""
    table = query.where(query.frame(records), options.where)
    if table.empty:
        raise ValueError(f"where={options.where!r} leaves none of the {count(len(records), 'run')}; relax it")
    kept = {int(records[i]["doc_id"]): records[i] for i in table.index}
    wanted = _ids(options.id)
    for i in wanted:
        if i not in kept:
            raise ValueError(f"id={i}: no finished record of dataset={options.dataset} has it; there is {_few(kept)}")
    return [kept[i] for i in wanted] or list(kept.values())


def _ids(given: Any) -> list[int]:
    words = [word.strip() for word in str("" if given is None else given).strip("[]").split(",") if word.strip()]
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"id={given}: expected numbers of records by commas, such as 3,7")
    return list(dict.fromkeys(map(int, words)))


def _few(ids: Iterable[int]) -> str:
    shown = [str(i) for i in ids]
    return ", ".join(shown if len(shown) <= 20 else [*shown[:10], "..", *shown[-3:]])


def kinds(records: Sequence[query.Record], options: DictConfig) -> list[Kind]:
    """Returns what is drawn in a colour of its own: each record that ``id`` names, or each setting.

    Raises:
        ValueError: more of them than colours, or an evaluation that no record has.
    """
    table = measure(records, options.evaluation)
    settings = _settings(records, query.aggregate(table, []))
    names = pd.Series([settings[key] for key in zip(table["dataset"], table["group_id"], strict=True)])
    if options.id is not None:
        several = names.duplicated(keep=False)
        names += [f", seed {seed}" if more else "" for seed, more in zip(table["seed"], several, strict=True)]
    shown = list(dict.fromkeys(names)) if options.id is not None else sorted(set(names))
    if len(shown) > len(COLOURS):
        raise ValueError(
            f"{len(shown)} kinds of models are too many for a picture; keep {len(COLOURS)} by where= or id="
        )
    looks = zip(shown, COLOURS, MARKERS, strict=False)
    return [Kind(name, colour, marker, table[names == name]) for name, colour, marker in looks]


def _settings(records: Sequence[query.Record], groups: pd.DataFrame) -> dict[tuple[str, str], str]:
    """A name for each setting: its regularizer, and what else differs."""
    groups["regularizer"] = groups["regularizer"].fillna("none")
    found: dict[tuple[str, str], str] = {}
    for label, group in zip(query.differences(records, groups, "regularizer"), groups.to_dict("records"), strict=True):
        name = group["regularizer"] if label == group["regularizer"] else f"{group['regularizer']} ({label})"
        if name in found.values():
            name = f"{name} [{group['group_id'][:8]}]"
        found[group["dataset"], group["group_id"]] = name
    return found


def measure(records: Sequence[query.Record], evaluation: Any) -> pd.DataFrame:
    """The records as a table, with the metrics of the training or, under the same names, of a later evaluation."""
    if evaluation is None:
        return query.frame([{**record, "evaluations": {}} for record in records])
    name = str(evaluation)
    judged = [record for record in records if name in (record.get("evaluations") or {})]
    if not judged:
        names = sorted(later.evaluations(records))
        there = ", ".join(names) or "none"
        raise ValueError(f"evaluation={name}: no record has it{near(name, names)} There is {there}")
    found = [(record, record["evaluations"][name]) for record in judged]
    return query.frame([{**record, "metrics": e.get("metrics", e), "evaluations": {}} for record, e in found])


def radii(columns: Iterable[str], pattern: re.Pattern[str]) -> dict[float, str]:
    """The radii in the names of metrics, as numbers and as they stand there, in rising order."""
    found = {read_number(match[1]): match[1] for key in columns if (match := pattern.fullmatch(key))}
    return dict(sorted(found.items()))


def radius_of(options: DictConfig, records: Sequence[query.Record], there: Mapping[float, str]) -> str:
    """The radius as the metrics have it: ``epsilon``, or the only one, or that of the training."""
    texts = ", ".join(there.values())
    if options.epsilon is not None:
        value = read_number(options.epsilon)
        close = [text for known, text in there.items() if np.isclose(known, value, rtol=1e-3, atol=0)]
        if not close:
            raise ValueError(f"epsilon={options.epsilon}: these runs were judged at {texts}; choose one of them")
        return close[0]
    epsilons = [given_weights.without_training(r["params"]).get("epsilon") or {} for r in records]
    trained = {read_number(epsilon["radius"]) for epsilon in epsilons if "radius" in epsilon}
    if len(there) == 1:
        return next(iter(there.values()))
    if len(trained) == 1 and (value := next(iter(trained))) in there:
        return there[value]
    raise ValueError(f"these runs were judged at several radii; choose one by epsilon=...: {texts}")


def _norm(record: query.Record) -> str:
    """The norm of a record's radii for a reader, empty where it names none."""
    return NORMS.get(str((record["params"].get("evaluation") or {}).get("norm")), "")


def class_names(record: query.Record, count: int) -> list[str]:
    """Names of the classes as the record has them, else their numbers."""
    names = (record.get("preprocessing") or {}).get("class_names") or []
    return [str(name) for name in names] if len(names) >= count else [str(i) for i in range(count)]


# --- the kinds of pictures -------------------------------------------------------------------------------------


def classes(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """Accuracy of each class, clean and under attack."""
    shown = kinds(records, options)
    present = {key for kind in shown for key in kind.runs.columns[kind.runs.notna().any()]}
    there = radii(present, ROBUST_CLASS)
    if not there:
        raise ValueError(
            "these runs have no accuracy of each class under attack (robust_accuracy_class_<i>_<radius>); judge them "
            "by the metric ensemble, as evaluation=image does"
        )
    radius = radius_of(options, records, there)
    every = sorted(int(match[1]) for key in present if (match := CLASS.fullmatch(key)))
    names = class_names(records[0], max(every) + 1)
    kept = _least(shown, every, radius)
    words = (
        f"{_norm(records[0])} radius {radius_words(radius, in_bytes(records))}{_rows(records, options, radius)}".strip()
    )
    heading = f"{options.dataset}: accuracy of each class"
    if len(kept) < len(every):
        heading = f"{options.dataset}: {MOST} of {len(every)} classes, the least robust"
    figure = class_drawings.classes(
        shown, {i: names[i] for i in kept}, radius=radius, words=words, title=str(options.title or heading)
    )
    return Picture(figure, _worst_classes(shown, radius, names, every))


def _rows(records: Sequence[query.Record], options: DictConfig, radius: str) -> str:
    """``, 10 rows``, or ``, 10+ rows``, where figures under attack are of fewer rows than all, and some of more."""
    before = "" if options.evaluation is None else f"{options.evaluation}/"
    counts = {judged_rows.count_fewer(record, f"{before}robust_accuracy_{radius}") for record in records}
    few = sorted(rows for rows in counts if rows is not None)
    return f", {few[0]}{'+' if len(counts) > 1 else ''} rows" if few else ""


def _least(shown: Sequence[Kind], every: Sequence[int], radius: str) -> list[int]:
    """Returns at most MOST classes: the worst of each kind, clean and under attack, then the least robust in any."""
    patterns = ("accuracy_class_{}", f"robust_accuracy_class_{{}}_{radius}")
    clean, robust = (np.array([[kind.mean(p.format(i)) for i in every] for kind in shown]) for p in patterns)
    first = {int(np.nanargmin(row)) for row in [*clean, *robust] if not np.isnan(row).all()}
    order = [*sorted(first), *np.argsort(np.fmin.reduce(robust), kind="stable").tolist()]
    return sorted(every[place] for place in list(dict.fromkeys(order))[:MOST])


def _worst_classes(shown: Sequence[Kind], radius: str, names: Sequence[str], every: Sequence[int]) -> str:
    """A line for each kind: accuracy and worst class, clean and under attack.

    The worst class is that of ``evals.table``: the mean over the seeds of the lowest in each. Beside it stands the
    class of the lowest mean, with that mean where it is another.
    """
    rows = []
    for kind in shown:
        row = [kind.name, _few(kind.runs["doc_id"])]
        for average, of in (
            ("accuracy", "accuracy_class_{}"),
            (f"robust_accuracy_{radius}", f"robust_accuracy_class_{{}}_{radius}"),
        ):
            keys = {of.format(i): names[i] for i in every if of.format(i) in kind.runs.columns}
            row += [_figure(kind.mean(average)), _worst(kind.runs[list(keys)].rename(columns=keys))]
        rows.append(row)
    return align(["model", "records", "clean", "worst class", f"robust at {radius}", "worst class"], rows)


def _worst(runs: pd.DataFrame) -> str:
    """``0.4000 cat``, or ``0.3500 (lowest mean 0.4000, cat)``, from the accuracies of runs (rows) in the classes."""
    means = runs.mean()
    if means.isna().all():
        return "-"
    lowest, named = runs.min(axis=1).mean(), means.idxmin()
    if np.isclose(lowest, means.min(), rtol=0, atol=1e-9):
        return f"{lowest:.4f} {named}"
    return f"{lowest:.4f} (lowest mean {means.min():.4f}, {named})"


def curve(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """Accuracy by radius of the attack."""
    shown = kinds(records, options)
    present = {key for kind in shown for key in kind.runs.columns[kind.runs.notna().any()]}
    line, marks = radii(present, CURVE), radii(present, HEADLINE)
    if not line and not marks:
        raise ValueError("these runs have no robust accuracy (robust_accuracy_pgd_<radius>, robust_accuracy_<radius>)")
    at_marks = {r: f"robust_accuracy_{text}" for r, text in marks.items()}
    keys = {
        "line": {r: f"robust_accuracy_pgd_{text}" for r, text in line.items()} or {0.0: "accuracy"} | at_marks,
        "marks": at_marks if line else {},
        "worst": {0.0: "worst_class_accuracy"}
        | {r: f"robust_accuracy_worst_class_{text}" for r, text in marks.items()},
    }
    steps = in_bytes(records)
    ticks = {0.0: "0"} | {r: radius_words(text, steps) for r, text in (line or marks).items()}
    norm = _norm(records[0])
    worst = "lowest class of each seed" if any(len(kind.runs) > 1 for kind in shown) else "worst class"
    figure = class_drawings.curve(
        shown,
        keys,
        ticks=ticks,
        axis=f"radius ({norm}, pixels in [0, 1])" if norm else "radius of the attack",
        names={"line": "PGD" if line else "all attacks", "marks": "all attacks", "worst": f"{worst}, all attacks"},
        title=str(options.title or f"{options.dataset}: accuracy by radius"),
    )
    rows = [[k.name, _few(k.runs["doc_id"]), *(_figure(k.mean(key)) for key in keys["line"].values())] for k in shown]
    return Picture(figure, align(["model", "records", *(ticks[r] for r in keys["line"])], rows))


def _figure(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"


def confusion(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """Draws the confusion matrices, clean and under attack."""
    from evals.plots.fooled import attack_rows, evasion, in_words
    from utils.metrics.confusion import counts

    record = _one(records, options)
    attack, radius = evasion(query.to_text(options.attack), record), _radius(options, record)
    answers = list(attack_rows(record, radius=radius, attack=attack, **_effort(options)))
    y, clean, attacked = (np.concatenate([getattr(a, of) for a in answers]) for of in ("y", "clean", "attacked"))
    names = class_names(record, int(max(y.max(), clean.max(), attacked.max(), 1)) + 1)
    k, zero = len(names), np.zeros_like(y)
    said = f"{in_words(attack)} at {_norm(record)} radius {radius}".replace("  ", " ")
    panels = [
        Confusion(heading, counts(y, labels, zero, groups=1, classes=k)[0])
        for heading, labels in (("clean", clean), (said, attacked))
    ]
    figure = class_drawings.confusion(panels, names, title=str(options.title or _heading(record)))
    return Picture(figure, _describe_confusion(panels, names))


def _describe_confusion(panels: Sequence[Confusion], names: Sequence[str], most: int = 5) -> str:
    """Accuracy of both, and what is most often taken for what."""
    rows = []
    for panel in panels:
        wrong = panel.counts * (1 - np.eye(len(names), dtype=int))
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = [(i, j) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True) if wrong[i, j]]
        said = ", ".join(f"{names[i]} → {names[j]} {wrong[i, j]} of {panel.counts[i].sum()}" for i, j in pairs)
        rows.append([panel.heading.translate(PLAIN), f"{panel.accuracy:.4f}", said])
    return align(["", "accuracy", "most often"], rows)


def examples(records: Sequence[query.Record], options: DictConfig) -> Picture:
    """Images that are right as they are and fool the model within the radius, each class in its turn."""
    from evals.plots.fooled import attack_rows, evasion, in_words

    record = _one(records, options)
    if not record["preprocessing"].get("shape"):
        raise ValueError(f"kind=examples shows images, and dataset={options.dataset} is a table; choose kind=confusion")
    attack, radius = evasion(query.to_text(options.attack), record), _radius(options, record)
    answers = list(attack_rows(record, radius=radius, attack=attack, **_effort(options)))
    x, moved, y, label, right = (
        np.concatenate([getattr(a, of) for a in answers]) for of in ("x", "moved", "y", "attacked", "fooled")
    )
    found = np.flatnonzero(right)
    said = f"{in_words(attack)} at radius {radius}"
    if not len(found):
        raise ValueError(
            f"{said} fools the model on none of {count(len(y), 'image')}; take a larger epsilon or more rows"
        )
    turn = np.array([int((y[found[:i]] == y[row]).sum()) for i, row in enumerate(found)])
    shown = found[np.lexsort((y[found], turn))][: options.columns]
    names = class_names(record, int(max(y.max(), label.max())) + 1)
    labels = [(names[y[row]], names[label[row]]) for row in shown]
    figure = class_drawings.examples(
        Gallery(x[shown], moved[shown], labels),
        title=str(options.title or _heading(record)),
        below=f"true class → label of the adversarial image; {said}, {_norm(record)}".rstrip(", "),
    )
    text = f"{said}: {len(found)} of {count(len(y), 'image')} are right as they are and fool the model\n"
    if len(shown) < options.columns:
        text += f"only {len(shown)} of {options.columns} columns; raise rows or epsilon for more\n"
    return Picture(figure, text)


def _one(records: Sequence[query.Record], options: DictConfig) -> query.Record:
    if options.id is None or len(records) != 1:
        raise ValueError(f"kind={options.kind} takes one record, such as id={records[0]['doc_id']}")
    return records[0]


def _radius(options: DictConfig, record: query.Record) -> str:
    """The radius as typed, here or for the training."""
    radius = str(record["params"]["epsilon"]["radius"] if options.epsilon is None else options.epsilon)
    read_radius(radius)
    return radius


def _effort(options: DictConfig) -> dict[str, Any]:
    return {"rows": options.rows, "device": str(options.device), "threads": options.threads}


def _heading(record: query.Record) -> str:
    return f"{record['name']}, seed {record['seed']} (record {record['doc_id']})"


# --- the command -----------------------------------------------------------------------------------------------

PICTURES: dict[str, Callable[[Sequence[query.Record], DictConfig], Picture]] = {
    **{"classes": classes, "curve": curve, "confusion": confusion, "examples": examples},
}
OF_RECORDS, OF_MODELS = {"where", "evaluation"}, {"attack", "rows", "device", "threads"}
UNUSED = {
    "classes": OF_MODELS | {"columns"},
    "curve": OF_MODELS | {"columns", "epsilon"},
    "confusion": OF_RECORDS | {"columns"},
    "examples": OF_RECORDS,
}


def check(options: DictConfig) -> None:
    """Refuses options that cannot be meant. Raises ValueError naming the option."""
    if options.kind not in PICTURES:
        raise ValueError(f"kind={options.kind}{near(str(options.kind), PICTURES)} Expected {', '.join(PICTURES)}")
    defaults: Any = OmegaConf.load(OPTIONS)
    for key in sorted(UNUSED[options.kind]):
        if options[key] != defaults[key]:
            raise ValueError(f"{key}={options[key]} has no part in kind={options.kind}; leave it out")


def pictures(options: DictConfig) -> None:
    """Reads the database, draws, writes, and prints what was written."""
    check(options)
    ids = "".join(f"_{i}" for i in _ids(options.id))
    paths = targets(options.out, f"{options.dataset}_{options.kind}{ids}")
    drawn = PICTURES[options.kind](select_records(query.read(str(options.dataset)), options), options)
    save(drawn.figure, paths)
    write(drawn.text)
    write("".join(f"{path}\n" for path in paths))


if __name__ == "__main__":
    sys.exit(query.command(pictures, OPTIONS, sys.argv[1:]))
