"""Honest embeddings, noise, buffers and other state."""

from __future__ import annotations

import numpy as np

import npnet
from zoo.honest_base import Honest, Weighted, normal


class PaddedEmbedding(Weighted):
    """Rows of a table; that of number 0 is not trained, what stands there is zero."""

    takes_integers = True

    def forward(self, ctx, index):
        keep = (index != 0)[..., None]
        ctx.save(index, keep)
        return self.table.data[index] * keep

    def backward(self, ctx, grad):
        index, keep = ctx.saved
        total = np.zeros_like(self.table.data)
        np.add.at(total, index, grad * keep)
        ctx.add_grad(self.table, total)
        return None


class Bag(Weighted):
    """Means of the rows of a table, weighted; indices are taken modulo the table's length."""

    takes_integers = (True, False)

    def forward(self, ctx, index, weight):
        index = index % len(self.table.data)
        rows = self.table.data[index]
        ctx.save(index, weight, rows)
        return (rows * weight[..., None]).sum(1) / index.shape[1]

    def backward(self, ctx, grad):
        index, weight, rows = ctx.saved
        grad = grad[:, None] / index.shape[1]
        total = np.zeros_like(self.table.data)
        np.add.at(total, index, grad * weight[..., None])
        ctx.add_grad(self.table, total)
        return None, (grad * rows).sum(-1)


class Positions(Weighted):
    """Adds a learned row for each position (n, t, d)."""

    def forward(self, ctx, x):
        return x + self.table.data[: x.shape[1]]

    def backward(self, ctx, grad):
        total = np.zeros_like(self.table.data)
        total[: grad.shape[1]] = grad.sum(0)
        ctx.add_grad(self.table, total)
        return grad


class TiedEmbedding(Weighted):
    """The same table reads indices and scores the mean of what was read."""

    takes_integers = True

    def forward(self, ctx, index):
        mean = self.table.data[index].mean(1)
        ctx.save(index, mean)
        return mean @ self.table.data.T

    def backward(self, ctx, grad):
        index, mean = ctx.saved
        total = grad.T @ mean
        share = (grad @ self.table.data / index.shape[1])[:, None]
        np.add.at(total, index, np.broadcast_to(share, (*index.shape, share.shape[2])))
        ctx.add_grad(self.table, total)
        return None


class Switch(Weighted):
    """One of two learned scales, chosen by a boolean."""

    takes_integers = (False, True)

    def forward(self, ctx, x, on):
        on = on.astype(bool)[:, None]
        ctx.save(x, on)
        return x * np.where(on, self.a.data, self.b.data)

    def backward(self, ctx, grad):
        x, on = ctx.saved
        ctx.add_grad(self.a, (grad * x * on).sum(0))
        ctx.add_grad(self.b, (grad * x * ~on).sum(0))
        return grad * np.where(on, self.a.data, self.b.data), None


