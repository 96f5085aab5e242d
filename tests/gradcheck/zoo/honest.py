"""Honest layers that tempt a checker into a false alarm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

import npnet
from npnet.losses.loss import Terms
from npnet.ops.softmax import softmax, softmax_grad


class Honest(NamedTuple):
    make: Callable[[], Any]
    inputs: tuple[Any, ...]
    options: Mapping[str, Any] = MappingProxyType({})


class Elementwise(npnet.Layer):
    """y = f(x), from a value and a derivative."""

    def __init__(self, value, derivative):
        super().__init__()
        self.value, self.derivative = value, derivative

    def forward(self, ctx, x):
        ctx.save(x)
        return self.value(x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * self.derivative(x).astype(grad.dtype)


def elementwise(value, derivative):
    return lambda: Elementwise(value, derivative)


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
        return dsin * np.cos(x) - dcos * np.sin(x)


class Halves(npnet.Layer):
    """Two views of the input."""

    def forward(self, ctx, x):
        half = x.shape[-1] // 2
        return x[..., :half], x[..., half:]

    def backward(self, ctx, a, b):
        return np.concatenate([a, b], -1)


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


# --- parameters


class Quadratic(npnet.Layer):
    """a x^2 + b x + c with one parameter vector."""

    def __init__(self):
        super().__init__()
        self.abc = npnet.Parameter([1.1, 1.1, 1.1])

    def forward(self, ctx, x):
        a, b, c = self.abc.data
        ctx.save(x)
        return a * x * x + b * x + c

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        a, b, _ = self.abc.data
        ctx.add_grad(self.abc, np.array([(grad * x * x).sum(), (grad * x).sum(), grad.sum()]))
        return grad * (2 * a * x + b)


class Scale(npnet.Layer):
    """One number times x; the number may be very small or very large."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = npnet.Parameter(np.array(factor, np.float64))

    def forward(self, ctx, x):
        ctx.save(x)
        return x * self.factor.data

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.factor, np.sum(grad * x))
        return grad * self.factor.data


class PReLU(npnet.Layer):
    def __init__(self):
        super().__init__()
        self.slope = npnet.Parameter([0.25, -0.5, 1.5])

    def forward(self, ctx, x):
        ctx.save(x)
        return np.where(x > 0, x, self.slope.data * x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        low = np.where(x > 0, 0, grad)
        ctx.add_grad(self.slope, (low * x).reshape(-1, 3).sum(0))
        return np.where(x > 0, grad, self.slope.data * grad)


class WeightTwice(npnet.Layer):
    """x W W^T: one parameter in two places of one layer."""

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.random.default_rng(2).normal(size=(4, 3)))

    def forward(self, ctx, x):
        hidden = x @ self.weight.data
        ctx.save(x, hidden)
        return hidden @ self.weight.data.T

    def backward(self, ctx, grad):
        x, hidden = ctx.saved
        ctx.add_grad(self.weight, grad.T @ hidden)
        grad_hidden = grad @ self.weight.data
        ctx.add_grad(self.weight, x.T @ grad_hidden)
        return grad_hidden @ self.weight.data.T


class Tied(npnet.Layer):
    """Two children that share a parameter."""

    def __init__(self):
        super().__init__()
        self.encode = npnet.Linear(4, 4, rng=1)
        self.decode = npnet.Linear(4, 4, rng=2)
        self.decode.weight = self.encode.weight

    def forward(self, ctx, x):
        return ctx.call(self.decode, ctx.call(self.encode, x))

    def backward(self, ctx, grad):
        grad = ctx.calls.pop().backward(grad)
        return ctx.calls.pop().backward(grad, needs_input_grad=ctx.needs_input_grad)


class Again(npnet.Layer):
    """The same child three times in a row."""

    def __init__(self, child):
        super().__init__()
        self.child = child

    def forward(self, ctx, x):
        for _ in range(3):
            x = ctx.call(self.child, x)
        return x

    def backward(self, ctx, grad):
        while ctx.calls:
            grad = ctx.calls.pop().backward(grad)
        return grad


