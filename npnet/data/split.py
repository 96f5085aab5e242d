"""`train_test_split` sets a part of the data aside, at random and by class if asked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from npnet.arguments import checked_call, flag, refusal, shown
from npnet.convert import real_array
from npnet.data.arrays import sample_arrays, take_rows, written
from npnet.errors import ArgumentError, DataError, ShapeError
from npnet.random import as_generator

if TYPE_CHECKING:
    from npnet.typing import Array, ArrayLike, Rng

_NAME = "train_test_split"
_HABITS = {
    "random_state": "it is rng: rng=0",
    "train_size": "test_size=0.25 leaves the rest for training",
    "seed": "it is rng: rng=0",
}


@checked_call(_NAME, _HABITS)
def train_test_split(
    *arrays: ArrayLike,
    test_size: float = 0.25,
    shuffle: bool = True,
    stratify: ArrayLike | None = None,
    rng: Rng = None,
) -> tuple[Array, ...]:
    """Split arrays along the first axis into a training and a test part, in scikit-learn's order.

    Parameters
    ----------
    *arrays : array_like or sparse matrix, shapes (n, ...)
        Split all at the same places; a matrix of SciPy's format CSR into such matrices.
    test_size : float or int
        A fraction in (0, 1), of which ``ceil(test_size * n)`` samples follow, or their number.
    shuffle : bool
        Draw the samples at random. If False, the last ones are the test part, and both parts are
        views of the data.
    stratify : array_like, shape (n,), or None
        Class of every sample; each class then gives its share to the test part, to within one
        sample.
    rng : numpy.random.Generator, int or None
        Where the order comes from; None is npnet's default generator.

    Returns
    -------
    tuple of ndarray
        Train and test part of the first array, train and test part of the second, and so on.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind, `test_size` leaves a part empty, or `stratify` comes
        with ``shuffle=False``.
    DataError
        If there is no data, the lengths differ, or a class is NaN or has a single member.
    DtypeError
        If an array holds objects, strings or complex numbers.
    ShapeError
        If an array is a scalar, or `stratify` is not a vector.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.arange(20).reshape(10, 2), np.array([0] * 5 + [1] * 5)
    >>> x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, stratify=y, rng=0)
    >>> x_train.shape, x_test.shape
    ((6, 2), (4, 2))
    >>> np.bincount(y_train), np.bincount(y_test)
    (array([3, 3]), array([2, 2]))
    """
    named = {f"arrays[{i}]": array for i, array in enumerate(arrays)}
    checked = tuple(sample_arrays(named, f"passed one by one, {_NAME}(x, y)").values())
    n_samples = checked[0].shape[0]
    n_test = _test_count(test_size, n_samples)
    generator = as_generator(rng)
    if not flag(_NAME, "shuffle", shuffle):
        if stratify is not None:
            raise ArgumentError("stratify draws samples at random: it needs shuffle=True")
        cut = n_samples - n_test
        return tuple(part for array in checked for part in (array[:cut], array[cut:]))
    order = generator.permutation(n_samples)
    if stratify is not None:
        order = _stratified(order, _classes(stratify, n_samples), n_test, generator)
    test, train = order[:n_test], order[n_test:]
    return tuple(take_rows(array, part) for array in checked for part in (train, test))


def _test_count(test_size: float, n_samples: int) -> int:
    """Return how many of `n_samples` the argument `test_size` asks for."""
    if isinstance(test_size, float | np.floating) and 0.0 < test_size < 1.0:
        n_test = math.ceil(written(test_size) * n_samples)
    elif isinstance(test_size, int | np.integer) and not isinstance(test_size, bool):
        n_test = int(test_size)
    else:
        kind = "a fraction between 0 and 1 or a whole number of samples"
        raise refusal(_NAME, "test_size", kind, test_size)
    if not 0 < n_test < n_samples:
        parts = f"{n_samples - n_test} for training and {n_test} for the test"
        raise ArgumentError(
            f"test_size={shown(test_size)} must leave samples in both parts of {n_samples}"
            + (f": it would be {parts}" if 0 <= n_test <= n_samples else "")
        )
    return n_test


def _classes(stratify: ArrayLike, n_samples: int) -> Array:
    """Return the class of every sample as a number from 0 on."""
    if isinstance(stratify, bool):
        raise refusal(_NAME, "stratify", "the class of every sample", stratify, "stratify=y")
    labels = real_array(stratify, "stratify")
    if labels.ndim != 1:
        raise ShapeError(
            f"expected stratify of shape ({n_samples},), got {labels.shape}; "
            "one-hot rows become classes with .argmax(axis=1)"
        )
    if len(labels) != n_samples:
        raise DataError(f"stratify must have one class per sample ({n_samples}), got {len(labels)}")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        raise DataError(f"stratify holds no class for sample {int(np.isnan(labels).argmax())}: NaN")
    names, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        lonely = names[counts.argmin()]
        raise DataError(f"stratify needs two members of every class; class {lonely} has only one")
    return classes


def _stratified(order: Array, classes: Array, n_test: int, generator: np.random.Generator) -> Array:
    """Rearrange the random `order` so that its first `n_test` entries hold every class's share."""
    counts = np.bincount(classes)
    # Largest remainder: each class gives the whole part of its share, the rest goes by remainder,
    # and among equals by lot, lest the classes with low numbers always win.
    share, remainder = np.divmod(counts * n_test, len(order))
    lot = generator.permutation(len(counts))
    share[np.lexsort((lot, -remainder))[: n_test - share.sum()]] += 1
    # Number the members of each class as they come in the random order; the first are the test.
    by_class = np.argsort(classes[order], kind="stable")
    first = np.cumsum(counts) - counts
    rank = np.empty_like(order)
    rank[by_class] = np.arange(len(order)) - np.repeat(first, counts)
    is_test = rank < share[classes[order]]
    return np.concatenate((order[is_test], order[~is_test]))
