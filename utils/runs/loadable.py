"""The check that what is filed is loaded, and answers as the model that was judged."""

from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from utils.model_zoo import assemble, find_decision, find_scaling, read_weights, require_like
from utils.records.typed import Record
from utils.types import Batch, Decide

ROUNDING = 1e-5  # of logits, relative and absolute, that layers of images differ by from pass to pass
OWN = ("loc", "scale")  # what differs in the preprocessing of runs whose seeds split the rows


def require_loadable(
    record: Record,
    model: nn.Module,
    logits: Tensor,
    decide: Decide,
    rows: Batch,
    *,
    data: bytes | None = None,
    like: Record | None = None,
) -> None:
    """Loads what a record describes as users do, and compares its answers with those of the filed model.

    Of a stack that is done for one model. The network of another is made by the same code from the same description, so
    it answers alike where it has the same tensors: those of the file, read back, are compared with the model's own, and
    its decision and scaling are made from the record as a loader makes them.

    Args:
        record: as it is filed, in plain values.
        model: that it describes.
        logits: of the model on the rows, (n, k).
        decide: its decision.
        rows: of a table or images as numbers.
        data: the content of its file; None: the file is read.
        like: a record of the same stack whose model was loaded and answered.

    Raises:
        ValueError: it cannot be loaded, or it answers otherwise.
    """
    stored = read_weights(record) if data is None else data
    if like is not None and _describe(record) == _describe(like):
        _require_tensors(model, stored)
        find_scaling(record)
        decision, groups = find_decision(record), rows.s
    else:
        loaded = assemble(record, stored, str(rows.x.device))
        with torch.no_grad():
            again = loaded.score(rows.x)
        if not torch.allclose(again, logits, rtol=ROUNDING, atol=ROUNDING):
            raise ValueError("loaded again, its logits are others")
        decision, groups = loaded.decision, rows.s if loaded.shape else loaded.groups(rows.x)
    if not (torch.equal(groups, rows.s) and torch.equal(decision(logits, groups), decide(logits, rows.s))):
        raise ValueError("loaded again, its decisions are others")
    if (record.get("operating_points") or {}).get("logits"):
        # all are of as many groups, or the record is refused as it is filed
        find_decision(record, 0)(logits, groups)


def _describe(record: Record) -> tuple[Any, ...]:
    """Returns all that the network of a record is made from but its tensors, and that rows and groups are read by."""
    read = {key: value for key, value in record["preprocessing"].items() if key not in OWN}
    return record["params"]["model"], read


def _require_tensors(model: nn.Module, stored: bytes) -> None:
    """Refuses a file whose tensors are not those of the model, or not finite. Raises ValueError."""
    own, found = model.state_dict(), safetensors.torch.load(stored)
    require_like(own, found)
    if not all(torch.equal(found[key].to(own[key]), own[key]) for key in own):
        raise ValueError("loaded again, its weights are others")
