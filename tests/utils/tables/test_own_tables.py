"""Tables as other people write them: each is read as its owner means it, or refused in one sentence."""

import numpy as np
import pandas as pd
import pytest
import yaml

import paths_config
from utils.datasets.table import build_table
from utils.tables.column_types import propose_one
from utils.tables.table_schema import FileFormat, from_plain


def case(name):
    folder = paths_config.cases()
    if folder is None:
        pytest.skip("TRILEMMA_CASES is not set")
    return folder / "tables" / name


def load(path, label="hired", sensitive=("sex",), **schema):
    content = {"file": {"path": str(path)}, "label": label, "sensitive": list(sensitive), **schema}
    return build_table(from_plain(content, path.name), name="mine", where=path.name, folder=None, seed=0)


def told(capsys):
    return capsys.readouterr().err


def attributes(dataset):
    return [c.attribute or c.name for c in dataset.columns]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("thousand.csv", ["thousands are set apart by commas, as in '1,000'"]),
        ("thousands.csv", ["thousands are set apart by commas"]),
        ("currency.csv", ["income: numbers in $, as in '$"]),
        ("percent.csv", ["share: numbers in %, as in"]),
        ("semicolon.csv", ["separated by semicolons"]),
        ("semicolon_decimal_comma.csv", ["separated by semicolons", "the decimal mark is a comma"]),
        ("latin1.csv", ["it was read as cp1252", "Zürich", "file: {encoding: cp1252}"]),
        ("crlf_trailing_comma.csv", ["the last column has no name and is empty: left out"]),
        ("na_col.csv", ["empty: it holds nothing: left out"]),
        ("spaces_in_header.csv", ["blanks around names of columns were removed: 'sex '"]),
        ("trailing_spaces.csv", ["city: blanks around texts were removed"]),
        ("trail.csv", ["sex: blanks around texts were removed"]),
        ("case_typos.csv", ["look like one level written in several ways", "merge: {"]),
        ("constant.csv", ["country: it is 'CH' in every row: left out"]),
        ("constant_number.csv", ["year: it is 2024 in every row: left out"]),
        ("id_int.csv", ["id: every row has a number of its own, as of an identifier: left out"]),
        ("id_text.csv", ["id: nearly every row has a text of its own"]),
        ("many_levels.csv", ["zip: nearly every row has a text of its own"]),
        ("leading_zero.csv", ["plz: numbers that begin with 0, such as '01000', are read as texts"]),
        ("intcodes.csv", ["region: 4 whole numbers (101, 205, 309, 410) that may be codes", "type: categorical"]),
        ("date.csv", ["since: dates such as '2000-01-01': left out", "as_number: days"]),
        ("rare_level.csv", ["'Z' stands in one row only"]),
        ("dup_rows.csv", ["rows stand in the file more than once"]),
        ("leaked.csv", ["hired_flag: it alone predicts the label", "columns: {hired_flag: {type: ignore}}"]),
    ],
)
def test_a_table_is_read_and_what_was_done_is_told(name, words, capsys):
    load(case(name))
    text = told(capsys)
    assert [word for word in words if word not in text] == [], text


@pytest.mark.parametrize(
    "name",
    [
        "allcat.csv",
        "all_categorical.csv",
        "bom.csv",
        "bool.csv",
        "label_bool.csv",
        "label_float.csv",
        "a,b.csv",
        "quo'te.csv",
    ],
)
def test_a_plain_table_is_read_without_a_word(name, capsys):
    load(case(name))
    assert told(capsys) == ""


