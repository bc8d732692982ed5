"""Advice where figures meet that do not compare: of other data, about other groups, of several causal models.

``require_one`` is asked by whatever ranks, averages or picks; it says which runs are apart, and how to choose some.
What it suggests, a condition or a command, keeps the condition that was given: see ``Asked``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from evals.records import query
from evals.records.query import Record
from utils.records import later
from utils.records.settings import at
from utils.runs import data_sources
from utils.runs.causal_figures import OF_SEVERAL, Causal, Models, has, models, name
from utils.scms.identity import FITTED, hash_of_graph, is_under
from utils.words.quoting import copyable, option, override, quoted

WITHIN_QUOTES = '"$`!\\'  # what a shell reads between double quotes
BEST_FIRST = ("known", "learned", "linear", "independent")
SAYABLE = re.compile(
    r"[\w.+-]+|\[[\w.+,-]+\]", re.ASCII
)  # values of settings that ``where`` reads and no shell touches


@dataclass(frozen=True)
class Asked:
    """The database that a command was asked about and its condition, which all keep that it suggests to be typed."""

    database: str  # as given: a copy may have another name than the data set of its records
    where: str | None = None  # which runs
    limits: str = ""  # what evals.select requires of them: no command for the same runs repeats it

    @classmethod
    def read(cls, options: DictConfig) -> "Asked":
        """Returns what the options ``dataset`` and ``where`` of a command ask about."""
        return cls(str(options.dataset), query.to_text(options.where))

    def add_condition(self, condition: str) -> str:
        """``where="model==mlp, source==loan-2000rows"``: the option that was given, with one condition more."""
        given = ", ".join(filter(None, (self.where, self.limits, condition)))
        plain = not set(given) & set(WITHIN_QUOTES) and option("where", given) == f"where={given}"
        return f'where="{given}"' if plain else quoted(option("where", given))

    def command(self, program: str, *words: str) -> str:
        """The line of ``program``, a module of ``evals``, about the same runs."""
        where = [option("where", self.where)] if self.where else []
        return copyable(f"python -m {program}", option("dataset", self.database), *where, *words)

    def judge_all(self, *words: str) -> str:
        """The line of ``evaluate.py`` that judges the same runs."""
        where = [override("where", self.where)] if self.where else []
        return copyable("python evaluate.py", override("dataset", self.database), "id=all", *where, *words)


@dataclass(frozen=True)
class Judging:
    """A later ``evaluation`` that gives every record a figure under one causal model."""

    evaluation: str
    command: str  # to copy; empty where every record has the evaluation already


def why_apart(records: Sequence[Record], keys: Sequence[str], asked: Asked) -> str:
    """Returns why figures do not compare, of the first keys for which that is so, and the remedy; else nothing."""
    return next(iter(sentences(records, keys, asked)), "")


def require_one(records: Sequence[Record], keys: Sequence[str], asked: Asked) -> None:
    """Refuses to rank or average figures that do not compare. Raises ValueError as ``why_apart`` says."""
    if said := why_apart(records, keys, asked):
        raise ValueError(said)


def sentences(records: Sequence[Record], keys: Sequence[str], asked: Asked) -> list[str]:
    """Returns why figures do not compare and the remedy, one sentence for all keys of the same sources or models."""
    if several := _of_data(records, keys, asked):
        return [several]
    return [*_of_attributes(records, keys, asked), *_of_models(records, keys, asked)]


def _of_data(records: Sequence[Record], keys: Sequence[str], asked: Asked) -> str:
    """Returns why the figures of these keys do not compare where they are of several sources; else nothing."""
    found = data_sources.sources([record for record in records if any(has(record, key) for key in keys)])
    if len(found) <= 1:
        return ""
    return f"{tell_sources(found, asked)}. Choose those of one by {asked.add_condition(f'source=={next(iter(found))}')}"


def tell_sources(found: Mapping[str, Sequence[Record]], asked: Asked) -> str:
    """Says that runs are of several sources of data, and which records are of each."""
    listed = "; ".join(f"{source} ({data_sources.file_of(of[0])}, {_records(of)})" for source, of in found.items())
    return f"the runs of {asked.database} are of {len(found)} sources of data, whose figures do not compare: {listed}"


def _of_attributes(records: Sequence[Record], keys: Sequence[str], asked: Asked) -> Iterator[str]:
    """Yields why figures of groups do not compare that are about several sets of sensitive attributes."""
    alike: dict[tuple[str, ...], tuple[list[str], dict[str, list[Record]]]] = {}
    for key in dict.fromkeys(keys):
        found = {} if models(records, key) else data_sources.attributes_apart(records, key)
        if len(found) > 1:
            alike.setdefault(tuple(found), ([], found))[0].append(key)
    for of, found in alike.values():
        listed = "; ".join(f"{about} ({_records(having)})" for about, having in found.items())
        first = asked.add_condition(f"sensitive=={next(iter(found))}")
        yield (
            f"{_join(of)} {'is' if len(of) == 1 else 'are'} about the groups of the sensitive attributes, and here are "
            f"{len(found)} sets of them: {listed}. Choose those of one by {first}"
        )


def _of_models(records: Sequence[Record], keys: Sequence[str], asked: Asked) -> list[str]:
    """Returns why causal figures do not compare, one sentence for all keys of the same causal models."""
    evaluations = later.evaluations(records)
    alike: dict[tuple[frozenset[str], str | None], dict[str, Models]] = {}
    for key in dict.fromkeys(keys):
        found = models(records, key)
        if len(found) > 1:
            alike.setdefault((frozenset(found), later.of_evaluation(key, evaluations)[0]), {})[key] = found
    return [_sentence(list(of), _merge(list(of.values())), asked) for of in alike.values()]


def _merge(several: Sequence[Models]) -> Models:
    """The causal models of several figures, and the records that have one of these under each."""
    merged: dict[str, tuple[Causal | None, list[Record]]] = {}
    for found in several:
        for fingerprint, (causal, of) in found.items():
            having = merged.setdefault(fingerprint, (causal, []))[1]
            there = set(map(id, having))
            having += [record for record in of if id(record) not in there]
    return merged


def _sentence(keys: Sequence[str], found: Models, asked: Asked) -> str:
    known = [causal for causal, _ in found.values() if causal is not None]
    listed = [f"{name(causal, known)} ({_records(of)})" for causal, of in found.values()]
    belong = "belongs to its" if len(keys) == 1 else "belong to their"
    said = f"{_join(keys)} {belong} causal model, and here are {len(found)}: {'; '.join(listed)}."
    condition = _build_condition(found)
    choosing = "choose those of one" + (f" by {asked.add_condition(condition)}" if condition else "")
    if unlike := _unlike(known):
        by = "" if condition else " by where=..."
        return f"{said} {unlike}, so no command judges them under one: {choosing}{by}"
    way = find_judging(found, keys, asked)
    if way is None:
        return f"{said} No command judges all under one: {choosing}"
    taken = _join([f"{way.evaluation}/{plain}" for plain in _plain(found, keys)])
    if not way.command:
        return f"{said} All are judged under one already, take {taken}; or {choosing}"
    return f"{said} Judge all under one, `{way.command}`, and take {taken}; or {choosing}"


def _join(keys: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(keys[:-1]), keys[-1])))


def _records(of: Sequence[Record]) -> str:
    ids = list(dict.fromkeys(str(record.get("doc_id")) for record in of))  # a record once, of its operating points too
    shown = f"{', '.join(ids[:3])}, ..." if len(ids) > 3 else ", ".join(ids)
    return f"record{'s' * (len(ids) > 1)} {shown}"


def _unlike(known: Sequence[Causal]) -> str:
    """Returns the difference of causal models that no evaluation changes, in data or attributes; else nothing."""
    if len({str(sorted((causal["source"] or {}).items())) for causal in known}) > 1:
        return "Their data differ"
    return "Their sensitive attributes differ" if len({str(causal.get("sensitive")) for causal in known}) > 1 else ""


def _plain(found: Models, keys: Sequence[str]) -> list[str]:
    """The keys of a figure as its metric calls it, without a later evaluation."""
    evaluations = later.evaluations(_everyone(found))
    return list(dict.fromkeys(later.of_evaluation(key, evaluations)[1] for key in keys))


def _everyone(found: Models) -> list[Record]:
    return [record for _, of in found.values() for record in of]


def for_a_page(found: Models, key: str, asked: Asked) -> dict[str, str]:
    """``judge``, the command that judges all under one, and ``taken``, the key where all are judged so already."""
    way = find_judging(found, [key], asked)
    filed = way is not None and not way.command
    return {
        "judge": "" if way is None else way.command,
        "taken": f"{way.evaluation}/{_plain(found, [key])[0]}" if way is not None and filed else "",
    }


# --- judging all under one -------------------------------------------------------------------------------------


def find_judging(found: Models, keys: Sequence[str], asked: Asked) -> Judging | None:
    """Returns the way to judge the records of some figures under one causal model; None where no command does."""
    known = _rank_models(found)
    if _unlike([causal for causal, _ in known]):
        return None
    everyone = _everyone(found)
    several = any(map(OF_SEVERAL.search, _plain(found, keys)))  # which no judging under one gives
    ways = (_way(causal, everyone, asked) for causal, _ in known if not several)
    way = next(filter(None, ways), None)
    named = [way.evaluation] if way else []
    for evaluation in [*named, *sorted(later.evaluations(everyone))]:
        if _is_filed(found, keys, evaluation):
            return Judging(evaluation, "")
    if way and any(len(models(everyone, f"{way.evaluation}/{plain}")) > 1 for plain in _plain(found, keys)):
        return Judging(way.evaluation, f"{way.command} replace=true")
    return way


def _rank_models(found: Models) -> list[tuple[Causal, list[Record]]]:
    """Sorts causal models, those that say most about twins first: the true one, else a fitted one."""
    known = [(causal, of) for causal, of in found.values() if causal is not None]
    return sorted(known, key=lambda pair: _rank(str(pair[0]["option"])))


def _rank(option: str) -> int:
    return BEST_FIRST.index(option) if option in BEST_FIRST else len(BEST_FIRST)


def _way(causal: Causal, records: Sequence[Record], asked: Asked) -> Judging | None:
    """The command that judges records under the option and graph of a causal model; None where no words say it."""
    own = [_graph_of(record) for record in records]
    read = causal["option"] in FITTED and (causal.get("graph") or any(own))
    alike = not read or all(is_under(causal, graph) for graph in own)
    graph = None if alike else next((g for g in own if g and is_under(causal, g)), causal.get("graph"))
    if not alike and not graph:
        return None
    chosen = [f"scm={causal['option']}"]
    try:
        said = [override("dataset.graph", graph)] if graph else []
        command = asked.judge_all(*chosen, *said)
    except ValueError:
        return None
    return Judging(evaluation_under(chosen, graph), command)


def _graph_of(record: Record) -> Mapping[str, Any] | None:
    graph = (record["params"].get("dataset") or {}).get("graph")
    return graph if isinstance(graph, Mapping) else None


def evaluation_under(words: Sequence[str], graph: Mapping[str, Any] | None) -> str:
    """Returns the name of the evaluation made by words that choose another causal model; empty where none do."""
    chosen = [word for word in words if word.startswith("scm=")]
    changed = [word.removeprefix("scm.") if chosen else word for word in words if word.startswith("scm.")]
    said = [] if graph is None else [f"graph={hash_of_graph(graph)}"]
    return "+".join([*chosen, *changed, *said])


def _is_filed(found: Models, keys: Sequence[str], evaluation: str) -> bool:
    """Returns whether every record of the figures has them in an evaluation, there under one causal model."""
    everyone = _everyone(found)
    evaluations = later.evaluations(everyone)
    for key in keys:
        judged = f"{evaluation}/{later.of_evaluation(key, evaluations)[1]}"
        complete = all(has(record, judged) for record in everyone if has(record, key))
        if not complete or len(models(everyone, judged)) != 1:
            return False
    return True


# --- choosing those of one -------------------------------------------------------------------------------------


def _build_condition(found: Models) -> str:
    """A condition that keeps the records of one causal model, and no other; nothing where none was found."""
    everyone = _everyone(found)
    table = query.frame([{**record, "metrics": {}, "evaluations": {}} for record in everyone])
    known = _rank_models(found)
    for causal, of in known:
        under = set(map(id, of))
        own = [i for i, record in enumerate(everyone) if id(record) in under]
        for condition in _conditions(causal, [other for other, _ in known], of):
            if _keep(table, condition) == own:
                return condition
    return ""


def _conditions(causal: Causal, among: Sequence[Causal], of: Sequence[Record]) -> Iterator[str]:
    """Yields the conditions that select a causal model: its option, a setting in which it differs, or both."""
    option = f"scm=={causal['option']}"
    yield option
    told = {key: value for key, value in causal["settings"].items() if SAYABLE.fullmatch(str(value))}
    apart = [key for key in told if any(other["settings"].get(key) != told[key] for other in among)]
    settings = [f"scm.{key}=={str(told[key]).lower() if isinstance(told[key], bool) else told[key]}" for key in apart]
    yield from settings
    yield from (f"{option}, {setting}" for setting in settings)
    if causal.get("sensitive") and SAYABLE.fullmatch(about := _about(of[0])):
        yield from (f"dataset.sensitive=={about}", f"{option}, dataset.sensitive=={about}")


def _about(record: Record) -> str:
    """The sensitive attributes as ``where`` compares them; empty where no setting of the data set names them."""
    table = query.frame([{**record, "metrics": {}, "evaluations": {}}])
    stated = at(record["params"], "dataset.sensitive")
    return "" if stated is None else str(query.values("dataset.sensitive", table).iloc[0])


def _keep(table: Any, condition: str) -> list[int]:
    try:
        return list(query.where(table, condition).index)
    except ValueError:  # no record has that setting
        return []
