"""Every option of every group keeps the contract of its kind on small data, and a faulty method does not."""

import os
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import paths_config
from tests import contracts
from tests.contracts import options
from utils import build
from utils.cli import CONFIG
from utils.configuration.traits import model_class
from utils.decides.threshold import Threshold
from utils.model_zoo import describe_preprocessing, from_record, save_weights
from utils.models.learner import Learner
from utils.models.mlp import MLP
from utils.runs.fitting import learner_seed
from utils.runs.judging import shortened
from utils.threats import everywhere
from utils.types import Context

ROOT = paths_config.ROOT
SMALL = {"depth": 10, "widen": 1, "width": 4, "trees": 3, "iterations": 3}  # of models that are large by default
GENERATED = ("digits", "imf", "lin", "loan", "nlm")  # the others are fetched, or a file of the user's


@cache
def base(data: str, *words: str):
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        return compose("train", overrides=[f"dataset={data}", "device=cpu", *words])


def settings(group: str, name: str, data: str = "lin") -> dict:
    """The configuration of a run with this option and the defaults beside it, resolved."""
    content = OmegaConf.load(ROOT / "config" / group / f"{name}.yaml")
    if "defaults" in content:  # it builds on another, which Hydra knows to do
        return OmegaConf.to_container(base(data, f"{group}={name}"), resolve=True)
    cfg = deepcopy(base(data))
    OmegaConf.set_struct(cfg, value=False)
    cfg[group] = content
    return OmegaConf.to_container(cfg, resolve=True)


def text(group: str, name: str) -> str:
    return (ROOT / "config" / group / f"{name}.yaml").read_text()


def of_images(group: str, name: str) -> bool:
    return any(word in text(group, name) for word in ("threats.pixels", "adapts: true"))


@cache
def digits():
    """A handful of images of every digit, and two small networks."""
    params = OmegaConf.to_container(base("digits"), resolve=True)
    data = build.build_dataset(params, torch.device("cpu"))
    models = [build.build_model(params | {"seed": seed}, data)[0].eval() for seed in range(2)]
    return data, models, build.build_context(params, data)


@pytest.fixture(scope="module")
def toy(dataset, context):
    """Rows of a table with a binary column that has a parent, two networks that differ, and their context."""
    data, ctx = dataset("toy", 300), context("toy", radius=0.3)
    torch.manual_seed(0)
    models = [MLP(len(data.columns), 1, hidden=[8], activation="tanh").eval() for _ in range(2)]
    return data, models, replace(ctx, groups=len(data.groups))


def task(group: str, name: str, toy):
    return digits() if of_images(group, name) else toy


# --- every option ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", options(ROOT, "regularizer"))
def test_a_term_is_finite_alone_and_stacked(name, toy):
    data, models, ctx = task("regularizer", name, toy)
    params = settings("regularizer", name, "digits" if data.shape else "lin")
    batch = data.train.rows(slice(0, 40))
    if "adapts: true" in text("regularizer", name):
        (adaptation,) = build.adaptations(
            params | {"regularizer": params["regularizer"] | {"other": {"weight": 1.0}}}, data
        )
        adapted = adaptation.adapted(batch, ctx.on(batch))
        contracts.check_epsilon(lambda rows, here: adaptation.adapted(rows, here).epsilon(rows, here), batch, ctx)
        assert adapted.emphasis is None or all(part.isfinite().all() for part in adapted.emphasis)
        return
    (weighted,) = build.own_terms(build.terms(params), params, data, ctx.scm).values()
    contracts.check_term(weighted.term, models, batch, ctx, stacks=not data.shape)


@pytest.mark.parametrize("name", [n for n in options(ROOT, "attack") if "poison:" not in text("attack", n)])
def test_an_attack_stays_in_its_budget_and_schema(name, toy):
    data, models, ctx = task("attack", name, toy)
    params = settings("attack", name, "digits" if data.shape else "lin")
    attack = build.bind(params["attack"]["evasion"], "attack.evasion")
    batch = data.test.rows(slice(0, 12))
    contracts.check_attack(attack, models[0], batch, replace(ctx, epsilon=everywhere(0.1)).on(batch))


@pytest.mark.parametrize("name", options(ROOT, "epsilon"))
def test_an_epsilon_gives_a_radius_for_every_row(name, toy):
    data, _, ctx = toy
    params = settings("epsilon", name)["epsilon"]
    epsilon = build.bind(params["schedule"] | {"radius": 0.1}, "epsilon.schedule")
    contracts.check_epsilon(epsilon, data.train.rows(slice(0, 20)), replace(ctx, epoch=1, epochs=3))


