"""Planted bugs that show only in some region, in float32, or in evaluation mode."""

import numpy as np

import npnet
from zoo.mutants import FACTOR, FLOAT32, NOT_FINITE, lacks, normal, planted

_X = (4, 5)
_REGION = r"where|region|beyond|above|below|between|inputs? (of|near|at)|around|larger|at x|values"


class Function(npnet.Layer):
    """y = value(x), with the derivative slope(x)."""

    def forward(self, ctx, x):
        ctx.save(x)
        return self.value(x)

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        return grad * self.slope(x).astype(x.dtype)

    def value(self, x):
        return x * x

    def slope(self, x):
        return 2 * x


class ReLU6(Function):
    def value(self, x):
        return np.clip(x, 0, 6)

    def slope(self, x):
        return (x > 0) & (x < 6)


class HardSwish(Function):
    def value(self, x):
        return x * np.clip(x + 3, 0, 6) / 6

    def slope(self, x):
        return np.where(x < -3, 0, np.where(x > 3, 1, (2 * x + 3) / 6))


class Softplus(Function):
    def value(self, x):
        return np.logaddexp(0, x)

    def slope(self, x):
        return 0.5 * (1 + np.tanh(0.5 * x))


class Abs(Function):
    def value(self, x):
        return np.abs(x)

    def slope(self, x):
        return np.sign(x)


class LeakyReLU(Function):
    def value(self, x):
        return np.where(x > 0, x, x * x.dtype.type(0.1))

    def slope(self, x):
        return np.where(x > 0, 1, 0.1)


class Huber(Function):
    """x^2 / 2 up to 1, and straight from there."""

    def value(self, x):
        a = np.abs(x)
        return np.where(a < 1, x * x / 2, a - x.dtype.type(0.5))

    def slope(self, x):
        return np.clip(x, -1, 1)


class LogCosh(Function):
    def value(self, x):
        return np.logaddexp(x, -x)

    def slope(self, x):
        return np.tanh(x)


class SoftShrink(Function):
    def value(self, x):
        return np.sign(x) * np.maximum(np.abs(x) - x.dtype.type(0.5), 0)

    def slope(self, x):
        return np.abs(x) > 0.5


class Sinc(Function):
    """sin(x) / x."""

    def value(self, x):
        return np.sinc(x / x.dtype.type(np.pi))

    def slope(self, x):
        far = np.where(np.abs(x) < 0.5, 1, x)
        near = np.where(np.abs(x) < 0.5, x, 0)
        series = -near / 3 + near**3 / 30 - near**5 / 840 + near**7 / 45360 - near**9 / 3991680
        series += near**11 / 518918400
        return np.where(np.abs(x) < 0.5, series, (np.cos(far) - np.sin(far) / far) / far)


class Triangles(Function):
    """The distance from the nearest whole number."""

    def value(self, x):
        return np.abs(x - np.round(x))

    def slope(self, x):
        return np.sign(x - np.round(x))


class Cube(Function):
    def value(self, x):
        return x**3

    def slope(self, x):
        return 3 * x * x


class ReLU(Function):
    def value(self, x):
        return np.maximum(x, 0)

    def slope(self, x):
        return x > 0


class GELU(Function):
    """x (1 + tanh(c (x + 0.044715 x^3))) / 2 with c = sqrt(2 / pi)."""

    c = 0.7978845608028654

    def value(self, x):
        c = GELU.c
        return (0.5 * x * (1 + np.tanh(c * (x + 0.044715 * x**3)))).astype(x.dtype)

    def slope(self, x):
        t = np.tanh(self.c * (x + 0.044715 * x**3))
        return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * self.c * (1 + 3 * 0.044715 * x * x)


class SELU(Function):
    scale, alpha = 1.0507009873554805, 1.6732632423543772

    def value(self, x):
        low = SELU.alpha * np.expm1(np.minimum(x, 0))
        return (SELU.scale * np.where(x > 0, x, low)).astype(x.dtype)

    def slope(self, x):
        return self.scale * np.where(x > 0, 1, self.alpha * np.exp(np.minimum(x, 0)))


class Mish(Function):
    """x tanh(softplus(x))."""

    def value(self, x):
        return x * np.tanh(np.logaddexp(0, x))

    def slope(self, x):
        t = np.tanh(np.logaddexp(0, x))
        return t + x * (1 - t * t) * 0.5 * (1 + np.tanh(0.5 * x))


class Drop(npnet.Layer):
    """Dropout(0.3)."""

    def forward(self, ctx, x):
        if not ctx.training:
            return x
        kept = ctx.rng.random(x.shape) >= 0.3
        ctx.save(kept)
        return (x * kept / 0.7).astype(x.dtype)

    def backward(self, ctx, grad):
        return (grad * self.mask(*ctx.saved)).astype(grad.dtype) if ctx.saved else self.plain(grad)

    def mask(self, kept):
        return kept / 0.7

    def plain(self, grad):
        return grad


