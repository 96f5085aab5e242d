"""Planted bugs in Softmax, LogSoftmax and Dropout."""

import numpy as np

import npnet
from zoo.mutants import planted

_X = (4, 5)


@planted(_X, says=("missing term",))
class SoftmaxDiagonal(npnet.Softmax):
    """Only the diagonal of the derivative is used."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * y * (1 - y)


@planted(_X, says=("missing term",))
class SoftmaxWithoutSum(npnet.Softmax):
    """The sum over the row is missing."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * y


@planted(_X, says=("missing factor",))
class SoftmaxWithoutY(npnet.Softmax):
    """The factor y is missing."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad - (grad * y).sum(-1, keepdims=True)


@planted(_X)
class SoftmaxWrongAxis(npnet.Softmax):
    """The sum runs over the batch."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return y * (grad - (grad * y).sum(0))


@planted(_X, says="factor")
class SoftmaxSign(npnet.Softmax):
    """The sign is wrong."""

    def backward(self, ctx, grad):
        return -super().backward(ctx, grad)


@planted(_X, says=("mutation", "upstream gradient unchanged"))
class SoftmaxUsesUpstream(npnet.Softmax):
    """The upstream gradient serves as scratch."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        grad -= (grad * y).sum(-1, keepdims=True)
        grad *= y
        return grad


@planted(_X, says=("batch independence",))
class SoftmaxOfEverything(npnet.Softmax):
    """The whole batch is normalised together, with the right gradient."""

    def forward(self, ctx, x):
        y = np.exp(x - x.max(initial=-np.inf)) if x.size else x.copy()
        y /= y.sum() or 1
        ctx.save(y)
        return y

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return y * (grad - (grad * y).sum())


@planted(_X)
class LogSoftmaxWithoutExp(npnet.LogSoftmax):
    """The logarithm stands where the probability should."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad - y * grad.sum(-1, keepdims=True)


@planted(_X, says=("missing term",))
class LogSoftmaxMean(npnet.LogSoftmax):
    """A mean stands where the sum should."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad - np.exp(y) * grad.mean(-1, keepdims=True)


@planted(_X, says=("missing term", "missing factor"))
class LogSoftmaxPassesOn(npnet.LogSoftmax):
    """The normaliser is taken as a constant."""

    def backward(self, ctx, grad):
        return grad.copy()


@planted(_X, says=("rows",))
class LogSoftmaxLastRow(npnet.LogSoftmax):
    """The last sample is left out."""

    def backward(self, ctx, grad):
        found = super().backward(ctx, grad)
        found[-1:] = 0
        return found


# --- Dropout


class Drop(npnet.Dropout):
    """A plain Dropout(0.4) whose mask the mutants draw elsewhere."""

    def __init__(self):
        super().__init__(0.4)

    def forward(self, ctx, x):
        if not ctx.training:
            return x
        mask = ((self.draw(ctx, x.shape) >= 0.4) / 0.6).astype(x.dtype)
        ctx.save(mask)
        return x * mask

    def draw(self, ctx, shape):
        return ctx.rng.random(shape)


@planted(_X, says=("randomness", "non-deterministic"))
class DropGlobal(Drop):
    """The mask comes from NumPy's global generator."""

    def draw(self, ctx, shape):
        return np.random.rand(*shape)


@planted(_X, says=("randomness", "non-deterministic", "repeatable"))
class DropFreshGenerator(Drop):
    """The mask comes from a new generator each time."""

    def draw(self, ctx, shape):
        return np.random.default_rng().random(shape)


@planted(_X, says=("randomness", "non-deterministic", "recorded equals inference"))
class DropSeeded(Drop):
    """The mask is always the same."""

    def draw(self, ctx, shape):
        return np.random.default_rng(0).random(shape)


@planted(_X, says=("randomness", "non-deterministic", "stale state", "no state on self"))
class DropOwnGenerator(Drop):
    """The mask comes from a generator on self."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)

    def draw(self, ctx, shape):
        return self.rng.random(shape)


@planted(_X, says=("randomness", "non-deterministic"))
class DropDefaultGenerator(Drop):
    """The mask comes from npnet's default generator."""

    def draw(self, ctx, shape):
        return npnet.random.default_generator().random(shape)


@planted(_X, says=("factor", "rows", "elements"))
class DropUnscaled(Drop):
    """The gradient is masked but not scaled."""

    def backward(self, ctx, grad):
        return grad * (ctx.saved[0] > 0) if ctx.saved else grad


@planted(_X, says=("randomness", "linear backward"))
class DropTwoMasks(Drop):
    """Backward draws a mask of its own."""

    def backward(self, ctx, grad):
        if not ctx.saved:
            return grad
        return grad * ((ctx.rng.random(grad.shape) >= 0.4) / 0.6).astype(grad.dtype)


@planted(_X)
class DropForgotten(Drop):
    """Backward passes the gradient on without the mask."""

    def backward(self, ctx, grad):
        return grad.copy()


@planted(_X, says=("repeatable", "randomness"))
class DropAlways(Drop):
    """Inference drops as well."""

    def forward(self, ctx, x):
        mask = ((ctx.rng.random(x.shape) >= 0.4) / 0.6).astype(x.dtype)
        ctx.save(mask)
        return x * mask


@planted(_X, says=("gradients in evaluation mode",))
class DropEvaluationGradient(Drop):
    """In evaluation mode the gradient is scaled."""

    def backward(self, ctx, grad):
        return grad * ctx.saved[0] if ctx.saved else 0.6 * grad


@planted(_X, says=("recorded equals inference",))
class DropInferenceScaled(Drop):
    """Inference scales by 1 - p, a recorded pass in evaluation mode does not."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return y if ctx.recording else 0.6 * y


@planted(_X, says=("no state on self", "calls do not disturb each other", "stale state"))
class DropMaskOnSelf(Drop):
    """The mask is kept on self."""

    def __init__(self):
        super().__init__()
        self.mask = None

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        self.mask = ctx.saved[0] if ctx.saved else None
        return y

    def backward(self, ctx, grad):
        return grad if self.mask is None else grad * self.mask