@pytest.mark.parametrize("name", [n for n in options(ROOT, "prepare") if n != "none"])
def test_a_prepare_makes_up_no_row(name, toy):
    data, *_ = toy
    node = settings("prepare", name)["prepare"] | ({"group": 0} if name == "duplicate" else {})
    contracts.check_prepare(build.bind(node, "prepare"), data.train, data.groups)


@pytest.mark.parametrize("name", options(ROOT, "decide"))
def test_a_decide_comes_back_from_its_record(name, toy):
    data, models, _ = toy
    node = settings("decide", name)["decide"]
    few = {"groups_min": 1} if "groups_min" in node else {}  # of the toy's rows
    fit = build.bind(node | few, "decide")
    logits = models[0](data.valid.x).detach()
    contracts.check_decide(fit(logits, data.valid, data.groups), models[0](data.test.x).detach(), data.test.s)


@pytest.mark.parametrize(
    "name",
    [  # its metrics are those of black_box and of certified
        pytest.param(name, marks=[pytest.mark.slow] * (name == "black_box_certified"))
        for name in options(ROOT, "evaluation")
    ],
)
def test_a_metric_states_its_keys_and_is_the_same_in_a_stack(name, toy):
    """Every metric of the option, with few repetitions."""
    images = "pixels" in OmegaConf.to_yaml(base("digits", f"evaluation={name}").evaluation)
    data, models, ctx = digits() if images else toy
    params = OmegaConf.to_container(base("digits" if images else "lin", f"evaluation={name}"), resolve=True)
    nodes = params["evaluation"]["metrics"]
    metrics = build.bind_metrics(nodes, params["attack"]["evasion"], at_training_radius=True)
    for metric in metrics.values():
        rows = data.test.rows(slice(0, 10 if images else 40))
        contracts.check_metric(
            shortened(metric), models, rows, replace(ctx, attack=shortened(ctx.attack)), stacks=not images
        )


@pytest.mark.parametrize("name", options(ROOT, "model"))
def test_a_model_is_saved_loaded_and_equal(name, toy, tmp_path, monkeypatch):
    """By the loader that users have; a learner is trained before."""
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    params = settings("model", name)
    params["model"] |= {key: value for key, value in SMALL.items() if key in params["model"]}
    kind = model_class(params)
    data = digits()[0] if "mean" in kind.__init__.__annotations__ else toy[0]
    model, description = build.build_model(params, data)
    if isinstance(model, Learner):
        model.fit(data.train.rows(slice(0, 60)), learner_seed(0))
    record = {
        "name": name,
        "run_id": name,
        "status": "finished",
        "params": {"model": description},
        "decide": {"_target_": "utils.decides.threshold.Threshold", "probability": 0.5},
        "preprocessing": describe_preprocessing(data),
        "weights": save_weights(model, data.name, name),
    }
    contracts.check_answers(from_record(record), model.eval(), data.test.rows(slice(0, 8)).x)


@pytest.mark.parametrize("name", options(ROOT, "scm"))
def test_an_scm_inverts_itself(name, toy, dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    data = {"known": dataset("lin"), "none": digits()[0]}.get(name, toy[0])
    node = settings("scm", name)["scm"]
    if name == "discovered":
        with pytest.raises(ValueError, match="proposes a graph"):
            build.build_scm({"scm": node, "seed": 0}, data)
        return
    scm = build.build_scm({"scm": node | ({"steps": 20} if "steps" in node else {}), "seed": 0}, data)
    if name == "none":
        with pytest.raises(ValueError, match="scm=none"):
            scm.own(data.test.x)
        return
    contracts.check_scm(scm, data.test.x)


def nothing_is_fetched(*args, **settings):
    raise OSError("no test fetches a data set")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[pytest.mark.slow] if name not in GENERATED and "image" in text("dataset", name) else []
        )
        for name in options(ROOT, "dataset")
        if name != "csv"
    ],
)
def test_a_data_set_is_well_formed(name, tmp_path, monkeypatch):
    """Those that are generated; those that are fetched where they are."""
    monkeypatch.setenv("TRILEMMA_DATA", os.environ.get("TRILEMMA_DATA", str(tmp_path)))
    params = OmegaConf.to_container(base(name, *(["dataset.rows=300"] if name in GENERATED[1:] else [])), resolve=True)
    monkeypatch.setattr("pooch.retrieve", nothing_is_fetched)
    try:
        data = build.build_dataset(params, torch.device("cpu"))
    except (OSError, ValueError) as error:
        if name in GENERATED:
            raise
        pytest.skip(f"not here: {str(error)[:80]}")
    contracts.check_dataset(data)


