"""The time left of a sweep whose jobs differ in what they cost."""

import time

import pytest

from utils.runs.outcomes import Outcome, write_outcome
from utils.runs.progress import Tally
from utils.runs.time_left import MOST_KINDS, estimate_left, kind_of, untimed

ERM, CAPIFY, ADULT = (kind_of(words) for words in (["data=loan", "by=erm"], ["data=loan", "by=capify"], ["data=adult"]))


def test_seeds_are_of_one_kind():
    assert kind_of(["data=loan", "seed=1"]) == kind_of(["seed=2", "data=loan"])


@pytest.mark.parametrize(
    ("spent", "left", "share"),
    [
        ([(ERM, 1.0), (ERM, 3.0)], {ERM: 2}, 1.0),
        ([(ERM, 1.0), (CAPIFY, 5.0)], {CAPIFY: 6}, 5.0),  # not 3, which the mean would say
        ([(ERM, None), (CAPIFY, None)], {CAPIFY: 1}, 0.5),  # times that are not known are equal
        ([(ERM, 1.0), (CAPIFY, None)], {CAPIFY: 1}, 0.5),
        ([(ERM, 1.0), (CAPIFY, 5.0)], {ADULT: 1}, 0.5),  # shares no word with either
        ([(ERM, 1.0), (CAPIFY, 5.0)], {kind_of(["data=adult", "by=capify"]): 1}, 5 / 6),
    ],
)
def test_a_job_takes_the_mean_of_those_most_like_it(spent, left, share):
    assert estimate_left(spent, left) == pytest.approx(share)


def test_of_no_time_there_is_none_left():
    assert estimate_left([(ERM, 0.0)], {ERM: 2}) == 0.0


def test_of_many_kinds_a_job_takes_the_mean():
    kinds = [kind_of([f"lr={i}", "by=erm"]) for i in range(MOST_KINDS + 1)]
    assert estimate_left([(kinds[0], 2.0)], dict.fromkeys(kinds[1:], 1)) == MOST_KINDS


def test_choices_that_were_never_timed_are_named_and_numbers_are_not():
    few, many = (kind_of([f"data={name}", "epsilon=0.2", "decide.rate=1/3", "seed=1"]) for name in ("adult", "imf"))
    assert untimed([ERM], {few: 2, ERM: 9, many: 3}) == ["data=imf", "data=adult"]


def test_a_sweep_says_which_choice_it_has_not_timed(tmp_path):
    words = [[f"dataset={name}", f"seed={seed}"] for name in ("loan", "adult") for seed in range(2)]
    tally = Tally(tmp_path, range(4), [], words.__getitem__)
    for number in range(3):
        tally.started = time.monotonic() - 10
        write_outcome(tmp_path, number, Outcome("a", "finished", "", seconds=[1.0, 1.0, 18.0][number]))
        tally.look()
        assert (
            tally.line()
            == f"{number + 1}/4, "
            + (
                "ETA 0:00:30, dataset=adult not timed yet",
                "ETA 0:00:10, dataset=adult not timed yet",
                "ETA 0:00:09",
            )[number]
        )
