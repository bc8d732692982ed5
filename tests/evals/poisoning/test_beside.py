"""Plain methods beside a search: what is paired, which is best, what is said."""

import pytest

from evals.poisoning import beside
from evals.poisoning.paired import settings_of
from tests.evals.poisoned_records import poisoned

BEFORE = (0.20, 0.22, 0.24)


def plain(method, gap, *, broken=(), accuracy=0.66, rates=(0.1, 0.2), trainings=1, valid=0.1):
    test = {"fpr_gap": gap, "accuracy": accuracy, "fpr_group0": rates[0], "fpr_group1": rates[1]}
    words = [f"prepare={method}", f"prepare.share={gap}"]
    more = {
        "violation": float(bool(broken)),
        "broken": dict.fromkeys(broken, 0.1),
        "valid": {"fpr_gap": valid},
        "test": test,
    }
    return {"method": method, "words": words, "trainings": trainings, "seconds": 2.0, **more}


def setting(search, *methods):
    """Three seeds of a search with these gaps, and what stands beside each."""
    records = []
    for seed, (before, after) in enumerate(zip(BEFORE, search, strict=True)):
        record = poisoned(seed + 1, seed=seed, gap=((0.2, 0.1), (before, after)))
        record["metrics"] |= {"fpr_group0_unpoisoned": 0.1, "fpr_group1_unpoisoned": 0.3}
        record["poison"]["baselines"] = [make(seed) for make in methods]
        records.append(record)
    [found] = settings_of(records, None)
    return found


def better(seed):
    return plain("massaging", (0.01, 0.035, 0.105)[seed], rates=(0.29, 0.3), trainings=8, valid=0.05)


def equal(seed):
    return plain("reweighing", (0.05, 0.10, 0.15)[seed])


def forbidden(seed):
    return plain("thresholds", 0.0, broken=("fpr_group0",) if seed == 1 else ())


SEARCH = (0.06, 0.09, 0.15)


def test_methods_are_paired_with_the_search_and_the_rows_as_they_are_by_seed():
    search, massaging, reweighing = beside.methods_of(setting(SEARCH, better, equal))
    assert search.change.mean == pytest.approx(sum(SEARCH) / 3 - 0.22)
    assert massaging.change.mean == pytest.approx(0.05 - 0.22)
    assert massaging.to_search.mean == pytest.approx(0.05 - 0.1)
    assert reweighing.to_search.low < 0 < reweighing.to_search.high
    assert search.to_search.mean == 0
    assert (search.trainings, massaging.trainings) == (51, 8)
    assert search.seconds == 75
    rates = [(c.before, c.after) for c in (massaging.rates["fpr_group0"], massaging.rates["fpr_group1"])]
    assert rates == [pytest.approx((0.1, 0.29)), pytest.approx((0.3, 0.3))]


def test_the_best_keeps_to_the_limits_in_every_seed():
    of = setting(SEARCH, better, equal, forbidden)
    methods = beside.methods_of(of)
    assert beside.best_of(of, methods).name == "massaging"
    assert methods[-1].within == 2
    assert methods[-1].broken == ("fpr_group0",)
    assert beside.best_of(of, beside.methods_of(setting(SEARCH, forbidden))) is None


def test_the_best_is_chosen_on_validation_rows_whatever_the_test_rows_say():
    lucky = lambda seed: plain("lucky", 0.0, valid=0.09)  # noqa: E731
    of = setting(SEARCH, better, lucky)
    methods = beside.methods_of(of)
    assert methods[2].change.after < methods[1].change.after
    assert beside.best_of(of, methods).name == "massaging"


@pytest.mark.parametrize(
    ("method", "search", "words"),
    [
        (better, SEARCH, ": take prepare=massaging"),
        (equal, SEARCH, "cannot be told from it"),
        (equal, (0.0, 0.04, 0.11), ", better by 0.05"),
        (equal, (0.0, 0.05, 0.10), "without an interval nothing is known"),  # the same difference in every seed
    ],
)
def test_what_is_worth_its_trainings_is_said(method, search, words):
    of = setting(search, method)
    said = beside.verdict(of, beside.methods_of(of))
    assert words in said


def test_what_takes_more_trainings_is_not_said_to_cost_less():
    of = setting(SEARCH, lambda seed: equal(seed) | {"trainings": 100})
    said = beside.verdict(of, beside.methods_of(of))
    assert "cannot be told from it" in said
    assert "costs less" not in said


def test_words_that_differ_between_seeds_are_dots():
    of = setting(SEARCH, equal)
    assert beside.methods_of(of)[1].words == ("prepare=reweighing", "prepare.share=...")


def test_where_no_method_is_within_the_limits_the_nearest_is_named():
    of = setting(SEARCH, forbidden)
    assert "no plain method keeps to the limits in every seed; thresholds breaks fpr_group0" in beside.verdict(
        of, beside.methods_of(of)
    )


def test_a_method_that_could_not_be_tried_says_why():
    of = setting(SEARCH, lambda seed: {"method": "massaging", "error": "is for two classes"})
    method = beside.methods_of(of)[1]
    assert method.error == "is for two classes"
    assert not method.change.n


def test_records_without_baselines_have_none():
    of = setting(SEARCH, better)
    del of.records[1]["poison"]["baselines"]
    assert beside.methods_of(of) == []
