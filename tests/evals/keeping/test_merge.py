"""Databases of several machines in one; what has to happen is stated by the help of the command."""

import copy
import hashlib
import json
import re

import pytest

import paths_config
from evals.database import main
from utils.run_store import RunStore

FACTS = {"dataset": "loan", "name": "loan_mlp_erm", "params": {}}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """This machine's folders; other machines have theirs beside it."""
    for name in ("evals", "weights"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"TRILEMMA_{name.upper()}", str(tmp_path / name))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def finished(run, accuracy=0.8, content=b"weights", folder=None, **more):
    """A finished record; with its weights in ``folder`` where one is given."""
    path = f"loan/{run}.safetensors"
    if folder is not None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    weights = {"path": path, "sha256": hashlib.sha256(content).hexdigest()}
    facts = {**FACTS, "run_id": run, "status": "finished", "schema": 1, "seed": 0}
    return {**facts, "weights": weights, "metrics": {"accuracy": accuracy, "mcc": None}, **more}


def failed(run):
    return {**FACTS, "run_id": run, "status": "failed", "reason": "a reason"}


def ours(*records):
    RunStore(paths_config.database("loan")).add_many(records)


def theirs(here, *records, name="b.json"):
    RunStore(here / name).add_many(copy.deepcopy(records))
    return f"from={name}"


def stored():
    return {record["run_id"]: record for record in RunStore(paths_config.database("loan")).all()}


def unchanged(here, *words):
    """The merge is refused and no file of this machine is touched."""
    files = {path: path.read_bytes() for path in here.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert main(["merge", "dataset=loan", *words]) == 2
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file() and path.suffix != ".lock"} == files


# --- which record stays ----------------------------------------------------------------------------------------


def test_new_runs_get_the_next_ids_and_ours_keep_theirs(here, capsys):
    ours(finished("a"), finished("b"))
    assert main(["merge", "dataset=loan", theirs(here, finished("c"), finished("b"), finished("d"))]) == 0
    assert {run: record["doc_id"] for run, record in stored().items()} == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert "2 added, 1 already there, 0 conflicts" in capsys.readouterr().out


def test_a_database_can_be_made_by_merging(here):
    assert main(["merge", "dataset=loan", theirs(here, finished("a"))]) == 0
    assert list(stored()) == ["a"]


def test_merging_twice_changes_nothing(here, capsys):
    ours(finished("a"))
    source = theirs(here, finished("b", evaluations={"audit": {"accuracy": 0.1}}), failed("c"))
    assert main(["merge", "dataset=loan", source]) == 0
    before = paths_config.database("loan").read_bytes()
    assert main(["merge", "dataset=loan", source]) == 0
    assert paths_config.database("loan").read_bytes() == before
    assert "0 added, 2 already there, 0 conflicts" in capsys.readouterr().out


def test_a_finished_run_takes_the_place_of_a_failed_one(here, capsys):
    ours(failed("a"), finished("b"))
    assert main(["merge", "dataset=loan", theirs(here, finished("a"), failed("b"))]) == 0
    assert {run: (record["status"], record["doc_id"]) for run, record in stored().items()} == {
        "a": ("finished", 1),
        "b": ("finished", 2),
    }
    assert "1 added (1 in place of failed ones), 1 already there" in capsys.readouterr().out


def test_evaluations_that_are_new_are_added_and_ours_stay(here, capsys):
    ours(finished("a", evaluations={"audit": {"metrics": {"accuracy": 0.1}, "created": "today"}}))
    source = theirs(here, finished("a", evaluations={"audit": {"metrics": {"accuracy": 0.1}}, "more": {"mcc": 0.2}}))
    assert main(["merge", "dataset=loan", source]) == 0
    assert stored()["a"]["evaluations"] == {
        "audit": {"metrics": {"accuracy": 0.1}, "created": "today"},
        "more": {"mcc": 0.2},
    }
    assert "1 already there (1 gained evaluations)" in capsys.readouterr().out


def test_the_last_digits_of_another_machine_are_no_conflict(here, capsys):
    ours(finished("a", 0.1 + 0.2))
    assert main(["merge", "dataset=loan", theirs(here, finished("a", 0.3))]) == 0
    assert "0 conflicts" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "kept"), [([], 0.8), (["prefer=ours"], 0.8), (["prefer=theirs"], 0.7)])
def test_of_two_that_differ_one_stays_under_our_id_and_a_table_says_so(here, capsys, words, kept):
    ours(finished("x"), finished("a", 0.8))
    assert main(["merge", "dataset=loan", theirs(here, finished("a", 0.7)), *words]) == 0
    assert (stored()["a"]["metrics"]["accuracy"], stored()["a"]["doc_id"]) == (kept, 2)
    out = capsys.readouterr().out
    assert "0 added, 0 already there, 1 conflict;" in out
    row = out.splitlines()[-1].split()
    assert row[0] == "a"
    assert "ours accuracy 0.8, theirs 0.7" in " ".join(row)
    assert row[-1] == ("ours" if kept == 0.8 else "theirs")


