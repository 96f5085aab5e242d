"""Planted bugs in normalisations: layer, batch, group, instance, RMS and L2."""

import numpy as np

import npnet
from zoo.mutants import COUPLING, FACTOR, FLOAT32, NOT_FINITE, lacks, normal, planted

_X = (4, 5)


class Norm(npnet.Layer):
    """gain * (x - mean) / std + shift, with the mean over `axes` and a gain of shape `shape`."""

    axes, shape, centre, eps = (1,), (5,), True, 1e-5

    def __init__(self):
        super().__init__()
        size = int(np.prod(self.shape))
        self.gain = npnet.Parameter(np.linspace(0.5, 1.5, size).reshape(self.shape))
        self.shift = npnet.Parameter(np.linspace(-1, 1, size).reshape(self.shape))

    def forward(self, ctx, x):
        x = x - self.mean(x) if self.centre else x
        std = np.sqrt(self.mean(x * x) + self.eps)
        ctx.save(x / std, std)
        return x / std * self.gain.data + self.shift.data

    def backward(self, ctx, grad):
        normal, std = ctx.saved
        ctx.add_grad(self.gain, self.dgain(grad, normal))
        ctx.add_grad(self.shift, self.dshift(grad))
        return self.dx(self.scaled(grad), normal, std)

    def dgain(self, grad, normal):
        return self.total(grad * normal)

    def dshift(self, grad):
        return self.total(grad)

    def scaled(self, grad):
        return grad * self.gain.data

    def dx(self, grad, normal, std):
        mean = self.mean(grad) if self.centre else 0
        return (grad - mean - normal * self.mean(grad * normal)) / std

    def mean(self, a):
        return a.mean(self.axes, keepdims=True)

    def total(self, a):
        """Sum over everything that shares a gain."""
        ones = [i for i, n in enumerate(self.shape, a.ndim - len(self.shape)) if n == 1]
        first = tuple(range(a.ndim - len(self.shape)))
        return a.sum((*first, *ones)).reshape(self.shape)


class OnesNorm(Norm):
    """As every norm starts: gains of one, shifts of zero."""

    def __init__(self):
        super().__init__()
        self.gain.data[...] = 1
        self.shift.data[...] = 0


class RMSNorm(Norm):
    centre = False


class OnesRMSNorm(OnesNorm):
    centre = False


class InstanceNorm(Norm):
    axes, shape = (2, 3), (3, 1, 1)


class GroupNorm(Norm):
    """Two groups of three channels: (n, 6, length)."""

    axes, shape = (2, 3), (2, 3, 1)

    def forward(self, ctx, x):
        return super().forward(ctx, x.reshape(len(x), 2, 3, x.shape[2])).reshape(x.shape)

    def backward(self, ctx, grad):
        return (
            super()
            .backward(ctx, grad.reshape(len(grad), 2, 3, -1 if grad.size else 4))
            .reshape(grad.shape)
        )


class BatchNorm(Norm):
    axes, batch_independent = (0,), False

    def __init__(self):
        super().__init__()
        self.running_mean = npnet.Buffer(np.linspace(-0.5, 0.5, 5, dtype=np.float32))
        self.running_var = npnet.Buffer(np.linspace(0.5, 2, 5, dtype=np.float32))

    def forward(self, ctx, x):
        ctx.by_batch = ctx.training
        if ctx.training:
            if ctx.recording:
                self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(0)
                self.running_var = 0.9 * self.running_var + 0.1 * x.var(0)
            return super().forward(ctx, x)
        std = np.sqrt(self.running_var + self.eps).astype(x.dtype)
        normal = (x - self.running_mean.astype(x.dtype)) / std
        ctx.save(normal, std)
        return normal * self.gain.data + self.shift.data

    def backward(self, ctx, grad):
        self_dx = self.dx if ctx.by_batch else self.evaluation_dx
        normal, std = ctx.saved
        ctx.add_grad(self.gain, self.dgain(grad, normal))
        ctx.add_grad(self.shift, self.dshift(grad))
        return self_dx(self.scaled(grad), normal, std)

    def evaluation_dx(self, grad, normal, std):
        return grad / std


class L2Normalise(npnet.Layer):
    """scale * x / |x| of each row, zero for a row of zeros."""

    def __init__(self):
        super().__init__()
        self.scale = npnet.Parameter(np.array(1.5))

    def forward(self, ctx, x):
        norm = np.sqrt((x * x).sum(-1, keepdims=True) + 1e-12)
        ctx.save(x / norm, norm)
        return self.scale.data * (x / norm)

    def backward(self, ctx, grad):
        y, norm = ctx.saved
        ctx.add_grad(self.scale, (grad * y).sum())
        return self.dx(self.scale.data * grad, y, norm)

    def dx(self, grad, y, norm):
        return (grad - y * (grad * y).sum(-1, keepdims=True)) / norm