class Conv1d(npnet.Layer):
    """(n, length, channels) -> (n, length - 2, out)."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(3)
        self.weight = npnet.Parameter(rng.normal(size=(3, 2, 4)))
        self.bias = npnet.Parameter(rng.normal(size=4))

    def forward(self, ctx, x):
        windows = np.lib.stride_tricks.sliding_window_view(x, 3, axis=1)  # (n, l - 2, c, 3)
        ctx.save(windows)
        ctx.shape = x.shape
        return np.einsum("nlck,kco->nlo", windows, self.weight.data) + self.bias.data

    def backward(self, ctx, grad):
        (windows,) = ctx.saved
        ctx.add_grad(self.weight, np.einsum("nlck,nlo->kco", windows, grad))
        ctx.add_grad(self.bias, grad.sum((0, 1)))
        dx = np.zeros(ctx.shape, grad.dtype)
        for k in range(3):
            dx[:, k : k + grad.shape[1]] += grad @ self.weight.data[k].T
        return dx


class Embedding(npnet.Layer):
    takes_integers = True

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.random.default_rng(4).normal(size=(6, 3)))

    def forward(self, ctx, index):
        ctx.save(index)
        return self.weight.data[index]

    def backward(self, ctx, grad):
        (index,) = ctx.saved
        table = np.zeros_like(self.weight.data)
        np.add.at(table, index, grad)
        ctx.add_grad(self.weight, table)
        return None


class WeightedRows(npnet.Layer):
    """One input of indices, one of real numbers."""

    takes_integers = True

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.random.default_rng(5).normal(size=(6, 3)))

    def forward(self, ctx, index, factor):
        ctx.save(index, factor)
        return self.weight.data[index] * factor

    def backward(self, ctx, grad):
        index, factor = ctx.saved
        table = np.zeros_like(self.weight.data)
        np.add.at(table, index, grad * factor)
        ctx.add_grad(self.weight, table)
        return None, (grad * self.weight.data[index]).sum(-1, keepdims=True)


class LayerNorm(npnet.Layer):
    def __init__(self, size):
        super().__init__()
        self.gain = npnet.Parameter(np.linspace(0.5, 1.5, size))
        self.shift = npnet.Parameter(np.linspace(-1, 1, size))

    def forward(self, ctx, x):
        centered = x - x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((centered * centered).mean(-1, keepdims=True) + 1e-5)
        normal = centered * scale
        ctx.save(normal, scale)
        return normal * self.gain.data + self.shift.data

    def backward(self, ctx, grad):
        normal, scale = ctx.saved
        axes = tuple(range(grad.ndim - 1))
        ctx.add_grad(self.gain, (grad * normal).sum(axes))
        ctx.add_grad(self.shift, grad.sum(axes))
        grad = grad * self.gain.data
        mean = grad.mean(-1, keepdims=True)
        return scale * (grad - mean - normal * (grad * normal).mean(-1, keepdims=True))


class Attention(npnet.Layer):
    """Softmax(x x^T / 2) x for each sample (n, t, d)."""

    def forward(self, ctx, x):
        scores = 0.5 * (x @ x.swapaxes(1, 2))
        p = softmax(scores, -1, np.empty_like(scores))
        ctx.save(x, p)
        return p @ x

    def backward(self, ctx, grad):
        x, p = ctx.saved
        dscores = softmax_grad(grad @ x.swapaxes(1, 2), p, -1, np.empty_like(p))
        return p.swapaxes(1, 2) @ grad + 0.5 * (dscores + dscores.swapaxes(1, 2)) @ x


class Recurrent(npnet.Layer):
    """h_t = tanh(x_t W + h_{t-1} U), (n, t, d) -> (n, h)."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(6)
        self.w = npnet.Parameter(rng.normal(size=(2, 3)))
        self.u = npnet.Parameter(0.5 * rng.normal(size=(3, 3)))

    def forward(self, ctx, x):
        states = [np.zeros((len(x), 3), x.dtype)]
        for t in range(x.shape[1]):
            states.append(np.tanh(x[:, t] @ self.w.data + states[-1] @ self.u.data))
        ctx.save(x, *states)
        return states[-1]

    def backward(self, ctx, grad):
        x, *states = ctx.saved
        dx = np.empty(x.shape, grad.dtype)
        for t in reversed(range(x.shape[1])):
            grad = grad * (1 - states[t + 1] ** 2)
            ctx.add_grad(self.w, x[:, t].T @ grad)
            ctx.add_grad(self.u, states[t].T @ grad)
            dx[:, t] = grad @ self.w.data.T
            grad = grad @ self.u.data.T
        return dx


