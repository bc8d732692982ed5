"""``evals.look`` as a user meets it: a schema that trains, what is open told, a page that needs no network."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import paths_config
from evals.look import main
from tests.commands import SMALL, command, house
from utils.datasets.table import build_table
from utils.system.environment import memory
from utils.tables.encoding import Source
from utils.tables.suspects import suspects
from utils.tables.table_schema import read_schema
from utils.types import Column

HEADER = ["sex", "age", "income", "city", "region", "copy", "id", "hired"]


@pytest.fixture(autouse=True)
def folder(tmp_path):
    with house(tmp_path) as own:
        yield own


def rows(n=300, seed=0):
    """People of whom the hired earn more; ``copy`` is the label again, region a code."""
    chance = np.random.default_rng(seed)
    sex, age = chance.choice(["f", "m"], n), chance.integers(18, 66, n)
    income = chance.normal(40, 10, n).round(2)
    hired = np.where(income + chance.normal(0, 10, n) > 40, "yes", "no")
    city, region = chance.choice(["Bern", "Basel", "Chur"], n), chance.choice([101, 205, 309], n)
    columns = [sex, age, income, city, region, np.where(hired == "yes", 7, 3), [f"P{i:05}" for i in range(n)], hired]
    return [list(map(str, row)) for row in zip(*columns, strict=True)]


def write(name, table, header=HEADER, delimiter=","):
    with Path(name).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([*([header] if header else []), *table])


def spoil(table, column, text, which):
    place = HEADER.index(column)
    return [[*row[:place], text, *row[place + 1 :]] if which(i) else row for i, row in enumerate(table)]


def look(capsys, *words, code=0):
    assert main(words) == code
    said = capsys.readouterr()
    return said.out if code == 0 else said.err + said.out


def train(*words):
    answer = command("train", *words, *SMALL)
    assert answer.code == 0, answer.err
    return answer


def load(name="people.yaml"):
    """The data set that training would take, without the training."""
    dataset = build_table(read_schema(name), name="own", where=name, folder=Path(), seed=0)
    assert len(dataset.test.y) > 0
    return dataset


def one_error(text):
    return [line for line in text.splitlines() if line.startswith("error: ")]


def test_a_look_writes_a_schema_that_trains(capsys):
    write("people.csv", rows())
    out = look(capsys, "people.csv", "label=hired", "sensitive=sex", "favourable=yes")
    assert "Train: python train.py dataset=people.yaml" in out
    schema = read_schema("people.yaml")
    assert set(schema.columns) == {*HEADER} - {"hired"}
    assert (schema.label.column, schema.label.favourable, schema.sensitive) == ("hired", "yes", ("sex",))
    assert schema.file.path == "people.csv"
    assert "filed as record 1" in train("dataset=people.yaml").out


def test_a_text_that_says_missing_stays_apart_from_what_is_missing(capsys):
    table = spoil(spoil(rows(), "city", "missing", lambda i: i % 3 == 0), "city", "", lambda i: i % 5 == 0)
    write("people.csv", table)
    assert "beside the text 'missing'" in re.sub(
        r"\s+", " ", look(capsys, "people.csv", "label=hired", "sensitive=sex")
    )
    (levels,) = (rule["levels"] for name, rule in load().schema["columns"].items() if name == "city")
    assert levels == ["Basel", "Bern", "Chur", "missing (text)"]
    assert "city=missing" in [column.name for column in load().columns]


def test_a_column_named_as_one_that_is_made_is_told(capsys):
    header = [name if name != "region" else "income is missing" for name in HEADER]
    write("people.csv", spoil(rows(), "income", "", lambda i: i % 7 == 0), header)
    said = look(capsys, "people.csv", "label=hired", "sensitive=sex", code=2)
    assert "columns: {income is missing: {type: ignore}}" in one_error(said)[0]


def test_the_report_fits_a_terminal_and_ends_with_what_is_open(capsys, monkeypatch):
    monkeypatch.setattr("utils.system.tables.room", lambda _: 80)
    write("people.csv", spoil(rows(), "city", "?", lambda i: i % 10 == 0))
    out = look(capsys, "people.csv", "label=hired", "sensitive=sex,age")
    lines = out.splitlines()
    lines_of_schemas = {line for line in lines if line.startswith("     ")}
    assert [line for line in lines if len(line) > 80 and line not in lines_of_schemas and "python" not in line] == []
    assert out.index("Rows by group") < out.index("Look at (") < out.index("Decide (") < out.index("people.yaml:")


def test_counts_are_those_of_the_file(capsys):
    table = rows()
    write("people.csv", table)
    out = look(capsys, "people.csv", "label=hired", "sensitive=sex")
    for sex in ("f", "m"):
        no, yes = (sum(row[0] == sex and row[-1] == answer for row in table) for answer in ("no", "yes"))
        assert re.search(rf"sex={sex} +{no + yes} +{no} +{yes} +{100 * yes / (no + yes):.1f}\n", out), out


def test_suspects_are_told_with_the_line_that_settles_them(capsys):
    write("people.csv", rows())
    out = look(capsys, "people.csv", "label=hired", "sensitive=sex")
    assert "copy: it alone predicts the label (AUC 1.000)" in out
    assert "columns: {copy: {type: ignore}}" in out
    assert "(101, 205, 309) that may be codes" in out
    assert "identifier: id" in out
    text = Path("people.yaml").read_text()
    assert re.search(r"# look: it alone predicts .*\n  #   copy: \{type: ignore\}\n  copy: ", text)
    assert re.search(r"  id: \{type: ignore\} +# .*to use it: id: \{type: categorical\}", text)


def test_a_copy_of_a_column_and_a_telling_gap_are_suspects(capsys):
    table = [[*row[:5], row[1], row[6] if row[-1] == "yes" else "", row[-1]] for row in rows()]
    table = [[*row[:6], str(len(row[6])) if row[6] else "", row[7]] for row in table]
    table = [[*row[:6], str(i % 40) if row[6] else "", row[7]] for i, row in enumerate(table)]
    write("people.csv", table)
    out = look(capsys, "people.csv", "label=hired", "sensitive=sex")
    assert "copy: it holds in every row the same as 'age'" in out
    assert "id: that it is missing alone predicts the label (AUC 1.000)" in " ".join(out.split())


def test_a_column_that_is_named_as_a_flag_would_be_is_an_attribute_of_its_own():
    """Only the encoding knows which columns flag missing numbers, not their names."""
    y = np.arange(200) % 2
    income, own = Column("income", "continuous"), Column("income is missing", "binary", levels=(0.0, 1.0))
    told = [Source((income,), np.sin(np.arange(200.0)), coded=False), Source((own,), y, coded=True)]
    (remark,) = suspects(told, y, pd.DataFrame({"row": np.arange(200)}))
    assert (remark.column, remark.text.split(" (")[0]) == ("income is missing", "it alone predicts the label")
    (flagged,) = suspects([told[0], told[1]._replace(flags="income")], y, pd.DataFrame({"row": np.arange(200)}))
    assert (flagged.column, flagged.text.split(" (")[0]) == ("income", "that it is missing alone predicts the label")


@pytest.mark.parametrize(
    ("column", "text", "way", "said"),
    [
        ("city", "", "level", "a level of their own"),
        ("city", "?", "level", "or a level like the others"),
        ("income", "NA", "median+flag", "the median in their place"),
        ("income", "n.b.", "median+flag", "'n.b.' in 30 rows, taken as missing"),
    ],
)
def test_missing_values_are_decided_in_the_safest_way_and_train(capsys, column, text, way, said):
    write("people.csv", spoil(rows(), column, text, lambda i: i % 10 == 0))
    out = look(capsys, "people.csv", "label=hired", "sensitive=sex")
    assert said in " ".join(out.split())
    assert read_schema("people.yaml").columns[column].missing == way
    assert f"# decide: {'numbers, but' if text == 'n.b.' else '30 missing values'}" in Path("people.yaml").read_text()
    load()


def test_a_sensitive_number_becomes_groups_between_round_numbers(capsys):
    write("people.csv", rows())
    look(capsys, "people.csv", "label=hired", "sensitive=age")
    bins = read_schema("people.yaml").columns["age"].bins
    assert bins == (30.0, 40.0, 50.0)
    assert "age=30 to under 40" in train("dataset=people.yaml").err  # a warning on small groups names it


def test_three_answers_are_no_label_until_two_are_merged(capsys):
    table = [[*row[:-1], "maybe" if i % 7 == 0 else row[-1]] for i, row in enumerate(rows())]
    write("people.csv", table)
    said = look(capsys, "people.csv", "label=hired", "sensitive=sex", code=2)
    assert len(one_error(said)) == 1
    assert "has 3 values ('maybe', 'no', 'yes')" in one_error(said)[0]
    assert "% yes" not in said
    text = Path("people.yaml").read_text()
    assert "# merge: {'yes': ['yes', 'no']}" in text
    Path("people.yaml").write_text(text.replace("# merge: {'yes': ['yes', 'no']}", "merge: {'yes': ['yes', maybe]}"))
    assert load().class_names == ("no", "yes")
    assert "no (" in look(capsys, "people.yaml")


def test_a_split_without_a_class_is_told_before_training(capsys):
    table = [[*row[:-1], "yes" if i < 2 else "no"] for i, row in enumerate(rows())]
    write("people.csv", table)
    said = look(capsys, "people.csv", "label=hired", "sensitive=sex", code=2)
    assert "of which there are 2 rows in all" in one_error(said)[0]
    assert Path("people.yaml").exists()


def test_an_edited_schema_is_kept_unless_it_may_be_replaced(capsys):
    write("people.csv", rows())
    words = ("people.csv", "label=hired", "sensitive=sex")
    look(capsys, *words)
    first = Path("people.yaml").read_text()
    assert "kept as it is" not in look(capsys, *words)
    mine = "# mine\n" + first.replace("region: {type: continuous}", "region: {type: categorical}")
    Path("people.yaml").write_text(mine)
    out = look(capsys, *words)
    assert "people.yaml: there already, and kept as it is; existing=replace" in out
    assert "this is a look by it" in out
    assert "region: {type: categorical}" in Path("people.html").read_text()
    assert Path("people.yaml").read_text() == mine
    write("other.csv", rows(60))
    assert "the schema of another table" in look(capsys, "other.csv", *words[1:], "out=people.yaml", code=2)
    look(capsys, *words, "existing=replace")
    assert Path("people.yaml").read_text() == first


def test_a_schema_is_looked_at_as_it_was_edited(capsys):
    write("people.csv", rows())
    look(capsys, "people.csv", "label=hired", "sensitive=sex")
    text = Path("people.yaml").read_text()
    edited = re.sub(r"region: \{type: continuous\}", "region: {type: categorical}", text)
    Path("people.yaml").write_text(edited + "rows: [age >= 40]\n")
    out = look(capsys, "people.yaml")
    assert re.search(r"region +category +\d+ \(\d+\)|region +category +101 \(", out)
    older = sum(int(row[1]) >= 40 for row in rows())
    assert f"{older} of 300 rows" in out
    assert Path("people.yaml").read_text().endswith("rows: [age >= 40]\n")


def test_a_schema_that_leaves_something_open_is_looked_at_and_refused_as_training_does(capsys):
    write("people.csv", rows())
    Path("open.yaml").write_text("file: {path: people.csv}\nlabel: hired\nsensitive: age\n")
    said = look(capsys, "open.yaml", code=2)
    assert "columns: {age: {type: continuous, bins: [30, 40, 50]}}" in one_error(said)[0]
    assert "age=30 to under 40" in said


def test_codes_that_were_saved_with_a_point_are_the_texts_of_the_file(capsys):
    """As pandas writes whole numbers once one is missing."""
    table = [
        [*row[:4], f"{row[4]}.0" if i % 9 else "", *row[5:7], f"{i % 2}.0" if i % 11 else ""]
        for i, row in enumerate(rows())
    ]
    write("people.csv", table)
    look(capsys, "people.csv", "label=hired", "sensitive=region", "favourable=1.0")
    dataset = load()
    assert dataset.groups == ("region=101.0", "region=205.0", "region=309.0", "region=missing")
    assert dataset.class_names == ("0.0", "1.0")


def test_it_is_said_where_the_files_are_unless_they_are_beside_the_table(capsys, folder):
    Path("tables").mkdir()
    for name, told in (("tables/people.csv", True), ("people.csv", False)):
        write(name, rows())
        said = look(capsys, name, "label=hired", "sensitive=sex", "existing=replace")
        assert (f"Both are in {folder.resolve()}, not beside the table." in said) == told
        assert Path("people.yaml").exists()


def test_rows_left_out_and_levels_merged_stand_in_one_line(capsys):
    """The line of either finding says the other's opposite; the line of both is read as both."""
    table = spoil(spoil(rows(), "city", "bern", lambda i: i % 5 == 0), "city", "", lambda i: i % 7 == 0)
    write("people.csv", table)
    look(capsys, "people.csv", "label=hired", "sensitive=sex")
    text = Path("people.yaml").read_text()
    (both,) = [
        line for line in re.findall(r"^  #   (city: .+)$", text, re.MULTILINE) if "drop" in line and "merge" in line
    ]
    Path("people.yaml").write_text(re.sub(r"^  city: \{.*\}", f"  {both}", text, flags=re.MULTILINE))
    dataset = load()
    kept = [row[3].capitalize() for row in table if row[3]]
    assert sum(len(part.y) for part in (dataset.train, dataset.valid, dataset.test)) == len(kept)
    assert {c.name for c in dataset.columns if c.attribute == "city"} == {f"city={level}" for level in set(kept)}


