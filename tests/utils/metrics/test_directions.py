import importlib
from math import inf
from pathlib import Path

import pytest

from utils.metrics import directions
from utils.metrics.directions import (
    Key,
    bounds,
    describe,
    direction,
    headlines,
    is_causal,
    keys_of,
    meaning,
    name_numbers,
)

ROOM = Path(directions.__file__).parent

BETTER_HIGH = [
    "accuracy",
    "balanced_accuracy",
    "mcc",
    "auc",
    "worst_class_accuracy",
    "robust_accuracy",
    "robust_accuracy_0.05",
    "robust_accuracy_8/255",
    "robust_accuracy_worst_class",
    "robust_accuracy_worst_class_0.05",
    "robust_accuracy_worst_group_0.05",
    "robust_accuracy_pgd_0.05",
    "fair_certified_0.05",
    "accuracy_group0",
]
BETTER_LOW = [
    "uai_0.05",
    "uai_1e-3",
    "uai_cf",
    "uai_ar_0.05",
    "uai_random_0.05",
    "uai_gradient_0.05",
    "uai_ar_random_0.05",
    "counterfactual_flip_rate",
    "unfair_certified_0.05",
    "fnr_gap",
    "fpr_gap",
    "accuracy_gap",
    "demographic_parity_difference",
    "equalized_odds_difference",
    "robust_accuracy_gap",
    "fnr_group1",
    "fpr_group12",
]
NEITHER = ["prevalence", "acceptance_rate", "acceptance_rate_group0", "support_group1", "colour", "", "uai_x", "acc"]


@pytest.mark.parametrize("key", BETTER_HIGH)
def test_higher_is_better(key):
    assert direction(key) == 1


@pytest.mark.parametrize("key", BETTER_LOW)
def test_lower_is_better(key):
    assert direction(key) == -1


@pytest.mark.parametrize("key", NEITHER)
def test_neither_way_is_better(key):
    assert direction(key) == 0


@pytest.mark.parametrize("end", ["_low", "_high", "_null"])
def test_ends_of_an_interval_and_chance_point_the_way_of_their_metric(end):
    assert (direction("auc" + end), direction("uai_0.05" + end), direction("fnr_gap" + end)) == (1, -1, -1)


@pytest.mark.parametrize("key", BETTER_HIGH + BETTER_LOW + NEITHER[:4])
def test_no_known_key_is_described_by_itself(key):
    assert "_" not in describe(key)


def test_different_keys_have_different_words():
    keys = [key + end for key in BETTER_HIGH + BETTER_LOW for end in ("", "_low", "_high", "_null")]
    assert len({describe(key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("accuracy", "accuracy"),
        ("uai_0.05", "unfair area at radius 0.05 (share of individuals)"),
        ("fnr_gap", "difference in false negative rate between groups"),
        ("robust_accuracy_8/255", "robust accuracy at radius 8/255"),
        ("fnr_group1", "false negative rate of group 1"),
        ("fnr_gap_null", "difference in false negative rate between groups, expected by chance alone"),
        ("uai_0.05_low", "unfair area at radius 0.05 (share of individuals), lower end of the interval"),
    ],
)
def test_a_key_is_described_in_words(key, words):
    assert describe(key) == words


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("fnr_signed_gap", "difference in false negative rate, men minus women"),
        ("fnr_group1", "false negative rate of men"),
        ("fnr_gap", "difference in false negative rate between women and men"),
        ("equalized_odds_difference", "largest difference in error rates between women and men"),
        ("robust_accuracy_group0_linf_0.01", "robust accuracy of women under Linf attacks at radius 0.01"),
        ("robust_accuracy_worst_group_l2_1.0", "robust accuracy of the worst group under L2 attacks at radius 1.0"),
        ("robust_accuracy_l1_20_low", "robust accuracy under L1 attacks at radius 20, lower end of the interval"),
        ("robust_accuracy_pgd_linf_8/255", "robust accuracy against pgd linf at radius 8/255"),
        ("bayes_accuracy", "best attainable accuracy"),
        ("accuracy_group7", "accuracy of group 7"),
    ],
)
def test_groups_are_called_by_their_names(key, words):
    assert describe(key, ("women", "men")) == words


def test_numbers_of_groups_and_classes_are_named_once_where_there_is_a_name():
    keys = ["fpr_group1", "robust_accuracy_group0_0.05", "fnr_group1", "fpr_group7", "robust_accuracy_class_1_0.1"]
    found = name_numbers([*keys, "robust_accuracy_worst_class_1", "accuracy"], ["sex=F", "sex=M"], ["no", "yes"])
    assert found == ["group0 is sex=F", "group1 is sex=M", "class 1 is yes"]
    assert name_numbers(keys, [], []) == []
    assert name_numbers(["fpr_class_0", "fnr_class_1"], [], ["0", "yes, sure"]) == ['class 1 is "yes, sure"']


def test_names_of_groups_may_be_any_text():
    assert describe("tpr_group1", ("gender=0", "gender=1")) == "true positive rate of gender=1"


def test_of_more_than_two_groups_the_difference_is_the_largest():
    assert describe("ppv_gap", "abc") == "largest difference in positive predictive value between groups"


def test_without_names_a_signed_gap_is_of_numbers():
    assert describe("fnr_signed_gap") == "difference in false negative rate, group 1 minus group 0"


@pytest.mark.parametrize("key", ["fnr_signed_gap", "prevalence_gap", "bayes_accuracy", "bayes_fnr_gap"])
def test_a_sign_and_a_property_of_the_data_have_no_better_end(key):
    assert direction(key) == 0


