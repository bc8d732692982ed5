"""Equations learned by small networks: fitted on the training rows alone, and cached."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.conftest import FITTED, LEARNED
from utils.scms.counterfactual import twins
from utils.scms.learned import learned
from utils.scms.linear import linear
from utils.types import Variant

SETTINGS = FITTED | LEARNED | {"seed": 0, "steps": 150}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path))
    return tmp_path


def noise(data, **changes):
    return learned(data, **SETTINGS | changes).to_noise(data.train.x)


def caches(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_a_second_fit_comes_from_the_cache_and_is_identical(dataset, folder):
    first = noise(dataset("toy"))
    (cache,) = caches(folder)
    weights = {name: tensor + 1 for name, tensor in load_file(cache).items()}
    assert torch.equal(noise(dataset("toy")), first)
    save_file(weights, cache)
    assert not torch.equal(noise(dataset("toy")), first)  # it is read, not fitted again


def test_fitting_twice_without_the_cache_gives_the_same_bits(dataset, folder):
    first = noise(dataset("toy"))
    caches(folder)[0].unlink()
    assert torch.equal(noise(dataset("toy")), first)


@pytest.mark.parametrize("damage", [b"", b"not safetensors", b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_cache_is_fitted_again(dataset, folder, damage):
    first = noise(dataset("toy"))
    caches(folder)[0].write_bytes(damage)
    assert torch.equal(noise(dataset("toy")), first)


@pytest.mark.parametrize("changes", [{"seed": 1}, {"steps": 50}, {"hidden": 5}, {"lr": 0.01}, {"batch_size": 50}])
def test_other_settings_have_a_cache_of_their_own(dataset, folder, changes):
    first = noise(dataset("toy"))
    assert not torch.equal(noise(dataset("toy"), **changes), first)
    assert len(caches(folder)) == 2


def test_changing_the_other_rows_changes_nothing(dataset, monkeypatch, tmp_path):
    data = dataset("toy")
    first = noise(data)
    monkeypatch.setenv("TRILEMMA_WEIGHTS", str(tmp_path / "other"))
    strange = {part: getattr(data, part)._replace(x=getattr(data, part).x * 7 + 3) for part in ("valid", "test")}
    assert torch.equal(noise(replace(data, **strange)), first)


def test_it_learns_the_equations_of_nlm_better_than_a_line_does(dataset):
    """x3 = x1 - x2^2 + N(0, 1) has variance 13.25, so the equation explains 1 - 1 / 13.25 = .925."""
    data = dataset("nlm", 20_000)
    facts = learned(data, **SETTINGS | {"hidden": 50, "steps": 1000}).facts
    assert facts["scm_r2_x3"] == pytest.approx(1 - 1 / 13.25, abs=0.03)
    assert facts["scm_r2_x2"] == pytest.approx(1 / 2, abs=0.03)


def test_its_twins_move_by_the_learned_equation(dataset):
    """On nlm do(x1) moves x2 by 2, which is sqrt 2 of its standard deviations."""
    data = dataset("nlm", 20_000)
    effect = torch.diff(twins(learned(data, **SETTINGS | {"steps": 1000}), data.test.x), dim=0)[0, :, 1]
    assert effect.numpy() == pytest.approx(2**0.5, abs=0.1)


def test_a_graph_without_arrows_leaves_every_column_a_root(dataset, folder):
    data = dataset("imf")
    assert torch.equal(noise(data), data.train.x)
    assert caches(folder) == []


def test_a_data_set_without_a_graph_is_refused(dataset):
    with pytest.raises(ValueError, match=r"scm=learned needs a causal graph and data set 'toy' has none"):
        noise(replace(dataset("toy"), parents=None))


def test_fitting_leaves_the_global_random_state_alone(dataset):
    before = torch.get_rng_state()
    noise(dataset("toy"))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_equations_carry_no_gradient(dataset):
    assert not learned(dataset("toy"), **SETTINGS).to_noise(dataset("toy").train.x).requires_grad


@pytest.mark.slow
def test_the_best_epoch_is_no_worse_than_the_last_and_near_a_line_where_lines_are_true(dataset):
    """Of lin, whose equations are lines: 1,280 rows in 200 epochs fit their noise, if nobody stops."""
    data = dataset("lin", 2000)
    long = SETTINGS | {"hidden": 100, "steps": 2500, "batch_size": 100, "lr": 0.005}
    last, best = (learned(data, **long | {"keep": keep}).facts for keep in ("last", "best"))
    line = linear(data, **FITTED, seed=0).facts
    for name in ("scm_r2_x2", "scm_r2_x3"):
        assert best[name] > last[name] - 1e-6
        assert best[name] > line[name] - 0.01


@pytest.mark.parametrize("others", [("x1",), ("x1", "x2")], ids=["as many parents", "more parents"])
def test_equations_that_are_fitted_together_are_those_of_each_alone(dataset, others):
    """Each as if the graph had no other, up to rounding."""
    data = replace(dataset("lin"), parents={"x2": ("x1",), "x3": others})
    both = learned(data, **SETTINGS | {"keep": "best"})
    only = learned(replace(data, parents={"x2": ("x1",)}), **SETTINGS | {"keep": "best"})
    x = data.test.x
    torch.testing.assert_close(both.to_noise(x)[:, 1], only.to_noise(x)[:, 1], rtol=1e-3, atol=1e-4)


# --- fitted anew -----------------------------------------------------------------------------------------------


def test_samples_that_are_fitted_together_are_those_of_each_alone(dataset, folder):
    """Up to rounding; and nothing of them is cached."""
    data = dataset("lin")
    model = learned(data, **SETTINGS | {"keep": "best"})
    half = torch.arange(len(data.train.y)).remainder(2).float() * 2
    both, (only,) = model.refit([Variant(counts=half), Variant(counts=2 - half)]), model.refit([Variant(counts=half)])
    x = data.test.x
    torch.testing.assert_close(both[0].to_noise(x), only.to_noise(x), rtol=1e-3, atol=1e-4)
    assert len(caches(folder)) == 1


def test_rows_that_count_nothing_are_not_learned_from(dataset):
    """Half of the rows of lin have another effect, -2 in place of 2 of x1 on x2: each sample finds that of its rows."""
    data = dataset("lin", 2000)
    turned = torch.arange(len(data.train.y)) % 2 == 0
    x = data.train.x.clone()
    x[turned, 1] *= -1
    model = learned(replace(data, train=data.train._replace(x=x)), **SETTINGS | {"steps": 300})
    samples = [Variant(counts=2.0 * turned), Variant(counts=2.0 * ~turned)]
    found = [torch.diff(twins(scm, data.test.x), dim=0)[0, :, 1].mean() for scm in model.refit(samples)]
    assert found[1].item() == pytest.approx(2**0.5, abs=0.25)
    assert found[0].item() == pytest.approx(-(2**0.5), abs=0.25)


def test_another_graph_leaves_the_equations_whose_parents_are_the_same(dataset):
    model = learned(dataset("lin"), **SETTINGS)
    (other,) = model.refit([Variant({"x2": ("x1",), "x3": ("x2",)})])
    x = dataset("lin").test.x
    assert torch.equal(model.to_noise(x)[:, 1], other.to_noise(x)[:, 1])
    assert not torch.equal(model.to_noise(x)[:, 2], other.to_noise(x)[:, 2])
    assert [m.parents for m in other.mechanisms] == [(), (0,), (1,)]
