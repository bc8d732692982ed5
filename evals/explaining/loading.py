"""The stored model that explains people, and how people are explained by default."""

from typing import Any

import paths_config
from evals.records.query import options
from evals.records.stored import context_of, dataset_of
from utils.explaining.parts import Settings
from utils.explaining.worlds import Model, decision_of
from utils.model_zoo import StoredModel, from_record
from utils.records.typed import Record
from utils.system.devices import choose_device, make_repeatable
from utils.words.numbers import read_radius

OPTIONS = paths_config.ROOT / "config" / "explain.yaml"
REL_STEP = 0.25  # of the ascent, as the evaluation has it


def load_model(record: Record, point: int | None = None) -> tuple[Model, StoredModel]:
    """The stored model of a record among its data, with its causal model.

    Raises:
        ValueError: it is of images, or of more than two classes; or what ``from_record`` and ``dataset_of`` refuse.
    """
    which = f"record {record['doc_id']}"
    if (record.get("preprocessing") or {}).get("shape"):
        raise ValueError(
            f"{which} is of images, which have no causal model and no twins; models of tables are explained"
        )
    stored = from_record(record, point=point)
    make_repeatable(1, choose_device("cpu"))
    data = dataset_of(record, "cpu")
    if data.classes != 2:
        raise ValueError(f"{which} has {data.classes} classes; decisions between two are explained")
    scm = context_of(record, data, record["params"]).scm
    return Model(data, scm, decision_of(stored), stored.network, record["params"]["seed"]), stored


def settings_of(asked: Any, record: Record) -> Settings:
    """The settings of the search that options ask for, at the first radius of the record where they name none."""
    radii = record["params"]["epsilon"]["evaluate"]
    return Settings(
        radius=read_radius(asked.radius if asked.radius is not None else radii[0] if radii else 0.0),
        norm=asked.norm,
        most=float(asked.most),
        level_cost=float(asked.level_cost),
        steps=asked.steps,
        rel_step=REL_STEP,
        restarts=asked.restarts,
        samples=asked.samples,
        most_radius=read_radius(asked.most_radius),
        boxes=asked.boxes,
    )


def default_settings(record: Record) -> Settings:
    """The settings of the search that stand in ``config/explain.yaml``."""
    return settings_of(options([f"dataset={record['dataset']}", f"id={record['doc_id']}"], OPTIONS), record)


def name_scm(record: Record) -> str:
    """The option of the causal model."""
    return str((record["params"].get("choices") or {}).get("scm") or "?")
