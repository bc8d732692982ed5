import errno
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from utils.system import atomic

ATOMIC = "from utils.system import atomic"


def test_the_file_holds_the_bytes_written(tmp_path):
    atomic.write_bytes(tmp_path / "a", b"\x00new")
    assert (tmp_path / "a").read_bytes() == b"\x00new"


def test_text_is_written_in_utf8(tmp_path):
    atomic.write_text(tmp_path / "a", "ε")
    assert (tmp_path / "a").read_bytes() == b"\xce\xb5"


def test_chunks_are_written_one_after_the_other(tmp_path):
    atomic.write_chunks(tmp_path / "a", (bytes([i]) * 3 for i in (65, 66)))
    assert (tmp_path / "a").read_bytes() == b"AAABBB"


def test_chunks_that_fail_leave_the_old_file_and_no_other(tmp_path):
    def chunks():
        yield b"new"
        raise KeyboardInterrupt

    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        atomic.write_chunks(path, chunks())
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_missing_folders_are_created(tmp_path):
    atomic.write_bytes(tmp_path / "weights" / "loan" / "a", b"1")
    assert (tmp_path / "weights" / "loan" / "a").read_bytes() == b"1"


def test_a_reader_of_the_old_file_keeps_it(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        atomic.write_bytes(path, b"new")
        assert reader.read() == b"old"


def test_nothing_but_the_file_is_left(tmp_path):
    atomic.write_bytes(tmp_path / "a", b"1")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    atomic.write_bytes(tmp_path / "a", b"1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"")
    path.chmod(0o664)
    atomic.write_bytes(path, b"1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    atomic.write_bytes(tmp_path / "link", b"1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"1"


def test_a_folder_in_the_place_of_the_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match=str(tmp_path / "a") + "'"):
        atomic.write_bytes(tmp_path / "a", b"1")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_an_interrupt_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    """Ctrl-C while the disk is busy: the one moment that cannot be met without standing in for fsync."""
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def interrupted(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def limited(code: str, size: int, path: Path) -> str:
    """Standard output of ``code`` in a process that may write files of at most ``size`` bytes."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; from pathlib import Path; from utils.system import atomic\n{code}",
            str(path),
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


REPORT = """
try:
    {call}
except OSError as error:
    print(error.errno, error.filename)
"""


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    out = limited(REPORT.format(call="atomic.write_bytes(sys.argv[1], bytes(5000))"), 1000, path)
    assert out.split() == ["27", str(path)]  # EFBIG
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_an_append_on_a_full_disk_leaves_what_was_kept(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old\ntorn")
    out = limited(REPORT.format(call="atomic.append(sys.argv[1], bytes(5000), keep=4)"), 1000, path)
    assert out.split() == ["27", str(path)]
    assert path.read_bytes() == b"old\n"


def test_an_append_replaces_what_follows_the_bytes_to_keep(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old\ntorn")
    atomic.append(path, b"new\n", keep=4)
    assert path.read_bytes() == b"old\nnew\n"


def test_leftovers_are_the_temporary_files_of_that_file(tmp_path):
    names = [".a.json.0123.tmp", ".b.json.0123.tmp", "a.json", ".a.json"]
    for name in names:
        (tmp_path / name).touch()
    assert atomic.leftovers(tmp_path / "a.json") == [tmp_path / names[0]]


# --- what is no file -------------------------------------------------------------------------------------------


def read_by_another(path: Path) -> tuple[threading.Thread, list[bytes]]:
    """A reader of a pipe in a thread of its own, and what it reads."""
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    reader.start()
    return reader, read


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_gets_the_bytes_and_stays_a_pipe(tmp_path, linked):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    reader, read = read_by_another(pipe)
    atomic.write_chunks(tmp_path / "link" if linked else pipe, [b"a" * 100_000, b"b"])
    reader.join(10)
    assert read == [b"a" * 100_000 + b"b"]
    assert pipe.is_fifo()
    assert {file.name for file in tmp_path.iterdir()} == {"pipe", "link"}


def test_a_device_gets_the_bytes_and_stays_a_device(tmp_path):
    """A terminal of our own, behind a link, so that only the link is lost where this fails."""
    ours, theirs = os.openpty()
    link = tmp_path / "terminal"
    link.symlink_to(os.ttyname(theirs))
    try:
        atomic.write_text(link, "a line\n")
        assert os.read(ours, 100) == b"a line\r\n"
        assert link.is_symlink()
        assert link.is_char_device()
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_pipe_that_nobody_reads_to_its_end_is_an_error_that_names_it(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    def chunks():
        yield b"first"
        os.close(reader)
        yield b"second"

    with pytest.raises(BrokenPipeError) as raised:
        atomic.write_chunks(pipe, chunks())
    assert raised.value.filename == str(pipe)


SPEAKS = """
import sys
from utils.system import atomic
print("before")
atomic.write_text(sys.argv[1], "written\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
@pytest.mark.parametrize("into", ["a file", "a pipe"])
def test_our_own_output_goes_on_where_it_is(tmp_path, name, into):
    """Behind what was there before: a file that the shell appends to loses nothing."""
    program = [sys.executable, "-c", SPEAKS, name]
    if into == "a pipe":
        out = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    else:
        (tmp_path / "out").write_text("earlier\n")
        with (tmp_path / "out").open("a") as file:
            subprocess.run(program, stdout=file, check=True)
        out = (tmp_path / "out").read_text().removeprefix("earlier\n")
    assert out == "before\nwritten\nafter\n"


@pytest.mark.parametrize(("make", "stream"), [("touch", False), ("mkdir", False), ("", False), ("mkfifo", True)])
def test_only_what_is_there_and_no_file_is_a_stream(tmp_path, make, stream):
    path = tmp_path / "a"
    if make == "mkfifo":
        os.mkfifo(path)
    elif make:
        getattr(path, make)()
    assert atomic.is_stream(path) is stream


def test_a_temporary_file_that_a_full_disk_keeps_is_emptied_and_removed(tmp_path, monkeypatch):
    """Under copy-on-write a removal takes room itself."""
    real, tried = Path.unlink, []

    def unlink(self, missing_ok=False):
        tried.append(self.stat().st_size)
        if tried[-1]:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(atomic.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        atomic.write_text(tmp_path / "a.json", "text")
    assert tried == [4, 0]
    assert list(tmp_path.iterdir()) == []
