"""Records of other programs among ours; the mapping is stated by the help of the command."""

import json
from pathlib import Path

import pytest

import paths_config
from evals import table
from evals.database import main
from evals.keeping.foreign import convert
from evals.records import query
from utils.model_zoo import from_database
from utils.run_store import RunStore

# as research code files its runs
SECTIONS = {
    "params": {"method": "trades", "lr": 0.1, "seed": 1, "epsilon": 0.03, "model": "resnet", "save_dir": "runs/1"},
    "metrics": {"acc": 0.8, "fnr_gap": 0.1, "history": [1, 2]},
    "path": "models/1.pt",
}
NESTED = {
    "name": "faces_dafa",
    "args": {"method": "dafa", "eps": "8/255"},
    "results": {"MMC": 0.6, "Faces": {"Group A": {"fnr": 0.2}}, "Hostile": {"Linf_0.01": 0.5}},
}
FLAT = {"method": "erm", "accuracy": 0.9, "fnr_gap": None, "loss": 0.3, "epochs": 10, "seed": 3, "time": 12.5}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path / "evals"))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def file(*records, table="_default", **tables):
    content = {table: {str(i + 1): record for i, record in enumerate(records)}, **tables}
    Path("old.json").write_text(json.dumps(content))


def run(*words):
    return main(["import", "dataset=old", "from=old.json", *words])


def stored():
    return RunStore(paths_config.database("old")).all()


def converted(record, table="_default", **names):
    return convert(record, "old", table, names)


# --- the mapping -----------------------------------------------------------------------------------------------


def test_sections_become_metrics_and_params():
    made = converted(SECTIONS)
    assert made["metrics"] == {"accuracy": 0.8, "fnr_gap": 0.1}
    assert (made["params"]["lr"], made["seed"], made["params"]["seed"]) == (0.1, 1, 1)
    assert (made["name"], made["status"], made["imported"]) == ("old_resnet_trades", "finished", True)


def test_what_is_neither_is_kept_aside_and_weights_are_not_claimed():
    made = converted(SECTIONS)
    assert made["original"] == {"metrics.history": [1, 2], "save_dir": "runs/1", "path": "models/1.pt"}
    assert "weights" not in made


def test_nested_metrics_are_joined_by_dots():
    made = converted(NESTED)
    assert made["metrics"] == {"mcc": 0.6, "Faces.Group_A.fnr": 0.2, "Hostile.Linf_0.01": 0.5}
    assert made["name"] == "faces_dafa"


def test_in_a_flat_record_the_names_we_know_are_metrics_and_the_rest_is_settings():
    made = converted(FLAT)
    assert made["metrics"] == {"accuracy": 0.9, "fnr_gap": None}
    assert {"method": "erm", "loss": 0.3, "epochs": 10, "seed": 3}.items() <= made["params"].items()
    assert made["original"] == {"time": 12.5}


def test_further_metrics_and_new_names_can_be_given():
    assert converted(FLAT, loss="loss")["metrics"]["loss"] == 0.3
    assert converted(NESTED, **{"Faces.Group_A.fnr": "fnr_group0"})["metrics"]["fnr_group0"] == 0.2


@pytest.mark.parametrize(
    ("settings", "stored"),
    [
        ({"epsilon": 0.1}, {"radius": 0.1}),
        ({"eps": "8/255"}, {"radius": "8/255"}),
        ({"epsilon": {"radius": 0.1, "evaluate": [0.2]}}, {"radius": 0.1, "evaluate": [0.2]}),
        ({"epsilon": [0.1, 0.2]}, {"setting": [0.1, 0.2]}),
        ({"epsilon": {"radius": "large"}}, {"setting": {"radius": "large"}}),
    ],
)
def test_a_number_in_epsilon_is_the_radius(settings, stored):
    assert converted({"params": settings, "metrics": {"acc": 1.0}})["params"]["epsilon"] == stored


def test_the_table_is_a_setting_and_part_of_the_identity():
    one, other = converted(FLAT), converted(FLAT, table="runs")
    assert other["params"]["table"] == "runs"
    assert one["run_id"] != other["run_id"]


def test_seeds_share_a_group_and_other_settings_do_not():
    groups = [converted(FLAT | change)["group_id"] for change in ({}, {"seed": 4, "time": 1.0}, {"epochs": 20})]
    assert groups[0] == groups[1] != groups[2]


def test_a_record_of_ours_of_another_schema_keeps_settings_and_evaluations():
    old = {
        "schema": 0, "run_id": "x", "status": "finished", "name": "loan_mlp_erm", "created": "2025-01-01", "seed": 2,
        "params": {"choices": {"regularizer": "erm", "model": "mlp"}, "epsilon": {"radius": 0.1}, "seed": 2},
        "metrics": {"accuracy": 0.7}, "evaluations": {"audit": {"metrics": {"accuracy": 0.5, "note": "x"}}},
        "weights": {"path": "a", "sha256": "b"},
    }  # fmt: skip
    made = converted(old)
    assert (made["params"]["choices"], made["seed"], made["created"]) == (
        {"regularizer": "erm", "model": "mlp"},
        2,
        "2025-01-01",
    )
    assert made["evaluations"] == {"audit": {"metrics": {"accuracy": 0.5}}}
    assert made["run_id"] != made["original"]["run_id"] == "x"
    assert "weights" not in made


