"""Planted bugs in the activations, Identity and Flatten."""

import math

import numpy as np

import npnet
from zoo.mutants import planted

_X = (4, 6)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _phi(x):
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


@planted(_X, says=("region", "missing factor"))
class ReLUPassesEverything(npnet.ReLU):
    """The gradient passes where the input is negative."""

    def backward(self, ctx, grad):
        return grad.copy()


@planted(_X, says="region")
class ReLUThreshold(npnet.ReLU):
    """The gradient passes above 1 only."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * (y > 1)


@planted(_X, says=("region", "zero"))
class ReLUInverted(npnet.ReLU):
    """The gradient passes where it should not."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * (y <= 0)


@planted(_X, says=("mutation", "output unchanged"))
class ReLUWritesOutput(npnet.ReLU):
    """Backward writes into the saved output."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        np.multiply(grad, y > 0, out=y)
        return y


@planted(_X, says=("mutation", "input unchanged"))
class ReLUInPlace(npnet.ReLU):
    """Forward writes into the input."""

    def forward(self, ctx, x):
        np.maximum(x, 0, out=x)
        ctx.save(x)
        return x


@planted(_X, says=("mutation", "upstream gradient unchanged"))
class ReLUMasksUpstream(npnet.ReLU):
    """Backward masks the upstream gradient in place."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        grad[y <= 0] = 0
        return grad


@planted(_X, says=("region", "zero", "factor"))
class LeakyReLUNoLeak(npnet.LeakyReLU):
    """The slope is forgotten in backward."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * (x > 0)


@planted(_X, says=("region", "factor"))
class LeakyReLUSign(npnet.LeakyReLU):
    """The slope has the wrong sign in backward."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return np.where(x > 0, grad, -0.01 * grad).astype(grad.dtype)


def ELU2():
    return npnet.ELU(2.0)


class _ELU2(npnet.ELU):
    def __init__(self):
        super().__init__(2.0)


@planted(_X, says=("region", "factor"))
class ELUWithoutAlpha(_ELU2):
    """Alpha is forgotten in backward."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * np.where(x > 0, 1, np.exp(np.minimum(x, 0))).astype(grad.dtype)


@planted(_X, says=("region", "missing term"))
class ELUOutputOnly(_ELU2):
    """y stands where y + alpha should."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        low = 2 * np.expm1(np.minimum(x, 0))
        return grad * np.where(x > 0, 1, low).astype(grad.dtype)


@planted(_X, says=("missing term",))
class GELUWithoutDensity(npnet.GELU):
    """The term x phi(x) is missing."""

    def backward(self, ctx, grad):
        from scipy.special import ndtr

        (x,) = ctx.saved
        return grad * ndtr(x)


@planted(_X, says=("missing factor", "missing term"))
class GELUWithoutX(npnet.GELU):
    """The density's factor x is missing."""

    def backward(self, ctx, grad):
        from scipy.special import ndtr

        (x,) = ctx.saved
        return grad * (ndtr(x) + _phi(x))


@planted(_X)
class GELUTanhCubic(npnet.GELU):
    """The factor 3 of the cubic's derivative is missing."""

    def __init__(self):
        super().__init__("tanh")

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        c = math.sqrt(2 / math.pi)
        t = np.tanh(c * (x + 0.044715 * x**3))
        return grad * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 0.044715 * x * x))


