import json
import math
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from tinydb import Query, TinyDB, where

from utils.records import storage
from utils.run_store import RunStore, StoreError
from utils.system import console


def record(run="a", status="finished", **more):
    facts = {"run_id": run, "status": status, "name": "loan_mlp_erm", "dataset": "loan", "params": {}}
    return {**facts, "metrics": {"accuracy": 0.5}, **more}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "loan.json"


@pytest.fixture(params=[1000, 0], ids=["file", "journal"])
def store(path, request):
    return RunStore(path, journal_after=request.param)


def by_tinydb(path, query=None):
    """What plain TinyDB reads, with its ids and without the checksum that every record has."""
    with TinyDB(path) as plain:
        found = plain.all() if query is None else plain.search(query)
        assert all(there["checksum"] for there in found)
        return [{**there, "doc_id": there.doc_id} for there in map(without_checksum, found)]


def without_checksum(found):
    del found["checksum"]
    return found


def journal(path):
    return path.with_name(path.name + ".journal")


def test_nothing_heavy_is_imported():
    code = "import sys, utils.run_store; print({'torch', 'numpy', 'hydra', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


# --- records ---------------------------------------------------------------------------------------------------

SETTINGS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
quick = settings(max_examples=50, deadline=None)


def test_a_missing_file_is_an_empty_store(store, path):
    assert store.all() == []
    assert len(store) == 0
    assert store.find("a") is None
    assert list(path.parent.iterdir()) == []


def test_writing_creates_the_folder(tmp_path):
    RunStore(tmp_path / "evals" / "loan.json").add(record())
    assert len(RunStore(tmp_path / "evals" / "loan.json")) == 1


def test_an_empty_file_is_an_empty_store(path):
    """TinyDB makes one when it opens a path."""
    TinyDB(path).close()
    assert RunStore(path).add(record()) == 1


def test_a_record_comes_back_with_its_doc_id(store):
    doc_id = store.add(record(seed=3))
    assert store.get(doc_id) == record(seed=3) | {"doc_id": doc_id}


def test_ids_count_from_one(store):
    assert [store.add(record(run)) for run in "abc"] == [1, 2, 3]


def test_a_doc_id_inside_a_record_is_not_stored(store, path):
    store.replace(store.add(record()), {**record(seed=1), "doc_id": 9})
    store.fold()
    [stored] = json.loads(path.read_text())["_default"].values()
    assert without_checksum(stored) == record(seed=1)


def test_nan_is_stored_as_null(store, path):
    store.add(record(metrics={"auc": math.nan, "mcc": np.float32(np.inf)}))
    assert store.get(1)["metrics"] == {"auc": None, "mcc": None}


def test_changing_a_returned_record_changes_nothing_stored(store):
    store.add(record())
    for handed_out in (store.get(1), store.all()[0], store.find("a"), store.search(where("run_id") == "a")[0]):
        handed_out["metrics"]["accuracy"] = 0
    assert store.get(1)["metrics"] == {"accuracy": 0.5}


def test_changing_the_record_after_adding_it_changes_nothing_stored(store):
    given_record = record()
    store.add(given_record)
    given_record["metrics"]["accuracy"] = 0
    assert store.get(1)["metrics"] == {"accuracy": 0.5}


@pytest.mark.parametrize("missing", [0, 4, "1", True])
def test_an_unknown_id_is_refused_with_those_that_exist(store, path, missing):
    for run in "abc":
        store.add(record(run))
    with pytest.raises(ValueError, match=rf"{path} has no record {missing!r}: its ids run from 1 to 3"):
        store.get(missing)


def test_an_id_of_an_empty_store_is_refused(store):
    with pytest.raises(ValueError, match="it is empty"):
        store.get(1)


def test_a_query_finds_what_it_describes(store):
    for run, seed in [("a", 0), ("b", 1), ("c", 1)]:
        store.add(record(run, seed=seed))
    assert [found["doc_id"] for found in store.search(where("seed") == 1)] == [2, 3]


