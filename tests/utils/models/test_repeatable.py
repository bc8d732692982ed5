"""Files of skops: equal trainings give equal bytes, and what is read back is the same."""

import io
import tracemalloc
import zipfile
from functools import partial

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from utils.models.random_forest import RandomForest
from utils.models.repeatable import repeatable, require_bounded

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


# --- hostile files ---------------------------------------------------------------------------------------------


def archive(**parts):
    """A ZIP of a description and some arrays, packed as small as can be."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name, data in {"schema.json": b"{}", **parts}.items():
            packed.writestr(name, data)
    return file.getvalue()


def array(values, *, claimed=None):
    """The bytes of an array, whose header may claim another shape."""
    file = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(values)
    np.lib.format.write_array_header_1_0(file, header | {"shape": claimed or values.shape})
    return file.getvalue() + values.tobytes()


def test_what_is_written_is_bounded(estimators):
    assert require_bounded(repeatable(skops.io.dumps(estimators[0]))) is None
    assert require_bounded(archive(**{"1.npy": array(np.arange(100.0))})) is None


def test_a_large_forest_of_few_rows_is_bounded():
    x = np.random.default_rng(0).integers(0, 2, size=(30, 2)).astype(float)
    for make in (RandomForestClassifier, partial(RandomForestClassifier, max_depth=1)):
        written = skops.io.dumps(make(100, random_state=0).fit(x, x[:, 0] > 0))
        assert require_bounded(repeatable(written)) is None


@pytest.mark.parametrize("what", ["schema.json", "1.npy"])
def test_what_unpacks_to_a_thousand_times_its_size_is_refused_unread(what):
    bomb = bytes(2**26) if what == "schema.json" else array(np.zeros(2**23))
    data = archive(**{what: bomb})
    assert len(data) < 2**17
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"bytes unpack to \d+, and a trained estimator"):
        require_bounded(data)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_an_array_that_claims_more_than_there_is_is_refused():
    """Room for 80 GB would be made before anything is read."""
    lying = archive(**{"1.npy": array(np.zeros(3), claimed=(10**10,))})
    with pytest.raises(ValueError, match=r"1.npy claims 80000000000 bytes of float64"):
        require_bounded(lying)


@pytest.mark.parametrize(
    "data", [b"", b"no archive", archive(**{"1.npy": b"no array"}), archive(**{"1.npz": archive()})]
)
def test_what_is_no_array_is_refused(data):
    with pytest.raises(ValueError):
        require_bounded(data)


def test_an_array_of_objects_is_refused():
    objects = np.array([None, 3], dtype=object)
    with pytest.raises(ValueError, match="object"):
        require_bounded(archive(**{"1.npy": array(objects)}))


def test_a_learner_refuses_a_bomb_by_name():
    learner = RandomForest(2, 1, trees=2, max_depth=None, min_samples_leaf=1, max_features=None)
    with pytest.raises(ValueError, match="no RandomForestClassifier in them that .*unpack to"):
        learner.from_bytes(archive(**{"1.npy": array(np.zeros(2**23))}))
