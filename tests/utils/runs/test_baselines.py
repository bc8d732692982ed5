"""The choice among the tries of a plain method: by the limits first, then by the metric, on validation rows."""

import pytest

from tests.utils.poisoning.table_learner import N, judge, logits, valid
from utils.runs.baselines import Try, choose
from utils.types import Answer

BEFORE = Answer(logits(40, 0)[None])  # 40 false positives of 100 in group 1, no false negative


def answers(*mistakes):
    return [Answer(logits(*of)[None], "", 0.5) for of in mistakes]


def tries(n):
    return [Try((f"prepare.share={i}",), valid()) for i in range(n)]


def test_the_best_permitted_try_is_taken():
    own = judge(harm=0.05, accuracy="constraint", accuracy_loss=0.01)
    found = choose("massaging", tries(3), answers((30, 4), (0, 20), (20, 5)), own, BEFORE)
    assert found.chosen.words == ("prepare.share=2",)
    assert found.metrics["fpr_gap"] == 20 / N
    assert (found.trainings, found.seconds, dict(found.broken)) == (3, 1.5, {})


def test_where_none_is_permitted_the_nearest_is_taken_and_says_what_it_breaks():
    own = judge(harm=0.05)
    found = choose("massaging", tries(2), answers((0, 20), (30, 8)), own, BEFORE)
    assert found.chosen.words == ("prepare.share=1",)
    assert found.broken == {"fnr_group1": pytest.approx(0.03)}
    assert found.violation == pytest.approx(0.03)


def test_without_limits_the_metric_alone_counts():
    found = choose("massaging", tries(2), answers((0, 90), (30, 8)), judge(), BEFORE)
    assert found.chosen.words == ("prepare.share=0",)


def test_thresholds_of_their_own_judge_the_same_answers():
    """The first takes everybody for class 1, the second as the judge's own does."""
    from utils.decides.threshold import Threshold

    own = [Try(("all",), valid(), lambda *_: Threshold(0.0)), Try(("half",), valid(), lambda *_: Threshold(0.5))]
    found = choose("thresholds", own, [BEFORE, BEFORE], judge(accuracy="constraint", accuracy_loss=0.01), BEFORE)
    assert found.chosen.words == ("half",)
    assert choose("thresholds", own, [BEFORE, BEFORE], judge(), BEFORE).chosen.words == ("all",)


def test_a_training_that_failed_is_said_to_have():
    with pytest.raises(ValueError, match="no memory"):
        choose("massaging", tries(1), [Answer(None, "no memory")], judge(), BEFORE)