# --- files -----------------------------------------------------------------------------------------------------


def test_every_method_has_an_option():
    assert contracts.without_option(ROOT) == []


def test_every_option_has_its_function():
    assert contracts.without_function(ROOT) == []


def test_the_test_of_every_method_claims_something():
    assert contracts.untested(ROOT) == []


@pytest.fixture
def house(tmp_path):
    """A small project with one method, its option and its test, all in order."""
    for path, content in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    return tmp_path


TERM, YAML = "utils/regularizers/pairing.py", "config/regularizer/pairing.yaml"
TEST = "tests/utils/regularizers/test_pairing.py"
FILES = {
    TERM: "def pairing(predict, batch, ctx, *, power):\n    return predict(batch.x)\n",
    YAML: "pairing:\n  _target_: utils.regularizers.pairing.pairing\n  power: 2\n",
    TEST: "from utils.regularizers.pairing import pairing\n\ndef test_it():\n    assert pairing(abs, 1, 2) == 0\n",
    "tests/helpers.py": "def same(a, b):\n    assert a == b\n\ndef look(a):\n    return a\n",
}
FORGOTTEN = {
    "its option": (YAML, None, contracts.without_option),
    "its function": (TERM, "def other(predict, batch, ctx):\n    pass\n", contracts.without_function),
    "the file of its function": (TERM, None, contracts.without_function),
    "its test": (TEST, None, contracts.untested),
    "what it tests": (TEST, "def test_nothing():\n    pairing = 1\n    pass\n", contracts.untested),
    "to assert": (TEST, FILES[TEST].replace("assert ", ""), contracts.untested),
    "to assert what can fail": (TEST, "def test_pairing():\n    assert True\n    assert 1 == 1\n", contracts.untested),
    "to test anything": (TEST, "import pairing\n", contracts.untested),
    "to speak of it": (TEST, "def test_it(a):\n    assert a\n", contracts.untested),
    "that its helper asserts nothing": (
        TEST,
        "from tests.helpers import look\n\ndef test_pairing():\n    look(1)\n",
        contracts.untested,
    ),
    "one of two tests": (TEST, FILES[TEST] + "\ndef test_nothing():\n    pass\n", contracts.untested),
}
FINE = [
    "import pytest\n\ndef test_pairing():\n    with pytest.raises(ValueError):\n        pairing()\n",
    "import numpy as np\n\ndef test_pairing():\n    np.testing.assert_allclose(pairing(), 1)\n",
    "from tests.helpers import same\n\ndef test_pairing():\n    same(pairing(), 1)\n",
    "def holds(a):\n    assert a\n\ndef test_pairing():\n    holds(pairing())\n",
]


@pytest.mark.parametrize("what", FORGOTTEN)
def test_what_is_forgotten_is_found(house, what):
    path, content, check = FORGOTTEN[what]
    assert check(house) == []
    (house / path).unlink() if content is None else (house / path).write_text(content)
    assert len(check(house)) == 1


@pytest.mark.parametrize("content", FINE)
def test_a_test_may_claim_by_other_means(house, content):
    (house / TEST).write_text(content)
    assert contracts.untested(house) == []


# --- faulty methods --------------------------------------------------------------------------------------------


def good(predict, batch, ctx):
    return predict(batch.x).squeeze(-1).square()


FAULTY_TERMS = {
    "not finite": lambda predict, batch, ctx: good(predict, batch, ctx) / 0,
    "detached": lambda predict, batch, ctx: good(predict, batch, ctx).detach(),
    "of another shape": lambda predict, batch, ctx: predict(batch.x),
    "mixes models": lambda predict, batch, ctx: good(predict, batch, ctx) - good(predict, batch, ctx).mean(),
    "one loss for a stack": lambda predict, batch, ctx: good(predict, batch, ctx).mean(),
}


@pytest.mark.parametrize("fault", FAULTY_TERMS)
def test_a_faulty_term_is_found(toy, fault):
    data, models, ctx = toy
    batch = data.train.rows(slice(0, 20))
    contracts.check_term(good, models, batch, ctx, stacks=True)
    with pytest.raises(AssertionError):
        contracts.check_term(FAULTY_TERMS[fault], models, batch, ctx, stacks=True)


