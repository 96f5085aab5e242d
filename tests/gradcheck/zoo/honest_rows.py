"""Honest sorts, cumulative and other functions of rows and matrices."""

from __future__ import annotations

import numpy as np

import npnet
from npnet.errors import ArgumentError
from zoo.honest_base import Honest, Weighted, normal, op
from zoo.honest_simple import Sort


class Rows(npnet.Layer):
    """Sums of the sorted row with given factors: the median, the range, the k largest."""

    def __init__(self, factors):
        super().__init__()
        self.factors = npnet.Buffer(np.asarray(factors, np.float32))

    def forward(self, ctx, x):
        order = np.argsort(x, -1, kind="stable")
        ctx.save(order)
        return np.take_along_axis(x, order, -1) @ self.factors

    def backward(self, ctx, grad):
        (order,) = ctx.saved
        dx = np.zeros(order.shape, grad.dtype)
        np.put_along_axis(dx, order, grad[..., None] * self.factors, -1)
        return dx


class TopK(npnet.Layer):
    """The k largest of each row, the largest first."""

    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, ctx, x):
        chosen = np.argsort(-x, -1, kind="stable")[..., : self.k]
        ctx.save(chosen)
        ctx.shape = x.shape
        return np.take_along_axis(x, chosen, -1)

    def backward(self, ctx, grad):
        dx = np.zeros(ctx.shape, grad.dtype)
        np.put_along_axis(dx, ctx.saved[0], grad, -1)
        return dx


def _suffix_sum(x):
    return np.cumsum(x[..., ::-1], -1)[..., ::-1]


def _running_max(x):
    """The largest so far; of equal ones the first."""
    y = np.maximum.accumulate(x, -1)
    new = np.concatenate([np.ones_like(x[..., :1], bool), x[..., 1:] > y[..., :-1]], -1)
    return y, np.maximum.accumulate(np.where(new, np.arange(x.shape[-1]), 0), -1)


def _running_max_grad(grad, winner):
    dx = np.zeros_like(grad)
    for j in range(grad.shape[-1]):
        at = winner[..., j : j + 1]
        np.put_along_axis(dx, at, np.take_along_axis(dx, at, -1) + grad[..., j : j + 1], -1)
    return dx


def _running_product_grad(grad, x):
    """Also right where factors are zero: products without one factor, in quadratic time."""
    dx = np.zeros_like(x)
    for i in range(x.shape[-1]):
        rest = x.copy()
        rest[..., i] = 1
        dx[..., i] = (grad * np.cumprod(rest, -1))[..., i:].sum(-1)
    return dx


def _product_grad(grad, x):
    others = np.stack([np.delete(x, i, -1).prod(-1) for i in range(x.shape[-1])], -1)
    return grad[..., None] * others


def _logsumexp(x):
    top = x.max(-1, keepdims=True)
    e = np.exp(x - top)
    total = e.sum(-1, keepdims=True)
    return (np.log(total) + top)[..., 0], e / total


def _running_logsumexp(x):
    y = np.logaddexp.accumulate(x, -1)
    return y, x, y


def _running_logsumexp_grad(grad, x, y):
    rows = [
        (grad[..., i:] * np.exp(x[..., i : i + 1] - y[..., i:])).sum(-1) for i in range(x.shape[-1])
    ]
    return np.stack(rows, -1)


def _sparsemax(x):
    ordered = -np.sort(-x, -1)
    k = np.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    above = np.cumsum(ordered, -1) - 1
    count = (ordered * k > above).sum(-1, keepdims=True)
    y = np.maximum(x - np.take_along_axis(above, count - 1, -1) / count.astype(x.dtype), 0)
    return y, y > 0


def _sparsemax_grad(grad, on):
    return on * (
        grad - (grad * on).sum(-1, keepdims=True) / on.sum(-1, keepdims=True).astype(grad.dtype)
    )


def _distances(x):
    """The distances of all pairs of points (n, p, d); zero on the diagonal, with slope zero."""
    apart = x[:, :, None] - x[:, None]
    y = np.sqrt((apart * apart).sum(-1))
    return y, apart / np.where(y == 0, 1, y)[..., None]


def _distances_grad(grad, unit):
    return ((grad + grad.swapaxes(1, 2))[..., None] * unit).sum(2)


def _inverse(x):
    if x.size and (np.linalg.cond(x) > 1e5).any():
        raise ArgumentError("a matrix is singular")
    y = np.linalg.inv(x)
    return y, y


def _inverse_grad(grad, y):
    t = y.swapaxes(-1, -2)
    return -t @ grad @ t


def _log_determinant(x):
    sign, y = np.linalg.slogdet(x)
    if (sign <= 0).any():
        raise ArgumentError("a determinant is not positive")
    return y, np.linalg.inv(x).swapaxes(-1, -2)


def _gathered_grad(grad, index, shape):
    dx = np.zeros(shape, grad.dtype)
    np.add.at(dx, (np.arange(shape[0])[:, None], index), grad)
    return dx, None


def _segment_sums(x, segment):
    y = np.zeros((len(x), 3), x.dtype)
    np.add.at(y, (np.arange(len(x))[:, None], segment), x)
    return y, segment


class Indexed(npnet.Layer):
    """As Op, with a real and an integer or boolean input."""

    takes_integers = (False, True)

    def __init__(self, value, derivative):
        super().__init__()
        self.value, self.derivative = value, derivative

    def forward(self, ctx, x, index):
        y, *saved = self.value(x, index)
        ctx.save(*saved)
        return y

    def backward(self, ctx, grad):
        return self.derivative(grad, *ctx.saved)


