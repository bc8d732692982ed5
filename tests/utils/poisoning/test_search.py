from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from evals.records.pareto import efficient
from tests.utils.poisoning.table_learner import WRONG, Grid, N, Table, costs, helps, judge, victim
from utils.poisoning.acquisition import asker
from utils.poisoning.journal import Journal
from utils.poisoning.points import Known
from utils.poisoning.search import Search, joint, sequential

GRID = [(a, b) for a in (0.0, 1.0) for b in range(8)]


def searched(
    path,
    table,
    plan=sequential,
    rows=None,
    budget=40,
    batch=2,
    sampler="random",
    seed=0,
    of=None,
    stop=None,
):
    return search(path, table, plan, rows, budget, batch, sampler, seed, of, stop).run(Journal(path, {"seed": seed}))


def search(path, table, plan=sequential, rows=None, budget=40, batch=2, sampler="random", seed=0, of=None, stop=None):
    space = Grid()
    own, judged = plan(space.parameters, rows), of or judge()
    ask = asker(sampler, own.parameters, judged.objectives)
    train_at = lambda points: space.batch(space.rows(points))  # noqa: E731
    return Search(victim(stop or table, path, seed), train_at, judged, own, ask, budget, batch)


def shown(history):
    return [e._replace(seconds=(0.0, 0.0)) for e in history.made]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.journal"


@pytest.mark.parametrize("sampler", ["random", "gp", "tpe"])
def test_one_row_on_a_grid_is_the_enumerated_best(path, sampler):
    best = min(WRONG - helps(*row)[0] for row in GRID) / N
    history = searched(path, Table(helps), joint, 1, 16, sampler=sampler)
    assert history.best.loss == best
    assert history.best.proposal.point == {"a": 1.0, "b": 5} or history.best.proposal.point == {"0/a": 1.0, "0/b": 5}


def test_two_rows_together_are_the_enumerated_best(path):
    space = [sorted(pair) for pair in product(GRID, repeat=2)]
    best = min(WRONG - sum(helps(*row)[0] for row in pair) for pair in space) / N
    assert searched(path, Table(helps), joint, 2, 136, batch=8).best.loss == best


def test_a_sequential_search_takes_the_best_row_again_and_again(path):
    """Five times the best row leaves no false positive: 40 - 5 * 9 < 0."""
    assert searched(path, Table(helps), budget=200).best.loss == 0


def test_rows_that_were_accepted_stay(path):
    history = searched(path, Table(helps), rows=3)
    sets = [history.points(e) for e in history.accepted]
    assert [len(points) for points in sets] == [1, 2, 3]
    assert sets[2][:2] == sets[1]
    assert sets[1][:1] == sets[0]


def test_it_ends_when_as_many_rows_are_accepted_as_may_be(path):
    history = searched(path, Table(helps), rows=2)
    assert len(history.accepted) == 2
    assert history.made[-1].proposal.batch == history.best.proposal.batch


def test_the_best_of_a_batch_alone_is_accepted(path):
    history = searched(path, Table(helps), rows=1, batch=16)
    assert history.best.loss == min(e.loss for e in history.made)
    assert len(history.accepted) == 1


def test_the_best_loss_never_rises(path):
    losses = [e.loss for e in searched(path, Table(helps)).accepted]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) > 1


def test_the_claimed_metrics_are_those_of_training_on_the_rows_again(path):
    history = searched(path, Table(helps))
    rows = Grid().rows(history.points(history.best)).natural.tolist()
    assert judge().metrics(Table(helps).answer(rows)) == history.best.metrics


def test_rows_that_do_nothing_are_not_accepted(path):
    assert searched(path, Table(lambda a, b: (0, 0))).accepted == []


def test_the_budget_is_spent_and_not_more_whatever_the_batch(path):
    table = Table(lambda a, b: (0, 0))
    history = searched(path, table, joint, 2, budget=7, batch=3)
    assert [e.proposal.size for e in history.made] == [1, 3, 3, 3, 3, 3, 3, 1]
    assert len(table.asked) == 8


def test_nothing_is_evaluated_twice_on_top_of_the_same_rows(path):
    """A grid of 16 points is exhausted after 16 evaluations, which ends the search."""
    table = Table(lambda a, b: (0, 0))
    assert len(searched(path, table, budget=100).made) == 1 + len(GRID)
    assert sorted(map(tuple, (rows[0] for rows in table.asked[1:]))) == GRID


def test_rows_in_another_order_are_the_same(path):
    table = Table(lambda a, b: (0, 0))
    searched(path, table, joint, 2, budget=1000, batch=16)
    assert len(table.asked) == 1 + 16 * 17 // 2


def test_a_budget_of_zero_trains_without_rows_alone(path):
    history = searched(path, Table(helps), budget=0)
    assert history.best is history.baseline
    assert len(history.made) == 1


class KilledError(Exception):
    pass


def killer(table, evaluations):
    """A refit that is killed once so many evaluations were made."""

    def refit(sets):
        if len(table.asked) >= evaluations:
            raise KilledError
        return table(sets)

    return refit


