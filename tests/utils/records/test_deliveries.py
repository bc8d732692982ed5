"""Records that are delivered beside a database, and the folds that file them."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tinydb import TinyDB, where

import paths_config
from utils.records import deliveries
from utils.run_store import RunStore
from utils.system import console

WITHOUT_LOCKS = """
import errno, fcntl
def flock(*_):
    raise OSError(errno.{}, "No locks available")
fcntl.flock = flock
"""
OF_ANOTHER_MACHINE = """
from utils import run_store
made = run_store.make_lock
run_store.make_lock = lambda lock: made(lock.with_name(f"{lock.name}.{sys.argv[2]}"))
"""


def record(run="a", status="finished", **more):
    facts = {"run_id": run, "status": status, "name": "loan_mlp_erm", "dataset": "loan", "params": {}}
    return {**facts, "metrics": {"accuracy": 0.5}, **more}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "loan.json"


@pytest.fixture
def deliver(path, monkeypatch):
    """Adds records as a process on another machine does."""

    def add(*records, replace=False):
        with monkeypatch.context() as there:
            there.setenv("TRILEMMA_DELIVER", "1")
            return RunStore(path).add_many(records, replace=replace)

    return add


@pytest.fixture(autouse=True)
def begin():
    console.begin()


def inbox(path):
    folder = path.with_name("loan.json.inbox")
    return sorted(folder.iterdir()) if folder.is_dir() else []


def start(code, *arguments, before="", **env):
    """Starts a Python process; ``code`` may use ``path`` and ``record``."""
    begin = """
        import os, signal, sys
        from pathlib import Path
        from tests.utils.records.test_deliveries import record
        path = Path(sys.argv[1])
    """
    text = textwrap.dedent(begin) + before + textwrap.dedent(code)
    places = {"PYTHONPATH": str(paths_config.ROOT), "TRILEMMA_DELIVER": "0"}
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        env=os.environ | places | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, code=0):
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out, err


def runs(path):
    return {of["run_id"]: of["doc_id"] for of in RunStore(path).all()}


# --- deliveries ------------------------------------------------------------------------------------------------


def test_a_delivering_process_numbers_nothing_and_leaves_the_file_alone(path, deliver):
    assert deliver(record("a"), record("b")) == [0, 0]
    assert not path.exists()
    assert len(inbox(path)) == 1


def test_the_next_reader_files_what_was_delivered(path, deliver):
    deliver(record("a"), record("b"))
    assert runs(path) == {"a": 1, "b": 2}
    assert inbox(path) == []
    with TinyDB(path) as plain:
        assert [of["run_id"] for of in plain.all()] == ["a", "b"]


def test_a_writer_files_what_was_delivered_before_its_own(path, deliver):
    deliver(record("a"))
    assert RunStore(path).add(record("b")) == 2


def test_a_fold_files_what_was_delivered_and_counts_it(path, deliver):
    deliver(record("a"), record("b"))
    assert RunStore(path).fold() == 2
    assert inbox(path) == []


def test_a_delivering_process_sees_its_own_and_others_deliveries_and_files_none(path, deliver, monkeypatch):
    deliver(record("a"))
    monkeypatch.setenv("TRILEMMA_DELIVER", "1")
    store = RunStore(path)
    store.add(record("b"))
    assert set(store.find_many("abc")) == {"a", "b"}
    assert len(store) == len(store.all()) == 2
    assert not path.exists()


def test_undelivered_records_have_the_numbers_that_a_fold_gives_them(path, deliver, monkeypatch):
    RunStore(path).add_many([record("x"), record("y")])
    for run in "cab":
        deliver(record(run))
    monkeypatch.setenv("TRILEMMA_DELIVER", "1")
    before = runs(path)
    assert RunStore(path).number(["a", "none"]) == {"a": before["a"]}
    monkeypatch.delenv("TRILEMMA_DELIVER")
    RunStore(path).fold()
    assert runs(path) == before
    assert sorted(before.values()) == [1, 2, 3, 4, 5]


def test_every_reading_method_sees_what_was_delivered(path, deliver, monkeypatch):
    deliver(record("a", seed=3))
    monkeypatch.setenv("TRILEMMA_DELIVER", "1")
    store = RunStore(path)
    [found] = store.all()
    assert found == record("a", seed=3) | {"doc_id": 1}
    assert store.get(1) == store.find("a") == store.search(where("seed") == 3)[0] == found
    assert store.examined() == ([found], {})


def test_a_failed_run_gives_way_to_any_newer_one(path, deliver):
    deliver(record("a", "failed", reason="it diverged"))
    deliver(record("a", seed=7))
    deliver(record("a", "failed", reason="again"))
    [found] = RunStore(path).all()
    assert (found["status"], found["seed"], found["doc_id"]) == ("finished", 7, 1)


def test_a_finished_run_stays_unless_it_is_to_be_replaced(path, deliver):
    RunStore(path).add(record("a", seed=0))
    deliver(record("a", seed=1))
    assert RunStore(path).get(1)["seed"] == 0
    deliver(record("a", seed=2), replace=True)
    assert RunStore(path).get(1)["seed"] == 2
    assert len(RunStore(path)) == 1


def test_a_run_that_was_trained_twice_has_one_record(path, deliver):
    deliver(record("a", seed=1), replace=True)
    deliver(record("a", seed=2), replace=True)
    assert [of["seed"] for of in RunStore(path).all()] == [2]


def test_a_record_that_cannot_be_stored_is_refused_before_it_is_delivered(path, deliver):
    with pytest.raises(ValueError, match="cannot be stored"):
        deliver(record("a", "running"))
    assert inbox(path) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.add_result(1, "later", {}),
        lambda store: store.remove([1]),
        lambda store: store.replace(1, record("b")),
        lambda store: store.fold(),
    ],
    ids=["add_result", "remove", "replace", "fold"],
)
def test_a_delivering_process_changes_nothing_that_is_there(path, monkeypatch, change):
    RunStore(path).add(record("a"))
    monkeypatch.setenv("TRILEMMA_DELIVER", "1")
    with pytest.raises(ValueError, match="TRILEMMA_DELIVER=1"):
        change(RunStore(path))


def test_another_value_of_the_variable_is_refused(path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_DELIVER", "yes")
    with pytest.raises(ValueError, match="TRILEMMA_DELIVER=yes: expected 1"):
        RunStore(path).add(record())


def test_clocks_that_are_an_hour_apart_change_nothing(path, deliver):
    """Neither the times of files nor those in records say which delivery counts: the order of their names does."""
    deliver(record("a", seed=1, created="2026-01-01T12:00:00+00:00"), replace=True)
    deliver(record("a", seed=2, created="2026-01-01T11:00:00+00:00"), replace=True)
    first, second = inbox(path)
    os.utime(first, (time.time() + 3600,) * 2)
    os.utime(second, (time.time() - 3600,) * 2)
    assert [of["seed"] for of in RunStore(path).all()] == [2]


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(path, deliver):
    RunStore(path).add(record("x"))
    deliver(record("a"))
    code = """
        from utils import run_store
        opened = os.open
        def read_only(name, flags, *more, **named):
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                raise OSError(30, "Read-only file system", str(name))
            return opened(name, flags, *more, **named)
        os.open = read_only
        print([(of["run_id"], of["doc_id"]) for of in run_store.RunStore(path).all()])
    """
    out, _ = ended(start(code, path))
    assert out == "[('x', 1), ('a', 2)]\n"
    assert len(inbox(path)) == 1


def test_who_has_seen_a_delivery_delivers_after_it_on_whichever_machine(path, monkeypatch):
    """By their names alone the machines would count the other way round."""
    monkeypatch.setenv("TRILEMMA_DELIVER", "1")
    for seed, host in enumerate(["c", "b", "a"]):
        monkeypatch.setattr("platform.node", lambda host=host: host)
        monkeypatch.setattr(deliveries, "_latest", [0])  # another process
        RunStore(path).add(record("a", seed=seed), replace=True)
    assert [of["seed"] for of in RunStore(path).all()] == [2]


def test_deliveries_are_numbered_in_the_order_in_which_a_process_made_them(path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_DELIVER", "1")
    for i in range(12):
        RunStore(path).add(record(f"run {i}"))
    assert [of["run_id"] for of in RunStore(path).all()] == [f"run {i}" for i in range(12)]


def test_files_that_are_no_deliveries_are_left_alone(path, deliver):
    deliver(record("a"))
    (path.parent / "loan.json.inbox" / "notes.jsonl").write_text("mine")
    assert runs(path) == {"a": 1}
    assert [file.name for file in inbox(path)] == ["notes.jsonl"]


# --- damaged deliveries ----------------------------------------------------------------------------------------


def cut(content):
    return content[: len(content) // 2]


def alter(content):
    return content.replace(b'"accuracy": 0.5', b'"accuracy": 0.9', 1).replace(b'"accuracy":0.5', b'"accuracy":0.9', 1)


@pytest.mark.parametrize("damage", [cut, alter, lambda _: b"", lambda _: b"\xff\x00{"], ids=list("caen"))
def test_a_damaged_delivery_is_set_aside_and_stops_nothing(path, deliver, capsys, damage):
    deliver(record("a"))
    deliver(record("b"))
    broken = inbox(path)[0]
    before = broken.read_bytes()
    broken.write_bytes(damage(before))
    assert damage(before) != before
    assert runs(path) == {"b": 1}
    assert RunStore(path).list_damaged() == inbox(path) == [broken.with_name(f"{broken.name}.damaged")]
    assert f"{broken} was altered or cut off" in capsys.readouterr().err


def test_the_sound_records_of_a_damaged_delivery_are_filed(path, deliver):
    deliver(record("a"), record("b"), record("c"))
    [broken] = inbox(path)
    broken.write_bytes(alter(broken.read_bytes()))
    assert runs(path) == {"b": 1, "c": 2}


def test_a_delivery_that_lacks_a_whole_line_is_set_aside(path, deliver):
    deliver(record("a"), record("b"))
    [broken] = inbox(path)
    broken.write_bytes(broken.read_bytes().rstrip(b"\n").rpartition(b"\n")[0] + b"\n")
    assert runs(path) == {"a": 1}
    assert len(RunStore(path).list_damaged()) == 1


def test_a_killed_writer_leaves_no_part_of_a_delivery(path):
    code = """
        from utils.system import atomic
        atomic.sync_folder = lambda _: None
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        from utils.run_store import RunStore
        RunStore(path).add(record())
    """
    ended(start(code, path, TRILEMMA_DELIVER="1"), -signal.SIGKILL)
    assert [file.name[0] for file in inbox(path)] == ["."]
    assert RunStore(path).all() == []


# --- folders without locks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_without_locks_records_are_delivered_with_one_warning(path, error):
    code = """
        from utils.run_store import RunStore
        store = RunStore(path)
        print(store.add(record("a")), store.add(record("b")))
        print([(of["run_id"], of["doc_id"]) for of in store.all()])
    """
    out, err = ended(start(code, path, before=WITHOUT_LOCKS.format(error)))
    assert out == "0 0\n[('a', 1), ('b', 2)]\n"
    assert err.count("no file can be locked") == err.count("\n") == 1
    assert inbox(path) == []


def test_without_locks_a_record_can_be_evaluated_and_removed(path):
    RunStore(path).add_many([record("a"), record("b")])
    code = """
        from utils.run_store import RunStore
        RunStore(path).add_result(1, "later", {"accuracy": 1.0})
        RunStore(path).remove([2])
    """
    ended(start(code, path, before=WITHOUT_LOCKS.format("ENOLCK")))
    [found] = RunStore(path).all()
    assert found["evaluations"] == {"later": {"accuracy": 1.0}}


# --- many processes --------------------------------------------------------------------------------------------

DELIVERING = """
    from utils.run_store import RunStore
    store = RunStore(path)
    for i in range(25):
        store.add_many([record(f"{sys.argv[2]}-{i}-{k}") for k in range(1 + i % 3)], replace=bool(i % 2))
        store.add(record("shared", seed=i), replace=True)
