"""Rows of a user's file that come later, read by anybody in any way: the same numbers, or one sentence."""

import datetime
import io
import re

import numpy as np
import pandas as pd
import pytest

import paths_config
from utils.tables.encoding import blocks, fill_rows, sources
from utils.tables.new_rows import encode_labelled, encode_rows
from utils.tables.reading import read_table
from utils.tables.settling import settle, settle_cells
from utils.tables.table_schema import from_plain

FILE = """\
sex;zip;grade;member;age;pay;debt;seen;kids;hired
woman;01004;1.0;true;30;1.250,5;-999;03/04/2020;0;yes
man;02139;1.5;false;41;900,0;10;25/12/2021;2;no
woman;10001;2.0;true;55;1.000,0;20;01/01/1970;1;no
other;01004;1.0;false;23;800,25;30;02/01/1970;3;yes
"""
COLUMNS = {
    "sex": {"type": "categorical", "merge": {"woman": ["Woman", "f"]}},
    "zip": {"type": "categorical"},
    "grade": {"type": "categorical"},
    "member": {"type": "binary"},
    "age": {"type": "continuous", "bounds": [18, 99]},
    "pay": {"type": "continuous"},
    "debt": {"type": "continuous", "missing": "median+flag", "median": 20},
    "seen": {"type": "date", "as_number": "days"},
    "kids": {"type": "count"},
}


@pytest.fixture
def schema(tmp_path):
    """The settled schema of the file."""
    (tmp_path / "people.csv").write_text(FILE)
    marks = {"separator": ";", "decimal": ",", "thousands": ".", "na": ["", "-999"]}
    content = {"file": marks, "columns": COLUMNS, "label": "hired", "sensitive": "sex"}
    given = from_plain(content, "people.yaml")
    texts = {"sex", "zip", "grade", "member", "seen"}
    return settle_cells(given, read_table(tmp_path / "people.csv", given.file, texts), "people.yaml").schema


def by_pandas(**options):
    """The file as its owner reads it."""
    return pd.read_csv(io.StringIO(FILE), sep=";", **options)


def column(schema, encoded, name):
    """One column of encoded rows."""
    names = [c.name for block in blocks(schema) for c in block.columns]
    return encoded.values[:, names.index(name)].tolist()


def cases():
    """Tables as other people write them."""
    folder = paths_config.cases()
    return [] if folder is None else sorted((folder / "tables").glob("*.csv"))


def rows(n=1, **changes):
    """Some rows of the file, the first with changes."""
    frame = by_pandas(dtype={"zip": str}).head(n).astype(object)
    for name, value in changes.items():
        frame.loc[0, name] = value
    return frame


def test_what_pandas_makes_of_the_file_means_what_the_file_says(schema):
    found = encode_rows(schema, by_pandas(dtype={"zip": str}))
    assert found.known.all()
    assert column(schema, found, "sex=woman") == [1, 0, 1, 0]
    assert column(schema, found, "grade=1.0") == [1, 0, 0, 1]  # pandas: 1.0 as a number
    assert column(schema, found, "member") == [1, 0, 1, 0]  # true as True
    assert column(schema, found, "pay") == [1250.5, 900, 1000, 800.25]  # texts with marks
    assert column(schema, found, "debt") == [20, 10, 20, 30]  # -999 is missing
    assert column(schema, found, "debt is missing") == [1, 0, 0, 0]
    assert column(schema, found, "seen") == [18355, 18986, 0, 1]  # days since 1970: day first, as the file settled


@pytest.mark.parametrize(
    "member", [pd.Series([True, False], dtype="boolean"), pd.Series(["true", "false"]), pd.Series([True, False])]
)
def test_truth_is_truth_in_every_type(schema, member):
    assert column(schema, encode_rows(schema, rows(2).assign(member=member)), "member") == [1, 0]


@pytest.mark.parametrize(
    "seen",
    [
        datetime.date(2021, 12, 25),
        datetime.datetime(2021, 12, 25),
        pd.Timestamp("2021-12-25 01:00+01:00"),
        "25/12/2021",
    ],
)
def test_a_day_is_a_day_in_every_type(schema, seen):
    assert column(schema, encode_rows(schema, rows(seen=seen)), "seen") == [18986]


