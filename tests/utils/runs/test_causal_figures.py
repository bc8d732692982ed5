"""A causal figure belongs to its causal model: what compares, who refuses, and what judges all under one.

The records are three trainings with the same weights whose unfair areas differ by their SCM alone, as the program
files them; who has to refuse is asked through its command.
"""

import json
import shlex

import pytest

from evals.records import advice, query
from evals.records.advice import Asked
from tests.commands import SMALL, command, composed, house, refused
from utils.run_store import RunStore
from utils.runs import causal_figures
from utils.scms.identity import causal_of, describe

pytestmark = pytest.mark.e2e

SCMS = ("independent", "linear", "learned")
LIN = ("dataset=lin", "dataset.rows=200", "operating_points=null", "evaluation.metrics.group.groups_min=1", *SMALL)
QUICK = ("scm.steps=20", "scm.hidden=4")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A house with a run of each of SCMS, one more seed of the last, and one row set more of the first."""
    with house(tmp_path_factory.mktemp("house")) as folder:
        for words in (*((f"scm={scm}",) for scm in SCMS), ("scm=learned", "seed=1")):
            quick = QUICK if "scm=learned" in words else ()
            assert command("train", *LIN, *words, *quick).code == 0
        yield folder


@pytest.fixture
def records(trained):
    return query.read("lin")


# --- what compares ---------------------------------------------------------------------------------------------


CAUSAL_KEYS = ("option", "settings", "graph", "source", "fingerprint")
SCM = {"_target_": "utils.scms.learned.learned", "_partial_": True, "hidden": 100, "binary": "threshold"}
CSV = {"_target_": "utils.datasets.csv.csv", "graph": {"b": ["a", "s"], "c": "b"}}
FACTS = {"scm_thresholded_b": 1.0}
PLAIN = {"facts": FACTS, "data": "f", "drawing": None, "arrows": None, "equations": None}


def print_of(scm=SCM, dataset=CSV, **changes):
    return describe(scm, dataset, **PLAIN | changes)["fingerprint"]


@pytest.mark.parametrize(
    "changes",
    [
        {"scm": SCM | {"hidden": 100.0}},
        {"dataset": CSV | {"graph": {"c": ["b"], "b": ["s", "a"], "d": []}}},
        {"dataset": CSV | {"path": "elsewhere.csv", "split": [0.8, 0, 0.2]}},
        {"equations": "1234"},
        {"arrows": {"b": ("a",)}},
    ],
)
def test_what_no_twin_depends_on_is_no_part_of_the_fingerprint(changes):
    assert print_of(**changes) == print_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"scm": SCM | {"_target_": "utils.scms.linear.linear"}},
        {"scm": SCM | {"binary": "anm"}},
        {"scm": SCM | {"hidden": 50}},
        {"dataset": CSV | {"graph": {"b": ["a"], "c": "b"}}},
        {"dataset": CSV | {"graph": None}},
        {"data": "g"},
    ],
)
def test_what_they_depend_on_is(changes):
    assert print_of(**changes) != print_of()


def test_how_binary_columns_are_read_matters_where_one_has_parents():
    assert print_of(SCM | {"binary": "anm"}, facts={}) == print_of(facts={})


def test_of_a_generated_data_set_name_rows_and_version_are_the_source_not_what_the_seed_drew():
    lin = {"_target_": "utils.datasets.lin.lin", "name": "mine", "rows": 200}
    one = print_of(dataset=lin, data="f", drawing=1)
    assert print_of(dataset=lin, data="g", drawing=1) == one
    assert print_of(dataset=lin | {"rows": 300}, drawing=1) != one
    assert print_of(dataset=lin, drawing=2) != one


def test_the_sensitive_attributes_are_part_of_it_in_any_order_and_way_of_writing():
    both, turned, one, text = (
        print_of(dataset=CSV | {"sensitive": given}) for given in (["race", "sex"], ["sex", "race"], ["sex"], "sex")
    )
    assert both == turned
    assert one == text
    assert len({both, one, print_of()}) == 3


@pytest.mark.parametrize("holds", [True, False])
def test_records_from_before_it_held_them_compare_with_new_ones_and_not_with_others(holds):
    """``holds``: the record has a causal model of its own, without attributes; else it follows from its settings."""

    def record(i, sensitive, *, old):
        dataset = {**CSV, "sensitive": sensitive}
        made = describe(SCM, dataset, **PLAIN)
        if old:
            del made["sensitive"]
            made["fingerprint"] = describe(SCM, CSV, **PLAIN)["fingerprint"]  # that which was filed then
        kept = {"causal": made} if holds or not old else {}
        params = {"dataset": dataset, "scm": SCM}
        found = {"doc_id": i, "metrics": {"uai_cf": 0.1 * i}, "params": params, "scm": FACTS, "fingerprint": "f"}
        return found | kept | {"evaluations": {}}

    new, old, other = record(1, ["sex"], old=False), record(2, "sex", old=True), record(3, ["race"], old=True)
    assert advice.why_apart([new, old], ["uai_cf"], Asked("mine")) == ""
    said = advice.why_apart([new, old, other], ["uai_cf"], Asked("mine"))
    assert "learned, sensitive sex (records 1, 2); learned, sensitive race (record 3)" in said
    assert "Their sensitive attributes differ, so no command judges them under one" in said
    assert 'by where="dataset.sensitive==[race]"' in said


def test_a_graph_that_is_not_read_is_none_of_it():
    independent = {"_target_": "utils.scms.independent.independent"}
    assert print_of(independent) == print_of(independent, CSV | {"graph": None})


def test_a_record_holds_its_causal_model_and_without_it_the_same_follows_from_its_settings(records):
    for record in records:
        assert record["causal"].keys() == {*CAUSAL_KEYS, "sensitive", "equations"}
        older = {key: value for key, value in record.items() if key != "causal"}
        assert causal_of(older)["fingerprint"] == record["causal"]["fingerprint"]
    prints = [record["causal"]["fingerprint"] for record in records]
    assert len(set(prints)) == len(SCMS)
    assert prints[2] == prints[3]  # two seeds
    assert records[2]["causal"]["equations"] != records[3]["causal"]["equations"]
    assert records[0]["causal"]["equations"] is None
    assert [record["causal"]["graph"] for record in records[:2]] == [None, {"x2": ["x1"], "x3": ["x1", "x2"]}]


def test_older_records_of_this_repository_compare_among_themselves():
    path = query.paths_config.ROOT / "tests/evals/older_runs.json"
    old = list(json.loads(path.read_text())["_default"].values())
    assert "causal" not in old[0]
    assert advice.why_apart(old, ["uai_0.05"], Asked("lin")) == ""
    assert {causal_of(record)["option"] for record in old} == {"known"}


@pytest.mark.parametrize(
    ("key", "rests"),
    [
        ("uai_0.05", True),
        ("uai_random_0.05", True),
        ("counterfactual_flip_rate", True),
        ("uai_cf_low", True),
        ("fnr_gap", False),
        ("accuracy", False),
        ("robust_accuracy_0.05", False),
        ("robust_accuracy_causal_pgd_0.05", True),
        ("robust_accuracy_causal_pgd_group0_0.05", True),
        ("causal_pgd@0.05/robust_accuracy_causal_pgd_0.05", True),
        ("causal_pgd@0.05/robust_accuracy_0.05", False),
        ("pgd@0.05/robust_accuracy_pgd_0.05", False),
    ],
)
def test_the_metric_and_the_attack_say_whether_a_figure_is_causal(key, rests):
    moved = {"name": "causal_pgd", "evasion": {"threat": {"_target_": "utils.threats.causal"}}}
    plain = {"name": "pgd", "evasion": {"threat": {"_target_": "utils.threats.features"}}}
    evaluations = {"causal_pgd@0.05": {"settings": {"attack": moved}}, "pgd@0.05": {"settings": {"attack": plain}}}
    assert causal_figures.rests_on_scm({"params": {"attack": moved}, "evaluations": evaluations}, key) == rests


# --- who refuses -----------------------------------------------------------------------------------------------


REFUSING = [
    ("evals.select", "dataset=lin", "maximize=accuracy", "where=uai_0.05<=0.07"),
    ("evals.select", "dataset=lin", "minimize=uai_cf"),
    ("evals.plot", "dataset=lin", "x=accuracy", "y=uai_0.05"),
    ("evals.plot", "dataset=lin", "x=accuracy", "y=1-uai_0.05", "y_better=higher"),
    ("evals.plot", "dataset=lin", "kind=excluded", "x=accuracy", "y=uai_0.05", "limit=uai_0.05<=0.9"),
    ("evals.plot", "dataset=lin", "kind=tangent", "x=accuracy", "y=uai_0.05", "weights=1,1"),
    ("evals.plot", "dataset=lin", "kind=parallel", "metrics=[accuracy,demographic_parity_difference,uai_0.05]"),
    ("evals.plot", "dataset=lin", "kind=seeds", "metrics=uai_0.05"),
    ("evals.plot", "dataset=lin", "kind=3d", "x=accuracy", "y=demographic_parity_difference", "z=uai_0.05"),
    ("evals.report", "dataset=lin", "y=uai_0.05"),
    ("evaluate", "dataset=lin", "sort=uai_0.05"),
]


@pytest.mark.parametrize("words", REFUSING, ids=lambda words: " ".join(words))
def test_no_command_ranks_figures_of_several_causal_models(trained, words):
    command_line = "`python evaluate.py dataset=lin id=all scm=learned`"
    refused(command(*words), "belongs to its causal model, and here are 3: independent", command_line, "scm==learned")


@pytest.mark.parametrize("words", REFUSING[:3], ids=lambda words: " ".join(words))
def test_figures_of_one_causal_model_are_ranked(trained, words):
    kept = [f"{word}, scm==learned" for word in words if word.startswith("where=")] or ["where=scm==learned"]
    answer = command(*(word for word in words if not word.startswith("where=")), *kept, *_out(words))
    assert answer.code in (0, 1), answer  # 1: no model meets the requirement


def _out(words):
    return ["card=null"] if words[0] == "evals.select" else ["out=one.png"]


@pytest.mark.parametrize(
    "words",
    [
        ("evals.plot", "x=accuracy", "y=demographic_parity_difference", "out=two.png"),
        ("evals.select", "maximize=accuracy", "card=null"),
    ],
)
def test_figures_that_no_causal_model_matters_to_are_compared_across(trained, words):
    assert command(words[0], "dataset=lin", *words[1:]).code == 0


def test_a_sweep_over_causal_models_names_the_best_under_each_and_how_all_are_judged_under_one(trained):
    """All were trained before; of accuracy, which rests on none of them, there is one best."""
    answer = command("train", "-m", *LIN, "scm=independent,linear", "watch=[accuracy,uai_cf]")
    assert answer.code == 0, answer
    found = {r["causal"]["option"]: r["metrics"]["uai_cf"] for r in query.read("lin")[:2]}
    assert ", ".join(f"{figure:.4f} under scm={option}" for option, figure in found.items()) in answer.out
    assert "uai_cf belongs to its causal model, and here are 2: independent (record 1); linear (record 2)" in answer.out
    assert "`python evaluate.py dataset=lin id=all scm=linear`" in answer.out
    alone = command("train", "-m", *LIN, "scm=linear", "seed=0,1", "watch=[accuracy,uai_cf]").out
    assert "causal model" not in alone
    assert "under scm" not in alone


def test_a_table_lists_them_with_the_causal_model_named_and_takes_no_gain_over_another(trained):
    out = command("evals.table", "dataset=lin", "metrics=accuracy,uai_0.05").out
    rows = [line for line in out.splitlines() if line.startswith("| lin")]
    assert sorted(next(scm for scm in SCMS if scm in row) for row in rows) == sorted(SCMS)
    assert "belongs to its causal model" in out
    assert "uai_0.05 under scm=independent: the direct effect of the sensitive column alone" in out
    plain = command("evals.table", "dataset=lin", "metrics=accuracy,fnr_gap").out
    assert "causal model" not in plain
    refused(command("evals.table", "dataset=lin", "metrics=gain_uai_0.05", "base=erm"), "belongs to its causal model")


def test_the_listing_of_evaluate_names_them(trained):
    out = command("evaluate", "dataset=lin", "columns=[uai_0.05]").out
    assert "scm" in out.splitlines()[0].split()
    assert "belongs to its causal model" in out


def test_the_page_starts_with_axes_that_compare_and_holds_the_causal_model_of_each_run(trained):
    assert command("evals.report", "dataset=lin", "out=page.html").code == 0
    text = (trained / "page.html").read_text()
    held = json.loads(text.partition('id="data"')[2].partition(">")[2].partition("</script>")[0])
    assert not set(held["axes"]) & held["models"].keys()
    assert held["models"].keys() > {"uai_0.05", "uai_cf"}
    assert sorted(held["models"]["uai_0.05"]["of"]) == sorted(SCMS)
    judges = {metric["key"]: metric.get("judge") for metric in held["metrics"]}
    assert judges["uai_0.05"] == "python evaluate.py dataset=lin id=all scm=learned"


@pytest.mark.parametrize("scm", SCMS)
def test_the_label_of_a_figure_under_independent_says_what_it_is_and_its_key_stays(records, scm):
    own = [record for record in records if record["causal"]["option"] == scm]
    direct = "the direct effect of the sensitive column alone"
    assert (direct in causal_figures.label(own, "uai_0.05", ())) == (scm == "independent")
    assert direct not in causal_figures.label(own, "uai_ar_0.05", ())  # moves no sensitive column
    assert direct not in causal_figures.label(own, "fnr_gap", ())


def test_the_label_of_a_figure_under_a_threshold_says_that_it_rests_on_one_noise(records):
    (record,) = records[:1]
    other = record | {"scm": FACTS, "causal": describe(SCM, CSV, **PLAIN)}
    assert causal_figures.label([other], "uai_cf", ()).endswith("; one middle noise, not its posterior)")


# --- what judges all under one ---------------------------------------------------------------------------------


def test_the_command_that_is_printed_judges_all_under_one_and_the_keys_are_of_use(trained):
    error = command("evals.select", "dataset=lin", "maximize=accuracy", "where=uai_0.05<=0.07").err
    line = shlex.split(error.partition("`")[2].partition("`")[0])
    assert line[:2] == ["python", "evaluate.py"]
    answer = command("evaluate", *line[2:], *QUICK, "name=scm=learned", "evaluation.metrics.unfair_area.samples=20")
    assert answer.code == 0, answer
    found = query.read("lin")
    models = [record["evaluations"]["scm=learned"]["causal"] for record in found]
    assert {model["fingerprint"] for model in models} == {found[2]["causal"]["fingerprint"]}
    filed, own = (of["metrics"]["uai_cf"] for of in (found[2]["evaluations"]["scm=learned"], found[2]))
    assert filed == pytest.approx(own)
    key = "scm=learned/uai_cf"
    assert command("evals.plot", "dataset=lin", "x=accuracy", f"y={key}", "out=three.png").code == 0
    chosen = command("evals.select", "dataset=lin", "maximize=accuracy", f"where={key}<=1", "card=null")
    assert chosen.code == 0, chosen
    assert command("evaluate", "dataset=lin", f"where={key}<=1", f"sort={key}").code == 0
    store = RunStore(query.paths_config.database("lin"))
    assert len({record["metrics"]["uai_0.05"] for record in store.all()}) > 1  # what was filed stays


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["scm=independent"], "scm=independent"),
        (["scm=linear", "scm.radius_unit=noise_sd"], "scm=linear+radius_unit=noise_sd"),
        (["scm.radius_unit=noise_sd"], "scm.radius_unit=noise_sd"),
        (["scm=known", "attack=causal_pgd", "epsilon=0.1"], "causal_pgd@0.1+scm=known"),
        (["scm=linear", "dataset.graph={x3:[x1]}"], "scm=linear+graph="),
    ],
)
def test_the_name_of_the_evaluation_tells_the_causal_model(trained, words, name):
    answer = command("evaluate", "dataset=lin", "id=2", *words, "evaluation.metrics.unfair_area.samples=5")
    assert answer.code == 0, answer
    record = query.read("lin")[1]
    (found,) = [key for key in record["evaluations"] if key == name or (name[-1] == "=" and key.startswith(name))]
    model = record["evaluations"][found]["causal"]
    assert model["fingerprint"] != record["causal"]["fingerprint"]
    if "graph" in found:
        assert model["graph"] == {"x3": ["x1"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scm=known", "dataset.graph={x3:[x1]}"], "dataset.graph is read by scm=learned and scm=linear"),
        (["scm=linear", "dataset.graph={x3:[age]}"], "there is no column 'age'"),
        (["scm.hiden=3"], "hiden"),
        (["scm=learnt"], "did you mean learned"),
        (["scm=linear", "scm.discrete=cut"], "scm.discrete"),
    ],
)
def test_a_causal_model_that_cannot_be_meant_is_refused(trained, words, message):
    refused(command("evaluate", "dataset=lin", "id=1", *words), message)


@pytest.mark.parametrize(
    ("scm", "regularizer", "told"),
    [
        ("learned", "causal_adv", True),
        ("linear", "[adversarial,sensei_causal]", True),
        ("linear", "causal_dro", True),
        ("learned", "erm", False),
        ("learned", "adversarial", False),
        ("learned", "adversarial attack=causal_pgd", True),
        ("learned", "erm attack=causal_pgd", False),
        ("independent", "causal_adv", False),  # no equations were fitted
    ],
)
def test_who_was_trained_against_the_equations_that_judge_is_told(scm, regularizer, told):
    params = composed("dataset=lin", f"scm={scm}", *f"regularizer={regularizer}".split())
    causal = {"option": scm, "fingerprint": "f", "settings": {}, "graph": None, "source": None, "sensitive": None}
    record = {"params": params, "causal": causal, "metrics": {"uai_cf": 0.1, "accuracy": 0.7}}
    assert causal_figures.is_trained_against(record) is told
    said = causal_figures.tell_trained_against([record], ["accuracy", "uai_cf"])
    assert bool(said) is told
    named = "+".join(params["regularizer"])
    assert all(text.startswith(f"uai_cf under scm={scm}: {named} was trained against") for text in said)
    assert all(text.endswith(f"({causal_figures.BY_REFITS})") for text in said)
    assert causal_figures.tell_trained_against([record], ["accuracy"]) == []
    judged = {
        "metrics": {"uai_cf_refits": 0.2},
        "causal": causal,
        "sensitivity": {"models": [{}], "refits": {"number": 20}},
    }
    after = {**record, "evaluations": {"refits@0.1": judged}}
    said = causal_figures.tell_trained_against([after], ["uai_cf"])
    assert all(text.endswith("(refits@0.1/uai_cf_refits: the mean over refits)") for text in said)
    older = {
        **record,
        "evaluations": {"s": {**judged, "metrics": {"uai_cf_least": 0.1}}},
    }  # filed before there were means
    other = {**record, "evaluations": {"s": {**judged, "causal": {**causal, "fingerprint": "g"}}}}
    for one in (older, other):
        assert causal_figures.find_mean(one, "uai_cf") == ""
    assert causal_figures.find_mean(after, "uai_0.05") == ""
    assert causal_figures.remark([after], "refits@0.1/uai_cf_refits") == "20 refits"
    both = causal_figures.tell_trained_against([record, after], ["uai_cf"])
    assert all(text.endswith(f"({causal_figures.BY_REFITS})") for text in both)
