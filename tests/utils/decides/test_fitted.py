"""Fits with a margin and what is said of a fit: known truth, definitions by hand, scipy."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, norm

from tests.utils.decides.rows import every_policy, gap, made, scored
from utils.decides import group_exact as exact
from utils.decides import group_grid as grids
from utils.decides import group_randomized as mixtures
from utils.decides.exact_thresholds import TOGETHER, Curve, Policy
from utils.decides.fitted import bound
from utils.decides.thresholds_text import describe_fit, describe_small, doubts_of

NAMES = ("women", "men")
FITTED = {"rate": "fnr", "permitted": 0.05, "gap": 0.038, "rows": 120, "denominators": {}, "split": "valid"}
METRICS = {"fnr_gap": 0.082, "fnr_gap_low": 0.04, "fnr_gap_high": 0.13}


def normal(n, seed):
    """Scores N(-1.2, 1) of class 0 and N(1.2, 1) of class 1; class 1 is .3 of group 0 and .7 of group 1."""
    rng = np.random.default_rng(seed)
    s = rng.integers(2, size=n)
    y = (rng.random(n) < 0.3 + 0.4 * s).astype(int)
    z = 1.2 * (2 * y - 1) + rng.normal(size=n)
    return made(list(zip(z.tolist(), y.tolist(), s.tolist(), strict=True)))


def true_gap(decide):
    """In false negative rates, of all people that there could be."""
    return abs(float(np.subtract(*norm.cdf(np.array(decide.logits) - 1.2))))


@pytest.mark.parametrize(("n", "permitted"), [(400, 0.2), (1600, 0.1)])
def test_the_gap_of_a_fit_with_a_margin_is_permitted_as_often_as_promised(n, permitted):
    """The truth is known; without a margin about half of the fits keep to the limit once there are enough rows."""
    fit = partial(exact.group_exact, rate="fnr", permitted=permitted, groups_min=10)
    kept = [true_gap(fit(*normal(n, seed), NAMES, confidence=0.9)) <= permitted for seed in range(50)]
    assert np.mean(kept) >= 0.9
    if n > 400:
        plain = [true_gap(fit(*normal(n, seed), NAMES, confidence=None)) <= permitted for seed in range(60)]
        assert np.mean(plain) < 0.85


@pytest.mark.parametrize("rate", TOGETHER)
def test_a_fit_with_a_margin_keeps_the_bound_and_is_the_more_accurate_the_less_is_asked(rate):
    z, batch = scored(2000)
    errors = []
    for confidence in (None, 0.6, 0.95):
        decide = exact.group_exact(z, batch, NAMES, rate=rate, permitted=0.15, confidence=confidence, groups_min=10)
        labels = decide(z, batch.s)
        errors.append(int((labels != batch.y).sum()))
        assert decide.fitted["gap"] == pytest.approx(gap(labels, batch.y, batch.s, 2, TOGETHER[rate]))
        assert decide.fitted.get("bound", 0) <= 0.15
    assert errors == sorted(errors)


def test_the_bound_of_two_groups_is_newcombes_on_limits_of_scipy():
    """One-sided limits of level .9 are the ends of two-sided ones of level .8."""
    of = [Curve(np.zeros(1), np.array([[0, part]]), np.array([9, whole])) for part, whole in ((4, 40), (15, 60))]
    (p, q), (zero, one) = (4 / 40, 15 / 60), (binomtest(*at).proportion_ci(0.8) for at in ((4, 40), (15, 60)))
    expected = q - p + np.hypot(one.high - q, p - zero.low)
    assert bound(of, Policy(0, 0.15, (0, 0)), ["fnr"], 0.9) == pytest.approx(expected)


def test_where_no_thresholds_are_sure_it_is_refused_with_the_smallest_bound():
    """Accepting everybody leaves the upper limit of 0 of n open, 1 - .1^(1/n) of the smaller group."""
    z, batch = scored(60)
    fewest = min(int(((batch.s == i) & (batch.y == 1)).sum()) for i in (0, 1))
    with pytest.raises(ValueError, match=f"smallest upper bound is {1 - 0.1 ** (1 / fewest):.3f}; fit on more rows"):
        exact.group_exact(z, batch, NAMES, rate="fnr", permitted=0.01, confidence=0.9, groups_min=1)


def test_deciding_all_alike_is_a_last_resort_that_is_told():
    """Fewer of these 300 rows are of class 1, so that nobody is accepted."""
    decide = exact.group_exact(*scored(300), NAMES, rate="fnr", permitted=0.05, confidence=0.9, groups_min=1)
    assert decide.logits == (np.inf, np.inf)
    assert "only accepting nobody keeps the gap in fnr to 0.05" in decide.warnings[0]


def test_a_grid_takes_its_smallest_gap_where_none_is_sure():
    fit = partial(grids.group_grid, rate="fnr", levels=20, reach=1.5, groups_min=1)
    assert "with a confidence of 0.9" in fit(*scored(300), NAMES, permitted=0.05, confidence=0.9).warnings[0]
    sure = fit(*scored(3000), NAMES, permitted=0.1, confidence=0.9)
    assert not sure.warnings
    assert sure.fitted["bound"] <= 0.1


@pytest.mark.parametrize("confidence", [0.0, 1.0, 2])
def test_a_confidence_outside_0_to_1_is_refused(confidence):
    with pytest.raises(ValueError, match="decide.confidence="):
        exact.group_exact(*scored(90), NAMES, rate="fnr", permitted=0.1, confidence=confidence, groups_min=1)


@pytest.mark.parametrize(
    "fit",
    [
        partial(exact.group_exact, confidence=None),
        partial(grids.group_grid, confidence=None, levels=5, reach=1.0),
        mixtures.group_randomized,
    ],
)
def test_few_rows_of_a_rate_are_refused_though_the_group_has_many(fit):
    rows = [(0.1 * i, i % 2, 0) for i in range(40)] + [(0.1 * i, int(i < 4), 1) for i in range(40)]
    ask = partial(fit, *made(rows), NAMES, permitted=0.1)
    with pytest.raises(ValueError, match="group men is one of 4 rows of class 1 .*fewer than decide.groups_min=5"):
        ask(rate="fnr", groups_min=5)
    assert ask(rate="fnr", groups_min=4).fitted["denominators"] == {"fnr": [20, 4]}
    assert ask(rate="acceptance_rate", groups_min=40).fitted["rows"] == 80


def test_a_mixture_is_fitted_to_its_expected_gap():
    z, batch = scored(800)
    decide = mixtures.group_randomized(z, batch, NAMES, rate="equalized_odds", permitted=0.05, groups_min=1)
    chances = decide.probability(z, batch.s)
    assert decide.fitted["gap"] == pytest.approx(gap(chances, batch.y, batch.s, 2, ("fnr", "fpr")), abs=1e-6)
    assert decide.fitted["gap"] <= 0.05 + 1e-5
    assert torch.equal(chances, type(decide)(decide.logits, decide.shares).probability(z, batch.s))


def test_a_fit_in_words_has_the_gap_there_and_on_test_rows():
    said = "fitted to fnr_gap<=0.05 on 120 validation rows (there 0.038); test 0.082 [0.040, 0.130]"
    assert describe_fit(FITTED, METRICS) == said
    assert doubts_of(FITTED, METRICS) == [f"the gap may be larger than it was fitted to be: {said}"]


def test_a_gap_whose_interval_keeps_to_the_limit_raises_no_doubt():
    assert doubts_of(FITTED, METRICS | {"fnr_gap_high": 0.05}) == []
    assert doubts_of(FITTED, METRICS | {"fnr_gap_high": None}) == []
    assert doubts_of(None, METRICS) == []


# --- small groups ----------------------------------------------------------------------------------------------

FOUR = ("sex=man,race=a", "sex=woman,race=a", "sex=man,race=b", "sex=woman,race=b")


def four_groups(few):
    """Rows of four groups, of the last two ``few`` positives and as many negatives each; drawn scores."""
    rng = np.random.default_rng(few)
    sizes = ((0, 6), (1, 6), (2, few), (3, few))
    return [(round(float(rng.normal() + y - 0.3 * s), 2), y, s) for s, n in sizes for y in (0, 1) for _ in range(n)]


@pytest.mark.parametrize("permitted", [0.0, 0.2, 0.5])
def test_small_groups_share_the_threshold_that_is_best_for_them_as_one(permitted):
    """By brute force over all thresholds of three groups, the last two being one."""
    rows = four_groups(3)
    z, batch = made(rows)
    decide = exact.group_exact(z, batch, FOUR, rate="fnr", permitted=permitted, confidence=None, groups_min=5)
    labels = decide(z, batch.s)
    three = made([(score, y, min(s, 2)) for score, y, s in rows])[1]
    fewest = min(e for e, g in every_policy(z, three, 3, ("fnr",)) if g <= permitted + 1e-12)
    assert decide.logits[2] == decide.logits[3]
    assert int((labels != batch.y).sum()) == fewest
    assert decide.fitted["gap"] == pytest.approx(gap(labels, batch.y, three.s, 3, ("fnr",)))
    assert decide.fitted["gap"] <= permitted + 1e-12
    assert decide.fitted["denominators"] == {"fnr": [6, 6, 3, 3]}
    assert decide.fitted["small"] == {"groups": list(FOUR[2:]), "rows": 12, "threshold": "shared"}


@pytest.mark.parametrize("few", [0, 1])
def test_groups_too_small_even_together_take_the_threshold_of_everybody(few):
    """The fewest errors of one threshold over all rows, and the gap of the others alone, by brute force."""
    rows = four_groups(few)
    z, batch = made(rows)
    decide = exact.group_exact(z, batch, FOUR, rate="fnr", permitted=0.2, confidence=None, groups_min=5)
    everybody = made([(score, y, 0) for score, y, _ in rows])[1]
    fewest = min(int(((z[:, 0] >= cut).long() != batch.y).sum()) for cut in [*z[:, 0].tolist(), np.inf])
    assert decide.logits[2] == decide.logits[3]
    assert int((type(decide)(decide.logits[2:3])(z, everybody.s) != batch.y).sum()) == fewest
    large = made([row for row in rows if row[2] < 2])
    alone = exact.group_exact(*large, FOUR[:2], rate="fnr", permitted=0.2, confidence=None, groups_min=5)
    assert decide.logits[:2] == alone.logits
    assert decide.fitted["gap"] == alone.fitted["gap"]
    assert decide.fitted["small"] == {"groups": list(FOUR[2:]), "rows": 4 * few, "threshold": "everybody"}


@pytest.mark.parametrize(
    "fit",
    [
        partial(exact.group_exact, confidence=0.5),
        partial(grids.group_grid, confidence=None, levels=9, reach=2.0),
        mixtures.group_randomized,
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_every_fit_of_groups_has_a_way_for_small_ones(fit, together):
    """With the thresholds of the same fit where the small groups are one from the start, or are not there."""
    z, batch = normal(600, 0)
    s = batch.s + 2 * (batch.index % 30 < (2 if together else 1)) * (batch.index < (600 if together else 60))
    ask = partial(fit, rate="acceptance_rate", permitted=0.5, groups_min=25)
    decide = ask(z, batch._replace(s=s), FOUR)
    assert decide.logits[2] == decide.logits[3]
    keep = (s < 2) | torch.tensor(together)
    plain = batch._replace(s=s.clamp_max(2)).rows(keep)
    alone = ask(z[keep], plain, FOUR[: 2 + together])
    assert list(decide.logits[: 2 + together]) == list(alone.logits)
    assert decide.fitted["gap"] == pytest.approx(alone.fitted["gap"], abs=1e-9)
    assert decide.fitted["small"]["threshold"] == ("shared" if together else "everybody")


def test_equalized_odds_of_three_groups_are_found_where_two_of_them_are_small():
    rows = [(0.1 * i * (1 + s), i % 2, s) for s, n in ((0, 40), (1, 12), (2, 12)) for i in range(n)]
    decide = exact.group_exact(
        *made(rows), FOUR[:3], rate="equalized_odds", permitted=0.1, confidence=None, groups_min=10
    )
    assert decide.fitted["small"]["rows"] == 24


def test_small_groups_in_words():
    assert describe_small(FITTED) == describe_small(None) == ""
    small = {"groups": list(FOUR[2:]), "rows": 23, "threshold": "shared"}
    assert describe_small({"small": small}) == (
        "sex=man,race=b and sex=woman,race=b share one threshold, fitted on their 23 rows together, and count as one "
        "group in the gap there"
    )
    assert describe_small({"small": {"groups": ["other"], "rows": 4, "threshold": "everybody"}}) == (
        "other takes the threshold that is the most accurate for everybody, as it has too few rows (4) for one of its "
        "own, and the gap there leaves it out"
    )
