"""Normalisation of channels by their means and variances, and its derivative.

Arrays are (a, k, b): k channels, each of a times b numbers. Batch normalisation of (n, c, h, w) is
(n, c, h * w); of groups or single samples it is (1, n * c, h * w), where `size` channels in a row
are a group that shares a mean and a variance.

A mean is kept as shift + rest, where `shift` is rounded to the dtype and `rest` is what is missing:
x - shift loses no digits, however far from 0 the numbers are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.ops.kernels import kernel
from npnet.typing import Array

BLOCK = 65536
"""Elements that one pass works on, so that several passes find them in the cache."""


def channels(x: Array, *shape: int) -> Array:
    """Return x as a contiguous array of a shape, in single precision at least."""
    return np.ascontiguousarray(x.reshape(shape), np.promote_types(x.dtype, np.float32))


def statistics(x: Array, size: int = 1) -> tuple[Array, Array, Array]:
    """Return shift, rest and variance of each group of channels: x (a, k, b) -> (k / size,)."""
    a, k, b = x.shape
    groups = x.reshape(a, k // size, size * b)
    shift, rest, var = np.zeros(k // size, x.dtype), np.zeros(k // size), np.zeros(k // size)
    if x.size:
        first = groups[: max(1, BLOCK // (k * b))]
        shift = _sum(first, 1 / len(first), 1 / (size * b))
        moments(groups, shift, rest, var)
    return shift, rest, var


def known(mean: Array, var: Array, dtype: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Return shift, rest and variance for a mean and a variance that are known."""
    shift = mean.astype(dtype)
    return shift, (mean - shift).astype(np.float64), var.astype(np.float64)


def normalize(
    x: Array, shift: Array, rest: Array, inverse: Array, weight: Array | None, bias: Array | None
) -> Array:
    """Return (x - mean) * inverse * weight + bias.

    Parameters
    ----------
    x : ndarray, shape (a, k, b), contiguous
    shift, rest, inverse : ndarray, shape (k / size,)
        The two parts of the mean, and 1 / sqrt(variance + eps).
    weight, bias : ndarray or None
        Of k channels, or of fewer that repeat themselves.

    Returns
    -------
    ndarray, shape (a, k, b)
    """
    k = x.shape[1]
    shift, rest, scale = (_each(v, k) for v in (shift, rest, inverse))
    scale = scale if weight is None else scale * _tiled(weight, k)
    offset = -rest * scale
    offset = offset if bias is None else offset + _tiled(bias, k)
    return scale_channels(
        x, shift, scale.astype(x.dtype), offset.astype(x.dtype), np.empty(x.shape, x.dtype)
    )


