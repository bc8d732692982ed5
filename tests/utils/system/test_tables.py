"""Tables fit the terminal: whole words and numbers, and every column shown or named."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from utils.system.tables import MARKDOWN, PLAIN, align, draw, stack, table_in_parts

HEADER = ["doc_id", "name", "seed", "accuracy", "robust_accuracy_worst_class_0.05", "uai_0.05", "setting"]
ROWS = [
    ["1", "loan_mlp_causal_adv+group_gap", "0", "0.7550", "0.6414", "0.2000", "weight 3, radius 0.1"],
    ["12", "loan_mlp_erm", "0", "0.7375", "0.5595", "0.1550", "weight 3, twins 2"],
]
WORDS = st.text("abc\u65e5\u00e9-_.1", min_size=1, max_size=12)
CELLS = st.lists(WORDS, max_size=4).map(" ".join)


def test_without_a_terminal_nothing_is_cut_or_left_out():
    lines = align(HEADER, ROWS).splitlines()
    assert [re.split("  +", line.strip()) for line in lines] == [HEADER, *ROWS]


def test_numbers_stand_at_the_right_but_those_that_name_the_rows():
    lines = align(["id", "n", "x"], [["1", "1", "a"], ["2", "1,000", "b"]]).splitlines()
    assert lines == ["id      n  x", "1       1  a", "2   1,000  b"]


def test_a_narrow_one_names_what_it_leaves_out_and_says_once_what_is_common():
    text = draw(HEADER, ROWS, 80, PLAIN, first=["uai_0.05"], how="columns=...")
    shown = text.splitlines()[0].split()
    assert shown == ["doc_id", "name", "accuracy", "uai_0.05", "setting"]
    assert "In every row: seed 0." in text
    assert "No room for robust_accuracy_worst_class_0.05: columns=...." in text
    assert max(map(len, text.splitlines())) <= 80


def test_first_columns_go_before_others():
    first = "robust_accuracy_worst_class_0.05"
    assert first in draw(HEADER, ROWS, 80, PLAIN, first=[first]).splitlines()[0]


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(40, 100), st.sampled_from([PLAIN, MARKDOWN]))
def test_no_word_is_broken_and_no_column_is_lost(data, wide, rule):
    """Unless a word alone takes more than half of the terminal, which none does here."""
    columns = data.draw(st.integers(1, 6))
    header = [f"key_{i}" for i in range(columns)]
    rows = data.draw(st.lists(st.lists(CELLS, min_size=columns, max_size=columns), min_size=1, max_size=4))
    text = draw(header, rows, wide, rule)
    assert max(map(cell_len, text.splitlines())) <= wide
    head = text.splitlines()[0]
    for i, key in enumerate(header):
        assert key in text
        shown = key in head.split()
        words = {word for row in rows for word in row[i].split()} if shown else set()
        assert words <= set(text.split())


def test_a_word_longer_than_half_of_the_terminal_is_cut_behind_its_signs():
    name = "celeba_jobs_preact_resnet18_half_adversarial+trades+dafa+group_gap"
    lines = draw(["name", "accuracy"], [[name, "0.7550"]], 60, PLAIN).splitlines()
    assert max(map(len, lines)) <= 60
    assert "".join(line[:48].strip() for line in lines[1:]) == name
    assert "0.7550" in lines[1]


@pytest.mark.parametrize("hostile", ["a\x1b[31mb", "a\nb", "a\tb", "a\r\u202eb", "\u65e5\u672c\u8a9e\x07"])
def test_hostile_cells_move_nothing(hostile):
    """No escape sequence, no end of a line, and what follows is where it would be behind a plain text."""
    lines = align(["name", "x"], [[hostile, "y"], ["plain", "y"]]).splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)
    assert len({cell_len(line) for line in lines}) == 1


def test_few_wide_rows_stand_below_each_other():
    assert stack(["setting", "change"], [["a", "-0.030 [-0.039, -0.021]"], ["b", "0"]], 80).splitlines() == [
        *("setting  a", "change   -0.030 [-0.039, -0.021]", "", "setting  b", "change   0")
    ]


def test_many_columns_stand_in_several_tables_that_begin_with_the_first():
    header = ["name", *(f"figure {i}" for i in range(12))]
    lines = [header, *([f"row {j}", *(f"{i}.{j:03}" for i in range(12))] for j in (1, 2))]
    assert table_in_parts(lines, None).count("| name |") == table_in_parts(lines, 300).count("| name |") == 1
    parts = table_in_parts(lines, 60).split("\n\n")
    assert len(parts) > 1
    assert all(part.startswith("| name ") and "| row 2 " in part for part in parts)
    assert max(map(cell_len, "\n".join(parts).splitlines())) <= 60
    assert [f"{i}.002" for i in range(12) if f"{i}.002" not in "".join(parts)] == []
