"""Planted bugs in products of several inputs or parts: bilinear, einsum, gates, distances."""

import numpy as np

import npnet
from zoo.mutants import COUPLING, FLOAT32, NOT_FINITE, lacks, normal, planted

_AB = ((4, 3), (4, 3))
_X = (3, 4)


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


class Bilinear(npnet.Layer):
    """y_o = a W_o b + bias_o of two inputs of the same size."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(2)
        self.weight = npnet.Parameter(rng.normal(size=(2, 3, 3)))
        self.bias = npnet.Parameter(rng.normal(size=2))

    def forward(self, ctx, a, b):
        ctx.save(a, b)
        return np.einsum("ni,oij,nj->no", a, self.weight.data, b) + self.bias.data

    def backward(self, ctx, grad):
        a, b = ctx.saved
        ctx.add_grad(self.weight, self.dweight(grad, a, b))
        ctx.add_grad(self.bias, grad.sum(0))
        return self.da(grad, b), self.db(grad, a)

    def dweight(self, grad, a, b):
        return np.einsum("no,ni,nj->oij", grad, a, b)

    def da(self, grad, b):
        return np.einsum("no,oij,nj->ni", grad, self.weight.data, b)

    def db(self, grad, a):
        return np.einsum("no,oij,ni->nj", grad, self.weight.data, a)


class Gated(npnet.Layer):
    """GLU: the first half of x times the sigmoid of the second."""

    def forward(self, ctx, x):
        half = x.shape[-1] // 2
        value, gate = x[..., :half], sigmoid(x[..., half:])
        ctx.save(value, gate)
        return value * gate

    def backward(self, ctx, grad):
        value, gate = ctx.saved
        return np.concatenate(self.parts(grad * gate, grad * value * self.slope(gate)), -1)

    def parts(self, value, gate):
        return value, gate

    def slope(self, gate):
        return gate * (1 - gate)


class Highway(npnet.Layer):
    """t a + (1 - t) b with the gate t = sigmoid(gate): three inputs."""

    def forward(self, ctx, a, b, gate):
        t = sigmoid(gate)
        ctx.save(a, b, t)
        return t * a + (1 - t) * b

    def backward(self, ctx, grad):
        a, b, t = ctx.saved
        return grad * t, self.db(grad, t), grad * self.difference(a, b) * t * (1 - t)

    def db(self, grad, t):
        return grad * (1 - t)

    def difference(self, a, b):
        return a - b


class FiLM(npnet.Layer):
    """gamma x + beta of x (n, c, t) and gamma, beta (n, c)."""

    def forward(self, ctx, x, gamma, beta):
        ctx.save(x, gamma)
        return x * gamma[..., None] + beta[..., None]

    def backward(self, ctx, grad):
        x, gamma = ctx.saved
        return self.scaled(grad, gamma), self.total(grad * x), self.dbeta(grad)

    def scaled(self, grad, gamma):
        return grad * gamma[..., None]

    def total(self, a):
        return a.sum(-1)

    def dbeta(self, grad):
        return grad.sum(-1)


class Cosine(npnet.Layer):
    """The cosine between the rows of two inputs."""

    def forward(self, ctx, a, b):
        na, nb = (np.sqrt((v * v).sum(-1, keepdims=True) + 1e-12) for v in (a, b))
        y = (a / na * (b / nb)).sum(-1)
        ctx.save(a / na, b / nb, na, nb, y)
        return y

    def backward(self, ctx, grad):
        a, b, na, nb, y = ctx.saved
        grad, y = grad[..., None], y[..., None]
        return grad * (b - y * a) / na, grad * self.db(a, b, y) / nb

    def db(self, a, b, y):
        return a - y * b


class Distances(npnet.Layer):
    """The Euclidean distance of the rows of two inputs; its derivative at 0 is taken as 0."""

    def forward(self, ctx, a, b):
        d = np.sqrt(((a - b) ** 2).sum(-1))
        ctx.save(a - b, d)
        return d

    def backward(self, ctx, grad):
        difference, d = ctx.saved
        unit = grad[..., None] * self.unit(difference, d[..., None])
        return unit, self.other(unit)

    def unit(self, difference, d):
        return difference / np.where(d > 0, d, 1)

    def other(self, unit):
        return -unit


class Mix(npnet.Layer):
    """sigmoid(alpha) a + (1 - sigmoid(alpha)) b with one learned number for each column."""

    def __init__(self):
        super().__init__()
        self.alpha = npnet.Parameter(np.array([0.5, -1.0, 1.5]))

    def forward(self, ctx, a, b):
        ctx.save(a, b)
        t = sigmoid(self.alpha.data)
        return t * a + (1 - t) * b

    def backward(self, ctx, grad):
        a, b = ctx.saved
        t = sigmoid(self.alpha.data)
        ctx.add_grad(self.alpha, self.dalpha(grad * (a - b), t))
        return grad * t, grad * (1 - t)

    def dalpha(self, product, t):
        return (product * t * (1 - t)).sum(0)


class TwoOutputs(npnet.Layer):
    """a = x W and b = tanh(x W), both with W."""

    def __init__(self):
        super().__init__()
        self.weight = npnet.Parameter(np.random.default_rng(1).normal(size=(4, 3)))

    def forward(self, ctx, x):
        a = x @ self.weight.data
        b = np.tanh(a)
        ctx.save(x, b)
        return a, b

    def backward(self, ctx, da, db):
        x, b = ctx.saved
        da = np.zeros_like(b) if da is None else da
        db = np.zeros_like(b) if db is None else db
        grad = self.joined(da, db, b)
        ctx.add_grad(self.weight, x.T @ self.weights_grad(grad, da))
        return grad @ self.weight.data.T

    def joined(self, da, db, b):
        return da + db * (1 - b * b)

    def weights_grad(self, grad, da):
        return grad


class Polar(npnet.Layer):
    """r and the angle of x and y."""

    def forward(self, ctx, x, y):
        ctx.save(x, y)
        return np.sqrt(x * x + y * y), np.arctan2(y, x)

    def backward(self, ctx, dr, da):
        x, y = ctx.saved
        dr = np.zeros_like(x) if dr is None else dr
        da = np.zeros_like(x) if da is None else da
        r2 = x * x + y * y
        r2 = np.where(r2 > 0, r2, 1)
        r = np.sqrt(r2)
        return dr * x / r - self.angle(da, r2, r) * y, dr * y / r + self.angle(da, r2, r) * x

    def angle(self, da, r2, r):
        return da / r2


class Swish(npnet.Layer):
    """x sigmoid(beta x) with a learned beta for each column."""

    def __init__(self):
        super().__init__()
        self.beta = npnet.Parameter(np.array([1.5, 0.5, 2.0, -1.0]))

    def forward(self, ctx, x):
        s = sigmoid(self.beta.data * x)
        ctx.save(x, s)
        return x * s

    def backward(self, ctx, grad):
        x, s = ctx.saved
        slope = s * (1 - s)
        ctx.add_grad(self.beta, self.dbeta(grad, x, slope))
        return grad * (s + self.second(x, slope))

    def dbeta(self, grad, x, slope):
        return (grad * x * x * slope).sum(0)

    def second(self, x, slope):
        return self.beta.data * x * slope


_FILM = ((2, 3, 4), (2, 3), (2, 3))
_POLAR = (normal(3, 4) + 2, normal(3, 4) - 3)
BASES = (
    (Bilinear, _AB),
    (Gated, (_X,)),
    (Highway, ((3, 4),) * 3),
    (FiLM, _FILM),
    (Cosine, _AB),
    (Distances, _AB),
    (Mix, _AB),
    (TwoOutputs, (_X,)),
    (Polar, _POLAR),
    (Swish, (_X,)),
)


@planted(*_AB, cause="swap|as that of")
class BilinearInputsSwapped(Bilinear):
    """The gradients of the two inputs are swapped."""

    def backward(self, ctx, grad):
        return super().backward(ctx, grad)[::-1]


@planted(*_AB, cause="transpos|axes")
class BilinearTransposed(Bilinear):
    """The first input's gradient uses the transposed weights."""

    def da(self, grad, b):
        return np.einsum("no,oij,ni->nj", grad, self.weight.data, b)


