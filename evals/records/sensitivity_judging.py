"""Stored models judged under many causal models, which models of one split and one causal model share."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from evals.records.stored import dataset_of, scm_of
from utils.build import bind_metrics, build_context
from utils.command_line.targets import require_trusted
from utils.model_zoo import from_record
from utils.records.typed import Judging, OfContext, Record
from utils.runs.judging import rehearse
from utils.runs.progress import show_judging
from utils.runs.sensitivity import (
    Alternatives,
    Settings,
    build_alternatives,
    judge,
    node_of,
    require_judgeable,
    spread,
)
from utils.system.console import notice
from utils.types import Context, Dataset


class Shared(NamedTuple):
    """The parts that records of one split and one causal model have in common."""

    data: Dataset
    ctx: Context  # with the causal model to begin with
    given: Alternatives
    scm: Mapping[str, Any]  # settings of that causal model


def judge_all(records: Sequence[Record], params: Judging) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Yields every record with its figures under many causal models, as a later evaluation files them.

    Args:
        records: stored models.
        params: the command line, with ``alternatives``, ``evaluation``, and a causal model to begin with.

    Raises:
        ValueError: before any is fitted, for a record without a causal model, or refits alone where there are none;
            before any is judged, for one without a graph that could be another.
    """
    settings = Settings(**params["alternatives"])
    if settings.most == 1 and settings.refits is None:
        raise ValueError("alternatives.most=1 judges by refits alone, and alternatives.refits=null asks for none")
    for record in records:
        own = record["params"].get("scm") or {}
        given = own if not own else scm_of(record, params.get("scm"))
        require_judgeable(own, settings, given, f"record {record['doc_id']}")
    node = node_of(params["evaluation"]["metrics"], settings)
    shared: dict[str, Shared] = {}
    prepared = [(record, _share(record, params, settings, shared)) for record in records]
    for record, key in prepared:
        yield record, _judge(record, params, node, shared[key])


def _share(record: Record, params: Judging, settings: Settings, shared: dict[str, Shared]) -> str:
    """The key of the causal models of a record, fitted where no record before it has the same. Raises ValueError."""
    own, named = record["params"], f"record {record['doc_id']}"
    of: OfContext = {
        "dataset": own["dataset"] if params["graph"] is None else {**own["dataset"], "graph": params["graph"]},
        "seed": own["seed"],
        "scm": scm_of(record, params.get("scm")),
        "attack": params["attack"],
        "epsilon": params["epsilon"],
    }
    require_trusted(of["scm"], "utils.scms")
    key = json.dumps([of["dataset"], of["seed"], of["scm"], record["fingerprint"]], sort_keys=True, default=str)
    if key not in shared:
        data = dataset_of(record, params["device"], params["graph"])
        notice(f"{named}: fitting the causal models")
        chosen = "as trained" if params.get("scm") is None and params["graph"] is None else "as given"
        given = build_alternatives(of, data, settings, chosen, named)
        ctx = build_context(of, data, lambda part, make, *_: given.models[0].scm if part == "scm" else make())
        shared[key] = Shared(data, ctx, given, of["scm"])
    return key


def _judge(record: Record, params: Judging, node: Mapping[str, Any], own: Shared) -> dict[str, Any]:
    rows = spread(own.data.test, Settings(**params["alternatives"]))
    model = from_record(record, str(rows.y.device), params["point"])
    metric = bind_metrics({"unfair_area": node}, params["attack"]["evasion"], at_training_radius=False)
    ctx = replace(own.ctx, decide=model.decision)
    rehearse(model, rows, ctx, metric)
    with show_judging(f"record {record['doc_id']}", own.given.names, "causal model") as tell:
        found = judge(model, rows, ctx, metric, own.given, tell)
    settings = {"epsilon": params["epsilon"], "alternatives": params["alternatives"], "scm": own.scm}
    settings |= {"evaluation": {"metrics": {"unfair_area": params["evaluation"]["metrics"]["unfair_area"]}}}
    at = {} if params["point"] is None else {"point": params["point"]}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {**found, "causal": own.given.models[0].causal, "settings": settings, "created": created, **at}
