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
    """Of which elements those of an axis are made: y_i = sum_t weight[i, t] * x[source[i, t]]."""

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
    if out == size:
        return nearest(size, out, None, False)
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

    Examples
    --------
    >>> resample(np.array([0.0, 2.0]), [linear(2, 4, None, False)])
    array([0. , 0.5, 1.5, 2. ])
    """
    for axis in range(-1, -len(taps) - 1, -1):
        x = _along(x, axis, taps[axis])
    return x


def resample_grad(grad: Array, taps: Sequence[Taps]) -> Array:
    """Return the gradient with respect to `resample`'s input, given that to its output."""
    for axis in range(-len(taps), 0):
        transposed = _transposed(taps[axis])
        unused = ~transposed.weight.any(axis=1)
        grad = _along(grad, axis, transposed)
        if unused.any():
            grad[(..., unused, *(slice(None),) * (-1 - axis))] = 0  # even of an infinite gradient
    return grad


def _along(x: Array, axis: int, taps: Taps) -> Array:
    """Return x resampled along an axis, which counts from the end."""
    axis += x.ndim
    before, behind, m = x.shape[:axis], x.shape[axis + 1 :], len(taps.source)
    y = np.empty((math.prod(before), m, math.prod(behind)), x.dtype)
    rows = np.ascontiguousarray(x).reshape(len(y), taps.size, y.shape[2])
    gather(rows, taps.source, taps.weight.astype(x.dtype), y)
    return y.reshape(*before, m, *behind)


def _transposed(taps: Taps) -> Taps:
    """Return the taps of the derivative: to what each element of the input went.

    Rows with fewer elements than others are filled up with their first one and weights 0.
    """
    size, source, weight = taps
    pairs, place = np.unique(
        source * len(source) + np.indices(source.shape)[0], return_inverse=True
    )
    total = np.bincount(place.reshape(-1), weight.reshape(-1))
    row, target = np.divmod(pairs, len(source))
    counts = np.bincount(row, minlength=size)
    each = np.arange(counts.max())
    real = each < counts[:, np.newaxis]
    place = np.where(real, each, 0) + (np.cumsum(counts) - counts)[:, np.newaxis]
    place = np.minimum(place, len(row) - 1)
    return Taps(len(source), target[place], np.where(real, total[place], 0.0))


@kernel
def gather(x: Array, source: Array, weight: Array, out: Array) -> Array:
    """Write out[:, i] = sum_t weight[i, t] * x[:, source[i, t]].

    Parameters
    ----------
    x : ndarray, shape (a, n, b)
    source : ndarray of intp, shape (m, taps)
        From 0 to below n.
    weight : ndarray, shape (m, taps)
    out : ndarray, shape (a, m, b), contiguous
    """
    copies = bool((weight == 1).all())
    x.take(source[:, 0], 1, out, mode="clip")
    if not copies:
        out *= weight[:, :1]
    for t in range(1, source.shape[1]):
        term = x.take(source[:, t], 1, mode="clip")
        if not copies:
            term *= weight[:, t, np.newaxis]
        out += term
    return out