def test_a_query_sees_what_another_store_added(store, path):
    query = where("seed") == 1
    assert store.search(query) == []
    RunStore(path).add(record(seed=1))
    assert len(store.search(query)) == 1


def test_find_takes_finished_runs_unless_asked(store):
    store.add(record("a", "failed"))
    assert store.find("a") is None
    assert store.find("a", status="failed")["doc_id"] == 1
    assert store.find("a", status=None)["doc_id"] == 1


@pytest.mark.parametrize(("status", "found"), [("finished", "b"), ("failed", "a"), (None, "ab")])
def test_many_runs_are_found_at_once(store, status, found):
    store.add_many([record("a", "failed"), record("b"), record("c")])
    there = store.find_many(["b", "none", "a", "b"], status)
    assert sorted(there) == list(found)
    assert all(there[run] == store.find(run, status) for run in found)


FIELDS = st.dictionaries(st.sampled_from(["a", "b", 'c"', "d\t", "e\\", "ε: f", "metrics"]), SETTINGS, max_size=4)


@quick
@given(st.lists(FIELDS, max_size=4))
def test_records_come_back_as_plain_tinydb_reads_them(fields):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "loan.json"
        store = RunStore(path, journal_after=2)
        store.add_many({**more, **record(str(i))} for i, more in enumerate(fields))
        before = store.all()
        store.fold()
        assert by_tinydb(path) == before == RunStore(path).all()


