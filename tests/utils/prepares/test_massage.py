"""Massaging: the publication's example, independence, and who is relabelled."""

import pytest
import torch

from utils.prepares.massage import massage
from utils.types import Batch


def rows(s, y, x=None):
    n = len(s)
    x = torch.arange(float(n)).unsqueeze(1) if x is None else torch.tensor(x).unsqueeze(1)
    return Batch(x, torch.tensor(y), torch.tensor(s), torch.ones(n), torch.arange(n))


def test_the_example_of_the_publication_takes_one_promotion_and_one_demotion():
    """Of 5 women 2 and of 5 men 4 are hired; the best refused woman is hired in place of the worst hired man."""
    women, men = [0] * 5, [1] * 5
    y = [1, 1, 0, 0, 0, 1, 1, 1, 1, 0]
    x = [9.0, 8.0, 4.0, 3.0, 1.0, 9.0, 8.0, 7.0, 5.0, 2.0]
    made = massage(rows(women + men, y, x), ("women", "men"), None, share=1.0)
    assert made.y.tolist() == [1, 1, 1, 0, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("groups", [2, 3])
def test_class_and_group_become_independent_up_to_rounding(groups):
    generator = torch.Generator().manual_seed(0)
    s = torch.randint(0, groups, (3000,), generator=generator)
    x = torch.randn(3000, 1, generator=generator)
    y = ((x[:, 0] + 0.5 * s + torch.randn(3000, generator=generator)) > 0.5).long()
    before = Batch(x, y, s, torch.ones(3000), torch.arange(3000))
    made = massage(before, tuple("abc"[:groups]), None, share=1.0)
    for group in range(groups):
        own = s == group
        assert float(made.y[own].double().mean()) == pytest.approx(float(y.double().mean()), abs=0.51 / int(own.sum()))
    assert torch.equal(made.x, before.x)


def test_no_share_changes_nothing_and_twice_the_share_turns_the_gap_round():
    women, men = [0] * 10, [1] * 10
    before = rows(women + men, [1] * 3 + [0] * 7 + [1] * 7 + [0] * 3)
    assert torch.equal(massage(before, ("w", "m"), None, share=0.0).y, before.y)
    made = massage(before, ("w", "m"), None, share=2.0)
    assert [int(made.y[:10].sum()), int(made.y[10:].sum())] == [7, 3]


def test_more_than_there_are_is_all():
    made = massage(rows([0, 0, 1, 1], [0, 0, 1, 1]), ("a", "b"), None, share=5.0)
    assert made.y.tolist() == [1, 1, 0, 0]


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ValueError, match="is for two classes"):
        massage(rows([0, 0, 1, 1], [0, 1, 2, 1]), ("a", "b"), None, share=1.0)
    images = rows([0, 0, 1, 1], [0, 1, 0, 1])._replace(x=torch.zeros(4, 3, 2, 2))
    with pytest.raises(ValueError, match="images are none"):
        massage(images, ("a", "b"), None, share=1.0)
