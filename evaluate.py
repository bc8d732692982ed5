"""List the stored models of a data set, or evaluate some of them again.

python evaluate.py dataset=loan sort=-accuracy
python evaluate.py dataset=loan id=3 epsilon.evaluate=[0.1,0.2]
"""

import sys
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from utils import cli
from utils.console import say, warn
from utils.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from evals.query import Record
    from utils.types import Context, Dataset, Metric


DEFAULTS = ("tabular", "image", "faces")  # options of evaluation that a data set's own yaml chooses


def evaluate(cfg: DictConfig) -> Outcome:
    """Evaluate the chosen records, then print the table."""
    from evals import query

    params: Any = OmegaConf.to_container(cfg, resolve=True)
    check(params)
    records = query.read(params["database"])
    table = query.where(query.frame(records), params["where"])
    if params["id"] is not None:
        for doc_id in chosen(params["id"], table, params["database"]):
            evaluate_one(doc_id, params)
        records = query.read(params["database"])
        table = query.where(query.frame(records), params["where"])
    show(query.sort(table, params["sort"]), params, settings(table, records))
    return Outcome("evaluate", "finished", "")


def check(params: dict[str, Any]) -> None:
    """Refuse what cannot be meant, before anything is read.

    Raises:
        ValueError: a setting that does not exist, of the wrong kind or out of range.
    """
    from utils.command_line.ranges import require_ranges
    from utils.validation import require_radii, validate_settings

    for key in ("where", "sort", "csv", "name"):
        params[key] = None if params[key] is None else str(params[key])
    if isinstance(params["columns"], str):
        params["columns"] = [params["columns"]]
    if not isinstance(params["columns"], list) or not all(isinstance(key, str) for key in params["columns"]):
        raise ValueError(f"columns={params['columns']!r}: expected a list of metrics such as [accuracy,mcc]")
    if not isinstance(params["replace"], bool):
        raise ValueError(f"replace={params['replace']!r}: expected true or false")
    if not isinstance(params["database"], str):
        raise ValueError(f"dataset={params['database']!r}: expected the name of a data set; quote a number")
    require_ranges(params, "evaluate")
    require_radii(params["epsilon"]["evaluate"])
    validate_settings(params, ("attack", "epsilon", "evaluation"))


def chosen(wanted: Any, table: "pd.DataFrame", dataset: str) -> list[int]:
    """The record ids that ``id`` asks for, among those of the table.

    Raises:
        ValueError: an id that is not there or not a number.
    """
    present = [int(i) for i in table["doc_id"]]
    if wanted == "all":
        return present
    listed = wanted if isinstance(wanted, list) else [wanted]
    for i in listed:
        if isinstance(i, bool) or not isinstance(i, int):
            raise ValueError(f"id={i!r}: expected the number of a record, a list such as [3,4], or all")
        if i not in present:
            raise ValueError(f"id={i}: no finished record of dataset={dataset} has it; there are {present or 'none'}")
    return listed


def evaluate_one(doc_id: int, params: dict[str, Any]) -> None:
    """Judge one stored model with the metrics of this command line and file the results under a name."""
    from dataclasses import replace
    from datetime import UTC, datetime

    import paths_config
    from evals.evaluation import evaluate as judge
    from evals.evaluation import rehearse, warnings_of
    from utils.build import choose_device, make_repeatable
    from utils.metrics import twins
    from utils.model_zoo import from_record
    from utils.run_store import RunStore

    store = RunStore(paths_config.database(params["database"]))
    record = store.get(doc_id)
    radii = "+".join(map(str, params["epsilon"]["evaluate"]))
    name = params["name"] or f"{judged_by(params)}@{radii}"
    if name in record.get("evaluations", {}) and not params["replace"]:
        say(f"record {doc_id}: evaluation {name!r} is there already; replace=true makes it anew")
        return
    device = choose_device(params["device"])
    make_repeatable(params["threads"], device)
    model = from_record(record, str(device))
    data, ctx, metrics = rebuilt(record, params)
    ctx = replace(ctx, decide=model.decision)
    rehearse(model, data.test, ctx, metrics)
    found = judge(model, data.test, ctx, metrics)
    settings = {key: params[key] for key in ("attack", "epsilon", "evaluation")}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    result = {"metrics": found, "settings": settings, "created": created}
    facts = twins.facts_of_twins(ctx.scm, data)
    doubts = warnings_of(found, data.groups, params["evaluation"]["metrics"])
    if warnings := [*doubts, *twins.warnings_of(facts, data.columns)]:
        result["warnings"] = warnings
    store.add_result(doc_id, name, result, replace=params["replace"])
    say(f"record {doc_id} ({record['name']}, seed {record['seed']}): evaluation {name!r} added")
    for warning in warnings:
        warn(warning)
    before = record["metrics"]
    for key, value in found.items():
        if value is not None and key not in before and not key.endswith(("_low", "_high", "_null")):
            say(f"  {key:<36} {value:.4f}")