def pushed(predict, batch, ctx, *, threat, by, column):
    return batch.x + by * ctx.epsilon(batch, ctx).unsqueeze(-1) * torch.eye(batch.x.shape[-1])[column]


@pytest.mark.parametrize(("by", "column"), [(1.5, 2), (0.5, 0), (float("nan"), 2)])
def test_an_attack_that_cheats_is_found(toy, by, column):
    data, models, ctx = toy
    batch, threat = data.test.rows(slice(0, 9)), ctx.attack.keywords["threat"]
    contracts.check_attack(partial(pushed, threat=threat, by=0.9, column=2), models[0], batch, ctx)
    with pytest.raises(AssertionError):
        contracts.check_attack(partial(pushed, threat=threat, by=by, column=column), models[0], batch, ctx)


def test_an_attack_that_names_no_threat_is_found(toy):
    data, models, ctx = toy
    with pytest.raises(AssertionError, match="names no threat"):
        contracts.check_attack(partial(pushed, by=0, column=2), models[0], data.test, ctx)


@pytest.mark.parametrize("radius", [lambda b, _: torch.tensor(0.1), lambda b, _: -torch.ones(len(b.y))])
def test_a_faulty_epsilon_is_found(toy, radius):
    with pytest.raises(AssertionError):
        contracts.check_epsilon(radius, toy[0].train, toy[2])


@pytest.mark.parametrize(
    "prepare",
    [
        lambda rows, *_: rows._replace(x=rows.x + 1),
        lambda rows, *_: rows._replace(y=rows.y + 1),
        lambda rows, *_: rows._replace(s=1 - rows.s),
        lambda rows, *_: rows._replace(w=rows.w * 0),
        lambda rows, _, rng: rows.rows(torch.from_numpy(np.random.permutation(len(rows.y)))),
    ],
)
def test_a_faulty_prepare_is_found(toy, prepare):
    with pytest.raises(AssertionError):
        contracts.check_prepare(prepare, toy[0].train, toy[0].groups)


def test_a_decide_whose_record_forgets_its_threshold_is_found(toy):
    class Forgetful(Threshold):
        def to_record(self):
            return super().to_record() | {"probability": 0.5}

    logits, s = torch.linspace(-3, 3, 60).unsqueeze(1), torch.zeros(60, dtype=torch.int64)
    contracts.check_decide(Threshold(0.7), logits, s)
    with pytest.raises(AssertionError, match="another decision"):
        contracts.check_decide(Forgetful(0.7), logits, s)


@pytest.mark.parametrize(("key", "value"), [("colour", 0.5), ("accuracy", float("inf")), ("mcc", -1.5)])
def test_a_metric_without_words_or_figures_in_its_range_is_found(toy, key, value):
    data, models, ctx = toy
    with pytest.raises(AssertionError, match=key):
        contracts.check_metric(lambda *_: {key: value}, models, data.test, ctx, stacks=True)


def test_a_metric_that_is_another_in_a_stack_is_found(toy):
    data, models, ctx = toy

    def wrong(predict, batch, here: Context):
        return here.of_each(lambda own: {"accuracy": 1.0 if own is here else 0.0})

    with pytest.raises(AssertionError, match="of a stack"):
        contracts.check_metric(wrong, models, data.test, ctx, stacks=True)


def test_another_model_is_found(toy):
    with pytest.raises(AssertionError, match="another model"):
        contracts.check_answers(toy[1][0], toy[1][1], toy[0].test.x)
    with pytest.raises(AssertionError):
        contracts.check_answers(*[lambda x: x * torch.nan] * 2, toy[0].test.x)


def test_an_scm_that_does_not_invert_itself_is_found(dataset, scm):
    true = scm("lin")
    last = true.mechanisms[-1]
    bent = replace(true, mechanisms=(*true.mechanisms[:-1], last._replace(pull=lambda x, *parents: x)))
    contracts.check_scm(true, dataset("lin").test.x)
    with pytest.raises(AssertionError):
        contracts.check_scm(bent, dataset("lin").test.x)


@pytest.mark.parametrize(
    "fault",
    [
        lambda data: replace(data, valid=data.train),
        lambda data: replace(data, groups=("one",)),
        lambda data: replace(data, classes=1),
        lambda data: replace(data, train=data.train._replace(x=data.train.x * 2)),
        lambda data: replace(data, test=data.test._replace(y=data.test.y[1:])),
    ],
)
def test_a_faulty_data_set_is_found(dataset, fault):
    data = dataset("toy")
    contracts.check_dataset(data)
    with pytest.raises(AssertionError):
        contracts.check_dataset(fault(data))
