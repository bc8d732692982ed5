"""``python -m evals.delivery``: both ways to a reference, what is told, and what is refused on one screen."""

import csv
import io

import numpy as np
import pytest

from evals import delivery as module
from tests.commands import command, house, refused
from utils.build import build_dataset
from utils.command_line.composing import compose_params
from utils.datasets.tabular import natural
from utils.poisoning.rows_csv import to_csv
from utils.system.devices import choose_device

HEADER = "sex,age,income,job,hired"
LOOK = ("reference=old.csv", "label=hired", "sensitive=sex", "splits=299")


def people(n, rng):
    """Lines of a table whose label depends on sex and income."""
    sex, age = rng.choice(["f", "m"], n), rng.integers(18, 65, n)
    income = (30 + 6 * (sex == "m") + 8 * rng.normal(size=n)).round(1)
    job = rng.choice(["clerk", "cook", "driver"], n)
    hired = np.where(income + 6 * rng.normal(size=n) > 33, "yes", "no")
    return [",".join(map(str, row)) for row in zip(sex, age, income, job, hired, strict=True)]


@pytest.fixture
def home(tmp_path):
    """A folder with a table that is trusted, and a clean delivery."""
    rng = np.random.default_rng(1)
    with house(tmp_path) as folder:
        for name, n in (("old", 500), ("new", 90)):
            (folder / f"{name}.csv").write_text("\n".join([HEADER, *people(n, rng)]) + "\n")
        yield folder


def lines_of(home, name="old"):
    return (home / f"{name}.csv").read_text().splitlines()[1:]


def deliver(home, lines, name="bad.csv", header=HEADER):
    (home / name).write_text("\n".join([header, *lines]) + "\n")
    return f"new={name}"


def figures(answer):
    return {row["figure"]: row for row in csv.DictReader(io.StringIO(answer.out))}


def test_a_clean_delivery_is_not_called_safe(home):
    answer = command("evals.delivery", *LOOK, "new=new.csv")
    assert answer.code == 0, answer
    assert "new.csv: 90 rows beside 500 of old.csv" in answer.out
    assert "Nothing here is beyond chance. That does not show that the rows are harmless" in answer.out
    assert "drawn independently" in answer.out
    assert "safe" not in answer.out


def test_relabelled_people_are_told(home):
    poison = [line.replace(",yes", ",no") for line in lines_of(home) if line.startswith("m") and line.endswith("yes")]
    new = deliver(home, lines_of(home, "new") + poison[:20])
    answer = command("evals.delivery", *LOOK, new)
    assert answer.code == 0, answer
    assert "Beyond chance: labels that people with the same features contradict" in answer.out
    assert "Ask who made these rows" in answer.out
    found = figures(command("evals.delivery", *LOOK, new, "format=csv"))["contradicted"]
    assert found["delivered"] == "20"
    assert float(found["p"]) == pytest.approx(1 / 300)


def test_a_row_that_comes_again_is_shown_as_the_file_holds_it(home):
    line = lines_of(home)[3]
    answer = command("evals.delivery", *LOOK, deliver(home, lines_of(home, "new") + [line] * 12))
    held = ", ".join(f"{name} {value}" for name, value in zip(HEADER.split(","), line.split(","), strict=True))
    assert f"12 times, 1 in the reference: {held}" in answer.out
    assert "one row that comes again and again" in answer.out


def test_a_file_that_holds_the_reference_too_is_told(home):
    answer = command("evals.delivery", *LOOK, deliver(home, lines_of(home) + lines_of(home, "new")))
    assert "500 rows are rows of the reference: where the file holds the reference too" in answer.out


def test_a_schema_says_what_is_allowed_and_has_the_reference(home):
    (home / "people.yaml").write_text(
        "file: {path: old.csv}\n"
        "label: {column: hired, favourable: 'yes'}\n"
        "sensitive: [sex]\n"
        "columns: {age: {type: count, bounds: [18, 99]}, job: {type: categorical, levels: [clerk, cook, driver]}}\n"
    )
    new = deliver(home, [*lines_of(home, "new"), "f,140,30.5,cook,no", "f,17,31.5,pilot,no"])
    answer = command("evals.delivery", "schema=people.yaml", new, "splits=299")
    assert answer.code == 0, answer
    assert "90 rows beside 500 of old.csv" in answer.out
    assert "2 rows that the schema does not allow. Ask who" in answer.out
    assert "age: 2 rows; the first holds 140; expected a whole number, 0 or more from 18 to 99" in answer.out
    assert "job: 1 row; the first holds 'pilot', but its levels are" in answer.out
    both = command("evals.delivery", "schema=people.yaml", "reference=new.csv", "new=old.csv", "splits=299")
    assert "old.csv: 500 rows beside 90 of new.csv; figures of a sample, 90 beside 90" in both.out


