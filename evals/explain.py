"""One person explained: its decision, its twins, what moves the decision, the worst point near, the cheapest way out.

``python -m evals.explain dataset=loan id=3 row=17``, ``values="{age: 30, job: clerk}"`` or ``rows=people.csv``; options
and defaults stand in ``config/explain.yaml``, what is computed in ``docs/explain.md``.
"""

import sys
from collections.abc import Sequence

from omegaconf import DictConfig

import paths_config
from evals.explaining.explain_formats import to_csv, to_json
from evals.explaining.explain_text import heading, to_text
from evals.explaining.loading import OPTIONS, load_model, name_scm, settings_of
from evals.plots.style import save, targets
from evals.plots.two_worlds import draw_worlds
from evals.records import query
from evals.table import hand_out
from utils.explaining import picking
from utils.explaining.asked_people import People, find_people, read_people, read_places, typed_person
from utils.explaining.explanation import explain as explain_people
from utils.explaining.parts import Explanation
from utils.explaining.worlds import Model
from utils.model_zoo import StoredModel
from utils.records.typed import Record
from utils.run_store import RunStore
from utils.system.console import count, say_of
from utils.words.near import near

FORMATS, NORMS = ("text", "json", "csv"), ("l2", "l1")


def explain(options: DictConfig) -> None:
    """Reads the model, finds the people, explains them, prints or writes it and the picture."""
    _check(options)
    store = RunStore(paths_config.database(str(options.dataset)))
    query.read(str(options.dataset))
    record = store.get(options.id)
    model, stored = load_model(record, options.point)
    asked = _ask(options, model, stored)
    in_full = options.format != "csv" or options.picture is not None
    found = explain_people(model, asked, settings_of(options, record), in_full=in_full)
    hand_out(_write(options, record, stored, model, found), options.out, count(len(found), "person", "people"))
    if options.picture is not None:
        _draw(options, model, found[0])


def _check(options: DictConfig) -> None:
    """Refuses options that cannot be meant."""
    for key, words in (("format", FORMATS), ("norm", NORMS)):
        if options[key] not in words:
            raise ValueError(
                f"{key}={options[key]}{near(options[key], words)} Expected {', '.join(words[:-1])} or {words[-1]}"
            )
    asked = [key for key in ("row", "values", "rows") if options[key] not in (None, {})]
    if not asked:
        raise ValueError('say who is to be explained: row=17, values="{age: 30, ...}" or rows=people.csv')
    if "rows" in asked and len(asked) > 1:
        raise ValueError(f"rows= and {asked[0]}= both say who is to be explained; leave one out")
    if options.picture is not None:
        targets(options.picture, "", key="picture")


def _ask(options: DictConfig, model: Model, stored: StoredModel) -> People:
    """The people who are asked about. Raises ValueError where there are none such."""
    if options.rows is not None:
        return read_people(model.data, stored.schema, str(options.rows))
    base = None if options.row is None else _rows(options, model)
    typed = {str(name): str(value) for name, value in options["values"].items()}
    if not typed:
        assert base is not None
        return base
    if base is not None and len(base.names) > 1:
        raise ValueError(f"row={options.row}: values= changes one row; name one")
    return typed_person(model.data, stored.schema, typed, base)


def _rows(options: DictConfig, model: Model) -> People:
    """Rows of the data by number or word. Raises ValueError."""
    places = read_places(options.row)
    if places is not None:
        return find_people(model.data, places, options.split)
    if options.row not in picking.EXAMPLES:
        words = list(picking.EXAMPLES)
        raise ValueError(
            f"row={options.row}{near(options.row, words)} Expected numbers by commas, such as 17, or {', '.join(words)}"
        )
    return picking.pick(model, str(options.row))


def _write(options: DictConfig, record: Record, stored: StoredModel, model: Model, found: Sequence[Explanation]) -> str:
    """The explanations in the format asked for."""
    if options.format == "csv":
        return to_csv(found)
    scm = name_scm(record)
    if options.format == "json":
        facts = {"dataset": record["dataset"], "record": record["doc_id"], "scm": scm}
        return to_json(found, {**facts, "norm": options.norm}, [c.name for c in model.data.columns])
    which = f"record {record['doc_id']} ({record['name']}, seed {record.get('seed', '-')})"
    return to_text(found, heading(record["dataset"], which, len(found), scm), stored.class_names, options.norm)


def _draw(options: DictConfig, model: Model, one: Explanation) -> None:
    """Draws a person and its twin."""
    paths = targets(options.picture, "", key="picture")
    save(draw_worlds(one, model.scm, model.data), paths)
    for path in paths:
        say_of(path, f"{one.name} and its twin")


if __name__ == "__main__":
    sys.exit(query.command(explain, OPTIONS, sys.argv[1:]))