@pytest.mark.parametrize(
    ("name", "words", "how"),
    [
        ("no_header.csv", ["the first row reads as data (M, 47", "file: {names: [column_1"], {}),
        ("dup_columns.csv", ["the column 'age' comes twice"], {}),
        ("mixed.csv", ["'n.b.' in row 0"], {}),
        ("inf.csv", ["income", "expected a finite number"], {}),
        ("none.csv", ["written 'None'", "file: {na: ["], {}),
        ("na.csv", ["written 'NA'", "file: {na: ["], {}),
        ("level_NA_namibia.csv", ["written 'NA'"], {}),
        ("nan_question.csv", ["column 'city'", "written '?'", "missing: level", "by sex: F "], {}),
        ("nan_question_num.csv", ["column 'income'", "written '?'", "missing: median+flag"], {}),
        ("nan_NA.csv", ["column 'income'", "written 'NA'"], {}),
        ("sens_nan.csv", ["column 'sex'", "written ''", "missing: level"], {}),
        ("na_in_label.csv", ["column 'hired'", "missing: drop"], {}),
        ("sens11.csv", ["more than 10 levels", "columns: {sex: {type: categorical}}"], {}),
        ("age_sensitive.csv", ["'age' is a number", "bins: ["], {"sensitive": ["age"]}),
        ("label3.csv", ["has 3 values", "merge: {"], {}),
        ("imbalanced.csv", ["row has hired=yes, of which there are 2 rows in all"], {}),
    ],
)
def test_a_table_that_cannot_be_read_in_one_way_is_refused_in_one_sentence(name, words, how):
    with pytest.raises(ValueError) as error:
        load(case(name), **how)
    text = str(error.value)
    assert "\n" not in text
    assert [word for word in words if word not in text] == [], text


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("none.csv", {"file": {"na": [""]}}),
        ("na.csv", {"columns": {"job": {"type": "categorical", "levels": ["AS", "EU", "NA"]}}}),
        ("level_NA_namibia.csv", {"file": {"na": ["?"]}}),
        ("nan_question.csv", {"columns": {"city": {"type": "categorical", "missing": "level"}}}),
        ("nan_question_num.csv", {"columns": {"income": {"type": "continuous", "missing": "median+flag"}}}),
        ("nan_NA.csv", {"columns": {"income": {"type": "continuous", "missing": "median"}}}),
        ("sens_nan.csv", {"columns": {"sex": {"type": "binary", "missing": "drop"}}}),
        ("na_in_label.csv", {"columns": {"hired": {"type": "binary", "missing": "drop"}}}),
        ("sens11.csv", {"columns": {"sex": {"type": "categorical"}}}),
        ("age_sensitive.csv", {"sensitive": ["age"], "columns": {"age": {"type": "continuous", "bins": [30, 50]}}}),
        ("label3.csv", {"label": {"column": "hired", "merge": {"yes": ["yes", "maybe"]}}}),
        ("case_typos.csv", {"columns": {"sex": {"type": "binary", "merge": {"F": ["f"], "M": ["m", "Male"]}}}}),
        ("date.csv", {"columns": {"since": {"type": "date", "as_number": "days"}}}),
        ("intcodes.csv", {"columns": {"region": {"type": "categorical"}}}),
        ("leading_zero.csv", {"columns": {"plz": {"type": "continuous"}}}),
        ("id_int.csv", {"columns": {"id": {"type": "continuous"}}}),
        ("levels_60.csv", {}),
        ("no_header.csv", {"file": {"names": ["sex", "age", "income", "city", "hired"]}}),
        (
            "mixed.csv",
            {
                "file": {"na": ["", "n.b."]},
                "columns": {"income": {"type": "continuous", "missing": "median"}},
            },
        ),
        ("names_special.csv", {"graph": {'In"come [k€]': ["sex", "age, years (at 1.1.)"]}}),
    ],
)
def test_the_line_that_is_named_settles_it(name, schema):
    path = case(name)
    content = {"label": "hired", "sensitive": ["sex"], **schema, "file": {"path": str(path), **schema.get("file", {})}}
    dataset = build_table(from_plain(content, name), name="mine", where=name, folder=None, seed=0)
    assert len(dataset.test.y) > 0


def test_merged_levels_are_one():
    dataset = load(
        case("case_typos.csv"), columns={"sex": {"type": "binary", "merge": {"F": ["f"], "M": ["m", "Male"]}}}
    )
    assert dataset.groups == ("sex=F", "sex=M")


def test_leading_zeros_are_kept():
    levels = {c.texts[1] for c in load(case("leading_zero.csv")).columns if c.attribute == "plz"}
    assert levels
    assert all(level.startswith("01") and len(level) == 5 for level in levels)


def test_sixty_occupations_are_one_attribute():
    dataset = load(case("levels_60.csv"))
    assert attributes(dataset).count("occ") == 60