def test_a_graph_is_written_drawn_and_chooses_the_learned_equations(capsys):
    write("people.csv", rows())
    look(capsys, "people.csv", "label=hired", "sensitive=sex", "graph=sex -> income; income, age -> hired")
    assert read_schema("people.yaml").graph == {"income": ("sex",), "hired": ("income", "age")}
    drawn = Path("people.html").read_text()
    assert '<svg class="graph"' in drawn
    assert drawn.count('class="arrow"') == 3


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("sex -> income; income -> sex", "cycle"),
        ("hired -> income", "the label, is a cause"),
        ("id -> income", "left out"),
    ],
)
def test_a_graph_that_cannot_be_is_refused_with_the_files_written(capsys, graph, words):
    write("people.csv", rows())
    said = look(capsys, "people.csv", "label=hired", "sensitive=sex", f"graph={graph}", code=2)
    assert words in one_error(said)[0]
    assert Path("people.yaml").exists()
    assert Path("people.html").exists()


def test_a_file_without_a_header_and_with_blanks_between_takes_names(capsys):
    table = [[cell.replace(" ", "_") for cell in row] for row in rows()]
    write("people.data", table, header=None, delimiter=" ")
    said = look(capsys, "people.data", "label=hired", "sensitive=sex", code=2)
    assert "names=column_1,column_2" in one_error(said)[0]
    look(capsys, "people.data", f"names={','.join(HEADER)}", "label=hired", "sensitive=sex", "out=own.yaml")
    schema = read_schema("own.yaml")
    assert (schema.file.separator, schema.file.names) == (" ", tuple(HEADER))
    load("own.yaml")