"""
FOLDING = """
    from utils.run_store import RunStore
    store = RunStore(path)
    for i in range(40):
        store.fold()
        store.add(record(f"{sys.argv[2]}-{i}"))
"""
READING = """
    from utils.run_store import RunStore
    most = 0
    for _ in range(60):
        found = [of["run_id"] for of in RunStore(path).all()]
        assert len(found) == len(set(found)) >= most, (most, len(found))
        most = len(found)
"""


@pytest.mark.parametrize(
    "locks", [pytest.param(True, marks=pytest.mark.slow), False], ids=["locks of a machine", "no locks"]
)
def test_nothing_is_lost_or_doubled_by_many_that_deliver_fold_and_read(path, locks):
    """The folding processes hold no lock of the kernel's in common, as on two machines whose locks are their own."""
    own = OF_ANOTHER_MACHINE if locks else WITHOUT_LOCKS.format("ENOLCK")
    (path.parent / "loan.json.inbox").mkdir()
    writers = [start(DELIVERING, path, f"w{i}", TRILEMMA_DELIVER="1") for i in range(8)]
    folders = [start(FOLDING, path, f"f{i}", before=own) for i in range(2)]
    reader = start(READING, path, "r", before=own)
    for process in (*writers, *folders, reader):
        ended(process)
    wanted = {f"w{w}-{i}-{k}" for w in range(8) for i in range(25) for k in range(1 + i % 3)}
    wanted |= {f"f{f}-{i}" for f in range(2) for i in range(40)} | {"shared"}
    found = RunStore(path).all()
    assert sorted(of["run_id"] for of in found) == sorted(wanted)
    assert [of["doc_id"] for of in found] == list(range(1, len(wanted) + 1))
    assert list(path.parent.rglob("*.tmp")) == []
    assert not path.with_name("loan.json.folding").exists()