def judged_by(params: dict[str, Any]) -> str:
    """What an evaluation is named after: its attack, or the option of ``evaluation`` where that is a choice."""
    from hydra.core.hydra_config import HydraConfig

    option = HydraConfig.get().runtime.choices.get("evaluation", DEFAULTS[0])
    name = str(params["attack"]["name"] if option in DEFAULTS else option)
    norm = params["evaluation"].get("norm")  # of images; the attack's own may be another
    return name if norm is None or name.endswith(norm) else f"{name}_{norm}"


def rebuilt(record: dict[str, Any], params: dict[str, Any]) -> "tuple[Dataset, Context, dict[str, Metric]]":
    """Data and SCM as the record was trained on, attack and metrics as this command line says.

    Raises:
        ValueError: the data are not those of the record, or the record names code that is not ours.
    """
    from evals.stored import context_of, dataset_of
    from utils.build import bind_metrics

    data = dataset_of(record, params["device"])
    metrics = bind_metrics(params["evaluation"]["metrics"], params["attack"]["evasion"], at_training_radius=False)
    return data, context_of(record, data, params), metrics


def settings(table: "pd.DataFrame", records: "Sequence[Record]") -> dict[int, str]:
    """Of each record the settings that tell it from others of its name, by doc_id; empty where no name has several."""
    from evals.query import differences

    known = table.dropna(subset=["group_id"])
    groups = known.drop_duplicates(["dataset", "group_id"]).reset_index(drop=True)
    labels = differences([record for record in records if record.get("group_id")], groups, "name")
    told = {
        group: "" if label == name else label
        for group, label, name in zip(groups["group_id"], labels, groups["name"], strict=True)
    }
    found = {int(i): told[group] for i, group in zip(known["doc_id"], known["group_id"], strict=True)}
    return found if any(found.values()) else {}


def show(table: "pd.DataFrame", params: dict[str, Any], told: dict[int, str]) -> None:
    """Print the table, ``told`` what tells records of one name apart, and write it as CSV where asked."""
    import math
    from pathlib import Path

    from hydra.core.hydra_config import HydraConfig

    from evals.query import aligned, values
    from utils import atomic
    from utils.metrics.directions import under_norms

    named = any(word.startswith("columns=") for word in HydraConfig.get().overrides.task)
    if named:
        for key in params["columns"]:  # of the default ones, those that no record has are left out
            if not any(column.endswith(f"/{key}") for column in table.columns):
                table = table.assign(**{key: values(key, table)})  # of a setting
    facts = ["doc_id", "name", "seed", "radius"]
    wanted = list(params["columns"])
    if not named:
        wanted += [f"robust_accuracy{what}_{r}" for r in params["epsilon"]["evaluate"] for what in ("", "_worst_class")]
        wanted += under_norms(table.columns)
    metrics = [key for key in dict.fromkeys(wanted) if key in table.columns]
    added = [key for key in table.columns if named and any(key.endswith(f"/{column}") for column in params["columns"])]
    shown = table[facts + metrics + added]
    if told:
        shown.insert(2, "setting", [told.get(int(i), "") for i in shown["doc_id"]])
    cells = [
        [f"{v:.4f}" if isinstance(v, float) and not math.isnan(v) else "-" if v != v else str(v) for v in row]
        for row in shown.itertuples(index=False)
    ]
    say(aligned(list(shown.columns), cells) if cells else "no record meets the conditions")
    if params["csv"]:
        atomic.write_text(Path(params["csv"]), table.drop(columns="params").to_csv(index=False))
        say(f"{len(table)} rows written to {params['csv']}")


if __name__ == "__main__":
    sys.exit(cli.run(evaluate, "evaluate"))
