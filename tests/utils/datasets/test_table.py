"""A table by its schema: from the file's own cells to rows, and the same for rows that come later."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from tests.commands import command, house
from utils.datasets.table import build_table
from utils.datasets.tabular import natural
from utils.model_zoo import predictor
from utils.run_store import RunStore
from utils.tables.new_rows import encode_rows
from utils.tables.table_schema import from_plain
from utils.views.short_rows import ShortRows

import paths_config  # isort: skip

FAST = ("trainer.epochs=3", "epsilon.evaluate=[0.05]", "evaluation.metrics.group.intervals=0", "operating_points=null")


def people(n=600, seed=0):
    rng = np.random.default_rng(seed)
    sex = rng.choice(["woman", "man", "other"], n, p=[0.45, 0.45, 0.1])
    edu = rng.choice(["school", "college", "phd"], n)
    frame = pd.DataFrame(
        {
            "sex": sex,
            "age": rng.integers(18, 70, n),
            "edu": edu,
            "region": rng.choice([101, 205, 309], n),
            "pay": rng.normal(30, 5, n).round(2),
            "visit": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), "D"),
        }
    )
    score = frame["pay"] + 4 * (frame["region"] == 205) + 0.1 * frame["age"] + rng.normal(0, 2, n)
    return frame.assign(hired=np.where(score > 36, "yes", "no"))


@pytest.fixture
def load(tmp_path):
    """Writes a table and reads it by a schema."""

    def data_set(frame=None, seed=0, **schema):
        (people() if frame is None else frame).to_csv(tmp_path / "people.csv", index=False)
        content = {"file": {"path": "people.csv"}, "label": "hired", "sensitive": "sex", **schema}
        return build_table(from_plain(content, "s"), name="people", where="people.yaml", folder=tmp_path, seed=seed)

    return data_set


def raw(dataset):
    """All rows used in natural units, with their numbers in the file."""
    parts = (dataset.train, dataset.valid, dataset.test)
    index = torch.cat([part.index for part in parts])
    order = index.argsort()
    return natural(dataset, torch.cat([part.x for part in parts]))[order].numpy(), index[order].numpy()


def column(dataset, name):
    return raw(dataset)[0][:, [c.name for c in dataset.columns].index(name)]


def test_codes_that_are_declared_categories_are_indicators(load):
    dataset = load(columns={"region": {"type": "categorical"}})
    assert np.array_equal(column(dataset, "region=205"), people()["region"] == 205)


def test_ordered_levels_are_numbered_from_the_lowest(load):
    dataset = load(columns={"edu": {"type": "ordered", "levels": ["school", "college", "phd"]}})
    assert np.allclose(column(dataset, "edu"), people()["edu"].map({"school": 0, "college": 1, "phd": 2}), atol=1e-5)


def test_bins_are_groups_and_their_ends_belong_to_the_upper_one(load):
    dataset = load(sensitive=["age"], columns={"age": {"type": "continuous", "bins": [30, 50]}})
    assert dataset.groups == ("age=under 30", "age=30 to under 50", "age=50 and over")
    assert np.array_equal(column(dataset, "age=30 to under 50"), people()["age"].between(30, 49))


def test_days_of_a_date_count_from_1970(load):
    dataset = load(columns={"visit": {"type": "date", "as_number": "days"}})
    assert np.allclose(column(dataset, "visit"), people()["visit"].map(lambda d: (d - pd.Timestamp(0)).days), atol=0.01)


def test_the_default_split_is_stratified_by_class_and_group(load):
    dataset = load()
    for part in (dataset.train, dataset.valid, dataset.test):
        cells = [int(((part.y == y) & (part.s == s)).sum()) for y in (0, 1) for s in range(3)]
        every = people().groupby(["hired", "sex"]).size()
        whole = [every[(y, s)] for y in ("no", "yes") for s in ("man", "other", "woman")]
        assert np.abs(np.array(cells) - np.array(whole) * len(part.y) / 600).max() < 2


@pytest.mark.parametrize(
    "split",
    [
        {"how": "stratified"},
        {"how": "cluster", "column": "region"},
        {"how": "time", "column": "visit"},
        {"how": "column", "column": "part"},
    ],
    ids=lambda split: split["how"],
)
def test_the_first_rows_of_a_part_are_a_sample_of_it(load, split):
    """Whatever order the file and the split have: of class, group and place in the file."""
    frame = people(6000).sort_values(["hired", "sex", "visit"])
    frame["part"] = np.random.default_rng(0).choice(["train", "valid", "test"], len(frame))
    frame["region"] = np.random.default_rng(1).integers(100, 160, len(frame))
    ignored = {} if split["how"] == "column" else {"part": {"type": "ignore"}}
    data = load(frame, split=split, columns={"region": {"type": "continuous"}, **ignored})
    for part in (data.train, data.valid, data.test):
        half = len(part.y) // 2
        for values in (part.y, part.s, part.index):
            assert stats.ks_2samp(values[:half].numpy(), values[half:].numpy()).pvalue > 1e-4


def test_missing_numbers_take_the_median_of_the_training_rows_and_a_flag(load):
    frame = people()
    gone = np.arange(600) % 7 == 0
    dataset = load(
        frame.assign(pay=frame["pay"].mask(gone)), columns={"pay": {"type": "continuous", "missing": "median+flag"}}
    )
    known = set(dataset.train.index.tolist()) - set(np.flatnonzero(gone).tolist())
    median = frame["pay"][sorted(known)].median()
    assert np.allclose(column(dataset, "pay")[gone], median, atol=1e-4)
    assert np.array_equal(column(dataset, "pay is missing"), gone)


def test_the_fingerprint_is_of_the_file_not_of_the_seed(load):
    frame = people()
    holes = frame.assign(pay=frame["pay"].mask(np.arange(600) % 7 == 0))
    rule = {"pay": {"type": "continuous", "missing": "median"}}
    assert load(holes, columns=rule).fingerprint == load(holes, seed=1, columns=rule).fingerprint
    assert load(holes, columns=rule).fingerprint != load(frame, columns=rule).fingerprint


def test_rows_are_chosen_by_conditions_and_keep_their_numbers(load):
    _, index = raw(load(rows=["age >= 40", "sex in [man, woman]", "region != 309"]))
    wanted = people().query("age >= 40 and sex != 'other' and region != 309").index
    assert np.array_equal(index, wanted)


def test_weights_are_those_of_the_rows(load):
    weight = np.arange(1, 601) / 100
    dataset = load(people().assign(w=weight), weights="w")
    rows = dataset.train
    assert np.allclose(rows.w, weight[rows.index.numpy()] / weight.mean(), rtol=1e-5)
    assert "w" not in [c.name for c in dataset.columns]


def test_the_label_may_be_an_effect_in_the_graph_never_a_cause(load):
    assert load(graph={"pay": ["sex"], "hired": ["pay"]}).parents == {"pay": ("sex=man", "sex=other", "sex=woman")}
    with pytest.raises(ValueError, match="'hired', the label, is a cause of 'pay'"):
        load(graph={"pay": ["hired"]})


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"sensitive": "sexx"}, "people.yaml, sensitive: there is no column 'sexx'; did you mean sex"),
        ({"rows": ["agee > 3"]}, "there is no column 'agee'; did you mean age"),
        ({"rows": ["age between"]}, "is no condition; write age >= 18"),
        ({"rows": ["age > 200"]}, "no row is left of 600"),
        ({"columns": {"edu": {"type": "ordered", "levels": ["school", "phd"]}}}, "column 'edu' holds 'college'"),
        ({"columns": {"age": {"type": "continuous", "bounds": [18, 60]}}}, "expected a number from 18 to 60"),
        ({"columns": {"pay": {"type": "count"}}}, "expected a whole number, 0 or more"),
        ({"graph": {"pay": ["visit"]}, "columns": {"visit": {"type": "date"}}}, "'visit' is left out of the model"),
        ({"weights": "edu"}, "column 'edu' holds"),
        ({"split": {"how": "column"}}, "needs split.column"),
        ({"split": {"how": "column", "column": "edu"}}, "expected train, valid or test"),
        ({"split": {"shares": [0.5, 0.2, 0.2]}}, "these sum to 0.9"),
    ],
)
def test_a_schema_that_does_not_fit_is_refused(load, schema, words):
    with pytest.raises(ValueError, match="(?s)" + words.replace(".", r"\.")):
        load(**schema)


def test_a_cycle_is_told_by_attributes_not_by_their_columns(load):
    """Also through attributes that are one column for each level."""
    graph = {"edu": ["sex"], "region": ["edu"], "pay": ["region"], "sex": ["pay"]}
    with pytest.raises(ValueError, match=r"people\.yaml, graph: the graph has the cycle (\w+ -> ){4}\w+; remove one"):
        load(graph=graph, columns={"region": {"type": "categorical"}})


def test_rows_of_the_file_are_encoded_as_in_training(load):
    dataset = load(columns={"region": {"type": "categorical"}, "visit": {"type": "date", "as_number": "days"}})
    again = encode_rows(from_plain(dataset.schema, "record"), people()).values
    assert np.allclose(again, raw(dataset)[0], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sex": "wman"}, r"row 0: column 'sex' holds 'wman', but its levels are .*; did you mean woman"),
        ({"pay": None}, "row 0: column 'pay' is missing"),
        ({"pay": "a lot"}, "row 0: column 'pay' holds 'a lot', not a number"),
        ({"region": 999}, "row 0: column 'region' holds '999'"),
    ],
)
def test_rows_that_cannot_be_are_refused_by_row_and_column(load, change, words):
    dataset = load(columns={"region": {"type": "categorical"}})
    rows = people().head(3).astype(object)
    for name, value in change.items():
        rows.loc[0, name] = value
    with pytest.raises(ValueError, match=words):
        encode_rows(from_plain(dataset.schema, "record"), rows)


def test_missing_columns_are_named(load):
    dataset = load()
    with pytest.raises(ValueError, match=r"the rows lack \['pay'\]"):
        encode_rows(from_plain(dataset.schema, "record"), people().drop(columns="pay"))


SCHEMA = """\
file: {path: people.csv}
columns:
  region: {type: categorical}
  age: {type: continuous, bins: [40]}
