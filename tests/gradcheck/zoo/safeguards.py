"""Honest layers each of which needs a safeguard of the contract's rules: see the comments."""

from __future__ import annotations

import numpy as np

import npnet
from zoo.honest import Honest


class Variance(npnet.Layer):
    """The variance of each row as E[x^2] - E[x]^2, where numbers cancel."""

    def __init__(self, axis=-1):
        super().__init__()
        self.axis = axis

    def forward(self, ctx, x):
        ctx.save(x)
        return self.value(x)

    def value(self, x):
        return (x * x).mean(self.axis) - x.mean(self.axis) ** 2

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        grad = np.expand_dims(grad, self.axis)
        return grad * 2 * (x - x.mean(self.axis, keepdims=True)) / x.shape[self.axis]


class VarianceNorm(Variance):
    """x / sqrt(variance), with that variance."""

    def value(self, x):
        return x / np.sqrt(super().value(x)[..., None] + 1e-9)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        n, centered = x.shape[-1], x - x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt(Variance.value(self, x)[..., None] + 1e-9)
        return grad * scale - centered * scale**3 * (grad * x).sum(-1, keepdims=True) / n


class VarianceInDomain(Variance):
    """As Variance, of numbers up to 1."""

    def forward(self, ctx, x):
        if (x > 1).any():
            raise ValueError("numbers up to 1, please")
        return super().forward(ctx, x)


class VarianceAndRoot(Variance):
    """Variance plus 0.001 sum of (1 - x)^1.5, which is NaN beyond 1."""

    def value(self, x):
        return super().value(x) + 1e-3 * ((1 - x) ** 1.5).sum(-1)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return super().backward(ctx, grad) - 1.5e-3 * grad[..., None] * (1 - x) ** 0.5


class NormAfterDropout(VarianceNorm):
    """Dropout, a matrix and the norm: numbers cancel where nothing is dropped."""

    def __init__(self):
        super().__init__()
        spread = np.random.default_rng(2).uniform(0.5, 1.5, (8, 8))
        self.weight = npnet.Parameter(spread / spread.sum(0))

    def forward(self, ctx, x):
        keep = ctx.rng.random(x.shape) > 0.5 if ctx.training else np.ones(x.shape, bool)
        ctx.keep, ctx.dropped = keep, x * keep
        return super().forward(ctx, ctx.dropped @ self.weight.data)

    def backward(self, ctx, grad):
        grad = super().backward(ctx, grad)
        ctx.add_grad(self.weight, ctx.dropped.T @ grad)
        return ctx.keep * (grad @ self.weight.data.T)


class LogDeterminant(npnet.Layer):
    """Of one positive matrix: what is mixed from its rows may not be one."""

    refuses = True

    def forward(self, ctx, x):
        sign, value = np.linalg.slogdet(x)
        if sign <= 0 and self.refuses:
            raise ValueError("a positive determinant, please")
        ctx.save(x)
        return value if sign > 0 else value * np.nan

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * np.linalg.inv(x).T


class LogDeterminantOrNan(LogDeterminant):
    refuses = False


class Permute(npnet.Layer):
    """Rows in another order: an index that occurs twice is refused."""

    takes_integers = (False, True)

    def forward(self, ctx, x, order):
        if np.unique(order).size < order.size:
            raise ValueError("a permutation, please")
        ctx.save(order)
        return x[order]

    def backward(self, ctx, grad):
        (order,) = ctx.saved
        dx = np.empty_like(grad)
        dx[order] = grad
        return dx, None


class PermuteOrNan(Permute):
    """An index that occurs twice gives NaN."""

    def forward(self, ctx, x, order):
        ctx.save(order)
        return x[order] if np.unique(order).size == order.size else x * np.nan


class CycleOfBuffer(npnet.Layer):
    """A float32 buffer without a parameter: the layer has no dtype of its own."""

    def __init__(self):
        super().__init__()
        self.factors = npnet.Buffer(np.array([0.5, 2.0, -1.0, 1.5], np.float32))

    def forward(self, ctx, x):
        return x * self.factors

    def backward(self, ctx, grad):
        return grad * self.factors


class KeepsCycle(npnet.Layer):
    """What a call keeps refers to itself, so that only the garbage collector frees it."""

    def forward(self, ctx, x):
        if ctx.recording:
            ctx.itself, ctx.x = ctx, x
        return x * x

    def backward(self, ctx, grad):
        return 2 * grad * ctx.x


class InferenceCycle(KeepsCycle):
    """As KeepsCycle, in inference too."""

    def forward(self, ctx, x):
        ctx.itself, ctx.x = ctx, x
        return x * x


class TableOfRows(npnet.Layer):
    """Builds its table when it is called first with a length, in one list for all."""

    def __init__(self):
        super().__init__()
        self.tables = {}

    def forward(self, ctx, x):
        n = x.shape[0]
        if n not in self.tables:
            self.tables[n] = np.arange(1.0, n + 1)[:, None]
        ctx.n = n
        return (x * self.tables[n]).astype(x.dtype)

    def backward(self, ctx, grad):
        return (grad * self.tables[ctx.n]).astype(grad.dtype)