def test_names_and_texts_with_signs_are_said(capsys):
    names = ["se, x", 'in"come [k€]', "a: b #c", "long\nname", "n.a.", "r", "id", "hired=?"]
    table = [[*row[:3], "- " + row[3], *row[4:]] for row in rows()]
    write("quo'te, a.csv", table, header=names)
    out = look(capsys, "quo'te, a.csv", "label=hired=?", "sensitive=['se, x']", 'graph="se, x" -> "a: b #c"')
    assert "quo_te_a.yaml" in out
    schema = read_schema("quo_te_a.yaml")
    assert list(schema.columns) == names[:-1]
    assert schema.graph == {"a: b #c": ("se, x",)}
    causes = load("quo_te_a.yaml").parents.values()
    assert {cause for parents in causes for cause in parents} == {"se, x"}


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        ((), "a table is required"),
        (("none.csv", "label=a", "sensitive=b"), "none.csv; nor is there"),
        (("people.csv",), "label is required: give label=COLUMN; the columns of people.csv are: sex, age"),
        (("people.csv", "label=hired"), "sensitive is required"),
        (("people.csv", "label=hird", "sensitive=sex"), "did you mean hired"),
        (("people.csv", "label=hired", "sensitive=sex,hired"), "is the label, so it cannot be sensitive"),
        (("people.csv", "label=hired", "sensitive=sex", "favourable=ja"), "it has 'no' and 'yes'"),
        (("people.csv", "lable=hired"), "did you mean label"),
        (("people.csv", "label=hired", "sensitive=sex", "existing=keap"), "did you mean keep"),
        (("people.csv", "label=hired", "sensitive=sex", "out=people.txt"), "ends in .yaml"),
        (("people.csv", "label=hired", "sensitive=sex", "separator=ab"), "separator"),
        (("people.csv", "label=hired", "sensitive=sex", "names=a,b"), "but a row has 8 cells"),
        (("people.csv", "hired"), "write options as key=value"),
        (("people.yaml", "label=hired"), "edit it there"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, words, phrase):
    write("people.csv", rows(60))
    said = look(capsys, *words, code=2)
    assert len(said.strip().splitlines()) == 1
    assert phrase in one_error(said)[0]
    assert not Path("people.yaml").exists()


