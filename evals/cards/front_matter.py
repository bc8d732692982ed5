"""The keys that hubs of models read of a card, in YAML before its Markdown, after the Hugging Face Hub's model cards.

Only what the record knows is stated: a licence of the model is not, and nobody can infer it from that of the data.
"""

import math
from collections.abc import Sequence
from typing import Any

from evals.cards.card_sections import OVERALL, words
from evals.records.query import Record
from utils.records.given_weights import without_training

TASKS = {False: "tabular-classification", True: "image-classification"}
DIGITS = 6


def front_matter(record: Record, label: str, keys: Sequence[str]) -> dict[str, Any]:
    """The keys of the front matter: library, task, tags, data set, metrics, and the figures of the run.

    The figures are those of the metrics ``keys`` of the question, then of OVERALL, on test rows, six digits each.
    """
    choices = without_training(record["params"]).get("choices") or {}
    task = TASKS[bool((record.get("preprocessing") or {}).get("shape"))]
    own = {key: record["metrics"].get(key) for key in dict.fromkeys([*keys, *OVERALL])}
    known = {key: round(value, DIGITS) for key, value in own.items() if value is not None and math.isfinite(value)}
    kinds = [str(choices[group]) for group in ("model", "regularizer") if choices.get(group)]
    dataset = {"name": str(record["dataset"]), "type": str(record["dataset"]), "split": "test"}
    metrics = [{"type": key, "name": words(key, record), "value": value} for key, value in known.items()]
    results = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
    return {
        "library_name": "trilemma",
        "pipeline_tag": task,
        "tags": list(dict.fromkeys([task, "fairness", "robustness", *kinds])),
        "datasets": [str(record["dataset"])],
        "metrics": list(known),
        "model-index": [{"name": label, "results": [results]}],
    }
