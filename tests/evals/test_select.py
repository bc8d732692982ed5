"""The select command on small databases in TinyDB's own format."""

import json
import re

import pytest

from evals import select
from evals.choosing import choice_text
from evals.records import query
from tests.commands import process, refused
from tests.evals.choosing.test_choice import MENU, POINTS, model
from tests.evals.records.test_query import record, write
from utils.words.quoting import with_import


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_EVALS", str(tmp_path))
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "loan", MENU)
    return tmp_path


def run(*words):
    return query.command(select.select, select.OPTIONS, ["dataset=loan", *words])


def answer(capsys, *words):
    """The code and what a script reads."""
    code = run("format=json", "card=null", "seeds=runs", *words)
    return code, json.loads(capsys.readouterr().out)


BOTH = ("where=uai_0.05<=0.1, fnr_gap<=0.05", "maximize=accuracy")


def test_json_names_the_chosen_run_and_the_price_of_every_constraint(folder, capsys):
    code, found = answer(capsys, *BOTH)
    assert (code, found["chosen"]["use"]["doc_id"], found["candidates"], found["meeting"]) == (0, 3, 5, 2)
    assert [(c["constraint"], c["binds"], c["met_by"], c["next_bound"]) for c in found["constraints"]] == [
        ("uai_0.05<=0.1", True, 2, 0.12),
        ("fnr_gap<=0.05", False, 4, None),
    ]
    assert [other["doc_ids"] for other in found["runners_up"]] == [[5]]


def test_text_says_what_was_chosen_what_it_cost_and_how_to_load_it(folder, capsys):
    assert run(*BOTH, "seeds=runs") == 0
    text = capsys.readouterr().out
    assert "2 meet every limit" in text
    assert re.search(r"uai_0.05\s+0\.0500\s+uai_0.05<=0.1 met; no interval is known", text)
    assert "costs 0.1000 of accuracy: without it erm, seed 0 (uai_0.05 0.4000)" in text
    assert 'load      from utils.model_zoo import from_database; model = from_database(3, "loan")' in text
    assert "plot      python -m evals.plot dataset=loan x=accuracy y=uai_0.05" in text


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        (0.8, "accuracy 0.8000, balanced accuracy 0.6000; always class no: 0.7600, 0.5000\n"),
        (0.75, "accuracy 0.7500, balanced accuracy 0.6000; always class no: 0.7600, 0.5000; this run is no more acc"),
    ],
)
def test_a_model_stands_beside_what_needs_none(folder, capsys, accuracy, said):
    """Of 24 % class 1, always the other is right in 76 %, and of both classes alike in half."""
    metrics = {"prevalence": 0.24, "accuracy": accuracy, "balanced_accuracy": 0.6}
    own = model(6, accuracy, gap=0.01, preprocessing={"class_names": ["no", "yes"]})
    write(folder, "loan", [own | {"metrics": own["metrics"] | metrics}])
    assert run("maximize=accuracy", "card=card.md") == 0
    assert said in capsys.readouterr().out
    card = (folder / "card.md").read_text()
    assert "Always class no: accuracy 0.760, balanced accuracy 0.500" in card
    assert ("this run is no more accurate than that" in card) == (accuracy <= 0.76)


def test_of_several_classes_the_counts_say_which_is_the_most_frequent(folder):
    own = {"metrics": {"accuracy": 0.5}, "shares": {f"accuracy_class_{i}": [1, n] for i, n in enumerate((2, 5, 3))}}
    assert (
        choice_text.beside_constant(own)
        == "accuracy 0.5000; always class 1: 0.5000; this run is no more accurate than that"
    )


def test_a_chosen_point_is_loaded_by_its_number(folder, capsys):
    write(folder, "loan", [*MENU, model(6, 0.5, gap=0.9, regularizer="llr", operating_points=POINTS)])
    code, found = answer(capsys, "where=fnr_gap<=0.04, regularizer==llr", "maximize=accuracy")
    assert (code, found["chosen"]["point"]) == (0, 1)
    assert found["chosen"]["commands"]["load"] == with_import('from_database(6, "loan", point=1)')


