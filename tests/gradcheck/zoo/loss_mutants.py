"""Planted bugs in the losses."""

import numpy as np

import npnet
from npnet.losses.loss import Terms
from zoo.mutants import normal, planted

_REAL = (normal(4, 3), normal(4, 3, scale=0.5, shift=0.3))
_LABELS = (normal(4, 3), np.array([0, 2, 1, 2]))
_BINARY = (normal(4, 3), (normal(4, 3, shift=0.5) > 0) * 1.0)


class _MSE(npnet.MSELoss):
    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        return Terms(values, weights, self.change(grad) if with_grad else None, axes)


@planted(*_REAL, says="factor")
class MSEHalf(_MSE):
    """The 2 of the derivative is forgotten."""

    def change(self, grad):
        return grad / 2


@planted(*_REAL, says="factor")
class MSESign(_MSE):
    """The sign is wrong."""

    def change(self, grad):
        return -grad


@planted(*_REAL, says="factor")
class MSEAveragedTwice(_MSE):
    """The gradient is divided by the batch size besides."""

    def change(self, grad):
        return grad / max(len(grad), 1)


@planted(*_REAL, says="rows")
class MSEFirstRow(_MSE):
    """Only the first sample gets a gradient."""

    def change(self, grad):
        grad[1:] = 0
        return grad


@planted(*_REAL, says="elements")
class MSEElement(_MSE):
    """One element is off by 0.1 %."""

    def change(self, grad):
        grad[-1:, 1:2] *= 1.001
        return grad


@planted(*_REAL, says="zero")
class MSEZero(_MSE):
    """The gradient is zero."""

    def change(self, grad):
        return np.zeros_like(grad)


@planted(*_REAL, says=("float32", "precision"))
class MSEFloat32(_MSE):
    """The gradient is rounded to float32."""

    def change(self, grad):
        return grad.astype(np.float32).astype(grad.dtype)


@planted(*_REAL, says=("shapes and dtypes", "raised"))
class MSEAlwaysFloat64(_MSE):
    """The gradient is float64 whatever comes in."""

    def change(self, grad):
        return grad.astype(np.float64)


@planted(*_REAL, says=("input unchanged", "mutation"))
class MSEWritesPrediction(npnet.MSELoss):
    """The error is computed in the prediction."""

    def terms(self, pred, target, with_grad):
        pred -= self._same_shape(pred, target)
        return Terms(pred * pred, None, 2 * pred if with_grad else None)


@planted(*_REAL, says=("input unchanged", "gradients not shared", "mutation"))
class MSEWritesTarget(npnet.MSELoss):
    """The gradient is computed in the target."""

    def terms(self, pred, target, with_grad):
        error = pred - self._same_shape(pred, target)
        if not with_grad:
            return Terms(error * error, None, None)
        np.multiply(error, 2, out=target, casting="unsafe")
        return Terms(error * error, None, target.astype(pred.dtype))


@planted(normal(4, 1), normal(4, 1), says=("target shape",))
class MSEBroadcasts(npnet.MSELoss):
    """A target of another shape is broadcast."""

    def terms(self, pred, target, with_grad):
        error = pred - target.astype(pred.dtype)
        grad = 2 * error.reshape(-1, *pred.shape).sum(0) if with_grad else None
        return Terms(error * error, None, grad)


@planted(*_REAL, says=("one value",))
class MSETwoValues(npnet.MSELoss):
    """The value without a gradient is another than with it."""

    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        return Terms(values if with_grad else 0.5 * values, weights, grad, axes)


@planted(*_REAL, says=("no state on self",))
class MSEOneBuffer(npnet.MSELoss):
    """All calls write the gradient into one array."""

    def __init__(self):
        super().__init__()
        self.buffers = {}

    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        if grad is not None:
            out = self.buffers.setdefault((grad.shape, grad.dtype), np.empty_like(grad))
            out[...] = grad
            grad = out
        return Terms(values, weights, grad, axes)


@planted(*_REAL, says=("batch independence",))
class MSECentred(npnet.MSELoss):
    """The batch's mean error is taken away, with the right gradient."""

    def terms(self, pred, target, with_grad):
        error = pred - self._same_shape(pred, target)
        error = error - error.mean(0) if len(error) else error
        grad = 2 * error if with_grad else None
        return Terms(error * error, None, grad)