class Temperature(Weighted):
    """The softmax of x / t."""

    def forward(self, ctx, x):
        t = np.exp(self.log_t.data)
        z = x / t
        e = np.exp(z - z.max(-1, keepdims=True))
        p = e / e.sum(-1, keepdims=True)
        ctx.save(z, p, t)
        return p

    def backward(self, ctx, grad):
        z, p, t = ctx.saved
        dz = p * (grad - (grad * p).sum(-1, keepdims=True))
        ctx.add_grad(self.log_t, -(dz * z).sum())
        return dz / t


class Trilinear(Weighted):
    """y_k = sum a_i b_j T_ijk, of two inputs, by einsum."""

    def forward(self, ctx, a, b):
        ctx.save(a, b)
        return np.einsum("...i,...j,ijk->...k", a, b, self.t.data)

    def backward(self, ctx, grad):
        a, b = ctx.saved
        ctx.add_grad(self.t, np.einsum("ni,nj,nk->ijk", a, b, grad))
        t = self.t.data
        return np.einsum("nk,nj,ijk->ni", grad, b, t), np.einsum("nk,ni,ijk->nj", grad, a, t)


_THREE = np.array([[2.0, 2.0, 2.0, -1.0, 0.0], [1.0, 0.0, 1.0, 0.0, 1.0], [0.0] * 5])
_ZEROS = np.array([[2.0, 0.0, 3.0, -1.0], [0.0, 1.5, 0.0, 2.0], [0.5, -2.0, 1.0, 3.0]])
_MATRICES = normal(2, 3, 3) + 3 * np.eye(3)
_POINTS = np.array([[[0.0, 1.0], [2.0, -1.0], [0.0, 1.0]]])
_INDEX = np.array([[0, 0, 2], [1, 1, 1]])
_HALF = np.array([[True, False, True, True], [False, False, True, False], [True] * 4])

CASES: dict[str, Honest] = {
    "sort with three equal ones": Honest(Sort, (_THREE,)),
    "sort of zeros": Honest(Sort, (np.zeros((2, 4)),)),
    "top two": Honest(lambda: TopK(2), ((3, 5),)),
    "top two of three equal ones": Honest(lambda: TopK(2), (_THREE,)),
    "median with three equal ones": Honest(lambda: Rows([0, 0, 1, 0, 0]), (_THREE,)),
    "median of an even number": Honest(lambda: Rows([0, 0.5, 0.5, 0]), (_ZEROS,)),
    "range of rows": Honest(lambda: Rows([-1, 0, 0, 1]), (_ZEROS,)),
    "trimmed mean with ties": Honest(lambda: Rows([0, 1, 1, 1, 0]), (_THREE,)),
    "running sum": Honest(op(lambda x: (np.cumsum(x, -1),), _suffix_sum), ((3, 5),)),
    "running maximum with ties": Honest(op(_running_max, _running_max_grad), (_THREE,)),
    "running product with zeros": Honest(
        op(lambda x: (np.cumprod(x, -1), x), _running_product_grad), (_ZEROS,)
    ),
    "product of rows with zeros": Honest(op(lambda x: (x.prod(-1), x), _product_grad), (_ZEROS,)),
    "log-sum-exp of rows": Honest(op(_logsumexp, lambda grad, p: grad[..., None] * p), ((3, 4),)),
    "log-sum-exp of 1000": Honest(
        op(_logsumexp, lambda grad, p: grad[..., None] * p), (1000 * _ZEROS,)
    ),
    "running log-sum-exp": Honest(op(_running_logsumexp, _running_logsumexp_grad), ((3, 4),)),
    "sparsemax": Honest(op(_sparsemax, _sparsemax_grad), ((3, 4),)),
    "distances of equal points": Honest(op(_distances, _distances_grad), (_POINTS,)),
    "inverse": Honest(op(_inverse, _inverse_grad), (_MATRICES,)),
    "logarithm of a determinant": Honest(
        op(_log_determinant, lambda grad, t: grad[..., None, None] * t), (_MATRICES,)
    ),
    "differences": Honest(
        op(
            lambda x: (np.diff(x, axis=-1),),
            lambda grad: -np.diff(np.pad(grad, [(0, 0), (1, 1)]), axis=-1),
        ),
        ((3, 5),),
    ),
    "gathered by an index": Honest(
        lambda: Indexed(lambda x, i: (np.take_along_axis(x, i, -1), i, x.shape), _gathered_grad),
        (normal(2, 4), _INDEX),
    ),
    "sums of segments": Honest(
        lambda: Indexed(_segment_sums, lambda grad, s: (np.take_along_axis(grad, s, -1), None)),
        (normal(2, 3), _INDEX),
    ),
    "boolean mask": Honest(
        lambda: Indexed(
            lambda x, m: (np.where(m, x * x, 0), x, m),
            lambda grad, x, m: (np.where(m, 2 * x * grad, 0), None),
        ),
        (_ZEROS, _HALF),
    ),
    "softmax with a temperature": Honest(lambda: Temperature(log_t=()), ((3, 4),)),
    "trilinear form": Honest(lambda: Trilinear(t=(3, 2, 4)), (normal(5, 3), normal(5, 2))),
}
