from importlib.resources import files

import numpy as np
import pytest

from npnet.datasets import digits


def test_shapes_dtypes_and_published_counts():
    x, y = digits()
    assert (x.shape, x.dtype) == ((1797, 8, 8), np.float32)
    assert (y.shape, y.dtype) == ((1797,), np.int64)
    assert (x.min(), x.max()) == (0, 1)
    # The class distribution of optdigits.tes as its description gives it.
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_first_digit_is_the_published_first_row():
    x, y = digits()
    rows = [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0], [0, 3, 15, 2, 0, 11, 8, 0]]
    assert np.array_equal(16 * x[0, :3], rows)
    assert y[0] == 0


def test_all_values_are_scikit_learn_s():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    x, y = digits()
    assert np.array_equal(16 * x, theirs.images)
    assert np.array_equal(y, theirs.target)


def test_every_call_returns_arrays_of_its_own():
    x, y = digits()
    x += 1
    y += 1
    again, labels = digits()
    assert again.max() == 1
    assert labels.max() == 9


def test_the_attribution_is_shipped():
    text = (files("npnet.datasets") / "files" / "DIGITS.txt").read_text()
    for words in "Alpaydin", "Kaynak", "1998", "UCI", "10.24432/C50P49", "CC BY 4.0", "Changes":
        assert words in text
