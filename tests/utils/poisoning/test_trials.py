import json

from tests.utils.poisoning.table_learner import judge
from utils.poisoning.history import read_entry, write_entry
from utils.poisoning.trials import Trial, accept_best, fail_trial, find_nearest, judge_trial, list_steps, summarise

# a line of a journal as older versions wrote it
OLDER = (
    '{"number": 3, "batch": 2, "size": 2, "onto": 1, "point": {"age": 31.5}, "metrics": {"accuracy": 0.8}, '
    '"loss": 0.25, "violation": -0.01, "accepted": true, "error": "", "seconds": [0.5, 0.125]}'
)


def trial(number, loss, violation=0.0, accepted=False):
    return Trial(number, (), {"gap": loss or 0.0}, loss, violation, accepted, "", (0.0, 1.0))


def numbers(trials):
    return [t.number for t in trials if t.accepted]


def test_the_lowest_loss_is_accepted_where_it_beats_all_before():
    assert numbers(accept_best([trial(0, 0.5)], [trial(1, 0.4), trial(2, 0.3), trial(3, 0.6)])) == [2]
    assert numbers(accept_best([trial(0, 0.2)], [trial(1, 0.4), trial(2, 0.3)])) == []


def test_of_equal_losses_the_first_stays():
    assert numbers(accept_best([trial(0, 0.3)], [trial(1, 0.3)])) == []
    assert numbers(accept_best([trial(0, 0.5)], [trial(1, 0.3), trial(2, 0.3)])) == [1]


def test_what_is_not_permitted_or_failed_is_not_accepted():
    made = [trial(1, 0.1, violation=0.01), fail_trial(2, (), (0.0, 1.0), "diverged"), trial(3, 0.4)]
    assert numbers(accept_best([trial(0, 0.5)], made)) == [3]


def test_a_search_is_summed_up_from_its_trials():
    made = [trial(0, 0.5), trial(1, 0.4, accepted=True), fail_trial(2, (), (0.0, 1.0), "diverged")]
    assert summarise(made) == {"evaluations": 2, "failed": 1, "accepted": 1, "loss": [0.5, 0.4]}
    assert list_steps(made, "gap") == [(0, 0.5), (1, 0.4)]


def test_a_search_that_accepts_nothing_ends_where_it_began():
    assert summarise([trial(0, 0.5), trial(1, 0.6)])["loss"] == [0.5, 0.5]


def test_where_nothing_is_permitted_the_nearest_is_told():
    before = {"fpr_gap": 0.4, "accuracy": 0.7, "fnr_group0": 0.1, "fnr_group1": 0.1}
    far = before | {"fpr_gap": 0.1, "fnr_group1": 0.3}
    near = before | {"fpr_gap": 0.3, "fnr_group1": 0.15, "accuracy": 0.65}
    own = judge(harm=0.02, accuracy="constraint")

    def made(number, metrics):
        return judge_trial(number, (), (0.0, 1.0), own, metrics, before)

    trials = [made(0, before), made(1, far), made(2, near), made(3, before | {"fpr_gap": 0.5, "fnr_group0": 0.121})]
    assert find_nearest(trials, own) == {
        "nearest": {"evaluation": 2, "fpr_gap": 0.3, "beyond": {"accuracy": 0.04, "fnr_group1": 0.03}}
    }
    assert find_nearest([*trials, made(4, before)._replace(accepted=True)], own) == {}
    assert find_nearest(trials[:1], own) == {}


def test_journals_of_older_versions_are_read_and_written_alike():
    found = read_entry(json.loads(OLDER))
    assert (found.proposal.point, found.proposal.onto, found.loss, found.seconds) == (
        {"age": 31.5},
        1,
        0.25,
        (0.5, 0.125),
    )
    assert json.loads(json.dumps(write_entry(found))) == json.loads(OLDER)