# --- containers with branches


class Residual(npnet.Layer):
    """x + f(x), with a child that keeps its output."""

    def __init__(self, child):
        super().__init__()
        self.child = child

    def forward(self, ctx, x):
        return x + ctx.call(self.child, x)

    def backward(self, ctx, grad):
        return grad + ctx.calls.pop().backward(grad)


class Branches(npnet.Layer):
    """A sum over children of the same input."""

    def __init__(self, *children):
        super().__init__()
        self.children = npnet.Sequential(*children)

    def forward(self, ctx, x):
        outputs = [ctx.call(child, x) for child in self.children]
        total = outputs[0] + outputs[1]
        for y in outputs[2:]:
            total += y
        return total

    def backward(self, ctx, grad):
        adopted = ctx.calls.pop().backward(grad)
        total = adopted + ctx.calls.pop().backward(grad)
        while ctx.calls:
            total += ctx.calls.pop().backward(grad)
        return total


class Gate(npnet.Layer):
    """f(x) * g(x), keeping what the children returned."""

    def __init__(self, value, gate):
        super().__init__()
        self.value, self.gate = value, gate

    def forward(self, ctx, x):
        a, b = ctx.call(self.value, x), ctx.call(self.gate, x)
        ctx.save(a, b)
        return a * b

    def backward(self, ctx, grad):
        a, b = ctx.saved
        gate, value = ctx.calls.pop(), ctx.calls.pop()
        return value.backward(grad * b) + gate.backward(grad * a)


class Concat(npnet.Layer):
    def __init__(self, *children):
        super().__init__()
        self.children = npnet.Sequential(*children)

    def forward(self, ctx, x):
        outputs = [ctx.call(child, x) for child in self.children]
        ctx.cuts = np.cumsum([y.shape[-1] for y in outputs])[:-1]
        return np.concatenate(outputs, -1)

    def backward(self, ctx, grad):
        parts = np.split(grad, ctx.cuts, -1)
        return sum(call.backward(part) for call, part in zip(ctx.calls, parts, strict=True))


# --- randomness, buffers, coupling


class Noise(npnet.Layer):
    """Adds noise while training."""

    def forward(self, ctx, x):
        return x + ctx.rng.normal(size=x.shape).astype(x.dtype) if ctx.training else x

    def backward(self, ctx, grad):
        return grad


class NoisyGain(npnet.Layer):
    """Multiplies by random numbers while training, by their mean otherwise."""

    def __init__(self):
        super().__init__()
        self.spread = npnet.Parameter([0.3, 0.4, 0.5])

    def forward(self, ctx, x):
        if not ctx.training:
            ctx.save(x, np.zeros_like(x))
            return 2 * x
        z = ctx.rng.normal(size=x.shape).astype(x.dtype)
        ctx.save(x, z)
        return x * (2 + z * self.spread.data)

    def backward(self, ctx, grad):
        x, z = ctx.saved
        ctx.add_grad(self.spread, (grad * x * z).sum(0))
        return grad * (2 + z * self.spread.data)


class BatchNorm(npnet.Layer):
    """Couples the samples while training, and moves buffers."""

    batch_independent = False

    def __init__(self, size):
        super().__init__()
        self.gain = npnet.Parameter(np.linspace(0.5, 1.5, size))
        self.mean = npnet.Buffer(np.zeros(size, np.float32))
        self.var = npnet.Buffer(np.ones(size, np.float32))
        self.seen = npnet.Buffer(np.zeros((), np.int64))

    def forward(self, ctx, x):
        ctx.by_batch = ctx.training
        if not ctx.training:
            scale = 1 / np.sqrt(self.var + 1e-5)
            normal = (x - self.mean) * scale
        else:
            mean, var = x.mean(0), x.var(0)
            scale = 1 / np.sqrt(var + 1e-5)
            normal = (x - mean) * scale
            if ctx.recording:
                self.mean = 0.9 * self.mean + 0.1 * mean
                self.var = 0.9 * self.var + 0.1 * var
                self.seen = self.seen + 1
        ctx.save(normal, scale)
        return normal * self.gain.data

    def backward(self, ctx, grad):
        normal, scale = ctx.saved
        ctx.add_grad(self.gain, (grad * normal).sum(0))
        grad = grad * self.gain.data
        if not ctx.by_batch:
            return grad * scale
        return scale * (grad - grad.mean(0) - normal * (grad * normal).mean(0))


