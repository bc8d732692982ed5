"""Finding, downloading and reading raw files; downloads come from a real server on this machine."""

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.publisher import Publisher, publish
from utils.datasets.fetch import indicator, locate, parse_numbers, read_fields, read_lines

CONTENT = b"1,2\n3,4\n" * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def publisher():
    with publish(CONTENT) as address:
        yield address


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def files(folder):
    return [p for p in folder.rglob("*") if p.is_file()]


def test_a_download_holds_what_the_publisher_sent(publisher, folder):
    path = locate("set/table.csv", url=f"{publisher}/table.csv", sha256=SHA256)
    assert path == folder / "set/table.csv"
    assert path.read_bytes() == CONTENT


def test_a_download_leaves_nothing_but_the_file(publisher, folder):
    path = locate("set/table.csv", url=f"{publisher}/table.csv", sha256=SHA256)
    assert files(folder) == [path]


def test_a_download_can_be_read_by_others(publisher, folder):
    path = locate("set/table.csv", url=f"{publisher}/table.csv", sha256=SHA256)
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_second_look_asks_nobody(publisher, folder):
    for _ in range(2):
        locate("table.csv", url=f"{publisher}/table.csv", sha256=SHA256)
    assert Publisher.asked == 1


def test_a_file_found_is_taken_whatever_its_checksum(folder):
    folder.mkdir()
    (folder / "table.csv").write_text("mine")
    assert locate("table.csv", url="http://127.0.0.1:9/", sha256=SHA256).read_text() == "mine"


def test_a_wrong_checksum_is_refused_and_leaves_no_file(publisher, folder):
    with pytest.raises(ValueError, match=r"/table.csv has not the SHA-256 0000.*Nothing was kept"):
        locate("set/table.csv", url=f"{publisher}/table.csv", sha256="0" * 64)
    assert files(folder) == []


def test_a_transfer_cut_short_leaves_no_file(publisher, folder):
    with pytest.raises(ValueError, match="cannot download"):
        locate("set/table.csv", url=f"{publisher}/cut", sha256=SHA256)
    assert files(folder) == []


def test_an_address_without_file_is_told_with_its_status(publisher, folder):
    with pytest.raises(ValueError, match=r"/missing \(HTTP 404 "):
        locate("table.csv", url=f"{publisher}/missing", sha256=SHA256)


def test_without_network_the_address_the_path_and_the_remedy_are_named(folder, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as free:  # bound, not listening: refuses connections
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/table.csv"
        with pytest.raises(ValueError) as caught:
            locate("set/table.csv", url=url, sha256=SHA256)
    for part in (url, str(folder / "set/table.csv"), "TRILEMMA_DATA"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_data_folder_that_cannot_be_written_is_told(publisher, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot write .*TRILEMMA_DATA"):
        locate("set/table.csv", url=f"{publisher}/table.csv", sha256=SHA256)


def test_off_a_terminal_a_download_says_one_plain_line(publisher, folder, capsys):
    path = locate("table.csv", url=f"{publisher}/table.csv", sha256=SHA256)
    assert capsys.readouterr().err == f"Downloading {publisher}/table.csv to {path}\n"


def shown(terminal):
    """What a process writes to its terminal, until it ends."""
    with contextlib.suppress(OSError):  # how Linux tells that the other end is closed
        while chunk := os.read(terminal, 4096):
            yield chunk.decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="this system has no pseudo-terminals")
def test_on_a_terminal_a_download_draws_a_bar_to_the_end(publisher, folder):
    order = f"from utils.datasets.fetch import locate; locate('t.csv', url='{publisher}/t.csv', sha256='{SHA256}')"
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", order], cwd=ROOT, env=environment, stderr=theirs) as process:
        os.close(theirs)
        seen = "".join(shown(ours))
        assert process.wait(60) == 0
    os.close(ours)
    assert "40.0/40.0 kB" in seen


# Reading


def test_fields_are_split_stripped_and_named(tmp_path):
    path = tmp_path / "raw"
    path.write_text("|comment\n1, a\n\n2, b\n")
    assert read_fields(path, ["n", "t"], separator=",", comment="|") == {"n": ["1", "2"], "t": ["a", "b"]}


def test_a_line_of_another_length_is_named(tmp_path):
    path = tmp_path / "raw"
    path.write_text("1 a\n2 b c\n")
    with pytest.raises(ValueError, match=r"raw, line 2: 3 fields, but 2 are expected"):
        read_fields(path, ["n", "t"], separator=None, comment="#")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_named(tmp_path, content):
    (tmp_path / "raw").write_text(content)
    with pytest.raises(ValueError, match="raw is empty"):
        read_lines(tmp_path / "raw")


def test_a_file_of_comments_alone_holds_no_rows(tmp_path):
    (tmp_path / "raw").write_text("|comment\n")
    with pytest.raises(ValueError, match="raw holds no rows"):
        read_fields(tmp_path / "raw", ["n"], separator=",", comment="|")


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "raw").write_bytes(b"ab\xff\xfe")
    with pytest.raises(ValueError, match=r"raw is not text in UTF-8 \(byte 2\)"):
        read_lines(tmp_path / "raw")


def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path):
    (tmp_path / "raw").write_bytes(b"\xef\xbb\xbfsex,age\n")
    assert read_lines(tmp_path / "raw")[0] == "sex,age"


def test_an_unknown_value_is_named_with_those_known():
    with pytest.raises(ValueError, match=r"raw.csv: column 'sex' holds 'm' in row 1; known are 'Male', 'Female'"):
        indicator(pd.DataFrame({"sex": ["Male", "m"]}), "sex", "raw.csv", ones=["Male"], zeros=["Female"])


def test_a_word_among_numbers_is_named():
    with pytest.raises(ValueError, match=r"raw.csv: column 'age' holds 'old' in row 1, not a number"):
        parse_numbers(pd.DataFrame({"age": ["3", "old"]}), "age", "raw.csv")
