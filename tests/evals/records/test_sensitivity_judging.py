"""``evaluate.py id=... sensitivity=true`` as a user gives it: printed, filed, listed, on the card and on the page."""

import copy
import json
import re

import pytest
from omegaconf import OmegaConf

import paths_config
from tests.commands import ROOT, SMALL, command, house, refused
from utils.run_store import RunStore

pytestmark = pytest.mark.e2e

LIN = ("dataset=lin", "dataset.rows=300", "model=logistic", "operating_points=null", *SMALL, "scm=linear")
JUDGE = ("dataset=lin", "device=cpu", "epsilon.evaluate=[0.1]", "sensitivity=true")
QUICK = ("alternatives.rows=40", "alternatives.samples=10", "alternatives.refits=3")
NAME = "sensitivity@0.1"
MODELS = (
    *("as trained (linear)", "no graph", "learned", "without x1 -> x2"),
    *("without x1 -> x3", "without x2 -> x3", "x3 -> x2 reversed"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two linear models of lin under scm=linear, both judged; the first answer."""
    with house(tmp_path_factory.mktemp("house")) as folder:
        for regularizer in ("erm", "causal_al"):
            assert command("train", *LIN, f"regularizer={regularizer}").code == 0
        (folder / "before.json").write_bytes(paths_config.database("lin").read_bytes())
        (folder / "answer.txt").write_text(json.dumps(vars(command("evaluate", *JUDGE, *QUICK, "id=[1,2]"))))
        yield folder


@pytest.fixture
def answer(home):
    return json.loads((home / "answer.txt").read_text())


def record(i=1):
    return RunStore(paths_config.database("lin")).get(i)


def test_every_causal_model_is_judged_and_the_first_is_that_of_the_training(home, answer):
    assert answer["code"] == 0, answer
    held = record()["evaluations"][NAME]
    assert [of["name"] for of in held["sensitivity"]["models"]] == list(MODELS)
    assert held["causal"] == record()["causal"]
    assert held["sensitivity"]["individuals"] == 40
    own = [of["metrics"]["uai_0.1"] for of in held["sensitivity"]["models"]]
    assert (held["metrics"]["uai_least_0.1"], held["metrics"]["uai_most_0.1"]) == (min(own), max(own))
    assert held["sensitivity"]["refits"]["number"] == 3
    assert "alternatives" in held["settings"]


def test_it_says_where_it_is_and_in_the_end_the_range_and_the_choice(home, answer):
    for i in (1, 2):
        assert f"record {i}: causal model 1 of {len(MODELS) + 3}, {MODELS[0]}\n" in answer["out"]
    assert answer["err"].count("fitting the causal models") == 1  # both models share them
    figures = r"\d\.\d{2,4} \[\d\.\d{2,4}, \d\.\d{2,4}\]"
    for name in MODELS:
        assert len(re.findall(rf"^{re.escape(name)} +{figures}  +{figures}$", answer["out"], re.MULTILINE)) == 2
    assert re.search(r"^3 refits of the first +0\.\d{3} \[0", answer["out"], re.MULTILINE)
    held = record()["evaluations"][NAME]["metrics"]
    assert f"Unfair area at radius 0.1: {held['uai_least_0.1']:.3f} (" in answer["out"]
    assert re.search(
        r"The choice between 1 and 2 \(\d by its lower unfair area at radius 0.1\) (holds|turns)", answer["out"]
    )


def test_the_figures_of_the_record_stay_and_another_call_judges_nothing(home):
    before = json.loads((home / "before.json").read_text())["_default"]["1"]
    after = {key: value for key, value in record().items() if key not in ("evaluations", "doc_id")}
    again = copy.deepcopy(before)
    again.pop("evaluations", None)
    for one in (again, after):
        one.pop("checksum", None)
    assert after == again
    answer = command("evaluate", *JUDGE, "id=1")
    assert (answer.code, "is there already" in answer.out) == (0, True)
    apart = re.search(r"it was made with (.*)", answer.out)[1].split(", alternatives.")
    assert sorted(apart) == ["alternatives.rows 40, not 500", "refits 3, not 20", "samples 10, not 100"]
    same = command("evaluate", *JUDGE, *QUICK, "id=1").out
    assert "replace=true makes it anew\n" in same


def test_the_list_shows_the_range_beside_the_figure(home):
    answer = command("evaluate", "dataset=lin", "columns=[accuracy,uai_cf]")
    held = record()["evaluations"][NAME]["metrics"]
    assert f"{held['uai_cf_least']:.3f} to {held['uai_cf_most']:.3f}" in answer.out
    assert "uai_cf_range: from the least to the largest under several causal models" in answer.out
    assert "_range" not in command("evaluate", "dataset=lin", "columns=[accuracy]").out


def test_the_largest_figure_of_all_can_be_asked_for(home):
    most = record()["evaluations"][NAME]["metrics"]["uai_cf_most"]
    answer = command("evaluate", "dataset=lin", f"where={NAME}/uai_cf_most<={most}, id==1")
    assert answer.code == 0, answer
    assert "\n1 " in answer.out
    listed = command("evaluate", "dataset=lin", "columns=[uai_cf_most]").out
    assert f"{NAME}/uai_cf_most under scm=linear: {len(MODELS)} causal models." in listed
    asked = command("evals.select", "dataset=lin", f"minimize={NAME}/uai_cf_most", "points=false")
    assert asked.code == 0, asked


def test_card_and_page_show_the_models_beside_the_figures(home):
    assert command("evals.select", "dataset=lin", "maximize=accuracy", "card=card.md").code == 0
    card = (home / "card.md").read_text()
    assert "### Under other causal models" in card
    assert all(f"| {name} |" in card for name in MODELS)
    assert "Judged on 40 individuals." in card
    assert command("evals.report", "dataset=lin", "out=page.html").code == 0
    data = re.search(r'<script id="data"[^>]*>(.*?)</script>', (home / "page.html").read_text(), re.DOTALL)
    shown = json.loads(data[1])["runs"]["ranges"]["of"]
    assert [key for _, key, _ in shown[0]] == ["uai_cf", "uai_0.1"]
    sentence, _, rows = shown[0][0]
    assert sentence.startswith("Counterfactually unfair area: ")
    assert [name for name, *_ in rows] == [*MODELS, "3 refits of the first"]


def test_searched_as_by_the_training_the_first_figures_are_those_that_are_filed(home):
    whole = ("alternatives.rows=null", "alternatives.samples=1000", "alternatives.draws=100", "alternatives.most=2")
    answer = command(
        "evaluate",
        "dataset=lin",
        "id=1",
        "sensitivity=true",
        "name=whole",
        "alternatives.refits=null",
        *whole,
        *(word for word in SMALL if "metrics" in word),
    )
    assert answer.code == 0, answer
    first = record()["evaluations"]["whole"]["sensitivity"]["models"][0]["metrics"]
    assert {key: record()["metrics"][key] for key in first} == first
    assert {"uai_cf", "uai_0.05", "uai_0.05_low", "uai_ar_0.01", "counterfactual_flip_rate"} <= first.keys()


def test_refits_alone_are_filed_under_a_name_of_their_own_and_leave_the_range_as_it_is(home):
    answer = command("evaluate", *JUDGE, *QUICK, "alternatives.most=1", "id='1,2'")
    assert answer.code == 0, answer
    held = record()["evaluations"]["refits@0.1"]
    assert [of["name"] for of in held["sensitivity"]["models"]] == ["as trained (linear)"]
    assert set(held["metrics"]) == {"uai_refits_0.1", "uai_cf_refits"}
    assert "uai_cf_range" in command("evaluate", "dataset=lin", "columns=[uai_cf]").out
    listed = command("evaluate", "dataset=lin", "columns=[uai_cf_refits]", "where=refits@0.1/uai_cf_refits<=1").out
    assert "refits@0.1/uai_cf_refits under scm=linear: 3 refits." in listed
    told = command("evaluate", "dataset=lin", "columns=[uai_cf]").out
    assert "others may find more (refits@0.1/uai_cf_refits: the mean over refits)" in told
    last = record(2)["metrics"]["uai_cf"] < record(2)["evaluations"]["refits@0.1"]["metrics"]["uai_cf_refits"]
    assert answer.out.count("on average the mean over refits is nearer") >= last  # of the one that twins have trained


# --- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (["sensitivity=true"], "say of which models by id=..., such as id=1"),
        (["id=1", "sensitivity=maybe"], "sensitivity='maybe': expected true or false"),
        (["id=1", "sensitivity=true", "rows=new.csv"], "leave rows=... out"),
        (["id=1", "sensitivity=true", "alternatives.refits=1"], "alternatives.refits=1: expected null"),
        (["id=1", "sensitivity=true", "alternatives.most=0"], "alternatives.most=0"),
        (["id=1", "sensitivity=true", "evaluation=image"], "judges unfair areas"),
        (["id=1", "sensitivity=true", "alternatives.most=1", "alternatives.refits=null", "name=x"], "refits=null asks"),
        (
            ["id=1", "sensitivity=true", "alternatives.most=1", "scm=independent", "name=x"],
            "scm=independent are not fitted",
        ),
        (["id='1,x'"], "expected the number of a record"),
        (["id=1", "sensitivity=true", "dataset.graph={}", "name=x"], "has no causal graph with an arrow"),
        (["id=1", "sensitivity=true", "dataset.graph={x2:[x9]}", "name=x"], "x9"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_sentence(home, words, phrase):
    refused(command("evaluate", "dataset=lin", "device=cpu", *words), phrase)


def test_a_record_without_a_causal_model_is_refused_before_any_is_judged(home):
    store = RunStore(paths_config.database("lin"))
    none = OmegaConf.to_container(OmegaConf.load(ROOT / "config" / "scm" / "none.yaml"))
    kept = store.get(2)
    bare = {key: value for key, value in kept.items() if key not in ("doc_id", "checksum", "causal", "evaluations")}
    store.replace(2, bare | {"params": {**kept["params"], "scm": none}})
    try:
        answer = command("evaluate", *JUDGE, *QUICK, "id=[1,2]", "name=again")
        refused(answer, "record 2 has no causal model")
        assert "again" not in record()["evaluations"]
    finally:
        store.replace(2, {key: value for key, value in kept.items() if key not in ("doc_id", "checksum")})


def test_another_causal_model_to_begin_with_is_called_as_given(home):
    answer = command(
        "evaluate", *JUDGE, "scm.radius_unit=noise_sd", "id=1", "alternatives.rows=10", "alternatives.refits=null"
    )
    assert answer.code == 0, answer
    held = record()["evaluations"]["sensitivity@0.1+scm.radius_unit=noise_sd"]
    assert held["sensitivity"]["models"][0]["name"] == "as given (linear)"
    assert "refits" not in held["sensitivity"]
    assert held["causal"]["settings"]["radius_unit"] == "noise_sd"
