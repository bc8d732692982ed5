"""German credit: the publisher's figures on the real file, encodings and errors on small ones."""

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from utils.datasets.german import ATTRIBUTES, COLUMNS, encode, label, read
from utils.datasets.tabular import natural

real = pytest.mark.skipif(
    not (paths_config.data() / "german/german.data").is_file(),
    reason="no german/german.data in the data folder (TRILEMMA_DATA)",
)
ROW = "A11 6 A34 A43 1169 A65 A75 4 {} A101 4 A121 67 A143 A152 2 A173 1 A192 A201 {}"


def settings():
    config = OmegaConf.load(paths_config.ROOT / "config/dataset/german.yaml")
    del config["defaults"]
    return config


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))
    path = tmp_path / "german/german.data"
    path.parent.mkdir()

    def table(lines):
        path.write_text("\n".join(lines) + "\n")
        return path

    return table


def small():
    return [ROW.format(status, risk) for status in ("A92", "A93") for risk in (1, 2)] * 5


@real
def test_rows_and_counts_are_the_publishers():
    """german.doc: 1,000 instances, 700 good; the statuses of its file: 310 women, 548 single men."""
    dataset = instantiate(settings())(seed=0)
    parts = (dataset.train, dataset.valid, dataset.test)
    x, y = natural(dataset, torch.cat([p.x for p in parts])), torch.cat([p.y for p in parts])
    place = [c.name for c in dataset.columns].index
    assert (len(x), int(y.sum())) == (1000, 700)
    assert (int(x[:, place("sex")].sum()), int(x[:, place("single")].sum())) == (690, 548)


@real
def test_every_column_varies_in_the_publishers_file():
    frame = encode(read(paths_config.data() / "german/german.data"))
    assert frame.columns[frame.nunique() < 2].tolist() == []


def test_sex_is_sensitive_and_no_graph_is_known(write):
    write(small())
    dataset = instantiate(settings())(seed=0)
    assert dataset.groups == ("sex=0", "sex=1")
    assert dataset.parents is None
    assert dataset.scm is None


def test_all_twenty_attributes_are_encoded():
    attributes = {c.name.split("=")[0] for c in COLUMNS} - {"sex", "single"} | {"personal_status_sex"}
    assert attributes == set(ATTRIBUTES)
    assert len(attributes) == 20


@pytest.mark.parametrize(
    ("status", "male", "single"), [("A91", 1, 0), ("A92", 0, 0), ("A93", 1, 1), ("A94", 1, 0), ("A95", 0, 1)]
)
def test_personal_status_splits_into_sex_and_single(write, status, male, single):
    frame = encode(read(write([ROW.format(status, 1)])))
    assert frame[["sex", "single"]].to_numpy().tolist() == [[male, single]]


def test_an_attribute_of_several_codes_is_one_hot(write):
    frame = encode(read(write([ROW.format("A93", 1)])))
    purposes = [c for c in frame if c.startswith("purpose=")]
    assert [c for c in purposes if frame[c][0] == 1] == ["purpose=A43"]
    assert len(purposes) == 10


def test_an_attribute_of_two_codes_is_one_where_the_answer_is_yes(write):
    frame = encode(read(write([ROW.format("A93", 1)])))
    assert frame[["telephone", "foreign_worker"]].to_numpy().tolist() == [[1, 1]]


def test_numbers_are_in_natural_units(write):
    frame = encode(read(write([ROW.format("A93", 1)])))
    assert frame[["duration", "credit_amount", "age"]].to_numpy().tolist() == [[6, 1169, 67]]


def test_a_good_risk_is_class_one(write):
    assert label(read(write([ROW.format("A93", 1), ROW.format("A93", 2)]))).tolist() == [1, 0]


@pytest.mark.parametrize(("status", "risk", "column"), [("A99", 1, "personal_status_sex"), ("A93", 3, "risk")])
def test_an_unknown_code_is_named_with_file_and_column(write, status, risk, column):
    write([*small(), ROW.format(status, risk)])
    with pytest.raises(ValueError, match=rf"german.data: column '{column}' holds .* in row 20"):
        instantiate(settings())(seed=0)


def test_a_row_of_another_length_is_named(write):
    write([*small(), "A11 6"])
    with pytest.raises(ValueError, match=r"german.data, line 21: 2 fields, but 21 are expected"):
        instantiate(settings())(seed=0)


def test_an_empty_file_is_named(write):
    write([""])
    with pytest.raises(ValueError, match=r"german.data is empty"):
        instantiate(settings())(seed=0)
