"""Normalisation of rows by their mean and variance, or by their mean square, and its derivative.

As in `normalize`, a mean is kept as shift + rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.ops.kernels import kernel
from npnet.ops.normalize import BLOCK
from npnet.typing import Array


def rows(x: Array, d: int) -> Array:
    """Return x as a contiguous array (m, d), in single precision at least."""
    m = x.size // d if d else 0
    return np.ascontiguousarray(x.reshape(m, d), np.promote_types(x.dtype, np.float32))


def vector(p: Any, default: float, d: int, dtype: np.dtype[Any]) -> Array:
    """Return a parameter as a vector of a dtype; one of equal numbers if there is none."""
    if p is None:
        return np.full(d, default, dtype)
    values: Array = p.data.reshape(d).astype(dtype, copy=False)
    return values


@kernel
def layer_norm(
    x: Array,
    weight: Array,
    bias: Array,
    eps: float,
    centered: bool,
    shift: Array,
    rest: Array,
    inverse: Array,
    out: Array,
) -> Array:
    """Write (x - mean) * inverse * weight + bias with inverse = 1 / sqrt(var + eps).

    Parameters
    ----------
    x : ndarray, shape (m, d)
    weight, bias : ndarray, shape (d,)
    eps : float
    centered : bool
        False takes 0 for the mean and the mean of x^2 for the variance.
    shift, rest, inverse : ndarray, shape (m,)
        Receive the two parts of the mean, and 1 / sqrt(var + eps).
    out : ndarray, shape (m, d)

    Returns
    -------
    ndarray
        `out`.
    """
    d = x.shape[1]
    share = np.full(d, 1 / max(d, 1), x.dtype)
    shift[...] = rest[...] = 0
    for at in _blocks(x):
        part, y = x[at], out[at]
        if centered:
            shift[at] = part.dot(share)
            np.subtract(part, shift[at, np.newaxis], out=y)
            rest[at] = y.dot(share)
            y -= rest[at, np.newaxis]
        else:
            y[...] = part
        inverse[at] = 1 / np.sqrt(np.einsum("md,md->m", y, y) / max(d, 1) + eps)
        y *= inverse[at, np.newaxis]
        y *= weight
        y += bias
    return out


@kernel
def layer_norm_grad(
    grad: Array,
    x: Array,
    weight: Array,
    centered: bool,
    shift: Array,
    rest: Array,
    inverse: Array,
    dweight: Array,
    dbias: Array,
    out: Array,
) -> Array:
    """Write the derivatives of `layer_norm` of weight, bias and, to `out`, of x.

    With z = (x - mean) * inverse and g = grad * weight they are sum(grad * z), sum(grad), and
    inverse * (g - mean(g) - z * mean(g * z)), without mean(g) if the mean is taken for 0.
    """
    share = weight / max(len(weight), 1)
    dweight[...] = dbias[...] = 0
    for at in _blocks(x):
        g, y = grad[at], out[at]
        factor = inverse[at, np.newaxis]
        z = x[at] - shift[at, np.newaxis]
        z -= rest[at, np.newaxis]
        z *= factor
        ones = np.ones(len(g), g.dtype)
        np.multiply(g, z, out=y)
        dweight += ones.dot(y)
        dbias += ones.dot(g)
        z *= y.dot(share)[:, np.newaxis]
        np.multiply(g, weight, out=y)
        if centered:
            z += g.dot(share)[:, np.newaxis]
        y -= z
        y *= factor
    return out


def _blocks(x: Array) -> Iterator[slice]:
    """Cut the rows of a matrix into blocks that stay in the cache."""
    step = max(1, BLOCK // max(x.shape[1], 1))
    return (slice(i, i + step) for i in range(0, len(x), step))
