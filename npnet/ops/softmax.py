"""Softmax, its logarithm, and their derivatives, along one axis."""

from __future__ import annotations

import numpy as np

from npnet.ops.elementwise import constant
from npnet.ops.kernels import kernel
from npnet.typing import Array


def softmax(x: Array, axis: int, out: Array) -> Array:
    """Write exp(x - m) / sum(exp(x - m)) with m = max(x) along the axis."""
    if x.size == 0:
        return out
    np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=axis, keepdims=True)
    return out


def softmax_grad(grad: Array, y: Array, axis: int, out: Array) -> Array:
    """Write y * (grad - sum(grad * y)), the sum along the axis."""
    np.multiply(grad, y, out=out)
    total = out.sum(axis=axis, keepdims=True)
    np.subtract(grad, total, out=out)
    out *= y
    return out


def log_softmax(x: Array, axis: int, out: Array) -> Array:
    """Write (x - m) - log(sum(exp(x - m))) with m = max(x) along the axis."""
    if x.size == 0:
        return out
    np.subtract(x, x.max(axis=axis, keepdims=True), out=out)
    out -= np.log(np.exp(out).sum(axis=axis, keepdims=True))
    return out


def log_softmax_grad(grad: Array, y: Array, axis: int, out: Array) -> Array:
    """Write grad - exp(y) * sum(grad), the sum along the axis."""
    np.exp(y, out=out)
    out *= grad.sum(axis=axis, keepdims=True)
    return np.subtract(grad, out, out=out)


@kernel
@np.errstate(all="ignore")
def cross_entropy(
    x: Array, labels: Array, values: Array, grad: Array, scale: float
) -> tuple[bool, float]:
    """Write -log softmax(x)[label] for each row, and scale * (softmax(x) - onehot).

    Parameters
    ----------
    x : ndarray, shape (m, num_classes)
    labels : ndarray of intp, shape (m,), m > 0
    values : ndarray, shape (m,)
        Receives the values.
    grad : ndarray, shape (m, num_classes), contiguous
        Receives the gradient of scale times their sum.
    scale : float

    Returns
    -------
    in_range : bool
        Whether all labels are; if not, the rest means nothing.
    total : float
        The sum of the values, added up in float64.
    """
    rows, classes = x.shape
    # Read as unsigned integers, negative labels are large: one maximum finds both kinds.
    if np.maximum.reduce(labels.view(np.uintp)) >= classes:
        return False, 0.0
    # Reducing a short last axis is slow: the maximum is taken over the first axis of a transposed
    # copy, the sum is a product with ones.
    short = classes < 64
    tall = np.ascontiguousarray(x.T) if short else x
    peak = np.maximum.reduce(tall, axis=0 if short else 1)
    np.subtract(x, peak[:, np.newaxis], out=grad)
    flat = grad.reshape(-1)
    at = np.arange(0, rows * classes, classes)
    at += labels
    picked = flat.take(at)
    np.exp(grad, out=grad)
    ones = constant(1.0, (classes,), x.dtype)
    total = grad.dot(ones) if short else np.add.reduce(grad, axis=1)
    np.log(total, out=values)
    values -= picked
    total /= scale
    grad /= total[:, np.newaxis]
    flat[at] -= scale
    return True, float(np.add.reduce(values, dtype=np.float64))


def cross_entropy_dense(x: Array, q: Array, with_grad: bool) -> tuple[Array, Array | None]:
    """Compute -sum_c q_c log softmax(x)_c for each row, and its gradient softmax(x) sum(q) - q.

    Parameters
    ----------
    x, q : ndarray, shape (m, num_classes)
        Logits and targets; the targets need not sum to 1. A class with q = 0 counts 0, even
        where its probability is 0.
    with_grad : bool

    Returns
    -------
    values : ndarray, shape (m,)
    grad : ndarray, shape (m, num_classes), or None
    """
    log_p = log_softmax(x, 1, np.empty_like(x))
    terms = np.multiply(q, log_p, where=q != 0, out=np.zeros_like(log_p))
    values = -terms.sum(axis=1)
    if not with_grad:
        return values, None
    grad = np.exp(log_p, out=log_p)
    grad *= q.sum(axis=1, keepdims=True)
    grad -= q
    return values, grad
