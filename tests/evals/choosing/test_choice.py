"""Choosing: against pandas by brute force, prices and ties by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from evals import select
from evals.choosing import choice, choice_text
from evals.plots import policy
from evals.records import query
from evals.records.advice import Asked
from tests.evals.records.test_query import record

QUESTION = {"maximize": "accuracy", "minimize": None, "conditions": None, "sure": False, "anyway": False}


def model(doc_id, accuracy, uai=None, regularizer="erm", gap=0.0, **changes):
    return record(doc_id, regularizer, metrics={"accuracy": accuracy, "uai_0.05": uai, "fnr_gap": gap}, **changes)


def chosen(records, *, runs=True, points=True, near=3, **asked):
    question, facts = choice.ask(records, **QUESTION | asked)
    pool = choice.compete(records, question, asked=Asked("loan", facts), runs=runs, points=points)
    return choice.choose(pool, question, near=near)


def ids(found, places):
    return [found.pool.table["doc_ids"].iloc[i] for i in places]


def best(found):
    return ids(found, [found.best])[0]


def ranked(found):
    return ids(found, found.ranked)


VALUES = st.one_of(st.none(), st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5]))
MODELS = st.lists(st.tuples(VALUES, VALUES, st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MODELS, st.sampled_from(["<=", "<", ">=", ">", "==", "!="]), st.booleans(), st.booleans())
def test_the_choice_is_that_of_pandas(models, sign, higher, runs):
    """Brute force: filter the frame of means (or of runs) by pandas, and take the first of its largest."""
    records = [model(i + 1, a, u, group_id=f"g{g}", seed=s) for i, (a, u, g, s) in enumerate(models)]
    asked = {"maximize": "accuracy", "minimize": None} if higher else {"maximize": None, "minimize": "accuracy"}
    table = pd.DataFrame([{"g": r["group_id"], "id": r["doc_id"], **r["metrics"]} for r in records])
    table = table.astype({"accuracy": float, "uai_0.05": float}).dropna()
    if table.empty:
        with pytest.raises(ValueError, match="no run has all of accuracy, uai_0.05|no column"):
            chosen(records, runs=runs, conditions=f"uai_0.05{sign}0.2", anyway=True, **asked)
        return
    means = table.groupby("id" if runs else "g")[["accuracy", "uai_0.05"]].mean().round(9)  # .3, 0, .3: .2, not less
    kept = means[query.COMPARE[sign](means["uai_0.05"], 0.2)]["accuracy"]
    found = chosen(records, runs=runs, conditions=f"uai_0.05{sign}0.2", anyway=True, **asked)
    assert len(found.ranked) == len(kept)
    if found.ranked:
        values = found.pool.table["accuracy"].iloc[found.ranked].round(9).tolist()
        assert values == sorted(kept, reverse=higher)


MENU = [
    model(1, 0.90, 0.40, gap=0.01),
    model(2, 0.85, 0.20, gap=0.20),
    model(3, 0.80, 0.05, gap=0.03),
    model(4, 0.82, 0.12, gap=0.02),
    model(5, 0.70, 0.01, gap=0.00),
]


def test_the_price_of_a_constraint_is_what_the_best_without_it_gains():
    """By hand: under both only 3 and 5; without the first 1 (.90), without the second still 3."""
    found = chosen(MENU, conditions="uai_0.05<=0.1, fnr_gap<=0.05")
    first, second = found.prices
    assert ids(found, [found.best, first.best, second.best]) == [[3], [1], [3]]
    assert (first.gain, second.gain) == pytest.approx((0.10, 0.0))
    assert (first.binds, second.binds, first.meeting, second.meeting) == (True, False, 2, 4)


def test_the_first_better_model_is_the_one_that_needs_the_least_change_of_the_bound():
    first = chosen(MENU, conditions="uai_0.05<=0.1, fnr_gap<=0.05").prices[0]
    assert first.bound == 0.12


def test_a_lower_bound_is_relaxed_downwards():
    found = chosen(MENU, maximize=None, minimize="uai_0.05", conditions="accuracy>=0.84")
    assert (ids(found, [found.best]), found.prices[0].bound) == ([[2]], 0.82)


def test_equal_candidates_are_told_apart_by_the_first_constraint_then_seeds_then_id():
    records = [model(1, 0.8, 0.2), model(2, 0.8, 0.1), model(3, 0.8, 0.1), model(4, 0.8, 0.1, group_id="a", seed=0)]
    assert ranked(chosen(records, conditions="uai_0.05<=0.3")) == [[2], [3], [4], [1]]


def test_of_equal_settings_the_one_of_more_seeds_wins():
    records = [model(1, 0.8, group_id="a"), model(2, 0.8, group_id="b", seed=0), model(3, 0.8, group_id="b", seed=1)]
    found = chosen(records, runs=False)
    assert ids(found, found.ranked) == [[2, 3], [1]]


def test_a_metric_that_is_null_or_absent_is_never_chosen_and_both_are_counted():
    records = [*MENU, model(6, 0.99, None), record(7, metrics={"accuracy": 0.99})]
    found = chosen(records, conditions="uai_0.05<=1")
    assert ids(found, [found.best]) == [[1]]
    assert found.pool.left_out == [
        "1 run without uai_0.05 (undefined there)",
        "1 run without uai_0.05 (never measured there)",
    ]


def counted(doc_id, accuracy, *rates, **changes):
    """A record that holds the counts of false negative rates: (misses, positives) of each group."""
    shares = {f"fnr_group{i}": list(rate) for i, rate in enumerate(rates)}
    of = [misses / positives for misses, positives in rates]
    metrics = {"accuracy": accuracy, "fnr_gap": max(of) - min(of)} | {f"fnr_group{i}": v for i, v in enumerate(of)}
    return record(doc_id, metrics=metrics, **{"shares": shares} | changes)


def test_sure_demands_the_whole_interval_of_the_run_at_the_level_of_all_comparisons():
    """Two runs, one limit: each end at 1 - .05 / 2 by the definition of Clopper and Pearson."""
    bounds = [beta.ppf(1 - 0.0125, misses + 1, 1000 - misses) for misses in (30, 35)]
    records = [counted(1, 0.9, (35, 1000)), counted(2, 0.8, (30, 1000))]
    for limit, expected in zip((bounds[1] + 1e-6, bounds[0] + 1e-6, bounds[0] - 1e-6), (1, 2, None), strict=True):
        found = chosen(records, conditions=f"fnr_group0<={limit}", sure=True)
        assert found.pool.level == pytest.approx(0.975)
        assert (ids(found, found.ranked[:1]) or [None])[0] == (None if expected is None else [expected])


@pytest.mark.parametrize(("limit", "listed"), [(0.04, [1, 2]), (0.05, [2]), (0.2, [1, 2])])  # met by none, 2, both
def test_the_ends_of_the_wide_intervals_that_sure_goes_by_are_printed(limit, listed):
    """At 1 - .05 / 2 by the definition of Clopper and Pearson."""
    ends = {i: beta.ppf(1 - 0.0125, misses + 1, 1000 - misses) for i, misses in ((1, 35), (2, 30))}
    records = [counted(1, 0.9, (35, 1000)), counted(2, 0.8, (30, 1000))]
    found = chosen(records, conditions=f"fnr_group0<={limit}", sure=True)
    text = select.as_text(found, Asked("loan"), [], [], near=3)
    assert [i for i, end in ends.items() if f"{end:.4f}" in text] == listed
    answer = json.loads(select.as_json(found, Asked("loan"), [], [], near=3))
    told = [of for of in (answer["chosen"], *answer["runners_up"], *answer["nearest"]) if of]
    reached = {of["doc_ids"][0]: of["reached"][f"fnr_group0<={limit}"] for of in told}
    assert reached == pytest.approx({i: ends[i] for i in listed})
    plain = chosen(records, conditions=f"fnr_group0<={limit}")
    assert "reached" not in select.as_json(plain, Asked("loan"), [], [], near=3)


def test_sure_demands_the_lower_end_of_a_lower_bound():
    records = [counted(1, 0.9, (500, 1000)), counted(2, 0.8, (520, 1000))]
    low = beta.ppf(0.0125, 520, 481)
    assert best(chosen(records, conditions=f"fnr_group0>={low - 1e-6}", sure=True)) == [2]


def test_more_candidates_and_more_limits_ask_a_higher_level():
    records = [counted(i, 0.9, (35, 1000), (30, 1000)) for i in range(1, 11)]
    found = chosen(records, conditions="fnr_group0<=0.5, fnr_gap<=0.5", sure=True)
    assert found.pool.level == pytest.approx(1 - 0.05 / 20)
    assert len(found.ranked) == 10


def test_none_of_400_is_not_sure_of_every_limit():
    records = [counted(1, 0.9, (0, 400), (0, 400))]
    assert best(chosen(records, conditions="fnr_gap<=0.001")) == [1]
    assert not chosen(records, conditions="fnr_gap<=0.001", sure=True).ranked
    assert best(chosen(records, conditions="fnr_gap<=0.05", sure=True)) == [1]


def test_a_figure_whose_draws_do_not_vary_is_not_sure():
    """A rate of twins that were never decided otherwise has a deviation of 0, and no certainty."""
    records = [model(1, 0.9, gap=0.0, deviations={"uai_0.05": 0.0}) | {"metrics": {"accuracy": 0.9, "uai_0.05": 0.0}}]
    assert not chosen(records, conditions="uai_0.05<=0.01", sure=True).ranked


def test_what_has_no_counts_is_never_sure_and_that_is_said():
    found = chosen([model(1, 0.9, gap=0.0), counted(2, 0.8, (0, 4000))], conditions="fnr_gap<=0.5", sure=True)
    assert ids(found, found.ranked) == [[2]]
    assert any("1 of 2 are never sure: older or imported" in line for line in choice_text.describe_comparison(found))


def test_of_candidates_without_counts_the_nearest_are_told_by_their_figures():
    records = [model(1, 0.9, gap=0.3), model(2, 0.8, gap=0.2), model(3, 0.7, gap=0.25)]
    found = chosen(records, conditions="fnr_gap<=0.1", sure=True)
    assert ids(found, found.nearest) == [[2], [3], [1]]


def test_a_setting_is_sure_by_one_of_its_runs_and_that_is_the_one_handed_out():
    """The mean meets the limit, and the second run alone with its whole interval."""
    runs = [counted(i, 0.9, (misses, 1000), seed=i, group_id="a") for i, misses in ((1, 70), (2, 20), (3, 75))]
    found = chosen(runs, runs=False, conditions="fnr_group0<=0.08", sure=True)
    record, handed = choice.pick_run(found, found.best)
    assert (record["doc_id"], handed.meets, handed.meeting) == (2, True, 1)
    assert choice.pick_run(chosen(runs, runs=False, conditions="fnr_group0<=0.08"), 0)[0]["doc_id"] == 1
    assert not chosen(runs, runs=False, conditions="fnr_group0<=0.05", sure=True).ranked  # by its mean of .055


def test_the_counts_of_points_and_of_later_evaluations_make_them_sure():
    held = POINTS | {"shares": {"fnr_group0": [[2, 1000]] * 3, "fnr_group1": [[2, 1000]] * 3}}
    later = {"pgd@8/255": {"metrics": {"accuracy": 0.7}, "shares": {"accuracy": [700, 1000]}}}
    records = [model(1, 0.8, gap=0.3, operating_points=held, evaluations=later)]
    found = chosen(records, conditions="fnr_gap<=0.05", sure=True)
    assert [found.pool.table["point"].iloc[i] for i in found.ranked] == [1, 0]
    assert best(chosen(records, conditions="pgd@8/255/accuracy>=0.64", sure=True)) == [1]
    assert not chosen(records, conditions="pgd@8/255/accuracy>=0.69", sure=True).ranked


def studies(rng, n, *, models, seeds):
    """Studies of models whose gap in false negative rates is .06 in truth, judged on 300 positives of each group."""
    misses = rng.binomial(300, np.array([0.10, 0.16]), (n, models, seeds, 2))
    for study in misses:
        yield [
            counted(i * seeds + s + 1, 0.5 + i / 1000, *((int(m), 300) for m in run), seed=s, group_id=f"g{i}")
            for i, of in enumerate(study)
            for s, run in enumerate(of)
        ]


@pytest.mark.parametrize(("seeds", "runs"), [(1, True), pytest.param(2, False, marks=pytest.mark.slow)])
def test_sure_hands_out_a_violating_model_in_at_most_one_study_of_twenty(seeds, runs):
    """Known truth: every model violates fnr_gap<=.05. Without sure most studies hand one out; with it 5 %."""
    rng = np.random.default_rng(1)
    asked = {"runs": runs, "conditions": "fnr_gap<=0.05"}
    handed = [
        [bool(chosen(study, sure=sure, **asked).ranked) for sure in (False, True)]
        for study in studies(rng, 40, models=8, seeds=seeds)
    ]
    plain, sure = np.array(handed).sum(0)
    assert plain > 25
    assert sure <= 5  # of Bin(40, .05) more than 5 have a probability of .014


def test_sure_finds_models_that_meet_the_limit_by_far():
    rng = np.random.default_rng(2)
    misses = rng.binomial(3000, 0.1, (20, 2))
    records = [counted(i + 1, 0.5, *((int(m), 3000) for m in run)) for i, run in enumerate(misses)]
    assert len(chosen(records, conditions="fnr_gap<=0.1", sure=True).ranked) == 20


def test_of_constraints_that_nobody_meets_the_fewest_are_named():
    found = chosen(MENU, conditions="accuracy>=0.5, uai_0.05<=0.1, accuracy>=0.85")
    assert [c.text for c in choice.conflicts(found)] == ["uai_0.05<=0.1", "accuracy>=0.85"]
    found = chosen(MENU, conditions="accuracy>=0.5, uai_0.05<=0.001")
    assert [c.text for c in choice.conflicts(found)] == ["uai_0.05<=0.001"]


def test_the_nearest_misses_by_the_least_share_of_the_range():
    """By hand: accuracy spans .2, uai .39; 3 misses by .05/.2, 2 by .1/.39, 1 by .3/.39, 4 by .03/.2 + .02/.39."""
    found = chosen(MENU, conditions="accuracy>=0.85, uai_0.05<=0.1")
    assert ids(found, found.nearest) == [[4], [3], [2]]


SEEDS = [model(i, a, u, seed=i, group_id="a") for i, a, u in ((1, 0.7, 0.1), (2, 0.8, 0.11), (3, 0.9, 0.3))]


def test_the_run_to_use_is_the_nearest_to_the_mean_not_the_best():
    found = chosen(SEEDS, runs=False)
    record, handed = choice.pick_run(found, found.best)
    assert (record["doc_id"], handed.meets) == (2, True)


def test_the_run_to_use_meets_the_constraints_where_one_does():
    found = chosen(SEEDS, runs=False, conditions="uai_0.05<=0.2, accuracy<=0.8, accuracy!=0.8")
    assert not found.ranked  # the mean is .8
    found = chosen(SEEDS, runs=False, conditions="uai_0.05<=0.2, accuracy<=0.81, uai_0.05!=0.11")
    record, handed = choice.pick_run(found, found.best)
    assert (record["doc_id"], handed.meets) == (1, True)


def test_where_no_seed_meets_them_alone_it_is_said():
    records = [model(1, 0.8, 0.0, gap=0.2, seed=0, group_id="a"), model(2, 0.8, 0.2, gap=0.0, seed=1, group_id="a")]
    found = chosen(records, runs=False, conditions="uai_0.05<=0.1, fnr_gap<=0.1")
    _, handed = choice.pick_run(found, found.best)
    assert (handed.meets, handed.meeting) == (False, 0)


def test_facts_choose_who_competes_and_are_no_constraints():
    records = [*MENU, model(6, 0.6, 0.0, regularizer="llr")]
    found = chosen(records, conditions="regularizer==llr, uai_0.05<=0.1")
    assert (ids(found, found.ranked), [p.constraint.text for p in found.prices]) == ([[6]], ["uai_0.05<=0.1"])


def test_a_seed_chosen_by_a_fact_is_taken_out_of_the_mean():
    found = chosen(SEEDS, runs=False, conditions="seed!=3")
    assert found.pool.table["accuracy"].tolist() == pytest.approx([0.75])


POINTS = {
    "fit_on": "valid",
    "rates": ["fnr"],
    "permitted": [0, 0.05, None],
    "logits": [[0.0, 0.5], [0.1, 0.3], [0.2, 0.2]],
    "metrics": {"accuracy": [0.6, 0.7, 0.8], "fnr_gap": [0.0, 0.04, 0.3]},
}


def test_an_operating_point_can_be_chosen():
    records = [model(1, 0.8, gap=0.3, operating_points=POINTS), model(2, 0.65, gap=0.05, regularizer="llr")]
    found = chosen(records, conditions="fnr_gap<=0.05")
    run, _ = choice.pick_run(found, found.best)
    assert (run["doc_id"], run["point"], found.pool.table["label"].iloc[found.best]) == (
        *(1, 1),
        "loan_mlp_erm, seed 0, fitted to fnr_gap<=0.05",
    )


def test_without_points_only_the_stored_thresholds_compete():
    records = [model(1, 0.8, gap=0.3, operating_points=POINTS), model(2, 0.65, gap=0.05, regularizer="llr")]
    assert ranked(chosen(records, points=False, conditions="fnr_gap<=0.05")) == [[2]]


def test_points_of_several_seeds_are_one_candidate():
    records = [model(i, 0.8, gap=0.3, seed=i, operating_points=POINTS, group_id="a") for i in (1, 2)]
    found = chosen(records, runs=False, conditions="fnr_gap<=0.05")
    assert ids(found, found.ranked) == [[1, 2], [1, 2]]


def test_a_point_does_not_have_what_was_never_judged_at_it():
    found = chosen([model(1, 0.8, 0.1, operating_points=POINTS)], conditions="uai_0.05<=0.5")
    assert len(found.ranked) == 1
    (said,) = found.pool.left_out
    assert said.startswith("3 operating points without uai_0.05 (not judged at their thresholds, which evaluate.py id=")


JUDGED = {"audit": {"metrics": {"accuracy": 0.6}}, "point1+audit": {"metrics": {"accuracy": 0.5}, "point": 1}}


@pytest.mark.parametrize(
    ("asked", "points", "expected"),
    [
        ("audit/accuracy", True, [-1]),
        ("point1+audit/accuracy", True, [1]),
        ("audit/accuracy", False, [-1]),
    ],
)
def test_what_was_judged_later_is_of_the_thresholds_that_it_was_judged_at(asked, points, expected):
    """Those of the record, or those of one of its operating points."""
    found = chosen([model(1, 0.8, 0.1, operating_points=POINTS, evaluations=JUDGED)], points=points, maximize=asked)
    assert list(found.pool.table["point"]) == expected


def test_where_points_do_not_compete_what_was_judged_at_one_is_no_figure_of_the_model():
    with pytest.raises(ValueError, match="judged at operating points, which points=false leaves out"):
        chosen(
            [model(1, 0.8, 0.1, operating_points=POINTS, evaluations=JUDGED)],
            points=False,
            maximize="point1+audit/accuracy",
        )


def test_what_differs_is_named_by_its_key_and_only_once():
    records = [
        model(1, 0.8, 0.1),
        model(2, 0.9, 0.1, regularizer="llr", radius=0.1),
        model(3, 0.7, 0.1, regularizer="llr", radius=0.2),
    ]
    found = chosen(records)
    assert choice.settings_apart(found, found.best) == {"regularizer": "llr", "epsilon.radius": "0.1"}


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("fnr_gap>=0.1", "keeps fnr_gap from being better: lower"),
        ("accuracy<=0.5", "keeps accuracy from being better: higher"),
        ("fnr_signed_gap<=0.05", "has a sign: -0.4 meets fnr_signed_gap<=0.05"),
    ],
)
def test_a_constraint_that_may_not_say_what_is_meant_is_questioned(condition, words):
    records = [record(1, metrics={"accuracy": 0.5, "fnr_gap": 0.1, "fnr_signed_gap": -0.1})]
    question, _ = choice.ask(records, **QUESTION | {"conditions": condition})
    assert words in choice.cautions(question, records)[0]


def test_the_lowest_signed_gap_is_questioned():
    """It is the most negative one, -0.4 before -0.1."""
    records = [record(i, metrics={"fnr_signed_gap": -i / 10}) for i in (1, 4)]
    question, _ = choice.ask(records, **QUESTION | {"maximize": None, "minimize": "fnr_signed_gap"})
    assert choice.cautions(question, records)[0].endswith("the largest of that sign; minimize=fnr_gap")


def test_a_metric_without_a_better_end_may_be_asked_either_way():
    records = [record(i, metrics={"acceptance_rate": i / 10}) for i in (1, 2)]
    assert best(chosen(records, maximize="acceptance_rate")) == [2]
    assert best(chosen(records, maximize=None, minimize="acceptance_rate")) == [1]


def test_the_better_end_of_a_later_evaluation_is_known():
    records = [record(1, evaluations={"pgd@8/255": {"metrics": {"accuracy": 0.1}}})]
    with pytest.raises(ValueError, match="higher pgd@8/255/accuracy is better"):
        choice.ask(records, **QUESTION | {"maximize": None, "minimize": "pgd@8/255/accuracy"})


def test_without_constraints_nothing_has_a_price():
    found = chosen(MENU)
    assert (ids(found, [found.best]), found.prices, math.isnan(found.pool.table["accuracy_low"].iloc[0])) == (
        *([[1]], []),
        True,
    )


def test_what_is_required_is_decided_by_test_rows():
    records = [
        record(1, metrics={"accuracy": 0.5, "fpr_gap": 0.2, "fpr_gap_valid": 0.01, "fpr_gap_valid_unpoisoned": 0.1})
    ]
    for key in ("fpr_gap_valid", "fpr_gap_valid_unpoisoned"):
        with pytest.raises(ValueError, match=f"{key} is of validation rows.* write fpr_gap$"):
            choice.ask(records, **QUESTION | {"conditions": f"{key}<=0.05"})
        with pytest.raises(ValueError, match="decided by test"):
            policy.parse_limit(f"{key}<=0.05")
