"""No cell, row or level takes another meaning in silence: tables of known content, read by hand beside."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from utils.datasets import table as tables
from utils.datasets.table import build_table
from utils.datasets.tabular import fingerprint
from utils.system import console
from utils.tables import column_types, sniffing
from utils.tables.reading import read_table, tidy
from utils.tables.table_schema import FileFormat, from_plain

AGE = {"type": "count", "missing": "median+flag"}


def people(n=120, **columns):
    rng = np.random.default_rng(0)
    rows = {
        "sex": rng.choice(["f", "m"], n),
        "age": rng.integers(18, 70, n),
        "income": rng.normal(40, 5, n).round(2),
        "hired": rng.choice(["no", "yes"], n),
    }
    return pd.DataFrame(rows | columns)


def load(path, text, **schema):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    content = {"file": {"path": str(path)}, "label": "hired", "sensitive": ["sex"], **schema}
    return build_table(from_plain(content, "people.yaml"), name="mine", where="people.yaml", folder=None, seed=0)


@pytest.fixture
def read(tmp_path):
    """Reads a table by a schema: its rows in natural units, by their number in the file, and the data set."""

    def of(table, **schema):
        text = table.to_csv(index=False) if isinstance(table, pd.DataFrame) else table
        dataset = load(tmp_path / "people.csv", text, **schema)
        parts = [dataset.train, dataset.valid, dataset.test]
        numbers = np.concatenate([(part.x.double() * dataset.scale + dataset.loc).numpy() for part in parts])
        index = np.concatenate([part.index for part in parts])
        frame = pd.DataFrame(numbers, columns=[c.name for c in dataset.columns], index=index).sort_index()
        return frame, dataset

    return of


def test_a_text_of_missing_values_that_is_merged_is_a_level(read):
    table = people(sex=np.resize(["f", "m", "?"], 120))
    frame, dataset = read(table, columns={"sex": {"type": "categorical", "merge": {"unknown": ["?"]}}})
    assert dataset.groups == ("sex=f", "sex=m", "sex=unknown")
    assert (frame["sex=unknown"] == (table.sex == "?")).all()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"hired": {"type": "binary", "missing": "level"}}, "a row without its label teaches nothing"),
        ({"sex": {"type": "categorical", "missing": "median"}}, "a column of levels has refuse, drop or level"),
        ({"age": {"type": "continuous", "missing": "level"}}, "a number has refuse, drop, median or median"),
        ({"age": {"type": "continuous", "bins": [30], "missing": "median"}}, "a column of levels has"),
        ({"age": {"type": "continuous", "bounds": [99, 0]}}, "the lower one first"),
        ({"sex": {"type": "categorical", "merge": {"a": ["f"], "b": ["f", "m"]}}}, "merge: 'f' stands twice"),
        ({"sex": {"type": "categorical", "levels": ["f", "m", "f"]}}, "levels: 'f' stands twice"),
        ({"age": {"type": "continuous", "bins": [30], "bounds": [0, 40]}}, "expected a number from 0 to 40"),
        ({"age": {"type": "date", "bins": [1970]}}, "bins of a date need as_number"),
        ({"sex": {"type": "ignore"}}, "sensitive: 'sex' is left out of the model"),
    ],
)
def test_what_would_mean_two_things_or_nothing_is_refused(read, columns, words):
    with pytest.raises(ValueError, match=words):
        read(people(), columns=columns)


def test_a_missing_cell_is_not_more_than_the_highest_of_an_order(read):
    table = people(grade=np.resize(["low", "mid", "high", ""], 120))
    rule = {"type": "ordered", "levels": ["low", "mid", "high"], "missing": "level"}
    frame, _ = read(table, columns={"grade": rule})
    assert (frame["grade=missing"] == (table.grade == "")).all()
    assert (frame["grade=high"] == (table.grade == "high")).all()


def test_two_classes_cannot_both_be_class_1(read):
    with pytest.raises(ValueError, match="leave one out"):
        read(people(), label={"column": "hired", "favourable": "yes", "positive": "no"})


def test_a_level_named_missing_beside_that_of_missing_cells_is_refused(read):
    table = people(job=np.resize(["clerk", "missing", ""], 120))
    with pytest.raises(ValueError, match="'missing' is a level of its own"):
        read(table, columns={"job": {"type": "categorical", "missing": "level"}})


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (people(sex=np.resize(["f", "m", "x"], 120)).assign(**{"sex=f": 1.5}), {"sex=f": {"type": "continuous"}}),
        (people().assign(**{"age is missing": np.resize([0, 1], 120)}), {"age": AGE}),
    ],
)
def test_a_column_named_as_one_that_is_made_is_refused(read, table, columns):
    with pytest.raises(ValueError, match="two columns are named"):
        read(table, columns=columns)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("job in ['a,b', c]", lambda t: t.job.isin(["a,b", "c"])),
        ("age != 30.0", lambda t: t.age != 30),
        ("sex in [M, f]", lambda t: t.sex.isin(["m", "M", "f"])),
        ("pay >= 30", lambda t: t.pay.str[1:].astype(int) >= 30),
    ],
)
def test_conditions_keep_the_rows_that_they_say(read, condition, kept):
    table = people(sex=np.resize(["m", "M", "f"], 120), job=np.resize(["a,b", "c", "d", "c"], 120))
    table["pay"] = "$" + table.age.astype(str)
    columns = {"sex": {"type": "categorical", "merge": {"M": ["m"]}}}
    frame, _ = read(table, columns=columns, rows=[condition])
    assert list(frame.index) == list(table.index[kept(table)])


def test_a_value_of_a_condition_that_no_row_holds_is_told(read, capsys):
    read(people(job=np.resize(["CH", "DE"], 120)), rows=["job in [CH, DEE]"])
    assert "no row holds 'DEE'" in capsys.readouterr().err


def test_an_error_names_the_row_of_the_file_where_rows_are_left_out(read):
    table = people(k=np.arange(120))
    table.loc[100, "age"] = -5
    columns = {"age": {"type": "count", "bounds": [0, 99]}, "k": {"type": "ignore"}}
    with pytest.raises(ValueError, match="row 100: column 'age' holds -5"):
        read(table, columns=columns, rows=["k >= 50"])


@pytest.mark.parametrize("how", ["cluster", "time", "column"])
def test_rows_that_belong_to_no_part_are_refused(read, how):
    table = people(part=[None, *np.resize(["train", "test"] if how == "column" else [1, 2, 3, 5], 119)])
    with pytest.raises(ValueError, match="'part' is missing in 1 row, the first is row 0"):
        read(table, columns={"part": {"type": "ignore"}}, split={"how": how, "column": "part"})


def test_one_cluster_cannot_be_split(read):
    with pytest.raises(ValueError, match="leaves no validation row"):
        read(people(part=1), split={"how": "cluster", "column": "part"})


# --- The file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("head", "later"), [("1,{}.5", "3,5"), ("1.{},5", "1.5")])
def test_a_mark_of_thousands_far_below_that_is_none_is_refused(read, head, later):
    table = people(1300, income=[head.format(100 + i % 50) for i in range(1200)] + [later] * 100)
    with pytest.raises(ValueError, match=f"column 'income' holds numbers, but '{later}' in row 1200"):
        read(table.to_csv(index=False, sep=";"))


def test_numbers_of_thousands_and_missing_ones_are_read(read):
    table = people(income=np.resize(["1,234.5", "20", "-3,000", "NA"], 120))
    frame, _ = read(table, columns={"income": {"type": "continuous", "missing": "median"}})
    assert frame.income[:3].tolist() == pytest.approx([1234.5, 20, -3000], abs=1e-3)


def test_a_sign_before_that_of_the_unit_is_the_number_s(read):
    frame, _ = read(people(income=np.resize(["-$5.50", "$3.00", "-$1,000.25"], 120)))
    assert frame.income[:3].tolist() == pytest.approx([-5.5, 3, -1000.25], abs=1e-3)


def test_leading_zeros_beside_missing_cells_are_kept(read):
    table = people(zip=np.resize(["01004", "1004", "NA"], 120))
    frame, _ = read(table, columns={"zip": {"type": "categorical", "missing": "level"}})
    assert [name for name in frame if name.startswith("zip")] == ["zip=01004", "zip=1004", "zip=missing"]
    with pytest.raises(ValueError, match="zip: {type: binary, missing: level}"):
        read(table)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_comments_are_left_out_and_no_other_line(read, encoding, end):
    table = people(note=np.resize(["x", f"two{end}# lines", "y"], 120))
    lines = ["# made by me", table.to_csv(index=False, lineterminator=end).rstrip(end), "# the end"]
    frame, _ = read(end.join(lines).encode(encoding))
    assert len(frame) == 120
    assert frame.age.tolist() == pytest.approx(table.age.tolist())


def test_lines_that_look_like_rows_among_comments_are_told(read, capsys):
    table = people()[["sex", "age", "income", "hired"]].assign(sex=np.resize(["#f", "m", "w"], 120))
    _, dataset = read("# made by me\n" + table.to_csv(index=False))
    assert dataset.groups == ("sex=m", "sex=w")
    assert "40 lines left out as comments, though with as many cells as a row" in capsys.readouterr().err


def test_lines_that_end_in_several_ways_are_all_read(read):
    lines = people(1200).to_csv(index=False).splitlines()
    frame, _ = read("\r".join(lines[:900]) + "\r" + "\n".join(lines[900:]))
    assert len(frame) == 1200


@pytest.mark.parametrize(("negative", "unit"), [("($4.00)", "$"), ("$(4.00)", "$"), ("(4.00)", "")])
@pytest.mark.parametrize("every", [2, 30])
def test_numbers_in_brackets_are_negative_as_bookkeepers_write_them(read, capsys, negative, unit, every):
    console.begin()  # forgets what other tables were warned of
    rows = [f"{'fm'[i % 2]},{negative if i % every == 0 else f'{unit}2.50'},{'ny'[i // 2 % 2]}" for i in range(120)]
    frame, dataset = read("\n".join(["sex,pay,hired", *rows]))
    assert sorted(set(frame["pay"].round(4))) == [-4.0, 2.5]
    assert dataset.schema["columns"]["pay"].get("unit", "") == unit
    assert f"those in brackets are negative, as in '{negative}'" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_utf_16_without_a_mark_is_read_and_its_leading_zeros_count(read, encoding):
    rows = [f"{'fm'[i % 2]},{'01004' if i % 3 else '01005'},{'ny'[i // 2 % 2]}" for i in range(120)]
    _, dataset = read("\n".join(["sex,zip,hired", *rows]).encode(encoding))
    assert dataset.schema["columns"]["zip"]["levels"] == ["01004", "01005"]


def test_missing_cells_are_counted_by_groups_of_numbers_and_of_many_levels(read):
    """Ages in two groups, and twelve towns, of which the ten with the most missing cells are named."""
    table = people().assign(town=np.resize([f"t{i:02}" for i in range(12)], 120))
    table["age"] = np.resize([20, 60], 120)
    table["income"] = table["income"].where((np.arange(120) % 12 != 3) | (np.arange(120) < 60))
    columns = {"age": {"type": "continuous", "bins": [40]}, "town": {"type": "categorical"}}
    with pytest.raises(
        ValueError, match=r"by age: under 40 0 of 60, 40 and over 5 of 60; by town: .*t03 5 of 10.*2 more"
    ):
        read(table, columns=columns, sensitive=["age", "town"])


def test_rows_that_stand_twice_are_told_of_any_number(read, capsys):
    """Of 30,000 rows the last 40 repeat the first ones."""
    console.begin()
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"sex": rng.choice(["f", "m"], 29_960), "pay": rng.normal(size=29_960), "debt": rng.random(29_960)}
    )
    table["hired"] = np.where(table["pay"] + rng.normal(size=len(table)) > 0, "yes", "no")
    read(pd.concat([table, table.head(40)]))
    assert "40 rows stand in the file more than once" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16", "utf-32"])
def test_leading_zeros_are_kept_in_every_encoding(read, encoding):
    table = people(zip=np.resize(["01004", "20001"], 120), city=np.resize(["Zürich", "Basel"], 120))
    frame, _ = read(table.to_csv(index=False).encode(encoding), columns={"sex": {"type": "binary"}})
    assert (frame["zip"] == np.resize([0, 1], 120)).all()  # two texts, and no number


@pytest.mark.parametrize("part", [1, 2, 3, 5])
def test_a_zero_at_the_end_of_what_is_read_at_a_time_is_found(tmp_path, monkeypatch, part):
    monkeypatch.setattr(sniffing, "PART", part)
    path = tmp_path / "codes.csv"
    for text, codes in (("x,y\n1,ü\n012,b\n", ["1", "012"]), ("x,y\n10,ü\n102,b\n", [10, 102])):
        path.write_text(text, encoding="utf-8")
        assert read_table(path).cells["x"].tolist() == codes


@pytest.mark.parametrize(
    ("draw", "counts"),
    [
        (lambda rng: rng.poisson(0.4, 600), True),
        (lambda rng: rng.poisson(6, 600), True),
        (lambda rng: rng.negative_binomial(1, 0.25, 600), True),  # priors: mean 3, variance 12
        (lambda rng: rng.integers(0, 5, 600), False),  # answers from 0 to 4
        (lambda rng: rng.choice([0, 1, 2, 3, 4], 600, p=[0.05, 0.1, 0.2, 0.3, 0.35]), False),
        (lambda rng: rng.integers(0, 90, 600), False),  # ages
        (lambda rng: rng.poisson(6, 600) + 1, False),
        (lambda rng: rng.binomial(1, 0.05, 600) * rng.integers(100, 9999, 600), False),  # gains, of few people
        (lambda rng: rng.geometric(0.02, 600) - 1, False),  # days, half of them above 30
        (lambda rng: rng.binomial(8, 0.5, 600), False),  # of 8, which spreads less
    ],
)
def test_what_looks_like_a_count_is_suggested_and_read_as_a_number(draw, counts):
    for seed in range(5):
        cells = pd.Series(draw(np.random.default_rng(seed)).astype(float), name="n")
        found = column_types.propose_one(cells, FileFormat(path="p"), sensitive=False, label=False, path="p")
        assert found.rule.type == "continuous"
        assert any("type: count" in remark.line for remark in found.remarks) == counts


def test_a_schema_that_says_everything_leaves_nothing_to_propose(read, monkeypatch):
    proposed = []
    whole = column_types.propose_one
    monkeypatch.setattr(column_types, "propose_one", lambda *of, **how: proposed.append(of) or whole(*of, **how))
    columns = {"sex": {"type": "binary"}, "age": {"type": "count"}, "income": {"type": "continuous"}}
    read(people(), columns=columns | {"hired": {"type": "binary"}})
    assert not proposed
    read(people(), columns=columns)
    assert [cells.name for cells, _ in proposed] == ["hired"]


@pytest.mark.parametrize("part", [1, 1000, 1 << 22])
def test_rows_do_not_depend_on_how_many_are_encoded_at_a_time(read, monkeypatch, part):
    monkeypatch.setattr(tables, "PART", part)
    table = people(job=np.resize(["a", "b", "c", "NA"], 120), age=np.resize([30, 40, None], 120))
    columns = {
        "job": {"type": "categorical", "missing": "level"},
        "age": {"type": "continuous", "missing": "median+flag"},
        "sex": {"type": "ordered", "levels": ["f", "m"]},
    }
    frame, dataset = read(table, columns=columns, sensitive=["job"])
    assert (frame.filter(like="job=").to_numpy() == pd.get_dummies(table.job.replace("NA", "missing"))).all(axis=None)
    assert np.allclose(frame["income"], table.income, atol=1e-4)
    assert np.array_equal(frame["age is missing"], table.age.isna())
    assert np.array_equal(frame["sex"], table.sex == "m")
    assert dataset.fingerprint == _fingerprint_by_hand(table, dataset)


def _fingerprint_by_hand(table, dataset):
    job = pd.get_dummies(table.job.replace("NA", "missing"), dtype=float)
    numbers = {"age": table.age.astype(float), "age is missing": table.age.isna().astype(float), "income": table.income}
    numbers |= {"sex": (table.sex == "m").astype(float)} | {f"job={level}": job[level] for level in job}
    rows = np.column_stack([numbers[c.name] for c in dataset.columns])
    return fingerprint(dataset.columns, [rows], (table.hired == "yes").to_numpy(np.int64))


def test_an_index_of_parquet_is_a_column_and_decimals_are_numbers(monkeypatch):
    """As pandas saves them; pyarrow need not be there."""
    frame = people().set_index("age").assign(income=[Decimal("1.50"), None] * 60)
    monkeypatch.setattr(pd, "read_parquet", lambda path: frame)
    cells = read_table(Path("people.parquet")).cells
    assert cells["age"].tolist() == people()["age"].tolist()
    assert cells["income"].tolist()[0] == 1.5
    assert np.isnan(cells["income"][1])


@pytest.mark.parametrize("cell", [[1, 2], {"a": 1}, np.arange(2)])
def test_cells_that_hold_several_things_are_refused(cell):
    with pytest.raises(ValueError, match="column 'note' holds lists or the like"):
        tidy(pd.DataFrame({"note": [cell, cell]}))