@pytest.mark.parametrize(("words", "kept"), [([], 0.1), (["prefer=theirs"], 0.2)])
def test_evaluations_of_one_name_that_differ_are_a_conflict(here, capsys, words, kept):
    ours(finished("a", evaluations={"audit": {"accuracy": 0.1}}))
    source = theirs(here, finished("a", evaluations={"audit": {"accuracy": 0.2}}))
    assert main(["merge", "dataset=loan", source, *words]) == 0
    assert stored()["a"]["evaluations"] == {"audit": {"accuracy": kept}}
    assert "audit: accuracy 0.1, theirs 0.2" in capsys.readouterr().out


def test_several_files_are_merged_at_once_and_the_last_is_preferred(here):
    ours(finished("a", 0.8))
    theirs(here, finished("a", 0.7), finished("b"), name="b.json")
    theirs(here, finished("a", 0.6), finished("c"), name="c.json")
    assert main(["merge", "dataset=loan", "from=b.json,c.json", "prefer=theirs"]) == 0
    assert {run: record["metrics"]["accuracy"] for run, record in stored().items()} == {"a": 0.6, "b": 0.8, "c": 0.8}


def test_the_journal_beside_a_file_is_merged_too(here):
    RunStore(here / "b.json", journal_after=0).add(finished("a"))
    assert main(["merge", "dataset=loan", "from=b.json"]) == 0
    assert list(stored()) == ["a"]


def test_more_runs_than_the_journal_takes_end_in_the_file(here):
    ours(*(finished(str(i)) for i in range(600)))
    assert main(["merge", "dataset=loan", theirs(here, *(finished(str(i)) for i in range(500, 1200)))]) == 0
    assert len(json.loads(paths_config.database("loan").read_text())["_default"]) == 1200


# --- weights ---------------------------------------------------------------------------------------------------


def test_weights_are_copied_and_the_database_then_passes_its_check(here, capsys):
    ours(finished("a", folder=here / "weights"))
    theirs(here, finished("b", content=b"b", folder=here / "w_b"), name="b.json")
    theirs(here, finished("c", content=b"c", folder=here / "w_c"), name="c.json")
    assert main(["merge", "dataset=loan", "from=b.json,c.json", "weights=w_b,w_c"]) == 0
    assert "2 weights copied" in capsys.readouterr().out
    assert main(["check", "dataset=loan"]) == 0


def test_a_later_merge_brings_the_weights_that_the_first_left_out(here, capsys):
    source = theirs(here, finished("a", folder=here / "w"))
    assert main(["merge", "dataset=loan", source]) == 0
    assert "1 of the added runs have no weights here" in capsys.readouterr().out
    assert main(["merge", "dataset=loan", source, "weights=w"]) == 0
    assert main(["check", "dataset=loan"]) == 0


def test_no_weights_of_ours_are_ever_replaced(here):
    ours(finished("a", 0.8, b"ours", here / "weights"))
    source = theirs(here, finished("a", 0.7, b"theirs", here / "w"))
    assert main(["merge", "dataset=loan", source, "weights=w", "prefer=theirs"]) == 0
    assert (here / "weights" / "loan" / "a.safetensors").read_bytes() == b"ours"
    assert (here / "weights" / stored()["a"]["weights"]["path"]).read_bytes() == b"theirs"


@pytest.mark.parametrize("spoil", [lambda path: path.unlink(), lambda path: path.write_bytes(b"other")])
def test_weights_that_are_missing_or_altered_stop_the_merge(here, capsys, spoil):
    ours(finished("a"))
    source = theirs(here, finished("b", folder=here / "w"), finished("c", folder=here / "w"))
    spoil(here / "w" / "loan" / "c.safetensors")
    unchanged(here, source, "weights=w")
    assert (
        "loan/c.safetensors, with the SHA-256 of the record, in none of w. Nothing was merged"
        in capsys.readouterr().err
    )


def test_a_record_cannot_reach_out_of_the_weights_folder(here, capsys):
    source = theirs(here, finished("a", weights={"path": "../evals/loan.json", "sha256": "0"}))
    unchanged(here, source)
    assert "not to be trusted" in capsys.readouterr().err


def test_bad_records_are_named_and_left_out(here, capsys):
    good, altered, hostile = finished("a"), finished("b"), finished("c", weights={"path": "../a", "sha256": "0"})
    source = theirs(here, good, altered, hostile)
    (here / "b.json").write_bytes((here / "b.json").read_bytes().replace(b'"run_id": "b"', b'"run_id": "x"'))
    assert main(["merge", "dataset=loan", source]) == 0
    assert list(stored()) == ["a"]
    errors = capsys.readouterr().err.splitlines()
    assert ["record 2 of b.json was altered" in errors[0], "record 3 of b.json is not to be" in errors[1]] == [True] * 2
    assert len(errors) == 2


# --- refusals --------------------------------------------------------------------------------------------------


def tinydb(record):
    return json.dumps({"_default": {"1": record}})