def test_names_with_signs_are_columns():
    dataset = load(case("weird.csv"), label="hired=?", sensitive=["séx"])
    assert dataset.groups == ("séx=f", "séx=m")
    assert "[job]" in attributes(dataset)


def test_an_income_in_dollars_is_a_number():
    import pandas as pd

    dataset = load(case("currency.csv"))
    raw = pd.read_csv(case("currency.csv"))["income"].str.removeprefix("$").astype(float)
    place = [c.name for c in dataset.columns].index("income")
    rows = dataset.test
    natural = rows.x[:, place].double() * dataset.scale[place] + dataset.loc[place]
    assert np.allclose(natural, raw.to_numpy()[rows.index.numpy()], atol=1e-4)


@pytest.mark.parametrize(
    ("cells", "meant"),
    [
        (["179,4", "65'452", "01.02.2003"], (",", "'")),
        (["1,5", "31.12.2020"], (",", None)),
        (["1.000,5", "2,25"], (",", ".")),
        (["1'000.5", "2.25"], (".", "'")),
    ],
)
def test_marks_are_found_beside_dates_and_each_other(tmp_path, cells, meant):
    from utils.tables.sniffing import sniff

    path = tmp_path / "marks.csv"
    path.write_text("a;b\n" + "".join(f"{cell};x\n" for cell in cells))
    found = sniff(path).format
    assert (found.decimal, found.thousands) == meant


@pytest.mark.parametrize(("as_number", "read"), [("days", False), ("year", True)])
def test_day_or_month_first_is_asked_where_it_counts(tmp_path, as_number, read):
    rows = [f"{'fm'[i % 2]},0{1 + i % 9}/0{1 + i % 7}/{2000 + i % 20},{'yes' if i % 3 else 'no'}\n" for i in range(120)]
    path = tmp_path / "dates.csv"
    path.write_text("sex,since,hired\n" + "".join(rows))
    columns = {"since": {"type": "date", "as_number": as_number}}
    if read:
        values = load(path, columns=columns).train.x
        assert len(values) > 0
        return
    with pytest.raises(ValueError, match=r"as_number: days, format: '%d/%m/%Y'\}\} or .*'%m/%d/%Y'"):
        load(path, columns=columns)


def test_a_sensitive_date_needs_bins(tmp_path):
    path = tmp_path / "dates.csv"
    path.write_text("born,x,hired\n" + "".join(f"{1950 + i % 40}-01-01,{i},{'yn'[i % 2]}\n" for i in range(120)))
    with pytest.raises(ValueError, match="'born' is a number, so it has no finite set of levels"):
        load(path, sensitive=["born"], columns={"born": {"type": "date", "as_number": "year"}})
    with pytest.raises(ValueError, match=r"holds dates; say .*bins: \[1960, 1970, 1980\]"):
        load(path, sensitive=["born"])


@pytest.mark.parametrize(
    ("texts", "merge"),
    [
        (["Zürich", "Zuerich", "Zurich", "Bern"], {"Zürich": ["Zuerich", "Zurich"]}),
        (["Zürich", "Zu\u0308rich", "Zürich ", "Bern"], {"Zürich": ["Zu\u0308rich", "Zürich "]}),
        (["Straße", "Strasse", "Platz"], {"Straße": ["Strasse"]}),
        (["Köln", "Koeln", "Ägypten", "Aegypten"], {"Köln": ["Koeln"], "Ägypten": ["Aegypten"]}),
        (["Genève", "Geneve", "Bern"], {"Genève": ["Geneve"]}),
        (["blue", "blu", "Mauer"], None),
    ],
)
def test_umlauts_and_accents_are_one_level_however_they_are_written(texts, merge):
    cells = pd.Series([text for i, text in enumerate(texts) for _ in range(9 - i)], name="x", dtype="category")
    found = propose_one(cells, FileFormat(), sensitive=False, label=False, path="p.csv").remarks
    lines = [yaml.safe_load(remark.line)["columns"]["x"]["merge"] for remark in found]
    wanted = None if merge is None else {one: sorted(others) for one, others in merge.items()}
    assert lines == ([] if wanted is None else [wanted])
