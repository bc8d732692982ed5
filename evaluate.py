"""List the stored models of a data set, or evaluate some of them again.

python evaluate.py dataset=loan sort=-accuracy
python evaluate.py dataset=loan id=3 epsilon.evaluate=[0.1,0.2]
"""

import sys
from typing import TYPE_CHECKING, Any

from utils.system.console import count, say, warn, write
from utils.system.garbage import collect_seldom
from utils.system.interrupts import end_quietly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd
    from omegaconf import DictConfig

    from evals.records.query import Record
    from utils.records.typed import Judging, OfCausalModel
    from utils.runs.outcomes import Outcome
    from utils.types import Context, Dataset, Metric


UNSEEN = (
    "refuse",
    "nearest",
    "abstain",
)  # as utils/tables/new_rows.py has them, whose imports a list need not wait for
OF_JUDGING = ("attack", "epsilon", "evaluation")  # groups that a list does not read
MORE = "columns=[...] chooses some, csv=FILE writes all, `| less -S` behind the command shows all"
MOST_APART = 3  # settings that are named where an evaluation of a name is another
DEFAULTS = ("tabular", "image", "faces")  # options of evaluation that a data set's own yaml chooses


def evaluate(cfg: "DictConfig") -> "Outcome":
    """Evaluates the chosen records, then prints the table."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from evals.records import advice, query
    from utils.runs.outcomes import Outcome

    given: Any = OmegaConf.to_container(cfg, resolve=True)
    check(given, HydraConfig.get().overrides.task)
    params: Judging = given
    records = query.read(params["database"])
    table = query.where(query.frame(records), params["where"])
    if params["id"] is not None:
        chosen = select_ids(params["id"], table, params["database"])
        wanted = [record for record in records if record["doc_id"] in chosen]
        _require_point(wanted, params["point"])
        if params["sensitivity"]:
            judge_sensitivity(wanted, params)
        for doc_id in () if params["sensitivity"] else chosen:
            evaluate_one(doc_id, params)
        records = query.read(params["database"])
        table = query.where(query.frame(records), params["where"])
        table = table[table["doc_id"].isin(chosen)]
    asked = advice.Asked(params["database"], params["where"])
    advice.require_one([records[i] for i in table.index], parse_sort(params["sort"]), asked)
    show(query.sort(table, params["sort"]), params, settings(table, records), records)
    return Outcome("evaluate", "finished", "")


def check(params: dict[str, Any], words: "Sequence[str]") -> None:
    """Refuses settings that cannot be meant, as given in words, before anything is read.

    Raises:
        ValueError: a setting that does not exist, of the wrong kind or out of range.
    """
    from utils.words.quoting import mapping
    from utils.words.ranges import require_ranges

    for key in ("where", "sort", "csv", "name", "rows"):
        params[key] = None if params[key] is None else str(params[key])
    if isinstance(params["graph"], str):  # for names that Hydra cannot spell as keys
        params["graph"] = mapping(params["graph"])
    if isinstance(params["columns"], str):
        params["columns"] = params["columns"].split(",")
    if not isinstance(params["columns"], list) or not all(isinstance(key, str) for key in params["columns"]):
        raise ValueError(f"columns={params['columns']!r}: expected a list of metrics such as [accuracy,mcc]")
    for key in ("replace", "sensitivity"):
        if not isinstance(params[key], bool):
            raise ValueError(f"{key}={params[key]!r}: expected true or false")
    if not isinstance(params["database"], str):
        raise ValueError(f"dataset={params['database']!r}: expected the name of a data set; quote a number")
    if params["unseen"] != "refuse":
        from utils.tables.new_rows import require_unseen

        require_unseen(params["unseen"])
    if params["point"] is not None:
        _check_point(params)
    if params["rows"] is not None and params["id"] is None:
        raise ValueError(f"rows={params['rows']}: say which model to judge on them by id=..., such as id=1")
    if params["sensitivity"] and (params["id"] is None or params["rows"] is not None):
        what = "say of which models by id=..., such as id=1" if params["id"] is None else "leave rows=... out"
        raise ValueError(f"sensitivity=true judges stored models on their test rows: {what}")
    require_ranges(params, "evaluate")
    if params["id"] is not None or any(word.lstrip("+~").startswith(OF_JUDGING) for word in words):
        from utils.command_line.checks import require_radii, validate_settings  # torch, which a list need not wait for

        require_radii(params["epsilon"]["evaluate"])
        validate_settings(params, OF_JUDGING)


def _check_point(params: dict[str, Any]) -> None:
    """Refuses an operating point that is no number from 0, or of no model. Raises ValueError."""
    point = params["point"]
    if isinstance(point, bool) or not isinstance(point, int) or point < 0:
        raise ValueError(f"point={point!r}: expected the number of an operating point, from 0, as evals.select has it")
    if params["id"] is None:
        raise ValueError(f"point={point}: say of which model by id=..., such as id=1")


def select_ids(wanted: Any, table: "pd.DataFrame", dataset: str) -> list[int]:
    """The record ids that ``id`` asks for, among those of the table.

    Raises:
        ValueError: an id that is not there or not a number.
    """
    present = [int(i) for i in table["doc_id"]]
    if wanted == "all":
        return present
    if isinstance(wanted, str) and all(part.strip().isdecimal() for part in wanted.split(",")):  # '1,5'
        wanted = [int(part) for part in wanted.split(",")]
    listed = wanted if isinstance(wanted, list) else [wanted]
    for i in listed:
        if isinstance(i, bool) or not isinstance(i, int):
            raise ValueError(f"id={i!r}: expected the number of a record, a list such as [3,4], or all")
        if i not in present:
            raise ValueError(f"id={i}: no finished record of dataset={dataset} has it; there are {present or 'none'}")
    return listed


def _require_point(records: "Sequence[Record]", point: int | None) -> None:
    """Refuses an operating point that some of the chosen records lack, before any is judged. Raises ValueError."""
    for record in records:
        there = len((record.get("operating_points") or {}).get("permitted", ()))
        if point is not None and point >= there:
            has = f"there are {there}, numbered from 0" if there else "it has none"
            raise ValueError(f"point={point}: record {record['doc_id']} has no such operating point; {has}")


def evaluate_one(doc_id: int, params: "Judging") -> None:
    """Judges one stored model with the metrics of this command line and files the results under a name."""
    from dataclasses import replace
    from datetime import UTC, datetime

    import paths_config
    from evals.records.points import with_points
    from evals.records.stored import scm_of
    from utils.build import describe_scm
    from utils.metrics import unreal_twins
    from utils.model_zoo import from_record
    from utils.records.decisions import PROOFS, write_proofs
    from utils.run_store import RunStore
    from utils.runs import other_rows
    from utils.runs.judging import evaluate as judge
    from utils.runs.judging import rehearse, warnings_of
    from utils.runs.progress import show_judging
    from utils.system.devices import choose_device, make_repeatable
    from utils.views.row_parts import judge_some

    store = RunStore(paths_config.database(params["database"]))
    record = store.get(doc_id)
    name = params["name"] or name_of(params)
    if name in record.get("evaluations", {}) and not params["replace"]:
        say(describe_kept(record, name, params))
        return
    device = choose_device(params["device"])
    make_repeatable(params["threads"], device)
    model = from_record(record, str(device), params["point"])
    scm = scm_of(record, params.get("scm"))
    data, ctx, metrics = rebuilt(record, params, scm)
    ctx = replace(ctx, decide=model.decision)
    others = None
    if params["rows"] is not None:
        others = other_rows.read_rows(record, model, data, params["rows"], params["unseen"])
        data = replace(data, test=others.batch)
    data = judge_some(data, params["evaluation"])
    others = others and replace(others, batch=data.test)
    rehearse(model, data.test, ctx, metrics)
    with show_judging(f"record {doc_id}", list(metrics)) as tell:
        found = judge(model, data.test, ctx, metrics, tell)
    settings = {key: params[key] for key in ("attack", "epsilon", "evaluation")} | {"scm": scm}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    result = {**found.to_record(), "settings": settings, "created": created}
    if found.arrays:
        result[PROOFS] = write_proofs(record["dataset"], record["run_id"], found.arrays)
    if others is not None:
        result |= others.to_record()
    if data.unjudged:
        result["judged"] = {"test": len(data.test.y), "unjudged": data.unjudged}
    if params["point"] is not None:
        result["point"] = params["point"]
    graph = {} if params["graph"] is None else {"graph": params["graph"]}
    stored: OfCausalModel = {"scm": scm, "dataset": record["params"]["dataset"] | graph}
    if causal := describe_scm(stored, data, ctx.scm):
        result["causal"] = causal
    judgement = ctx.scm.judgement()
    facts = {**judgement.facts, **unreal_twins.facts_of_twins(ctx.scm, data)}
    if causal:
        result["scm"] = facts
    row = "test row" if others is None else "row"
    doubts = warnings_of(found, data.groups, data.class_names, params["evaluation"]["metrics"], row=row)
    if others is not None:
        doubts += others.doubts
    if warnings := [*doubts, *unreal_twins.warnings_of(facts, data.columns), *judgement.warnings]:
        result["warnings"] = warnings
    store.add_result(doc_id, name, result, replace=params["replace"])
    of = f"on {len(data.test.y):,} of {len(data.test.y) + data.unjudged:,} rows, " if data.unjudged else ""
    say(f"record {doc_id} ({record['name']}, seed {record.get('seed')}): {of}evaluation {name!r} added")
    for warning in warnings:
        warn(warning)
    beside = with_points([record])[0 if params["point"] is None else params["point"] + 1]
    for line in thresholds_judged(beside):
        say(line)
    for line in figures_anew(beside, found, causal) if others is None else other_rows.lines(beside, found, others):
        say(line)


def judge_sensitivity(records: "Sequence[Record]", params: "Judging") -> None:
    """Judges stored models under many causal models, files how far their figures hang on these, and prints it."""
    import paths_config
    from evals.records import causal_ranges
    from evals.records.points import with_points
    from evals.records.sensitivity_judging import judge_all
    from utils.run_store import RunStore
    from utils.system.devices import choose_device, make_repeatable
    from utils.system.tables import align

    store = RunStore(paths_config.database(params["database"]))
    name = params["name"] or name_of(params)
    there = {of["doc_id"]: of for of in records if name in of.get("evaluations", {}) and not params["replace"]}
    for of in there.values():
        say(describe_kept(of, name, params))
    make_repeatable(params["threads"], choose_device(params["device"]))
    for record, result in judge_all([of for of in records if of["doc_id"] not in there], params):
        store.add_result(record["doc_id"], name, result, replace=params["replace"])
        say(f"record {record['doc_id']} ({record['name']}, seed {record.get('seed')}): evaluation {name!r} added")
        for line in thresholds_judged(with_points([record])[0 if params["point"] is None else params["point"] + 1]):
            say(line)
        judged = causal_ranges.ranges({**record, "evaluations": {name: result}})
        write(align(*causal_ranges.table(judged)))
        for line in (*map(causal_ranges.sentence, judged), *causal_ranges.remarks(judged)):
            say(f"{line[0].upper()}{line[1:]}.")
    for line in causal_ranges.choices([store.get(record["doc_id"]) for record in records], name):
        say(f"{line[0].upper()}{line[1:]}.")


def describe_kept(record: "Record", name: str, params: "Judging") -> str:
    """Returns what is said of an evaluation whose name is taken, and in which settings this one is another."""
    from utils.records.settings import flat, varying

    text = f"record {record['doc_id']}: evaluation {name!r} is there already; replace=true makes it anew"
    keys = (*OF_JUDGING, *(["alternatives"] if params["sensitivity"] else []))
    given: dict[str, Any] = {key: params[key] for key in keys}  # type: ignore[literal-required]
    own = flat({key: of for key, of in (record["evaluations"][name].get("settings") or {}).items() if key in given})
    apart = varying([own, flat(given)], everywhere=True)
    shown = ", ".join(f"{key} {own[key]}, not {flat(given)[key]}" for key in apart[:MOST_APART])
    more = f" and {len(apart) - MOST_APART} more" if len(apart) > MOST_APART else ""
    return f"{text}, name=... files another beside it: it was made with {shown}{more}" if apart else text


def thresholds_judged(record: "Record") -> "Iterator[str]":
    """Yields which thresholds of a record that has operating points, or of one of these, were judged."""
    from evals.records.points import describe_limit

    points = (record.get("operating_points") or {}).get("permitted", ())
    if "point" in record:
        yield f"  judged at operating point {record['point']}, {describe_limit(record['policy'])}"
    elif points:
        numbers = "0" if len(points) == 1 else f"0 to {len(points) - 1}"
        yield (
            f"  judged at the record's own thresholds (decide={record['params']['choices']['decide']}); point=... "
            f"judges one of its operating points, {numbers}"
        )


def figures_anew(record: "Record", found: "Mapping[str, float | None]", causal: "dict[str, Any] | None") -> list[str]:
    """Returns a line for each figure that the record does not have, or has under another causal model, beside that."""
    from utils.metrics.directions import name_numbers
    from utils.words.wrapping import wrap

    before, anew = record["metrics"], anew_under(causal, record)
    shown = [
        (key, with_interval(found, key), f"filed: {with_interval(before, key)}" if key in before else "")
        for key, value in found.items()
        if value is not None and (key not in before or anew(key)) and not key.endswith(("_low", "_high", "_null"))
    ]
    wide = max((len(figure) for _, figure, _ in shown), default=0)
    of_rows = record["preprocessing"]
    named = name_numbers([key for key, *_ in shown], of_rows["groups"], of_rows.get("class_names", ()))
    return [
        *(f"  {key:<36} {figure:<{wide}}  {filed}".rstrip() for key, figure, filed in shown),
        *([wrap("; ".join(named), "  ", "  ")] if named else []),
    ]


def with_interval(figures: "Mapping[str, float | None]", key: str) -> str:
    """``0.120 [0.090, 0.150]``, the interval where there is one."""
    from utils.words.numbers import write_estimate

    return write_estimate(figures.get(key), figures.get(f"{key}_low"), figures.get(f"{key}_high"))


def anew_under(causal: "dict[str, Any] | None", record: "Record") -> "Callable[[str], bool]":
    """Returns a test of whether a figure that the record also has rests on another causal model here."""
    from utils.metrics.directions import is_causal
    from utils.scms.identity import causal_of

    other = causal is not None and causal["fingerprint"] != (causal_of(record) or {}).get("fingerprint")
    return lambda key: other and is_causal(key)


def name_of(params: "Judging") -> str:
    """Returns the name of an evaluation: attack and radii, and the causal model where that is another.

    On the rows of another file the name of the file comes first, then what the command line says of the others:
    ``new-5bbc91a5@point3``, at an operating point; on the test rows ``point3+pgd_l2@0.05``.
    """
    from hydra.core.hydra_config import HydraConfig

    from evals.records.advice import evaluation_under
    from utils.runs.other_rows import name_of_rows

    radii = "+".join(map(str, params["epsilon"]["evaluate"]))
    by_refits = params["sensitivity"] and params["alternatives"]["most"] == 1
    judged = "refits" if by_refits else "sensitivity" if params["sensitivity"] else name_evaluation(params)
    judged = f"{judged}@{radii}"
    words = [str(word).lstrip("+") for word in HydraConfig.get().overrides.task]
    causal = evaluation_under(words, params["graph"])
    attacked = params["sensitivity"] or any(word.startswith(("attack=", "epsilon", "evaluation=")) for word in words)
    point = "" if params["point"] is None else f"point{params['point']}"
    if params["rows"] is not None:
        file = name_of_rows(params["rows"], params["unseen"])
        return "+".join(filter(None, (f"{file}@{point}" if point else file, judged if attacked else "", causal)))
    return "+".join(filter(None, (point, "" if causal and not attacked else judged, causal)))


def name_evaluation(params: "Judging") -> str:
    """Returns the attack that an evaluation is named after, or the option of ``evaluation`` if one is chosen."""
    from hydra.core.hydra_config import HydraConfig

    option = HydraConfig.get().runtime.choices.get("evaluation", DEFAULTS[0])
    name = str(params["attack"]["name"] if option in DEFAULTS else option)
    norm = params["evaluation"].get("norm")  # of images; the attack's own may be another
    return name if norm is None or name.endswith(norm) else f"{name}_{norm}"


def rebuilt(record: "Record", params: "Judging", scm: dict[str, Any]) -> "tuple[Dataset, Context, dict[str, Metric]]":
    """Data as the record was trained on, attack, metrics, graph and SCM as this command line says.

    Raises:
        ValueError: the data are not those of the record, or the record names code that is not ours.
    """
    from evals.records.stored import context_of, dataset_of
    from utils.build import bind_metrics
    from utils.scms.identity import FITTED, part_of

    if params["graph"] is not None and part_of(scm) not in FITTED:
        raise ValueError(f"dataset.graph is read by scm={' and scm='.join(FITTED)}; choose one of them")
    data = dataset_of(record, params["device"], params["graph"])
    metrics = bind_metrics(params["evaluation"]["metrics"], params["attack"]["evasion"], at_training_radius=False)
    return data, context_of(record, data, params, scm), metrics


def settings(table: "pd.DataFrame", records: "Sequence[Record]") -> dict[int, str]:
    """Returns by doc_id the settings that tell a record from others of its name; empty where no other has it."""
    from evals.records.query import differences

    known = table.dropna(subset=["group_id"])
    groups = known.drop_duplicates(["dataset", "group_id"]).reset_index(drop=True)
    labels = differences([record for record in records if record.get("group_id")], groups, "name")
    told = {
        group: "" if label == name else label
        for group, label, name in zip(groups["group_id"], labels, groups["name"], strict=True)
    }
    found = {int(i): told[group] for i, group in zip(known["doc_id"], known["group_id"], strict=True)}
    return found if any(found.values()) else {}


def parse_sort(keys: str | None) -> list[str]:
    """The columns and settings that the table is sorted by."""
    return [word.strip().removeprefix("-") for word in str(keys or "").split(",") if word.strip()]


def later_columns(table: "pd.DataFrame", params: "Judging", records: "Sequence[Record]") -> list[str]:
    """The columns of later evaluations, besides those named themselves, of the metrics that ``columns`` names.

    Where records were judged now, those of that evaluation alone, and of others what is nowhere else.
    """
    from utils.records import later

    asked, names = params["columns"], later.evaluations(records)
    of = {str(column): later.of_evaluation(str(column), names) for column in table.columns}
    there = [column for column, (name, key) in of.items() if name is not None and key in asked and column not in asked]
    if params["id"] is None:
        return there
    made = [column for column in there if of[column][0] == (params["name"] or name_of(params))]
    elsewhere = {*of, *(of[column][1] for column in made)}
    return [*made, *(column for column in there if of[column][1] not in elsewhere)]


def _cell(value: Any, measured: bool) -> str:
    """A value of the table: a metric with four decimals, a setting as short as it is, a dash for none."""
    if value != value:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if measured else f"{value:g}"


def show(table: "pd.DataFrame", params: "Judging", told: dict[int, str], records: "Sequence[Record]") -> None:
    """Prints the table of some ``records``, and writes it as CSV where asked.

    ``told`` is what tells records of one name apart.
    """
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from evals.keeping.export import to_csv
    from evals.records import advice, causal_ranges
    from evals.records.query import values
    from utils.metrics.directions import under_norms
    from utils.records.warned import list_warnings
    from utils.runs import causal_figures
    from utils.system import atomic
    from utils.system.tables import align

    named = any(word.startswith("columns=") for word in HydraConfig.get().overrides.task)
    measured = {*table.columns} - {"radius"}  # which settings that columns= names are not
    kept = [records[i] for i in table.index]
    added = later_columns(table, params, kept) if named else []
    if named:
        for key in params["columns"]:  # of the default ones, those that no record has are left out
            if not any(column.endswith(f"/{key}") for column in added):
                table = table.assign(**{key: values(key, table)})  # of a setting
    facts = ["doc_id", "name", "seed", "radius"]
    wanted = list(params["columns"])
    if not named:
        wanted += [f"robust_accuracy{what}_{r}" for r in params["epsilon"]["evaluate"] for what in ("", "_worst_class")]
        wanted += under_norms(table.columns)
    metrics = [key for key in dict.fromkeys(wanted) if key in table.columns]
    apart = advice.sentences(kept, [*metrics, *added], advice.Asked(params["database"], params["where"]))
    several = [key for key in ("source", "sensitive") if table[key].nunique() > 1]
    under = several or (["scm"] if apart else [])
    shown = table[facts + [key for key in under if key not in wanted] + metrics + added]
    over = {key: of for key in metrics if any(of := [causal_ranges.range_of(record, key) for record in kept])}
    for key, of in over.items():
        shown.insert(shown.columns.get_loc(key) + 1, f"{key}_range", of)
    if told:
        shown.insert(2, "setting", [told.get(int(i), "") for i in shown["doc_id"]])
    cells = [
        [_cell(v, of in measured) for of, v in zip(shown, row, strict=True)] for row in shown.itertuples(index=False)
    ]
    first = ["name", *parse_sort(params["sort"]), *(params["columns"] if named else [])]
    shown = shown.rename(columns={"doc_id": "record"})
    drawn = align(list(shown.columns), cells, first=first, how=MORE) if cells else "no record meets the conditions\n"
    write(f"{drawn}\n")
    legend = [f"{', '.join(f'{key}_range' for key in over)}: {causal_ranges.LEGEND}"] if over else []
    for sentence in (*causal_figures.sentences(kept, [*metrics, *added]), *legend, *apart, *list_warnings(kept)):
        say(f"{sentence}.")
    if params["csv"]:
        atomic.write_bytes(Path(params["csv"]), to_csv(table.drop(columns="params")))
        say(f"{count(len(table), 'row')} written to {params['csv']}")


def main() -> int:
    """Judges what the words of the command line say; returns the exit code."""
    from utils import cli  # imports Hydra, within which Ctrl-C is to be as quiet as everywhere

    return cli.run(evaluate, "evaluate")


if __name__ == "__main__":
    end_quietly()
    collect_seldom()
    sys.exit(main())
