"""Planted bugs in layers that hold others: residuals, branches, gates, shared children."""

import numpy as np

import npnet
from zoo.mutants import lacks, normal, planted

_X = (3, 4)
_CHILD = lacks("child|branch|layer|path|value|gate|left|right|body|experts?|backward|head")
_CALLED = r"ctx\.call|called directly|not called|forward directly|recorded"


def dense(seed, n=4):
    return npnet.Sequential(npnet.Linear(4, n, rng=seed), npnet.Tanh())


class Residual(npnet.Layer):
    """x + alpha body(x)."""

    def __init__(self):
        super().__init__()
        self.body = dense(1)
        self.alpha = npnet.Parameter(np.array(0.6))

    def forward(self, ctx, x):
        y = ctx.call(self.body, x)
        ctx.save(y)
        return x + self.alpha.data * y

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        ctx.add_grad(self.alpha, self.dalpha(grad, y))
        return self.joined(grad, self.through(ctx, self.scaled(grad)))

    def dalpha(self, grad, y):
        return (grad * y).sum()

    def scaled(self, grad):
        return self.alpha.data * grad

    def through(self, ctx, grad):
        return ctx.calls.pop().backward(grad)

    def joined(self, skip, body):
        return skip + body


class ReZero(Residual):
    """A residual whose factor starts at zero."""

    def __init__(self):
        super().__init__()
        self.alpha.data[...] = 0


class Branches(npnet.Layer):
    """left(x) + right(x)."""

    def __init__(self):
        super().__init__()
        self.left, self.right = dense(1), dense(2)

    def forward(self, ctx, x):
        return self.joined(ctx.call(self.left, x), ctx.call(self.right, x))

    def joined(self, left, right):
        return left + right

    def backward(self, ctx, grad):
        right = ctx.calls.pop().backward(self.to_right(grad))
        return ctx.calls.pop().backward(grad) + right

    def to_right(self, grad):
        return grad


class Opposed(Branches):
    """relu(x) - relu(-x), which is x."""

    def __init__(self):
        super().__init__()
        self.left, self.right = npnet.ReLU(), npnet.Sequential(Negative(), npnet.ReLU())

    def joined(self, left, right):
        return left - right

    def to_right(self, grad):
        return -grad


class Negative(npnet.Layer):
    def forward(self, ctx, x):
        return -x

    def backward(self, ctx, grad):
        return -grad


class Average(Branches):
    """(left(x) + right(x)) / 2."""

    def joined(self, left, right):
        return (left + right) / 2

    def backward(self, ctx, grad):
        return super().backward(ctx, self.halved(grad))

    def halved(self, grad):
        return grad / 2


class Concat(Branches):
    """left(x) and right(x) side by side."""

    def joined(self, left, right):
        return np.concatenate([left, right], -1)

    def backward(self, ctx, grad):
        left, right = self.cut(grad)
        dx = ctx.calls.pop().backward(right)
        return ctx.calls.pop().backward(left) + dx

    def cut(self, grad):
        return grad[:, :4].copy(), grad[:, 4:].copy()


class Gate(npnet.Layer):
    """value(x) gate(x)."""

    def __init__(self):
        super().__init__()
        self.value = dense(1)
        self.gate = npnet.Sequential(npnet.Linear(4, 4, rng=2), npnet.Sigmoid())

    def forward(self, ctx, x):
        a, b = ctx.call(self.value, x), ctx.call(self.gate, x)
        ctx.save(a, b)
        return a * b

    def backward(self, ctx, grad):
        a, b = self.factors(*ctx.saved)
        dgate = ctx.calls.pop().backward(grad * a)
        return self.joined(ctx.calls.pop().backward(grad * b), dgate)

    def factors(self, a, b):
        return a, b

    def joined(self, value, gate):
        return value + gate


class Twice(npnet.Layer):
    """The same child twice in a row."""

    def __init__(self):
        super().__init__()
        self.body = dense(3)

    def forward(self, ctx, x):
        return ctx.call(self.body, ctx.call(self.body, x))

    def backward(self, ctx, grad):
        grad = ctx.calls.pop().backward(grad)
        return ctx.calls.pop().backward(grad)


class Chain(npnet.Layer):
    """Three children in a row."""

    def __init__(self):
        super().__init__()
        self.layers = npnet.LayerList([dense(1), dense(2), dense(3)])

    def forward(self, ctx, x):
        for layer in self.layers:
            x = ctx.call(layer, x)
        return x

    def backward(self, ctx, grad):
        for call in self.order(ctx.calls):
            grad = call.backward(grad)
        return grad

    def order(self, calls):
        return reversed(calls)


