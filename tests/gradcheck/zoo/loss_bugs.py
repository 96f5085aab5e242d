"""Planted bugs in losses that people write: robust, probabilistic, of distances, with masks."""

import numpy as np

import npnet
from npnet.losses.loss import Terms
from zoo.mutants import COUPLING, FACTOR, FLOAT32, NOT_FINITE, lacks, normal, planted

_REAL = (normal(4, 3), normal(4, 3, scale=0.5, shift=0.3))
_FAR = (normal(4, 3, scale=4.0), normal(4, 3, scale=0.5, shift=0.3))
_BINARY = (normal(4, 3), (normal(4, 3, shift=0.5) > 0) * 1.0)
_COUNTS = (normal(4, 3), np.arange(12.0).reshape(4, 3) % 4)
_REGION = r"where|region|beyond|above|below|between|around|larger|sign"


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


class ErrorLoss(npnet.Loss):
    """Terms value(pred - target) with the derivative slope(pred - target)."""

    def terms(self, pred, target, with_grad):
        error = pred - self._same_shape(pred, target)
        grad = self.slope(error).astype(pred.dtype) if with_grad else None
        return Terms(self.value(error), None, grad)

    def value(self, error):
        return error * error

    def slope(self, error):
        return 2 * error


class Huber(ErrorLoss):
    """e^2 / 2 up to 2, 2 (|e| - 1) beyond."""

    def value(self, error):
        a = np.abs(error)
        return np.where(a < 2, a * a / 2, 2 * (a - 1))

    def slope(self, error):
        return np.clip(error, -2, 2)


class SmoothL1(ErrorLoss):
    """e^2 up to 1/2, |e| - 1/4 beyond."""

    def value(self, error):
        a = np.abs(error)
        return np.where(a < 0.5, a * a, a - a.dtype.type(0.25))

    def slope(self, error):
        return np.where(np.abs(error) < 0.5, 2 * error, np.sign(error))


class Quantile(ErrorLoss):
    def value(self, error):
        return np.where(error > 0, error * error.dtype.type(0.2), error * error.dtype.type(-0.8))

    def slope(self, error):
        return np.where(error > 0, 0.2, -0.8)


class LogCosh(ErrorLoss):
    def value(self, error):
        return np.logaddexp(error, -error)

    def slope(self, error):
        return np.tanh(error)


class Focal(npnet.Loss):
    """-(1 - q)^2 log q with q the probability of the right answer of 0 or 1."""

    def terms(self, pred, target, with_grad):
        sign = 2 * self._same_shape(pred, target) - 1
        q, log = sigmoid(sign * pred), -np.logaddexp(0, -sign * pred)
        grad = sign * q * (1 - q) * self.slope(q, log) if with_grad else None
        return Terms(-((1 - q) ** 2) * log, None, grad)

    def slope(self, q, log):
        return 2 * (1 - q) * log - (1 - q) ** 2 / q


class Poisson(npnet.Loss):
    """exp(pred) - target pred."""

    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        grad = self.slope(pred, target) if with_grad else None
        return Terms(np.exp(pred) - target * pred, None, grad)

    def slope(self, pred, target):
        return np.exp(pred) - target


class Divergence(npnet.Loss):
    """KL divergence of softmax(pred) from a target distribution, one term for each row."""

    def terms(self, pred, target, with_grad):
        q = self._same_shape(pred, target)
        top = pred.max(-1, keepdims=True)
        log = pred - top - np.log(np.exp(pred - top).sum(-1, keepdims=True))
        values = (q * (np.log(np.where(q > 0, q, 1)) - log)).sum(-1)
        return Terms(values, None, self.slope(log, q) if with_grad else None)

    def slope(self, log, q):
        return np.exp(log) * q.sum(-1, keepdims=True) - q


