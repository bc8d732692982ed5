"""A stored model once more among its data: what judges it anew or shows what it does to single images."""

from collections.abc import Mapping
from typing import Any

from utils.build import build_context, build_dataset, choose_device
from utils.targets import require_trusted
from utils.types import Context, Dataset
from utils.validation import require_name, validate_pixels

Record = Mapping[str, Any]
STORED = ("dataset", "scm", "seed")


def dataset_of(record: Record, device: str) -> Dataset:
    """The data that a record was trained on, split as then.

    Raises:
        ValueError: the data are not those of the record, or the record names code that is not ours.
    """
    stored = {key: record["params"][key] for key in STORED}
    require_trusted(stored["dataset"], "utils.datasets")
    require_name(stored["dataset"].get("name"))
    data = build_dataset(stored, choose_device(device))
    if data.fingerprint != record["fingerprint"]:
        raise ValueError(
            f"the data of dataset={record['dataset']} changed since record {record['doc_id']} was made "
            f"(fingerprint {data.fingerprint}, recorded {record['fingerprint']}); restore the file it was trained on"
        )
    return data


def context_of(record: Record, data: Dataset, params: Mapping[str, Any]) -> Context:
    """The context of a record's model under the ``attack`` and ``epsilon`` of other settings, with its causal model.

    Raises:
        ValueError: the record names code that is not ours, or a radius that no two images are apart.
    """
    stored = {key: record["params"][key] for key in STORED}
    require_trusted(stored["scm"], "utils.scms")
    if data.shape:
        validate_pixels(params, data.shape)
    return build_context(stored | {key: params[key] for key in ("attack", "epsilon")}, data)