SPOILT = [
    ("cut off", '{"_default": {"1": {"run', "b.json cannot be read: it is not JSON"),
    ("foreign", '{"runs": {"1": {}}}', "has no table '_default'. Nothing was merged; `import` reads"),
    (
        "no run_id",
        '{"_default": {"7": {"accuracy": 1}}}',
        "record 7 of b.json is no record of a run: run_id is missing",
    ),
    ("schema", tinydb(failed("a") | {"schema": 0}), "has schema 0, not 1"),
    ("adult", tinydb(failed("a") | {"dataset": "adult"}), "say dataset=adult"),
    ("weights", tinydb({**FACTS, "run_id": "a", "status": "finished", "metrics": {}}), "names no weights"),
]


@pytest.mark.parametrize(("content", "said"), [case[1:] for case in SPOILT], ids=[case[0] for case in SPOILT])
def test_one_bad_file_stops_the_merge_of_all(here, capsys, content, said):
    ours(finished("a"))
    theirs(here, finished("c"), name="good.json")
    (here / "b.json").write_text(content)
    unchanged(here, "from=good.json,b.json")
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "from is required"),
        (["from=nowhere.json"], "from=nowhere.json: there is no file nowhere.json; name databases"),
        (["from=b.json", "weights=nowhere"], "weights=nowhere is no folder"),
        (["from=b.json", "prefer=mine"], "expected ours (the default) or theirs"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(here, capsys, words, said):
    ours(finished("a"))
    theirs(here, finished("b"))
    unchanged(here, *words)
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("graph", "said"),
    [({"a": ["b"], "b": ["a"]}, "has the cycle a -> b -> a"), ({"a": ["c"]}, "names 'c', which is no column")],
)
def test_a_record_whose_causal_graph_is_none_is_left_out_by_name(here, capsys, graph, said):
    columns = [{"name": name, "kind": "continuous", "sensitive": False, "levels": []} for name in "ab"]
    kept, left = (
        finished(run, params={"dataset": {"graph": of}, "model": {}}, preprocessing={"columns": columns})
        for run, of in (("a", {"a": ["b"]}), ("b", graph))
    )
    (here / "b.json").write_text(json.dumps({"_default": {"1": kept, "2": left}}))
    assert main(["merge", "dataset=loan", "from=b.json"]) == 0
    answer = capsys.readouterr()
    assert f"record 2 of b.json is no record of a run: params.dataset.graph {said}" in answer.out + answer.err
    assert list(stored()) == ["a"]


def test_runs_of_other_data_are_told_by_their_new_numbers_and_never_taken_for_ours(here, capsys):
    """Two machines with a file of the same name: records of equal ids, and one of equal run_id and figures."""
    ours(finished("r1", fingerprint="aaaaaaaaaa"), finished("r2", fingerprint="aaaaaaaaaa"))
    file = theirs(here, finished("r3", fingerprint="bbbbbbbbbb"), finished("r2", fingerprint="bbbbbbbbbb"))
    assert main(["merge", "dataset=loan", file]) == 0
    said = capsys.readouterr().out
    assert "1 added, 0 already there, 1 conflict" in said
    assert "ours of loan-aaaaaaaa, theirs of loan-bbbbbbbb" in said
    assert "the runs of loan are of 2 sources of data, whose figures do not compare" in said
    assert re.search(r"loan-aaaaaaaa \(.*, records 1, 2\); loan-bbbbbbbb \(.*, record 3\)", said)
    assert {run: of["fingerprint"][:2] for run, of in stored().items()} == {"r1": "aa", "r2": "aa", "r3": "bb"}


def test_decisions_come_with_the_weights_where_they_are_there(here):
    files = {}
    for key, content in (("decisions", b"bits"), ("test_rows", b"rows")):
        (here / "w" / "loan").mkdir(parents=True, exist_ok=True)
        (here / "w" / "loan" / f"{key}.decisions").write_bytes(content)
        files[key] = {"path": f"loan/{key}.decisions", "sha256": hashlib.sha256(content).hexdigest()}
    lost = {**files, "decisions": {"path": "loan/gone.decisions", "sha256": "0" * 64}}
    runs = finished("a", folder=here / "w", **files), finished("b", folder=here / "w", **lost)
    assert main(["merge", "dataset=loan", theirs(here, *runs), "weights=w"]) == 0
    assert (here / "weights" / "loan" / "decisions.decisions").read_bytes() == b"bits"
    assert (here / "weights" / "loan" / "test_rows.decisions").read_bytes() == b"rows"
    assert stored()["b"]["decisions"] == lost["decisions"]


def test_decisions_outside_the_folder_are_not_taken(here, capsys):
    evil = {"path": "../../etc/passwd", "sha256": "0" * 64}
    words = theirs(here, finished("a", folder=here / "w", decisions=evil), finished("b", folder=here / "w"))
    assert main(["merge", "dataset=loan", words, "weights=w"]) == 0
    assert set(stored()) == {"b"}
    assert "is not to be trusted" in capsys.readouterr().err
