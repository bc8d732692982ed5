"""Records that were changed anywhere are refused by the schema, or readable by every command."""

import copy
import json
import random
from contextlib import suppress

import pandas as pd
import pytest

import paths_config
from evals import select, table
from evals.cards import added_rows_facts, card, card_sections, technical_identity
from evals.choosing import choice
from evals.records import query
from evals.records.advice import Asked
from evals.records.points import with_points
from utils.records.schema import flaw
from utils.run_store import RunStore

FILES = ("evals/example.json", "tests/evals/older_runs.json")
OTHERS = (None, True, 5, -1.5, "text", "", [], {}, [1, "a", None], {"a": {"b": 1}}, 2**70, {"a": 3}, [0.1])
NO_SHARES = ([0, 0], [1e300, 1e300], [5, 3], [-5, -3], [1, 2.5])
FITTED = {
    **{"rate": "fnr", "permitted": 0.05, "gap": 0.02, "rows": 320, "split": "valid"},
    **{"confidence": 0.9, "bound": 0.04, "denominators": {"fnr": [80, 90]}},
}
GROUP_EXACT = {"_target_": "utils.decides.group_exact.group_exact", "rate": "fnr", "permitted": 0.05}
LEARNED = {"_target_": "utils.scms.learned.learned", "_partial_": True, "steps": 10}
PARTS = ("params", "metrics", "operating_points", "preprocessing", "evaluations", "fitted", "shares", "scm", "causal")


def records(file):
    content = json.loads((paths_config.ROOT / file).read_bytes())["_default"]
    return [{key: value for key, value in record.items() if key != "checksum"} for record in content.values()]


def with_everything(record):
    """A record with what thresholds were fitted to and a later evaluation under a causal model of its own."""
    record = copy.deepcopy(record)
    causal = record["causal"] | {"option": "learned", "graph": {"savings": ["income"]}, "fingerprint": "0"}
    later = {"metrics": {"uai_0.2": 0.5, "robust_accuracy_0.2": 0.25}, "shares": {"uai_0.2": [200, 400]}}
    record["params"]["decide"] = dict(GROUP_EXACT)
    record["params"]["dataset"]["graph"] = {"savings": ["income"], "income": "age", "age": None}
    facts = {"scm_r2_savings": 0.5, "twins_outside": 0.0}
    evaluations = {"scm=learned": later | {"causal": causal, "scm": facts, "settings": {"attack": {"name": "pgd"}}}}
    return copy.deepcopy(record | {"fitted": FITTED, "evaluations": evaluations})


def as_formerly(record):
    """A record from before they held their causal model, whose settings say it."""
    record = with_everything(record)
    del record["causal"], record["evaluations"]["scm=learned"]["causal"]
    record["params"]["scm"] = dict(LEARNED)
    return record


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
        (("preprocessing", "loc"), [0.5], "preprocessing.loc holds 1 value for 7 columns"),
        (
            ("operating_points", "metrics", "accuracy"),
            [],
            "operating_points.metrics.accuracy holds 0 values for 8 points",
        ),
        (("shares",), {"accuracy": [3]}, "shares.accuracy holds 1 value, expected 2"),
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


@pytest.mark.parametrize("made", [with_everything, as_formerly])
@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((("shares", "accuracy"), share) for share in NO_SHARES),
        *((("operating_points", "shares", "accuracy", 0), share) for share in NO_SHARES),
        *((("evaluations", "scm=learned", "shares", "uai_0.2"), share) for share in NO_SHARES),
        (("fitted",), "x"),
        (("fitted", "gap"), "x"),
        (("fitted", "permitted"), [1]),
        (("operating_points", "fitted"), -1),
        (("operating_points", "fitted", "gap"), [0.1]),
        (("operating_points", "fitted", "accuracy"), [0.1]),
        (("scm",), [1]),
        (("scm", "twins_outside"), "x"),
        (("params", "dataset", "graph"), {"a": 3}),
        (("params", "dataset", "graph"), {"a": ["b", 3]}),
        (("params", "dataset", "graph"), 3),
        (("evaluations", "scm=learned", "causal"), "x"),
        (("evaluations", "scm=learned", "causal"), {}),
        (("evaluations", "scm=learned", "scm"), [1]),
    ],
)
def test_what_would_end_a_reader_is_refused(made, path, value):
    record = made(records(FILES[0])[0])
    assert flaw(record) == ""
    node = record
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)[1:]
    assert flaw(record).startswith(place)


@pytest.mark.parametrize("share", [[0, 1], [3, 3], [3.0, 10.0], None])
def test_a_share_of_rows_may_be_of_any_or_undefined(share):
    record = with_everything(records(FILES[0])[0])
    record["shares"]["accuracy"] = record["operating_points"]["shares"]["accuracy"][0] = share
    assert flaw(record) == ""


