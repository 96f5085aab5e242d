"""Honest layers with parameters, from one number to attention and recurrence."""

from __future__ import annotations

import numpy as np

import npnet
from npnet.ops.softmax import softmax, softmax_grad

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
