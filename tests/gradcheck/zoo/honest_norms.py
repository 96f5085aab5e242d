"""Honest normalisations: of batches, rows, groups and weights, and norms of rows."""

from __future__ import annotations

import math

import numpy as np

import npnet
from npnet.errors import ShapeError
from zoo.honest_base import Honest, Weighted, normal, op


def standardised(x, axes, eps=1e-5):
    """Return (x - mean) / sqrt(var + eps), and 1 / sqrt(var + eps)."""
    centered = x - x.mean(axes, keepdims=True)
    scale = 1 / np.sqrt((centered * centered).mean(axes, keepdims=True) + eps)
    return centered * scale, scale


def standardised_grad(grad, y, scale, axes):
    mean = grad.mean(axes, keepdims=True)
    return scale * (grad - mean - y * (grad * y).mean(axes, keepdims=True))


def standardise(axes, eps=1e-5):
    def value(x):
        y, scale = standardised(x, axes, eps)
        return y, y, scale

    return op(value, lambda grad, y, scale: standardised_grad(grad, y, scale, axes))


class GroupNorm(Weighted):
    """Of (n, c, ...), over groups of channels; one group is layer norm, c groups instance norm."""

    def __init__(self, groups, channels):
        super().__init__(gain=channels, shift=channels)
        self.groups = groups

    def forward(self, ctx, x):
        y, scale = standardised(
            x.reshape(len(x), self.groups, math.prod(x.shape[1:]) // self.groups), 2
        )
        ctx.save(y, scale)
        ctx.around = (-1,) + (1,) * (x.ndim - 2)
        y = y.reshape(x.shape)
        return y * self.gain.data.reshape(ctx.around) + self.shift.data.reshape(ctx.around)

    def backward(self, ctx, grad):
        y, scale = ctx.saved
        axes = (0, *range(2, grad.ndim))
        ctx.add_grad(self.gain, (grad * y.reshape(grad.shape)).sum(axes))
        ctx.add_grad(self.shift, grad.sum(axes))
        inner = (grad * self.gain.data.reshape(ctx.around)).reshape(y.shape)
        return standardised_grad(inner, y, scale, 2).reshape(grad.shape)


class FullBatchNorm(Weighted):
    """Of (n, c) or (n, c, h, w), with running statistics, the variance unbiased, and a counter."""

    batch_independent = False

    def __init__(self, channels, momentum=0.1):
        super().__init__(gain=channels, shift=channels)
        self.momentum = momentum
        self.mean = npnet.Buffer(np.zeros(channels, np.float32))
        self.var = npnet.Buffer(np.ones(channels, np.float32))
        self.batches = npnet.Buffer(np.zeros((), np.int64))

    def forward(self, ctx, x):
        axes, around = (0, *range(2, x.ndim)), (-1,) + (1,) * (x.ndim - 2)
        count = x.size // x.shape[1]
        if ctx.training:
            if count < 2:
                raise ShapeError(f"{count} value for each channel has no variance", self)
            y, scale = standardised(x, axes)
            if ctx.recording:
                keep, new = 1 - self.momentum, self.momentum
                self.mean = keep * self.mean + new * x.mean(axes)
                self.var = keep * self.var + new * x.var(axes, ddof=1)
                self.batches = self.batches + 1
        else:
            scale = 1 / np.sqrt(self.var + 1e-5).reshape(around)
            y = (x - self.mean.reshape(around)) * scale
        ctx.save(y, scale)
        ctx.trained = ctx.training
        return y * self.gain.data.reshape(around) + self.shift.data.reshape(around)

    def backward(self, ctx, grad):
        y, scale = ctx.saved
        axes, around = (0, *range(2, grad.ndim)), (-1,) + (1,) * (grad.ndim - 2)
        ctx.add_grad(self.gain, (grad * y).sum(axes))
        ctx.add_grad(self.shift, grad.sum(axes))
        grad = grad * self.gain.data.reshape(around)
        return standardised_grad(grad, y, scale, axes) if ctx.trained else grad * scale


class RMSNorm(Weighted):
    def forward(self, ctx, x):
        scale = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        ctx.save(x * scale, scale)
        return x * scale * self.gain.data

    def backward(self, ctx, grad):
        y, scale = ctx.saved
        ctx.add_grad(self.gain, (grad * y).reshape(-1, y.shape[-1]).sum(0))
        grad = grad * self.gain.data
        return scale * (grad - y * (grad * y).mean(-1, keepdims=True))


class WeightNorm(Weighted):
    """x W^T with rows W = g v / |v|."""

    def forward(self, ctx, x):
        length = np.sqrt((self.v.data**2).sum(1, keepdims=True))
        unit = self.v.data / length
        ctx.save(x, unit, length)
        return x @ (self.g.data * unit).T

    def backward(self, ctx, grad):
        x, unit, length = ctx.saved
        dw = grad.T @ x
        along = (dw * unit).sum(1, keepdims=True)
        ctx.add_grad(self.g, along)
        ctx.add_grad(self.v, self.g.data / length * (dw - along * unit))
        return grad @ (self.g.data * unit)


class StandardWeight(Weighted):
    """x W^T with the rows of W standardised."""

    def forward(self, ctx, x):
        w, scale = standardised(self.w.data, 1)
        ctx.save(x, w, scale)
        return x @ w.T

    def backward(self, ctx, grad):
        x, w, scale = ctx.saved
        ctx.add_grad(self.w, standardised_grad(grad.T @ x, w, scale, 1))
        return grad @ w


def _unit(x, eps=1e-12):
    """x / max(|x|, eps) for each row."""
    length = np.maximum(np.sqrt((x * x).sum(-1, keepdims=True)), eps)
    return x / length, x / length, length, length > eps


def _unit_grad(grad, y, length, free):
    return (grad - free * y * (grad * y).sum(-1, keepdims=True)) / length


def row_norm(p):
    """Return the p-norm of rows; the subgradient of a zero row is zero."""

    def value(x):
        top = np.abs(x).max(-1, keepdims=True, initial=0.0)
        scaled = np.abs(x) / np.where(top == 0, 1, top)
        y = (scaled**p).sum(-1, keepdims=True) ** (1 / p)
        return (top * y)[..., 0], np.sign(x) * scaled ** (p - 1) / np.where(y == 0, 1, y) ** (p - 1)

    return op(value, lambda grad, slope: grad[..., None] * slope)


def _largest(x):
    """Return the maximum norm of rows, the first of equal ones winning."""
    winner = np.abs(x).argmax(-1)[..., None]
    one = np.zeros_like(x)
    np.put_along_axis(one, winner, np.sign(np.take_along_axis(x, winner, -1)), -1)
    return np.abs(x).max(-1), one


def _variance(x):
    centered = x - x.mean(-1, keepdims=True)
    return (centered * centered).mean(-1), centered


def _deviation(x):
    """Return the standard deviation of rows, with the subgradient zero where it is zero."""
    centered = x - x.mean(-1, keepdims=True)
    y = np.sqrt((centered * centered).sum(-1) / (x.shape[-1] - 1))
    return y, centered, y


def _deviation_grad(grad, centered, y):
    slope = centered / (np.where(y == 0, np.inf, y)[..., None] * (centered.shape[-1] - 1))
    return grad[..., None] * slope


def _local_response(x):
    """x / (1 + sum of squares over three neighbouring channels)^0.75, of (n, c)."""
    around = np.pad(x * x, [(0, 0), (1, 1)])
    base = 1 + (around[:, :-2] + around[:, 1:-1] + around[:, 2:])
    return x * base**-0.75, x, base


def _local_response_grad(grad, x, base):
    inner = np.pad(grad * x * base**-1.75, [(0, 0), (1, 1)])
    return grad * base**-0.75 - 1.5 * x * (inner[:, :-2] + inner[:, 1:-1] + inner[:, 2:])


def _cosine(a, b):
    u, *left = _unit(a, 1e-8)
    v, *right = _unit(b, 1e-8)
    return (u * v).sum(-1), *left, *right


def _cosine_grad(grad, u, na, fa, v, nb, fb):
    grad = grad[..., None]
    return _unit_grad(grad * v, u, na, fa), _unit_grad(grad * u, v, nb, fb)


_OFFSET = 3 + 1e-4 * normal(4, 5)
_ZERO_ROW = np.array([[1.0, -2.0, 2.0], [0.0, 0.0, 0.0], [3.0, 0.0, -4.0]])
_EQUAL_ROW = np.array([[2.0, 2.0, 2.0], [1.0, -2.0, 2.0]])

CASES: dict[str, Honest] = {
    "group norm": Honest(lambda: GroupNorm(2, 4), (normal(3, 4, 5),)),
    "instance norm": Honest(lambda: GroupNorm(3, 3), (normal(2, 3, 4, 2),)),
    "layer norm of images": Honest(lambda: GroupNorm(1, 3), (normal(2, 3, 2, 2),)),
    "group norm of equal values": Honest(lambda: GroupNorm(2, 4), (np.full((2, 4, 3), 2.0),)),
    "batch norm of rows": Honest(lambda: FullBatchNorm(4), (normal(5, 4),)),
    "batch norm of images": Honest(lambda: FullBatchNorm(3), (normal(3, 3, 2, 2),)),
    "batch norm of any batch": Honest(lambda: FullBatchNorm(3), ((5, 3),)),
    "batch norm of large numbers": Honest(lambda: FullBatchNorm(3), (100 + normal(6, 3),)),
    "batch norm without gain": Honest(
        standardise(0), (normal(5, 3),), {"batch_independence": False}
    ),
    "centred rows over their deviation": Honest(standardise(-1), ((4, 6),)),
    "centred rows, large eps": Honest(standardise(-1, 0.1), ((4, 6),)),
    "rms norm": Honest(lambda: RMSNorm(gain=5), ((4, 5),)),
    "rms norm of a zero row": Honest(lambda: RMSNorm(gain=3), (_ZERO_ROW,)),
    "weight norm": Honest(lambda: WeightNorm(v=(3, 4), g=(3, 1)), ((5, 4),)),
    "weight standardisation": Honest(lambda: StandardWeight(w=(3, 4)), ((5, 4),)),
    "rows of length one": Honest(op(_unit, _unit_grad), (normal(4, 3),)),
    "rows of length one, zero rows too": Honest(op(_unit, _unit_grad), ((4, 3),)),
    "rows of length at least one half": Honest(
        op(lambda x: _unit(x, 0.5), _unit_grad), (normal(4, 3, scale=0.4),)
    ),
    "length of a zero row": Honest(row_norm(2), (_ZERO_ROW,)),
    "lengths of rows": Honest(row_norm(2), ((4, 3),)),
    "cubic norm of a zero row": Honest(row_norm(3), (_ZERO_ROW,)),
    "maximum norm with ties": Honest(
        op(_largest, lambda grad, one: grad[..., None] * one), (_ZERO_ROW,)
    ),
    "variance of rows": Honest(
        op(_variance, lambda grad, c: grad[..., None] * 2 * c / c.shape[-1]), ((4, 5),)
    ),
    "variance of three and a little": Honest(
        op(_variance, lambda grad, c: grad[..., None] * 2 * c / c.shape[-1]), (_OFFSET,)
    ),
    "layer norm of three and a little": Honest(standardise(-1), (_OFFSET,)),
    "deviation of rows": Honest(op(_deviation, _deviation_grad), (normal(4, 5),)),
    "deviation of equal values": Honest(op(_deviation, _deviation_grad), (_EQUAL_ROW,)),
    "local response norm": Honest(op(_local_response, _local_response_grad), ((4, 5),)),
    "cosine similarity": Honest(op(_cosine, _cosine_grad), (normal(4, 3), normal(4, 3) + 1)),
}