QUERIES = {
    "a key": where("seed") == 1,
    "a nested key": where("metrics")["accuracy"] > 0.6,
    "a key that is absent": where("metrics")["auc"] == 1,
    "a key of a key's name": where("accuracy").exists(),
    "existence": where("reason").exists(),
    "negation": ~(where("seed") == 1),
    "conjunction": (where("seed") == 1) & (where("status") == "finished"),
    "a fragment": Query().fragment({"seed": 1, "status": "finished"}),
    "a nested fragment": Query().metrics.fragment({"accuracy": 0.5}),
    "a function": where("metrics").test(lambda metrics: metrics["accuracy"] > 0.6),
    "a pattern": where("name").matches("lo.n"),
    "a list": where("tags").any(["x"]),
    "everything": Query().noop(),
    "the whole record": lambda found: {**found}.get("seed") == 1 and len(found) > 3,
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_finds_what_plain_tinydb_finds(store, path, query):
    several = [
        record("a", seed=1, name="loan"),
        record("b", seed=2, metrics={"accuracy": 0.7, "seed": 1}, tags=["x", "y"]),
        record("c", status="failed", seed=1, reason="metrics: none", tags=[]),
        record("d", name="a name with\ta tab", seed=None),
    ]
    store.add_many(several)
    found = store.search(query)
    store.fold()
    assert found == by_tinydb(path, query)


@pytest.mark.parametrize("bad", [{"run_id": None}, {"run_id": ""}, {"status": "running"}, {"status": None}])
def test_a_record_without_run_id_or_final_status_is_refused(store, bad):
    with pytest.raises(ValueError, match=r"run_id|status"):
        store.add({**record(), **bad})
    assert len(store) == 0


def test_a_finished_run_is_stored_once(store):
    assert [store.add(record(seed=seed)) for seed in (1, 2)] == [1, 1]
    assert store.all() == [record(seed=1) | {"doc_id": 1}]


def test_a_finished_run_is_replaced_on_demand_without_its_evaluations(store):
    store.add(record(seed=1))
    store.add_result(1, "strong", {"accuracy": 0.1})
    assert store.add(record(seed=2), replace=True) == 1
    assert store.all() == [record(seed=2) | {"doc_id": 1}]


@pytest.mark.parametrize("newer", ["failed", "finished"])
def test_a_failed_run_gives_way_to_a_newer_one(store, newer):
    store.add(record(status="failed", seed=1))
    assert store.add(record(status=newer, seed=2)) == 1
    assert store.all() == [record(status=newer, seed=2) | {"doc_id": 1}]


@pytest.mark.parametrize("replace", [False, True])
def test_a_failed_run_never_displaces_a_finished_one(store, replace):
    store.add(record())
    assert store.add(record(status="failed"), replace=replace) == 1
    assert store.get(1)["status"] == "finished"


def test_many_records_take_the_ids_they_would_take_one_by_one(store):
    store.add(record("b"))
    assert store.add_many(map(record, "abca")) == [2, 1, 3, 2]
    assert len(store) == 3


def test_no_record_of_a_refused_batch_is_stored(store):
    with pytest.raises(ValueError, match="status"):
        store.add_many([record("a"), record("b", status="running")])
    assert len(store) == 0


def test_an_evaluation_is_added_under_its_name(store):
    store.add(record())
    store.add_result(1, "strong", {"accuracy": np.float64(0.25)})
    store.add_result(1, "weak", {"accuracy": 0.5})
    assert store.get(1)["evaluations"] == {"strong": {"accuracy": 0.25}, "weak": {"accuracy": 0.5}}


def test_an_evaluation_is_not_overwritten_unless_asked(store):
    store.add(record())
    store.add_result(1, "strong", {"accuracy": 1})
    with pytest.raises(ValueError, match="already has an evaluation 'strong'"):
        store.add_result(1, "strong", {"accuracy": 2})
    assert store.get(1)["evaluations"]["strong"] == {"accuracy": 1}
    store.add_result(1, "strong", {"accuracy": 3}, replace=True)
    assert store.get(1)["evaluations"]["strong"] == {"accuracy": 3}


def test_a_record_cannot_be_replaced_by_a_run_that_another_holds(store):
    store.add_many([record("a"), record("b")])
    with pytest.raises(ValueError, match="run a is record 1"):
        store.replace(2, record("a"))


# --- the file --------------------------------------------------------------------------------------------------


def test_plain_tinydb_reads_the_records(path):
    store = RunStore(path)
    store.add_many([record("a"), record("b", seed=1)])
    assert by_tinydb(path) == [record("a") | {"doc_id": 1}, record("b", seed=1) | {"doc_id": 2}]
    with TinyDB(path) as plain:
        assert plain.get(where("seed") == 1).doc_id == 2


def test_records_that_plain_tinydb_inserts_are_seen(path):
    store = RunStore(path)
    store.add(record("a"))
    with TinyDB(path) as plain:
        plain.insert(record("b"))
    assert store.add(record("c")) == 3
    assert [found["run_id"] for found in store.all()] == ["a", "b", "c"]


def test_other_tables_of_the_file_are_kept(path):
    with TinyDB(path) as plain:
        plain.table("notes").insert({"text": "mine"})
        plain.insert(record("a"))
    RunStore(path).add(record("b"))
    with TinyDB(path) as plain:
        assert plain.table("notes").all() == [{"text": "mine"}]


def test_the_file_has_a_record_a_line(path):
    RunStore(path).add_many([record("a", note="two\nlines"), record("b")])
    head, empty, *lines, end = path.read_text().splitlines()
    assert (head, empty, end) == ('{"_default": {', "", "}}")
    [one], [other] = (json.loads(f"{{{line.rstrip(',')}}}").values() for line in lines)
    assert [without_checksum(found) for found in (one, other)] == [record("a", note="two\nlines"), record("b")]


LAYOUTS = {"indented": {"indent": 2}, "dense": {"separators": (",", ":")}, "sorted": {"sort_keys": True}}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("journal_after", [0, 1000])
def test_the_layout_of_the_file_does_not_matter(path, layout, journal_after):
    store = RunStore(path, journal_after=journal_after)
    store.add_many([record("a"), record("b", seed=1)])
    store.fold()
    path.write_text(json.dumps(json.loads(path.read_text()), **layout))
    for view in (store, RunStore(path)):
        assert [found["run_id"] for found in view.search(where("status") == "finished")] == ["a", "b"]
    assert store.add(record("c")) == 3
    store.fold()
    expected = [record("a"), record("b", seed=1), record("c")]
    assert by_tinydb(path) == [found | {"doc_id": i} for i, found in enumerate(expected, 1)]


def test_a_large_file_that_plain_tinydb_wrote_is_laid_out_anew_by_the_next_write(path):
    with TinyDB(path) as plain:
        plain.insert_multiple(record(str(i)) for i in range(30))
    RunStore(path, journal_after=0).add(record("a"))
    assert (in_file(path), lines(path)) == (31, 0)
    assert path.read_bytes().count(b"\n") == 33


def test_records_in_the_journal_survive_that_plain_tinydb_writes_the_file(path):
    with_room(path).add(record("a"))
    with TinyDB(path) as plain:
        plain.update({"note": "mine"}, doc_ids=[1])
    store = RunStore(path, journal_after=0)
    store.add(record("b"))
    store.fold()
    with TinyDB(path) as plain:
        assert [found["run_id"] for found in plain.all()] == [*FIRST, "a", "b"]
        assert plain.get(doc_id=1)["note"] == "mine"


@pytest.mark.parametrize("wide", [2**63, -(2**63) - 1, 2**64, 10**30, [2**70], {"a": [1, -(2**70)]}])
def test_an_integer_of_any_size_is_kept(store, wide):
    store.add(record(free=wide))
    assert repr(store.get(1)["free"]) == repr(wide)


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "1" * 30])
@pytest.mark.parametrize("content", ['{"seed":%s}', '{"a":[%s]}', '{"a":[1,%s]}', '{"a": [\n%s]}'])
def test_a_wide_integer_is_read_from_any_layout(path, content, number):
    facts = '{"run_id":"a","status":"failed","name":"","dataset":"","params":{},"free":'
    path.write_text('{"_default":{"1":' + facts + content % number + "}}}")
    assert number in repr(RunStore(path).get(1))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-(2**90), 2**90) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@quick
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=3))
def test_whatever_plain_tinydb_writes_is_read_as_python_reads_it(contents):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "loan.json"
        with TinyDB(path) as plain:
            plain.insert_multiple(record(free=content) for content in contents)
        python = json.loads(path.read_bytes() or b"{}", parse_constant=lambda _: None).get("_default", {})
        assert repr(RunStore(path).all()) == repr([{**r, "doc_id": int(i)} for i, r in python.items()])


