"""The base of a run: the same data, split, seed and learner on rows as they are, whatever else the database holds."""

import pytest

from evals.records.base_run import find_base, list_methods
from evals.records.points import with_points
from tests.evals.records.test_query import record

FIXED = {"_target_": "utils.decides.fixed.fixed", "threshold": 0.5}
EXACT = {"_target_": "utils.decides.group_exact.group_exact", "rate": "fnr"}
MASSAGE = {"_target_": "utils.prepares.massage.massage", "share": 1.0}
ERM = {"erm": {"_target_": "utils.regularizers.erm.erm", "weight": 1.0}}


def run(doc_id, *, seed=0, hidden=8, split=0.2, fingerprint="f" * 64, **changes):
    """A run that is plain but for the changes of its configuration."""
    params = {
        "dataset": {"_target_": "utils.datasets.loan.loan", "name": "loan", "split": split, "path": f"/{doc_id}"},
        "model": {"_target_": "utils.models.mlp.mlp", "hidden": hidden},
        "trainer": {"epochs": 10},
        "decide": FIXED,
        "regularizer": ERM,
        "prepare": {},
        "seed": seed,
    }
    choices = {"prepare": "massage", "decide": "group_exact", "regularizer": "x"}
    found = record(doc_id, params=params | {"choices": choices} | changes)
    return found | {"seed": seed, "fingerprint": fingerprint, "weights": {"path": "a.safetensors", "sha256": "0"}}


METHODS = [
    {"prepare": MASSAGE},
    {"regularizer": ERM | {"llr": {"weight": 1.0}}},
    {"regularizer": {"llr": {"weight": 1.0}}},
    {"decide": EXACT},
    {"added": "rows.csv"},
    {"changed": "list.csv"},
    {"attack": {"evasion": {}, "poison": {"_target_": "utils.attacks.bo_poison.bo_poison", "budget": 3}}},
    {"prepare": MASSAGE, "decide": EXACT},
]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_the_plain_run_as_its_base_and_is_nobody_s(method):
    plain, own = run(1), run(2, **method)
    assert find_base(own, [plain, own]) is plain
    assert find_base(plain, [plain, own]) is None
    assert find_base(run(3, prepare=MASSAGE), [own]) is None


@pytest.mark.parametrize(
    "other",
    [
        run(1, seed=1),
        run(1, hidden=9),
        run(1, split=0.3),
        run(1, fingerprint="e" * 64),
        run(1, trainer={"epochs": 11}),
        run(1, decide=EXACT),
        run(1, decide={"_target_": "utils.decides.mcc.mcc"}),
        run(1) | {"status": "failed"},
        run(1) | {"poison": {"rows": 3}},
        run(1) | {"added": {"rows": 3}},
    ],
)
def test_what_differs_otherwise_is_no_base(other):
    own = run(2, prepare=MASSAGE)
    assert find_base(own, [other, own]) is None


def test_thresholds_of_groups_are_compared_with_one_threshold_and_with_their_own_where_rows_differ():
    mcc, exact = run(1, decide={"_target_": "utils.decides.mcc.mcc"}), run(2, decide=EXACT)
    assert find_base(exact, [mcc, exact]) is mcc
    both = run(3, prepare=MASSAGE, decide=EXACT)
    assert find_base(both, [mcc, exact, both]) is exact  # differs in fewer settings


def test_of_several_the_one_that_differs_least_and_then_the_newest_is_the_base():
    far, near, newest = run(1, scm={"name": "linear"}), run(2), run(3)
    own = run(4, prepare=MASSAGE)
    assert find_base(own, [far, near, own]) is near
    assert find_base(own, [far, near, newest, own]) is newest
    assert find_base(own, [far, own]) is far


def test_records_that_do_not_tell_their_learner_or_data_are_nobody_s_base():
    """As imported ones, whose settings are those of another program."""
    for lost in ({"model": {}}, {"dataset": {}}):
        plain, own = run(1, fingerprint=None, **lost), run(2, fingerprint=None, prepare=MASSAGE, **lost)
        assert find_base(own, [plain, own]) is None


def test_a_learner_has_no_trainer_to_differ_in():
    filed = {"weights": {"path": "a.skops", "sha256": "0"}}
    plain, own = run(1, trainer={"epochs": 99}) | filed, run(2, prepare=MASSAGE) | filed
    assert find_base(own, [plain, own]) is plain


def test_the_base_of_an_operating_point_may_be_its_run_itself():
    points = {"rates": ["fnr"], "permitted": [0.0], "logits": [[0.0, 1.0]], "metrics": {"accuracy": [0.5]}}
    plain = run(1) | {"operating_points": points}
    _, point = with_points([plain])
    assert find_base(point, with_points([plain]))["doc_id"] == 1
    assert list_methods(point, plain) == ["the thresholds of its operating point 0"]


def test_methods_are_named_as_they_are_typed():
    plain = run(1)
    assert list_methods(run(2, prepare=MASSAGE), plain) == ["prepare=massage"]
    assert list_methods(run(2, decide=EXACT, added="rows.csv"), plain) == ["added=rows.csv", "decide=group_exact"]