class PlainSoftmax(npnet.Layer):
    """Far apart, its gradient is a small difference of upstream gradients around one."""

    def forward(self, ctx, x):
        e = np.exp(x - x.max(-1, keepdims=True))
        y = e / e.sum(-1, keepdims=True)
        ctx.save(y)
        return y

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return y * (grad - (grad * y).sum(-1, keepdims=True))


class SmallDifference(npnet.Layer):
    """1 - cos(x) has few digits for tiny x, as float32 numbers have."""

    def forward(self, ctx, x):
        ctx.save(x)
        return 1 - np.cos(x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * np.sin(x)


class Staircase(npnet.Layer):
    """Round numbers, of which few change twice on a short line."""

    def forward(self, ctx, x):
        return np.floor(256 * x) / 256

    def backward(self, ctx, grad):
        return np.zeros_like(grad)


class Zeros(npnet.Layer):
    """Nothing comes through."""

    def forward(self, ctx, x):
        return np.zeros_like(x)

    def backward(self, ctx, grad):
        return np.zeros_like(grad)


class MeanOfRows(npnet.Layer):
    """The batch axis is gone: one row for any number of rows."""

    def forward(self, ctx, x):
        ctx.n = len(x)
        return x.mean(0, keepdims=True)

    def backward(self, ctx, grad):
        return np.repeat(grad / ctx.n, ctx.n, axis=0).astype(grad.dtype)


class AsManyRows(npnet.Layer):
    """Takes batches of four only."""

    def forward(self, ctx, x):
        return x.reshape(4, -1) * 2

    def backward(self, ctx, grad):
        return 2 * grad


class Transposed(npnet.Layer):
    """A square matrix, transposed: as many rows as the input by chance."""

    def forward(self, ctx, x):
        return x.T

    def backward(self, ctx, grad):
        return grad.T


class CountsPositive(npnet.Layer):
    """Two outputs, the second one whole numbers."""

    def forward(self, ctx, x):
        ctx.save(x)
        return x * x, (x > 0).sum(-1)

    def backward(self, ctx, grad, count):
        (x,) = ctx.saved
        return 2 * grad * x


class WritableCounts(npnet.Layer):
    """The sign as small integers beside the value."""

    def forward(self, ctx, x):
        return x * 1, np.sign(x).astype(np.int8)

    def backward(self, ctx, grad, sign):
        return grad * 1


class Steps(npnet.Layer):
    """Two outputs, the second one whole numbers that change with every step."""

    def forward(self, ctx, x):
        return x * 2, np.floor(1e5 * x).astype(np.int64)

    def backward(self, ctx, grad, steps):
        return grad * 2


class FixedWeights(npnet.MSELoss):
    """Has a weight for each of four samples, and takes no other number of them."""

    def terms(self, pred, target, with_grad):
        from npnet.losses.loss import Terms

        found = super().terms(pred, target, with_grad)
        weights = np.array([[1.0], [2.0], [3.0], [4.0]], pred.dtype)
        if len(pred) != len(weights):
            raise ValueError("four samples, please")
        grad = None if found.grad is None else weights * found.grad
        return Terms(weights * found.values, found.weights, grad)


class CancellingPair(npnet.Loss):
    """Terms of both signs that cancel in the sum."""

    def terms(self, pred, target, with_grad):
        from npnet.losses.loss import Terms

        target = self._same_shape(pred, target)
        return Terms(1e6 * (pred - target), None, np.full_like(pred, 1e6) if with_grad else None)


class GaussianNLL(npnet.Loss):
    """Two predictions, a mean and a variance; `factors` of their gradients, 1 where honest."""

    arguments, predictions = ("mean", "target", "var"), ("mean", "var")
    factors = (1.0, 1.0)

    def terms(self, mean, target, var, with_grad):
        from npnet.losses.loss import Terms

        error, variance = mean - self._same_shape(mean, target), self._same_shape(mean, var)
        values = 0.5 * (np.log(variance) + error**2 / variance)
        grads = error / variance, 0.5 * (1 - error**2 / variance) / variance
        scaled = tuple(g * np.asarray(f, g.dtype) for g, f in zip(grads, self.factors, strict=True))
        return Terms(values, None, scaled)


class Triplet(npnet.Loss):
    """Three predictions and no target."""

    arguments = predictions = ("anchor", "positive", "negative")
    factors = (1.0, 1.0, 1.0)

    def terms(self, anchor, positive, negative, with_grad):
        from npnet.losses.loss import Terms

        near = anchor - self._same_shape(anchor, positive)
        far = anchor - self._same_shape(anchor, negative)
        d_near, d_far = (np.sqrt((e**2).sum(-1, keepdims=True) + 1e-3) for e in (near, far))
        values = d_near - d_far + np.asarray(1, anchor.dtype)
        near, far = (values > 0) * near / d_near, (values > 0) * far / d_far
        grads = near - far, -near, far
        scaled = tuple(g * np.asarray(f, g.dtype) for g, f in zip(grads, self.factors, strict=True))
        return Terms(np.maximum(values, 0)[..., 0], None, scaled)


def _around(middle, size, *shape):
    return middle + size * np.random.default_rng(7).normal(size=shape)


_SPREAD = _around(3, 1e-4, 5, 8)
_UP_TO_ONE = 1 - np.abs(_around(0, 1e-4, 5, 8))
_UP_TO_ONE[1, 2] = _UP_TO_ONE[3, 0] = 1
_POSITIVE = np.diag([1.0, 2.0, 3.0, 4.0]) + 0.2 * np.triu(np.ones((4, 4)))
_X = _around(0, 1, 4, 4)
GAUSSIAN = (_around(0, 1, 4, 3), _around(1, 2, 3, 4).T, 0.5 + _around(0, 1, 4, 3) ** 2)
TRIPLET = (_around(0, 1, 5, 3), _around(0, 1, 3, 5).T, _around(1, 1, 5, 3)[::-1].copy())
_ONLY_RULES = {"skip": ["gradients"]}

SAFEGUARDS: dict[str, Honest] = {
    # LayerUnderTest.noise, and _MARGIN: these results are mostly rounding errors
    "variance of 3 + 1e-4 noise": Honest(Variance, (_SPREAD,)),
    "norm by a variance of 3 + 1e-4 noise": Honest(VarianceNorm, (_SPREAD,), _ONLY_RULES),
    "variance over the batch": Honest(
        lambda: Variance(0), (_SPREAD,), {"batch_independence": False}
    ),
    # noise in evaluation mode, where it is larger
    "norm after dropout": Honest(NormAfterDropout, (_SPREAD,), _ONLY_RULES),
    # noise: a probe beyond the domain says nothing
    "variance of numbers up to 1": Honest(VarianceInDomain, (_UP_TO_ONE,), _ONLY_RULES),
    "variance and a root up to 1": Honest(VarianceAndRoot, (_UP_TO_ONE,), _ONLY_RULES),
    # LayerUnderTest.others: mixed inputs that are refused, or give NaN
    "logarithm of one determinant": Honest(LogDeterminant, (_POSITIVE,)),
    "logarithm of one determinant, or NaN": Honest(LogDeterminantOrNan, (_POSITIVE,)),
    # LayerUnderTest.repeated: repeated indices that are refused, or give NaN
    "permutation": Honest(Permute, (_X, np.array([2, 0, 3, 1]))),
    "permutation, or NaN": Honest(PermuteOrNan, (_X, np.array([2, 0, 3, 1]))),
    # LayerUnderTest.restore_buffers keeps their dtype
    "buffer without a parameter": Honest(CycleOfBuffer, (_X,)),
    # ownership.nothing_kept_alive waits for the garbage collector
    "reference cycle": Honest(KeepsCycle, (_X,)),
    "reference cycle in inference": Honest(InferenceCycle, (_X,)),
    # state.no_state_on_self: what is made once for a shape may be kept
    "table for each length": Honest(TableOfRows, (_X,), {"batch_independence": False}),
    # arrays.precision: round numbers that have other reasons than float32
    # LayerUnderTest.noise, at least a unit of one
    "saturated softmax": Honest(
        PlainSoftmax,
        (200 * np.random.default_rng(7).normal(size=(4, 5)),),
        {"only": ["linear backward"]},
    ),
    "small differences": Honest(SmallDifference, (1e-6 * _X,)),
    "staircase": Honest(Staircase, (_around(0, 1, 20, 20),), _ONLY_RULES),
    "zeros": Honest(Zeros, (_X,)),
    # LayerUnderTest.has_batches: a first axis that is no batch
    "mean of rows": Honest(MeanOfRows, (_X,)),
    "as many rows": Honest(AsManyRows, (_X,)),
    "transposed": Honest(Transposed, (_X,)),
    "features alone": Honest(lambda: npnet.Softmax(0), (_around(0, 1, 5),)),
    # integer outputs
    "counts": Honest(CountsPositive, (_X,), _ONLY_RULES),
    "steps": Honest(Steps, (_X,), _ONLY_RULES),
    "signs": Honest(WritableCounts, (_X,), _ONLY_RULES),
    # LossUnderTest.samples: no other number of samples
    "weights of four samples": Honest(FixedWeights, (_X, _X.T.copy())),
    # losses.target_not_broadcast: a target of one more axis that has the prediction's shape
    "one class": Honest(npnet.CrossEntropyLoss, (_X[:, :1], np.zeros(4, int))),
    # passes.differentiated: several predictions, in the order of the arguments
    "gaussian": Honest(GaussianNLL, GAUSSIAN),
    "gaussian with weights": Honest(GaussianNLL, (*GAUSSIAN, np.array([1.0, 0.0, 2.0, 0.5]))),
    "gaussian by shapes": Honest(
        GaussianNLL, ((4, 3), np.zeros((4, 3)), (4, 3)), {"domain": (0.5, 2.0)}
    ),
    "triplet": Honest(Triplet, TRIPLET),
    "triplet by shapes": Honest(lambda: Triplet("sum"), ((4, 3), (4, 3), (4, 3))),
    # LayerUnderTest.noise
    "terms that cancel": Honest(CancellingPair, (_around(3, 1, 5, 4), _around(3, 1, 4, 5).T)),
}