# --- folds that are killed -------------------------------------------------------------------------------------


EVERY = [*((1000, n) for n in range(1, 11)), *((0, n) for n in range(1, 13))]  # without a journal, and with one
KILLS = [pytest.param(*each, marks=[pytest.mark.slow] * (i % 3 > 0)) for i, each in enumerate(EVERY)]


@pytest.mark.parametrize(("journal_after", "calls"), KILLS)
def test_a_fold_that_is_killed_at_any_step_loses_and_doubles_nothing_when_repeated(path, deliver, calls, journal_after):
    """Killed at the n-th call that changes the file system; evaluations that were added before the repeat stay."""
    RunStore(path).add_many([record("x", seed=0), record("y", "failed", reason="it diverged")])
    deliver(record("a", seed=1))
    deliver(record("x", seed=2), record("y", seed=3), replace=True)
    deliver(record("x", seed=4), replace=True)
    code = f"""
        left = [{calls}]
        def last(event, arguments):
            writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            left[0] -= bool(writes) or event in ("os.rename", "os.remove")
            if left[0] == 0:
                left[0] = -1  # a kill is an event too
                os.kill(os.getpid(), signal.SIGKILL)
        from utils.run_store import RunStore
        store = RunStore(path, journal_after={journal_after})
        sys.addaudithook(last)
        store.fold()
    """
    process = start(code, path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    RunStore(path, journal_after=journal_after).fold()
    found = {of["run_id"]: (of["status"], of.get("seed")) for of in RunStore(path).all()}
    assert found == {"x": ("finished", 4), "y": ("finished", 3), "a": ("finished", 1)}
    assert sorted(runs(path).values()) == [1, 2, 3]
    assert inbox(path) == []
    with TinyDB(path) as plain:
        assert len(plain) == 3


def test_an_evaluation_stays_when_deliveries_that_were_filed_are_filed_again(path, deliver):
    """As they are after a crash, or where the folder is another user's and they cannot be removed."""
    deliver(record("a", seed=1), replace=True)
    deliver(record("a", seed=2), replace=True)
    kept = {file: file.read_bytes() for file in inbox(path)}
    store = RunStore(path)
    store.fold()
    store.add_result(1, "later", {"accuracy": 0.25})
    for file, content in kept.items():
        file.write_bytes(content)
    [found] = RunStore(path).all()
    assert found == record("a", seed=2) | {"evaluations": {"later": {"accuracy": 0.25}}, "doc_id": 1}
    assert inbox(path) == []


def test_deliveries_that_cannot_be_removed_are_read_again_with_a_warning(path, deliver, monkeypatch, capsys):
    deliver(record("a"))
    deliver(record("b"))
    unlink = Path.unlink

    def refuse(file, *args, **named):
        if file.parent.name.endswith(".inbox"):
            raise PermissionError(1, "Operation not permitted", str(file))
        unlink(file, *args, **named)

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(2):
        assert RunStore(path).add(record("c")) == 3
        assert runs(path) == {"a": 1, "b": 2, "c": 3}
    assert capsys.readouterr().err.count("cannot be removed") == 1


def test_a_write_that_another_machine_may_not_know_of_is_delivered(path, monkeypatch):
    """A delivery begins the inbox while a writer, which holds the kernel's lock alone, makes the new file."""
    store = RunStore(path)
    lay_out = store._storage._lay_out
    folder = path.with_name("loan.json.inbox")
    monkeypatch.setattr(store._storage, "_lay_out", lambda file: (folder.mkdir(), *lay_out(file)))
    assert store.add(record("a")) == 0
    assert not path.exists()
    assert runs(path) == {"a": 1}
