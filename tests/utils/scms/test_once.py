"""Tables of a training: the numbers that each batch would compute, made once."""

from dataclasses import replace

import pytest
import torch

from utils.scms import once as tables
from utils.scms.counterfactual import latent_slopes, noise_of, other_twins, twins
from utils.scms.once import Known, once
from utils.views.stack import stack_batches, stack_scms

NAMES = ["lin", "loan", "learned"]


def batch(scm, dataset, name, places):
    """A causal model that knows some rows of a training of two models, and these rows."""
    train = stack_batches([dataset("toy" if name == "learned" else name, seed=seed).train for seed in (0, 1)])
    keep = torch.tensor([places, places[::-1]])
    rows = train.of_each(keep).x
    return replace(stack_scms([scm(name)] * 2), known=Known(train).at(rows, keep)), rows


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("of", [noise_of, other_twins, latent_slopes])
def test_a_table_holds_what_the_batch_itself_would_give(scm, dataset, name, of):
    own, x = batch(scm, dataset, name, [5, 0, 17])
    torch.testing.assert_close(of(own, x), of(replace(own, known=None), x), rtol=1e-4, atol=1e-5)
    assert own.known.tables


def test_it_is_made_once(scm, dataset):
    own, x = batch(scm, dataset, "lin", [5, 0, 17])
    calls = []

    @once
    def counted(scm, x):
        calls.append(len(x))
        return scm.own(x)

    first = counted(own, x)
    made = len(calls)
    assert torch.equal(counted(own, x), first)
    assert len(calls) == made


def test_other_rows_are_computed(scm, dataset):
    """Equal numbers in another tensor are other rows: rows are told by identity."""
    own, x = batch(scm, dataset, "lin", [5, 0, 17])
    assert torch.equal(noise_of(own, x + 1), noise_of(replace(own, known=None), x + 1))
    noise_of(own, x.clone())
    assert not own.known.tables


def test_what_is_too_large_is_computed_for_each_batch(scm, dataset, monkeypatch):
    monkeypatch.setattr(tables, "MOST", 10)
    own, x = batch(scm, dataset, "lin", [5, 0, 17])
    assert torch.equal(noise_of(own, x), noise_of(replace(own, known=None), x))
    assert own.known.find(noise_of, own, x) is None


def test_noise_that_is_drawn_is_not_known_before(scm, dataset):
    """A posterior is drawn anew for each batch."""
    own, x = batch(scm, dataset, "lin", [5, 0, 17])
    last = own.mechanisms[-1]
    drawn = replace(own, mechanisms=(*own.mechanisms[:-1], last._replace(posterior=True)))
    assert own.known.find(noise_of, drawn, x) is None


@pytest.mark.parametrize("name", ["lin", "loan"])
def test_with_the_row_itself_the_other_twins_are_all(scm, dataset, name):
    x, own = dataset(name).train.x[:50], scm(name)
    found = torch.cat([x.unsqueeze(0), other_twins(own, x)])
    every = twins(own, x)
    assert len(found) == len(every)
    nearest = (found.unsqueeze(1) - every).abs().amax(-1).amin(0)
    assert nearest.max() < 1e-4


def test_it_is_computed_by_as_many_rows_in_any_stack(scm, dataset, monkeypatch):
    """The last bits of products follow the number of rows."""
    monkeypatch.setattr(tables, "PART", 64)
    found = []
    for models in (1, 20):
        train, keep = stack_batches([dataset("loan").train] * models), torch.zeros(models, 1, dtype=torch.long)
        rows, sizes = train.of_each(keep).x, []

        @once
        def counted(_, x, sizes=sizes):
            sizes.append(x.shape[-2])
            return x

        counted(replace(stack_scms([scm("loan")] * models), known=Known(train).at(rows, keep)), rows)
        found.append(sizes)
    assert found[0] == found[1]
    assert len(found[0]) > 2
