"""Files of skops: equal trainings give equal bytes, and what is read back is the same."""

import io
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from utils.models.repeatable import repeatable

ESTIMATORS = {
    "logistic": LogisticRegression,
    "forest": lambda: RandomForestClassifier(5, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5, random_state=0),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0),
}


@pytest.fixture(params=ESTIMATORS)
def estimators(request):
    """Two trainings of one estimator, and rows for them."""
    x = np.random.default_rng(0).normal(size=(200, 3))
    y = (x[:, 0] + x[:, 1] ** 2 > 1).astype(int)
    make = ESTIMATORS[request.param]
    return make().fit(x, y), make().fit(x, y), x


def test_two_trainings_give_the_same_bytes(estimators):
    one, other = (skops.io.dumps(estimator) for estimator in estimators[:2])
    assert one != other  # by addresses in memory
    assert repeatable(one) == repeatable(other)


def test_it_reads_back_as_the_same_estimator(estimators):
    first, _, x = estimators
    data = repeatable(skops.io.dumps(first))
    again = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    assert np.array_equal(again.predict_proba(x), first.predict_proba(x))
    assert again.get_params() == first.get_params()


def test_nothing_of_it_is_lost_or_changed_a_second_time(estimators):
    plain = skops.io.dumps(estimators[0])
    data = repeatable(plain)
    assert repeatable(data) == data
    contents = []
    for packed in (plain, data):
        with zipfile.ZipFile(io.BytesIO(packed)) as files:
            contents.append(sorted(files.read(name) for name in files.namelist() if name != "schema.json"))
    assert contents[0] == contents[1]
