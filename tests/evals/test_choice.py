"""Choosing: against pandas by brute force, prices and ties by hand."""

import math

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evals import choice, query
from tests.evals.test_query import record

QUESTION = {"maximize": "accuracy", "minimize": None, "conditions": None, "sure": False, "anyway": False}


def model(doc_id, accuracy, uai=None, regularizer="erm", gap=0.0, **changes):
    return record(doc_id, regularizer, metrics={"accuracy": accuracy, "uai_0.05": uai, "fnr_gap": gap}, **changes)


def chosen(records, *, runs=True, points=True, near=3, **asked):
    question, facts = choice.ask(records, **QUESTION | asked)
    pool = choice.compete(records, question, facts=facts, runs=runs, points=points)
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
    means = table.groupby("id" if runs else "g")[["accuracy", "uai_0.05"]].mean()
    kept = means[query.COMPARE[sign](means["uai_0.05"], 0.2)]["accuracy"]
    found = chosen(records, runs=runs, conditions=f"uai_0.05{sign}0.2", anyway=True, **asked)
    assert len(found.ranked) == len(kept)
    if found.ranked:
        values = found.pool.table["accuracy"].iloc[found.ranked].tolist()
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


def with_interval(doc_id, accuracy, gap, low, high, **changes):
    metrics = {"accuracy": accuracy, "fnr_gap": gap, "fnr_gap_low": low, "fnr_gap_high": high}
    return record(doc_id, metrics=metrics, **changes)


def test_sure_demands_the_upper_end_of_the_interval():
    records = [with_interval(1, 0.9, 0.03, 0.0, 0.07), with_interval(2, 0.8, 0.02, 0.0, 0.05)]
    assert best(chosen(records, conditions="fnr_gap<=0.05")) == [1]
    assert best(chosen(records, conditions="fnr_gap<=0.05", sure=True)) == [2]


def test_sure_demands_the_lower_end_of_a_lower_bound():
    records = [with_interval(1, 0.9, 0.03, 0.0, 0.07), with_interval(2, 0.8, 0.05, 0.04, 0.05)]
    assert best(chosen(records, conditions="fnr_gap>=0.03", sure=True)) == [2]


def test_what_has_no_interval_is_never_sure():
    found = chosen([model(1, 0.9, gap=0.0)], conditions="fnr_gap<=0.5", sure=True)
    assert (found.ranked, len(found.nearest)) == ([], 1)


def test_the_interval_of_a_setting_is_over_its_seeds_not_its_rows():
    records = [with_interval(i, 0.9, gap, 0.0, 1.0, seed=i, group_id="a") for i, gap in ((1, 0.02), (2, 0.04))]
    row = chosen(records, runs=False, conditions="fnr_gap<=0.05", sure=True).pool.table.iloc[0]
    assert (row["fnr_gap_over"], row["fnr_gap_low"], row["fnr_gap_high"]) == ("seeds", 0.02, 0.04)


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
    place, meets = choice.to_deploy(found, found.best)
    assert (found.pool.records[place]["doc_id"], meets) == (2, True)


def test_the_run_to_use_meets_the_constraints_where_one_does():
    found = chosen(SEEDS, runs=False, conditions="uai_0.05<=0.2, accuracy<=0.8, accuracy!=0.8")
    assert not found.ranked  # the mean is .8
    found = chosen(SEEDS, runs=False, conditions="uai_0.05<=0.2, accuracy<=0.81, uai_0.05!=0.11")
    place, meets = choice.to_deploy(found, found.best)
    assert (found.pool.records[place]["doc_id"], meets) == (1, True)


def test_where_no_seed_meets_them_alone_it_is_said():
    records = [model(1, 0.8, 0.0, gap=0.2, seed=0, group_id="a"), model(2, 0.8, 0.2, gap=0.0, seed=1, group_id="a")]
    found = chosen(records, runs=False, conditions="uai_0.05<=0.1, fnr_gap<=0.1")
    assert choice.to_deploy(found, found.best)[1] is False


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
    run = found.pool.records[choice.to_deploy(found, found.best)[0]]
    assert (run["doc_id"], run["point"], found.pool.table["label"].iloc[found.best]) == (
        *(1, 1),
        "loan_mlp_erm, seed 0, thresholds of fnr_gap<=0.05",
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
    assert found.pool.left_out == ["3 operating points without uai_0.05 (points hold what thresholds alone decide)"]


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
