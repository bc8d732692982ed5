"""The meaning of a metric's keys: which way is better, how to say it in words, which are printed first.

**Each metric says it in its own file**, in a constant ``KEYS`` of names and what they mean::

    KEYS = {
        "brier_score": Key(-1, "Brier score", headline=1),
        "brier_skill": Key(1, "Brier skill score", least=None),
    }

A key is such a name, followed by a group (``fnr_group1``) or a class, a norm (``robust_accuracy_linf_0.01``), a radius
(``uai_0.05``, ``robust_accuracy_8/255``), of poisoned runs one of POISONING (``fpr_gap_valid_unpoisoned``), and one of
``_low``, ``_high``, ``_null``, each where it applies; KEYS names none of these. A gap may be that between the groups of
one sensitive attribute alone (``fnr_gap_by_sex``), and of the groups that have enough rows (``fnr_gap_rest``,
``fnr_gap_by_race_rest``). An attribute whose name could be misread there is in quotes, as in JSON. A
``{placeholder}`` in a name is any text, and in its words what is known of that, so that ``{rate}_gap`` speaks of every
rate; in words ``{groups}`` are the groups, ``{contrast}`` is the second group minus the first, and ``{one}`` is class 1
by its name.

``meaning(key)`` is what a file states of a key, or None; ``direction``, ``bounds``, ``describe``, ``is_causal`` and
``headlines`` ask it. The files are read, not run, so that nobody who plots waits for torch: KEYS is a dict of plain
values.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from utils.words.levels import levels_of, name_class, write_text
from utils.words.near import near
from utils.words.numbers import SPELLED


@dataclass(frozen=True)
class Key:
    """The meaning of one of a metric's keys.

    Raises ValueError for a direction, a place or words that cannot be meant.
    """

    direction: int  # +1: higher is better, -1: lower, 0: neither
    words: str  # for labels, such as "false negative rate"
    unit: str = ""  # of what it is a share, such as "share of individuals"
    headline: int = 0  # printed after a training and offered first in a report: those of 1 before those of 2; 0: not
    causal: bool = False  # depends on the structural causal model, so it compares under the same one alone
    norm: bool = True  # a norm may stand behind the name; False where it is part of an attack's name
    least: float | None = 0.0  # end of its range, where intervals are cut; None: it has none
    most: float | None = 1.0  # likewise
    at: str = "at radius {}"  # said of the number behind the name

    def __post_init__(self) -> None:
        if self.direction not in (-1, 0, 1) or not self.words.strip() or self.headline < 0:
            raise ValueError(f"{self}: expected a direction of -1, 0 or 1, words, and a headline of 0 or more")


ERRORS = ("fnr", "fpr")  # rates of which less is better for whom they are about, and which harm is
ENDS = {
    "low": "lower end of the interval",
    "high": "upper end of the interval",
    "null": "expected by chance alone",
}
POISONING = {
    "_valid_unpoisoned": "on validation rows, with training rows as they are",
    "_valid": "on validation rows",
    "_unpoisoned": "with training rows as they are",
    "_under_poisoning": "under poisoning",
    "_poisoning_harm": "added by poisoning",
}
LOST = "lost by poisoning"  # of a metric whose higher values are better: harm is positive either way
ENOUGH = "that have enough rows"  # behind words that end in groups
NORMS = {"l1": "L1", "l2": "L2", "linf": "Linf"}
STATED = re.compile(r"^KEYS\b[^=\n]*=(.*(?:\n(?:[ \t].*|[\])}].*|$))*)", re.MULTILINE)  # up to the next statement
END = re.compile(r"(?P<rest>.+)_(?P<end>low|high|null)")
GROUP = re.compile(r"(?P<rest>.+)_group(?P<group>\d+)")
CLASS = re.compile(r"(?P<rest>.+)_class_(?P<label>\d+)")
NUMBERED = {"group": "group", "class": "class "}  # before its number
FIELD = re.compile(r"\{(\w+)\}")
UNDER_NORM = re.compile(r"robust_accuracy_(worst_group_)?(l1|l2|linf)_[^_]+")
NORM = re.compile(r"(?P<rest>.+)_(?P<norm>l1|l2|linf)")
POISONED = re.compile(rf"(?P<rest>.+?)(?P<state>{'|'.join(POISONING)})")
RADIUS = re.compile(rf"(?P<rest>.+)_(?P<radius>{SPELLED})", re.IGNORECASE)


BY, REST = "_by_", "_rest"
ATTRIBUTE = r'(?P<attribute>"(?:[^"\\]|\\.)*"|[^"].*?)'
OF_SOME = re.compile(rf"(?P<gap>.+?_(?:gap|difference))(?:{BY}{ATTRIBUTE})?(?P<rest>{REST})?")
PLAIN = re.compile(r"[^\W\d_][\w -]*")  # a name of an attribute that needs no quotes, unless it ends as keys do
ENDING = re.compile(r"(.*_)?(low|high|null|valid|unpoisoned|poisoning|harm|rest|l1|l2|linf|group\d+|\d[^_]*)")


def by_attribute(attribute: str) -> str:
    """The end ``_by_sex`` of the keys of the groups of one attribute alone."""
    plain = PLAIN.fullmatch(attribute) and not ENDING.fullmatch(attribute)
    return f"{BY}{attribute if plain else json.dumps(attribute, ensure_ascii=False)}"


def split_some(key: str) -> tuple[str, str, bool]:
    """The gap that a key is of, the attribute whose groups alone it is between or nothing, and whether of the rest."""
    found = OF_SOME.fullmatch(key)
    if found is None:
        return key, "", False
    attribute = found["attribute"] or ""
    if attribute.startswith('"'):
        attribute = str(json.loads(attribute))
    return found["gap"], attribute, found["rest"] is not None


def meaning(key: str) -> Key | None:
    """Returns what its metric's file states of a key; None where no file does."""
    return _find(_split(key, ()).name, ())