class GaussianNLL(npnet.Layer):
    """(log var + (mean - target)^2 / var) / 2 of three inputs."""

    def forward(self, ctx, mean, target, var):
        error = mean - target
        ctx.save(error, var)
        return (np.log(var) + error**2 / var) / 2

    def backward(self, ctx, grad):
        error, var = ctx.saved
        dmean = grad * self.dmean(error, var)
        return dmean, -grad * error / var, grad * self.dvar(error, var)

    def dmean(self, error, var):
        return error / var

    def dvar(self, error, var):
        return (1 - error**2 / var) / (2 * var)


class Triplet(npnet.Layer):
    """max(|a - p|^2 - |a - n|^2 + 1, 0) for each row."""

    def forward(self, ctx, anchor, positive, negative):
        p, n = anchor - positive, anchor - negative
        y = np.maximum((p * p).sum(-1) - (n * n).sum(-1) + 1, 0)
        ctx.save(y > 0, p, n)
        return y

    def backward(self, ctx, grad):
        on, p, n = ctx.saved
        return self.gradients((grad * on)[:, None], grad[:, None], p, n)

    def gradients(self, active, grad, p, n):
        return active * 2 * (p - n), active * -2 * p, active * 2 * n


class Hinge(npnet.Loss):
    """max(1 - pred target, 0)."""

    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        margin = 1 - pred * target
        grad = -target * self.active(margin) if with_grad else None
        return Terms(np.maximum(margin, 0), None, grad)

    def active(self, margin):
        return margin > 0


class Dice(npnet.Loss):
    """1 - 2 sum(p t) / (sum p + sum t) of each row, with p = sigmoid(pred)."""

    def terms(self, pred, target, with_grad):
        t, p = self._same_shape(pred, target), sigmoid(pred)
        total = (p + t).sum(-1, keepdims=True) + 1
        ratio = 2 * (p * t).sum(-1, keepdims=True) / total
        grad = p * (1 - p) * self.slope(t, ratio, total) if with_grad else None
        return Terms(1 - ratio[..., 0], None, grad)

    def slope(self, t, ratio, total):
        return (ratio - 2 * t) / total


class Masked(npnet.Loss):
    """Squared error where the target is not -1."""

    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        mask = (target != -1).astype(pred.dtype)
        error = pred - target
        return Terms(mask * error**2, mask, self.kept(2 * error, mask) if with_grad else None)

    def kept(self, grad, mask):
        return mask * grad


class RootMeanSquare(npnet.Loss):
    """The root of the mean squared error of each row."""

    def terms(self, pred, target, with_grad):
        error = pred - self._same_shape(pred, target)
        root = np.sqrt((error * error).mean(-1) + 1e-12)
        grad = self.slope(error, root[..., None]) if with_grad else None
        return Terms(root, None, grad)

    def slope(self, error, root):
        return error / (root * error.shape[-1])


class Probabilities(npnet.Loss):
    """Cross-entropy of probabilities, with a logarithm that is cut off at -100."""

    def terms(self, pred, target, with_grad):
        t = self._same_shape(pred, target)
        log = [np.maximum(np.log(np.where(p > 0, p, 1e-45)), -100) for p in (pred, 1 - pred)]
        grad = self.slope(pred, t) if with_grad else None
        return Terms(-(t * log[0] + (1 - t) * log[1]), None, grad)

    def slope(self, p, t):
        return (p - t) / np.maximum(p * (1 - p), 1e-12)


_SIGNS = (normal(4, 3), np.sign(normal(4, 3, shift=0.3)))
_DISTRIBUTION = (normal(3, 4), np.array([[0.1, 0.2, 0.3, 0.4], [1, 0, 0, 0], [0.5, 0.5, 0, 0]]))
_GAUSS = (normal(4, 3), normal(4, 3) + 0.5, normal(4, 3) ** 2 + 0.5)
_THREE = (normal(5, 3), normal(5, 3)[::-1] + 0.5, normal(5, 3)[:, ::-1] * 1.5)
_HOLES = (normal(4, 3), np.where(normal(4, 3) > 0.4, -1.0, 0.5))
_CHANCES = (0.1 + 0.8 * sigmoid(normal(4, 3)), (normal(4, 3) > 0) * 1.0)
BASES = (
    *((make, _FAR) for make in (ErrorLoss, Huber, SmoothL1, Quantile, LogCosh, RootMeanSquare)),
    (Focal, _BINARY),
    (Poisson, _COUNTS),
    (Divergence, _DISTRIBUTION),
    (GaussianNLL, _GAUSS),
    (Triplet, _THREE),
    (Hinge, _SIGNS),
    (Dice, _BINARY),
    (Masked, _HOLES),
    (Probabilities, _CHANCES),
)


