"""Sentences below a table: the radius of what names none, which worst class, and what was not trained here."""

from evals import table
from evals.records import query, table_notes
from tests.evals.given import given
from tests.evals.records.test_query import record

PAIR = ["robust_accuracy", "robust_accuracy_worst_class"]


def run(doc_id, radius, seed=0):
    return record(doc_id, "trades", seed, radius, metrics={"robust_accuracy": 0.5, "robust_accuracy_worst_class": 0.1})


def test_a_robust_accuracy_without_radius_names_that_of_the_training():
    (said,) = table_notes.notes([run(1, "8/255")], PAIR)
    assert said == "robust_accuracy and robust_accuracy_worst_class: at the radius of the training, 8/255"


def test_several_radii_are_counted():
    (said,) = table_notes.notes([run(1, 0.1), run(2, 0.1), run(3, 0.2)], PAIR[:1])
    assert said.endswith("each run's own (0.1 in 2 of 3 runs, 0.2 in 1 of 3 runs)")


def test_the_worst_class_of_several_seeds_is_said_to_be_the_mean_of_each_seed_s_lowest():
    (said, _) = table_notes.notes([run(1, 0.1), run(2, 0.1, seed=1)], PAIR)
    assert "mean over seeds" in said
    assert "lowest in each" in said


def test_weights_of_files_are_named_once_and_nothing_of_a_training_is_known():
    records = [given(1), given(2, seed=1), given(3, "wide", mean=0.5), record(4)]
    (said,) = table_notes.notes(records, ["accuracy"])
    assert "r18.pt (sha256 0b9b94f0), wide.pt (sha256 0b9b94f0);" in said
    assert "no spread of trainings" in said
    assert "whether their training saw the test rows is not known" in said
    assert table_notes.notes([record(4)], ["accuracy"]) == []


def test_files_of_one_name_are_told_apart_by_hash_and_scaling_in_few_signs():
    records = [given(1), given(2, mean=0.3), given(3, sha256="ff" * 32), given(4, "wide")]
    rows = table.build(records, ["accuracy"], table.read_published("dafa")[0].head(0), "").rows
    names = [name for _, name in rows]
    assert len(set(names)) == 4
    assert "r18 (sha256 0b9b94f0, mean 0.3)" in names
    assert "wide" in names
    assert max(map(len, names)) < 40


def test_settings_of_a_training_select_no_weights_of_a_file():
    records = [given(1), record(2, radius=0.06)]
    assert query.where(query.frame(records), "radius==0.06")["doc_id"].tolist() == [2]
    assert query.frame(records)["regularizer"].tolist() == ["r18", "erm"]


def at_radius(made, value=0.5):
    return made | {
        "metrics": made["metrics"] | {"robust_accuracy_8/255": value, "robust_accuracy_worst_class_8/255": 0.1}
    }


def test_where_some_rows_have_no_radius_of_a_training_a_line_says_which_metrics_all_have():
    records = [at_radius(given(1)), at_radius(run(2, "8/255"))]
    said = table_notes.notes(records, PAIR)[0]
    assert said.endswith("by metrics=robust_accuracy_8/255,robust_accuracy_worst_class_8/255")
    assert "metrics=" not in table_notes.notes(records[1:], PAIR)[0]


def test_the_default_table_of_weights_of_files_has_the_radius_that_they_were_judged_at():
    made = at_radius(given(1), 0.75) | {"dataset": "pets"}
    figures, source = table.read_published(table.nearest([made], None))
    built = table.build([made], None, figures.head(0), source)
    cells = dict(zip(built.metrics, built.rows["pets", "r18"], strict=True))
    assert cells["robust_accuracy_8/255"].mean == 0.75
    assert cells["robust_accuracy_worst_class_8/255"].mean == 0.1
    assert "robust_accuracy" not in cells