def direction(key: str) -> int:
    """+1 where a higher value is better, -1 where a lower one is, 0 for neither or an unknown key.

    A signed gap has none: it is best at 0. What poisoning makes worse of a metric is a harm, of which less is better.
    """
    parts = _split(key, ())
    found = _find(parts.name, ())
    if found is None:
        return 0
    return -1 if parts.state == POISONING["_poisoning_harm"] else found.direction


def bounds(key: str) -> tuple[float, float]:
    """The range of a metric, also of one of a later evaluation (``pgd@8/255/accuracy``); unbounded where unknown."""
    if (parts := _split(key, ())) and (found := _find(parts.name, ())):
        least = -math.inf if found.least is None else found.least
        most = math.inf if found.most is None else found.most
        return (least - most, most - least) if parts.state == POISONING["_poisoning_harm"] else (least, most)
    _, within, rest = key.partition("/")
    return bounds(rest) if within else (-math.inf, math.inf)


def is_causal(key: str) -> bool:
    """Returns whether a figure depends on the structural causal model; not of an unknown key."""
    found = meaning(key)
    return found is not None and found.causal


def describe(key: str, groups: Sequence[str] = (), classes: Sequence[str] = ()) -> str:
    """A label in words for plots; an unknown key stays as it is.

    ``uai_0.05`` is "unfair area at radius 0.05 (share of individuals)". With the names of the groups, such as women
    and men, ``fnr_signed_gap`` is "difference in false negative rate, men minus women"; with those of the classes, such
    as no and yes, ``prevalence`` is "share of class yes".
    """
    parts = _split(key, groups, classes)
    found = _find(parts.name, levels_of(groups, parts.by) if parts.by else groups, classes, parts.by)
    if found is None:
        return key
    if found.direction > 0 and parts.state == POISONING["_poisoning_harm"]:
        parts = parts._replace(state=LOST)
    words = " ".join([found.words, *parts.details(found.at)]) + (f" ({found.unit})" if found.unit else "")
    return f"{words}, {ENDS[parts.end]}" if parts.end else words


