"""From a configuration to objects: identity, names, weights of the objective, devices, seeded parts."""

import weakref
from copy import deepcopy

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tests.commands import composed
from utils import build
from utils.build import Parts, bind, build_dataset, build_metrics, build_model, build_run
from utils.cli import CONFIG
from utils.configuration.run_identity import identity_of, run_id
from utils.system.devices import choose_device
from utils.views.stack import UnstackableError, together


@pytest.fixture(scope="module")
def base():
    return composed()


@pytest.fixture
def params(base):
    return deepcopy(base)


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
    assert run.run_id == run_id(identity_of(params, run.dataset, run.ctx.scm))


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
        rows = [f"{first + i * i},{i % 2},{i % 3 % 2}" for i in range(60)]
        (tmp_path / "t.csv").write_text("\n".join(["a,sex,y", *rows]))
        words = ("dataset=csv", f"dataset.path={tmp_path / 't.csv'}", "dataset.label=y", "dataset.sensitive=sex")
        with initialize_config_dir(str(CONFIG), version_base="1.3"):
            cfg = compose("train", overrides=["device=cpu", *words])
        groups.add(build_run(OmegaConf.to_container(cfg, resolve=True)).group_id)
    assert len(groups) == 2


# --- prepares --------------------------------------------------------------------------------------------------


def test_a_prepare_weighs_the_training_rows_alone():
    plain, weighed = (build_run(composed(word)).dataset for word in ("prepare=none", "prepare=reweigh"))
    assert weighed.train.w.std() > 0
    assert torch.equal(weighed.train.x, plain.train.x)
    assert all(torch.equal(getattr(weighed, part).w, getattr(plain, part).w) for part in ("valid", "test"))


def test_a_prepare_of_one_run_leaves_the_rows_of_another_that_shares_its_data():
    parts = Parts()
    weighed, plain = (build_run(composed(word), parts).dataset for word in ("prepare=reweigh", "prepare=none"))
    assert weighed.train.x is plain.train.x
    assert plain.train.w.unique().tolist() == [1]


def test_runs_of_the_next_stack_share_what_runs_of_this_one_have():
    parts, runs = Parts(), []
    for word in ("regularizer=erm", "regularizer=llr"):
        parts.turn()
        own = [composed(word, f"seed={seed}") for seed in (0, 1)]
        runs.append([build_run(params, parts) for params in own])
        parts.settle()
        assert [run.run_id for run in runs[-1]] == [build_run(params).run_id for params in own]
    for one, other in zip(*runs, strict=True):
        assert one.dataset.train.x is other.dataset.train.x
        assert one.ctx.scm is other.ctx.scm


@pytest.mark.parametrize("apart", ["seed=1", "dataset=lin"])
def test_rows_that_no_run_of_the_next_stack_has_are_let_go_before_others_are_read(apart, monkeypatch):
    parts = Parts()
    before = weakref.ref(build_run(composed("seed=0"), parts).dataset)
    parts.turn()
    read, gone = build.build_dataset, []
    monkeypatch.setattr(build, "build_dataset", lambda *given: gone.append(before() is None) or read(*given))
    build_run(composed(apart), parts)
    assert gone == [True]


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
    with pytest.raises(ValueError, match=r"model\._target_=.*utils\.models\.absent"):
        bind({"_target_": "utils.models.absent.Absent"}, "model")
