from utils.words.near import near, near_keys, near_or_all


def test_a_mistyped_word_is_corrected_the_closest_first():
    assert near("acuracy", ["curacy", "accuracy", "uai_0.05"]) == "; did you mean accuracy or curacy?"


def test_another_radius_is_meant():
    assert near("uai_0.5", ["uai_0.05", "fnr_gap"]) == "; did you mean uai_0.05?"


def test_a_sentence_ends_where_nothing_is_close():
    assert near("colour", ["fnr_gap", "uai_0.05"]) == "."
    assert near("colour", ["fnr_gap", "uai_0.05"], "") == ""


def test_words_of_any_kind_are_compared_as_text():
    assert near(2.0, [1, 20]) == "; did you mean 20?"


def test_all_words_are_listed_where_none_is_close():
    assert near_or_all("zzz", ["threat", "steps"]) == "; there are threat, steps"
    assert near_or_all("step", ["threat", "steps"]) == "; did you mean steps?"


def test_the_last_part_of_a_key_counts_as_much_as_the_whole():
    """``trainer.lr`` is the whole key most like ``trainer.l``, and no part of it is like ``radius``."""
    assert near_keys("trainr.lr", ["trainer.lr", "trainer.epochs", "epsilon.radius"]) == "; did you mean trainer.lr?"
    assert near_keys("radius", ["trainer.lr", "epsilon.radius"]) == "; did you mean epsilon.radius?"
    assert near_keys("trainer.zzz", ["trainer.lr", "trainer.epochs"]) == ""