def name_numbers(keys: Iterable[str], groups: Sequence[str], classes: Sequence[str] = ()) -> list[str]:
    """Returns ``group1 is sex=Male`` for each group in these keys, and ``class 0 is no`` for each class with a name.

    Names of groups are in quotes already where they need them.
    """
    of_whom = [re.fullmatch(r"of (group|class) (\d+)", _split(key, ()).of) for key in keys]
    numbers = {kind: sorted({int(found[2]) for found in of_whom if found and found[1] == kind}) for kind in NUMBERED}
    return [
        f"{prefix}{number} is {names[number] if kind == 'group' else write_text(names[number])}"
        for (kind, prefix), names in zip(NUMBERED.items(), (groups, classes), strict=True)
        for number in numbers[kind]
        if number < len(names) and names[number] != str(number)
    ]


def headlines(keys: Iterable[str]) -> list[str]:
    """Returns the keys that their metrics print, in the order of their headlines, then of the keys given.

    What is said of one group, one class, or one end of an interval is a detail, and so is what poisoning changed.
    """
    ranked = [(found.headline, key) for key in keys if (found := meaning(key)) and not _is_detail(key)]
    return [key for rank, key in sorted(ranked, key=lambda pair: (_is_of_some(pair[1]), pair[0])) if rank]


def _is_of_some(key: str) -> bool:
    """Returns whether a gap is between some groups, which are printed behind all other figures."""
    _, attribute, rest = split_some(key)
    return bool(attribute) or rest


def _is_detail(key: str) -> bool:
    parts = _split(key, ())
    return bool(parts.of or parts.state or parts.end)


def under_norms(keys: Iterable[str]) -> list[str]:
    """Returns the robust accuracies under a norm, ``robust_accuracy_linf_0.01`` and of the worst group."""
    return [key for key in keys if UNDER_NORM.fullmatch(key)]


def names_like(key: str) -> list[str]:
    """Returns the keys that metrics state without a placeholder, and again at the radius that a key has."""
    found = RADIUS.fullmatch(key)
    plain = [name for name in read_keys() if "{" not in name]
    return [*plain, *(f"{name}_{found['radius']}" for name in plain if found)]


def radius_of(key: str) -> str | None:
    """Returns the radius that a figure is at, as written; None for none, and for a number of something else."""
    found = RADIUS.fullmatch(key)
    known = meaning(key) if found else None
    return found["radius"] if found and known and known.at == Key.at else None


def require_metric(key: str, where: str) -> None:
    """Refuses a name that no metric has. Raises ValueError, with near misses."""
    if meaning(key) is None:
        raise ValueError(f"{where}: there is no metric {key}{near(key, names_like(key), '')}")


class Parts(NamedTuple):
    """A key taken apart: its name, then in words of whom, in which norm, the radius, how poisoned, which end.

    ``by`` is the attribute whose groups alone a gap is between, ``rest`` says that these are the large ones.
    """

    name: str
    of: str
    norm: str
    radius: str
    state: str
    end: str
    by: str = ""
    rest: str = ""

    def details(self, at: str) -> list[str]:
        """Returns what stands behind the name, in words, but for the end; ``at`` with the number in its place."""
        number = at.format(self.radius) if self.radius else ""
        return [words for words in (self.of, self.rest, self.norm, number, self.state) if words]


def _split(key: str, groups: Sequence[str], classes: Sequence[str] = ()) -> Parts:
    norm = radius = state = end = ""
    if found := END.fullmatch(key):
        key, end = found["rest"], found["end"]
    if found := POISONED.fullmatch(key):
        key, state = found["rest"], POISONING[found["state"]]
    key, by, rest = split_some(key)
    if not _whose(key, ())[1] and (found := RADIUS.fullmatch(key)):
        key, radius = found["rest"], found["radius"]
    if (found := NORM.fullmatch(key)) and _takes_norm(_whose(found["rest"], ())[0]):
        key, norm = found["rest"], f"under {NORMS[found['norm']]} attacks"
    name, of = _whose(key, groups, classes)
    return Parts(name, of, norm, radius, state, end, by, ENOUGH if rest else "")


def _takes_norm(name: str) -> bool:
    """Returns whether a norm can stand behind a name; behind the name of an attack it is part of that."""
    found = read_keys().get(name) or _template(name)[0]
    return found is not None and found.norm