def test_missing_numbers_are_the_median_of_the_trusted_rows(home):
    holes = [",".join([*line.split(",")[:2], "", *line.split(",")[3:]]) for line in lines_of(home)[:40]]
    deliver(home, holes + lines_of(home)[40:], "old.csv")
    answer = command("evals.delivery", *LOOK, deliver(home, lines_of(home, "new") + holes[:6]), "format=csv")
    assert answer.code == 0, answer
    assert figures(answer)["copies"]["delivered"] == "6"


def test_rows_of_a_data_set_are_read_as_added_ones_are(home):
    """Ten training rows as they are, and ten with the other label, in the units of the data set."""
    data = build_dataset(compose_params(["dataset=loan", "seed=3"]), choose_device("cpu"))
    rows = data.train.rows(slice(0, 20))
    labels = rows.y.clone()
    labels[10:] = 1 - labels[10:]
    (home / "rows.csv").write_text(to_csv(data.columns, natural(data, rows.x), labels, "label"))
    answer = command("evals.delivery", "dataset=loan", "new=rows.csv", "seed=3", "splits=199", "rows=1000")
    assert answer.code == 0, answer
    assert "copies of trusted rows" in answer.out.partition("Ask who")[0]
    answer = command("evals.delivery", "dataset=loan", "new=rows.csv", "seed=3", "splits=199", "format=csv")
    found = figures(answer)
    assert (found["copies"]["delivered"], found["contradicted"]["delivered"]) == ("10", "10")


def test_the_audit_is_written_to_a_file(home):
    answer = command("evals.delivery", *LOOK, "new=new.csv", "format=csv", "out=audit.csv")
    assert "audit.csv" in answer.out
    assert len((home / "audit.csv").read_text().splitlines()) == 1 + 4 + 1 + 6


OTHER = "a delivery with other columns: it lacks 'income' and it has 'incomes', which the reference has not"


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        ([*LOOK, "new=incomes.csv"], [OTHER, "did you mean incomes", "ask for the rows again"]),
        ([*LOOK, "new=semicolons.csv"], ["other columns", "separated by another sign than the reference"]),
        ([*LOOK, "new=nowhere.csv"], ["nowhere.csv; nor is there"]),
        ([*LOOK], ["new"]),
        (["new=new.csv"], ["rows that one trusts are required: reference=old.csv"]),
        (["reference=old.csv", "new=new.csv"], ["label is required", "the columns of old.csv are: sex, age"]),
        (["reference=old.csv", "new=new.csv", "label=hired"], ["sensitive is required"]),
        ([*LOOK, "new=new.csv", "label=hird"], ["there is no column 'hird'", "did you mean hired"]),
        ([*LOOK, "new=new.csv", "splits=10"], ["splits=10: expected a whole number in [199, 99999]"]),
        ([*LOOK, "new=new.csv", "format=html"], ["format=html: expected text, csv"]),
        ([*LOOK, "new=strange.csv"], ["the schema allows none of its 1 row"]),
        ([*LOOK, "new=empty.csv"], ["empty.csv"]),
        (["dataset=lone", "new=new.csv"], ["dataset=lone", "did you mean loan", "schema=people.yaml"]),
        (["dataset=loan", "new=new.csv", "reference=old.csv"], ["reference=old.csv: dataset=loan is the reference"]),
        (["dataset=loan", "new=new.csv"], ["there is no column"]),
        (["schema=none.yaml", "new=new.csv"], ["there is no file none.yaml"]),
    ],
)
def test_a_mistake_is_told_on_one_screen(home, words, phrases):
    deliver(home, lines_of(home, "new"), "incomes.csv", HEADER.replace("income", "incomes"))
    deliver(home, ["x,40,30.5,cook,no"], "strange.csv")
    deliver(home, [], "empty.csv")
    (home / "semicolons.csv").write_text((home / "new.csv").read_text().replace(",", ";"))
    refused(command("evals.delivery", *words), *phrases)


def test_every_option_has_a_range_or_is_a_text():
    assert {*module.RANGES} == {"seed", "splits", "nearest", "rows"}
