"""Planted bugs in Sequential, and in containers made from it."""

import numpy as np

import npnet
from zoo.mutants import planted

_X = (3, 4)


class Chain(npnet.Sequential):
    """Linear, Tanh, Linear, whose backward pass the mutants replace."""

    def __init__(self):
        super().__init__(npnet.Linear(4, 4, rng=1), npnet.Tanh(), npnet.Linear(4, 4, rng=2))


@planted(_X)
class ChainInForwardOrder(Chain):
    """Backward runs the children in the order of forward."""

    def backward(self, ctx, grad):
        for call in ctx.calls:
            grad = call.backward(grad)
        return grad


@planted(_X, says=("zero",))
class ChainSkipsFirst(Chain):
    """Backward stops before the first child."""

    def backward(self, ctx, grad):
        for call in reversed(ctx.calls[1:]):
            grad = call.backward(grad)
        return grad


@planted(_X, says=("parameter gradients without input gradient",))
class ChainStopsEarly(Chain):
    """Without the input's gradient the first child is left out."""

    def backward(self, ctx, grad):
        calls = ctx.calls if ctx.needs_input_grad else ctx.calls[1:]
        for call in reversed(calls):
            grad = call.backward(grad)
        return grad


@planted(_X, says=("missing factor",))
class ChainSkipsTanh(Chain):
    """Backward leaves the activation out."""

    def backward(self, ctx, grad):
        for call in reversed(ctx.calls):
            if isinstance(call.layer, npnet.Linear):
                grad = call.backward(grad)
        return grad


@planted(_X, says=("stale state", "no state on self", "calls do not disturb each other", "raised"))
class ChainCallsOnSelf(Chain):
    """The recorded calls are kept on self."""

    def __init__(self):
        super().__init__()
        self.recorded = []

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        self.recorded = list(ctx.calls)
        return y

    def backward(self, ctx, grad):
        for call in reversed(self.recorded):
            grad = call.backward(grad)
        return grad


class _Residual(npnet.Sequential):
    """x + f(x)."""

    def __init__(self, *layers):
        super().__init__(*layers or (npnet.Linear(4, 4, rng=1), npnet.Tanh()))

    def forward(self, ctx, x):
        return x + super().forward(ctx, x)

    def backward(self, ctx, grad):
        return grad + self.through(ctx, grad)

    def through(self, ctx, grad):
        while ctx.calls:
            grad = ctx.calls.pop().backward(grad)
        return grad


@planted(_X, says=("children unchanged", "mutation"))
class ResidualWritesOutput(_Residual):
    """The sum is made in the array that Tanh has kept."""

    def forward(self, ctx, x):
        y = npnet.Sequential.forward(self, ctx, x)
        y += x
        return y


@planted(_X, says=("upstream gradient unchanged", "children unchanged", "mutation"))
class ResidualWritesUpstream(_Residual):
    """The gradients are added in the upstream gradient."""

    def backward(self, ctx, grad):
        grad += self.through(ctx, grad)
        return grad


@planted(_X, says=("children unchanged", "upstream gradient unchanged", "mutation"))
class ResidualWritesChildGradient(_Residual):
    """The gradients are added in what a child returned, which may be the upstream gradient."""

    def __init__(self):
        super().__init__(npnet.Identity())

    def backward(self, ctx, grad):
        dx = self.through(ctx, grad)
        dx += grad
        return dx


@planted(_X, says=("missing term",))
class ResidualForgetsSkip(_Residual):
    """The gradient of the skip is missing."""

    def backward(self, ctx, grad):
        return self.through(ctx, grad)


@planted(_X)
class SharedInWrongOrder(npnet.Sequential):
    """A child that is used twice gets its calls in the wrong order."""

    def __init__(self):
        super().__init__(npnet.Sequential(npnet.Linear(4, 4, rng=1), npnet.Tanh()))

    def forward(self, ctx, x):
        return ctx.call(self[0], ctx.call(self[0], x))

    def backward(self, ctx, grad):
        return ctx.calls.pop().backward(ctx.calls.pop(0).backward(grad))


@planted(_X, says=("zero", "recorded equals inference"))
class RunsChildAsInference(Chain):
    """A child is run by calling it, which remembers nothing."""

    def forward(self, ctx, x):
        return ctx.call(self[2], np.asarray(self[0](x)))

    def backward(self, ctx, grad):
        ctx.calls.pop().backward(grad)
        return np.zeros((len(grad), 4), grad.dtype)


@planted(_X, says=("nothing kept alive", "no state on self"))
class KeepsCallsInInference(Chain):
    """Each input is kept for the next call."""

    def __init__(self):
        super().__init__()
        self.last = None

    def forward(self, ctx, x):
        self.last = x
        return super().forward(ctx, x)


@planted(_X, says=("unused outputs",))
class UnusedOutputOfOnes(npnet.Tanh):
    """For an output that nobody used, the gradient is taken as ones."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return y, 2 * y

    def backward(self, ctx, a, b):
        a = np.ones_like(b) if a is None else a
        b = np.ones_like(a) if b is None else b
        return super().backward(ctx, a + 2 * b)