class Center(npnet.Layer):
    """Subtracts the batch's mean."""

    def forward(self, ctx, x):
        return x - x.mean(0)

    def backward(self, ctx, grad):
        return grad - grad.mean(0)


class CachesMasks(npnet.Layer):
    """Keeps a constant for each length, which is no activation."""

    def __init__(self):
        super().__init__()
        self.masks = {}

    def forward(self, ctx, x):
        n = x.shape[-1]
        if n not in self.masks:
            self.masks[n] = np.tril(np.ones((n, n)))
        ctx.n = n
        return x @ self.masks[n].astype(x.dtype)

    def backward(self, ctx, grad):
        return grad @ self.masks[ctx.n].T.astype(grad.dtype)


class Constant(npnet.Layer):
    """A step function has zero gradients."""

    def forward(self, ctx, x):
        return np.floor(3 * x)

    def backward(self, ctx, grad):
        return np.zeros_like(grad)


class ReadOnlyOutput(npnet.Layer):
    """Spreads row sums over the row without copying."""

    def forward(self, ctx, x):
        return np.broadcast_to(x.sum(-1, keepdims=True), x.shape)

    def backward(self, ctx, grad):
        return np.broadcast_to(grad.sum(-1, keepdims=True), grad.shape)


class DropsByFloat64(npnet.Layer):
    """Dropout that draws float64 numbers whatever its dtype."""

    def forward(self, ctx, x):
        if not ctx.training:
            return x
        mask = ((ctx.rng.random(x.shape) > 0.3) / 0.7).astype(x.dtype)
        ctx.save(mask)
        return x * mask

    def backward(self, ctx, grad):
        return grad * ctx.saved[0] if ctx.saved else grad


class SquaredHinge(npnet.Loss):
    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        miss = np.maximum(1 - pred * target, 0)
        return Terms(miss * miss, None, -2 * target * miss if with_grad else None)