def test_nan_that_plain_tinydb_wrote_reads_as_null(path):
    with TinyDB(path) as plain:
        plain.insert(record(metrics={"auc": math.nan}))
    assert RunStore(path).get(1)["metrics"] == {"auc": None}


DAMAGED = {
    "cut off": b'{"_default": {"1": {"run_id": "a", "sta',
    "text": b"doc_id,accuracy\n1,0.5\n",
    "zeros": bytes(100),
    "not utf-8": b'{"_default": {"1": {"run_id": "\xff"}}}',
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "a number": b"1",
    "another object": b'{"runs": {"1": {}}}',
    "ids that are no numbers": b'{"_default": {"a": {}}}',
    "an id out of order": b'{"_default": {"01": {}}}',
    "records that are no objects": b'{"_default": {"1": 0}}',
    "a table that is none": b'{"_default": []}',
    "ours, cut off in a record": b'{"_default": {\n"1": {\t"run_id": "a",\t"sta',
    "ours, cut off behind a record": b'{"_default": {\n"1": {\t"run_id": "a"},\n',
    "ours, cut off before the last brace": b'{"_default": {\n"1": {\t"run_id": "a"}\n}',
    "ours, without a comma": b'{"_default": {\n"1": {\t"run_id": "a"}\n"2": {\t"run_id": "b"}\n}}',
    "ours, a line of zeros": b'{"_default": {\n"1": {\t"run_id": "a"},\n\0\0\0\0\n}}',
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_or_foreign_file_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    store = RunStore(path)
    for use in (store.all, lambda: store.get(1), lambda: store.add(record()), store.fold, lambda: len(store)):
        with pytest.raises(StoreError, match=rf"{path} .*`python -m evals.database rebuild dataset=loan`"):
            use()
    assert path.read_bytes() == content


def test_a_file_that_is_damaged_while_open_is_refused(path):
    store = RunStore(path)
    store.add(record())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StoreError, match="not JSON"):
        store.add(record("b"))


