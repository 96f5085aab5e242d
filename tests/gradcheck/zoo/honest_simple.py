"""Honest layers with kinks and ties, several inputs or outputs, scalar outputs."""

from __future__ import annotations

import math

import numpy as np

import npnet

# --- kinks and ties


class RowMax(npnet.Layer):
    """The largest number of each row; of equal ones the first gets the gradient."""

    def forward(self, ctx, x):
        winner = x.argmax(axis=-1)[..., None]
        ctx.save(winner)
        ctx.shape = x.shape
        return np.take_along_axis(x, winner, -1)[..., 0]

    def backward(self, ctx, grad):
        (winner,) = ctx.saved
        dx = np.zeros(ctx.shape, grad.dtype)
        np.put_along_axis(dx, winner, grad[..., None], -1)
        return dx


class SharedMax(npnet.Layer):
    """As RowMax, but equal winners share the gradient."""

    def forward(self, ctx, x):
        y = x.max(axis=-1)
        winners = (x == y[..., None]).astype(x.dtype)
        ctx.save(winners / winners.sum(-1, keepdims=True))
        return y

    def backward(self, ctx, grad):
        (share,) = ctx.saved
        return share * grad[..., None]


class Maxout(npnet.Layer):
    """The larger of two inputs, ties to the first."""

    def forward(self, ctx, a, b):
        ctx.save(a >= b)
        return np.maximum(a, b)

    def backward(self, ctx, grad):
        (first,) = ctx.saved
        return grad * first, grad * ~first


class Pool2(npnet.Layer):
    """Max pooling of neighbours on the last axis."""

    def forward(self, ctx, x):
        pairs = x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2)
        ctx.save(pairs[..., 0] >= pairs[..., 1])
        ctx.shape = x.shape
        return pairs.max(axis=-1)

    def backward(self, ctx, grad):
        (first,) = ctx.saved
        return np.stack([grad * first, grad * ~first], -1).reshape(ctx.shape)


class Sort(npnet.Layer):
    def forward(self, ctx, x):
        order = np.argsort(x, axis=-1, kind="stable")
        ctx.save(order)
        return np.take_along_axis(x, order, -1)

    def backward(self, ctx, grad):
        (order,) = ctx.saved
        dx = np.empty_like(grad)
        np.put_along_axis(dx, order, grad, -1)
        return dx


class AbsoluteSum(npnet.Layer):
    """Absolute sum of each row."""

    def forward(self, ctx, x):
        total = x.sum(-1)
        ctx.save(np.sign(total))
        ctx.shape = x.shape
        return np.abs(total)

    def backward(self, ctx, grad):
        (sign,) = ctx.saved
        return np.broadcast_to((grad * sign)[..., None], ctx.shape)


class Norm1(npnet.Layer):
    """Sum of absolute values of each row."""

    def forward(self, ctx, x):
        ctx.save(np.sign(x))
        return np.abs(x).sum(-1)

    def backward(self, ctx, grad):
        (sign,) = ctx.saved
        return sign * grad[..., None]


# --- several inputs and outputs


class Product(npnet.Layer):
    def forward(self, ctx, a, b):
        ctx.save(a, b)
        return a * b

    def backward(self, ctx, grad):
        a, b = ctx.saved
        return grad * b, grad * a


class FirstOnly(npnet.Layer):
    """The second input is not used, so its gradient is zero."""

    def forward(self, ctx, a, b):
        ctx.shape = b.shape
        return np.tanh(a) if not ctx.recording else self._keep(ctx, np.tanh(a))

    def _keep(self, ctx, y):
        ctx.save(y)
        return y

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * (1 - y * y), np.zeros(ctx.shape, grad.dtype)


class Bilinear(npnet.Layer):
    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.random.default_rng(0).normal(size=(2, 3, 4)))

    def forward(self, ctx, a, b):
        ctx.save(a, b)
        return np.einsum("ni,oij,nj->no", a, self.weight.data, b)

    def backward(self, ctx, grad):
        a, b = ctx.saved
        w = self.weight.data
        ctx.add_grad(self.weight, np.einsum("no,ni,nj->oij", grad, a, b))
        return np.einsum("no,oij,nj->ni", grad, w, b), np.einsum("no,ni,oij->nj", grad, a, w)


class MatMul(npnet.Layer):
    def forward(self, ctx, a, b):
        ctx.save(a, b)
        return a @ b

    def backward(self, ctx, grad):
        a, b = ctx.saved
        return grad @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ grad


class Outer(npnet.Layer):
    """All pairwise products of two vectors of different lengths."""

    def forward(self, ctx, a, b):
        ctx.save(a, b)
        return a[:, None] * b

    def backward(self, ctx, grad):
        a, b = ctx.saved
        return grad @ b, a @ grad


class SinCos(npnet.Layer):
    def forward(self, ctx, x):
        ctx.save(x)
        return np.sin(x), np.cos(x)

    def backward(self, ctx, dsin, dcos):
        (x,) = ctx.saved
        dsin, dcos = (np.zeros_like(x) if grad is None else grad for grad in (dsin, dcos))
        return dsin * np.cos(x) - dcos * np.sin(x)


class Halves(npnet.Layer):
    """Two views of the input."""

    def forward(self, ctx, x):
        half, ctx.shape = x.shape[-1] // 2, x.shape
        return x[..., :half], x[..., half:]

    def backward(self, ctx, a, b):
        dx = np.zeros(ctx.shape, (b if a is None else a).dtype)
        dx[..., : ctx.shape[-1] // 2] = 0 if a is None else a
        dx[..., ctx.shape[-1] // 2 :] = 0 if b is None else b
        return dx


class GLU(npnet.Layer):
    def forward(self, ctx, x):
        a, b = np.split(x, 2, -1)
        gate = 0.5 * (1 + np.tanh(0.5 * b))
        ctx.save(a, gate)
        return a * gate

    def backward(self, ctx, grad):
        a, gate = ctx.saved
        return np.concatenate([grad * gate, grad * a * gate * (1 - gate)], -1)


# --- scalar outputs


class Mean(npnet.Layer):
    def forward(self, ctx, x):
        ctx.shape = x.shape
        return x.mean()

    def backward(self, ctx, grad):
        return np.full(ctx.shape, grad / math.prod(ctx.shape), grad.dtype)


class LogSumExp(npnet.Layer):
    def forward(self, ctx, x):
        shifted = np.exp(x - x.max())
        total = shifted.sum()
        ctx.save(shifted / total)
        return np.log(total) + x.max()

    def backward(self, ctx, grad):
        (p,) = ctx.saved
        return grad * p


class QuadraticForm(npnet.Layer):
    """x^T A x of one vector."""

    def __init__(self):
        super().__init__()
        self.a = npnet.Parameter(np.random.default_rng(1).normal(size=(5, 5)))

    def forward(self, ctx, x):
        ctx.save(x)
        return x @ self.a.data @ x

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.a, grad * np.outer(x, x))
        return grad * ((self.a.data + self.a.data.T) @ x)
