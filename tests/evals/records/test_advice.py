"""What is said where figures of several causal models meet works as typed: commands, keys and conditions."""

import random
import shlex
import shutil

import pytest

from evals.records import query
from evals.records.advice import Asked, why_apart
from tests.commands import SMALL, command, house, refused

pytestmark = pytest.mark.e2e

QUICK = ("device=cpu", "evaluation.metrics.unfair_area.samples=20", "evaluation.metrics.unfair_area.steps=2")
GRAPHS = {"mixed": "{z2:[sex],z:[z2]}", "settings": "{flag:[sex],z:[z2]}", "accents": '\'{"zé": [sex], "z": ["zé"]}\''}
OWN = "scm=linear+graph=1b36c5"
ASKED = ("maximize=accuracy", "where=uai_0.05<=1", "card=null")


def _table(path, middle):
    drawn = random.Random(0)
    rows = [f"sex,flag,{middle},z,y"]
    for _ in range(150):
        sex, flag = drawn.randint(0, 1), drawn.randint(0, 1)
        z2 = sex + drawn.gauss(0, 1)
        z = z2 + drawn.gauss(0, 1)
        rows.append(f"{sex},{flag},{z2:.4f},{z:.4f},{int(z + drawn.gauss(0, 0.5) > 0.5)}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _train(name, *words):
    own = (f"dataset.path={name}.csv", "dataset.label=y", "dataset.sensitive=sex", "operating_points=null", *SMALL)
    answer = command("train", "dataset=csv", f"dataset.name={name}", *own, *words)
    assert answer.code == 0, answer


@pytest.fixture
def folder(tmp_path):
    with house(tmp_path):
        yield tmp_path


def _mixed(folder, name="mixed", middle="z2"):
    _table(folder / f"{name}.csv", middle)
    _train(name, "scm=independent")
    _train(name, "scm=linear", f"dataset.graph={GRAPHS[name]}", "seed=1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where the two runs of ``mixed`` were trained."""
    with house(tmp_path_factory.mktemp("mixed")) as folder:
        _mixed(folder)
    return folder


@pytest.fixture
def mixed(trained, folder):
    """A folder with the table, the records and the models of these two."""
    return shutil.copytree(trained, folder, dirs_exist_ok=True)


def _printed(answer):
    """The words of the command between backticks."""
    words = shlex.split(answer.err.partition("`")[2].partition("`")[0])
    assert words[:2] == ["python", "evaluate.py"], answer
    return words[2:]


def test_the_command_says_the_graph_and_the_key_is_that_which_it_files(mixed):
    before = command("evals.select", "dataset=mixed", *ASKED)
    refused(before, f"take {OWN}/uai_0.05;", 'where="uai_0.05<=1, scm==linear"')
    words = _printed(before)
    assert words == ["dataset=mixed", "id=all", "scm=linear", f"dataset.graph={GRAPHS['mixed']}"]
    answer = command("evaluate", *words, *QUICK)
    assert answer.code == 0, answer
    assert [list(record["evaluations"]) for record in query.read("mixed")] == [[OWN], [OWN]]
    taken = command("evals.select", "dataset=mixed", "maximize=accuracy", f"where={OWN}/uai_0.05<=1", "card=null")
    assert taken.code == 0, taken
    after = command("evals.select", "dataset=mixed", *ASKED)
    refused(after, f"All are judged under one already, take {OWN}/uai_0.05;")
    assert "evaluate.py" not in after.err


def test_names_that_hydra_cannot_spell_are_said_too(folder):
    _mixed(folder, "accents", "zé")
    words = _printed(command("evals.select", "dataset=accents", *ASKED))
    answer = command("evaluate", *words, *QUICK)
    assert answer.code == 0, answer
    (key,) = {name for record in query.read("accents") for name in record["evaluations"]}
    assert f"take {key}/uai_0.05;" in command("evals.select", "dataset=accents", *ASKED).err


@pytest.mark.parametrize(
    "words",
    [
        ("evals.select", *ASKED),
        ("evals.plot", "x=accuracy", "y=uai_0.05"),
        ("evals.report", "y=uai_0.05"),
        ("evaluate", "sort=uai_0.05"),
        ("evals.table", "metrics=gain_uai_0.05", "base=erm"),
    ],
    ids=lambda words: words[0],
)
def test_a_copy_of_a_database_is_named_as_it_was_asked_for(mixed, words):
    shutil.move(query.paths_config.database("mixed"), query.paths_config.database("renamed"))
    program, *rest = words
    refused(command(program, "dataset=renamed", *rest), "`python evaluate.py dataset=renamed id=all scm=linear ")


def test_means_over_refits_of_several_causal_models_are_judged_under_one_by_no_command():
    records = []
    for i, option in enumerate(("learned", "linear")):
        causal = {"option": option, "fingerprint": option, "settings": {}, "graph": None, "source": None}
        own = {
            "metrics": {"uai_cf_refits": 0.1},
            "causal": {**causal, "sensitive": ["x1"]},
            "sensitivity": {"models": [{}]},
        }
        params = {"scm": {"_target_": f"utils.scms.{option}.{option}"}, "dataset": {"name": "lin"}}
        facts = {"doc_id": i + 1, "name": "lin", "dataset": "lin", "seed": 0, "status": "finished", "metrics": {}}
        records.append({**facts, "params": params, "causal": own["causal"], "evaluations": {"refits@0.1": own}})
    said = why_apart(records, ["refits@0.1/uai_cf_refits"], Asked("lin"))
    assert "No command judges all under one: choose those of one" in said


def test_a_table_says_once_for_all_keys_why_they_do_not_compare(mixed):
    out = command("evals.table", "dataset=mixed", "metrics=accuracy,uai_0.05,uai_cf,uai_ar_0.05").out
    assert "uai_0.05, uai_cf and uai_ar_0.05 belong to their causal model, and here are 2:" in out
    assert out.count("python evaluate.py") == 1
    assert f"take {OWN}/uai_0.05, {OWN}/uai_cf and {OWN}/uai_ar_0.05;" in out


def test_a_setting_that_tells_two_causal_models_apart_is_a_condition(folder):
    _table(folder / "settings.csv", "z2")
    graph = f"dataset.graph={GRAPHS['settings']}"
    for binary in ("anm", "threshold"):
        _train("settings", "scm=linear", f"scm.discrete={binary}", graph)
    answer = command("evals.select", "dataset=settings", *ASKED)
    refused(answer, 'by where="uai_0.05<=1, scm.discrete==anm"', "take scm=linear/uai_0.05;")
    assert _printed(answer) == ["dataset=settings", "id=all", "scm=linear"]  # each record has this graph itself
    kept = command("evals.select", "dataset=settings", ASKED[0], f"{ASKED[1]}, scm.discrete==anm", "card=null")
    assert kept.code == 0, kept


def test_no_condition_is_said_where_graphs_alone_differ(folder):
    _table(folder / "mixed.csv", "z2")
    _train("mixed", "scm=linear", f"dataset.graph={GRAPHS['mixed']}")
    _train("mixed", "scm=linear", "dataset.graph={z:[z2]}")
    answer = command("evals.select", "dataset=mixed", *ASKED)
    refused(answer, f"dataset.graph={GRAPHS['mixed']}", f"take {OWN}/uai_0.05;")
    assert answer.err.strip().endswith("or choose those of one")
