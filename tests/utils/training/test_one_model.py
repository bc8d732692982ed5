"""What a recipe promises: an interrupted training ends like one without, averages are those of a formula."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from utils import seeding
from utils.attacks.pgd import pgd
from utils.augment import none
from utils.decides.threshold import Threshold
from utils.losses.objective import Weighted, make_objective
from utils.regularizers.by_class import ByClass
from utils.regularizers.erm import erm
from utils.regularizers.trades import trades
from utils.scms.none import none as no_scm
from utils.threats import everywhere, pixels
from utils.training import one_model
from utils.training.many_models import DivergenceError
from utils.training.one_model import PLAIN, fit
from utils.types import Batch, Context

LINF = partial(pixels, norm="linf")
PGD = partial(pgd, threat=LINF, steps=3, rel_step=0.5, restarts=1, random_start=True)
TRADES = partial(trades, threat=LINF, beta=6.0, steps=2, rel_step=0.5, start="normal")


def images(n: int, first: int = 0) -> Batch:
    """Three classes of 6x6 images: a bright band at another height each, in noise."""
    generator = torch.Generator().manual_seed(first)
    y = torch.arange(n) % 3
    x = torch.rand(n, 1, 6, 6, generator=generator) * 0.6
    for c in range(3):
        x[y == c, :, 2 * c : 2 * c + 2] += 0.35
    return Batch((x * 255).to(torch.uint8), y, torch.zeros_like(y), torch.ones(n), torch.arange(first, first + n))


TRAIN, VALID = images(60), images(30, first=60)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


def context() -> Context:
    rows = SimpleNamespace(loc=torch.zeros(1))
    return Context(
        scm=no_scm(rows, seed=0),
        columns=(),
        attack=PGD,
        epsilon=everywhere(0.05),
        decide=Threshold(0.5),
        seed=0,
        generator=seeding.Rows(0, TRAIN.index),
    )


def trained(
    model: nn.Module, *, epochs: int = 4, recipe=PLAIN, term=TRADES, lr=0.05, watch=None, **settings
) -> nn.Module:
    fit(
        model,
        make_objective(0.0, {"term": Weighted(1.0, term)}, settings.get("adaptations", ())),
        settings.pop("train", TRAIN),
        settings.pop("valid", VALID),
        context(),
        make_optimizer=partial(torch.optim.SGD, momentum=0.9),
        epochs=epochs,
        batch_size=20,
        lr=lr,
        weight_decay=5e-4,
        order=seeding.generator(0, "order"),
        watch=watch or (lambda *_: None),
        recipe=recipe,
        **settings,
    )
    return model


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


class StoppedError(Exception):
    """What interrupts a training in these tests."""


def stop_after(epoch: int):
    def watch(done: float, _: dict[str, float]) -> None:
        if done == epoch:
            raise StoppedError

    return watch


RECIPES = {
    "plain": replace(PLAIN, checkpoint_every=1),
    "averaged": replace(PLAIN, checkpoint_every=1, ema=0.9),
    "best": replace(PLAIN, checkpoint_every=1, keep="best", judge=PGD),
    "best worst class": replace(PLAIN, checkpoint_every=1, keep="best_worst_class", judge=PGD),
    "fair average": replace(PLAIN, checkpoint_every=1, ema=0.5, ema_every="epoch", ema_floor=0.1, judge=PGD),
}


@pytest.fixture(autouse=True)
def whole_epochs(monkeypatch):
    """Nobody is told of a part of an epoch, which a machine that stalls for two seconds would otherwise tell."""
    monkeypatch.setattr(one_model, "TICK", float("inf"))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_an_interrupted_training_ends_with_the_bits_of_one_without_interruption(tmp_path, recipe):
    whole, half = trained(network(), recipe=recipe), network()
    with pytest.raises(StoppedError):
        trained(half, recipe=recipe, checkpoint=tmp_path / "a.pt", watch=stop_after(2))
    heard = []
    again = trained(network(1), recipe=recipe, checkpoint=tmp_path / "a.pt", watch=lambda e, _: heard.append(e))
    assert heard == [3, 4]
    assert same(again, whole)


def test_a_slow_epoch_is_told_of_while_it_lasts(monkeypatch):
    """Three steps an epoch: after the first and the second the share that is done, with the loss of that step."""
    monkeypatch.setattr(one_model, "TICK", -1.0)
    heard = []
    trained(network(), epochs=2, watch=lambda epoch, figures: heard.append((epoch, *figures)))
    assert [round(epoch, 2) for epoch, *_ in heard] == [0.33, 0.67, 1, 1.33, 1.67, 2]
    assert [keys for epoch, *keys in heard if epoch != int(epoch)] == [["loss"]] * 4


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    trained(network(), epochs=1, recipe=RECIPES["plain"], checkpoint=tmp_path / "a.pt")
    other = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    with pytest.raises(ValueError, match="a.pt is a checkpoint of another model"):
        trained(other, recipe=RECIPES["plain"], checkpoint=tmp_path / "a.pt")


@pytest.mark.parametrize("keep", [0, 10, 700])
def test_a_truncated_checkpoint_is_refused_by_name(tmp_path, keep):
    trained(network(), epochs=1, recipe=RECIPES["plain"], checkpoint=tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:keep])
    with pytest.raises(ValueError, match="a.pt is no checkpoint, or a damaged one"):
        trained(network(), recipe=RECIPES["plain"], checkpoint=tmp_path / "a.pt")


def test_the_average_is_the_exponential_one_of_the_weights_after_every_step():
    """w <- d w + (1 - d) w_t, from the first w_1 on; three steps an epoch, weights noted by the loss of the next."""
    model, noted = network(), []

    def noting(predict, batch, ctx) -> Tensor:
        noted.append(model[4].weight.detach().clone())
        return erm(predict, batch, ctx)

    trained(model, epochs=2, recipe=replace(PLAIN, ema=0.8), term=noting)
    last = trained(network(), epochs=2, term=erm)[4].weight
    after = [*noted[1:], last.detach()]
    expected = after[0]
    for weight in after[1:]:
        expected = 0.8 * expected + 0.2 * weight
    assert torch.allclose(model[4].weight, expected, atol=1e-6)


def test_epochs_whose_worst_class_is_below_the_floor_are_left_out_of_the_average():
    """At a floor that no epoch reaches there is no average, and the model is that of plain training."""
    floor = replace(PLAIN, ema=0.5, ema_every="epoch", ema_floor=1.0, judge=PGD)
    assert same(trained(network(), recipe=floor, epochs=2), trained(network(), epochs=2))


def test_the_best_epoch_is_kept_and_patience_ends_the_training():
    """From a learning rate far too large nothing gets better: after the first best, two epochs more."""
    heard = []
    recipe = replace(PLAIN, keep="best", patience=2, judge=PGD)
    trained(network(), epochs=50, recipe=recipe, lr=3.0, watch=lambda e, f: heard.append(f["valid_robust_accuracy"]))
    assert len(heard) < 50
    assert max(heard) not in heard[-2:]
    assert heard.index(max(heard)) == len(heard) - 3


class Counting(ByClass):
    """An adaptation that changes nothing, and whose weights say how many epochs have ended."""

    listens = False

    def __init__(self, warmup: float):
        super().__init__(3, warmup)

    def observed(self, *_) -> None:
        pass

    def adapted(self, _, ctx) -> Context:
        return ctx

    def epoch_ended(self, _, __, ctx) -> None:
        self.weights = torch.full_like(self.weights, ctx.epoch + 1.0)


@pytest.mark.parametrize("recipe", ["plain", "best"])
def test_adaptations_end_as_they_were_in_the_epoch_that_is_kept(recipe):
    counting, heard = Counting(0.5), []
    trained(
        network(),
        recipe=RECIPES[recipe],
        epochs=6,
        adaptations=[counting],
        watch=lambda e, f: heard.append(f.get("valid_robust_accuracy", e)),
    )
    last = {"plain": 5, "best": 3 + heard[3:].index(max(heard[3:]))}[recipe]
    assert counting.class_weights()["margin"] == [float(last)] * 3


def test_patience_and_best_count_epochs_in_which_all_adaptations_act():
    """At a learning rate of 0 every epoch is as good, so the first that counts is kept, and one more is trained."""
    recipe = replace(PLAIN, keep="best", patience=1, judge=PGD)
    counting = Counting(0.5)

    def epochs_of(adaptations) -> list[float]:
        heard: list[float] = []
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
        trained(
            model,
            epochs=6,
            lr=0.0,
            term=erm,
            recipe=recipe,
            adaptations=adaptations,
            watch=lambda epoch, _: heard.append(epoch),
        )
        return heard

    assert epochs_of([]) == [1, 2]
    assert epochs_of([counting, Counting(0.2)]) == [1, 2, 3, 4, 5]
    assert counting.class_weights()["margin"] == [3.0] * 3  # in force in the fourth


def test_the_best_epoch_may_be_that_of_the_best_worst_class():
    """Weights are those of an equally long training that stops there."""
    heard = []
    recipe = replace(PLAIN, keep="best_worst_class", judge=PGD)
    model = trained(network(), epochs=8, recipe=recipe, watch=lambda e, f: heard.append(f))
    worst = [(f["of_its_worst_class"], f["valid_robust_accuracy"]) for f in heard]
    kept = worst.index(max(worst)) + 1
    assert same(model, trained(network(), epochs=kept))


def test_parts_of_a_batch_give_the_gradient_of_the_whole():
    """Without batch norm, whose statistics are those of a part."""

    def plain() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))

    whole, parts = trained(plain()), trained(plain(), recipe=replace(PLAIN, accumulate=3))
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_parts_of_a_batch_count_by_the_weights_of_their_rows():
    """Against one step by hand on the weighted mean over the whole batch."""
    weighed = TRAIN._replace(w=torch.arange(1.0, 61.0))

    def plain() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))

    whole, parts = (trained(plain(), train=weighed, term=erm, recipe=replace(PLAIN, accumulate=a)) for a in (1, 3))
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_every_epoch_augments_a_row_anew_and_by_the_row_alone():
    seen: dict[int, list[Tensor]] = {}

    def spying(x: Tensor, source: seeding.Rows) -> Tensor:
        for row, draw in zip(source.index.tolist(), source.uniform(x[None, :, 0, 0, 0])[0], strict=True):
            seen.setdefault(row, []).append(draw)
        return x

    trained(network(), epochs=2, recipe=replace(PLAIN, augment=spying))
    assert set(seen) == set(range(60))
    assert all(len(draws) == 2 and draws[0] != draws[1] for draws in seen.values())


def test_training_learns_and_says_its_loss():
    heard = []
    trained(network(), epochs=6, term=erm, watch=lambda e, f: heard.append(f))
    assert heard[-1]["loss"] < 0.7 * heard[0]["loss"]
    assert heard[-1]["valid_accuracy"] > 0.8


def test_the_schedule_multiplies_the_rate():
    """A rate of 0 after the first epoch leaves the weights of the first epoch."""
    stopped = replace(PLAIN, schedule=lambda done, epochs: float(done < 1))
    one, three = (trained(network(), epochs=e, recipe=stopped, train=TRAIN) for e in (1, 3))
    assert torch.equal(one[4].weight, three[4].weight)


def test_a_loss_that_leaves_the_numbers_names_epoch_and_step():
    with pytest.raises(DivergenceError, match="epoch 1, step 1"):
        trained(network(), term=lambda p, b, c: erm(p, b, c) * torch.nan)


def test_validation_rows_are_asked_for_where_the_recipe_needs_them():
    with pytest.raises(ValueError, match=r"dataset\.valid"):
        trained(network(), recipe=replace(PLAIN, keep="best", judge=PGD), valid=VALID.rows(slice(0, 0)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ema": 1.0}, r"trainer\.ema=1\.0: expected a number in \[0, 1\)"),
        ({"accumulate": 0}, r"trainer\.accumulate=0"),
        ({"ema_floor": 0.2}, "set trainer.ema and trainer.ema_every=epoch"),
        ({"patience": 3}, "set trainer.keep=best"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **settings)


def test_training_in_bfloat16_learns_too():
    heard = []
    recipe = replace(PLAIN, precision="bfloat16", channels_last=True, augment=none)
    model = trained(network(), epochs=6, recipe=recipe, term=erm, watch=lambda e, f: heard.append(f))
    assert heard[-1]["valid_accuracy"] > 0.8
    assert all(p.dtype == torch.float32 for p in model.parameters())
