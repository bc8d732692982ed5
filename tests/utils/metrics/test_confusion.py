import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, matthews_corrcoef

from utils.metrics import confusion
from utils.views import row_parts

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30)
TABLE = np.array([[[30, 10], [5, 15]], [[12, 3], [8, 20]], [[4, 6], [0, 7]]])


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_each_table_is_the_confusion_matrix_of_scikit_learn(rows):
    y, labels, s = np.array(rows).T
    tables = confusion.counts(y, labels, s, groups=3, classes=4)
    for group in range(3):
        if (s == group).any():
            expected = confusion_matrix(y[s == group], labels[s == group], labels=range(4))
            np.testing.assert_array_equal(tables[group], expected)
        else:
            assert not tables[group].any()


def test_a_class_out_of_range_is_refused_instead_of_counted_in_the_next_group():
    with pytest.raises(ValueError):
        confusion.counts(np.array([2]), np.array([0]), np.array([0]), groups=2, classes=2)


@pytest.mark.filterwarnings("ignore:A single label")
@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_the_multiclass_correlation_is_that_of_scikit_learn(rows):
    y, labels, _ = np.array(rows).T
    table = confusion.counts(y, labels, np.zeros_like(y), groups=1, classes=4)[0]
    assert confusion.matthews(table) == pytest.approx(matthews_corrcoef(y, labels), abs=1e-12)


def test_each_bootstrap_sample_has_as_many_rows():
    drawn = confusion.bootstrap(TABLE, 50, np.random.default_rng(0))
    assert (drawn.sum((1, 2, 3)) == TABLE.sum()).all()


def test_the_bootstrap_has_the_mean_and_spread_of_resampled_rows():
    """Oracle: rows drawn one by one with replacement."""
    rng, draws = np.random.default_rng(0), 4000
    cells = np.repeat(np.arange(TABLE.size), TABLE.reshape(-1))
    rows = cells[rng.integers(len(cells), size=(draws, len(cells)))]
    expected = (rows[..., None] == np.arange(TABLE.size)).sum(1)
    drawn = confusion.bootstrap(TABLE, draws, rng).reshape(draws, -1)
    np.testing.assert_allclose(drawn.mean(0), expected.mean(0), atol=0.5)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(expected.T), atol=2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=12, max_size=12), st.integers(0, 2**32))
def test_permuting_groups_keeps_group_sizes_and_the_overall_table(cells, seed):
    table = np.array(cells).reshape(3, 2, 2)
    drawn = confusion.permute(table, 20, np.random.default_rng(seed))
    assert (drawn >= 0).all()
    assert (drawn.sum((2, 3)) == table.sum((1, 2))).all()
    assert (drawn.sum(1) == table.sum(0)).all()


def test_permuting_groups_has_the_mean_and_spread_of_permuted_rows():
    """Oracle: the group column of the rows permuted one draw at a time."""
    rng, draws = np.random.default_rng(1), 4000
    group, y, label = np.repeat(np.argwhere(TABLE >= 0), TABLE.reshape(-1), axis=0).T
    expected = np.stack(
        [confusion.counts(y, label, rng.permutation(group), groups=3, classes=2) for _ in range(draws)]
    ).reshape(draws, -1)
    drawn = confusion.permute(TABLE, draws, rng).reshape(draws, -1)
    np.testing.assert_allclose(drawn.mean(0), expected.mean(0), atol=0.3)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(expected.T), atol=0.7)


def test_a_share_of_nothing_is_undefined():
    np.testing.assert_array_equal(confusion.share(np.array([0, 1]), np.array([0, 2])), [np.nan, 0.5])


def test_images_are_decided_in_parts_with_the_figures_of_all_at_once(linear_task, image_context, monkeypatch):
    model, batch = linear_task()
    monkeypatch.setitem(row_parts.NUMBERS, "cpu", 60)
    seen = []

    def watched(x):
        seen.append(len(x))
        return model(x)

    logits, labels = confusion.decide_rows(watched, batch, image_context(batch))
    assert seen == [10] * 9
    np.testing.assert_allclose(logits, model(batch.x / 255).numpy(), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(labels, model(batch.x / 255).argmax(1).numpy())