def test_a_damaged_journal_is_refused_and_left_alone(path):
    RunStore(path, journal_after=0).add(record())
    content = b"damage\n" + journal(path).read_bytes()
    journal(path).write_bytes(content)
    with pytest.raises(StoreError, match=rf"{journal(path)} .*dataset=loan`"):
        RunStore(path).add(record("b"))
    assert journal(path).read_bytes() == content


@pytest.mark.parametrize("damage", [b"\0\0\0", b"0.6", b"\xff\xff\xff"])
def test_a_record_damaged_inside_is_named_and_left_out(path, capsys, damage):
    store = RunStore(path)
    store.add_many([record("a"), record("b")])
    damaged = path.read_bytes().replace(b"0.5", damage, 1)
    path.write_bytes(damaged)
    for use in (store.all, lambda: store.search(where("metrics")["accuracy"] > 0), lambda: store.find_many("ab")):
        console.begin()
        assert len(use()) == 1
        assert f"{path}: 1 record left out: record 1 " in capsys.readouterr().err
    with pytest.raises(StoreError, match=rf"record 1 of {path} .*rebuild dataset=loan`.*remove dataset=loan id=1`"):
        store.get(1)
    assert store.set_aside() == []
    assert path.read_bytes() == damaged


def test_a_damaged_file_is_set_aside_unchanged(path):
    path.write_bytes(b"damage")
    store = RunStore(path)
    assert [aside.name for aside in store.set_aside()] == ["loan.json.damaged-1"]
    assert store.all() == []
    path.write_bytes(b"again")
    assert [aside.read_bytes() for aside in store.set_aside()] == [b"again"]
    assert (path.parent / "loan.json.damaged-1").read_bytes() == b"damage"


def test_what_is_whole_is_not_set_aside(store):
    store.add_many([record("a"), record("b")])
    assert store.set_aside() == []
    assert len(store) == 2