class RowNorm(npnet.Layer):
    """The length of each row; its derivative at zero is taken as zero."""

    def forward(self, ctx, x):
        norm = np.sqrt((x * x).sum(-1))
        ctx.save(x, norm)
        return norm

    def backward(self, ctx, grad):
        x, norm = ctx.saved
        return grad[:, None] * self.unit(x, norm[:, None])

    def unit(self, x, norm):
        return x / np.where(norm > 0, norm, 1)


_STEADY = normal(4, 5, scale=1e-4, shift=3.0)
BASES = (
    (Norm, (_X,)),
    (OnesNorm, (_X,)),
    (RMSNorm, (_X,)),
    (OnesRMSNorm, (_X,)),
    (Norm, (_STEADY,)),
    (InstanceNorm, ((2, 3, 2, 4),)),
    (GroupNorm, ((2, 6, 4),)),
    (BatchNorm, (_X,)),
    (L2Normalise, (_X,)),
    (RowNorm, (_X,)),
)


@planted(_X, cause=COUPLING)
class LayerNormWithoutMean(Norm):
    """The term of the mean is missing."""

    def dx(self, grad, normal, std):
        return (grad - normal * self.mean(grad * normal)) / std


@planted(_X, cause=COUPLING)
class LayerNormWithoutVariance(Norm):
    """The term of the variance is missing."""

    def dx(self, grad, normal, std):
        return (grad - self.mean(grad)) / std


@planted(_X, cause=COUPLING)
class LayerNormConstants(Norm):
    """Mean and variance are taken as constants."""

    def dx(self, grad, normal, std):
        return grad / std


@planted(normal(4, 5), cause="gain")
class LayerNormForgetsGain(OnesNorm):
    """The input's gradient lacks the gain, which starts at one."""

    def scaled(self, grad):
        return grad


@planted(_X, cause="swap|of shift|that of")
class LayerNormGainAsShift(Norm):
    """The gain's gradient is that of the shift."""

    def dgain(self, grad, normal):
        return self.total(grad)


@planted(_X, cause="swap|of shift|of gain|that of")
class LayerNormParametersSwapped(Norm):
    """Gain and shift get each other's gradients."""

    def backward(self, ctx, grad):
        normal, std = ctx.saved
        ctx.add_grad(self.shift, self.dgain(grad, normal))
        ctx.add_grad(self.gain, self.dshift(grad))
        return self.dx(self.scaled(grad), normal, std)


@planted(_X, cause="batch|1/4|mean instead")
class LayerNormShiftAveraged(Norm):
    """The shift's gradient is a mean over the batch."""

    def dshift(self, grad):
        return grad.mean(0)


@planted(_X, cause=COUPLING + "|multiple|term|factor")
class LayerNormUnbiased(Norm):
    """The term of the variance is divided by n - 1."""

    def dx(self, grad, normal, std):
        return (grad - self.mean(grad) - normal * self.mean(grad * normal) * 1.25) / std


@planted((4, 5), cause="axis|axes")
class LayerNormWrongAxis(Norm):
    """The means of the backward pass run over the batch."""

    def dx(self, grad, normal, std):
        return (grad - grad.mean(0) - normal * (grad * normal).mean(0)) / std


@planted(normal(4, 5, scale=0.1), cause="eps|factor|each sample|per sample|row|1e-05")
class LayerNormWithoutEps(Norm):
    """The deviation of the backward pass leaves eps out."""

    def dx(self, grad, normal, std):
        return super().dx(grad, normal, np.sqrt(std * std - self.eps))


@planted(_X, cause="17|batch|last sample|last row")
class LayerNormSixteenRows(Norm):
    """The backward pass handles sixteen rows."""

    def dx(self, grad, normal, std):
        found = super().dx(grad, normal, std)
        found[16:] = 0
        return found


@planted(_X, cause="evaluation")
class BatchNormEvaluationAsTraining(BatchNorm):
    """In evaluation mode the gradient is that of training."""

    def evaluation_dx(self, grad, normal, std):
        return self.dx(grad, normal, std)


@planted(normal(4, 5), cause="evaluation")
class BatchNormEvaluationWithoutParameters(BatchNorm):
    """In evaluation mode the gain gets no gradient."""

    def backward(self, ctx, grad):
        if ctx.by_batch:
            return super().backward(ctx, grad)
        normal, std = ctx.saved
        ctx.add_grad(self.shift, self.dshift(grad))
        return self.evaluation_dx(self.scaled(grad), normal, std)


@planted(_X, cause="evaluation")
class BatchNormEvaluationVariance(BatchNorm):
    """In evaluation mode the gradient is divided by the variance."""

    def evaluation_dx(self, grad, normal, std):
        return grad / (std * std)


@planted(_X, cause=COUPLING)
class BatchNormConstants(BatchNorm):
    """The batch's mean and variance are taken as constants."""

    def dx(self, grad, normal, std):
        return grad / std


@planted(_X, cause=COUPLING)
class BatchNormWithoutMean(BatchNorm):
    """The term of the mean is missing."""

    def dx(self, grad, normal, std):
        return (grad - normal * self.mean(grad * normal)) / std


@planted(normal(4, 5), cause=COUPLING)
class BatchNormWithoutVariance(BatchNorm):
    """The term of the variance is missing."""

    def dx(self, grad, normal, std):
        return (grad - self.mean(grad)) / std


