import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import npnet.random
from npnet.data import train_test_split
from npnet.errors import ArgumentError, DataError, DtypeError, ShapeError


@given(n=st.integers(2, 60), test_size=st.floats(0.01, 0.99), shuffle=st.booleans())
def test_every_sample_lands_in_one_part_and_rows_stay_together(n, test_size, shuffle):
    assume(np.ceil(test_size * n) < n)
    x, y = np.arange(2 * n).reshape(n, 2), 2 * np.arange(n)
    parts = train_test_split(x, y, test_size=test_size, shuffle=shuffle, rng=0)
    x_train, x_test, y_train, y_test = parts
    assert np.array_equal(x_train[:, 0], y_train)
    assert np.array_equal(x_test[:, 0], y_test)
    assert np.array_equal(np.sort(np.concatenate((y_train, y_test))), y)


@pytest.mark.parametrize("n", [2, 7, 10, 30, 100, 1797])
@pytest.mark.parametrize("test_size", [0.05, 0.07, 0.1, 0.25, 1 / 3, 0.49, 1])
def test_sizes_and_order_agree_with_scikit_learn(n, test_size):
    selection = pytest.importorskip("sklearn.model_selection")
    x, y = np.arange(2 * n).reshape(n, 2), np.arange(n)
    ours = train_test_split(x, y, test_size=test_size, shuffle=False)
    theirs = selection.train_test_split(x, y, test_size=test_size, shuffle=False)
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a, b)
    shuffled = train_test_split(x, y, test_size=test_size)
    assert [part.shape for part in shuffled] == [part.shape for part in theirs]


def test_the_default_is_a_quarter_at_random():
    x_train, x_test = train_test_split(np.arange(100), rng=0)
    assert (len(x_train), len(x_test)) == (75, 25)
    assert not np.array_equal(np.sort(x_test), np.arange(75, 100))
    assert not np.array_equal(x_train, np.sort(x_train))


def test_seeds_repeat_and_the_default_generator_serves():
    x = np.arange(40)
    assert np.array_equal(train_test_split(x, rng=4)[0], train_test_split(x, rng=4)[0])
    npnet.random.manual_seed(1)
    first = train_test_split(x)[1]
    second = train_test_split(x)[1]
    npnet.random.manual_seed(1)
    assert np.array_equal(train_test_split(x)[1], first)
    assert not np.array_equal(first, second)


def test_unshuffled_parts_are_views_and_shuffled_ones_are_copies():
    x = np.arange(12.0).reshape(6, 2)
    assert all(np.shares_memory(x, part) for part in train_test_split(x, shuffle=False))
    assert not any(np.shares_memory(x, part) for part in train_test_split(x))


@given(
    counts=st.lists(st.integers(2, 20), min_size=1, max_size=6),
    test_size=st.floats(0.05, 0.95),
    seed=st.integers(0, 9),
)
def test_stratified_parts_hold_each_class_s_share_to_within_one(counts, test_size, seed):
    n = sum(counts)
    n_test = int(np.ceil(test_size * n))
    assume(n_test < n)
    labels = np.repeat(10 * np.arange(len(counts)) - 5, counts)
    y = np.random.default_rng(seed).permutation(labels)
    x_train, x_test, y_train, y_test = train_test_split(
        np.arange(n), y, test_size=test_size, stratify=y, rng=seed
    )
    assert len(y_test) == n_test
    assert sorted([*x_train, *x_test]) == list(range(n))
    assert np.array_equal(y[x_test], y_test)
    assert np.array_equal(y[x_train], y_train)
    for label, count in zip(np.unique(labels), counts, strict=True):
        assert abs((y_test == label).sum() - count * n_test / n) < 1


def test_stratified_parts_are_random_and_mixed():
    y = np.repeat([0, 1], 50)
    train_0, test_0 = train_test_split(np.arange(100), stratify=y, rng=0)
    train_1, test_1 = train_test_split(np.arange(100), stratify=y, rng=1)
    assert set(test_0) != set(test_1)
    for part in train_0, test_0, train_1, test_1:
        assert not np.array_equal(y[part], np.sort(y[part]))


def test_every_sample_is_equally_likely_in_a_stratified_test_part():
    # Ten classes of two, four test samples: the classes compete for them with equal shares.
    y = np.repeat(np.arange(10), 2)
    rng = np.random.default_rng(0)
    hits = np.zeros(20)
    for _ in range(1000):
        hits[train_test_split(np.arange(20), test_size=4, stratify=y, rng=rng)[1]] += 1
    # Binomial(1000, 0.2): five standard deviations are 63.
    assert np.all(np.abs(hits - 200) < 63)


def test_stratify_accepts_whole_and_boolean_labels():
    for y in np.array([True, False] * 10), np.array([1.0, 2.0] * 10):
        _, test = train_test_split(y, test_size=0.5, stratify=y)
        assert (test == y[0]).sum() == 5


@pytest.mark.parametrize("test_size", [0.0, 1.0, -0.5, 1.5, np.nan, "0.2", True, None, 0, 10, -1])
def test_a_bad_test_size_is_refused(test_size):
    with pytest.raises(ArgumentError, match="test_size"):
        train_test_split(np.arange(10), test_size=test_size)


def test_an_empty_training_part_is_refused():
    with pytest.raises(ArgumentError, match="0 for training and 2 for the test"):
        train_test_split(np.arange(2), test_size=0.9)
    with pytest.raises(ArgumentError, match="both parts"):
        train_test_split(np.arange(1))


@pytest.mark.parametrize(
    ("arrays", "error", "words"),
    [
        ((), DataError, "at least one array"),
        ((np.zeros((0, 2)),), DataError, "empty"),
        ((np.zeros(4), np.zeros(3)), DataError, "same number"),
        ((np.zeros(4), 1.0), ShapeError, "scalar"),
        ((np.array(["a", "b"]),), DtypeError, "number the strings"),
        ((np.zeros(4, complex),), DtypeError, "complex"),
        (((np.zeros((4, 2)), np.zeros(4)),), DataError, r"train_test_split\(x, y\)"),
    ],
)
def test_bad_data_is_refused(arrays, error, words):
    with pytest.raises(error, match=words):
        train_test_split(*arrays)


@pytest.mark.parametrize(
    ("stratify", "error", "words"),
    [
        ([0, 0, 1], DataError, r"one class per sample \(4\), got 3"),
        ([0, 0, 0, 7], DataError, "class 7 has only one"),
        (np.eye(4), ShapeError, "argmax"),
        (["a", "a", "b", "b"], DtypeError, "number the strings"),
    ],
)
def test_bad_classes_are_refused(stratify, error, words):
    with pytest.raises(error, match=words):
        train_test_split(np.arange(4), stratify=stratify)


def test_stratify_needs_shuffling():
    with pytest.raises(ArgumentError, match="shuffle=True"):
        train_test_split(np.arange(4), shuffle=False, stratify=[0, 0, 1, 1])