_KINKS = np.array([[0.0, -1.0, 0.0, 2.0], [1.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
_TIES = np.array([[1.0, 1.0, 0.5, -2.0], [3.0, 3.0, 3.0, 3.0], [0.0, -1.0, 0.0, -1.0]])
_KNOTS = np.arange(-5.0, 6.0)
_FADING = np.array([[1.0, 1e-30, 1e-52, 0.0], [1e-160, 1.0, 1e-20, 1e-60]])
_POSITIVE = np.array([[0.3, 1e-3, 2.5], [7.0, 0.9, 40.0]])


def _x(*shape, scale=1.0):
    return scale * np.random.default_rng(7).normal(size=shape)


def _linear(scale):
    layer = npnet.Linear(3, 2, dtype=np.float64, rng=8)
    for p in layer.parameters():
        p.data *= scale
    return layer


_COUPLED = {"batch_independence": False}

HONEST: dict[str, Honest] = {
    # kinks hit exactly, ties
    "relu at zero": Honest(npnet.ReLU, (_KINKS,)),
    "relu of zeros": Honest(npnet.ReLU, (np.zeros((3, 4)),)),
    "leaky relu at zero": Honest(npnet.LeakyReLU, (_KINKS,)),
    "elu at zero": Honest(lambda: npnet.ELU(2.0), (_KINKS,)),
    "softsign at zero": Honest(npnet.Softsign, (_KINKS,)),
    "abs": Honest(elementwise(np.abs, np.sign), (_KINKS,)),
    "clip at its ends": Honest(
        elementwise(lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) <= 1) * 1.0), (_KINKS,)
    ),
    "hard sigmoid": Honest(
        elementwise(
            lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda x: np.where(np.abs(x) < 3, 1 / 6, 0)
        ),
        (np.array([[3.0, -3.0, 0.0, 5.0]]),),
    ),
    "row max with ties": Honest(RowMax, (_TIES,)),
    "shared max with ties": Honest(SharedMax, (_TIES,)),
    "maxout with ties": Honest(Maxout, (_TIES, _TIES[:, ::-1].copy())),
    "pool with ties": Honest(Pool2, (_TIES,)),
    "sort": Honest(Sort, (_x(3, 5),)),
    "sum of absolutes at zero": Honest(Norm1, (_KINKS,)),
    "relu network at zero": Honest(
        lambda: npnet.Sequential(npnet.Linear(4, 3, bias=False, rng=1), npnet.ReLU()), (_KINKS,)
    ),
    # steep, flat and rough functions
    "steep exponential": Honest(
        elementwise(lambda x: np.exp(30 * x), lambda x: 30 * np.exp(30 * x)), (_x(3, 4),)
    ),
    "steep sigmoid": Honest(
        lambda: npnet.Sequential(Scale(1e4), npnet.Sigmoid()), (_x(3, 4, scale=1e-4),)
    ),
    "steep tanh": Honest(
        lambda: npnet.Sequential(Scale(1e6), npnet.Tanh()), (_x(3, 4, scale=1e-6),)
    ),
    "saturated sigmoid": Honest(npnet.Sigmoid, (_x(3, 4, scale=30.0),)),
    "saturated tanh": Honest(npnet.Tanh, (_x(3, 4, scale=15.0),)),
    "saturated softmax": Honest(npnet.Softmax, (_x(3, 4, scale=30.0),)),
    "saturated log-softmax": Honest(npnet.LogSoftmax, (_x(3, 4, scale=100.0),)),
    "fast sine": Honest(
        elementwise(lambda x: np.sin(1000 * x), lambda x: 1000 * np.cos(1000 * x)), (_x(3, 4),)
    ),
    "fifth power": Honest(elementwise(lambda x: x**5, lambda x: 5 * x**4), (_x(3, 4),)),
    "high power": Honest(elementwise(lambda x: x**20, lambda x: 20 * x**19), (_x(3, 4),)),
    "reciprocal": Honest(elementwise(lambda x: 1 / x, lambda x: -1 / (x * x)), (_POSITIVE,)),
    "logarithm": Honest(elementwise(np.log, lambda x: 1 / x), (_POSITIVE,)),
    "square root": Honest(elementwise(np.sqrt, lambda x: 0.5 / np.sqrt(x)), (_POSITIVE,)),
    "arc sine": Honest(
        elementwise(np.arcsin, lambda x: 1 / np.sqrt(1 - x * x)), (np.tanh(_x(3, 4)),)
    ),
    "gelu": Honest(npnet.GELU, (_x(3, 4, scale=3.0),)),
    "gelu tanh": Honest(lambda: npnet.GELU("tanh"), (_x(3, 4, scale=3.0),)),
    "silu": Honest(npnet.SiLU, (_x(3, 4, scale=3.0),)),
    "softplus": Honest(lambda: npnet.Softplus(3.0, 5.0), (_x(3, 4, scale=3.0),)),
    "cosine minus one": Honest(
        elementwise(lambda x: 1 - np.cos(x), np.sin), (_x(3, 4, scale=1e-2),)
    ),
    "softplus without cancelling": Honest(
        elementwise(lambda x: np.log1p(np.exp(x)), lambda x: 1 / (1 + np.exp(-x))), (_x(3, 4),)
    ),
    "square with a sign": Honest(
        elementwise(lambda x: x * abs(x), lambda x: 2 * abs(x)), (_KINKS,)
    ),
    "ninth power at zero": Honest(elementwise(lambda x: x**9, lambda x: 9 * x**8), (_KINKS,)),
    "seventh power of one zero": Honest(
        elementwise(lambda x: x**7, lambda x: 7 * x**6), (np.zeros((1, 1)),)
    ),
    "logarithm of one plus": Honest(
        elementwise(lambda x: np.log(1 + x), lambda x: 1 / (1 + x)), (_x(3, 4, scale=1e-10),)
    ),
    "elu that cancels at zero": Honest(
        elementwise(
            lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
            lambda x: np.exp(np.minimum(x, 0)),
        ),
        (_KINKS,),
    ),
    "gelu tanh, far out": Honest(
        lambda: npnet.GELU("tanh"), (np.array([[1.2573, 6.4042, -5.35669373, -7.03735236]]),)
    ),
    "sine far above zero": Honest(
        elementwise(lambda x: 1e9 + np.sin(x), np.cos), (_x(3, 4),), {"mode": "directional"}
    ),
    "sum of rows that are almost zero": Honest(
        AbsoluteSum,
        (np.array([[1.0, -1.0, 0.0], [0.1, 0.2, -0.3]]),),
    ),
    "logarithm, clipped": Honest(
        elementwise(
            lambda x: np.log(np.maximum(x, 1e-7)), lambda x: (x >= 1e-7) / np.maximum(x, 1e-7)
        ),
        (np.array([[1e-7, 0.5, 0.0, 1e-12, 1.0]]),),
        {"mode": "directional"},
    ),
    "polygon at its corners": Honest(
        elementwise(
            lambda x: np.interp(x, _KNOTS, np.sin(3 * _KNOTS)).astype(x.dtype),
            lambda x: np.sin(3 * np.floor(x) + 3) - np.sin(3 * np.floor(x)),
        ),
        (np.array([[0.0, 1.0, 2.5, -1.0]]),),
    ),
    "values far from attention": Honest(MatMul, (_FADING, _x(4, 2))),
    # scales
    "inputs of 1e9": Honest(lambda: _linear(1.0), (_x(4, 3, scale=1e9),)),
    "inputs of 1e-9": Honest(lambda: _linear(1.0), (_x(4, 3, scale=1e-9),)),
    "weights of 1e9": Honest(lambda: _linear(1e9), (_x(4, 3),)),
    "weights of 1e-9": Honest(lambda: _linear(1e-9), (_x(4, 3),)),
    "weights of 1e9, inputs of 1e-9": Honest(lambda: _linear(1e9), (_x(4, 3, scale=1e-9),)),
    "square of 1e9": Honest(elementwise(lambda x: x * x, lambda x: 2 * x), (_x(3, 4, scale=1e9),)),
    "square of 1e-9": Honest(
        elementwise(lambda x: x * x, lambda x: 2 * x), (_x(3, 4, scale=1e-9),)
    ),
    "sine of 1e-9": Honest(elementwise(np.sin, np.cos), (_x(3, 4, scale=1e-9),)),
    "tanh of a small factor": Honest(
        lambda: npnet.Sequential(Scale(1e-9), npnet.Tanh()), (_x(3, 4, scale=1e9),)
    ),
    "mixed scales": Honest(
        elementwise(lambda x: x * x * x, lambda x: 3 * x * x),
        (np.array([[1e-9, 1.0, 1e9], [-1e-6, 0.0, -1e6]]),),
    ),
    "tiny factor": Honest(lambda: Scale(1e-9), (_x(3, 4),)),
    "huge factor": Honest(lambda: Scale(1e9), (_x(3, 4),)),
    "softplus of 1e9": Honest(npnet.Softplus, (_x(3, 4, scale=1e9),)),
    # several inputs and outputs, scalar outputs
    "product": Honest(Product, (_x(3, 4), _x(3, 4) + 1)),
    "product of 1e9 and 1e-9": Honest(Product, (_x(3, 4, scale=1e9), _x(3, 4, scale=1e-9))),
    "unused input": Honest(FirstOnly, (_x(3, 4), _x(3, 2))),
    "bilinear": Honest(Bilinear, (_x(5, 3), _x(5, 4))),
    "batched matrix product": Honest(MatMul, (_x(2, 3, 4), _x(2, 4, 2))),
    "matrix product": Honest(MatMul, (_x(3, 4), _x(4, 2))),
    "square matrix product": Honest(MatMul, (_x(4, 4), _x(4, 4) + 1)),
    "outer product": Honest(Outer, (_x(3), _x(4))),
    "sine and cosine": Honest(SinCos, (_x(3, 4),)),
    "halves": Honest(Halves, (_x(3, 4),)),
    "gated linear unit": Honest(GLU, (_x(3, 4),)),
    "mean": Honest(Mean, (_x(3, 4),)),
    "log-sum-exp": Honest(LogSumExp, (_x(3, 4),)),
    "log-sum-exp with a tie": Honest(LogSumExp, (_TIES,)),
    "quadratic form": Honest(QuadraticForm, (_x(5),)),
    "scalar input": Honest(Scale, (np.array(0.7),)),
    "one element": Honest(npnet.Tanh, (np.array([[0.3]]),)),
    # parameters
    "quadratic": Honest(Quadratic, (_x(6, 1),)),
    "quadratic of a vector": Honest(Quadratic, (_x(6),)),
    "prelu at zero": Honest(PReLU, (np.array([[0.0, 1.0, -1.0], [-2.0, 0.0, 0.5]]),)),
    "weight twice": Honest(WeightTwice, (_x(5, 4),)),
    "tied weights": Honest(Tied, (_x(5, 4),)),
    "one child three times": Honest(
        lambda: Again(npnet.Sequential(npnet.Linear(3, 3, rng=1), npnet.Tanh())), (_x(4, 3),)
    ),
    "convolution": Honest(Conv1d, (_x(2, 6, 2),)),
    "embedding": Honest(Embedding, (np.array([[0, 5, 0], [2, 2, 1]]),)),
    "embedding of a vector": Honest(Embedding, (np.array([3, 3, 0, 1]),)),
    "embedding in a chain": Honest(
        lambda: npnet.Sequential(Embedding(), npnet.Linear(3, 2, rng=1)), (np.array([0, 5, 0]),)
    ),
    "indices and numbers": Honest(WeightedRows, (np.array([0, 5, 0, 2]), _x(4, 1))),
    "layer norm": Honest(lambda: LayerNorm(5), (_x(4, 5),)),
    "attention": Honest(Attention, (_x(2, 4, 3),)),
    "recurrent": Honest(Recurrent, (_x(3, 4, 2),)),
    # containers
    "residual tanh": Honest(lambda: Residual(npnet.Tanh()), (_x(3, 4),)),
    "residual relu at zero": Honest(lambda: Residual(npnet.ReLU()), (_KINKS,)),
    "residual identity": Honest(lambda: Residual(npnet.Identity()), (_x(3, 4),)),
    "branches that keep outputs": Honest(
        lambda: Branches(npnet.Tanh(), npnet.Sigmoid(), npnet.Softmax(), npnet.Identity()),
        (_x(3, 4),),
    ),
    "branches of one layer": Honest(
        lambda: (lambda f: Branches(f, npnet.ReLU(), f))(npnet.Tanh()), (_x(3, 4),)
    ),
    "gate": Honest(
        lambda: Gate(
            npnet.Sequential(npnet.Linear(4, 3, rng=1), npnet.Tanh()),
            npnet.Sequential(npnet.Linear(4, 3, rng=2), npnet.Sigmoid()),
        ),
        (_x(3, 4),),
    ),
    "concatenation": Honest(
        lambda: Concat(npnet.Linear(4, 2, rng=1), npnet.Tanh(), npnet.ReLU()), (_x(3, 4),)
    ),
    "deep residual network": Honest(
        lambda: npnet.Sequential(
            npnet.Linear(4, 5, rng=1),
            Residual(npnet.Sequential(npnet.Linear(5, 5, rng=2), npnet.Tanh())),
            Residual(npnet.Sequential(npnet.Linear(5, 5, rng=3), npnet.ReLU())),
            npnet.Linear(5, 2, rng=4),
        ),
        (_x(3, 4),),
    ),
    # randomness, buffers, coupling
    "dropout": Honest(lambda: npnet.Dropout(0.4), (_x(3, 4),)),
    "dropout of everything": Honest(lambda: npnet.Dropout(1.0), (_x(3, 4),)),
    "dropout network": Honest(
        lambda: npnet.Sequential(
            npnet.Linear(4, 6, rng=1), npnet.ReLU(), npnet.Dropout(0.5), npnet.Linear(6, 2, rng=2)
        ),
        (_x(3, 4),),
    ),
    "dropout from float64 numbers": Honest(DropsByFloat64, (_x(3, 4),), {"dtype": np.float32}),
    "zero row before relu, along a direction": Honest(
        lambda: npnet.Sequential(
            npnet.Linear(10, 10, bias=False, rng=1),
            npnet.ReLU(),
            npnet.Linear(10, 10, rng=2),
            npnet.ReLU(),
            npnet.Linear(10, 3, rng=3),
        ),
        (np.concatenate([_x(4, 10), np.zeros((1, 10))]),),
        {"mode": "directional"},
    ),
    "noise": Honest(Noise, (_x(3, 4),)),
    "noisy gain": Honest(NoisyGain, (_x(4, 3),)),
    "batch norm": Honest(lambda: BatchNorm(4), (_x(5, 4),)),
    "batch norm in a chain": Honest(
        lambda: npnet.Sequential(npnet.Linear(3, 4, rng=1), BatchNorm(4), npnet.ReLU()), (_x(5, 3),)
    ),
    "centred batch": Honest(Center, (_x(5, 4),), _COUPLED),
    "softmax over the batch": Honest(lambda: npnet.Softmax(0), (_x(5, 4),), _COUPLED),
    # odd but right
    "constants by length": Honest(CachesMasks, (_x(3, 4),)),
    "step function": Honest(Constant, (_x(3, 4),)),
    "read-only results": Honest(ReadOnlyOutput, (_x(3, 4),)),
    "flatten": Honest(npnet.Flatten, (_x(2, 3, 4),)),
    "identity": Honest(npnet.Identity, (_x(3, 4),)),
    "nothing inside": Honest(npnet.Sequential, (_x(3, 4),)),
    "second axis counts": Honest(npnet.Tanh, (_x(4, 3),), {"batch_axis": 1}),
    # losses
    "mean squared error": Honest(npnet.MSELoss, (_x(4, 3), _x(4, 3) + 1)),
    "squared error of 1e9": Honest(npnet.MSELoss, (_x(4, 3, scale=1e9), _x(4, 3))),
    "squared error of 1e-9": Honest(
        npnet.MSELoss, (_x(4, 3, scale=1e-9), _x(4, 3, scale=1e-9) * 0.5)
    ),
    "absolute error at its kink": Honest(npnet.L1Loss, (_KINKS, np.zeros((3, 4)))),
    "squared hinge at its margin": Honest(
        SquaredHinge, (np.array([[1.0, -1.0, 0.0, 2.0]]), np.array([[1.0, -1.0, 1.0, 1.0]]))
    ),
    "cross-entropy": Honest(npnet.CrossEntropyLoss, (_x(4, 3), np.array([0, 2, 1, 2]))),
    "cross-entropy of shifted logits": Honest(
        npnet.CrossEntropyLoss, (_x(4, 3) + 1e4, np.array([0, 2, 1, 2]))
    ),
    "cross-entropy, saturated": Honest(
        npnet.CrossEntropyLoss, (_x(4, 3, scale=50.0), np.array([0, 2, 1, 2]))
    ),
    "cross-entropy of tied logits": Honest(npnet.CrossEntropyLoss, (_TIES, np.array([0, 1, 2]))),
    "cross-entropy with everything": Honest(
        lambda: npnet.CrossEntropyLoss([1.0, 2.0, 0.5], ignore_index=1, label_smoothing=0.1),
        (_x(4, 3), np.array([0, 2, 1, 2])),
    ),
    "cross-entropy with sample weights": Honest(
        npnet.CrossEntropyLoss, (_x(3, 3), np.array([0, 2, 1]), np.array([1.0, 0.0, 2.5]))
    ),
    "negative log-likelihood": Honest(npnet.NLLLoss, (_x(4, 3), np.array([0, 2, 1, 2]))),
    "binary cross-entropy": Honest(
        lambda: npnet.BCEWithLogitsLoss(pos_weight=[3.0]), (_x(4, 3), np.tanh(_x(4, 3)) ** 2)
    ),
    "binary cross-entropy, saturated": Honest(
        npnet.BCEWithLogitsLoss, (_x(4, 3, scale=40.0), (_x(4, 3) > 0) * 1.0)
    ),
    "terms": Honest(lambda: npnet.MSELoss("none"), (_x(4, 3), _x(4, 3) + 1)),
    "sum of absolutes": Honest(lambda: npnet.L1Loss("sum"), (_x(4, 3), _x(4, 3) + 1)),
}