class Mixture(npnet.Layer):
    """A weighted sum of two experts, softmax of two learned numbers."""

    def __init__(self):
        super().__init__()
        self.left, self.right = dense(1), dense(2)
        self.logits = npnet.Parameter(np.array([0.4, -0.3]))

    def weights(self):
        e = np.exp(self.logits.data)
        return e / e.sum()

    def forward(self, ctx, x):
        a, b = ctx.call(self.left, x), ctx.call(self.right, x)
        w = self.weights()
        ctx.save(a, b)
        return w[0] * a + w[1] * b

    def backward(self, ctx, grad):
        a, b = ctx.saved
        w = self.weights()
        dw = np.stack([(grad * a).sum(), (grad * b).sum()])
        ctx.add_grad(self.logits, self.dlogits(dw, w))
        right = ctx.calls.pop().backward(w[1] * grad)
        return ctx.calls.pop().backward(w[0] * grad) + right

    def dlogits(self, dw, w):
        return w * (dw - (w * dw).sum())


class Heads(npnet.Layer):
    """Two outputs from one body."""

    def __init__(self):
        super().__init__()
        self.body, self.left, self.right = dense(1), dense(2), dense(3)

    def forward(self, ctx, x):
        h = ctx.call(self.body, x)
        return ctx.call(self.left, h), ctx.call(self.right, h)

    def backward(self, ctx, a, b):
        if a is None or b is None:
            a, b = (np.zeros_like(a if b is None else b) if g is None else g for g in (a, b))
        return self.through(ctx, a, b)

    def through(self, ctx, a, b):
        dh = ctx.calls.pop().backward(b) + ctx.calls.pop().backward(a)
        return ctx.calls.pop().backward(dh)


class DropPath(npnet.Layer):
    """x + body(x), where the body is left out for some samples in training."""

    def __init__(self):
        super().__init__()
        self.body = dense(1)

    def forward(self, ctx, x):
        y = ctx.call(self.body, x)
        if not ctx.training:
            return x + y
        keep = ((ctx.rng.random((len(x), 1)) >= 0.4) / 0.6).astype(x.dtype)
        ctx.save(keep)
        return x + keep * y

    def backward(self, ctx, grad):
        keep = self.kept(ctx.saved[0]) if ctx.saved else 1
        return grad + ctx.calls.pop().backward(grad * keep)

    def kept(self, keep):
        return keep


BASES = (
    (Opposed, (np.array([[0.0, 1.0, -1.0, 0.0], [2.0, 0.0, 0.0, -3.0]]),)),
    *((make, (_X,)) for make in (Residual, ReZero, Branches, Average, Concat, Gate, Twice, Chain)),
    *((make, (_X,)) for make in (Mixture, Heads)),
    (DropPath, ((8, 4),)),
)


@planted(_X, cause=_CHILD)
class ResidualSkipsBody(Residual):
    """The child's backward pass is skipped."""

    def through(self, ctx, grad):
        return np.zeros_like(grad)


@planted(_X, cause=lacks("skip|path|upstream|term|identity"))
class ResidualSkipsInput(Residual):
    """The input's own way is missing."""

    def joined(self, skip, body):
        return body.copy()


@planted(_X, cause="alpha|factor")
class ResidualForgetsAlpha(Residual):
    """The child's gradient lacks the factor alpha."""

    def scaled(self, grad):
        return grad


@planted(_X, cause="zero")
class ResidualAlphaForgotten(Residual):
    """The factor alpha gets no gradient."""

    def dalpha(self, grad, y):
        return np.zeros((), grad.dtype)


@planted(_X, cause=_CHILD + "|alpha")
class ReZeroSkipsBody(ReZero):
    """The child's backward pass is skipped, which does not show at first."""

    def through(self, ctx, grad):
        return np.zeros_like(grad)


@planted(normal(3, 4), cause="1/3|batch|averag|mean")
class ResidualAlphaAveraged(Residual):
    """The gradient of alpha is divided by the batch size."""

    def dalpha(self, grad, y):
        return (grad * y).sum() / max(len(grad), 1)


@planted(_X, cause=_CALLED)
class ResidualCallsForward(Residual):
    """The forward of a child is called directly, in the parent's context."""

    def forward(self, ctx, x):
        y = self.body[1].forward(ctx, ctx.call(self.body[0], x))
        return x + self.alpha.data * y