@pytest.mark.parametrize("pay", [1250.5, "1.250,5", np.float32(1250.5)])
def test_an_amount_is_the_same_as_a_number_and_in_the_marks_of_the_file(schema, pay):
    assert column(schema, encode_rows(schema, rows(pay=pay)), "pay") == [1250.5]


def test_a_frame_a_dict_of_columns_and_a_list_of_dicts_are_the_same(schema):
    frame = rows(3)
    values = encode_rows(schema, frame).values
    assert np.array_equal(values, encode_rows(schema, frame.to_dict("list")).values)
    assert np.array_equal(values, encode_rows(schema, frame.to_dict("records")).values)
    assert np.array_equal(values, encode_rows(schema, frame.rename(columns=lambda name: f" {name} ")).values)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros((3, 2)), "got a ndarray"),
        ("people.csv", "got the str 'people.csv'"),
        ([1, 2], r"got the list \[1, 2\]"),
        (None, "got a NoneType"),
        ({"sex": "woman"}, r"one value of 'sex', not a column; a single row is \[\{\.\.\.\}\]"),
        ({"sex": ["woman"], "age": [1, 2]}, "differ in length: sex 1, age 2"),
        (pd.DataFrame({"sex;zip;age": ["woman;1;2"]}), r"the rows lack .*; the file is separated by ';': pd.read_csv"),
        (pd.DataFrame({"sex,zip,age": ["woman,1,2"]}), "they are one column, 'sex,zip,age': are they separated by"),
        (pd.DataFrame({"Sex": ["woman"]}), "the rows lack .*; did you mean Sex"),
        ({"sex": [["woman"]]} | {name: [0] for name in COLUMNS if name != "sex"}, "column 'sex' holds lists"),
    ],
)
def test_what_is_no_rows_is_told(schema, given, words):
    with pytest.raises(ValueError, match=words):
        encode_rows(schema, given)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"zip": 1004}, r"row 0: column 'zip' holds '1004', .*; '01004' has lost its zeros, .*dtype=\{'zip': str\}"),
        ({"zip": "1004"}, "'01004' has lost its zeros"),
        ({"sex": "womann"}, "holds 'womann', but its levels are 'man', 'other', 'woman'; did you mean woman"),
        ({"grade": 1.25}, "column 'grade' holds '1.25'"),
        ({"member": 2}, "column 'member' holds '2', but its levels are 'false', 'true'"),
        ({"age": 140}, "column 'age' holds 140; expected a number from 18 to 99"),
        ({"age": float("inf")}, "column 'age' holds inf; expected a finite number"),
        ({"age": None}, "column 'age' is missing"),
        ({"kids": 1.5}, "column 'kids' holds 1.5; expected a whole number, 0 or more"),
        ({"seen": "12.12.2020"}, "column 'seen' holds '12.12.2020', not a date"),
        ({"pay": "much"}, "column 'pay' holds 'much', not a number"),
    ],
)
def test_a_cell_that_cannot_be_is_named(schema, changes, words):
    with pytest.raises(ValueError, match=words):
        encode_rows(schema, rows(**changes))


def test_one_sentence_says_all(schema):
    frame = rows(4).set_index(pd.Index(["a", "b", "c", "d"]))
    frame.loc[["b", "d"], "age"] = [3, 200]
    frame.loc["d", "sex"] = "x"
    with pytest.raises(ValueError) as told:
        encode_rows(schema, frame)
    text = str(told.value)
    assert "row 3 ('d'): column 'sex' holds 'x'" in text
    assert "row 1 ('b'): column 'age' holds 3; expected a number from 18 to 99 (1 more row)" in text
    assert "3 such cells in 2 of 4 rows" in text


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"sex": "womann"}, "sex=woman", 1),
        ({"sex": "WOMAN"}, "sex=woman", 1),
        ({"sex": "F"}, "sex=woman", 1),  # f means woman
        ({"age": 140}, "age", 99),
        ({"kids": 1.6}, "kids", 2),
        ({"kids": -3}, "kids", 0),
    ],
)
def test_the_nearest_is_taken_where_one_alone_is_near(schema, changes, name, value):
    found = encode_rows(schema, rows(**changes), "nearest")
    assert column(schema, found, name) == [value]
    assert found.mended == dict.fromkeys(changes, 1)