def test_rates_of_the_right_decisions_are_better_high():
    assert [direction(key) for key in ("tpr_group0", "ppv_group1", "tpr_gap", "ppv_gap")] == [1, 1, -1, -1]


def test_an_unknown_key_is_its_own_description():
    assert describe("some_key_low") == "some_key_low"


def test_a_class_is_no_radius():
    assert describe("accuracy_class_3") == "accuracy of class 3"
    assert describe("robust_accuracy_class_3_8/255") == "robust accuracy of class 3 at radius 8/255"
    assert describe("robust_accuracy_after_apgd_ce_0.06") == (
        "robust accuracy after apgd ce and those before at radius 0.06"
    )
    assert direction("check_black_box") == -1


@pytest.mark.parametrize("ending", ["_unpoisoned", "_valid", "_valid_unpoisoned", "_under_poisoning"])
def test_figures_of_a_poisoned_run_point_the_way_of_their_metric(ending):
    found = [direction(key + ending) for key in ("accuracy", "fpr_gap", "fpr_group1", "acceptance_rate", "colour")]
    assert found == [1, -1, -1, 0, 0]


def test_less_harm_is_better():
    assert (direction("fpr_gap_poisoning_harm"), direction("colour_poisoning_harm")) == (-1, 0)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("accuracy_unpoisoned", "accuracy with training rows as they are"),
        ("accuracy_valid_unpoisoned", "accuracy on validation rows, with training rows as they are"),
        ("fpr_group1_valid", "false positive rate of men on validation rows"),
        ("fpr_gap_under_poisoning", "difference in false positive rate between women and men under poisoning"),
        ("fpr_gap_poisoning_harm", "difference in false positive rate between women and men added by poisoning"),
        ("colour_valid", "colour_valid"),
    ],
)
def test_figures_of_a_poisoned_run_in_words(key, words):
    assert describe(key, ["women", "men"]) == words


def test_what_is_lost_of_a_good_metric_is_a_harm():
    assert direction("accuracy_poisoning_harm") == -1
    assert describe("accuracy_poisoning_harm") == "accuracy lost by poisoning"


def test_what_is_read_from_a_file_is_what_python_runs():
    files = [path for path in sorted(ROOM.glob("*.py")) if keys_of(path)]
    assert [keys_of(path) for path in files] == [
        importlib.import_module(f"utils.metrics.{path.stem}").KEYS for path in files
    ]
    assert {"classification", "group", "robust", "unfair_area"} <= {path.stem for path in files}


@pytest.mark.parametrize(
    ("key", "causal"),
    [("uai_0.05_low", True), ("uai_cf", True), ("counterfactual_flip_rate", True), ("fnr_gap", False), ("x", False)],
)
def test_a_figure_of_the_causal_model_says_so(key, causal):
    assert is_causal(key) is causal


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("accuracy", 0, 1),
        ("uai_0.05_low", 0, 1),
        ("fnr_gap_by_sex", 0, 1),
        ("fnr_signed_gap", -1, 1),
        ("fpr_gap_poisoning_harm", -1, 1),
        ("mcc", -1, 1),
        ("pgd@8/255/mcc", -1, 1),
        ("pgd@0.1/robust_accuracy_8/255", 0, 1),
        ("support_group1", 0, inf),
        ("colour", -inf, inf),
        ("pgd@8/255/colour", -inf, inf),
    ],
)
def test_the_range_of_a_metric_is_known(key, least, most):
    assert bounds(key) == (least, most)


def test_the_meaning_of_a_key_is_that_of_its_name():
    assert meaning("uai_ar_0.05_high") == directions.read_keys()["uai_ar"]
    assert meaning("colour_0.05") is None


def test_headlines_stand_in_their_order_and_details_are_none():
    keys = ["uai_0.05", "uai_0.05_low", "fnr_gap", "fnr_group1", "robust_accuracy_class_0_0.05", "accuracy", "colour"]
    keys += ["accuracy_class_3", "accuracy_valid_unpoisoned", "robust_accuracy_linf_8/255", "fnr_gap_null"]
    assert headlines(keys) == ["accuracy", "fnr_gap", "robust_accuracy_linf_8/255", "uai_0.05"]


def test_headlines_of_one_place_keep_the_order_of_the_record():
    assert headlines(["mcc", "accuracy", "auc"]) == ["mcc", "accuracy", "auc"]


@pytest.mark.parametrize(
    "text",
    [
        "KEYS = [1]",
        "KEYS = {'a': 1}",
        "KEYS = {'a': Key(-1, WORDS)}",
        "KEYS = {'a': Key(2, 'words')}",
        "KEYS = {'a': Key(1, ' ')}",
        "KEYS = {'a': Key(1, 'words', colour=3)}",
        "KEYS = {name: Key(1, 'words') for name in ('a', 'b')}",
    ],
)
def test_a_statement_that_cannot_be_read_names_its_file_and_shows_one(tmp_path, text):
    (tmp_path / "brier.py").write_text(text)
    with pytest.raises(ValueError, match=r"brier\.py: KEYS is read without running .* such as"):
        keys_of(tmp_path / "brier.py")


def test_a_statement_with_a_type_is_read_too(tmp_path):
    (tmp_path / "brier.py").write_text("KEYS: dict[str, Key] = {'brier_score': Key(-1, 'Brier score', headline=1)}")
    assert keys_of(tmp_path / "brier.py") == {"brier_score": Key(-1, "Brier score", headline=1)}


def test_a_file_that_states_nothing_is_no_error(tmp_path):
    (tmp_path / "brier.py").write_text("LEVELS = {}")
    assert keys_of(tmp_path / "brier.py") == {}
