"""From a configuration to objects: identity, names, weights of the objective, devices, seeded parts."""

from copy import deepcopy

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from utils import build
from utils.build import bind, build_dataset, build_metrics, build_model, build_run, choose_device, identity
from utils.cli import CONFIG
from utils.run_store import run_id
from utils.views.stack import UnstackableError, together


def composed(*words):
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        cfg = compose("train", overrides=["dataset.rows=60", "device=cpu", *words], return_hydra_config=False)
    return OmegaConf.to_container(cfg, resolve=True)


@pytest.fixture(scope="module")
def base():
    return composed()


@pytest.fixture
def params(base):
    return deepcopy(base)


def run_of(*words, fingerprint="f"):
    return run_id(identity(composed(*words), fingerprint))


# --- identity --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["device=cuda"],
        ["threads=2"],
        ["existing=replace"],
        ["epsilon.radius=0.3"],
        ["epsilon=ramp"],
        ["trainer.lr=0.0100"],
        ["regularizer=[erm]"],
        ["prepare=none"],
    ],
)
def test_what_the_result_does_not_depend_on_is_no_part_of_the_identity(words):
    assert run_of(*words) == run_of()


@pytest.mark.parametrize(
    "words",
    [
        ["seed=1"],
        ["trainer.lr=0.02"],
        ["trainer=sgd"],
        ["model.hidden=[100]"],
        ["model=logistic"],
        ["scm=linear"],
        ["regularizer=llr"],
        ["epsilon.evaluate=[0.05]"],
        ["dataset.rows=61"],
        ["decide=fixed"],
        ["prepare=reweigh"],
        ["objective.nominal=1"],
        ["fit_on=train"],
        ["added=rows.csv"],
    ],
)
def test_what_the_result_depends_on_is_part_of_the_identity(words):
    assert run_of(*words) != run_of()


def test_how_binary_columns_are_read_is_part_of_the_identity_where_one_has_parents(dataset, scm):
    """Two readings, two runs, of which the additive one keeps the name that it had."""
    own = {"sampling": "residuals", "radius_unit": "noise"}
    ids = {}
    for name, reading in (("linear", "anm"), ("threshold", "threshold")):
        params = composed("scm=linear") | {"scm": own | {"binary": reading}}
        ids[reading] = run_id(build.identity_of(params, dataset("toy"), scm(name)))
        assert ids[reading] == run_id(identity(params, dataset("toy").fingerprint))
    assert ids["anm"] != ids["threshold"]


@pytest.mark.parametrize("words", [["scm=linear"], ["scm=learned", "scm.steps=10", "scm.hidden=3"]])
def test_without_such_a_column_it_is_not(words, tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    readings = ("anm", "threshold", "null")
    assert len({build_run(composed("dataset=lin", *words, f"scm.binary={word}")).run_id for word in readings}) == 1


def test_other_data_are_another_run():
    assert run_of(fingerprint="f") != run_of(fingerprint="g")


def test_the_path_of_a_table_is_no_part_of_the_identity(params):
    """Its content is, by the fingerprint."""
    there, here = deepcopy(params), deepcopy(params)
    there["dataset"]["path"], here["dataset"]["path"] = "/there/t.csv", "t.csv"
    assert identity(there, "f") == identity(here, "f")


@pytest.mark.parametrize("radius", ["0.3", "8/255"])
def test_the_radius_counts_for_a_term_that_reads_it(radius):
    assert run_of("regularizer=adversarial") != run_of("regularizer=adversarial", f"epsilon.radius={radius}")


def test_a_fraction_is_the_number_it_means():
    assert run_of("regularizer=llr", "epsilon.radius=1/20") == run_of("regularizer=llr", "epsilon.radius=0.05")


def test_identity_leaves_the_configuration_as_it_is(params, base):
    identity(params, "f")
    assert params == base


# --- names and weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "loan_mlp_erm"),
        (["model=logistic", "regularizer=llr"], "loan_logistic_llr"),
        (["regularizer=[causal_adv,adversarial]"], "loan_mlp_causal_adv+adversarial"),
        (["dataset.name=mine"], "mine_mlp_erm"),
    ],
)
def test_a_run_is_named_by_its_options(words, name):
    assert build.run_name(composed(*words)) == name


