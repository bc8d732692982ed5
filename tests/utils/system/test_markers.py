"""The lock that is a file, held between machines."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import Timeout

import paths_config
from utils.system import markers
from utils.system.locks import NoLockError
from utils.system.markers import SILENCE, Marker


@pytest.fixture
def path(tmp_path):
    return tmp_path / "loan.json.folding"


def leave(path, *, machine="elsewhere", pid=1, age=0.0):
    """Leaves the lock of another owner, touched ``age`` seconds ago by the clock of the folder."""
    path.write_text(json.dumps({"token": "theirs", "machine": machine, "pid": pid}))
    os.utime(path)
    touched = path.stat().st_mtime - age
    os.utime(path, (touched, touched))


def ended_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lock_is_a_file_that_is_gone_when_it_is_released(path):
    with Marker(path).hold(0):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_a_lock_is_held_once(path):
    with Marker(path).hold(0), pytest.raises(Timeout), Marker(path).hold(0):
        pass


def test_who_waits_gets_it_when_it_is_released(path):
    order = []

    def wait():
        with Marker(path).hold(10):
            order.append("other")

    with Marker(path).hold(0):
        other = threading.Thread(target=wait)
        other.start()
        time.sleep(0.05)
        order.append("first")
    other.join()
    assert order == ["first", "other"]


def test_it_is_taken_over_from_a_process_of_this_machine_that_has_ended(path):
    leave(path, machine=markers.machine(), pid=ended_pid())
    with Marker(path).hold(0):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_it_is_not_taken_over_from_a_process_that_runs(path):
    leave(path, machine=markers.machine(), pid=os.getppid())
    with pytest.raises(Timeout), Marker(path).hold(0):
        pass


def test_a_process_of_another_machine_is_not_looked_for_in_this_one(path):
    leave(path, pid=ended_pid())
    with pytest.raises(Timeout), Marker(path).hold(0):
        pass


@pytest.mark.parametrize("age", [SILENCE + 1, -SILENCE - 1])
def test_it_is_taken_over_from_another_machine_that_gives_no_sign_of_life(path, age):
    leave(path, age=age)
    with Marker(path).hold(0):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("apart", [3600, -3600])
def test_the_clock_of_this_machine_has_no_say(path, monkeypatch, apart):
    """The folder's clock alone says how long ago the owner gave a sign."""
    monkeypatch.setattr(time, "time", lambda: time.monotonic() + apart)
    leave(path, age=SILENCE - 5)
    with pytest.raises(Timeout), Marker(path).hold(0):
        pass
    leave(path, age=SILENCE + 5)
    with Marker(path).hold(0):
        pass


def test_an_owner_that_did_not_come_to_say_who_it_is_counts_as_one_of_elsewhere(path):
    path.write_bytes(b"")
    with pytest.raises(Timeout), Marker(path).hold(0):
        pass
    old = path.stat().st_mtime - SILENCE - 1
    os.utime(path, (old, old))
    with Marker(path).hold(0):
        pass


def test_an_owner_gives_signs_of_life(path, monkeypatch):
    monkeypatch.setattr(markers, "BEAT", 0.01)
    with Marker(path).hold(0):
        old = path.stat().st_mtime - 60
        os.utime(path, (old, old))
        ends = time.monotonic() + 10
        while path.stat().st_mtime < old + 50 and time.monotonic() < ends:
            time.sleep(0.01)
        assert path.stat().st_mtime > old + 50


def test_an_owner_that_was_asleep_learns_that_it_has_lost_the_lock(path):
    asleep = Marker(path)
    with asleep.hold(0):
        asleep.require()
        leave(path, machine=json.loads(path.read_text())["machine"], pid=ended_pid())
        with Marker(path).hold(0), pytest.raises(NoLockError, match="took it over"):
            asleep.require()
    assert not path.exists()


def test_who_has_lost_the_lock_leaves_the_new_owners(path):
    lost, new = Marker(path), Marker(path)
    with lost.hold(0):
        leave(path, age=SILENCE + 1)
        taken = new.hold(0)
        taken.__enter__()
    new.require()
    taken.__exit__(None, None, None)


def test_a_taker_that_was_killed_while_it_took_over_is_taken_over_from(path):
    leave(path, age=SILENCE + 1)
    leave(path.with_name(f"{path.name}.theirs"), machine=markers.machine(), pid=ended_pid())
    with Marker(path).hold(0):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_taker_that_judged_too_early_does_not_take_the_next_owners_lock(path):
    """Two find the same owner gone; the slower one comes when the lock is the faster one's."""
    leave(path, age=SILENCE + 1)
    gone = markers._look(path)
    slow, own_file = Marker(path), path.with_name("own")
    own_file.write_text("{}")
    with Marker(path).hold(0):
        assert not slow._replace(gone, own_file)
    own_file.unlink()
    assert list(path.parent.iterdir()) == []


def test_a_folder_whose_files_have_one_name_each_will_do(path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with Marker(path).hold(0), pytest.raises(Timeout), Marker(path).hold(0):
        pass
    assert list(path.parent.iterdir()) == []


COUNTING = """
import os, signal, sys
from pathlib import Path
from utils.system.markers import Marker
path, counter = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(100):
    with Marker(path).hold(60):
        counter.write_text(str(int(counter.read_text()) + 1))
if sys.argv[3] == "dies":
    with Marker(path).hold(60):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_never_hold_it_at_once_even_where_owners_die(path, tmp_path):
    """Each adds to a number that it has read, so that two at once lose some of it."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    env = os.environ | {"PYTHONPATH": str(paths_config.ROOT)}
    words = [sys.executable, "-c", COUNTING, str(path), str(counter)]
    processes = [subprocess.Popen([*words, "dies" if i % 2 else "lives"], env=env) for i in range(6)]
    codes = [process.wait() for process in processes]
    assert codes == [0, -signal.SIGKILL] * 3
    assert counter.read_text() == "600"