def test_a_link_to_a_database_elsewhere_stays_a_link(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    RunStore(tmp_path / "link.json").add(record())
    assert (tmp_path / "link.json").is_symlink()
    assert len(RunStore(tmp_path / "real.json")) == 1


def test_a_locked_database_is_named_after_the_timeout(path):
    with FileLock(f"{path}.lock"):
        code = (
            "import sys; from utils.run_store import RunStore\n"
            "try: RunStore(sys.argv[1], timeout=0.1).add({'run_id': 'a', 'status': 'failed',"
            " 'name': 'a', 'dataset': 'loan', 'params': {}})\n"
            "except TimeoutError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert f"{path} is in use: another process has held {path}.lock for 0.1 s" in done.stdout


def test_readers_need_no_lock(path):
    RunStore(path).add(record())
    with FileLock(f"{path}.lock"):
        assert len(RunStore(path, timeout=0)) == 1


# --- the journal -----------------------------------------------------------------------------------------------


def lines(path):
    return journal(path).read_bytes().count(b"\n") if journal(path).exists() else 0


def in_file(path):
    with TinyDB(path) as plain:
        return len(plain)


def with_room(path):
    """A store of runs 0 to 29 in the file, whose next three or four writes go to the journal."""
    RunStore(path).add_many(record(str(i)) for i in range(30))
    return RunStore(path, journal_after=0)


def runs(store):
    return [found["run_id"] for found in store.all()]


FIRST = [str(i) for i in range(30)]


def test_records_go_to_the_file_up_to_the_limit_and_then_to_the_journal(path):
    store = RunStore(path, journal_after=2)
    seen = []
    for run in "abc":
        store.add(record(run))
        seen.append((in_file(path), lines(path)))
    assert seen == [(1, 0), (2, 0), (2, 1)]


def test_the_journal_is_folded_when_it_exceeds_a_tenth_of_the_file(path):
    store = RunStore(path, journal_after=20)
    store.add_many(record(str(i)) for i in range(20))
    RunStore(path).add(record("20"))  # 21 records in the file
    seen = []
    for i in range(21, 26):
        store.add(record(str(i)))
        seen.append((in_file(path), lines(path)))
    assert seen == [(21, 1), (21, 2), (21, 3), (24, 1), (24, 2)]


def test_a_fold_empties_the_journal_into_the_file(path):
    store = with_room(path)
    store.add(record("a"))
    store.add_result(31, "strong", {"accuracy": 1})
    before = store.all()
    assert (in_file(path), lines(path)) == (30, 2)
    assert store.fold() == 2
    assert not journal(path).exists()
    assert in_file(path) == 31
    assert store.all() == RunStore(path).all() == before


def test_a_fold_without_journal_leaves_the_file_alone(path):
    store = RunStore(path)
    store.add(record())
    inode = path.stat().st_ino
    assert store.fold() == 0
    assert path.stat().st_ino == inode


def test_a_change_of_a_journalled_record_goes_to_the_journal(path):
    store = with_room(path)
    store.add(record("a"))
    store.add_result(31, "strong", {"accuracy": 1})
    store.replace(1, record("b"))
    assert lines(path) == 3
    for view in (store, RunStore(path)):
        assert view.get(31)["evaluations"] == {"strong": {"accuracy": 1}}
        assert view.get(1)["run_id"] == "b"


def test_a_store_with_a_higher_limit_folds_the_journal_it_finds(path):
    with_room(path).add(record("a"))
    assert RunStore(path, journal_after=1000).add(record("b")) == 32
    assert (in_file(path), journal(path).exists()) == (32, False)


@pytest.mark.parametrize("cut", [1, 10, -1, None])
@pytest.mark.parametrize("lines_before", [0, 1])
def test_a_torn_last_line_is_ignored_and_cut_off_by_the_next_writer(path, cut, lines_before):
    """What SIGKILL leaves of a write is a prefix of it."""
    store = with_room(path)
    store.add_many([record("a")][:lines_before])
    whole = journal(path).read_bytes() if lines_before else b""
    torn = whole + json.dumps({"doc_id": 31 + lines_before, "record": record("b")}).encode()[:cut]
    journal(path).write_bytes(torn)
    there = FIRST + ["a"][:lines_before]
    for view in (store, RunStore(path)):
        assert runs(view) == there
    assert journal(path).read_bytes() == torn
    assert store.add(record("c")) == 31 + lines_before
    assert lines(path) == lines_before + 1
    assert runs(store) == runs(RunStore(path)) == [*there, "c"]


def test_a_fold_killed_before_it_removed_the_journal_is_repeated_harmlessly(path):
    store = with_room(path)
    store.add(record("a"))
    store.add_result(31, "strong", {"accuracy": 1})
    left = journal(path).read_bytes()
    before = store.all()
    store.fold()
    journal(path).write_bytes(left)
    for view in (store, RunStore(path)):
        assert view.all() == before
    assert RunStore(path, journal_after=0).add(record("b")) == 32
    assert lines(path) == 3
    assert runs(store) == [*FIRST, "a", "b"]


def test_a_journal_that_was_replaced_is_read_anew(path):
    """What ``rebuild`` in another process does to a damaged journal, while this store is open."""
    store = with_room(path)
    store.add(record("a"))
    assert len(store) == 31
    journal(path).rename(journal(path).with_suffix(".damaged-1"))
    RunStore(path, journal_after=0).add_many([record("b"), record("c")])
    assert runs(store) == [*FIRST, "b", "c"]


def test_an_open_store_follows_the_writes_and_folds_of_another(path):
    one, other = with_room(path), RunStore(path, journal_after=0)
    for i in range(8):
        (one if i % 2 else other).add(record(f"x{i}"))
        assert len(one) == len(other) == 31 + i
        if i % 3 == 0:
            other.fold()


def test_the_file_is_taken_apart_once_however_often_it_is_asked(path, monkeypatch):
    store = with_room(path)
    opened, times = storage._open, []
    monkeypatch.setattr(storage, "_open", lambda *given: times.append(1) or opened(*given))
    for i in range(3):
        store.find_many(FIRST)
        store.add(record(f"a{i}"))
        store.search(where("run_id") == "3")
    assert len(times) == 1


def test_a_read_during_a_fold_mixes_no_old_journal_with_the_new_file(path, monkeypatch):
    """Readers take no lock. The other process strikes when the reader has read the journal but not yet the file."""
    with_room(path).replace(1, record("old"))
    content, struck = storage._content, []

    def interleaved(file, *known, **peek):
        found = content(file, *known, **peek)
        if file == journal(path) and not struck:
            struck.append(True)
            other = RunStore(path, journal_after=0)
            other.replace(1, record("new"))
            other.fold()
        return found

    monkeypatch.setattr(storage, "_content", interleaved)
    assert RunStore(path).get(1)["run_id"] == "new"


def test_a_write_adds_to_what_the_lock_saw_whatever_a_reading_thread_remembers(path):
    """A thread that began to read before a write may end after it, and leave the store with the older view."""
    store = with_room(path)
    store.add(record("a"))
    older = store._storage._seen
    store.add(record("b"))
    read, store._storage.read = store._storage.read, lambda: (read(), setattr(store._storage, "_seen", older))[0]
    store.add(record("c"))
    assert runs(RunStore(path)) == [*FIRST, "a", "b", "c"]


def test_readers_see_every_acknowledged_record_while_a_writer_folds(path):
    writer = with_room(path)
    done = threading.Event()
    counts: list[tuple[int, int]] = []
    acknowledged = [30]

    def read():
        while not done.is_set():
            least = acknowledged[0]
            counts.append((least, len(RunStore(path))))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(60):
        writer.add(record(f"x{i}"))
        acknowledged[0] += 1
        if i % 2:
            writer.fold()
    done.set()
    reader.join()
    assert len(counts) > 20
    assert all(seen >= least for least, seen in counts)


# --- a model ---------------------------------------------------------------------------------------------------

RUN = st.sampled_from("abcdefgh")
STEP = st.one_of(
    st.tuples(st.just("add"), RUN, st.sampled_from(["finished", "failed"]), st.booleans(), st.integers(0, 9)),
    st.tuples(st.just("add_result"), st.integers(1, 9), st.sampled_from("xy"), st.booleans(), st.integers(0, 9)),
    st.tuples(st.just("fold")),
    st.tuples(st.just("reopen"), st.sampled_from([0, 2, 4, 1000])),
)


class Model:
    """The store as its documentation describes it: a dictionary from doc_id to record."""

    def __init__(self):
        self.records = {}

    def add(self, run, status, replace, value):
        new = record(run, status, value=value)
        for doc_id, old in self.records.items():
            if old["run_id"] == run:
                if old["status"] == "failed" or (status == "finished" and replace):
                    self.records[doc_id] = new
                return doc_id
        self.records[len(self.records) + 1] = new
        return len(self.records)

    def add_result(self, doc_id, name, replace, value):
        old = self.records.get(doc_id)
        if old is None or (name in old.get("evaluations", {}) and not replace):
            return "refused"
        self.records[doc_id] = {**old, "evaluations": {**old.get("evaluations", {}), name: {"v": value}}}
        return None


def perform(store, step):
    match step:
        case "add", run, status, replace, value:
            return store.add(record(run, status, value=value), replace=replace)
        case "add_result", doc_id, name, replace, value:
            try:
                return store.add_result(doc_id, name, {"v": value}, replace=replace)
            except ValueError:
                return "refused"


@quick
@given(st.lists(STEP, max_size=12))
def test_any_sequence_of_operations_equals_a_dictionary(steps):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "loan.json"
        store, model = RunStore(path, journal_after=2), Model()
        for step in steps:
            if step[0] == "fold":
                store.fold()
            elif step[0] == "reopen":
                store = RunStore(path, journal_after=step[1])
            else:
                assert perform(store, step) == getattr(model, step[0])(*step[1:])
            assert {found.pop("doc_id"): found for found in store.all()} == model.records
        assert {found.pop("doc_id"): found for found in RunStore(path).all()} == model.records


# --- several processes, kills, full disks ----------------------------------------------------------------------

WORKER = """
import sys
import time
from pathlib import Path
from utils.run_store import RunStore
path, journal_after, name, inserts, go = sys.argv[1:]
store = RunStore(path, journal_after=int(journal_after))
print("ready", flush=True)
while not Path(go).exists():
    time.sleep(0.001)
for i in range(int(inserts)):
    record = {"run_id": f"{name}-{i}", "status": "finished", "params": {"filler": "x" * 3000}}
    record |= {"name": "loan_mlp_erm", "dataset": "loan", "metrics": {}}
    print(store.add(record), record["run_id"], flush=True)
"""


def worker(path, journal_after, name, inserts, **more):
    words = [str(path), str(journal_after), str(name), str(inserts), str(path.with_name("go"))]
    return subprocess.Popen([sys.executable, "-c", WORKER, *words], stdout=subprocess.PIPE, text=True, **more)


@pytest.mark.parametrize("journal_after", [pytest.param(1000, marks=pytest.mark.slow), 20])
def test_sixteen_processes_that_insert_at_once_lose_nothing(path, journal_after):
    workers = [worker(path, journal_after, name, 8) for name in range(16)]
    for process in workers:
        assert process.stdout.readline() == "ready\n"
    path.with_name("go").touch()
    told = [line.split() for process in workers for line in process.communicate()[0].splitlines()]
    assert sorted(int(doc_id) for doc_id, _ in told) == list(range(1, 129))
    assert {found["doc_id"]: found["run_id"] for found in RunStore(path).all()} == {int(i): run for i, run in told}


@pytest.mark.parametrize("journal_after", [10**6, 5])
def test_a_killed_writer_loses_nothing_acknowledged(path, journal_after):
    path.with_name("go").touch()
    chance = random.Random(0)
    told = {}
    for name in range(6):
        process = worker(path, journal_after, name, 10**6)
        assert process.stdout.readline() == "ready\n"
        out = "".join(process.stdout.readline() for _ in range(4))
        time.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        out += process.communicate()[0]
        told |= {int(line.split()[0]): line.split()[1] for line in out.splitlines() if len(line.split()) == 2}
        there = {found["doc_id"]: found["run_id"] for found in RunStore(path).all()}
        assert told.items() <= there.items()
    assert len(told) > 20
    RunStore(path).add(record())
    assert not list(path.parent.glob(".*.tmp"))


@pytest.mark.parametrize("journal_after", [1000, 5])
def test_a_full_disk_leaves_the_acknowledged_records_and_is_an_error(path, journal_after):
    path.with_name("go").touch()
    limit = 40_000
    process = worker(
        path,
        journal_after,
        "a",
        10**6,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        stderr=subprocess.PIPE,
    )
    out, errors = process.communicate()
    assert "OSError: [Errno 27]" in errors.splitlines()[-1]
    assert "loan.json" in errors.splitlines()[-1]
    told = [int(line.split()[0]) for line in out.splitlines()[1:]]
    assert len(told) > 10
    assert [found["doc_id"] for found in RunStore(path).all()] == told
    assert RunStore(path).add(record()) == len(told) + 1


def test_threads_that_share_a_store_lose_nothing(path):
    store = RunStore(path, journal_after=10)
    threads = [
        threading.Thread(target=lambda name=name: [(store.add(record(f"{name}-{i}")), len(store)) for i in range(10)])
        for name in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found["doc_id"] for found in store.all()] == list(range(1, 41))