@pytest.mark.parametrize(
    ("words", "weight"),
    [
        (["regularizer=erm"], 0.0),  # it is the loss itself
        (["regularizer=adversarial"], 0.0),
        (["regularizer=causal_al"], 0.0),
        (["regularizer=causal_adv"], 1.0),
        (["regularizer=llr"], 1.0),
        (["regularizer=ross"], 1.0),
        (["regularizer=[llr,adversarial]"], 0.0),
        (["regularizer=adversarial", "objective.nominal=0.5"], 0.5),
        (["regularizer=llr", "objective.nominal=0"], 0.0),
    ],
)
def test_the_plain_loss_is_left_out_beside_a_term_that_has_its_own(words, weight):
    assert build.nominal_weight(composed(*words)) == weight


def test_terms_have_the_configured_weights():
    terms = build.terms(composed("regularizer=[llr,ross]", "regularizer.ross.weight=0.25"))
    assert {name: term.weight for name, term in terms.items()} == {"llr": 1.0, "ross": 0.25}


# --- metrics ---------------------------------------------------------------------------------------------------


def test_the_attack_group_is_reported_unless_it_is_the_headline_attack():
    assert "attacked" not in build_metrics(composed())
    assert "attacked" in build_metrics(composed("attack=fgsm"))
    assert "attacked" in build_metrics(composed("attack.evasion.threat.norm=linf"))


def test_what_judges_the_attack_group_is_known_by_its_signature(params):
    """Under whatever name; one that judges an attack of its own stays."""
    nodes, evasion = params["evaluation"]["metrics"], params["attack"]["evasion"]
    nodes = {"mine": nodes["attacked"], "attacked": nodes["group"], "robust": nodes["robust"]}
    assert list(build.bind_metrics(nodes, evasion, at_training_radius=True)) == ["attacked", "robust"]


def test_radii_spelt_otherwise_form_no_stack(params):
    """Their keys differ, though the runs do not."""
    node = params["evaluation"]["metrics"]["robust"]
    one, two = (bind(node | {"radii": [radius]}, "robust") for radius in (0.05, "1/20"))
    with pytest.raises(UnstackableError):
        together([one, two], "robust")


@pytest.mark.parametrize(("term", "radius"), [("erm", None), ("ross", None), ("llr", 0.05), ("adversarial", 0.05)])
def test_only_a_run_that_trains_with_a_radius_is_judged_at_it(term, radius):
    assert build_metrics(composed(f"regularizer={term}"))["robust"].keywords["training_radius"] == radius


# --- parts -----------------------------------------------------------------------------------------------------


def test_auto_takes_the_device_there_is():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_an_unknown_device_is_refused():
    with pytest.raises(ValueError, match="'banana' is not known; choose auto, cpu, cuda"):
        choose_device("banana")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="no CUDA device here; choose auto or cpu"):
        choose_device("cuda:1")


def test_equal_seeds_give_equal_models_whatever_was_drawn_before(params):
    data = build_dataset(params, torch.device("cpu"))
    one, _ = build_model(params, data)
    torch.rand(10)
    two, _ = build_model(params, data)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_building_a_model_draws_nothing_from_the_global_stream(params):
    data = build_dataset(params, torch.device("cpu"))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build_model(params, data)
    assert torch.equal(torch.rand(1), expected)


def test_the_description_rebuilds_the_model(params):
    model, description = build_model(params, build_dataset(params, torch.device("cpu")))
    again = bind(description, "model")
    again.load_state_dict(model.state_dict())
    x = torch.randn(5, description["inputs"])
    assert torch.equal(again(x), model(x))


def test_two_classes_have_one_logit(params):
    _, description = build_model(params, build_dataset(params, torch.device("cpu")))
    assert description["outputs"] == 1