@planted(normal(4, 3), normal(4, 3) + 1, cause="transpos|axes")
class BilinearWeightTransposed(Bilinear):
    """The weight's gradient is transposed."""

    def dweight(self, grad, a, b):
        return np.einsum("no,nj,ni->oij", grad, a, b)


@planted(*_AB, cause="batch|sample|summed")
class BilinearWeightOfFirst(Bilinear):
    """The weight's gradient is not summed over the batch."""

    def dweight(self, grad, a, b):
        return super().dweight(grad[:1], a[:1], b[:1])


@planted(*_AB, cause="sum|einsum|factori|term|product|batch|coupl|sample|together|each")
class BilinearSumsFirst(Bilinear):
    """The weight's gradient sums each factor over the batch before the product."""

    def dweight(self, grad, a, b):
        return np.einsum("o,i,j->oij", grad.sum(0), a.sum(0), b.sum(0))


@planted(*_AB, cause="2 times|factor|twice")
class BilinearTwice(Bilinear):
    """The second input's gradient is added twice."""

    def db(self, grad, a):
        return 2 * super().db(grad, a)


@planted(_X, cause="swap|exchang|order|shift|permut|halves|block")
class GatedHalvesSwapped(Gated):
    """The gradients of value and gate are swapped."""

    def parts(self, value, gate):
        return gate, value


@planted(_X, cause=lacks("factor|derivative|1 - ") + "|1 - |rows? 2, 3|rows? 2-3")
class GatedSlope(Gated):
    """The sigmoid's slope lacks the factor 1 - gate."""

    def slope(self, gate):
        return gate


