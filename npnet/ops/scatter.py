"""Sums and maxima of rows by index: what a gather's backward pass and bags of rows need."""

from __future__ import annotations

import numpy as np

from npnet.ops.kernels import kernel
from npnet.typing import Array


@kernel
def add_at(table: Array, index: Array, values: Array) -> None:
    """Add values[i] to table[index[i]] for each i, however often an index occurs.

    Parameters
    ----------
    table : ndarray, shape (rows, n)
        Changed in place.
    index : ndarray of intp, shape (m,)
        From 0 to below rows.
    values : ndarray, shape (m, n)
    """
    # Sums of neighbours after sorting: `np.add.at` takes several times as long.
    order, index = _sorted(index)
    starts = np.flatnonzero(_is_first(index))
    counts = np.diff(starts, append=len(index))
    sums = values.take(order[starts], axis=0)
    several = counts > 1
    if several.any():
        entries = order[np.repeat(several, counts)]
        counts = counts[several]
        sums[several] = np.add.reduceat(values.take(entries, axis=0), np.cumsum(counts) - counts)
    table[index[starts]] += sums


def maxima(rows: Array, bag: Array, out: Array) -> tuple[Array, Array]:
    """Write the maximum of each bag of rows; return row and column of the first of each.

    `bag` ascends; what a bag without rows has in `out` stays. NaN is the largest.

    Examples
    --------
    >>> out = np.zeros((3, 1))
    >>> maxima(np.array([[1.0], [5.0], [5.0], [2.0]]), np.array([0, 0, 0, 2]), out)
    (array([[1],
           [3]]), array([[0],
           [0]]))
    >>> out.ravel()
    array([5., 0., 2.])
    """
    if not len(bag):
        return bag, bag
    starts = np.flatnonzero(np.diff(bag, prepend=-1))
    out[bag[starts]] = np.maximum.reduceat(rows, starts)
    best = out[bag]
    is_best = (rows == best) | (np.isnan(rows) & np.isnan(best))
    number = np.where(is_best, np.arange(len(bag))[:, np.newaxis], len(bag))
    first = np.minimum.reduceat(number, starts)
    return first, np.broadcast_to(np.arange(rows.shape[1]), first.shape)


def unique(index: Array) -> Array:
    """Return the indices that occur, sorted.

    Examples
    --------
    >>> unique(np.array([3, 1, 3]))
    array([1, 3])
    """
    index = np.sort(index, axis=None)
    return index[_is_first(index)]


def _sorted(index: Array) -> tuple[Array, Array]:
    """Return the order that sorts indices, equal ones as they came, and the sorted indices."""
    # Sorting numbers that hold both index and place is much faster than `argsort`.
    bits = len(index).bit_length()
    if len(index) == 0 or int(index.max()) >= 1 << (62 - bits):
        order = np.argsort(index, kind="stable")
        return order, index[order]
    keys = (index << bits) | np.arange(len(index))
    keys.sort()
    return keys & ((1 << bits) - 1), keys >> bits


def _is_first(index: Array) -> Array:
    """Tell of sorted indices which differ from the one before."""
    first = np.ones(len(index), bool)
    np.not_equal(index[1:], index[:-1], out=first[1:])
    return first