def normalize_grad(
    grad: Array,
    x: Array,
    shift: Array,
    rest: Array,
    inverse: Array,
    weight: Array | None,
    fixed: bool,
    needs_input_grad: bool = True,
) -> tuple[Array | None, Array | None, Array | None]:
    """Return the derivatives of `normalize`: of x, and of weight and bias if there is a weight.

    With z = (x - mean) * inverse and g = grad * weight, that of x is
    inverse * (g - mean(g) - z * mean(g * z)), or inverse * g where mean and variance are `fixed`.
    Those of weight and bias are sum(grad * z) and sum(grad).
    """
    k, groups = x.shape[1], len(shift)
    shift, rest, inverse = (_each(v, k) for v in (shift, rest, inverse))
    scale = inverse if weight is None else inverse * _tiled(weight, k)
    dx = None
    if needs_input_grad and fixed:
        zero = np.zeros(k, x.dtype)
        dx = scale_channels(grad, zero, scale.astype(x.dtype), zero, np.empty_like(x))
        if weight is None:
            return dx, None, None
    total, product = np.zeros(k), np.zeros(k)
    channel_sums(grad, x, shift, total, product)
    product -= rest * total
    product *= inverse
    if needs_input_grad and not fixed:
        sums = np.array([total, product])
        if weight is not None:
            sums *= _tiled(weight, k)
        sums = sums.reshape(2, groups, k // max(groups, 1)).sum(axis=2) * (groups / max(x.size, 1))
        mean, mean_z = (_each(v, k) for v in sums)
        slope = -mean_z * inverse**2
        offset = -mean * inverse - slope * rest
        scale, slope, offset = (v.astype(x.dtype) for v in (scale, slope, offset))
        dx = combine_channels(grad, x, shift, scale, slope, offset, np.empty_like(x))
    if weight is None:
        return dx, None, None
    dweight, dbias = (v.reshape(-1, weight.size).sum(axis=0) for v in (product, total))
    return dx, dweight, dbias


def _each(values: Array, k: int) -> Array:
    """Return for each of k channels what its group has."""
    return values if len(values) == k else np.repeat(values, k // len(values))


def _tiled(values: Array, k: int) -> Array:
    """Return values for k channels, which repeat themselves from sample to sample."""
    return values if len(values) == k else np.tile(values, k // len(values))


@kernel
def moments(x: Array, shift: Array, rest: Array, var: Array) -> None:
    """Write variance, and mean minus shift, of each channel of x (a, k, b).

    The shift should be near the mean, as that of some samples is: the squares of x - shift are then
    at most as many times larger than the variance as there are such parts of the batch.
    """
    a, _, b = x.shape
    spread = _spread(shift, x)
    rest[...] = var[...] = 0
    for at in _parts(x):
        d = x[at] - spread[at[1]]
        rest[at[1]] += _sum(d)
        var[at[1]] += np.einsum("akb,akb->k", d, d)
    rest /= a * b
    var /= a * b
    var -= rest * rest
    np.maximum(var, 0, out=var)


@kernel
def scale_channels(x: Array, shift: Array, scale: Array, offset: Array, out: Array) -> Array:
    """Write (x - shift) * scale + offset, where x is (a, k, b) and the others (k,)."""
    shift, scale, offset = (_spread(v, x) for v in (shift, scale, offset))
    for at in _parts(x):
        y, c = out[at], at[1]
        np.subtract(x[at], shift[c], out=y)
        y *= scale[c]
        y += offset[c]
    return out


@kernel
def channel_sums(grad: Array, x: Array, shift: Array, total: Array, product: Array) -> None:
    """Write the sums of grad and of grad * (x - shift) over each channel."""
    shift = _spread(shift, x)
    total[...] = product[...] = 0
    for at in _parts(x):
        g, c = grad[at], at[1]
        total[c] += _sum(g)
        product[c] += np.einsum("akb,akb->k", g, x[at] - shift[c])


@kernel
def combine_channels(
    grad: Array, x: Array, shift: Array, scale: Array, slope: Array, offset: Array, out: Array
) -> Array:
    """Write grad * scale + (x - shift) * slope + offset."""
    shift, scale, slope, offset = (_spread(v, x) for v in (shift, scale, slope, offset))
    for at in _parts(x):
        y, c = out[at], at[1]
        np.subtract(x[at], shift[c], out=y)
        y *= slope[c]
        y += offset[c]
        y += grad[at] * scale[c]
    return out


def _parts(x: Array) -> Iterator[tuple[slice, slice]]:
    """Cut (a, k, b) into contiguous parts that stay in the cache.

    They are some samples, or some channels of one.
    """
    a, k, b = x.shape
    step = max(1, BLOCK // max(b, 1))
    if step >= k:
        samples = step // max(k, 1)
        for i in range(0, a, samples):
            yield slice(i, i + samples), slice(None)
        return
    for i in range(a):
        for j in range(0, k, step):
            yield slice(i, i + 1), slice(j, j + step)


def _spread(values: Array, x: Array) -> Array:
    """Return values of channels as an array that is broadcast over x.

    Arrays of the size of a sample are combined faster than arrays with axes of length 1.
    """
    a, k, b = x.shape
    return np.repeat(values, b).reshape(k, b) if a > 1 else values[:, np.newaxis]


def _sum(x: Array, scale_a: float = 1.0, scale_b: float = 1.0) -> Array:
    """Return the sums over the first and last of three axes: products with ones are fastest."""
    a, k, b = x.shape
    rows = x.reshape(a, k * b)
    row = np.full(a, scale_a, x.dtype).dot(rows) if a > 1 else rows[0]
    sums: Array = row.reshape(k, b).dot(np.full(b, scale_b, x.dtype)) if b != 1 else row
    return sums
