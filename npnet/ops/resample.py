"""Resampling along axes, by neighbours or interpolation: value and derivative.

Along one axis it is linear: each element of the output is a sum of a few elements of the input,
its taps, each times a weight. Several axes are resampled one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npnet.ops.kernels import kernel
from npnet.typing import Array


class Taps(NamedTuple):
    """Of which elements each element of an axis is made: y_i = sum_t weight[i, t] x[source[i, t]].

    Each column of `source` ascends.
    """

    size: int  # of the input
    source: Array  # of intp, (output size, taps)
    weight: Array  # of float64, (output size, taps)


def nearest(size: int, out: int, scale: float | None, exact: bool, image: bool = False) -> Taps:
    """Return the taps for the element at floor(i / scale), or if exact floor((i + 1/2) / scale).

    Positions are float32, as in PyTorch; for images it takes a factor whose output has the input's
    size, or twice that, for 1 or 2.
    """
    if image and not exact and out in (size, 2 * size):
        scale = out // size if size else None
    step = np.float32(1 / scale if scale else size / max(out, 1))
    position = (np.arange(out, dtype=np.float32) + np.float32(0.5 * exact)) * step
    index = np.minimum(position.astype(np.intp), size - 1)
    return Taps(size, index[:, np.newaxis], np.ones((out, 1)))


def linear(size: int, out: int, scale: float | None, align_corners: bool) -> Taps:
    """Return the taps for the weighted mean of the two elements beside the position.

    As in PyTorch nothing moves where a factor leaves the size as it is.
    """
    scale = None if out == size else scale
    position = np.maximum(_positions(size, out, scale, align_corners), 0)
    low = np.minimum(position.astype(np.intp), size - 1)
    right = np.clip(position - low, 0, 1)
    index = np.stack([low, np.minimum(low + 1, size - 1)], 1)
    return Taps(size, index, np.stack([1 - right, right], 1))


def cubic(size: int, out: int, scale: float | None, align_corners: bool) -> Taps:
    """Return the taps of the cubic convolution with a = -3/4 over the four elements around.

    References
    ----------
    Keys, "Cubic convolution interpolation for digital image processing", 1981.
    """
    position = _positions(size, out, scale, align_corners)
    low = np.minimum(np.floor(position).astype(np.intp), size - 1)
    t = np.clip(position - low, 0, 1)
    a = -0.75

    def near(d: Array) -> Array:  # for distances up to 1
        return np.asarray(((a + 2) * d - (a + 3)) * d * d + 1)

    def far(d: Array) -> Array:  # for distances from 1 to 2
        return np.asarray(((a * d - 5 * a) * d + 8 * a) * d - 4 * a)

    index = np.clip(low[:, np.newaxis] + np.arange(-1, 3), 0, size - 1)
    return Taps(size, index, np.stack([far(1 + t), near(t), near(1 - t), far(2 - t)], 1))


def _positions(size: int, out: int, scale: float | None, align_corners: bool) -> Array:
    """Return where the elements of the output lie in the input."""
    if align_corners:  # the first and the last of both are at the same place
        return np.arange(out) * ((size - 1) / max(out - 1, 1))
    return (np.arange(out) + 0.5) * (1 / scale if scale else size / max(out, 1)) - 0.5


def resample(x: Array, taps: Sequence[Taps]) -> Array:
    """Return x resampled along its last axes.

    Parameters
    ----------
    x : ndarray, shape (..., n1, ..., nk)
    taps : sequence of k Taps

    Returns
    -------
    ndarray, shape (..., m1, ..., mk)
        The input itself if k is 0.

    Examples
    --------
    >>> resample(np.array([0.0, 2.0]), [linear(2, 4, None, False)])
    array([0. , 0.5, 1.5, 2. ])
    """
    for axis in range(-1, -len(taps) - 1, -1):
        _, index, weight = taps[axis]
        rows = _three_axes(x, axis)
        y = np.empty((len(rows), len(index), rows.shape[2]), x.dtype)
        gather(rows, index, weight.astype(x.dtype), y)
        x = y.reshape(_with_size(x.shape, axis, len(index)))
    return x


def resample_grad(grad: Array, taps: Sequence[Taps]) -> Array:
    """Return the gradient with respect to `resample`'s input, given that to its output."""
    for axis in range(-len(taps), 0):
        size, index, weight = taps[axis]
        rows = _three_axes(grad, axis)
        dx = np.zeros((len(rows), size, rows.shape[2]), grad.dtype)
        scatter(rows, index, weight.astype(grad.dtype), dx)
        grad = dx.reshape(_with_size(grad.shape, axis, size))
    return grad


@kernel
def gather(x: Array, index: Array, weight: Array, out: Array) -> Array:
    """Write out[:, i] = sum_t weight[i, t] * x[:, index[i, t]].

    Parameters
    ----------
    x : ndarray, shape (a, n, b)
    index : ndarray of intp, shape (m, taps)
        From 0 to below n.
    weight : ndarray, shape (m, taps)
    out : ndarray, shape (a, m, b), contiguous
    """
    x.take(index[:, 0], 1, out, mode="clip")
    if index.shape[1] == 1:  # a copy
        return out
    out *= weight[:, :1]
    for t in range(1, index.shape[1]):
        term = x.take(index[:, t], 1, mode="clip")
        term *= weight[:, t, np.newaxis]
        out += term
    return out


@kernel
def scatter(grad: Array, index: Array, weight: Array, out: Array) -> Array:
    """Add weight[i, t] * grad[:, i] to out[:, index[i, t]], the derivative of `gather`.

    Parameters
    ----------
    grad : ndarray, shape (a, m, b)
    index : ndarray of intp, shape (m, taps)
        From 0 to below n; each column ascends.
    weight : ndarray, shape (m, taps)
    out : ndarray, shape (a, n, b), contiguous
    """
    for t in range(index.shape[1]):
        column = index[:, t]
        starts = np.flatnonzero(np.diff(column, prepend=-1))
        term = grad if index.shape[1] == 1 else grad * weight[:, t, np.newaxis]
        out[:, column[starts]] += np.add.reduceat(term, starts, axis=1)
    return out


def _three_axes(x: Array, axis: int) -> Array:
    """Return x with the axes before one joined, and those behind it."""
    last = math.prod(x.shape[x.ndim + axis + 1 :])
    first = math.prod(x.shape[:axis])
    return np.ascontiguousarray(x).reshape(first, x.shape[axis], last)


def _with_size(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    """Return a shape with another size along one axis."""
    axis += len(shape)
    return (*shape[:axis], size, *shape[axis + 1 :])