def test_where_nothing_meets_the_constraints_the_exit_code_is_1(folder, capsys):
    code, found = answer(capsys, "where=accuracy>=0.85, uai_0.05<=0.1", "maximize=accuracy", "near=2")
    assert (code, found["chosen"], found["unattainable"]) == (1, None, ["accuracy>=0.85", "uai_0.05<=0.1"])
    assert [other["doc_ids"] for other in found["nearest"]] == [[4], [3]]


def test_what_is_unattainable_is_said_and_no_card_is_written(folder, capsys):
    assert run("where=uai_0.05<=0.001", "maximize=accuracy", "seeds=runs") == 1
    text = capsys.readouterr().out
    assert "no model meets uai_0.05<=0.001" in text
    assert "met by 0 of 5; the nearest reaches 0.0100" in text
    assert not (folder / "figures").exists()


def test_constraints_that_cost_only_together_are_said_to(folder, capsys):
    records = [model(1, 0.9, 0.3, gap=0.3), model(2, 0.8, 0.1, gap=0.1)]
    write(folder, "loan", records)
    assert run("where=uai_0.05<=0.2, fnr_gap<=0.2", "maximize=accuracy", "seeds=runs", "card=null") == 0
    assert (
        "no limit costs anything alone; without any of them accuracy +0.1000 by loan_mlp_erm, seed 0"
        in capsys.readouterr().out
    )


def test_one_candidate_is_no_choice(folder, capsys):
    write(folder, "loan", MENU[:1])
    assert run("maximize=accuracy", "card=null") == 0
    assert "with one candidate there is no choice" in capsys.readouterr().out


def test_the_mean_may_meet_what_its_interval_does_not(folder, capsys):
    write(
        folder, "loan", [record(i, seed=i, metrics={"accuracy": 0.5, "fnr_gap": gap}) for i, gap in ((1, 0), (2, 0.08))]
    )
    words = ("maximize=accuracy", "where=fnr_gap<=0.05", "card=null")
    assert run(*words) == 0
    assert "fnr_gap<=0.05 met by the mean; its interval reaches 0.5482" in capsys.readouterr().out
    assert run(*words, "sure=true") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "neither was given"),
        (["maximize=accuracy", "minimize=uai_0.05"], "both were given"),
        (["maximize=uai_0.05"], "lower uai_0.05 is better: write minimize=uai_0.05, or anyway=true"),
        (["minimize=accuracy"], "higher accuracy is better"),
        (["maximize=acuracy"], "did you mean accuracy"),
        (["maximize=seed"], "seed is no metric"),
        (["maximize=accuracy", "where=uai_0.05"], "is no comparison"),
        (["maximize=accuracy", "where=uai_0.5<=1"], "did you mean uai_0.05"),
        (["maximize=accuracy", "where=regularizer==llr"], "no run has regularizer==llr"),
        (["maximize=accuracy", "where=seed>5"], "leaves none of the 5 runs"),
        (["maximize=accuracy_low"], "ask about accuracy, and with sure=true"),
        (["maximize=accuracy", "card=a.pdf"], "ending in .md, .html, .json"),
        (["maximize=accuracy", "seeds=all"], "mean or runs"),
        (["maximize=accuracy", "format=xml"], "text or json"),
        (["maximize=accuracy", "sure=maybe"], "true or false"),
        (["maximize=accuracy", "near=-1"], "a whole number in [0, 1000]"),
        (["maximize=accuracy", "intended_use=purpose.txt"], "no such file"),
        (["maximise=accuracy"], "did you mean maximize"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(folder, capsys, words, message):
    assert run(*words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "figures").exists()


def test_without_a_database_there_is_one_line(folder):
    refused(process("evals.select", "dataset=nowhere", "maximize=accuracy"), "no database for dataset=nowhere")


def test_anyway_asks_for_the_worst(folder, capsys):
    code, found = answer(capsys, "maximize=uai_0.05", "anyway=true")
    assert (code, found["chosen"]["use"]["doc_id"]) == (0, 1)


def test_the_question_is_the_same_to_any_order_of_records(folder, capsys):
    first = answer(capsys, *BOTH)[1]["chosen"]["use"]
    write(folder, "loan", MENU[::-1])
    assert answer(capsys, *BOTH)[1]["chosen"]["use"] == first


def test_help_lists_every_option(capsys):
    assert run("--help") == 0
    assert {"maximize", "sure", "out_of_scope"} <= {
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line
    }