@planted(*_REAL, says=("reductions",))
class MSEMeanIsSum(npnet.MSELoss):
    """With a sum, value and gradient are those of the mean."""

    def evaluate(self, pred, target, sample_weight=None, with_grad=True):
        found = super().evaluate(pred, target, sample_weight=sample_weight, with_grad=with_grad)
        if self.reduction != "sum" or not found.weight:
            return found
        grad = None if found.grad is None else found.grad / found.weight
        return found._replace(value=found.value / found.weight, grad=grad)


@planted(*_REAL, says=("sample weights",))
class MSEIgnoresWeights(npnet.MSELoss):
    """Sample weights are ignored."""

    def evaluate(self, pred, target, sample_weight=None, with_grad=True):
        return super().evaluate(pred, target, with_grad=with_grad)


@planted(*_REAL, says=("randomness", "non-deterministic"))
class MSENoisy(npnet.MSELoss):
    """Noise from NumPy's global generator is added to the gradient."""

    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        if grad is not None:
            grad = grad + 1e-4 * np.random.randn(*grad.shape).astype(grad.dtype)
        return Terms(values, weights, grad, axes)


@planted(*_REAL, says=("no state on self",))
class MSERunningMean(npnet.MSELoss):
    """A running mean on self is taken away."""

    def __init__(self):
        super().__init__()
        self.mean = 0.0

    def terms(self, pred, target, with_grad):
        found = super().terms(pred, target, with_grad)
        self.mean = 0.9 * self.mean + 0.1 * float(found.values.sum())
        return found


@planted(*_REAL, says=("deep copy",))
class MSECopiesAsSum(npnet.MSELoss):
    """A copy forgets the reduction."""

    def __deepcopy__(self, memo):
        return npnet.MSELoss("sum")


_seen = []


@planted(*_REAL, says=("nothing kept alive",))
class MSEKeeps(npnet.MSELoss):
    """Every prediction is kept in a global list."""

    def terms(self, pred, target, with_grad):
        _seen.append(pred)
        return super().terms(pred, target, with_grad)


@planted(*_REAL, says=("region", "factor"))
class L1Step(npnet.L1Loss):
    """The gradient is 0 where it should be -1."""

    def terms(self, pred, target, with_grad):
        error = pred - self._same_shape(pred, target)
        grad = (error > 0).astype(pred.dtype) if with_grad else None
        return Terms(np.abs(error), None, grad)


@planted(*_REAL, says=("factor",))
class L1Sum(npnet.L1Loss):
    """The gradient is not divided by the number of elements."""

    def evaluate(self, pred, target, sample_weight=None, with_grad=True):
        found = super().evaluate(pred, target, sample_weight=sample_weight, with_grad=with_grad)
        if found.grad is None or self.reduction != "mean":
            return found
        return found._replace(grad=found.grad * found.weight)


class _CE(npnet.CrossEntropyLoss):
    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        return Terms(values, weights, self.change(grad, target) if with_grad else None, axes)


@planted(*_LABELS, says=("missing term", "elements"))
class CEWithoutLabel(_CE):
    """The 1 at the label is not taken away."""

    def change(self, grad, target):
        grad[np.arange(len(grad)), target] += 1
        return grad


@planted(*_LABELS, says="factor")
class CETimesClasses(_CE):
    """The gradient is divided by the number of classes."""

    def change(self, grad, target):
        return grad / 3


@planted(*_LABELS, says=("rows", "factor"))
class CEUnweighted(_CE):
    """Class weights are missing in the gradient."""

    def __init__(self):
        super().__init__([0.5, 2.0, 1.0])

    def change(self, grad, target):
        return grad / np.array([0.5, 2.0, 1.0], grad.dtype)[target][:, None]


@planted(normal(4, 3), np.array([0, -100, 1, 2]), says="rows")
class CEIgnored(npnet.CrossEntropyLoss):
    """An ignored sample gets a gradient."""

    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        if grad is not None:
            grad[np.asarray(target) == -100] = 0.1
        return Terms(values, weights, grad, axes)


