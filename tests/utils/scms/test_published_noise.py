"""Moments of the published noise: Ehyaei et al. 2024, released code, standardised columns."""

import numpy as np
import pytest

from utils.scms.published_noise import published_noise

ADULT = ("sex", "age", "native_country", "married", "education_num", "hours_per_week")
COMPAS = ("age", "sex", "race", "priors_count")


def moments(dataset, names):
    drawn = published_noise(dataset, names)(100_000, np.random.default_rng(0)).double()
    return drawn.mean(0).numpy(), drawn.std(0).numpy(), drawn


def test_adult_has_its_published_means_and_deviations():
    mean, deviation, drawn = moments("adult", ADULT)
    assert mean == pytest.approx([0.669, 0, 0.896, 0, 0, 0], abs=0.01)
    assert deviation[[1, 3, 4, 5]] == pytest.approx(1, abs=0.01)
    assert set(drawn[:, 0].tolist()) == set(drawn[:, 2].tolist()) == {0.0, 1.0}


def test_compas_has_its_published_means_and_deviations():
    mean, deviation, _ = moments("compas", COMPAS)
    assert mean == pytest.approx([0, 0.810, 0, 0], abs=0.01)
    assert deviation[[0, 2, 3]] == pytest.approx([1, 0.465, 1], abs=0.01)


def test_the_columns_come_in_the_order_of_the_names():
    mean, _, _ = moments("compas", COMPAS[::-1])
    assert mean == pytest.approx([0, 0, 0.810, 0], abs=0.01)


def test_another_data_set_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"'lin', only for \['adult', 'compas'\].*scm.sampling=residuals"):
        published_noise("lin", ("x1",))