@planted(_X, cause=_CALLED)
class ResidualCallsDirectly(Residual):
    """The child is called as a function, which remembers nothing."""

    def forward(self, ctx, x):
        y = self.body(x)
        ctx.save(y)
        return x + self.alpha.data * y

    def through(self, ctx, grad):
        return np.zeros_like(grad)


@planted(_X, cause="upstream gradient unchanged|in place|write")
class ResidualAddsInPlace(Residual):
    """The child's gradient is added into the upstream gradient."""

    def joined(self, skip, body):
        skip += body
        return skip


@planted(_X, cause=_CHILD)
class BranchesSkipRight(Branches):
    """The second branch's backward pass is skipped."""

    def backward(self, ctx, grad):
        return ctx.calls[0].backward(grad)


@planted(normal(3, 4), cause=_CHILD)
class BranchesLoseRight(Branches):
    """The second branch's gradient is not added."""

    def backward(self, ctx, grad):
        ctx.calls.pop().backward(grad)
        return ctx.calls.pop().backward(grad)


@planted(_X, cause=r"2 times|factor|twice|branch|the child right")
class BranchesRightTwice(Branches):
    """The second branch gets twice the gradient."""

    def to_right(self, grad):
        return 2 * grad


@planted(_X, cause="2 times|factor|twice")
class AverageForgotten(Average):
    """The gradient is not divided by two."""

    def halved(self, grad):
        return grad


@planted(_X, cause="swap|exchang|order|as that of|parts|slices")
class ConcatSwapped(Concat):
    """The branches get each other's part of the gradient."""

    def cut(self, grad):
        return super().cut(grad)[::-1]


@planted(_X, cause="shift|by one|off by|offset|slice")
class ConcatShifted(Concat):
    """The second part is cut off one column too early."""

    def cut(self, grad):
        return grad[:, :4].copy(), grad[:, 3:7].copy()


@planted(_X, cause=lacks("gate|path|child|term") + "|product rule")
class GateValueAlone(Gate):
    """The way through the gate is missing in the input's gradient."""

    def joined(self, value, gate):
        return value.copy()


@planted(_X, cause="swap|exchang|factor")
class GateFactorsSwapped(Gate):
    """Each child's gradient has its own output as a factor."""

    def factors(self, a, b):
        return b, a


@planted(_X, cause=_CHILD + "|twice|second|first|use")
class TwiceOnce(Twice):
    """Only the second use of the child goes back."""

    def backward(self, ctx, grad):
        return ctx.calls.pop().backward(grad)


@planted(_X, cause="order|revers")
class ChainInOrder(Chain):
    """Backward runs the children in the order of forward."""

    def order(self, calls):
        return list(calls)


@planted(_X, cause=_CHILD)
class ChainSkipsMiddle(Chain):
    """The middle child is left out."""

    def order(self, calls):
        return [calls[2], calls[0]]


@planted(_X, cause=lacks("sum|norm|term|mean|softmax") + "|constant|off by")
class MixtureWithoutSum(Mixture):
    """The softmax's sum is missing in the gradient of the logits."""

    def dlogits(self, dw, w):
        return w * dw


@planted(_X, cause="swap|exchang|order|flip|revers|sign|minus")
class MixtureSwapped(Mixture):
    """The gradients of the two logits are swapped."""

    def dlogits(self, dw, w):
        return super().dlogits(dw, w)[::-1]


@planted(_X, cause="output|swap|exchang")
class HeadsSwapped(Heads):
    """The two heads get each other's gradients."""

    def through(self, ctx, a, b):
        return super().through(ctx, b, a)


@planted(_X, cause=r"output 1|second output|outputs?\[1\]|of output|" + _CHILD)
class HeadsRightIsLost(Heads):
    """The second head's gradient does not reach the body."""

    def through(self, ctx, a, b):
        ctx.calls.pop().backward(b)
        dh = ctx.calls.pop().backward(a)
        return ctx.calls.pop().backward(dh)


@planted((8, 4), cause="factor|scal|row|sample|times|random|mask")
class DropPathUnscaled(DropPath):
    """The gradient of the kept samples is not scaled."""

    def kept(self, keep):
        return (keep > 0).astype(keep.dtype)


@planted((8, 4), cause="evaluation")
class DropPathEvaluation(DropPath):
    """In evaluation mode the child's gradient is scaled by 0.6."""

    def backward(self, ctx, grad):
        if ctx.saved:
            return super().backward(ctx, grad)
        return grad + ctx.calls.pop().backward(grad * grad.dtype.type(0.6))