@planted(_X, says=("missing term",))
class SiLUProductRule(npnet.SiLU):
    """One term of the product rule is missing."""

    def forward(self, ctx, x):
        ctx.save(x)
        return x * _sigmoid(x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * _sigmoid(x)


@planted(_X, says=("missing term",))
class SiLUOtherTerm(npnet.SiLU):
    """The other term of the product rule is missing."""

    def forward(self, ctx, x):
        ctx.save(x)
        return x * _sigmoid(x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        s = _sigmoid(x)
        return grad * x * s * (1 - s)


@planted(_X, says=("tape",))
class SiLUOutputOnContext(npnet.SiLU):
    """The output is kept where nobody protects it: behind a function."""

    def forward(self, ctx, x):
        ctx.s = _sigmoid(x)
        y = x * ctx.s
        ctx.y = lambda: y
        return y

    def backward(self, ctx, grad):
        return grad * (ctx.s + ctx.y() * (1 - ctx.s))


@planted(_X, says=("missing factor", "missing term"))
class SigmoidHalf(npnet.Sigmoid):
    """The factor 1 - y is missing."""

    def forward(self, ctx, x):
        y = _sigmoid(x)
        ctx.save(y)
        return y

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * y


@planted(_X)
class SigmoidPlus(npnet.Sigmoid):
    """1 + y stands where 1 - y should."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * y * (1 + y)


@planted(_X)
class SigmoidOfInput(npnet.Sigmoid):
    """The formula for y is applied to x."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        ctx.save(x)
        return y


@planted(_X, says="factor")
class SigmoidAThousandth(npnet.Sigmoid):
    """The gradient is off by 0.1 %."""

    def backward(self, ctx, grad):
        return super().backward(ctx, grad) * 1.001


@planted(_X, says=("float32", "precision"))
class SigmoidFloat32(npnet.Sigmoid):
    """Backward rounds to float32."""

    def backward(self, ctx, grad):
        return super().backward(ctx, grad).astype(np.float32).astype(grad.dtype)


@planted(_X, says=("missing factor", "missing term"))
class TanhWithoutSquare(npnet.Tanh):
    """1 - y stands where 1 - y^2 should."""

    def backward(self, ctx, grad):
        (y,) = ctx.saved
        return grad * (1 - y)


@planted(_X, says="factor")
class TanhHalf(npnet.Tanh):
    """The gradient is half of what it should be."""

    def backward(self, ctx, grad):
        return 0.5 * super().backward(ctx, grad)


@planted(_X, says=("stale state", "no state on self", "calls do not disturb each other"))
class TanhOnSelf(npnet.Tanh):
    """The output is kept on self."""

    def __init__(self):
        super().__init__()
        self.y = None

    def forward(self, ctx, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, ctx, grad):
        return grad * (1 - self.y**2)


@planted(_X, says="elements")
class TanhElement(npnet.Tanh):
    """One element is off by 0.1 %."""

    def backward(self, ctx, grad):
        found = super().backward(ctx, grad)
        found[-1:, 3:4] *= 1.001
        return found


@planted(_X, says=("recorded equals inference",))
class TanhFastInference(npnet.Tanh):
    """Inference uses an approximation."""

    def forward(self, ctx, x):
        if not ctx.recording:
            return x * (27 + x * x) / (27 + 9 * x * x)
        return super().forward(ctx, x)


class _Softplus3(npnet.Softplus):
    def __init__(self):
        super().__init__(3.0)


@planted(_X)
class SoftplusBetaForgotten(_Softplus3):
    """Beta is forgotten inside the derivative."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * _sigmoid(x)


@planted(_X, says="factor")
class SoftplusTimesBeta(_Softplus3):
    """The derivative is multiplied by beta."""

    def backward(self, ctx, grad):
        return 3 * super().backward(ctx, grad)


@planted(_X, says=("missing factor",))
class SoftsignWithoutSquare(npnet.Softsign):
    """The square is forgotten."""

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad / (1 + np.abs(x))


@planted(_X, says=("zero",))
class IdentityBlocks(npnet.Identity):
    """The gradient stops here."""

    def backward(self, ctx, grad):
        return np.zeros_like(grad)


@planted(_X, says=("factor",))
class IdentityAverages(npnet.Identity):
    """The gradient is divided by the batch size."""

    def backward(self, ctx, grad):
        return grad / max(len(grad), 1)


@planted((2, 3, 4), says=("transposed", "elements"))
class FlattenFortran(npnet.Flatten):
    """Backward unfolds in the other order."""

    def backward(self, ctx, grad):
        return grad.reshape(ctx.shape, order="F")


@planted((2, 3, 4), says=("raised", "calls", "shapes and dtypes"))
class FlattenStaysFlat(npnet.Flatten):
    """Backward returns the gradient flat."""

    def backward(self, ctx, grad):
        return grad


@planted(
    (2, 3, 4),
    says=("stale state", "no state on self", "batch sizes", "calls do not disturb each other"),
)
class FlattenShapeOnSelf(npnet.Flatten):
    """The shape of the first call is kept on self."""

    def __init__(self):
        super().__init__()
        self.shape = None

    def forward(self, ctx, x):
        self.shape = self.shape or x.shape
        return super().forward(ctx, x)

    def backward(self, ctx, grad):
        return grad.reshape(self.shape)


@planted((3, 4, 2), says=("batch of one", "shapes and dtypes"))
class FlattenSqueezes(npnet.Flatten):
    """A batch of one is flattened away."""

    def forward(self, ctx, x):
        y = super().forward(ctx, x)
        return y.squeeze(0) if len(y) == 1 else y


@planted(np.array([[0.34, 0.82, 0.33, -1.3], [0.9, 0.44, -0.53, 0.58]]))
class RoundsStraightThrough(npnet.Layer):
    """Forward rounds, backward pretends that it does not."""

    def forward(self, ctx, x):
        return np.round(x)

    def backward(self, ctx, grad):
        return grad.copy()


@planted(np.random.default_rng(0).normal(size=(5, 4)), says="factor")
class SteepThousandth(npnet.Layer):
    """The gradient of a steep exponential is a thousandth too large."""

    def forward(self, ctx, x):
        y = np.exp(30 * x)
        ctx.save(y)
        return y

    def backward(self, ctx, grad):
        return 30.03 * grad * ctx.saved[0]


@planted(_X, says="float32")
class TanhFloat16(npnet.Tanh):
    """The gradient passes through float16."""

    def backward(self, ctx, grad):
        return super().backward(ctx, grad).astype(np.float16).astype(grad.dtype)


@planted(_X, says="stale state")
class PReLUOldSlope(npnet.Layer):
    """Backward uses the slopes that the first call met."""

    def __init__(self):
        super().__init__()
        self.slope = npnet.Parameter(np.array([0.2, -0.5, 1.5, 0.3, 0.7, 0.1]))
        self.kept = []

    def forward(self, ctx, x):
        if not self.kept:
            self.kept.append(self.slope.data.copy())
        ctx.save(x)
        return np.where(x > 0, x, self.slope.data * x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        ctx.add_grad(self.slope, np.where(x > 0, 0, grad * x).sum(0))
        return np.where(x > 0, grad, self.kept[0].astype(grad.dtype) * grad)