@planted(*_FAR, cause=_REGION + "|2 times|1/2|factor")
class HuberSlope(Huber):
    """Beyond 2 the slope is one instead of two."""

    def slope(self, error):
        return np.where(np.abs(error) < 2, error, np.sign(error))


@planted(*_FAR, cause=_REGION)
class HuberNoEnd(Huber):
    """Beyond 2 the gradient goes on growing."""

    def slope(self, error):
        return error


@planted((4, 3), normal(4, 3, scale=0.2), cause=_REGION)
class HuberNoEndUnseen(Huber):
    """Beyond 4 the gradient goes on growing; the random errors are smaller."""

    def slope(self, error):
        return np.where(np.abs(error) < 4, np.clip(error, -2, 2), error)


@planted(*_REAL, cause=_REGION + "|factor|1/2")
class SmoothL1Slope(SmoothL1):
    """Inside, the factor 2 is forgotten."""

    def slope(self, error):
        return np.where(np.abs(error) < 0.5, error, np.sign(error))


@planted(*_REAL, cause=_REGION + "|swap|factor|off by")
class QuantileSwapped(Quantile):
    """The slopes of the two sides are swapped."""

    def slope(self, error):
        return np.where(error > 0, 0.8, -0.2)


@planted((4, 3), normal(4, 3), cause=NOT_FINITE)
class LogCoshLossOverflows(LogCosh):
    """The gradient is NaN for errors above 710."""

    def slope(self, error):
        return np.sinh(error) / np.cosh(error)


@planted(*_REAL, cause=FLOAT32)
class ErrorFloat32(ErrorLoss):
    """In float32 the gradient is halved."""

    def slope(self, error):
        return error if error.dtype == np.float32 else 2 * error


@planted(*_REAL, cause=FACTOR + "|1.00001|1e-05")
class ErrorConstantOff(ErrorLoss):
    """The gradient is off by a factor of 1.00001."""

    def slope(self, error):
        return 2.00002 * error


@planted((4, 3), normal(4, 3), cause="clip|clamp|" + _REGION)
class ErrorClamped(ErrorLoss):
    """The gradient is clamped at 10; the errors are smaller."""

    def slope(self, error):
        return np.clip(2 * error, -10, 10)


@planted(*_BINARY, cause=lacks("term|product|factor|gamma"))
class FocalWithoutGamma(Focal):
    """The modulating factor is taken as a constant."""

    def slope(self, q, log):
        return -((1 - q) ** 2) / q


@planted(*_BINARY, cause="sign|term|two|combin")
class FocalSign(Focal):
    """One of the two terms has the wrong sign."""

    def slope(self, q, log):
        return -2 * (1 - q) * log - (1 - q) ** 2 / q


@planted(*_COUNTS, cause=lacks("exp|factor|term|target") + "|off by|target|exp")
class PoissonWithoutExp(Poisson):
    """The exponential is missing."""

    def slope(self, pred, target):
        return pred - target


@planted(*_COUNTS, cause=lacks("target|term") + "|target|off by|term")
class PoissonWithoutTarget(Poisson):
    """The target's term is missing."""

    def slope(self, pred, target):
        return np.exp(pred)


@planted(*_DISTRIBUTION, cause=COUPLING + "|term|softmax|factor|exp")
class DivergenceWithoutSoftmax(Divergence):
    """The gradient takes log-probabilities for what is predicted."""

    def slope(self, log, q):
        return -q