@pytest.mark.parametrize("imported", [{}, {"imported": True}])
def test_a_graph_that_no_columns_can_have_is_named(imported):
    """Cycles, unknown columns and wrong forms, of what was typed and of causal models, of own and imported runs."""
    typed, causal = ("params", "dataset", "graph"), ("evaluations", "scm=learned", "causal", "graph")
    for place, graph, said in (
        (typed, {"income": ["savings"], "savings": ["age"], "age": "income"}, "graph has the cycle income -> "),
        (typed, {"income": "income"}, "params.dataset.graph has the cycle income -> income"),
        (typed, {"income": ["hight"]}, "params.dataset.graph names 'hight', which is no column; there are age, "),
        (typed, {"hight": []}, "params.dataset.graph names 'hight'"),
        (typed, [["age", "income"]], "params.dataset.graph is a list, expected a mapping"),
        (typed, {"income": {"age": 1}}, "params.dataset.graph.income is a mapping, expected a list"),
        (causal, {"income": ["age"], "age": ["income"]}, "evaluations.scm=learned.causal.graph has the cycle"),
    ):
        record = with_everything(records("evals/example.json")[0]) | imported
        node = record
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = graph
        assert said in flaw(record)


@pytest.mark.parametrize("graph", [{"income": ["job"]}, {"job=a=b": ["age"]}, {"income": "job=a"}])
def test_a_graph_may_name_attributes_by_their_name_or_their_indicators(graph):
    record = records(FILES[0])[0]
    record["preprocessing"]["columns"][1]["name"] = "job=a=b"
    record["params"]["dataset"]["graph"] = graph
    assert ("which is no column" in flaw(record)) == ("age" in str(graph))


@pytest.mark.parametrize("graph", [None, "income: [age]", {}, {"income": ["age"], "age": [], "savings": None}])
def test_a_graph_is_as_people_type_it(graph):
    record = as_formerly(records(FILES[0])[0])
    record["params"]["dataset"]["graph"] = graph
    assert flaw(record) == ""
    read_by_commands([record | {"doc_id": 1}])


def chosen_by_commands(several):
    """What ``evals.select``, its card and ``evals.table`` read; what is asked for may not be there, which is said."""
    question, facts = choice.ask(
        several, maximize="accuracy", minimize=None, conditions="fnr_gap<=0.5", sure=True, anyway=False
    )
    pool = choice.compete(several, question, asked=Asked("loan", facts), runs=False, points=True)
    found = choice.choose(pool, question, near=1)
    notes = choice.cautions(question, several)
    for shown in (select.as_json, select.as_text):
        shown(found, Asked("loan", facts), notes, [], near=1)
    if found.ranked:
        uses = {"intended_use": "", "out_of_scope": ""}
        card.build(found, "loan", None, facts=facts, notes=notes, commands={}, stored=several, **uses)


def tabled(several):
    built = table.build(several, None, pd.DataFrame(columns=["dataset", "regularizer"]), "")
    for shown in table.FORMATS.values():
        shown(built)


def read_by_commands(several):
    """The parts of the commands that look into records."""
    for read, of in ((chosen_by_commands, several), (chosen_by_commands, several[:1]), (tabled, several)):
        with suppress(ValueError):  # one line to the reader
            read(of)
    frame = query.frame(several)
    query.sort(query.where(frame, "doc_id>=0"), "-doc_id")
    query.group_names(several)
    query.frame(with_points(several))
    if not frame["group_id"].isna().any():
        query.differences(several, query.aggregate(frame, []), "name")
    for record in several[:1]:
        technical_identity.details(record, several)
        list(added_rows_facts.facts(record))
        for section in ("data", "performance", "robustness", "individual", "thresholds"):
            getattr(card_sections, section)(record)


@pytest.mark.parametrize("part", [*PARTS, "rest"])
@pytest.mark.parametrize("made", [with_everything, pytest.param(as_formerly, marks=pytest.mark.slow)])
def test_a_mutated_record_is_refused_or_readable(part, made):
    """Seeded at random; whatever passes the schema ends no command with a traceback."""
    chance = random.Random(f"{part} {made.__name__}")
    record, *others = ({**record, "doc_id": i} for i, record in enumerate(records(FILES[0])[:3], 1))
    record = made(record)
    found = [p for p in places(record) if p[0] != "doc_id" and (p[0] if p[0] in PARTS else "rest") == part]
    if not found:
        pytest.skip(f"such a record holds no {part}")
    refused = 0
    for path in chance.sample(found, min(5, len(found))):
        changed = mutated(record, path, chance)
        if flaw(changed):
            refused += 1
        else:
            read_by_commands([changed, *others])
    assert refused or part == "params"  # of which most are free


@pytest.mark.parametrize(
    ("key", "value"),
    [("level", "text"), ("level", {}), ("groups_min", []), ("attack", {"threat": []}), ("attacks", {"pgd": "text"})],
)
def test_settings_of_a_metric_that_readers_could_not_use_are_refused(key, value):
    """Of a record that this program trained; those of an imported one are its own, and nobody reads them."""
    record = records(FILES[0])[0]
    metrics = {**record["params"]["evaluation"]["metrics"]}
    metrics["group"] = {**metrics["group"], key: value}
    changed = {**record, "params": {**record["params"], "evaluation": {"metrics": metrics}}}
    assert f"params.evaluation.metrics.group.{key}" in flaw(changed)
    imported = {**changed, "imported": True}
    assert not flaw(imported)
    read_by_commands([{**imported, "doc_id": 1}])


def test_a_store_refuses_to_file_what_it_could_not_read(tmp_path):
    record = records(FILES[0])[0]
    record["metrics"]["auc"] = "high"
    with pytest.raises(ValueError, match=r"run \w+ cannot be stored: metrics.auc is text"):
        RunStore(tmp_path / "loan.json").add(record)
