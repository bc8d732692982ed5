"""The card of a user's table: its columns as they were read, in the words of the schema."""

from evals.cards.document import Heading, Table
from evals.cards.schema_facts import schema_section

SCHEMA = {
    "columns": {
        "sex": {"type": "binary", "levels": ["f", "m"]},
        "age": {"type": "continuous", "bins": [30.0, 50.0], "missing": "level"},
        "pay": {"type": "continuous", "unit": "$", "missing": "median+flag", "median": 31.25},
        "id": {"type": "ignore"},
        "hired on": {"type": "date"},
        "born": {"type": "date", "as_number": "year"},
    },
    "rows": ["age >= 18"],
    "split": {"how": "cluster", "column": "id"},
}


def test_every_column_that_is_used_has_its_row_and_the_others_are_named():
    heading, table = schema_section(SCHEMA)
    assert isinstance(heading, Heading)
    assert isinstance(table, Table)
    assert table.rows == [
        ["sex", "binary", "f, m", "none"],
        ["age", "continuous", "groups that end at 30, 50", "a level of their own"],
        ["pay", "continuous", "$", "median+flag (31.25)"],
        ["born", "date", "", "none"],
    ]
    assert table.caption == "Left out: id, hired on. Rows: age >= 18. Split: cluster."


def test_a_record_without_a_schema_has_no_such_section():
    assert schema_section({}) == []