def test_help_names_every_option(capsys):
    from evals.look import KEYS

    text = look(capsys, "--help")
    assert [key for key in KEYS if key != "file" and f"{key}=" not in text] == []
    assert max(map(len, text.splitlines())) <= 120


def test_no_text_of_a_table_becomes_markup(capsys):
    table = spoil(rows(), "city", "<script>alert(1)</script>", lambda i: i % 3 == 0)
    write("people.csv", table)
    look(capsys, "people.csv", "label=hired", "sensitive=sex,city")
    drawn = Path("people.html").read_text()
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn
    assert not re.search(r"(src|href)=\"(?!#)", drawn)
    assert "http:" not in drawn.replace("http-equiv", "")


def test_a_suggested_line_says_what_the_rule_of_its_column_says(capsys):
    table = spoil(rows(), "city", "bern", lambda i: i % 7 == 0)
    write("people.csv", spoil(table, "city", "", lambda i: i % 10 == 0))
    line = "{type: categorical, missing: level, merge: {Bern: [bern]}}"
    assert f"     columns: {{city: {line}}}" in look(capsys, "people.csv", "label=hired", "sensitive=sex").splitlines()
    text = Path("people.yaml").read_text()
    assert f"  #   city: {line}\n" in text
    assert f"columns: {{city: {line}}}" in Path("people.html").read_text().replace("&#x27;", "'")


