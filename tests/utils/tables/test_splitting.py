"""Ways to split the rows of a table: every row in one part, shares as asked for, nothing across clusters or time."""

import numpy as np
import pytest

from utils.tables.splitting import by_names, clustered, in_time, stratified

SHARES = (0.6, 0.2, 0.2)


def rng():
    return np.random.default_rng(0)


def disjoint_and_all(parts, n):
    return sorted(np.concatenate(parts).tolist()) == list(range(n))


def test_every_stratum_has_its_shares_up_to_one_row():
    strata = np.repeat([0, 1, 2], [1000, 50, 10])
    parts = stratified(strata, SHARES, rng())
    assert disjoint_and_all(parts, len(strata))
    for level, rows in ((0, 1000), (1, 50), (2, 10)):
        found = [int((strata[part] == level).sum()) for part in parts]
        assert np.abs(np.array(found) - rows * np.array(SHARES)).max() <= 1


def test_a_row_alone_in_its_stratum_trains():
    parts = stratified(np.array([0] * 20 + [1]), SHARES, rng())
    assert 20 in parts[0]


def test_which_rows_of_a_stratum_train_is_chance():
    strata = np.zeros(100, dtype=np.int64)
    first, second = (stratified(strata, SHARES, np.random.default_rng(seed))[0] for seed in (0, 1))
    assert set(first.tolist()) != set(second.tolist())
    assert abs(float(np.mean(first)) - 49.5) < 10


def test_clusters_stay_whole():
    cluster = np.random.default_rng(1).integers(0, 40, 1000)
    parts = clustered(cluster, SHARES, rng())
    assert disjoint_and_all(parts, 1000)
    held = [set(cluster[part].tolist()) for part in parts]
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]
    assert np.abs(np.array([len(part) for part in parts]) / 1000 - SHARES).max() < 0.06


def test_the_latest_rows_test():
    time = np.random.default_rng(2).permutation(100).astype(float)
    train, valid, test = in_time(time, SHARES)
    assert time[train].max() < time[valid].min()
    assert time[valid].max() < time[test].min()
    assert [len(train), len(valid), len(test)] == [60, 20, 20]


def test_rows_of_one_time_are_in_one_part():
    time = np.repeat([1.0, 2.0, 3.0, 4.0], 25)[np.random.default_rng(3).permutation(100)]
    parts = in_time(time, SHARES)
    assert disjoint_and_all(parts, 100)
    assert [sorted(set(time[part].tolist())) for part in parts] == [[1, 2, 3], [4], []]


def test_a_column_names_the_parts():
    train, valid, test = by_names(["Train", "test", "valid", "training"], "part", range(4))
    assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 3], [2], [1])


def test_another_name_is_refused_with_its_row():
    with pytest.raises(ValueError, match=r"row 8: column 'part'.*'tset'.*train, valid or test"):
        by_names(["train", "tset"], "part", [3, 8])