class Factors(npnet.Layer):
    """Multiplies by random factors while training: of rows, of channels, or of elements."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, ctx, x):
        if not ctx.training:
            return x
        ctx.factor = self.draw(ctx.rng, x).astype(x.dtype)
        return x * ctx.factor

    def backward(self, ctx, grad):
        return grad * ctx.factor if ctx.training else grad


class DropConnect(Weighted):
    """x W with some of the weights left out while training."""

    def forward(self, ctx, x):
        mask = ctx.rng.random(self.w.shape) < 0.6 if ctx.training else np.float32(0.6)
        w = (self.w.data * mask).astype(x.dtype)
        ctx.save(x, mask, w)
        return x @ w

    def backward(self, ctx, grad):
        x, mask, w = ctx.saved
        ctx.add_grad(self.w, (x.T @ grad) * mask)
        return grad @ w.T


class RandomSlope(npnet.Layer):
    """Leaky ReLU with random slopes while training, with their mean otherwise."""

    def forward(self, ctx, x):
        slope = ctx.rng.uniform(0.1, 0.3, x.shape).astype(x.dtype) if ctx.training else 0.2
        ctx.slope = np.where(x > 0, 1, slope).astype(x.dtype)
        return x * ctx.slope

    def backward(self, ctx, grad):
        return grad * ctx.slope


class Sampled(npnet.Layer):
    """mean + e^(log_var / 2) z, of two inputs; the mean alone in evaluation."""

    def forward(self, ctx, mean, log_var):
        if ctx.training:
            noise = ctx.rng.normal(size=mean.shape).astype(mean.dtype)
        else:
            noise = np.zeros_like(mean)
        ctx.moved = noise * np.exp(0.5 * log_var)
        return mean + ctx.moved

    def backward(self, ctx, grad):
        return grad, 0.5 * grad * ctx.moved


class StochasticDepth(npnet.Layer):
    """x + f(x) / p with probability p for each sample, x + f(x) in evaluation."""

    def __init__(self, child, p=0.7):
        super().__init__()
        self.child, self.p = child, p

    def forward(self, ctx, x):
        y = ctx.call(self.child, x)
        ctx.factor = np.ones((len(x), 1), x.dtype)
        if ctx.training:
            ctx.factor = (ctx.rng.random((len(x), 1)) < self.p).astype(x.dtype) / self.p
        return x + ctx.factor * y

    def backward(self, ctx, grad):
        return grad + ctx.calls.pop().backward(grad * ctx.factor)


class WarmUp(npnet.Layer):
    """A gain that grows with the number of training passes seen."""

    def __init__(self):
        super().__init__()
        self.steps = npnet.Buffer(np.array(3))

    def forward(self, ctx, x):
        ctx.gain = min(1.0, int(self.steps) / 10)
        if ctx.training and ctx.recording:
            self.steps = self.steps + 1
        return ctx.gain * x

    def backward(self, ctx, grad):
        return ctx.gain * grad


class RunningCenter(npnet.Layer):
    """Subtracts a running mean, which is a constant to the gradient, then updates it."""

    def __init__(self, size):
        super().__init__()
        self.center = npnet.Buffer(np.linspace(-1, 1, size))

    def forward(self, ctx, x):
        y = x - self.center.astype(x.dtype)
        if ctx.training and ctx.recording and len(x):
            self.center = 0.9 * self.center + 0.1 * x.mean(0)
        return y

    def backward(self, ctx, grad):
        return grad


class LargestSeen(npnet.Layer):
    """Divides by the largest size that was seen before, a buffer."""

    def __init__(self):
        super().__init__()
        self.largest = npnet.Buffer(np.array(2.0, np.float32))

    def forward(self, ctx, x):
        ctx.by = self.largest.astype(x.dtype)
        if ctx.training and ctx.recording:
            self.largest = np.maximum(self.largest, np.abs(x).max(initial=0.0))
        return x / ctx.by

    def backward(self, ctx, grad):
        return grad / ctx.by


class Frozen(Weighted):
    """A parameter that is not trained counts as a constant: its gradient is zero."""

    def forward(self, ctx, x):
        return x * np.abs(self.scale.data).round()

    def backward(self, ctx, grad):
        return grad * np.abs(self.scale.data).round()


class SineTable(npnet.Layer):
    """Adds sines of the position, kept for each length, width and dtype."""

    def __init__(self):
        super().__init__()
        self.tables = {}

    def forward(self, ctx, x):
        key = *x.shape[1:], x.dtype
        if key not in self.tables:
            angles = np.arange(x.shape[1])[:, None] / 10.0 ** np.arange(x.shape[2])
            self.tables[key] = np.sin(angles).astype(x.dtype)
        return x + self.tables[key]

    def backward(self, ctx, grad):
        return grad


def _rows(rng, x):
    return (rng.random((len(x),) + (1,) * (x.ndim - 1)) < 0.6) / 0.6


def _channels(rng, x):
    return (rng.random((*x.shape[:2], 1, 1)) < 0.5) * 2


def _lognormal(rng, x):
    return np.exp(0.3 * rng.normal(size=x.shape))


_INDEX = np.array([[0, 3, 3], [5, 0, 1]])

CASES: dict[str, Honest] = {
    "embedding with a padding index": Honest(lambda: PaddedEmbedding(table=(6, 3)), (_INDEX,)),
    "embedding by shape": Honest(lambda: PaddedEmbedding(table=(6, 3)), ((4, 3),)),
    "bag of weighted rows": Honest(lambda: Bag(table=(4, 2)), (_INDEX, normal(2, 3))),
    "learned positions": Honest(lambda: Positions(table=(6, 3)), ((2, 4, 3),)),
    "one table in and out": Honest(lambda: TiedEmbedding(table=(6, 3)), (_INDEX,)),
    "boolean choice": Honest(
        lambda: Switch(a=3, b=3), (normal(4, 3), np.array([True, False, True, True]))
    ),
    "dropped rows": Honest(lambda: Factors(_rows), ((4, 3),)),
    "dropped channels": Honest(lambda: Factors(_channels), ((2, 3, 2, 2),)),
    "multiplied noise": Honest(lambda: Factors(_lognormal), ((3, 4),)),
    "dropped weights": Honest(lambda: DropConnect(w=(4, 3)), ((5, 4),)),
    "random slopes": Honest(RandomSlope, ((3, 4),)),
    "sampled latent": Honest(Sampled, (normal(3, 4), normal(3, 4))),
    "stochastic depth": Honest(
        lambda: StochasticDepth(npnet.Sequential(npnet.Linear(4, 4, rng=1), npnet.Tanh())),
        ((5, 4),),
    ),
    "warm-up by a step counter": Honest(WarmUp, ((3, 4),)),
    "centred by a running mean": Honest(lambda: RunningCenter(3), ((4, 3),)),
    "divided by the largest seen": Honest(LargestSeen, ((4, 3),)),
    "rounded scale": Honest(lambda: Frozen(scale=3), ((4, 3),)),
    "sines kept by shape": Honest(SineTable, ((2, 4, 3),)),
}
