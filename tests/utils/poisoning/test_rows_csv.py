"""Rows as a CSV file: to the bit there and back, what is refused, and training on it."""

from dataclasses import replace

import pytest
import torch
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import paths_config
from tests.commands import SMALL, command, house, refused
from tests.utils.poisoning.tables import COLUMNS, dataset, space
from utils.build import build_run
from utils.datasets.tabular import binary, continuous, indicators, mark, natural
from utils.poisoning.features import Rows
from utils.poisoning.rows_csv import checksum, read, to_csv, with_file, with_rows
from utils.run_store import RunStore
from utils.runs.fitting import fit_together

NAMES = [c.name for c in COLUMNS]
DATA = dataset()
SPACE = space(DATA, copies=3)
POINTS = [
    {"sex": 0, "age": 31, "job": 1, "height": 1.7123456789, "origin": 5, "label": 1, "copies": 2},
    {"sex": 1, "age": 60, "job": 0, "height": 1.8, "origin": 1, "label": 0, "copies": 1},
]
ROWS = SPACE.rows(POINTS)
TEXT = to_csv(SPACE.columns, *ROWS, "label")
HEIGHT = next(c.bounds for c in DATA.columns if c.name == "height")


@pytest.fixture
def file(tmp_path):
    def written(text):
        path = tmp_path / "rows.csv"
        path.write_text(text)
        return path

    return written


# --- there and back --------------------------------------------------------------------------------------------


def test_whole_numbers_have_no_decimals_and_copies_are_lines_of_their_own():
    header, first, second, _ = TEXT.splitlines()
    assert header == "sex,age,cook,nurse,smith,young,middle,old,height,origin,tall,label"
    assert first == second == "0,31,0,1,0,0,1,0,1.7123456789,5,0,1"


@given(heights=st.lists(st.floats(*HEIGHT), min_size=1, max_size=5), age=st.integers(20, 60))
@settings(max_examples=60)
def test_rows_are_read_back_to_the_bit(heights, age, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    rows = SPACE.rows([POINTS[0] | {"height": height, "age": age} for height in heights])
    path.write_text(to_csv(SPACE.columns, *rows, "label"))
    found = read(path, DATA.columns, 2)
    assert torch.equal(found.natural.view(torch.int64), rows.natural.view(torch.int64))
    assert all(map(torch.equal, SPACE.batch(found), SPACE.batch(rows)))


def test_the_order_of_the_columns_is_free_and_the_label_has_any_name(file):
    lines = [",".join(reversed(each.split(","))) for each in TEXT.replace("label", "hired").splitlines()]
    assert torch.equal(read(file("\n".join(lines)), DATA.columns, 2).natural, ROWS.natural)


def test_no_rows_are_a_header(file):
    text = to_csv(SPACE.columns, *SPACE.rows([]), "label")
    assert read(file(text), DATA.columns, 2).natural.shape == (0, len(NAMES))


def test_wider_bounds_than_the_schemas_may_have_been_asked_for(file):
    wide = space(DATA, bounds={"age": [0, 120]}).rows([POINTS[0] | {"age": 110}])
    assert read(file(to_csv(SPACE.columns, *wide, "label")), DATA.columns, 2).natural[0, 1] == 110


# --- in the words of the owner ---------------------------------------------------------------------------------


def in_words():
    """sex in two texts, race in three, one of which a spreadsheet would calculate."""
    race = indicators("race", ("=black", "asian, other", "white"))
    columns = mark((replace(binary("sex")[0], texts=("female", "male")), *race, *continuous("age")), "race", None)
    return columns, torch.tensor([[0, 1, 0, 0, 40.5], [1, 0, 1, 0, 30]]).double(), torch.tensor([0, 1])


def test_levels_are_written_by_their_texts_and_indicators_as_their_attribute():
    text = to_csv(*in_words(), "label")
    assert text.splitlines() == ["sex,race,age,label", "female,'=black,40.5,0", 'male,"asian, other",30.0,1']


def test_what_is_written_in_words_is_read_back(file):
    columns, natural, labels = in_words()
    found = read(file(to_csv(columns, natural, labels, "label")), columns, 2)
    assert torch.equal(found.natural, natural)
    assert torch.equal(found.labels, labels)


def test_numbers_are_read_where_there_are_words(file):
    """As files from before levels had texts hold them."""
    columns, natural, labels = in_words()
    plain = [replace(c, texts=()) for c in columns]
    assert torch.equal(read(file(to_csv(plain, natural, labels, "label")), columns, 2).natural, natural)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("female", "Female", "row 0: column 'sex' holds 'Female'; expected one of female, male"),
        ("female", "2", "row 0: column 'sex' holds '2'"),
        ("'=black", "1", "row 0: column 'race' holds '1'; expected one of =black, asian, other, white"),
        ("race", "origin", "there is no column 'race'"),
    ],
)
def test_another_text_is_refused(file, old, new, words):
    columns, natural, labels = in_words()
    with pytest.raises(ValueError, match=words):
        read(file(to_csv(columns, natural, labels, "label").replace(old, new)), columns, 2)


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("age", "aeg", r"rows.csv: there is no column 'age'; did you mean aeg\?"),
        (",label", ",label,weight", r"of other names 'label', 'weight'"),
        (",label", ",sex", r"of other names none"),
        ("1,60", "1,sixty", r"rows.csv, row 2: column 'age' holds 'sixty', not a finite number"),
        ("1,60", "1,nan", r"rows.csv, row 2: column 'age' holds 'nan', not a finite number"),
        ("1,60", "1,", r"rows.csv, row 2: column 'age' holds '', not a finite number"),
        ("1,60,", "1,", r"rows.csv, row 2: 11 fields, but its header has 12"),
        ("1,60", "1,60.5", r"rows.csv, row 2: column 'age' holds 60.5, but its values are whole numbers"),
        ("1,60", "1,20", r"rows.csv, row 2: column 'young' holds 0 where age is 20"),
        ("1,60,1", "1,60,0", r"rows.csv, row 2: 0 of the indicators of 'job'"),
        ("5,0,1\n", "5,0,2\n", r"rows.csv, row 0: 'label' is 2; expected a class, a whole number from 0 to 1"),
    ],
)
def test_a_file_that_holds_other_rows_is_refused(file, old, new, words):
    with pytest.raises(ValueError, match=words):
        read(file(TEXT.replace(old, new, 1)), DATA.columns, 2)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*rows.csv"):
        read(tmp_path / "rows.csv", DATA.columns, 2)