@pytest.mark.parametrize("changes", [{"sex": "zzz"}, {"zip": "01005"}, {"age": None}, {"age": "old"}, {"pay": np.inf}])
def test_what_nothing_is_near_to_is_refused(schema, changes):
    with pytest.raises(ValueError, match="row 0: column"):
        encode_rows(schema, rows(**changes), "nearest")


def test_rows_that_cannot_be_are_left_out_and_no_others(schema):
    frame = rows(4)
    frame.loc[1, "age"] = 3
    assert encode_rows(schema, frame, "abstain").known.tolist() == [True, False, True, True]
    with pytest.raises(ValueError, match="unseen='ask': expected refuse, nearest or abstain"):
        encode_rows(schema, frame, "ask")


def test_rows_outside_of_the_conditions_are_none_of_the_models(schema):
    narrowed = schema.model_copy(update={"rows": ("age >= 25",)})
    with pytest.raises(ValueError, match=r"row 3: column 'age' is outside of the rows of the schema, age >= 25"):
        encode_rows(narrowed, rows(4))


def test_a_level_that_pandas_reads_as_missing_is_told_of(schema):
    rule = schema.columns["sex"].model_copy(update={"levels": ("man", "NA", "woman")})
    namibian = schema.model_copy(update={"columns": {**schema.columns, "sex": rule}})
    assert encode_rows(namibian, rows(sex="NA")).known.all()
    with pytest.raises(ValueError, match="is missing; where it is the level 'NA', .*keep_default_na=False"):
        encode_rows(namibian, rows(sex=np.nan))


def test_a_number_that_two_texts_may_have_become_is_refused():
    levels = {"zip": {"type": "categorical", "levels": ["01004", "1004", "20001"]}}
    content = {"columns": levels | {"hired": {"type": "binary", "levels": ["no", "yes"]}}, "label": "hired"}
    schema = from_plain(content | {"sensitive": []}, "people.yaml")
    assert encode_rows(schema, pd.DataFrame({"zip": ["01004", "1004"]})).values.tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(ValueError, match="'01004' has lost its zeros"):
        encode_rows(schema, pd.DataFrame({"zip": [1004.0, 20001.0]}))


def test_blanks_around_a_name_are_kept_where_the_schema_has_them():
    columns = {" age ": {"type": "continuous"}, "hired": {"type": "binary", "levels": ["no", "yes"]}}
    schema = from_plain({"columns": columns, "label": "hired", "sensitive": []}, "X")
    assert encode_rows(schema, pd.DataFrame({" age ": [30.5]})).values.tolist() == [[30.5]]


HOLES = {
    "na.csv": {"job": {"type": "categorical", "missing": "level"}},
    "none.csv": {"job": {"type": "categorical", "missing": "level"}},
    "nan_NA.csv": {"income": {"type": "continuous", "missing": "median+flag", "median": 30}},
    "nan_question.csv": {"city": {"type": "categorical", "missing": "level"}},
    "nan_question_num.csv": {"income": {"type": "continuous", "missing": "median", "median": 30}},
    "sens_nan.csv": {"sex": {"type": "categorical", "missing": "level"}},
}
READ_OTHERWISE = {  # that pandas does not read as it stands, by what is said of it
    "leading_zero.csv": "'01004' has lost its zeros",
    "semicolon.csv": "the file is separated by ';'",
    "semicolon_decimal_comma.csv": "the file is separated by ';'",
}


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_plain_pandas_reads_what_the_program_reads(path):
    """Of anybody's file the same numbers, or one sentence that says how it is read."""
    given = {"file": {"path": str(path)}, "label": "hired", "sensitive": "sex", "columns": HOLES.get(path.name, {})}
    try:
        settled = settle(from_plain(given, path.name), path.name)
        read = [s for b in blocks(settled.schema) for s in sources(b, settled.cells[b.name], settled.schema.file)]
        frame = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        pytest.skip(f"no table of this label: {error}")
    if path.name in READ_OTHERWISE:
        with pytest.raises(ValueError, match=re.escape(READ_OTHERWISE[path.name])):
            encode_rows(settled.schema, frame)
        return
    found, y = encode_labelled(settled.schema, frame)
    assert np.array_equal(found.values, fill_rows(read, slice(None), len(settled.y)))
    assert np.array_equal(y, settled.y)