@planted(normal(3, 4), cause=r"zero|lacks what comes through `sigmoid")
class GatedGateForgotten(Gated):
    """The gate gets no gradient."""

    def slope(self, gate):
        return 0 * gate


@planted((3, 4), (3, 4), (3, 4), cause=lacks("term|input 1|path|product") + "|input 1")
class HighwayCarryForgotten(Highway):
    """The gate's gradient lacks the way through b."""

    def difference(self, a, b):
        return a


@planted((3, 4), (3, 4), (3, 4), cause="1 - |swap|as that of|factor|complement|sign|term")
class HighwayWithoutComplement(Highway):
    """The gradient of b has the factor t instead of 1 - t."""

    def db(self, grad, t):
        return grad * t


@planted((3, 4), (3, 4), (3, 4), cause="sign|minus|-1|negat")
class HighwaySign(Highway):
    """The gate's gradient has the wrong sign."""

    def difference(self, a, b):
        return b - a


@planted(*_FILM, cause=lacks("sum|position") + "|summed|first|position")
class FiLMGammaOfFirst(FiLM):
    """The gradient of gamma is that of the first position."""

    def total(self, a):
        return a[..., 0].copy()


@planted(*_FILM, cause="input 1|gamma|factor")
class FiLMForgetsGamma(FiLM):
    """The gradient of x lacks the factor gamma."""

    def scaled(self, grad, gamma):
        return grad.copy()


@planted(*_FILM, cause="1/4|averag|mean")
class FiLMBetaAveraged(FiLM):
    """The gradient of beta is a mean over the positions."""

    def dbeta(self, grad):
        return grad.mean(-1)


@planted(*_AB, cause=COUPLING)
class CosineConstantNorm(Cosine):
    """The second input's norm is taken as a constant."""

    def db(self, a, b, y):
        return a


@planted(*_AB, cause="sign|term|opposite|multiple")
class CosineSign(Cosine):
    """The projection is added instead of subtracted."""

    def db(self, a, b, y):
        return a + y * b


@planted(*_AB, cause="sign|minus|-1|negat")
class DistancesSign(Distances):
    """The second input's gradient has the wrong sign."""

    def other(self, unit):
        return unit


@planted(*_AB, cause=NOT_FINITE + "|zero|equal|tie")
class DistancesOfEqual(Distances):
    """Where both inputs are equal the gradient is NaN."""

    def unit(self, difference, d):
        return difference / d


@planted(*_AB, cause=lacks("factor|norm|root") + "|per sample|each sample|row|2 times|factor")
class DistancesSquared(Distances):
    """The gradient is that of the squared distance."""

    def unit(self, difference, d):
        return 2 * difference


@planted(*_AB, cause=lacks("factor|derivative") + "|factor|1 - |per column|each column|axis")
class MixSlope(Mix):
    """The gradient of alpha lacks the sigmoid's derivative."""

    def dalpha(self, product, t):
        return product.sum(0)


@planted(*_AB, cause="batch|sample|summed")
class MixOfFirst(Mix):
    """The gradient of alpha is not summed over the batch."""

    def dalpha(self, product, t):
        return (product * t * (1 - t))[:1].sum(0)


@planted(_X, cause=r"output 1|second output|outputs?\[1\]|of output|output 'b'")
class TwoOutputsSlope(TwoOutputs):
    """The second output's gradient lacks the derivative of tanh."""

    def joined(self, da, db, b):
        return da + db


@planted(_X, cause=r"output 0|first output|outputs?\[0\]|of output|zero|unused")
class TwoOutputsFirstForgotten(TwoOutputs):
    """The first output's gradient is forgotten."""

    def joined(self, da, db, b):
        return db * (1 - b * b)


@planted(normal(3, 4), cause=r"output 1|second output|outputs?\[1\]|of output")
class TwoOutputsWeightOfFirst(TwoOutputs):
    """The weight gets the gradient of the first output alone."""

    def weights_grad(self, grad, da):
        return da


@planted(*_POLAR, cause=r"output 1|second output|outputs?\[1\]|of output")
class PolarAngle(Polar):
    """The angle's gradient is divided by r instead of r^2."""

    def angle(self, da, r2, r):
        return da / r


@planted(_X, cause="beta|factor")
class SwishForgetsBeta(Swish):
    """The second term of the input's gradient lacks beta."""

    def second(self, x, slope):
        return x * slope


@planted(_X, cause=lacks("factor|by input") + "|times (the )?input|factor")
class SwishBetaOnce(Swish):
    """The gradient of beta lacks one of two factors x."""

    def dbeta(self, grad, x, slope):
        return (grad * x * slope).sum(0)


@planted(normal(3, 4), cause=FLOAT32)
class SwishFloat32(Swish):
    """In float32 the gradient of beta is off by a factor of 0.999."""

    def dbeta(self, grad, x, slope):
        found = super().dbeta(grad, x, slope)
        return found * found.dtype.type(0.999) if found.dtype == np.float32 else found
