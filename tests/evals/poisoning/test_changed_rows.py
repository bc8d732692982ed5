"""The rows of a search in words: counts are means over seeds, shares those of the records, nothing where nothing is."""

import pytest

from evals.poisoning.changed_rows import count_changes, describe_changes, describe_rows
from tests.evals.poisoned_records import poisoned

GAP = ((0.20, 0.10), (0.22, 0.18))


def seeds(*poisons, **changes):
    records = [poisoned(i + 1, seed=i, gap=GAP, **changes) for i in range(len(poisons))]
    return [record | {"poison": record["poison"] | poison} for record, poison in zip(records, poisons, strict=True)]


def test_rows_are_counted_by_what_was_done_and_a_seed_that_did_nothing_counts():
    done = count_changes(seeds({"rows": 0, "removed": 30}, {"rows": 0}, {"rows": 3, "removed": 12}))
    assert done == {"added": pytest.approx(1), "removed": pytest.approx(14)}
    assert describe_changes(done) == "1 added, 14 removed"
    assert describe_changes(count_changes(seeds({"rows": 0}))) == "none"


def test_what_added_rows_are_is_summed_over_seeds():
    one = {"rows": 30, "copies": 10, "relabelled": 20, "invented": 0, "beyond": 0}
    [said] = describe_rows(seeds({"origins": one}, {"origins": one | {"copies": 5, "relabelled": 25}}))
    assert said.startswith("The added rows, over 2 seeds: 15 of 60: copies of records")
    assert "45 of 60: people's features with a chosen label" in said
    assert describe_rows(seeds({"rows": 0, "origins": dict.fromkeys(one, 0)})) == []
    assert describe_rows(seeds({})) == []  # of an earlier version


TRIVIAL = {"trainings": 16, "seconds": 1.0}


def test_a_trivial_attack_that_did_best_is_named():
    better = TRIVIAL | {"better": True, "rows": 330, "of": "men with label 0 as 1"}
    [alone] = describe_rows(seeds({"trivial": better}, objective="unfair"))
    assert alone == "The best attack was a trivial one: 330 copies of men with label 0 as 1, 16 trainings"
    [several] = describe_rows(seeds({"trivial": better}, {"trivial": TRIVIAL | {"better": False}}, objective="unfair"))
    assert several.startswith("The best attack was a trivial one in 1 of 2 seeds: 330 copies")
    [none] = describe_rows(seeds({"trivial": TRIVIAL | {"better": False}}, objective="unfair"))
    assert none.startswith("No trivial attack")


def test_the_share_of_a_gap_that_rows_carry_is_what_it_falls_by_when_they_change():
    """From .20 to .15 is a quarter, to .05 three quarters."""
    [said] = describe_rows(seeds({"carried": [[0, 0.2], [5, 0.15], [20, 0.05]]}))
    assert said == "The 5, 20 most influential rows carry 25%, 75% of fpr_gap on validation, by retraining"
    [attack] = describe_rows(seeds({"carried": [[0, 0.2], [5, 0.3]]}, objective="unfair"))
    assert attack == "The 5 most influential rows move fpr_gap on validation from 0.200 to 0.300"


@pytest.mark.parametrize("carried", [[], [[0, 0.2]], [[0, None], [5, 0.1]]])
def test_without_two_figures_nothing_is_carried(carried):
    assert describe_rows(seeds({"carried": carried})) == []


def test_what_stood_in_the_way_of_a_search_is_named():
    def near(**beyond):
        return {"nearest": {"evaluation": 3, "fpr_gap": 0.1, "beyond": beyond}}

    [alone] = describe_rows(seeds(near(accuracy=0.02)))
    assert alone == "Nothing better keeps to the limits on validation: what is nearest breaks accuracy by 0.02"
    [several] = describe_rows(seeds(near(accuracy=0.02), {}, near(accuracy=0.03, fpr_group1=0.1)))
    assert several.endswith("in 2 of 3 seeds: what is nearest breaks accuracy by 0.03, fpr_group1 by 0.1")
