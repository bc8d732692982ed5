"""Records that were changed anywhere are refused by the schema, or readable by every command."""

import copy
import json
import random

import pytest

import paths_config
from evals import card_sections, poison_facts, query
from evals.points import with_points
from utils.records.schema import flaw
from utils.run_store import RunStore

FILES = ("evals/example.json", "tests/evals/older_runs.json")
OTHERS = (None, True, 5, -1.5, "text", "", [], {}, [1, "a", None], {"a": {"b": 1}}, 2**70)


def records(file):
    content = json.loads((paths_config.ROOT / file).read_bytes())["_default"]
    return [{key: value for key, value in record.items() if key != "checksum"} for record in content.values()]


def places(node, path=()):
    """The path of every value, of lists of the first two."""
    inner = node.items() if isinstance(node, dict) else enumerate(node[:2]) if isinstance(node, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated(record, path, chance):
    """A copy with the value at a path deleted, of another kind, or shorter."""
    copied = copy.deepcopy(record)
    node = copied
    for key in path[:-1]:
        node = node[key]
    old = node[path[-1]]
    what = chance.choice(["delete", "other", "other", "shorter"])
    if what == "delete":
        del node[path[-1]]
    elif what == "shorter" and isinstance(old, list) and old:
        node[path[-1]] = old[:-1]
    else:
        node[path[-1]] = copy.deepcopy(chance.choice(OTHERS))
    return copied


@pytest.mark.parametrize("file", FILES)
def test_what_trainings_filed_passes(file):
    assert [wrong for record in records(file) if (wrong := flaw(record))] == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("metrics", "auc"), {}, "metrics.auc is a mapping, expected a number or null"),
        (("metrics", "auc"), "0.5", "metrics.auc is text, expected a number or null"),
        (("metrics", "auc"), True, "metrics.auc is true or false, expected a number or null"),
        (("metrics", "auc"), 2**64, "metrics.auc is too large a number"),
        (("params",), [], "params is a list, expected a mapping"),
        (("name",), None, "name is null, expected text"),
        (("status",), "done", "status is 'done', expected finished or failed"),
        (("preprocessing", "loc"), [0.5], "preprocessing.loc holds 1 values for 7 columns"),
        (
            ("operating_points", "metrics", "accuracy"),
            [],
            "operating_points.metrics.accuracy holds 0 values for 8 points",
        ),
        (("shares",), {"accuracy": [3]}, "shares.accuracy holds 1 values, expected 2"),
        (("params", "epsilon", "radius"), [], "params.epsilon.radius is a list, expected a number or text"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(path, value, said):
    record = records(FILES[0])[0]
    node = record
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    assert flaw(record) == said


@pytest.mark.parametrize("key", ["run_id", "status", "name", "dataset", "params", "metrics"])
def test_what_every_record_has_is_missed(key):
    record = records(FILES[0])[0]
    del record[key]
    assert flaw(record) == f"{key} is missing"


def read_by_commands(several):
    """The parts of the commands that look into records."""
    table = query.frame(several)
    query.sort(query.where(table, "doc_id>=0"), "-doc_id")
    query.group_names(several)
    query.frame(with_points(several))
    if not table["group_id"].isna().any():
        query.differences(several, query.aggregate(table, []), "name")
    for record in several[:1]:
        card_sections.details(record, several)
        list(poison_facts.facts(record))
        for section in ("data", "performance", "robustness", "individual", "thresholds"):
            getattr(card_sections, section)(record)


@pytest.mark.parametrize("part", ["params", "metrics", "operating_points", "preprocessing", "evaluations", "rest"])
def test_a_mutated_record_is_refused_or_readable(part):
    """Seeded at random; whatever passes the schema ends no command with a traceback."""
    chance = random.Random(part)
    record, *others = ({**record, "doc_id": i} for i, record in enumerate(records(FILES[0])[:3], 1))
    known = ("params", "metrics", "operating_points", "preprocessing", "evaluations")
    found = [p for p in places(record) if p[0] != "doc_id" and (p[0] if p[0] in known else "rest") == part]
    refused = 0
    for path in chance.sample(found, min(40, len(found))):
        changed = mutated(record, path, chance)
        if flaw(changed):
            refused += 1
        else:
            read_by_commands([changed, *others])
    assert refused


def test_a_store_refuses_to_file_what_it_could_not_read(tmp_path):
    record = records(FILES[0])[0]
    record["metrics"]["auc"] = "high"
    with pytest.raises(ValueError, match=r"run \w+ cannot be stored: metrics.auc is text"):
        RunStore(tmp_path / "loan.json").add(record)