sensitive: [sex, age]
label: {column: hired, favourable: no}
graph:
  - sex, age -> pay
"""


def test_from_the_schema_to_a_predictor_of_the_file(tmp_path):
    with house(tmp_path):
        people().to_csv(tmp_path / "people.csv", index=False)
        (tmp_path / "people.yaml").write_text(SCHEMA)
        answer = command("train", "dataset=people.yaml", *FAST)
        assert answer.code == 0, answer
        record = RunStore(paths_config.database("people")).all()[0]
        assert record["params"]["choices"]["scm"] == "learned"
        assert record["preprocessing"]["class_names"] == ["yes", "no"]
        assert command("train", "dataset=people.yaml", *FAST).out.count("finished before") == 1
        rows = pd.read_csv(tmp_path / "people.csv")
        rows[1:].to_csv(tmp_path / "people.csv", index=False)
        told = command("train", "-m", "dataset=people.yaml", "seed=1,2", *FAST).err
        assert told.count("people.yaml gives other rows than those of record 1 (people-") == 1
        (tmp_path / "people.csv").unlink()
        decided = predictor(1, "people")(rows)
        right = np.where(decided["decision"] == 1, "no", "yes") == people()["hired"]
        assert abs(right.mean() - record["metrics"]["accuracy"]) < 0.1
        assert ((decided["class"] == people()["hired"]) == right).all()


def jobs(n=600):
    """People with a job of twelve, so that most columns are indicators."""
    frame = people(n)
    return frame.assign(job=np.random.default_rng(1).choice(list("abcdefghijkl"), n), old=frame["age"] > 50)


def test_rows_in_short_are_those_of_wide_tables_written_out(load, monkeypatch):
    dense = load(jobs())
    assert not isinstance(dense.train.x, ShortRows)
    monkeypatch.setattr("utils.datasets.table.SHORT", 0)
    short = load(jobs())
    for own, other in zip((short.train, short.valid, short.test), (dense.train, dense.valid, dense.test), strict=True):
        assert isinstance(own.x, ShortRows)
        assert own.x.stored < own.x.numel() * 4 / 2
        assert torch.equal(own.x.written_out(), other.x)
        assert all(torch.equal(a, b) for a, b in zip(own[1:], other[1:], strict=True))
    assert short.columns == dense.columns
    assert load(jobs(), seed=1).fingerprint == short.fingerprint != dense.fingerprint
    assert load(jobs().assign(pay=np.arange(600.0))).fingerprint != short.fingerprint
    other_job = jobs()
    other_job.loc[0, "job"] = "a" if other_job["job"][0] != "a" else "b"
    assert load(other_job).fingerprint != short.fingerprint


@pytest.mark.slow
def test_a_run_on_rows_in_short_has_the_figures_of_one_on_rows_written_out(tmp_path, monkeypatch):
    words = (*FAST, "regularizer=erm,causal_adv", "trainer.epochs=1", "scm=linear", "scm.draws=2")
    few = ("evaluation.metrics.unfair_area.samples=20", "evaluation.metrics.unfair_area.steps=2")
    with house(tmp_path):
        jobs().to_csv(tmp_path / "people.csv", index=False)
        (tmp_path / "people.yaml").write_text(SCHEMA + "  - sex -> job\n")
        for short in (1 << 28, 0):
            monkeypatch.setattr("utils.datasets.table.SHORT", short)
            answer = command("train", "-m", "dataset=people.yaml", *words, *few)
            assert answer.code == 0, answer
        dense, again = np.reshape(RunStore(paths_config.database("people")).all(), (2, 2))
        assert len({record["fingerprint"] for record in (*dense, *again)}) == 2
        for one, other in zip(dense, again, strict=True):
            assert one["metrics"] == other["metrics"]
            assert one["weights"]["sha256"] == other["weights"]["sha256"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dataset=other.yaml",), "there is no file other.yaml"),
        (("dataset=people.csv",), "python -m evals.look people.csv"),
        (("-m", "dataset=people.yaml,other.yaml"), "name one schema at a time"),
        (("dataset=table",), "dataset.path is required"),
    ],
)
def test_a_word_that_names_no_schema_is_refused(tmp_path, words, said):
    with house(tmp_path):
        people().to_csv(tmp_path / "people.csv", index=False)
        answer = command("train", *words)
        assert answer.code == 2
        assert said in answer.err


def test_a_reference_group_is_compared_with_on_the_terminal_and_the_card(tmp_path):
    with house(tmp_path):
        people().to_csv(tmp_path / "people.csv", index=False)
        (tmp_path / "people.yaml").write_text(SCHEMA + "groups: {reference: {sex: man}, each: alone}\n")
        answer = command("train", "dataset=people.yaml", *FAST)
        assert answer.code == 0, answer
        assert "acceptance_rate against sex=man: other " in answer.out
        assert "  demographic_parity_difference_by_sex " in answer.out
        assert "  demographic_parity_difference " not in answer.out
        card = command("evals.select", "dataset=people", "maximize=accuracy", "card=card.md")
        assert card.code == 0, card
        text = (tmp_path / "card.md").read_text(encoding="utf-8")
        assert "### Compared with sex=man" in text
        assert "| sex=woman | " in text


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"reference": {"sex": "men"}}, "groups.reference.sex='men': no such level; there are 'man', 'other', 'woman'"),
        ({"reference": {"edu": "phd"}}, "groups.reference: 'edu' is not sensitive; 'sex' is"),
        ({"reference": {"sx": "man"}}, "groups.reference: there is no column 'sx'"),
    ],
)
def test_a_reference_that_is_none_is_refused(load, groups, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        load(groups=groups)
