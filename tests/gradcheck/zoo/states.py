"""Planted bugs with state that outlives a call, and with arrays that belong to others."""

import numpy as np

import npnet
from zoo import attention, norms, products, recurrences, rows
from zoo.mutants import STALE, normal, planted

_X = (3, 4)
_WRITES = r"input unchanged|changed (its|the) (input|upstream)|in place|upstream gradient unchanged"


class WeightNorm(npnet.Layer):
    """x times the transposed rows of v, normalised."""

    def __init__(self):
        super().__init__()
        self.v = npnet.Parameter(np.random.default_rng(1).normal(size=(3, 4)))

    def weight(self):
        norm = np.sqrt((self.v.data**2).sum(1, keepdims=True))
        return self.v.data / norm, norm

    def forward(self, ctx, x):
        ctx.save(x)
        return x @ self.weight()[0].T

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        w, norm = self.weight()
        dw = grad.T @ x
        ctx.add_grad(self.v, (dw - w * (dw * w).sum(1, keepdims=True)) / norm)
        return grad @ w


class Masked(npnet.Layer):
    """tanh(x), zero where a mask is not set."""

    takes_integers = (False, True)

    def forward(self, ctx, x, mask):
        y = np.where(mask, np.tanh(x), 0)
        ctx.save(y, mask)
        return y

    def backward(self, ctx, grad):
        y, mask = ctx.saved
        return self.masked(grad, mask) * (1 - y * y), None

    def masked(self, grad, mask):
        return grad * mask


_MASKED = (normal(3, 4), normal(3, 4) > 0)
BASES = ((WeightNorm, (_X,)), (Masked, _MASKED))


@planted(_X, cause=STALE)
class WeightNormCached(WeightNorm):
    """The normalised weight is computed once and never again."""

    def __init__(self):
        super().__init__()
        self.cache = None

    def weight(self):
        if self.cache is None or self.cache[0].dtype != self.v.data.dtype:
            self.cache = super().weight()
        return self.cache


@planted((4, 5), cause=STALE)
class NormKeepsDeviation(norms.Norm):
    """The deviation of the last call is kept on self."""

    def __init__(self):
        super().__init__()
        self.std = None

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        self.std = np.sqrt(x.var(1, keepdims=True) + self.eps)
        return y

    def dx(self, grad, normal, std):
        return super().dx(grad, normal, self.std)


@planted((2, 3, 4), (2, 5, 4), (2, 5, 4), cause=STALE)
class AttentionKeepsWeights(attention.Attention):
    """The attention weights of the last call are kept on self."""

    def __init__(self):
        super().__init__()
        self.p = None

    def softmax(self, scores):
        self.p = attention.softmax(scores)
        return self.p

    def dscores(self, dp, p):
        return super().dscores(dp, self.p)


@planted((3, 4, 2), cause=STALE)
class RNNKeepsCarry(recurrences.RNN):
    """The gradient carried to the first step is kept, and added to in the next call."""

    def __init__(self):
        super().__init__()
        self.carried = 0.0

    def dstart(self, carry):
        self.carried = self.carried + carry.sum(0)
        return self.carried


@planted(_X, cause=_WRITES)
class SortInPlace(rows.Sort):
    """The input is sorted in place."""

    def value(self, x):
        x.sort(-1)
        return x.copy()


@planted(_X, cause=_WRITES)
class CumsumInPlace(rows.Cumsum):
    """The sums are written into the input."""

    def value(self, x):
        return np.cumsum(x, -1, out=x).copy()


@planted((4, 5), cause=_WRITES)
class NormCentresInput(norms.Norm):
    """The mean is subtracted in place."""

    def forward(self, ctx, x):
        x -= self.mean(x)
        return super().forward(ctx, x)


@planted(*_MASKED, cause=_WRITES)
class MaskedWritesUpstream(Masked):
    """The upstream gradient is set to zero where the mask is not set."""

    def masked(self, grad, mask):
        grad[~mask] = 0
        return grad


@planted(_X, cause=_WRITES)
class GatedScalesUpstream(products.Gated):
    """The upstream gradient is multiplied in place."""

    def backward(self, ctx, grad):
        value, gate = ctx.saved
        dgate = grad * value * self.slope(gate)
        grad *= gate
        return np.concatenate([grad, dgate], -1)


@planted((3, 5), cause=_WRITES + "|" + STALE)
class SoftmaxWritesSaved(rows.Softmax):
    """The saved input is used as scratch in the backward pass."""

    def back(self, grad, x, y):
        x -= x.max(-1, keepdims=True)
        return super().back(grad, x, y)


@planted(_X, cause="overwr|set instead|add")
class WeightNormOverwrites(WeightNorm):
    """The gradient is set instead of added."""

    def backward(self, ctx, grad):
        self.v.grad = None
        return super().backward(ctx, grad)