def test_what_is_missing_is_refused_with_the_whole_rule(capsys):
    write("people.csv", spoil(rows(), "age", "", lambda i: i % 10 == 0))
    Path("open.yaml").write_text(
        "file: {path: people.csv}\nlabel: hired\nsensitive: age\ncolumns: {age: {type: count, bins: [30, 50]}}\n"
    )
    said = look(capsys, "open.yaml", code=2)
    assert "columns: {age: {type: count, bins: [30, 50], missing: level}}" in one_error(said)[0]
    shown = " ".join(said.split())
    assert "30 missing values" in shown
    assert "training refuses the table until the schema settles this; the line means a level of their own" in shown


def test_a_class_that_nobody_calls_favourable_is_to_be_decided(capsys):
    write("people.csv", rows())
    shown = " ".join(look(capsys, "people.csv", "label=hired", "sensitive=sex").split())
    assert "nobody says which class is favourable; class 1 is yes, the last in sorted order, so rates are" in shown
    assert "label: {column: hired, favourable: 'yes'}" in shown
    text = Path("people.yaml").read_text()
    assert "  # decide: nobody says" in text
    assert "  # favourable: 'no'\n  # favourable: 'yes'\n" in text
    assert "nobody says which class is favourable" in Path("people.html").read_text()
    load()
    told = capsys.readouterr().err
    assert told.count("people.yaml: nobody says which class is favourable; class 1 is yes") == 1
    Path("people.yaml").write_text(text.replace("  # favourable: 'no'", "  favourable: 'no'"))
    assert "nobody says" not in look(capsys, "people.yaml")


def test_a_page_without_a_graph_says_what_twins_are_and_draws_no_identifier(capsys):
    table = [[*row[:6], str(1000 + i), row[7]] for i, row in enumerate(rows())]
    write("people.csv", table)
    look(capsys, "people.csv", "label=hired", "sensitive=sex")
    drawn = Path("people.html").read_text()
    assert "by the direct effect of the sensitive column alone (scm=independent)" in drawn
    assert 'aria-label="histogram from 18 to' in drawn
    assert 'aria-label="histogram from 1,000 to' not in drawn