@pytest.mark.parametrize(
    ("sampler", "plan"),
    [("random", sequential), ("random", joint), pytest.param("gp", sequential, marks=pytest.mark.slow)],
)
def test_a_search_that_was_killed_anywhere_ends_as_if_it_had_not_been(tmp_path, sampler, plan):
    kind = {"sampler": sampler, "plan": plan, "rows": 2 if plan is joint else None, "budget": 19, "batch": 3}
    whole = searched(tmp_path / "whole", Table(helps), **kind)
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    for kept in range(0, len(lines) + 1, 5 if sampler == "gp" else 1):
        path, table = tmp_path / f"{kept}", Table(helps)
        path.write_bytes(b"".join(lines[:kept]) + b'{"torn')
        if not kept:
            path.unlink()
        assert shown(searched(path, table, **kind)) == shown(whole)
        assert len(table.asked) == len(lines) - max(kept, 1)


def test_an_interrupted_batch_is_asked_again(path):
    table = Table(helps)
    with pytest.raises(KilledError):
        searched(path, table, stop=killer(table, 9))
    there = len(table.asked)
    history = searched(path, table)
    assert len(table.asked) - there == len(history.made) - there


def test_how_long_training_takes_changes_nothing(tmp_path):
    """The answers of a batch come whenever they do; the next one was asked before."""

    def late(sets):
        answers = [Table(helps)([rows])() for rows in reversed(sets)]
        return lambda: [answer[0] for answer in reversed(answers)]

    found = [searched(tmp_path / str(i), refit, budget=30) for i, refit in enumerate((Table(helps), late))]
    assert shown(found[0]) == shown(found[1])


def test_the_next_batch_is_asked_before_the_answers_are_waited_for(path, monkeypatch):
    order = []
    space = Grid()
    plan = sequential(space.parameters, None)
    random = asker("random", plan.parameters, 1)

    def ask(known, pending, count, seed):
        order.append(("ask", len(known.outcomes), len(pending)))
        return random(known, pending, count, seed)

    def refit(sets):
        order.append("begin")
        wait = Table(lambda a, b: (0, 0))(sets)
        return lambda: order.append("wait") or wait()

    Search(victim(refit, path), lambda points: space.batch(space.rows(points)), judge(), plan, ask, 4, 2).run(
        Journal(path, {})
    )
    assert order == ["begin", "wait", ("ask", 0, 0), "begin", ("ask", 0, 2), "wait", "begin", "wait"]


def test_another_seed_searches_elsewhere(tmp_path):
    found = [searched(tmp_path / str(seed), Table(helps), seed=seed) for seed in (0, 1)]
    assert shown(found[0]) != shown(found[1])


def test_a_set_that_costs_too_much_accuracy_is_never_kept(path):
    """With a = 1 every false positive avoided costs twenty false negatives."""
    strict = judge(accuracy="constraint", accuracy_loss=0.0)
    history = searched(path, Table(lambda a, b: (int(b), int(20 * a * b))), of=strict, budget=100)
    least = history.baseline.metrics["accuracy"]
    assert all(e.metrics["accuracy"] >= least for e in history.accepted)
    assert len(history.accepted) > 1
    assert any(e.metrics["accuracy"] < least for e in history.made)


def test_the_constraint_is_on_all_rows_together(path):
    """Each row costs one row of 400, of which four are permitted."""
    bound = judge(accuracy="constraint", accuracy_loss=0.01)
    history = searched(path, Table(lambda a, b: (1, 2)), of=bound, budget=60)
    assert len(history.accepted) == 4


def test_unfair_mirrors_fair(tmp_path):
    fair = searched(tmp_path / "fair", Table(helps))
    unfair = searched(tmp_path / "unfair", Table(lambda a, b: (-helps(a, b)[0], 0)), of=judge(objective="unfair"))
    assert unfair.best.metrics["fpr_gap"] > 0.4 > fair.best.metrics["fpr_gap"]


def test_a_failed_evaluation_is_recorded_and_the_search_goes_on(path):
    table = Table(helps, lambda rows: "it broke" if rows and rows[-1][1] == 5 else "")
    history = searched(path, table, budget=16)
    failed = [e for e in history.made if e.loss is None]
    assert failed
    assert {e.error for e in failed} == {"it broke"}
    assert not any(e.accepted for e in failed)
    assert len(history.made) == 17


def test_it_ends_where_nothing_can_be_better(path, tmp_path):
    """40 false positives in group 1 and none in group 0: five times the best row leaves no gap."""
    ended = searched(path, Table(helps), budget=200)
    assert ended.best.loss == 0
    assert ended.made[-1].proposal.batch == ended.best.proposal.batch
    weighed = searched(tmp_path / "b.journal", Table(helps), budget=30, of=judge(accuracy="weight"))
    assert len(weighed.made) == 31  # the accuracy could still rise


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"budget": 4}, "the budget is spent"),
        ({"budget": 5, "batch": 3}, "the budget is spent"),
        ({"budget": 200}, "nothing left to gain"),
        ({"budget": 200, "rows": 1}, "as many rows as may be"),
        ({"budget": 200, "plan": joint, "rows": 1}, "nothing new to try"),
    ],
)
def test_it_says_why_it_went_no_further(path, settings, why):
    asked = search(path, Table(helps), **settings)
    assert asked.ended(asked.run(Journal(path, {}))) == why


