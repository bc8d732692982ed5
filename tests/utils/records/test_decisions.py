"""Decisions packed beside the weights: what is written is read, in about a bit a row, and damage is told."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import paths_config
from utils.records import decisions


@given(levels=st.integers(1, 200), n=st.integers(0, 100), seed=st.integers(0, 99))
def test_packed_numbers_are_read_back_and_take_as_few_bits_as_tell_them_apart(levels, n, seed):
    values = np.random.default_rng(seed).integers(0, levels, n)
    packed = decisions.pack(values, levels)
    assert len(packed) == math.ceil(n * math.ceil(math.log2(levels)) / 8)
    assert decisions.unpack(packed, n, levels).tolist() == values.tolist()


def test_bytes_of_other_rows_or_levels_are_refused():
    packed = decisions.pack(np.array([0, 1, 2, 3]), 4)
    with pytest.raises(ValueError, match="are not 5 numbers of 2 bits"):
        decisions.unpack(packed, 5, 4)
    with pytest.raises(ValueError, match="3 is not below 3"):
        decisions.unpack(packed, 4, 3)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The rows of a data set, and a function that files labels of a run on them."""
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    rng = np.random.default_rng(0)
    rows = {"y": rng.integers(0, 2, 1000), "s": rng.integers(0, 3, 1000), "index": rng.permutation(5000)[:1000]}

    def write(run, labels, **changed):
        return decisions.write("loan", run, labels, rows | changed, (2, 3), "fingerprint")

    return rows, write


def test_two_runs_share_their_rows_and_take_a_bit_a_row(written):
    rows, write = written
    labels = [np.random.default_rng(seed).integers(0, 2, 1000) for seed in (1, 2)]
    records = [write(run, of) for run, of in zip("ab", labels, strict=True)]
    assert records[0]["test_rows"] == records[1]["test_rows"]
    assert paths_config.weights_file(records[0]["decisions"]["path"]).stat().st_size < 1000 / 8 + 256
    for record, of in zip(records, labels, strict=True):
        read = decisions.read(record)
        assert (read.labels.tolist(), read.y.tolist(), read.s.tolist()) == (
            of.tolist(),
            rows["y"].tolist(),
            rows["s"].tolist(),
        )
        assert (read.classes, read.groups) == (2, 3)
        assert not list(decisions.wrong(record))


def test_other_rows_of_the_data_are_other_rows(written):
    rows, write = written
    one, other = write("a", rows["y"]), write("b", rows["y"], index=rows["index"][::-1])
    assert decisions.read(one).rows != decisions.read(other).rows


def test_damage_is_told(written):
    rows, write = written
    record = write("a", rows["y"])
    mixed = {**record, "test_rows": write("b", rows["y"], s=rows["s"][::-1])["test_rows"]}
    with pytest.raises(ValueError, match="of other rows than its record says"):
        decisions.read(mixed)
    file = paths_config.weights_file(record["decisions"]["path"])
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"a\.decisions have another checksum than when stored"):
        decisions.read(record)
    file.unlink()
    assert list(decisions.wrong(record)) == [f"its decisions {file} are missing"]
    with pytest.raises(ValueError, match="its record keeps no decisions"):
        decisions.read({"name": "of an older version"})