@planted(*_LABELS)
class CESmoothing(npnet.CrossEntropyLoss):
    """The gradient knows nothing of label smoothing."""

    def __init__(self):
        super().__init__(label_smoothing=0.1)

    def terms(self, pred, target, with_grad):
        values, weights, _, axes = super().terms(pred, target, False)
        plain = npnet.CrossEntropyLoss().terms(pred, target, with_grad)
        return Terms(values, weights, plain.grad, axes)


@planted(*_LABELS, says=("reductions",))
class CEMeanOverSamples(npnet.CrossEntropyLoss):
    """The mean's value divides by the number of samples, its weight says otherwise."""

    def __init__(self):
        super().__init__([0.5, 2.0, 1.0])

    def evaluate(self, pred, target, sample_weight=None, with_grad=True):
        found = super().evaluate(pred, target, sample_weight=sample_weight, with_grad=with_grad)
        if self.reduction != "mean":
            return found
        share = found.weight / max(len(np.asarray(target)), 1)
        grad = None if found.grad is None else found.grad * share
        return found._replace(value=found.value * share, grad=grad)


@planted(*_LABELS, says="factor")
class NLLSign(npnet.NLLLoss):
    """The sign is wrong."""

    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        return Terms(values, weights, None if grad is None else -grad, axes)


@planted(*_LABELS, says=("elements", "region", "missing term"))
class NLLEveryClass(npnet.NLLLoss):
    """Every class gets a gradient."""

    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        return Terms(values, weights, None if grad is None else grad * 0 - 1, axes)


@planted(*_LABELS, says=("rows", "factor", "elements"))
class NLLUnweighted(npnet.NLLLoss):
    """Class weights are missing in the gradient."""

    def __init__(self):
        super().__init__([0.5, 2.0, 1.0])

    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        return Terms(values, weights, None if grad is None else np.sign(grad), axes)


class _BCE(npnet.BCEWithLogitsLoss):
    def terms(self, pred, target, with_grad):
        values, weights, grad, axes = super().terms(pred, target, with_grad)
        return Terms(values, weights, self.change(grad, pred) if with_grad else None, axes)


@planted(*_BINARY, says=("missing factor",))
class BCETimesDerivative(_BCE):
    """The sigmoid's derivative is multiplied in."""

    def change(self, grad, pred):
        s = 1 / (1 + np.exp(-pred))
        return grad * s * (1 - s)


@planted(*_BINARY, says=("factor", "elements"))
class BCEPositiveWeight(npnet.BCEWithLogitsLoss):
    """The weight of positives is missing in the gradient."""

    def __init__(self):
        super().__init__(pos_weight=[3.0])

    def terms(self, pred, target, with_grad):
        values, weights, _, axes = super().terms(pred, target, False)
        plain = npnet.BCEWithLogitsLoss().terms(pred, target, with_grad)
        return Terms(values, weights, plain.grad, axes)


@planted(*_BINARY, says=("rows", "factor"))
class BCEWeight(npnet.BCEWithLogitsLoss):
    """The class weights are missing in the gradient."""

    def __init__(self):
        super().__init__([0.5, 2.0, 1.0])

    def terms(self, pred, target, with_grad):
        values, weights, _, axes = super().terms(pred, target, False)
        plain = npnet.BCEWithLogitsLoss().terms(pred, target, with_grad)
        return Terms(values, weights, plain.grad, axes)


@planted(*_BINARY, says=("calls", "raised"))
class BCENoGradient(npnet.BCEWithLogitsLoss):
    """terms returns no gradient."""

    def terms(self, pred, target, with_grad):
        return super().terms(pred, target, False)


@planted(*_REAL, says=("gradients not shared",))
class ProductSharesTarget(npnet.Loss):
    """The gradient is the target's own array."""

    def __init__(self):
        super().__init__("sum")

    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        return Terms(pred * target, None, target)


@planted(*_REAL, says=("memory layout",))
class MSEReadsMemoryOrder(npnet.MSELoss):
    """The error is computed in the order of the memory."""

    def terms(self, pred, target, with_grad):
        return super().terms(pred.ravel("K").reshape(pred.shape), target, with_grad)
