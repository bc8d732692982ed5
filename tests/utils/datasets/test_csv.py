"""A user's own CSV file: the encoding rules, the graph, and the files that are refused."""

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

import paths_config
from utils.datasets.tabular import natural
from utils.words.levels import read_group


def table(n=40):
    i = np.arange(n)
    return pd.DataFrame(
        {
            "sex": np.where(i % 2, "male", "female"),
            "age": 20 + i * 0.5,
            "member": i // 2 % 2,
            "job": np.array(["cook", "nurse", "smith"])[i % 3],
            "hired": np.where(i % 5 < 2, "yes", "no"),
        }
    )


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Writes a table and loads it through the yaml, with changed settings."""
    monkeypatch.setenv("TRILEMMA_DATA", str(tmp_path))

    def data_set(frame=None, content=None, **changes):
        path = tmp_path / "mine.csv"
        path.write_text((table() if frame is None else frame).to_csv(index=False) if content is None else content)
        config = OmegaConf.load(paths_config.ROOT / "config/dataset/csv.yaml")
        del config["defaults"]
        given = {"path": str(path), "label": "hired", "sensitive": ["sex"], **changes}
        return instantiate(OmegaConf.merge(config, given))(seed=0)

    return data_set


def raw(dataset):
    """All rows in natural units, in the order of the file."""
    parts = (dataset.train, dataset.valid, dataset.test)
    order = torch.cat([p.index for p in parts]).argsort()
    return natural(dataset, torch.cat([p.x for p in parts]))[order], torch.cat([p.y for p in parts])[order]


def groups_in_order(dataset):
    """The group of each row, in the order of the file."""
    parts = (dataset.train, dataset.valid, dataset.test)
    return torch.cat([p.s for p in parts])[torch.cat([p.index for p in parts]).argsort()]


def kinds(dataset):
    return {c.name: c.kind for c in dataset.columns}


# Encoding


def test_columns_are_encoded_by_their_contents(load):
    assert kinds(load()) == {
        "sex": "binary",
        "age": "continuous",
        "member": "binary",
        "job=cook": "binary",
        "job=nurse": "binary",
        "job=smith": "binary",
    }


def test_of_two_texts_the_second_in_sorted_order_is_one(load):
    x, _ = raw(load())
    assert np.array_equal(x[:, 0], table()["sex"] == "male")


def test_several_texts_become_one_column_each(load):
    """pandas.get_dummies as the oracle."""
    x, _ = raw(load())
    assert np.array_equal(x[:, 3:], pd.get_dummies(table()["job"]))


def test_numbers_keep_their_values(load):
    x, _ = raw(load())
    assert np.allclose(x[:, 1], table()["age"])


def test_two_numbers_other_than_zero_and_one_are_continuous(load):
    frame = table().assign(member=table()["member"] + 1)
    assert kinds(load(frame))["member"] == "continuous"


def test_true_and_false_are_binary(load):
    frame = table().assign(member=table()["member"] == 1)
    assert kinds(load(frame))["member"] == "binary"


def test_a_sensitive_column_of_several_texts_is_its_indicators(load):
    dataset = load(sensitive="job")
    x, _ = raw(dataset)
    assert dataset.groups == ("job=cook", "job=nurse", "job=smith")
    assert [c.name for c in dataset.columns if c.sensitive] == ["job=cook", "job=nurse", "job=smith"]
    assert {c.attribute for c in dataset.columns if c.sensitive} == {"job"}
    assert np.array_equal(x[:, list(dataset.sensitive)], np.eye(3)[np.arange(40) % 3])
    assert np.array_equal(groups_in_order(dataset), np.arange(40) % 3)


def test_groups_of_two_attributes_are_named_by_their_texts(load):
    """One group for each sex and job, not for each combination of indicators."""
    dataset = load(sensitive=["job", "sex"])
    assert dataset.groups == tuple(f"sex={s},job={j}" for s in ("female", "male") for j in ("cook", "nurse", "smith"))
    i = np.arange(40)
    assert np.array_equal(groups_in_order(dataset), i % 2 * 3 + i % 3)


def test_a_text_with_marks_of_the_grammar_is_quoted_in_the_name_of_its_group(load):
    texts = np.array(["a,b", "c=d", "[e]", 'f"g', "plain text"])
    dataset = load(table().assign(job=texts[np.arange(40) % 5]), sensitive=["sex", "job"])
    assert [read_group(name) for name in dataset.groups] == [
        {"sex": sex, "job": job} for sex in ("female", "male") for job in sorted(texts)
    ]


@pytest.mark.parametrize(
    ("values", "positive", "names"),
    [
        (["no", "yes"], None, ("no", "yes")),
        (["no", "yes"], "no", ("yes", "no")),
        ([0, 1], None, ("0", "1")),
        ([1.5, 2.0], None, ("1.5", "2")),
        ([True, False], None, ("False", "True")),
    ],
)
def test_classes_are_named_as_in_the_file(load, values, positive, names):
    assert load(table().assign(hired=values * 20), positive=positive).class_names == names


def test_a_sensitive_column_of_whole_numbers_keeps_them_as_levels(load):
    frame = table().assign(job=np.arange(40) % 3 + 1)
    dataset = load(frame, sensitive=["sex", "job"])
    assert dataset.groups[:3] == ("sex=female,job=1", "sex=female,job=2", "sex=female,job=3")


def test_ignored_columns_are_left_out_even_with_gaps(load):
    frame = table().assign(note=[None] * 39 + ["x"])
    assert "note" not in kinds(load(frame, ignore=["note"]))


def test_blanks_after_the_comma_do_not_matter(load):
    spaced = table().to_csv(index=False).replace(",", ", ")
    assert load(content=spaced).fingerprint == load().fingerprint


# Label


@pytest.mark.parametrize(("positive", "one"), [(None, "yes"), ("yes", "yes"), ("no", "no")])
def test_positive_names_the_label_of_class_one(load, positive, one):
    _, y = raw(load(positive=positive))
    assert np.array_equal(y == 1, table()["hired"] == one)


@pytest.mark.parametrize("positive", [1, "1", 1.0, None])
def test_a_numeric_label_is_found_as_number_or_text(load, positive):
    _, y = raw(load(table().assign(hired=np.arange(40) % 2), positive=positive))
    assert np.array_equal(y, np.arange(40) % 2)


def test_an_unknown_positive_label_is_refused_with_those_there_are(load):
    with pytest.raises(ValueError, match="positive='Yes' is no value of the label 'hired'; it has 'no' and 'yes'"):
        load(positive="Yes")


def test_more_than_two_labels_are_refused(load):
    with pytest.raises(ValueError, match=r"label 'job' has 3 values \('cook', 'nurse', 'smith'\), but two classes"):
        load(label="job")


def test_a_single_label_is_refused(load):
    with pytest.raises(ValueError, match="label 'hired' is 'yes' in every row"):
        load(table().assign(hired="yes"))


# Flags and graph


def test_without_a_word_all_that_is_not_sensitive_is_actionable(load):
    columns = load().columns
    assert all(c.actionable != c.sensitive for c in columns)


def test_a_column_of_several_texts_is_actionable_as_a_whole(load):
    columns = load(actionable=["job"]).columns
    assert [c.name for c in columns if c.actionable] == ["job=cook", "job=nurse", "job=smith"]


def test_without_graph_no_parents_are_known(load):
    assert load().parents is None


def test_the_graph_is_kept(load):
    assert load(graph={"member": ["sex", "age"]}).parents["member"] == ("sex", "age")


def test_in_the_graph_a_column_of_several_texts_stands_for_all_its_parts(load):
    parents = load(graph={"job": ["sex"], "member": ["job"]}).parents
    assert parents["job=smith"] == ("sex",)
    assert parents["member"] == ("job=cook", "job=nurse", "job=smith")


def test_a_cycle_is_refused(load):
    with pytest.raises(ValueError, match=r"mine.csv, graph: the graph has the cycle"):
        load(graph={"member": ["age"], "age": ["member"]})


@pytest.mark.parametrize("graph", [{"member": ["agee"]}, {"agee": ["member"]}])
def test_an_unknown_name_in_the_graph_is_refused(load, graph):
    with pytest.raises(ValueError, match=r"no column 'agee'; did you mean age"):
        load(graph=graph)


# Where the file is found


def test_a_relative_path_is_found_in_the_data_folder(load):
    assert load(path="mine.csv").fingerprint == load().fingerprint


def test_a_relative_path_is_found_in_the_working_directory_first(load, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    table(30).to_csv(tmp_path / "here/mine.csv", index=False)
    monkeypatch.chdir(tmp_path / "here")
    assert len(raw(load(path="mine.csv"))[0]) == 30


def test_a_missing_file_is_named_with_both_places(load, tmp_path):
    with pytest.raises(ValueError, match=rf"there is no file other.csv; nor is there {tmp_path}/other.csv"):
        load(path="other.csv")


# What is refused


@pytest.mark.parametrize("key", ["label", "sensitive", "ignore", "actionable"])
def test_an_unknown_column_is_refused_with_near_misses(load, key):
    with pytest.raises(ValueError, match=r"no column 'membr'; did you mean member"):
        load(**{key: "membr"})


@pytest.mark.parametrize("column", ["sex", "age", "job", "hired"])
def test_gaps_are_counted_and_located(load, column):
    frame = table()
    frame.loc[[7, 9], column] = None
    with pytest.raises(
        ValueError, match=rf"column '{column}' has 2 missing or infinite value\(s\), the first in row 7"
    ):
        load(frame)


def test_a_sensitive_column_of_one_level_is_refused(load):
    with pytest.raises(ValueError, match="sensitive column 'sex' is 'female' in every row"):
        load(table().assign(sex="female"))


def test_a_continuous_sensitive_column_is_refused(load):
    with pytest.raises(ValueError, match=r"sensitive column 'age' is a number .* bins: \[25, 30, 35\]"):
        load(sensitive=["age"])


def test_a_word_among_numbers_is_refused(load):
    frame = table().astype({"age": object})
    frame.loc[3, "age"] = "unknown"
    with pytest.raises(ValueError, match="column 'age' holds numbers, but 'unknown' in row 3"):
        load(frame)


def test_a_column_of_names_is_left_out_and_told(load, capsys):
    frame = pd.concat([table(), table()], ignore_index=True).assign(job=[f"person {i}" for i in range(80)])
    assert "job" not in kinds(load(frame))
    assert "job: nearly every row has a text of its own" in capsys.readouterr().err


def test_a_saved_row_number_is_refused(load):
    with pytest.raises(ValueError, match=r"column 1 has no name.*dataset.ignore=\['Unnamed: 0'\]"):
        load(content=table().to_csv())


def test_a_saved_row_number_can_be_ignored(load):
    assert load(content=table().to_csv(), ignore=["Unnamed: 0"]).fingerprint == load().fingerprint


def test_two_columns_of_one_name_are_refused(load):
    with pytest.raises(ValueError, match=r"mine.csv: the column 'age' comes twice"):
        load(content=table().rename(columns={"member": "age"}).to_csv(index=False))


def test_a_row_that_is_too_long_is_refused(load):
    with pytest.raises(ValueError, match=r"mine.csv is no proper table: .*line 42"):
        load(content=table().to_csv(index=False) + "male,20,1,cook,yes,9\n")


def test_rows_that_are_all_too_long_are_refused(load):
    header, *lines = table().to_csv(index=False).splitlines()
    with pytest.raises(ValueError, match=r"mine.csv is no proper table"):
        load(content="\n".join([header, *(f"{line},9" for line in lines)]))


def test_an_empty_file_is_refused(load):
    with pytest.raises(ValueError, match=r"mine.csv is empty"):
        load(content="")


def test_too_few_rows_are_refused(load):
    with pytest.raises(ValueError, match="data set csv: too few rows to split, 6"):
        load(table(6))


def test_a_file_that_is_no_text_is_refused(load, tmp_path):
    (tmp_path / "bytes.csv").write_bytes(b"sex,hired\n\x00\x01\x02,1\n" * 20)
    with pytest.raises(ValueError, match=r"bytes.csv is no text: it holds zero bytes"):
        load(path="bytes.csv")


# Companions


@pytest.mark.parametrize(
    ("words", "scm"),
    [
        (["dataset=adult"], "learned"),
        (["dataset=compas"], "learned"),
        (["dataset=german"], "independent"),
        (["dataset=csv"], "independent"),
        (["dataset=csv", "scm=learned"], "learned"),
        (["scm=independent", "dataset=adult"], "independent"),
    ],
)
def test_a_data_set_picks_its_causal_model_and_the_command_line_wins(words, scm):
    with initialize_config_dir(str(paths_config.ROOT / "config"), version_base="1.3"):
        config = compose("train", words)
    assert config.scm._target_ == f"utils.scms.{scm}.{scm}"
    assert config.model._target_ == "utils.models.mlp.MLP"


def test_it_is_told_how_the_columns_were_read(load, capsys):
    load()
    said = capsys.readouterr().err
    assert "mine.csv read as sex (2 levels), age (number), member (2 levels), job (3 levels); to change it: " in said
    assert "python -m evals.look" in said
