"""A stored model once more among its data: what judges it anew or shows what it does to single images."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from utils.build import build_context, build_dataset
from utils.command_line.checks import require_name, validate_pixels
from utils.command_line.targets import check_settings, require_trusted
from utils.datasets.tabular import check_graph, expand_graph
from utils.records.typed import OfAttack, OfContext, OfData, Record
from utils.scms.identity import part_of, settle, upgrade
from utils.scms.structure import attributes
from utils.system.devices import choose_device
from utils.types import Context, Dataset


def dataset_of(record: Record, device: str, graph: Any = None) -> Dataset:
    """The data that a record was trained on, split as then; with another causal ``graph`` where one is given.

    Raises:
        ValueError: the data are not those of the record, or the record names code that is not ours.
    """
    own = record["params"]
    stored: OfData = {"dataset": own["dataset"], "seed": own["seed"]}
    require_trusted(stored["dataset"], "utils.datasets")
    require_name(stored["dataset"].get("name"))
    data = build_dataset(stored, choose_device(device))
    if data.fingerprint != record["fingerprint"]:
        raise ValueError(
            f"the data of dataset={record['dataset']} changed since record {record['doc_id']} was made "
            f"(fingerprint {data.fingerprint}, recorded {record['fingerprint']}); restore the file it was trained on"
        )
    return data if graph is None else _replace_graph(data, graph)


def _replace_graph(data: Dataset, graph: Any) -> Dataset:
    """The data with another graph over its columns and attributes, child: [parents]. Raises ValueError."""
    if not isinstance(graph, Mapping) or not data.columns:
        raise ValueError(
            f"dataset.graph={graph!r}: expected a table, and a mapping {{child: [parents]}} of its columns"
        )
    parts = {name: [data.columns[i].name for i in places] for name, places in attributes(data.columns).items()}
    whole = {c.name: [c.name] for c in data.columns} | parts
    return replace(data, parents=check_graph(data.name, data.columns, expand_graph(graph, whole)))


def scm_of(record: Record, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The settings of a record's causal model: its own, with those that are given, or another option altogether.

    Raises:
        ValueError: the data have no causal model, as images.
    """
    own = record["params"]["scm"]
    if not given:
        return dict(own)
    if part_of(own) == "none":
        raise ValueError(f"record {record.get('doc_id')} is of images, which have no causal model; leave scm out")
    changed = settle(given if "_target_" in given else {**upgrade(own), **given})
    check_settings(changed, "scm")
    return changed


def context_of(record: Record, data: Dataset, params: OfAttack, scm: Mapping[str, Any] | None = None) -> Context:
    """The context of a record's model under the ``attack`` and ``epsilon`` of other settings.

    Its causal model is that of the record, or of the settings ``scm``.

    Raises:
        ValueError: the record names code that is not ours, or a radius that no two images are apart.
    """
    own = record["params"]
    stored: OfContext = {
        "dataset": own["dataset"],
        "scm": dict(own["scm"] if scm is None else scm),
        "seed": own["seed"],
        "attack": params["attack"],
        "epsilon": params["epsilon"],
    }
    require_trusted(stored["scm"], "utils.scms")
    if data.shape:
        validate_pixels(params, data.shape)
    return build_context(stored, data)
