"""Training a model again on more rows: the same bits as a run on all of these rows."""

import copy
from multiprocessing import active_children

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from sklearn.dummy import DummyClassifier

from utils import build, seeding
from utils.cli import CONFIG
from utils.models.estimators import fit_copy, log_odds
from utils.models.learner import Learner
from utils.poisoning.rows_csv import with_rows
from utils.runs.fitting import fit_plainly, fit_together, learner_seed, logits_of
from utils.runs.refits import fitted, loss_of, refits, trained_on
from utils.views.modes import in_double

WORDS = ("dataset=loan", "dataset.rows=120", "device=cpu", "trainer.epochs=2")
FOREST = ("model=random_forest", "model.trees=5")


def run_of(*words):
    with initialize_config_dir(str(CONFIG), version_base="1.3"):
        cfg = compose("train", overrides=[*WORDS, *words])
    return build.build_run(OmegaConf.to_container(cfg, resolve=True) | {"choices": {}})


def answers(run, added, *, inner_seeds=1, processes=1):
    with refits(run, inner_seeds=inner_seeds, processes=processes) as refit:
        return refit([enlarged(run, some) for some in added])()


def enlarged(run, added):
    return with_rows(run.dataset.train, added)


@pytest.fixture(scope="module")
def network():
    return run_of("model=logistic")


@pytest.fixture(scope="module")
def forest():
    return run_of(*FOREST)


@pytest.fixture(params=["network", "forest"])
def run(request):
    return request.getfixturevalue(request.param)


class Starving(DummyClassifier):
    """For whose training there is no memory."""

    def fit(self, *_, **__):
        raise MemoryError


class Hungry(Learner):
    """A learner that never has enough."""

    def __init__(self, like):
        super().__init__(Starving(), like.inputs, like.outputs)


def rows(run, *numbers):
    return run.dataset.train.rows(torch.tensor(numbers, dtype=torch.long))


def test_the_answer_is_what_a_model_trained_on_all_rows_says(run):
    added = rows(run, 3, 3, 7)
    [found] = answers(run, [added])
    model = fitted(run, enlarged(run, added))
    assert torch.equal(found.logits[0], in_double(model)(run.dataset.valid.x))


def test_weights_and_labels_are_those_of_the_rows(forest):
    train = forest.dataset.train
    heavy = train._replace(w=1.0 + train.s)
    with refits(forest, inner_seeds=1, processes=1) as refit:
        plain, flipped, weighed = refit([train, train._replace(y=1 - train.y), heavy])()
    assert torch.allclose(plain.logits.sigmoid(), 1 - flipped.logits.sigmoid(), atol=1e-5)
    own = fit_copy(
        forest.model.estimator, *(of.numpy() for of in heavy[:2]), heavy.w.numpy(), learner_seed(forest.seed)
    )
    assert torch.equal(weighed.logits[0], torch.from_numpy(log_odds(own, forest.dataset.valid.x.numpy(), 1)))


def test_a_network_s_answer_is_that_of_a_run_on_the_enlarged_split(network):
    """The weights have the bits of the training that files the record."""
    added = rows(network, 3, 3, 7)
    own = trained_on(copy.deepcopy(network), enlarged(network, added))
    fit_together([own], watch=lambda *_: None)
    assert torch.equal(answers(network, [added])[0].logits[0], logits_of(own, network.dataset.valid))


def test_a_forest_s_answer_is_that_of_scikit_learn_on_the_enlarged_split(forest):
    from sklearn.ensemble import RandomForestClassifier

    data, added = forest.dataset, rows(forest, 3, 3, 7)
    seed = seeding.derive(forest.seed, "learner") % 2**32
    both = [torch.cat([getattr(data.train, part), getattr(added, part)]).numpy() for part in ("x", "y")]
    own = RandomForestClassifier(n_estimators=5, random_state=seed).fit(*both).predict_proba(data.valid.x.numpy())[:, 1]
    logits = answers(forest, [added])[0].logits[0, :, 0]
    assert torch.allclose(logits.sigmoid().double(), torch.from_numpy(own), atol=1e-6)


def test_sets_of_different_sizes_are_answered_in_their_order(run):
    sets = [rows(run, 0), rows(run, 1, 2, 3), rows(run), rows(run, 5)]
    together = answers(run, sets)
    for added, found in zip(sets, together, strict=True):
        assert torch.equal(found.logits, answers(run, [added])[0].logits)