def _whose(key: str, groups: Sequence[str], classes: Sequence[str] = ()) -> tuple[str, str]:
    """A key without its group or class, and these in words."""
    if found := GROUP.fullmatch(key):
        return found["rest"], f"of {_name_group(int(found['group']), groups)}"
    if (found := CLASS.fullmatch(key)) and found["rest"] in read_keys():
        return found["rest"], f"of {name_class(int(found['label']), classes)}"
    return key, ""


def _name_group(group: int, groups: Sequence[str]) -> str:
    return groups[group] if group < len(groups) else f"group {group}"


def _find(name: str, groups: Sequence[str], classes: Sequence[str] = (), by: str = "") -> Key | None:
    """The meaning of a name without what stands behind it, in the words of these groups, ``by`` which, and classes."""
    found, rest = read_keys().get(name), ""
    if found is None:
        found, rest = _template(name)
    if found is None:
        return None
    known = {
        "contrast": f"{_name_group(1, groups)} minus {_name_group(0, groups)}",
        "groups": f"{groups[0]} and {groups[1]}" if len(groups) == 2 else f"groups of {by}" if by else "groups",
        "one": name_class(1, classes),
    }
    of_rest = FIELD.sub(lambda field: field[0] if field[1] in known else _words(rest), found.words)
    filled = FIELD.sub(lambda field: known.get(field[1], ""), of_rest)
    largest = len(groups) > 2 and "{groups}" in found.words and not filled.startswith("largest")
    return replace(found, words=f"largest {filled}" if largest else filled)


def _words(name: str) -> str:
    return read_keys()[name].words if name in read_keys() else name.replace("_", " ")


def _template(name: str) -> tuple[Key | None, str]:
    """The meaning of a name that has a placeholder, and what stands in its place."""
    matches = ((key, pattern.fullmatch(name)) for pattern, key in _templates())
    return next(((key, found[1]) for key, found in matches if found), (None, ""))


@cache
def _templates() -> tuple[tuple[re.Pattern[str], Key], ...]:
    """Names with a placeholder, those that end in words before those that end in it, and the longest first."""
    keys = read_keys()
    names = sorted((name for name in keys if "{" in name), key=lambda n: (n.endswith("}"), -len(FIELD.sub("", n))))
    return tuple((_pattern(name), keys[name]) for name in names)


def _pattern(name: str) -> re.Pattern[str]:
    before, after = FIELD.sub("{}", name).split("{}")
    return re.compile(re.escape(before) + (r"([a-z]\w*)" if before else r"(.+)") + re.escape(after))


# --- what the metrics' files state -----------------------------------------------------------------------------


@cache
def read_keys() -> Mapping[str, Key]:
    """Returns every name that a file of this room states in KEYS.

    Raises ValueError where two files state one name, or KEYS is not made of plain values.
    """
    found: dict[str, Key] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        own = keys_of(path)
        if twice := sorted(found.keys() & own.keys()):
            raise ValueError(f"{path}: KEYS states {', '.join(twice)}, which another metric states too; state it once")
        found |= own
    return found


def keys_of(path: Path) -> dict[str, Key]:
    """The KEYS of a metric's file, read without running it; none where it states none.

    Raises ValueError where they are not plain values.
    """
    found = STATED.search(path.read_text(encoding="utf-8"))
    # parsing the whole of every file takes several times as long
    return {} if found is None else _read(ast.parse(found[1].strip(), str(path), mode="eval").body, path)


def _read(written: ast.expr | None, path: Path) -> dict[str, Key]:
    try:
        if not isinstance(written, ast.Dict):
            raise TypeError("no dict")
        names = [ast.literal_eval(name) for name in written.keys if name is not None]
        return dict(zip(names, map(_key, written.values), strict=True))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path}: KEYS is read without running the file, so expected a dict of plain values such as "
            f'{{"brier_score": Key(-1, "Brier score", headline=1)}}; {error}'
        ) from error


def _key(call: ast.expr) -> Key:
    if not isinstance(call, ast.Call):
        raise TypeError("a meaning is written Key(...)")
    return Key(*map(ast.literal_eval, call.args), **{w.arg or "": ast.literal_eval(w.value) for w in call.keywords})