def test_missing_values_are_told_by_the_groups_of_each_attribute_alone(capsys):
    table = rows()
    table = [[*row[:3], "" if row[0] == "f" and i % 3 == 0 else row[3], *row[4:]] for i, row in enumerate(table)]
    write("people.csv", table)
    shown = " ".join(look(capsys, "people.csv", "label=hired", "sensitive=age,sex").split())
    women = [row for row in table if row[0] == "f"]
    share = 100 * sum(row[3] == "" for row in women) / len(women)
    bins = [[r for r in table if low <= int(r[1]) < high] for low, high in ((0, 30), (30, 40), (40, 50), (50, 99))]
    names = ["age=under 30", "age=30 to under 40", "age=40 to under 50", "age=50 and over"]
    shares = sorted((100 * sum(r[3] == "" for r in of) / len(of), name) for of, name in zip(bins, names, strict=True))
    (low, least), (high, most) = shares[0], shares[-1]
    told = f"0.0 % (sex=m) to {share:.1f} % (sex=f), {low:.1f} % ({least}) to {high:.1f} % ({most})"
    for place in (shown, Path("people.yaml").read_text(), Path("people.html").read_text()):
        assert told in place


def test_how_a_file_was_read_stands_apart_and_is_no_warning_of_training(capsys):
    table = [[*row[:2], row[2].replace(".", ","), f"{row[3]} ", *row[4:]] for row in rows()]
    write("people.csv", table, delimiter=";")
    out = look(capsys, "people.csv", "label=hired", "sensitive=sex")
    shown = " ".join(out.split("Read as: ")[1].split())
    assert shown.startswith("cells are separated by semicolons; the decimal mark is a comma, as in '")
    assert "blanks around texts were removed in city" in shown
    assert "separated by" not in out.split("Read as: ")[0]
    assert "  # read as: cells are separated by semicolons" in Path("people.yaml").read_text()
    load()
    told = capsys.readouterr().err
    assert "blanks around" not in told
    assert "copy: it alone predicts the label" in told


def test_ages_are_not_offered_as_a_group_each(capsys):
    write("people.csv", rows())
    assert "each value a group" not in look(capsys, "people.csv", "label=hired", "sensitive=age")
    write("few.csv", [[row[0], str(int(row[1]) % 15), *row[2:]] for row in rows()])
    shown = " ".join(look(capsys, "few.csv", "label=hired", "sensitive=age").split())
    assert "or each value a group, 15 of them" in shown


def test_decisions_of_one_kind_are_one_entry(capsys):
    header = ["sex", *(f"lab{i}" for i in range(5)), "hired"]
    table = [
        [row[0], *("" if (j + i) % 10 == 0 else row[2] for i in range(5)), row[-1]] for j, row in enumerate(rows())
    ]
    write("people.csv", table, header=header)
    shown = " ".join(look(capsys, "people.csv", "label=hired", "sensitive=sex", "favourable=yes").split())
    assert "Decide (1): 1. 5 columns with missing numbers, the median in their place and a flag: lab0, lab1," in shown
    assert "columns: {lab0: {type: continuous, missing: drop}}" in shown
    assert Path("people.yaml").read_text().count("# decide: 30 missing values") == 5


# --- Tables as other people write them -------------------------------------------------------------------------


REFUSED = {
    "dup_columns.csv": "comes twice",
    "no_header.csv": "names=column_1",
    "label3.csv": "has 3 values",
    "imbalanced.csv": "2 rows in all",
    "inf.csv": "expected a finite number",
}
LABELS = {"weird.csv": ("hired=?", "séx"), "age_sensitive.csv": ("hired", "age"), "race4.csv": ("hired", "race")}
CASES = [] if paths_config.cases() is None else sorted((paths_config.cases() / "tables").glob("*.csv"))


