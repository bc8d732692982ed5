"""Against the logistic function by hand: sigmoid(log 3) = 3/4."""

import math

from utils.decides.thresholds_text import in_words


def test_a_threshold_is_said_as_the_probability_of_class_1():
    assert in_words([math.log(3), -math.log(3), 0]) == ["0.75", "0.25", "0.50"]


def test_infinite_thresholds_are_read_from_text():
    assert in_words(["-inf", "inf", -1e9]) == ["0.00", "1.00", "0.00"]


def test_thresholds_between_which_chance_decides_come_with_their_chances():
    mixed = in_words([["-inf", math.log(3), "inf"], [0.0]], [[0.25, 0.5, 0.25], [1.0]])
    assert mixed == ["always (25%) or 0.75 (50%) or never (25%)", "0.50"]