@planted(*_DISTRIBUTION, cause=r"1/4|averag|mean|factor")
class DivergenceAveraged(Divergence):
    """The gradient is divided by the number of classes."""

    def slope(self, log, q):
        return super().slope(log, q) / q.shape[-1]


@planted(*_GAUSS, cause="2 times|factor|twice")
class GaussianVarianceHalf(GaussianNLL):
    """The variance's gradient lacks the factor 1/2."""

    def dvar(self, error, var):
        return (1 - error**2 / var) / var


@planted(*_GAUSS, cause=lacks("factor|term|var") + "|factor|var")
class GaussianMean(GaussianNLL):
    """The mean's gradient is not divided by the variance."""

    def dmean(self, error, var):
        return error.copy()


@planted(*_GAUSS, cause=lacks("term|log") + "|term|off by")
class GaussianWithoutLog(GaussianNLL):
    """The logarithm's term is missing in the variance's gradient."""

    def dvar(self, error, var):
        return -(error**2) / (2 * var * var)


@planted(*_THREE, cause="sign|minus|-1|negat")
class TripletNegativeSign(Triplet):
    """The negative's gradient has the wrong sign."""

    def gradients(self, active, grad, p, n):
        return active * 2 * (p - n), active * -2 * p, active * -2 * n


@planted(*_THREE, cause=lacks("term|path|negative") + "|term|negative")
class TripletAnchorHalf(Triplet):
    """The anchor's gradient lacks the negative's term."""

    def gradients(self, active, grad, p, n):
        return active * 2 * p, active * -2 * p, active * 2 * n


@planted(*_THREE, cause="swap|as that of")
class TripletSwapped(Triplet):
    """The gradients of positive and negative are swapped."""

    def gradients(self, active, grad, p, n):
        a, b, c = super().gradients(active, grad, p, n)
        return a, c, b


@planted(*_THREE, cause="where|zero|inactive|row|sample|active|condition")
class TripletAlwaysActive(Triplet):
    """Triplets beyond the margin get a gradient as well."""

    def gradients(self, active, grad, p, n):
        return super().gradients(grad, grad, p, n)


@planted(*_SIGNS, cause="where|margin|condition|zero|region|between")
class HingeWithoutMargin(Hinge):
    """The margin is forgotten in the gradient."""

    def active(self, margin):
        return margin > 1


@planted(*_SIGNS, cause="inverted|condition|where|zero")
class HingeInverted(Hinge):
    """The condition is inverted."""

    def active(self, margin):
        return margin <= 0


@planted(*_BINARY, cause=COUPLING + "|denominator|term|off by")
class DiceConstant(Dice):
    """The denominator is taken as a constant."""

    def slope(self, t, ratio, total):
        return -2 * t / total


@planted(*_HOLES, cause="mask|target|where|zero")
class MaskedIgnoresMask(Masked):
    """The gradient ignores the mask."""

    def kept(self, grad, mask):
        return grad


@planted(*_REAL, cause=lacks("factor|root") + "|factor|row|sample")
class RootMeanSquareForgetsRoot(RootMeanSquare):
    """The gradient is that of half the mean square."""

    def slope(self, error, root):
        return error / error.shape[-1]


@planted(*_REAL, cause="3 times|factor|division|mean")
class RootMeanSquareSum(RootMeanSquare):
    """The gradient is that of the root of the sum."""

    def slope(self, error, root):
        return error / root


@planted(np.array([[0.0, 0.3, 1.0], [0.6, 0.2, 0.9]]), np.array([[0.0, 1.0, 1.0], [1, 0, 1]]),
         cause=NOT_FINITE)  # fmt: skip
class ProbabilitiesAtTheEnds(Probabilities):
    """At probabilities of 0 and 1 the gradient is NaN."""

    def slope(self, p, t):
        return (p - t) / (p * (1 - p))