class RandomLeaky(npnet.Layer):
    """A leaky ReLU with random slopes in training and their mean otherwise."""

    def forward(self, ctx, x):
        shape = x.shape if ctx.training else (1,) * x.ndim
        low = ctx.rng.uniform(0.1, 0.4, shape) if ctx.training else np.full(shape, 0.25)
        slope = np.where(x > 0, 1, low).astype(x.dtype)
        ctx.was_training = ctx.training
        ctx.save(x > 0, slope)
        return x * slope

    def backward(self, ctx, grad):
        positive, slope = ctx.saved
        return grad * (slope if ctx.was_training else self.evaluation(positive, slope))

    def evaluation(self, positive, slope):
        return slope


class Block(npnet.Layer):
    """A child that is followed by a gain in training and in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.child = npnet.Sequential(npnet.Linear(5, 5, rng=1), npnet.Tanh())

    def forward(self, ctx, x):
        ctx.was_training = ctx.training
        return x + ctx.call(self.child, x)

    def backward(self, ctx, grad):
        return grad + ctx.calls.pop().backward(grad)


BASES = tuple(
    (make, (_X,))
    for make in (Function, ReLU6, HardSwish, Softplus, Abs, LeakyReLU, Huber, LogCosh, SoftShrink,
                 Sinc, Cube, ReLU, GELU, SELU, Triangles, Mish, Drop, RandomLeaky, Block)
)  # fmt: skip


@planted(_X, cause=_REGION)
class ReLU6WithoutUpperEnd(ReLU6):
    """Above 6 the gradient goes on."""

    def slope(self, x):
        return x > 0


@planted(normal(4, 5), cause=_REGION)
class ReLU6LowerEndAtMinusOne(ReLU6):
    """The lower end lies at -0.1 in the gradient."""

    def slope(self, x):
        return (x > -0.1) & (x < 6)


@planted(_X, cause=_REGION)
class HardSwishBeyondThree(HardSwish):
    """Above 3 the parabola goes on."""

    def slope(self, x):
        return np.where(x < -3, 0, (2 * x + 3) / 6)


@planted(_X, cause=_REGION)
class HardSwishBelowMinusThree(HardSwish):
    """Below -3 the parabola goes on."""

    def slope(self, x):
        return np.where(x > 3, 1, (2 * x + 3) / 6)


@planted(_X, cause=NOT_FINITE)
class SoftplusOverflows(Softplus):
    """The gradient is NaN from 710 on."""

    def slope(self, x):
        return np.exp(x) / (1 + np.exp(x))


@planted(normal(4, 5, scale=100.0), cause=NOT_FINITE + "|float32")
class SoftplusForwardOverflows(Softplus):
    """In float32 the output is infinite from 89 on."""

    def value(self, x):
        return np.log1p(np.exp(x)) if x.dtype == np.float32 else super().value(x)


@planted(_X, cause=NOT_FINITE + "|zero")
class AbsNaNAtZero(Abs):
    """At zero the gradient is NaN."""

    def slope(self, x):
        return x / np.abs(x)


@planted(_X, cause=_REGION)
class LeakyReLUSmall(LeakyReLU):
    """Between 0 and 0.1 the slope is that of the negative side."""

    def slope(self, x):
        return np.where(x > 0.1, 1, 0.1)


@planted(normal(4, 5, scale=0.05), cause=_REGION)
class LeakyReLUShifted(LeakyReLU):
    """The negative slope begins at -0.01."""

    def slope(self, x):
        return np.where(x > -0.01, 1, 0.1)


@planted(_X, cause=_REGION)
class HuberWithoutEnds(Huber):
    """Beyond 3 the gradient goes on growing."""

    def slope(self, x):
        return np.where(np.abs(x) < 3, np.clip(x, -1, 1), x)


@planted(_X, cause=_REGION + "|clip|clamp")
class SquareClamped(Function):
    """The gradient is clamped at 20."""

    def slope(self, x):
        return np.clip(2 * x, -20, 20)


@planted(_X, cause=_REGION + "|large")
class SquareOfLarge(Function):
    """For inputs above 500 the gradient is zero."""

    def slope(self, x):
        return np.where(np.abs(x) < 500, 2 * x, 0)


@planted(_X, cause=NOT_FINITE)
class LogCoshOverflows(LogCosh):
    """The gradient is NaN beyond 710."""

    def slope(self, x):
        return np.sinh(x) / np.cosh(x)


@planted(_X, cause=_REGION + r"|zero|`0\.5` .{0,12} were 0")
class SoftShrinkInside(SoftShrink):
    """Inside the threshold the gradient is one as well."""

    def slope(self, x):
        return np.ones_like(x)


@planted(_X, cause=NOT_FINITE + "|zero")
class SincAtZero(Sinc):
    """At zero the gradient is NaN."""

    def slope(self, x):
        return (np.cos(x) - np.sin(x) / x) / x


@planted(_X, cause=_REGION + "|zero|small")
class SincNearZero(Sinc):
    """The series near zero has the wrong sign."""

    def slope(self, x):
        return np.where(np.abs(x) < 1e-2, -1, 1) * super().slope(x)


@planted(_X, cause=NOT_FINITE + "|integer|whole")
class TrianglesAtIntegers(Triangles):
    """At whole numbers the gradient is NaN."""

    def slope(self, x):
        rest = x - np.round(x)
        return rest / np.abs(rest)


@planted(_X, cause=FACTOR + "|1.00001|1e-05")
class CubeConstantOff(Cube):
    """The constant is 3.00003."""

    def slope(self, x):
        return 3.00003 * x * x


@planted(normal(4, 5, scale=2.0), cause="constant|digits|relative|small|factor")
class GELUConstant(GELU):
    """The constant of the backward pass has five digits."""

    c = 0.79788


@planted(_X, cause="constant|digits|relative|small|factor|times")
class SELUConstant(SELU):
    """The scale of the backward pass has five digits."""

    scale = 1.0507


@planted(normal(4, 5), cause="constant|digits|relative|small|factor|where|negative")
class SELUAlpha(SELU):
    """The alpha of the backward pass has five digits."""

    alpha = 1.67326


@planted(normal(4, 5), cause="shift|by one|roll|moved|neighbour")
class ReLUShifted(ReLU):
    """The mask is that of the neighbour."""

    def slope(self, x):
        return np.roll(x > 0, 1, 1)


@planted(_X, cause="17|batch|last sample|last row")
class CubeOfSeventeen(Cube):
    """A batch of seventeen is handled in blocks of sixteen, and the rest is forgotten."""

    def slope(self, x):
        found = super().slope(x)
        if len(x) % 16 == 1 and len(x) > 1:
            found[-1] = 0
        return found


@planted(normal(4, 5), cause="batch of one|one sample|batch size|single|batch of 1|alone")
class CubeOfOne(Cube):
    """For a batch of one sample the gradient is halved."""

    def slope(self, x):
        return super().slope(x) / (2 if len(x) == 1 else 1)


@planted(_X, cause=FLOAT32)
class CubeFloat32(Cube):
    """In float32 the gradient is off by a factor of 0.999."""

    def slope(self, x):
        return super().slope(x) * (0.999 if x.dtype == np.float32 else 1)


@planted(normal(4, 5), cause=FLOAT32)
class CubeFloat32Half(Cube):
    """In float32 the gradient is halved."""

    def slope(self, x):
        return super().slope(x) * (0.5 if x.dtype == np.float32 else 1)


@planted(_X, cause=FLOAT32)
class SincFloat32Value(Sinc):
    """In float32 the output is off by a factor of 0.999."""

    def value(self, x):
        found = super().value(x)
        return found * x.dtype.type(0.999) if x.dtype == np.float32 else found


@planted(_X, cause=FLOAT32 + "|float16|half|precision")
class MishFloat16(Mish):
    """In float32 the slope is computed in float16."""

    def slope(self, x):
        return super().slope(x.astype(np.float16) if x.dtype == np.float32 else x)


@planted(_X, cause=lacks("term|product|factor") + "|term|product rule|takes")
class MishWithoutSecondTerm(Mish):
    """The factor tanh(softplus(x)) is taken as a constant."""

    def slope(self, x):
        return np.tanh(np.logaddexp(0, x))


@planted(_X, cause="factor|times|scal|3/7|of the true")
class DropScaledByP(Drop):
    """The gradient is scaled by 1 / p instead of 1 / (1 - p)."""

    def mask(self, kept):
        return kept / 0.3


@planted(_X, cause="mask|where|zero|dropped|condition|inverted|random")
class DropMaskInverted(Drop):
    """The gradient passes where the input was dropped."""

    def mask(self, kept):
        return ~kept / 0.7


@planted(_X, cause="evaluation")
class DropEvaluation(Drop):
    """In evaluation mode the gradient is scaled by 0.7."""

    def plain(self, grad):
        return grad * grad.dtype.type(0.7)


@planted(normal(4, 5), cause="evaluation")
class RandomLeakyEvaluation(RandomLeaky):
    """In evaluation mode the gradient is that of a plain ReLU."""

    def evaluation(self, positive, slope):
        return positive


@planted(normal(4, 5), cause="evaluation")
class BlockEvaluation(Block):
    """In evaluation mode the child's backward pass is skipped."""

    def backward(self, ctx, grad):
        return super().backward(ctx, grad) if ctx.was_training else grad
