import pytest
import torch

from utils.decides.fixed import fixed
from utils.decides.threshold import Threshold
from utils.types import Batch

BATCH = Batch(torch.zeros(2, 1), torch.tensor([0, 1]), torch.zeros(2).long(), torch.ones(2), torch.arange(2))


def test_the_threshold_is_the_one_given_whatever_the_logits():
    assert fixed(torch.tensor([[-9.0], [9.0]]), BATCH, probability=0.25) == Threshold(0.25)


def test_a_percentage_is_refused():
    with pytest.raises(ValueError, match="not a probability"):
        fixed(torch.zeros(2, 1), BATCH, probability=50)