def lines_of(said):
    """What the report, and the comments of own.yaml, say to write at a column."""
    told = [line.strip() for line in said.splitlines() if line.startswith("     columns: {")]
    used = re.findall(r"to use it: (.*)$", Path("own.yaml").read_text(), re.MULTILINE)
    return [*(line.removeprefix("columns: ") for line in told), *(f"{{{line}}}" for line in used)]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_table_of_anybody_is_drafted_so_that_training_takes_it(path, capsys):
    """The schema that a look writes settles the table, with each line that it names, and says the same again."""
    label, sensitive = LABELS.get(path.name, ("hired", "sex"))
    refused = REFUSED.get(path.name)
    said = look(capsys, str(path), f"label={label}", f"sensitive={sensitive}", "out=own.yaml", code=2 if refused else 0)
    if refused:
        assert refused in one_error(said)[0]
        return
    load("own.yaml")
    for line in lines_of(said):
        content = yaml.load(Path("own.yaml").read_text(), Loader=yaml.BaseLoader)
        content["columns"] |= yaml.load(line, Loader=yaml.BaseLoader)
        Path("line.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
        load("line.yaml")
    head = said.split("columns of")[0]
    again = look(capsys, "own.yaml").split("columns of")[0]
    assert head == again


# --- very many levels ------------------------------------------------------------------------------------------

MANY = 30_000
WIDE = "columns: {city: {type: categorical}}\nsensitive: [sex]\nlabel: {column: hired, favourable: yes}\n"
SIZE = "30,000 levels, a column each: 30,000 rows x 30,001 columns x 4 bytes = 3.6 GB"  # city and sex


@pytest.fixture
def wide(monkeypatch):
    """A table with as many cities as rows, on a machine with 8 GB."""
    monkeypatch.setattr("utils.tables.settling.memory", lambda: 8 * 10**9)
    table = [["fm"[i % 2], f"c{i}", ("no", "yes")[i // 2 % 2]] for i in range(MANY)]
    write("wide.csv", table, header=["sex", "city", "hired"])
    Path("wide.yaml").write_text(f"file: {{path: wide.csv}}\n{WIDE}")


def test_levels_for_which_there_is_no_memory_are_refused_by_training_with_the_line(wide):
    answer = command("train", "dataset=wide.yaml", *SMALL)
    assert answer.code == 2
    assert f"wide.yaml: column 'city' has {SIZE}" in answer.err
    assert "in 8.0 GB of memory; leave it out, columns: {city: {type: ignore}}, or merge levels" in answer.err
    assert not paths_config.database("wide").exists()


def test_levels_for_which_there_is_no_memory_are_left_out_of_the_look_and_told(wide, capsys):
    assert main(["wide.yaml"]) == 2
    shown = capsys.readouterr()
    assert f"error: wide.yaml: column 'city' has {SIZE}" in shown.err
    assert "too many levels: city" in shown.out
    Path("wide.yaml").write_text(Path("wide.yaml").read_text().replace("type: categorical", "type: ignore"))
    assert main(["wide.yaml"]) == 0


def test_a_sensitive_column_for_whose_groups_there_is_no_memory_is_refused_with_the_line(wide, capsys):
    words = ("dataset=csv", "dataset.path=wide.csv", "dataset.label=hired", "dataset.sensitive=city", *SMALL)
    for said in (command("train", *words).err, main(["wide.csv", "label=hired", "sensitive=city", "out=w.yaml"])):
        said = capsys.readouterr().err if said == 2 else said
        assert f"column 'city' has {SIZE}" in said
        assert "take it out of sensitive, or merge levels, such as columns: {city: {type: categorical, merge:" in said


def test_very_many_levels_that_fit_are_told_before_they_are_encoded(wide, monkeypatch, capsys):
    monkeypatch.setattr("utils.tables.settling.memory", lambda: 15 * 10**9)
    monkeypatch.setattr("utils.datasets.table.from_settled", lambda *_, **__: capsys.readouterr().err)
    monkeypatch.setattr("utils.datasets.table.unsaid_favourable", lambda _: "")
    said = build_table(read_schema(Path("wide.yaml")), name="w", where="wide.yaml", folder=Path(), seed=0)
    assert f"warning: wide.csv, city: {SIZE} [columns: {{city: {{type: ignore}}}}]" in said


def test_the_memory_of_this_process_is_no_more_than_the_machine_has():
    assert 2**28 < memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
