"""Locks of the kernel, and folders that have none."""

import errno
import fcntl

import pytest
from filelock import Timeout

from utils.system import console
from utils.system.locks import hold, holding, make_lock


@pytest.fixture(autouse=True)
def begin():
    console.begin()


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def lockless(request, monkeypatch):
    def refuse(*_):
        raise OSError(getattr(errno, request.param), "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_lock_is_held_once(tmp_path):
    path = tmp_path / "run.lock"
    with holding(make_lock(path)) as sure, pytest.raises(Timeout), holding(make_lock(path), 0):
        pass
    assert sure
    with holding(make_lock(path), 0):
        pass


def test_a_folder_without_locks_is_told_of_once_and_stops_nothing(tmp_path, lockless, capsys):
    path = tmp_path / "run.lock"
    for _ in range(2):
        with holding(make_lock(path), 0) as sure, holding(make_lock(path), 0):
            assert not sure
    assert capsys.readouterr().err.count(f"no file can be locked in {tmp_path}") == 1


def test_work_goes_on_where_nothing_can_be_locked(tmp_path, lockless):
    done = []
    with hold(tmp_path / "run.lock", "busy"):
        done.append(1)
    assert done == [1]


def test_another_error_is_not_taken_for_a_want_of_locks(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="Input/output error"), holding(make_lock(tmp_path / "run.lock"), 0):
        pass


def test_who_has_to_wait_says_so_and_holds_the_lock_once(tmp_path, capsys, monkeypatch):
    """It can be taken by another as soon as the block ends."""
    path = tmp_path / "run.lock"
    other = make_lock(path)
    other.acquire()
    monkeypatch.setattr("utils.system.locks.say", lambda text: (console.say(text), other.release()))
    with hold(path, "busy"), pytest.raises(Timeout):
        make_lock(path).acquire(timeout=0)
    assert capsys.readouterr().out == "busy; waiting for it\n"
    make_lock(path).acquire(timeout=0)
