"""p-norms of vectors and their derivative, and sums that undo broadcasting."""

from __future__ import annotations

import math

import numpy as np

from npnet.typing import Array


def vector_norm(x: Array, p: float, axis: int) -> Array:
    """Return (sum |x|^p)^(1/p) along an axis, which stays with length 1.

    An infinite p gives the largest or smallest size, and 0 the number of entries that are not 0.

    Examples
    --------
    >>> vector_norm(np.array([[3.0, 4.0], [3e200, 4e200]]), 2.0, 1)
    array([[5.e+000],
           [5.e+200]])
    """
    if math.isinf(p) or p in (0, 1) or x.shape[axis] == 0:
        return np.asarray(np.linalg.norm(x, p, axis, keepdims=True))
    if p == 2:
        last = np.moveaxis(x, axis, -1)
        with np.errstate(over="ignore", under="ignore"):
            squares = np.einsum("...i,...i->...", last, last)
        limits = np.finfo(x.dtype)
        if ((squares > limits.tiny / limits.eps) & (squares <= limits.max)).all():
            return np.asarray(np.expand_dims(np.sqrt(squares), axis))
    # Divided by the largest, no power of a finite number overflows.
    scale = np.abs(x).max(axis, keepdims=True)
    scale = np.where((scale > 0) & np.isfinite(scale), scale, 1).astype(x.dtype)
    with np.errstate(divide="ignore", under="ignore"):  # 0 to a negative power
        return np.asarray(np.linalg.norm(x / scale, p, axis, keepdims=True) * scale)


def vector_norm_grad(grad: Array, x: Array, norm: Array, p: float, axis: int) -> Array:
    """Return grad * sign(x) * (|x| / norm)^(p - 1), and 0 where the norm or x is 0.

    Equal sizes share the gradient of the largest or smallest.
    """
    if p == 0:
        return np.zeros_like(x)
    if p == 1:
        return np.asarray(np.sign(x) * grad)
    if p == 2:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            factor = grad / norm
        if np.isfinite(factor).all():  # no norm is 0, or nearly so
            return np.asarray(x * factor)
    size = np.abs(x)
    if math.isinf(p):
        found = size == norm
        share = grad / np.maximum(found.sum(axis, keepdims=True), 1).astype(x.dtype)
        return np.asarray(np.sign(x) * share * found)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        slope = np.sign(x) * (size / norm) ** (p - 1)
    return np.where((norm == 0) | (x == 0), 0, slope) * grad


def sum_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """Return a gradient summed over the axes along which an array of a shape was broadcast.

    Examples
    --------
    >>> sum_to(np.ones((4, 2, 3)), (2, 1))
    array([[12.],
           [12.]])
    """
    if grad.shape == shape:
        return grad
    new = grad.ndim - len(shape)
    axes = tuple(i for i in range(grad.ndim) if i < new or shape[i - new] != grad.shape[i])
    return np.asarray(grad.sum(axis=axes).reshape(shape))