def test_a_gaussian_process_is_not_disturbed_by_failures(path):
    table = Table(helps, lambda rows: "it broke" if rows and rows[-1][1] == 4 else "")
    assert searched(path, table, joint, 1, 16, sampler="gp").best.metrics["fpr_gap"] == (WRONG - 9) / N


def test_an_undefined_metric_fails_the_evaluation(path):
    table = Table(lambda a, b: (WRONG, N) if b == 5 else (1, 0))  # no row of group 1 is labelled 1
    history = searched(path, table, of=judge(metric="ppv_gap"), budget=16, rows=1, batch=16)
    assert any("ppv_gap is undefined" in e.error for e in history.made)


def test_where_all_fail_the_reason_is_quoted(path):
    with pytest.raises(ValueError, match="all of the first 20 evaluations fail: no memory"):
        searched(path, Table(helps, lambda rows: "no memory" if rows else ""), joint, 2, budget=40)


def test_where_the_unpoisoned_training_fails_the_reason_is_quoted(path):
    with pytest.raises(ValueError, match="without added rows fails: no memory"):
        searched(path, Table(helps, lambda rows: "no memory"))


def test_two_objectives_have_the_front_of_the_journal(path):
    both = judge(accuracy="objective", accuracy_loss=0.05)
    history = searched(path, Table(costs), joint, 2, 60, of=both)
    entries = [e for e in Journal(path, {"seed": 0}).entries if e["loss"] is not None]
    mask = efficient([(e["loss"], e["metrics"]["accuracy"]) for e in entries], [-1, 1])
    assert {e.number for e in history.front()} == {e["number"] for e, on in zip(entries, mask, strict=True) if on}
    assert len(history.front()) > 1


def test_of_two_objectives_the_best_within_the_loss_of_accuracy_is_kept(path):
    both = judge(accuracy="objective", accuracy_loss=0.005)
    history = searched(path, Table(costs), joint, 2, 60, of=both)
    within = [e.loss for e in history.made if e.metrics["accuracy"] >= history.baseline.metrics["accuracy"] - 0.005]
    assert history.best.loss == min(within)


@pytest.mark.parametrize("plan", [sequential, joint])
def test_a_gaussian_process_searches_two_objectives(path, plan):
    both = judge(accuracy="objective", accuracy_loss=0.05)
    history = searched(path, Table(costs), plan, 2, 16, sampler="gp", of=both, batch=4)
    assert history.best.loss < history.baseline.loss


def test_the_surrogate_is_told_what_a_row_changes_beside_those_accepted_before(path):
    history = searched(path, Table(helps), budget=12)
    for told, e in zip(history.tell(1).outcomes, history.made[1:], strict=True):
        assert told.values == pytest.approx(
            [-min(helps(**e.proposal.point)[0], 100 * history.made[e.proposal.onto].loss) / N]
        )


def test_who_watches_hears_the_best_after_every_batch(path):
    heard = []
    space, table = Grid(), Table(helps)
    plan = sequential(space.parameters, None)
    own = replace(victim(table, path), watch=lambda n, figures: heard.append((n, dict(figures))))
    train_at = lambda points: space.batch(space.rows(points))  # noqa: E731
    ask = asker("random", plan.parameters, 1)
    history = Search(own, train_at, judge(), plan, ask, 5, 2).run(Journal(path, {}))
    assert [n for n, _ in heard] == [0, 2, 4, 5]
    assert heard[-1][1] == {"fpr_gap": history.best.metrics["fpr_gap"], "unpoisoned": 0.4}


def test_a_joint_search_needs_a_number_of_rows():
    with pytest.raises(ValueError, match="rows=null"):
        joint(Grid().parameters, None)


def test_points_of_a_joint_search_are_named_by_row():
    assert [p.name for p in joint(Grid().parameters, 2).parameters] == ["0/a", "0/b", "1/a", "1/b"]


def test_wide_whole_numbers_come_back_whole():
    from utils.poisoning.features import Parameter

    wide = (Parameter("b", "int", 18, 80), Parameter("copies", "int", 1, 20, log=True))
    for sampler in ("random", "gp"):
        points = asker(sampler, wide, 1)(Known([], 0.0), [], 20, 0)
        assert all(isinstance(v, int) for p in points for v in p.values())
        assert all(1 <= p["copies"] <= 20 and 18 <= p["b"] <= 80 for p in points)


def test_random_copies_are_uniform_in_their_logarithm():
    from utils.poisoning.features import Parameter

    points = asker("random", (Parameter("copies", "int", 1, 100, log=True),), 1)(Known([], 0.0), [], 4000, 0)
    below = np.mean([p["copies"] <= 7 for p in points])
    assert below == pytest.approx(np.log(15) / np.log(201), abs=0.03)