def test_the_label_cannot_have_the_name_of_a_column():
    with pytest.raises(ValueError, match="the label cannot be named 'age'"):
        to_csv(SPACE.columns, *ROWS, "age")


def test_columns_with_commas_in_their_names_are_quoted(file):
    columns = mark(continuous("a, b", "c"), (), None)
    rows = Rows(torch.tensor([[0.1, 0.2]], dtype=torch.float64), torch.tensor([1]))
    assert torch.equal(read(file(to_csv(columns, *rows, "y")), columns, 2).natural, rows.natural)


# --- training on it --------------------------------------------------------------------------------------------


def test_the_rows_of_a_file_are_those_of_the_batch_behind_the_training_rows(file):
    found = with_file(DATA, file(TEXT))
    assert all(map(torch.equal, found, with_rows(DATA.train, SPACE.batch(ROWS))))
    assert found.index[-3:].tolist() == [-1, -2, -3]


LOAN = ("dataset=loan", "dataset.rows=80", "trainer.epochs=3", "device=cpu")


def configured(*words):
    with initialize_config_dir(config_dir=str(paths_config.ROOT / "config"), version_base="1.3"):
        return OmegaConf.to_container(compose("train", overrides=[*LOAN, *words]), resolve=True)


@pytest.fixture(scope="module")
def loan(tmp_path_factory):
    """A run on the loan data, rows of its space, and their file."""
    run = build_run(configured())
    of = space(run.dataset, label=1)
    rows = of.snap(run.dataset.loc + run.dataset.scale * torch.randn(5, len(of.columns), dtype=torch.float64))
    rows = Rows(rows, torch.ones(5, dtype=torch.int64))
    path = tmp_path_factory.mktemp("added") / "rows.csv"
    path.write_text(to_csv(of.columns, *rows, "label"))
    return run, of.batch(rows), path


def test_training_on_a_file_gives_the_bits_of_training_on_the_rows(loan):
    run, rows, path = loan
    by_file = build_run(configured(f"added={path}"))
    by_rows = replace(run, dataset=replace(run.dataset, train=with_rows(run.dataset.train, rows)))
    assert fit_together([by_file], watch=lambda *_: None) == fit_together([by_rows], watch=lambda *_: None) == [None]
    weights, others = by_file.model.state_dict(), by_rows.model.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in others)


def test_what_the_file_holds_is_part_of_the_identity_and_its_path_is_not(loan, tmp_path):
    run, _, path = loan
    same, other = tmp_path / "same.csv", tmp_path / "other.csv"
    same.write_bytes(path.read_bytes())
    other.write_text("\n".join(path.read_text().splitlines()[:-1]))
    ids = [build_run(configured(f"added={file}")).run_id for file in (path, same, other)]
    assert ids[0] == ids[1]
    assert len({run.run_id, *ids}) == 3


def test_the_causal_model_is_that_of_the_data_sets_own_rows(loan):
    run, _, path = loan
    words = ("scm=linear", f"added={path}")
    own, added = build_run(configured(words[0])).ctx.scm, build_run(configured(*words)).ctx.scm
    v = own.own(run.dataset.test.x)
    assert torch.equal(own.to_noise(v), added.to_noise(v))


def test_the_command_trains_on_the_rows_and_says_how_many_there_are(loan, tmp_path):
    with house(tmp_path):
        answer = command("train", *LOAN, *SMALL, f"added={loan[2]}")
        assert answer.code == 0
        record = RunStore(paths_config.database("loan")).all()[0]
    assert record["rows"]["train"] == len(loan[0].dataset.train.y) + 5
    added = record["added"]
    assert (added["path"], added["sha256"]) == (str(loan[2]), checksum(loan[2]))
    assert (added["rows"], added["invented"]) == (5, 5)  # random numbers, which nobody has
    assert "5 of 5: invented" in answer.out


def test_a_training_row_with_another_label_is_counted_as_that(loan, tmp_path):
    """Through the file and back to the bit: a row of the training split, once as it is and once relabelled."""
    run, _, _ = loan
    data, path = run.dataset, tmp_path / "twice.csv"
    rows = data.train.rows(slice(0, 1))
    labels = torch.tensor([int(rows.y), 1 - int(rows.y)])
    path.write_text(to_csv(data.columns, natural(data, rows.x).repeat(2, 1), labels, "label"))
    found = build_run(configured(f"added={path}")).added
    assert (found["copies"], found["relabelled"], found["contradicted"], found["invented"]) == (1, 1, 1, 0)


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["added=nowhere.csv"], ["there is no file nowhere.csv"]),
        (["added=3"], ["added=3: expected null, or the path of a CSV file"]),
        (["dataset=digits", "added=rows.csv"], ["added=rows.csv: rows are added to tables, and dataset=digits"]),
    ],
)
def test_the_command_refuses_what_it_cannot_add(words, phrases, tmp_path):
    with house(tmp_path):
        (tmp_path / "rows.csv").write_text(TEXT)
        refused(command("train", *words), *phrases)
