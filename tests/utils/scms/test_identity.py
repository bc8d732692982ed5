"""Which causal model a configuration means: how binary columns are read."""

import pytest

from utils.scms.identity import choose_reading, settle


@pytest.mark.parametrize(
    ("binary", "sampling", "meant"),
    [
        (None, "residuals", "threshold"),
        (None, "published", "anm"),
        ("anm", "residuals", "anm"),
        ("anm", "published", "anm"),
        ("threshold", "residuals", "threshold"),
    ],
)
def test_binary_columns_are_cut_but_under_the_published_noise(binary, sampling, meant):
    assert choose_reading(binary, sampling) == meant
    assert settle({"binary": binary, "sampling": sampling}) == {"binary": meant, "sampling": sampling}


def test_an_option_without_that_setting_stays_as_it_is():
    assert settle({"sampling": "noise"}) == {"sampling": "noise"}


def test_the_published_noise_is_not_that_of_a_threshold():
    with pytest.raises(ValueError, match=r"scm.sampling=published .* use scm.binary=anm"):
        settle({"binary": "threshold", "sampling": "published"})


@pytest.mark.parametrize("word", ["logistic", True, 3])
def test_another_reading_is_refused(word):
    with pytest.raises(ValueError, match="choose anm or threshold, or null"):
        settle({"binary": word, "sampling": "residuals"})