def test_the_first_inner_seed_is_the_run_s_own_and_the_others_differ(run):
    [alone], [three] = answers(run, [rows(run, 1)]), answers(run, [rows(run, 1)], inner_seeds=3)
    assert three.logits.shape == (3, len(run.dataset.valid.y), 1)
    assert torch.equal(three.logits[0], alone.logits[0])
    assert not torch.equal(three.logits[1], three.logits[0])
    assert not torch.equal(three.logits[2], three.logits[1])


@pytest.mark.slow
def test_processes_give_the_bits_of_one(forest):
    sets = [rows(forest, i) for i in range(4)]
    alone, beside = answers(forest, sets), answers(forest, sets, processes=2)
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(alone, beside, strict=True))


def test_the_model_of_the_run_stays_untrained(network):
    before = copy.deepcopy(network.model.state_dict())
    answers(network, [rows(network, 1)])
    fitted(network, enlarged(network, rows(network, 1)))
    assert all(torch.equal(value, before[name]) for name, value in network.model.state_dict().items())


def test_a_training_that_diverges_is_an_answer_that_says_so():
    run = run_of("model=mlp", "trainer=sgd", "trainer.lr=1e38")
    [found] = answers(run, [rows(run, 1)])
    assert found.logits is None
    assert "lower trainer.lr" in found.error


def test_a_learner_that_fails_is_an_answer_that_says_so(forest):
    one_class = forest.dataset.train.rows(forest.dataset.train.y == 1)
    bare = build.replace(forest, dataset=build.replace(forest.dataset, train=one_class))
    [found] = answers(bare, [rows(bare, 1)])
    assert found.logits is None
    assert "class" in found.error


def test_seconds_are_those_of_the_processor(forest):
    [found] = answers(forest, [rows(forest, 1)])
    assert 0 < found.seconds < 60


def test_the_loss_is_the_objective_of_the_run(network):
    """The mean cross-entropy, of erm."""
    model, batch = fitted(network, network.dataset.train), network.dataset.train
    own = torch.nn.functional.binary_cross_entropy_with_logits(model(batch.x).squeeze(1), batch.y.float())
    assert torch.allclose(loss_of(network)(model, batch), own)


RECIPE = (
    "model=logistic",
    "trainer=image",
    "trainer.lr=0.05",
    "trainer.precision=float32",
    "trainer.checkpoint_every=1",
)
ADAPTED = (
    *("regularizer=[trades,dafa]", "regularizer.trades.threat._target_=utils.threats.features"),
    *("+regularizer.trades.threat.movable_columns=all", "+regularizer.trades.threat.relax=true"),
)


@pytest.mark.parametrize("more", [(), ADAPTED], ids=["checkpoints", "adapts"])
def test_no_training_goes_on_from_another(more, tmp_path, monkeypatch):
    """Neither from its checkpoint nor with what adapted to it: the last answer is that of the run that is filed."""
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    run = run_of(*RECIPE, *more)
    sets = [rows(run, *range(40)), rows(run)]
    first, last = answers(run, sets)
    assert not torch.equal(first.logits, last.logits)
    own = trained_on(run, enlarged(run, sets[1]))
    fit_plainly(own, watch=lambda *_: None)
    assert torch.equal(last.logits[0], logits_of(own, run.dataset.valid))


def test_the_loss_draws_nothing_from_the_stream_of_the_training():
    run = run_of("model=logistic", "regularizer=adversarial", "attack.evasion.random_start=true")
    before = run.ctx.generator.get_state()
    batch = rows(run, 1, 2, 3)
    one, other = (loss_of(run)(run.model, batch) for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(run.ctx.generator.get_state(), before)


def test_a_process_that_dies_is_an_error_that_says_what_to_do(forest):
    with refits(forest, inner_seeds=1, processes=2) as refit:
        refit([rows(forest, *range(9), 1)])()
        for child in active_children():
            if child.name.startswith("SpawnProcess"):  # not those that joblib keeps
                child.kill()
        with pytest.raises(ValueError, match="no finished evaluation is lost: relaunch"):
            refit([rows(forest, *range(9), 2)])()
        with pytest.raises(ValueError, match="no finished evaluation is lost: relaunch"):
            refit([rows(forest, *range(9), 2)])  # whose processes are known to be gone


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_lack_of_memory_is_no_result_of_a_set_of_rows(forest, processes):
    with (
        pytest.raises(ValueError, match="attack.poison.workers=1 where memory is short"),
        refits(build.replace(forest, model=Hungry(forest.model)), inner_seeds=1, processes=processes) as refit,
    ):
        refit([rows(forest, *range(9), 1)])()