def test_a_built_run_holds_the_identity_of_its_data(params):
    run = build_run(params)
    assert run.run_id == run_id(identity(params, run.dataset.fingerprint))


def test_a_seed_changes_the_run_and_not_the_group(params):
    """The data of a generated set change with the seed, so the fingerprint must be no part of the group."""
    one, two = build_run(params), build_run(params | {"seed": 1})
    assert one.dataset.fingerprint != two.dataset.fingerprint
    assert one.run_id != two.run_id
    assert one.group_id == two.group_id


def test_files_with_other_rows_are_another_group(tmp_path):
    """Two tables of one name must not be averaged as if they were two seeds."""
    groups = set()
    for first in (0.0, 1.0):
        rows = [f"{first + i},{i % 2},{i % 3 % 2}" for i in range(60)]
        (tmp_path / "t.csv").write_text("\n".join(["a,sex,y", *rows]))
        words = ("dataset=csv", f"dataset.path={tmp_path / 't.csv'}", "dataset.label=y", "dataset.sensitive=sex")
        with initialize_config_dir(str(CONFIG), version_base="1.3"):
            cfg = compose("train", overrides=["device=cpu", *words])
        groups.add(build_run(OmegaConf.to_container(cfg, resolve=True)).group_id)
    assert len(groups) == 2


def test_a_term_of_weight_zero_does_not_replace_the_plain_loss(params):
    term = params["regularizer"]["erm"] | {"weight": 0}
    assert build.nominal_weight(params | {"regularizer": {"erm": term}}) == 1.0


# --- prepares --------------------------------------------------------------------------------------------------


def test_a_prepare_weighs_the_training_rows_alone():
    plain, weighed = (build_run(composed(word)).dataset for word in ("prepare=none", "prepare=reweigh"))
    assert weighed.train.w.std() > 0
    assert torch.equal(weighed.train.x, plain.train.x)
    assert all(torch.equal(getattr(weighed, part).w, getattr(plain, part).w) for part in ("valid", "test"))


def test_a_prepare_of_one_run_leaves_the_rows_of_another_that_shares_its_data():
    made: dict = {}
    weighed, plain = (build_run(composed(word), made).dataset for word in ("prepare=reweigh", "prepare=none"))
    assert weighed.train.x is plain.train.x
    assert plain.train.w.unique().tolist() == [1]


def test_other_weights_are_another_run():
    words = [("prepare=group_weights", f"prepare.weights=[1,{weight}]") for weight in (1, 2, 2.0)]
    one, two, same = (run_of(*of) for of in words)
    assert one != two
    assert two == same


def test_runs_that_differ_in_how_their_rows_are_weighed_have_one_structure():
    words = (["prepare=none"], ["prepare=reweigh"], ["prepare=group_weights", "prepare.weights=[1,2]"])
    assert len({build.structure_of(composed(*of) | {"choices": {"prepare": of[0]}}) for of in words}) == 1


# --- bind ------------------------------------------------------------------------------------------------------


def test_a_method_s_own_refusal_comes_through_as_it_is(params):
    with pytest.raises(ValueError, match=r"^model\.hidden=\[0\] must list at least one positive width"):
        bind(params["model"] | {"hidden": [0], "inputs": 3, "outputs": 1}, "model")


def test_a_setting_that_a_method_does_not_have_is_named(params):
    with pytest.raises(ValueError, match=r"attack\.evasion\.stepps is not a setting of pgd; did you mean .*steps"):
        bind(params["attack"]["evasion"] | {"stepps": 3}, "attack.evasion")


def test_a_missing_setting_is_named(params):
    node = {key: value for key, value in params["attack"]["evasion"].items() if key != "steps"}
    with pytest.raises(ValueError, match=r"attack\.evasion lacks \['steps'\]"):
        bind(node, "attack.evasion")


def test_a_part_that_is_not_there_is_named():
    with pytest.raises(ValueError, match=r"model: .*utils\.models\.absent"):
        bind({"_target_": "utils.models.absent.Absent"}, "model")
