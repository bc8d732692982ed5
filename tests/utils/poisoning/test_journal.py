import pytest

from utils.poisoning.journal import Journal, of_other_budgets

SEARCH = {"budget": 3, "seed": 0}


@pytest.fixture
def path(tmp_path):
    journal = Journal(tmp_path / "new" / "a.journal", SEARCH)
    journal.add([{"number": 0, "loss": 0.1}, {"number": 1, "loss": None}])
    return journal.path


def test_entries_come_back(path):
    assert Journal(path, SEARCH).entries == [{"number": 0, "loss": 0.1}, {"number": 1, "loss": None}]


def test_numbers_come_back_exactly(path):
    Journal(path, SEARCH).add([{"number": 2, "loss": 0.1 + 0.2}])
    assert Journal(path, SEARCH).entries[2]["loss"] == 0.1 + 0.2


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_last_line_is_dropped_and_written_over(path, cut):
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(path, SEARCH)
    assert [entry["number"] for entry in journal.entries] == [0]
    journal.add([{"number": 1, "loss": 0.5}])
    assert [entry["loss"] for entry in Journal(path, SEARCH).entries] == [0.1, 0.5]


@pytest.mark.parametrize("left", [0, 1, 15, 40])
def test_a_torn_first_line_begins_anew(path, left):
    path.write_bytes(path.read_bytes()[:left])
    assert Journal(path, SEARCH).entries == []
    assert Journal(path, SEARCH).entries == []


def test_another_search_is_refused_by_what_differs(path):
    with pytest.raises(ValueError, match=r"another search: budget=3, now 4\. Move it away"):
        Journal(path, SEARCH | {"budget": 4})


def test_those_of_other_budgets_are_found_and_all_else_is_passed_over(path):
    others = {"torn": SEARCH, "another": SEARCH | {"seed": 1}, "empty": SEARCH}
    for name, search in others.items():
        Journal(path.with_name(name), search).add([{"number": 0}])
    path.with_name("torn").write_bytes(path.read_bytes()[:-3])
    path.with_name("empty").write_bytes(b"")
    path.with_name("foreign").write_bytes(b"hello\n")
    path.with_name("unreadable").write_bytes(path.read_bytes().replace(b"null", b"nil"))
    paths = [path, *(path.with_name(name) for name in (*others, "foreign", "unreadable", "missing"))]
    found = list(of_other_budgets(paths, SEARCH | {"budget": 9}))
    assert [[entry["number"] for entry in entries] for entries in found] == [[0, 1], [0]]
    assert list(of_other_budgets(paths, SEARCH | {"budget": 9, "more": 1})) == []


@pytest.mark.parametrize("content", [b"hello", b"hello\nyou\n", b'{"a": 1}\n', b"[]\n"])
def test_another_file_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="move it away"):
        Journal(path, SEARCH)
    assert path.read_bytes() == content


def test_an_unreadable_line_is_named_and_left_as_it_is(path):
    content = path.read_bytes().replace(b'"number": 0', b'"number: 0')
    path.write_bytes(content)
    with pytest.raises(ValueError, match="line 2 of the journal"):
        Journal(path, SEARCH)
    assert path.read_bytes() == content
