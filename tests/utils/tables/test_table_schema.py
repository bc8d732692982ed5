"""The schema file: every text as it stands, errors with their line, a record that reads back what it holds."""

import pytest

from utils.tables.remarks import rule_line
from utils.tables.table_schema import Rule, from_plain, read_schema, to_plain

GOOD = """\
file: {path: people.csv, separator: ;}
columns:
  age: {type: continuous, bins: [18, 30]}
  answer: {type: binary, levels: [no, yes]}
  post: {type: categorical, levels: [01004, 1e3, null, true]}
  sex: {type: categorical, merge: {m: [M, Male], f: F}}
sensitive: sex
label: {column: hired, favourable: yes}
graph:
  - age -> post
"""


def write(tmp_path, text):
    path = tmp_path / "people.yaml"
    path.write_text(text)
    return path


def test_texts_are_what_stands_there(tmp_path):
    schema = read_schema(write(tmp_path, GOOD))
    assert schema.columns["answer"].levels == ("no", "yes")
    assert schema.columns["post"].levels == ("01004", "1e3", "null", "true")
    assert schema.label.favourable == "yes"


def test_one_text_is_a_list_of_one(tmp_path):
    schema = read_schema(write(tmp_path, GOOD))
    assert schema.sensitive == ("sex",)
    assert schema.columns["sex"].merge == {"m": ("M", "Male"), "f": ("F",)}


def test_a_label_may_be_a_name_alone(tmp_path):
    assert read_schema(write(tmp_path, "label: hired\nsensitive: sex\n")).label.column == "hired"


def test_a_record_reads_back_what_it_holds(tmp_path):
    schema = read_schema(write(tmp_path, GOOD))
    assert from_plain(to_plain(schema), "record 1") == schema


@pytest.mark.parametrize(
    ("line", "instead", "words"),
    [
        (
            "type: continuous",
            "type: continous",
            r"line 3, columns\.age\.type='continous': not known; did you mean continuous",
        ),
        ("bins:", "bin:", r"line 3, columns\.age\.bin: there is no such key; did you mean bins"),
        ("[18, 30]", "[18, x]", r"line 3, columns\.age\.bins\.1='x'"),
        ("separator: ;", "separator: ;;", r"line 1, file\.separator=';;'"),
        ("column: hired, ", "", r"label\.column is missing"),
        ("sensitive: sex", "sensitve: sex", r"line 7, sensitve: there is no such key; did you mean sensitive"),
        ("  - age -> post", "  - age post", r"line 9, graph: 'age post' has no arrow"),
        ("  answer:", "  age:", r"line 4: 'age' stands twice"),
        ("columns:", "columns: {", r"line \d+: not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path, line, instead, words):
    with pytest.raises(ValueError, match=words) as error:
        read_schema(write(tmp_path, GOOD.replace(line, instead)))
    assert "people.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_schema_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a schema such as python -m evals.look writes"):
        read_schema(write(tmp_path, "just words\n"))


@pytest.mark.parametrize(
    ("rule", "change", "line"),
    [
        (
            {"type": "categorical", "levels": ["M", "m", "f"], "missing": "level"},
            {"merge": {"M": ["m"]}},
            "{type: categorical, levels: [M, f], missing: level, merge: {M: [m]}}",
        ),
        (
            {"type": "categorical", "merge": {"M": ["m"]}},
            {"merge": {"M": ["Male"]}},
            "{type: categorical, merge: {M: [m, Male]}}",
        ),
        (
            {"type": "continuous", "unit": "$", "missing": "median"},
            {"type": "categorical"},
            "{type: categorical, missing: level}",
        ),
        (
            {"type": "categorical", "merge": {"1": ["one"]}, "missing": "level"},
            {"type": "continuous"},
            "{type: continuous, missing: median+flag}",
        ),
        ({"type": "continuous", "unit": "$", "missing": "median"}, {"type": "ignore"}, "{type: ignore}"),
        (
            {"type": "count", "bins": [30.0], "unit": "y"},
            {"missing": "drop"},
            "{type: count, unit: y, bins: [30], missing: drop}",
        ),
    ],
)
def test_a_line_is_the_rule_and_its_change(rule, change, line):
    assert rule_line("x", Rule(**rule), **change) == f"columns: {{x: {line}}}"