@planted(_X, cause="running|recorded|inference|training|mode|repeatable|buffer")
class BatchNormMovesInInference(BatchNorm):
    """Inference moves the running mean."""

    def forward(self, ctx, x):
        if not ctx.training and x.size:
            self.running_mean = 0.9 * self.running_mean + 0.1 * x.mean(0)
        return super().forward(ctx, x)


@planted((2, 6, 4), cause=COUPLING + "|axis|axes")
class GroupNormOverLength(GroupNorm):
    """The means of the backward pass run over the length alone."""

    def dx(self, grad, normal, std):
        return (grad - grad.mean(-1, keepdims=True)
                - normal * (grad * normal).mean(-1, keepdims=True)) / std  # fmt: skip


@planted((2, 6, 4), cause=lacks("sum") + "|summed|first|position")
class GroupNormGainOfFirst(GroupNorm):
    """The gain's gradient is that of the first position, not summed over the length."""

    def dgain(self, grad, normal):
        return (grad * normal)[..., :1].sum(0)


@planted((2, 6, 4), cause="gain")
class GroupNormForgetsGain(GroupNorm):
    """The input's gradient lacks the gain."""

    def scaled(self, grad):
        return grad


@planted((2, 3, 2, 4), cause=COUPLING)
class InstanceNormWithoutVariance(InstanceNorm):
    """The term of the variance is missing."""

    def dx(self, grad, normal, std):
        return (grad - self.mean(grad)) / std


@planted((2, 3, 2, 4), cause="axis|axes|mean")
class InstanceNormMeanOfColumns(InstanceNorm):
    """The mean's term averages over the height alone."""

    def dx(self, grad, normal, std):
        return (grad - grad.mean(2, keepdims=True) - normal * self.mean(grad * normal)) / std


@planted((2, 3, 2, 4), cause="1/2|batch|sum|averag|mean")
class InstanceNormShiftAveraged(InstanceNorm):
    """The shift's gradient is a mean over the batch."""

    def dshift(self, grad):
        return super().dshift(grad) / max(len(grad), 1)


@planted(_X, cause=COUPLING)
class RMSNormConstant(RMSNorm):
    """The root mean square is taken as a constant."""

    def dx(self, grad, normal, std):
        return grad / std


@planted(_X, cause=COUPLING + "|term|factor")
class RMSNormSum(RMSNorm):
    """A sum stands where the mean should."""

    def dx(self, grad, normal, std):
        return (grad - normal * (grad * normal).sum(1, keepdims=True)) / std


@planted(normal(4, 5), cause=COUPLING + "|term|factor")
class RMSNormOneDivision(RMSNorm):
    """Only one of the two terms is divided by the root mean square."""

    def dx(self, grad, normal, std):
        return grad / std - normal * self.mean(grad * normal)


@planted(normal(4, 5, scale=3.0), cause=FACTOR + "|1.00001|1e-05")
class RMSNormConstantOff(RMSNorm):
    """The input's gradient is off by a factor of 1.00001."""

    def dx(self, grad, normal, std):
        return super().dx(grad, normal, std) * 1.00001


@planted((4, 5), cause="gain")
class RMSNormForgetsGain(OnesRMSNorm):
    """The input's gradient lacks the gain, which starts at one."""

    def scaled(self, grad):
        return grad


@planted(_X, cause=FLOAT32)
class RMSNormFloat32(RMSNorm):
    """In float32 the input's gradient is off by a factor of 0.999."""

    def dx(self, grad, normal, std):
        found = super().dx(grad, normal, std)
        return found * found.dtype.type(0.999) if found.dtype == np.float32 else found


@planted(_X, cause=COUPLING)
class L2Constant(L2Normalise):
    """The norm is taken as a constant."""

    def dx(self, grad, y, norm):
        return grad / norm


@planted(_X, cause=lacks("factor|norm|root|square") + "|times|power|row|sample")
class L2Squared(L2Normalise):
    """The gradient is divided by the squared norm."""

    def dx(self, grad, y, norm):
        return super().dx(grad, y, norm) / norm


@planted(_X, cause="scale|3/2|1.5|2/3")
class L2ForgetsScale(L2Normalise):
    """The input's gradient lacks the scale."""

    def dx(self, grad, y, norm):
        return super().dx(grad, y, norm) / self.scale.data


@planted(_X, cause=NOT_FINITE + "|zero")
class RowNormOfZeros(RowNorm):
    """At a row of zeros the gradient is NaN."""

    def unit(self, x, norm):
        return x / norm


@planted(normal(4, 5), cause=lacks("factor|norm|root|square") + "|times|power|row|sample")
class RowNormSquare(RowNorm):
    """The gradient is that of half the squared norm."""

    def unit(self, x, norm):
        return x


@planted(normal(17, 5), cause="abs|sign|positive|negative|symmetric|where")
class RowNormPositive(RowNorm):
    """The gradient has the sign of the norm, not of the input."""

    def unit(self, x, norm):
        return np.abs(super().unit(x, norm))
