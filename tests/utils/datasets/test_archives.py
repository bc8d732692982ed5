"""Archives come from a real server on this machine; pickles are written as Python 2 and 3 write them."""

import hashlib
import io
import os
import pickle
import tarfile
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.image_files import python2_pickle
from tests.publisher import Publisher, publish
from utils.datasets.archives import entry, integers, texts, unpack, unpickle

FILES = {"set/a": b"A" * 1000, "set/b": bytes(range(256)) * 40}


def packed(files=FILES, **links):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in links.items():
            member = tarfile.TarInfo(f"set/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return stream.getvalue()


ARCHIVE = packed({**FILES, "set/unlabelled": b"0" * 10})
SHA256 = hashlib.sha256(ARCHIVE).hexdigest()


@pytest.fixture
def publisher():
    with publish(ARCHIVE) as address:
        yield f"{address}/set.tar.gz"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def files(folder):
    """What lies in a folder, but for the locks, which some systems keep."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


def local(folder, content=ARCHIVE):
    """Unpack an archive that the user has put into the data folder; nobody is asked."""
    (folder / "set.tar.gz").write_bytes(content)
    return unpack("set", ["a", "b"], url="http://127.0.0.1:9/set.tar.gz", sha256=SHA256)


# Archives


def test_the_folder_holds_what_the_publisher_sent(publisher, folder):
    path = unpack("set", ["a", "b"], url=publisher, sha256=SHA256)
    assert {f"set/{p.name}": p.read_bytes() for p in path.iterdir()} == FILES


def test_of_a_download_only_the_files_asked_for_stay(publisher, folder):
    unpack("set", ["a"], url=publisher, sha256=SHA256)
    assert files(folder) == {"set/a"}


def test_the_folder_can_be_read_by_others(publisher, folder):
    path = unpack("set", ["a"], url=publisher, sha256=SHA256)
    assert (path.stat().st_mode & 0o555, (path / "a").stat().st_mode & 0o444) == (0o555, 0o444)


def test_the_second_look_asks_nobody(publisher, folder):
    for _ in range(2):
        unpack("set", ["a"], url=publisher, sha256=SHA256)
    assert Publisher.asked == 1


def test_two_at_once_download_once(publisher, folder):
    start, found = threading.Barrier(2), []

    def look():
        start.wait()
        found.append(unpack("set", ["a"], url=publisher, sha256=SHA256))

    both = [threading.Thread(target=look) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert (found, Publisher.asked) == ([folder / "set"] * 2, 1)


def test_an_archive_of_the_users_is_unpacked_unchecked_and_kept(folder):
    local(folder, packed())
    assert files(folder) == {"set/a", "set/b", "set.tar.gz"}


def test_what_a_killed_process_left_is_replaced(folder):
    (folder / ".set.unpacking/set").mkdir(parents=True)
    (folder / ".set.unpacking/set/a").write_text("half")
    assert (local(folder) / "a").read_bytes() == FILES["set/a"]
    assert not (folder / ".set.unpacking").exists()


def test_a_wrong_checksum_is_refused_and_leaves_nothing(publisher, folder):
    with pytest.raises(ValueError, match="has not the SHA-256 0000"):
        unpack("set", ["a"], url=publisher, sha256="0" * 64)
    assert files(folder) == set()


@pytest.mark.parametrize("length", [0, 10, len(ARCHIVE) // 2])
def test_an_archive_cut_short_is_named_and_leaves_no_folder(folder, length):
    with pytest.raises(ValueError, match=r"set.tar.gz is no whole .tar.gz"):
        local(folder, ARCHIVE[:length])
    assert files(folder) == {"set.tar.gz"}


def test_an_archive_of_something_else_is_named(folder):
    with pytest.raises(ValueError, match="set.tar.gz holds no set/b; is it the publisher's archive"):
        local(folder, packed({"set/a": b""}))


def test_a_link_in_an_archive_is_not_followed(folder):
    with pytest.raises(ValueError, match="set.tar.gz holds no set/b"):
        local(folder, packed({"set/a": b""}, b="/etc/hostname"))


def test_a_folder_without_a_file_is_told_with_the_variable(folder):
    (folder / "set").mkdir()
    with pytest.raises(ValueError, match=r"data/set has no a, b: .*TRILEMMA_DATA"):
        unpack("set", ["a", "b"], url="http://127.0.0.1:9/set.tar.gz", sha256=SHA256)


def test_without_network_folder_archive_address_and_variable_are_named(folder, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ValueError) as caught:
        unpack("set", ["a"], url="http://127.0.0.1:9/set.tar.gz", sha256=SHA256)
    for part in (f"no folder {folder / 'set'}", str(folder / "set.tar.gz"), "http://127.0.0.1:9/", "TRILEMMA_DATA"):
        assert part in str(caught.value)


def test_a_data_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot write .*TRILEMMA_DATA"):
        unpack("set", ["a"], url="http://127.0.0.1:9/set.tar.gz", sha256=SHA256)


# Pickles

ENTRIES = {"data": np.arange(12, dtype=np.uint8).reshape(3, 4), "labels": [2, 0, 1], "names": ["ox", "cow", "ass"]}


def pickled(protocol=2):
    """As Python 3 writes them, with keys that are bytes."""
    return pickle.dumps({key.encode(): value for key, value in ENTRIES.items()}, protocol)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batch"


@pytest.mark.parametrize("content", [python2_pickle(ENTRIES), pickled(), pickled(4)], ids=["python 2", "2", "4"])
def test_a_pickle_gives_back_arrays_lists_and_texts(path, content):
    path.write_bytes(content)
    found = unpickle(path)
    assert np.array_equal(found["data"], ENTRIES["data"])
    assert found["data"].dtype == np.uint8
    assert integers(path, found, "labels").tolist() == ENTRIES["labels"]
    assert texts(path, found, "names") == ENTRIES["names"]


class Intruder:
    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("call", [os.mkdir, eval, exec])
def test_a_pickle_that_calls_a_function_is_refused_and_calls_nothing(path, tmp_path, call):
    target = str(tmp_path / "mark") if call is os.mkdir else f"__import__('os').mkdir({str(tmp_path / 'mark')!r})"
    path.write_bytes(pickle.dumps({"data": Intruder(call, target)}))
    with pytest.raises(ValueError, match=rf"batch is no whole pickle of images \(it asks for \w+.{call.__name__}\)"):
        unpickle(path)
    assert not (tmp_path / "mark").exists()


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_pickle_cut_short_is_named(tmp_path_factory, data):
    content = data.draw(st.sampled_from([python2_pickle(ENTRIES), pickled(), pickled(4)]))
    path = tmp_path_factory.getbasetemp() / "cut"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(ValueError, match="cut is no whole pickle"):
        unpickle(path)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_pickle_is_read_or_named(tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from([python2_pickle(ENTRIES), pickled(), pickled(4)])))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        found = unpickle(path)
    except ValueError as error:
        assert "damaged is no whole pickle" in str(error)  # noqa: PT017  it may also be read
    else:
        assert isinstance(found, dict)


def test_an_array_stored_column_by_column_keeps_its_places(path):
    path.write_bytes(pickle.dumps({"data": np.asfortranarray(ENTRIES["data"])}, 2))
    assert np.array_equal(unpickle(path)["data"], ENTRIES["data"])


@pytest.mark.parametrize("values", [np.zeros((2, 2), np.int64), np.zeros(2, np.int8), np.array([object()])])
def test_an_array_of_another_kind_is_named(path, values):
    path.write_bytes(pickle.dumps({"data": values}, 2))
    with pytest.raises(ValueError, match=r"batch is no whole pickle of images \((an array in it|it asks for)"):
        unpickle(path)


def test_a_pickle_of_another_kind_is_named(path):
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="batch is no whole pickle"):
        unpickle(path)


def test_a_missing_entry_is_told_with_those_there_are(path):
    path.write_bytes(pickled())
    with pytest.raises(ValueError, match="batch has no entry 'fine_labels'; it has data, labels, names"):
        entry(path, unpickle(path), "fine_labels")


@pytest.mark.parametrize(("read", "key"), [(integers, "names"), (integers, "data"), (texts, "labels")])
def test_an_entry_of_another_kind_is_named(path, read, key):
    path.write_bytes(pickled())
    with pytest.raises(ValueError, match=f"batch: the entry '{key}' is no list"):
        read(path, unpickle(path), key)
