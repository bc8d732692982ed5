"""Adult: the publisher's figures on the real file, encodings and errors on small ones."""

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from utils.datasets.adult import adult, encode, label, read
from utils.datasets.tabular import natural

real = pytest.mark.skipif(
    not (paths_config.data() / "adult/adult.data").is_file(),
    reason="no adult/adult.data in the data folder (TRILEMMA_DATA)",
)


def settings():
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/adult.yaml")
    del config["defaults"]
    return config


def everything(dataset):
    parts = (dataset.train, dataset.valid, dataset.test)
    return natural(dataset, torch.cat([p.x for p in parts])), torch.cat([p.y for p in parts])


def person(**changes):
    fields = dict(
        zip(("sex", "marital", "country", "income"), ("Male", "Divorced", "United-States", "<=50K"), strict=True)
    )
    fields.update(changes)
    return (
        f"30, Private, 1, HS-grad, 9, {fields['marital']}, Sales, Husband, White, {fields['sex']}, 0, 0, 38, "
        f"{fields['country']}, {fields['income']}"
    )


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the two files of a small Adult into a data folder."""
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    (tmp_path / "adult").mkdir()

    def files(train, test=("|1x3 Cross validator",)):
        (tmp_path / "adult/adult.data").write_text("\n".join(train) + "\n\n")
        (tmp_path / "adult/adult.test").write_text("\n".join(test) + "\n\n")
        return tmp_path / "adult/adult.data"

    return files


def small():
    return [person(sex=sex, income=income) for sex in ("Male", "Female") for income in ("<=50K", ">50K")] * 5


@real
def test_rows_and_shares_are_the_publishers():
    """Counts of the publisher's file: 32,561 rows, 7,841 above 50K, 21,790 men, 29,170 of the US, 15,417 married."""
    x, y = everything(instantiate(settings())(seed=0))
    assert len(x) == 32561
    assert (int(y.sum()), *(int(x[:, i].sum()) for i in (0, 2, 3))) == (7841, 21790, 29170, 15417)


@real
def test_the_test_file_adds_16281_rows_with_3846_above_50k():
    """adult.names: 48,842 instances, 23.93 % above 50K."""
    _, y = everything(instantiate(settings(), test_file=True)(seed=0))
    assert (len(y), int(y.sum())) == (48842, 7841 + 3846)


@real
def test_the_data_are_the_same_whatever_the_seed():
    assert instantiate(settings())(seed=0).fingerprint == instantiate(settings())(seed=1).fingerprint


def test_columns_stand_in_the_order_of_the_graph(write):
    write(small())
    dataset = instantiate(settings())(seed=0)
    assert [c.name for c in dataset.columns] == [
        *("sex", "age", "native_country", "married", "education_num", "hours_per_week")
    ]


def test_the_graph_is_the_published_one(write):
    """Nabi and Shpitser 2018."""
    write(small())
    assert instantiate(settings())(seed=0).parents == {
        "married": ("sex", "age", "native_country"),
        "education_num": ("sex", "age", "native_country", "married"),
        "hours_per_week": ("sex", "age", "native_country", "married"),
    }


def test_sex_is_sensitive_and_education_and_hours_are_actionable(write):
    write(small())
    columns = instantiate(settings())(seed=0).columns
    assert [c.name for c in columns if c.sensitive] == ["sex"]
    assert [c.name for c in columns if c.actionable] == ["education_num", "hours_per_week"]


def test_the_sensitive_column_can_be_chosen(write):
    write([*small(), person(country="Mexico")])
    dataset = instantiate(settings(), sensitive=["sex", "native_country"])(seed=0)
    assert dataset.groups[1] == "sex=0,native_country=1"


@pytest.mark.parametrize(
    ("marital", "married"),
    [
        ("Married-civ-spouse", 1),
        ("Married-spouse-absent", 1),
        ("Married-AF-spouse", 1),
        ("Never-married", 0),
        ("Divorced", 0),
        ("Separated", 0),
        ("Widowed", 0),
    ],
)
def test_married_is_any_of_the_three_marriages(write, marital, married):
    assert encode(read(write([person(marital=marital)])))["married"].tolist() == [married]


@pytest.mark.parametrize(("country", "us"), [("United-States", 1), ("Mexico", 0), ("?", 0)])
def test_an_unknown_country_counts_as_another(write, country, us):
    assert encode(read(write([person(country=country)])))["native_country"].tolist() == [us]


@pytest.mark.parametrize(("income", "y"), [(">50K", 1), ("<=50K", 0), (">50K.", 1), ("<=50K.", 0)])
def test_labels_with_and_without_dot(write, income, y):
    assert label(read(write([person(income=income)]))).tolist() == [y]


def test_numbers_are_in_natural_units(write):
    frame = encode(read(write([person()])))
    assert frame[["age", "education_num", "hours_per_week"]].to_numpy().tolist() == [[30, 9, 38]]


def test_the_test_file_is_read_below_its_comment(write):
    write(small(), ["|1x3 Cross validator", person(income=">50K.")])
    _, y = everything(instantiate(settings(), test_file=True)(seed=0))
    assert len(y) == 21


def test_rows_keep_their_numbers_across_both_files(write):
    write(small(), [person(sex="Female", country="Peru", income=">50K.")])
    dataset = instantiate(settings(), test_file=True)(seed=0)
    parts = (dataset.train, dataset.valid, dataset.test)
    x, y = everything(dataset)
    last = torch.cat([p.index for p in parts]) == 20
    assert (x[last, 2].item(), y[last].item()) == (0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sex": "X"}, "adult.data: column 'sex' holds 'X' in row 20"),
        ({"marital": "Engaged"}, "adult.data: column 'marital-status' holds 'Engaged' in row 20"),
        ({"income": "50K"}, "adult.data: column 'income' holds '50K' in row 20"),
    ],
)
def test_an_unknown_value_is_named_with_file_column_and_row(write, change, message):
    write([*small(), person(**change)])
    with pytest.raises(ValueError, match=message):
        instantiate(settings())(seed=0)


def test_a_row_of_another_length_is_named_with_file_and_line(write):
    write([*small(), "30, Private"])
    with pytest.raises(ValueError, match=r"adult.data, line 21: 2 fields, but 15 are expected"):
        instantiate(settings())(seed=0)


def test_an_empty_file_is_named(write):
    write([""])
    with pytest.raises(ValueError, match=r"adult.data is empty"):
        instantiate(settings())(seed=0)


def test_age_cannot_be_sensitive(write):
    write(small())
    with pytest.raises(ValueError, match="data set adult: the sensitive column 'age' is continuous"):
        adult(name="adult", seed=0, split=[0.6, 0.2, 0.2], sensitive=["age"], actionable=[], test_file=False)


def test_index_is_the_line_of_the_file_counted_from_zero(write):
    lines = small()
    write(lines)
    dataset = instantiate(settings())(seed=0)
    male = np.array(["Male" in line for line in lines])
    assert np.array_equal(dataset.train.x[:, 0].numpy() == 1, male[dataset.train.index])