def test_a_failed_record_stays_failed():
    made = converted({"params": {}, "status": "failed", "reason": "NaN"})
    assert (made["status"], made["reason"]) == ("failed", "NaN")


# --- the command -----------------------------------------------------------------------------------------------


def test_imported_runs_are_listed_averaged_and_checked(here, capsys):
    file(
        SECTIONS,
        SECTIONS | {"params": SECTIONS["params"] | {"seed": 2}, "metrics": {"acc": 0.9}},
        NESTED,
        runs={"1": FLAT},
    )
    assert run() == 0
    assert "4 imported, 0 already there, 0 left out" in capsys.readouterr().out
    frame = query.frame(query.read("old"))
    assert list(frame["regularizer"]) == ["trades", "trades", "dafa", "erm"]
    assert query.aggregate(frame, ["accuracy"])["accuracy"][0] == pytest.approx(0.85)
    assert query.command(table.table, table.OPTIONS, ["dataset=old", "metrics=accuracy"]) == 0
    assert "| old | trades | 2 | 0.850 ± 0.071 |" in capsys.readouterr().out
    assert main(["check", "dataset=old"]) == 0
    assert "4 finished (4 of them imported, without weights)" in capsys.readouterr().out


def test_imported_runs_can_be_drawn(here):
    from evals import plot

    file(SECTIONS, FLAT | {"fnr_gap": 0.2})
    assert run() == 0
    assert query.command(plot.plot, plot.OPTIONS, ["dataset=old", "y=fnr_gap", "out=a.png"]) == 0
    assert (here / "a.png").stat().st_size > 0


def test_imported_runs_can_be_exported_and_merged():
    file(SECTIONS)
    assert run() == 0
    assert main(["export", "dataset=old", "out=runs.csv"]) == 0
    paths_config.database("old").rename("elsewhere.json")
    assert main(["merge", "dataset=old", "from=elsewhere.json"]) == 0
    assert stored()[0]["imported"]


@pytest.mark.parametrize("record", [SECTIONS, NESTED, FLAT])
def test_an_imported_run_has_no_model_to_load(record):
    file(record)
    run()
    with pytest.raises(ValueError, match="imported|not loaded"):
        from_database(1, "old")


def test_importing_twice_adds_nothing(capsys):
    file(SECTIONS, FLAT)
    assert run() == 0
    before = stored()
    assert run() == 0
    assert stored() == before
    assert "0 imported, 2 already there" in capsys.readouterr().out


def test_replace_converts_anew_under_the_same_ids():
    file(FLAT)
    run()
    assert run("metrics=loss:train_loss", "replace=true") == 0
    assert [(record["doc_id"], record["metrics"]["train_loss"]) for record in stored()] == [(1, 0.3)]


def test_what_is_left_out_is_named(capsys):
    ours = {"run_id": "a", "status": "finished", "schema": 1, "metrics": {"accuracy": 1.0}}
    file(SECTIONS, {"loss": 1.0, "note": "x"}, ours)
    assert run() == 0
    out = capsys.readouterr().out
    assert "1 imported, 0 already there, 2 left out" in out
    assert "kept as original, not shown: metrics.history, save_dir, path" in out
    assert "left out record 2 of table _default of old.json: no metrics; name them by metrics=, among loss" in out
    assert "left out record 3 of table _default of old.json: written by this program; `merge` takes it" in out


def test_nan_of_other_programs_is_no_value():
    file(FLAT | {"fnr_gap": float("nan")})
    assert run() == 0
    assert stored()[0]["metrics"]["fnr_gap"] is None


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        ('{"_default": {"1"', [], "is no TinyDB file: it is not JSON, or was cut off"),
        ("[1, 2]", [], "it is not tables of records by number"),
        ('{"accuracy": 0.9}', [], "it is not tables of records by number"),
        ('{"_default": {}}', [], "nothing to import. It holds no records"),
        ('{"runs": {"1": {"note": "x"}}}', [], "nothing to import. record 1 of table runs of old.json: no metrics"),
        ('{"runs": {"1": {"acc": 1}}}', ["metrics=acc:"], "write NAME or OLD:NEW"),
        ('{"runs": {"1": {"acc": 1}}}', ["from=nowhere.json"], "from=nowhere.json: there is no file nowhere.json"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_and_nothing_stored(capsys, content, words, said):
    Path("old.json").write_text(content)
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not paths_config.database("old").exists()


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ({"a": ["b"], "b": "a"}, "params.dataset.graph has the cycle a -> b -> a"),
        ([["a", "b"]], "params.dataset.graph is a list, expected a mapping"),
        ({"a": {"b": 1}}, "params.dataset.graph.a is a mapping, expected a list"),
    ],
)
def test_a_record_whose_causal_graph_is_none_is_left_out_by_name(here, capsys, graph, said):
    def of(graph):
        return {"params": {"dataset": {"name": "mine", "graph": graph}}, "metrics": {"accuracy": 0.5}}

    file(of({"a": ["b"]}), of(graph))
    assert run() == 0
    assert f"left out record 2 of table _default of old.json: {said}" in capsys.readouterr().out
    assert len(stored()) == 1
