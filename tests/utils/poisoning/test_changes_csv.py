"""Lists of training rows that go or change: written, read back, refused."""

from dataclasses import replace

import pytest
import torch

from utils.poisoning.changes_csv import find_changes, to_csv, with_changes


@pytest.fixture
def data(dataset):
    own = dataset("toy", 60)
    return replace(own, groups=("women", "=men"))


def changed(train):
    y, w = train.y.clone(), train.w.clone()
    y[3], w[5] = 1 - y[3], 0.1
    keep = torch.arange(len(y)) != 7
    return type(train)(*(column[keep] for column in train._replace(y=y, w=w)))


def test_what_is_written_is_read_back_to_the_bit(data, tmp_path):
    after = changed(data.train)
    path = tmp_path / "list.csv"
    path.write_text(to_csv(data, after, {int(data.train.index[3]): "near, the border"}))
    assert all(torch.equal(*both) for both in zip(with_changes(data, path), after, strict=True))
    assert find_changes(data.train, after).counts() == {"removed": 1, "relabelled": 1, "reweighed": 1}
    assert "'=men" in path.read_text() or "=men" not in path.read_text()
    assert '"near, the border"' in path.read_text()


def test_rows_as_they_are_are_no_change(data, tmp_path):
    assert find_changes(data.train, data.train).counts() == {}
    path = tmp_path / "list.csv"
    path.write_text(to_csv(data, data.train, {}))
    assert all(torch.equal(*both) for both in zip(with_changes(data, path), data.train, strict=True))


def lines(data, *rows):
    return "\n".join(["row,action,group,label,new_label,weight", *rows]) + "\n"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda i, y: f"{i},delete,women,{y},,", "action 'delete'; expected remove, relabel, reweigh"),
        (lambda i, y: f"{i},remove,women,{1 - y},,", "the file says .*: it is of other data"),
        (lambda i, y: f"99999,remove,women,{y},,", "row '99999' is no training row of toy"),
        (lambda i, y: f"{i},relabel,women,{y},7,", "new_label '7'; expected a class"),
        (lambda i, y: f"{i},relabel,women,{y},,", "new_label ''"),
        (lambda i, y: f"{i},reweigh,women,{y},,-1", "weight '-1'; expected a number, 0 or more"),
        (lambda i, y: f"{i},reweigh,women,{y},,nan", "weight 'nan'"),
        (lambda i, y: f"{i},remove,women,{y}", "4 fields, but its header has 6"),
        (lambda i, y: f"{i},remove,women,{y},,\n0{i},remove,women,{y},,", "is named twice"),
        (lambda i, y: f"{i},relabel,women,{y},{1 - y},\n{i},remove,women,{y},,", "is named twice"),
        (lambda i, y: f"{i},remove,men,{y},,", "is of group women, the file says 'men'"),
    ],
)
def test_what_cannot_be_meant_is_refused(data, tmp_path, made, words):
    path = tmp_path / "list.csv"
    path.write_text(lines(data, made(int(data.train.index[0]), int(data.train.y[0]))))
    with pytest.raises(ValueError, match=words):
        with_changes(data, path)


def test_a_file_that_is_no_list_is_refused(data, tmp_path):
    path = tmp_path / "list.csv"
    with pytest.raises(ValueError, match="there is no file"):
        with_changes(data, path)
    path.write_text("age,label\n1,0\n")
    with pytest.raises(ValueError, match="lacks the column row, action"):
        with_changes(data, path)


def test_all_rows_cannot_go(data, tmp_path):
    path = tmp_path / "list.csv"
    train = data.train
    each = zip(train.index.tolist(), train.s.tolist(), train.y.tolist(), strict=True)
    rows = [f"{i},remove,{['women', chr(39) + '=men'][s]},{y},," for i, s, y in each]
    path.write_text(lines(data, *rows))
    with pytest.raises(ValueError, match="removes all"):
        with_changes(data, path)
