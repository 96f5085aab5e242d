"""Honest convolutions, poolings and resizings of images (n, c, h, w) and signals (n, c, l)."""

from __future__ import annotations

import numpy as np

import npnet
from zoo.honest_base import Honest, Weighted, normal, op


def windows(x, size, stride=1, dilation=1):
    """View (n, c, h, w) as (n, c, out, out, size, size)."""
    n, c, h, w = x.shape
    span = dilation * (size - 1)
    shape = (n, c, (h - span - 1) // stride + 1, (w - span - 1) // stride + 1, size, size)
    a, b, d, e = x.strides
    strides = a, b, d * stride, e * stride, d * dilation, e * dilation
    return np.lib.stride_tricks.as_strided(x, shape, strides, writeable=False)


def scattered(parts, shape, stride=1, dilation=1):
    """Add up what stands in windows, the adjoint of `windows`."""
    total = np.zeros(shape, parts.dtype)
    for i in range(parts.shape[4]):
        for j in range(parts.shape[5]):
            rows = slice(i * dilation, i * dilation + stride * parts.shape[2], stride)
            columns = slice(j * dilation, j * dilation + stride * parts.shape[3], stride)
            total[:, :, rows, columns] += parts[..., i, j]
    return total


def padded(x, p):
    return np.pad(x, [(0, 0), (0, 0), (p, p), (p, p)])


class Conv2d(Weighted):
    """Correlation with (out, in / groups, size, size), in windows."""

    def __init__(self, c, out, size=3, stride=1, padding=0, dilation=1, groups=1):
        super().__init__(weight=(out, c // groups, size, size), bias=out)
        self.size, self.stride, self.padding = size, stride, padding
        self.dilation, self.groups = dilation, groups

    def forward(self, ctx, x):
        x = padded(x, self.padding)
        parts = windows(x, self.size, self.stride, self.dilation)
        n, c, h, w, *_ = parts.shape
        parts = parts.reshape(n, self.groups, c // self.groups, h, w, self.size, self.size)
        ctx.save(parts)
        ctx.shape = x.shape
        y = np.einsum("ngchwij,gocij->ngohw", parts, self._grouped())
        return y.reshape(n, -1 if n else self.bias.data.size, h, w) + self.bias.data[:, None, None]

    def _grouped(self):
        w = self.weight.data
        return w.reshape(self.groups, w.shape[0] // self.groups, *w.shape[1:])

    def backward(self, ctx, grad):
        (parts,) = ctx.saved
        ctx.add_grad(self.bias, grad.sum((0, 2, 3)))
        n, out, h, w = grad.shape
        grad = grad.reshape(n, self.groups, out // self.groups, h, w)
        dw = np.einsum("ngchwij,ngohw->gocij", parts, grad)
        ctx.add_grad(self.weight, dw.reshape(self.weight.shape))
        dparts = np.einsum("ngohw,gocij->ngchwij", grad, self._grouped())
        dparts = dparts.reshape(n, ctx.shape[1], h, w, self.size, self.size)
        dx, p = scattered(dparts, ctx.shape, self.stride, self.dilation), self.padding
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class Transposed2d(Weighted):
    """The adjoint of a convolution with stride, weights (in, out, size, size)."""

    def __init__(self, c, out, size, stride):
        super().__init__(weight=(c, out, size, size))
        self.stride = stride

    def forward(self, ctx, x):
        ctx.save(x)
        n, _, h, w = x.shape
        out, size = self.weight.shape[1:3]
        parts = np.einsum("nchw,coij->nohwij", x, self.weight.data)
        return scattered(
            parts, (n, out, *((m - 1) * self.stride + size for m in (h, w))), self.stride
        )

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        parts = windows(np.ascontiguousarray(grad), self.weight.shape[2], self.stride)
        ctx.add_grad(self.weight, np.einsum("nchw,nohwij->coij", x, parts))
        return np.einsum("nohwij,coij->nchw", parts, self.weight.data)


class CausalConv1d(Weighted):
    """(n, c, l) -> (n, o, l), dilated, seeing only the past; a loop over taps."""

    def __init__(self, c, out, taps, dilation):
        super().__init__(weight=(taps, out, c))
        self.dilation = dilation

    def forward(self, ctx, x):
        ctx.save(x)
        y = np.zeros((len(x), self.weight.shape[1], x.shape[2]), x.dtype)
        for k, w in enumerate(self.weight.data):
            shift = k * self.dilation
            y[:, :, shift:] += w @ x[:, :, : x.shape[2] - shift]
        return y

    def backward(self, ctx, grad):
        (x,) = ctx.saved
        dx, dw = np.zeros_like(x), np.zeros_like(self.weight.data)
        for k, w in enumerate(self.weight.data):
            shift = k * self.dilation
            seen = x[:, :, : x.shape[2] - shift]
            dw[k] = np.einsum("nol,ncl->oc", grad[:, :, shift:], seen)
            dx[:, :, : x.shape[2] - shift] += w.T @ grad[:, :, shift:]
        ctx.add_grad(self.weight, dw)
        return dx


class MaxPool2d(npnet.Layer):
    """Of overlapping windows too; of equal ones the first wins, or they share."""

    def __init__(self, size, stride, share=False):
        super().__init__()
        self.size, self.stride, self.share = size, stride, share

    def forward(self, ctx, x):
        parts = windows(x, self.size, self.stride)
        y = parts.max((4, 5))
        if self.share:
            won = (parts == y[..., None, None]).astype(x.dtype)
            won /= won.sum((4, 5), keepdims=True)
        else:
            flat = parts.reshape(*y.shape, self.size**2)
            won = np.arange(self.size**2) == flat.argmax(-1)[..., None]
            won = won.reshape(parts.shape).astype(x.dtype)
        ctx.save(won)
        ctx.shape = x.shape
        return y

    def backward(self, ctx, grad):
        return scattered(ctx.saved[0] * grad[..., None, None], ctx.shape, self.stride)


class AveragePool2d(npnet.Layer):
    """Padded; what is padded does not count."""

    def __init__(self, size, stride, padding=0):
        super().__init__()
        self.size, self.stride, self.padding = size, stride, padding

    def forward(self, ctx, x):
        ones = padded(np.ones((1, 1, *x.shape[2:]), x.dtype), self.padding)
        ctx.count = windows(ones, self.size, self.stride).sum((4, 5))
        x = padded(x, self.padding)
        ctx.shape = x.shape
        return windows(x, self.size, self.stride).sum((4, 5)) / ctx.count

    def backward(self, ctx, grad):
        parts = np.broadcast_to(
            (grad / ctx.count)[..., None, None], (*grad.shape, self.size, self.size)
        )
        dx, p = scattered(parts, ctx.shape, self.stride), self.padding
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class AdaptiveAverage(npnet.Layer):
    """(n, c, l) -> (n, c, parts), of parts that may overlap."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def matrix(self, length, dtype):
        matrix = np.zeros((length, self.parts), dtype)
        for k in range(self.parts):
            start, stop = k * length // self.parts, -(-(k + 1) * length // self.parts)
            matrix[start:stop, k] = 1 / (stop - start)
        return matrix

    def forward(self, ctx, x):
        ctx.matrix = self.matrix(x.shape[2], x.dtype)
        return x @ ctx.matrix

    def backward(self, ctx, grad):
        return grad @ ctx.matrix.T


def _largest(x):
    flat = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
    y = flat.max(-1)
    won = flat == y[..., None]
    return y, (won / won.sum(-1, keepdims=True)).astype(x.dtype).reshape(x.shape)


def _quadratic_mean(x):
    """The root of the sum of squares of pairs, subgradient zero at zero."""
    pairs = x.reshape(*x.shape[:2], x.shape[2] // 2, 2)
    y = np.sqrt((pairs**2).sum(-1))
    return y, (pairs / np.where(y == 0, 1, y)[..., None]).reshape(x.shape)


def _soft_pool(x):
    """Means of pairs with the softmax of the pair for weights."""
    pairs = x.reshape(*x.shape[:2], x.shape[2] // 2, 2)
    e = np.exp(pairs - pairs.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    y = (p * pairs).sum(-1)
    return y, (p * (1 + pairs - y[..., None])).reshape(x.shape)


def _each(grad, slope):
    return np.repeat(grad, 2, -1) * slope


def _reflected(x):
    return (np.pad(x, [(0, 0), (0, 0), (2, 2)], mode="reflect"),)


def _reflected_grad(grad):
    dx = grad[:, :, 2:-2].copy()
    dx[:, :, 1:3] += grad[:, :, 1::-1]
    dx[:, :, -3:-1] += grad[:, :, :-3:-1]
    return dx


def _shuffled(x, r=2):
    n, c, h, w = x.shape
    y = x.reshape(n, c // (r * r), r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return (y.reshape(n, c // (r * r), h * r, w * r),)


def _shuffled_grad(grad, r=2):
    n, c, h, w = grad.shape
    y = grad.reshape(n, c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4)
    return y.reshape(n, c * r * r, h // r, w // r)


def _larger(x):
    return (x.repeat(2, 2).repeat(2, 3),)


def _larger_grad(grad):
    n, c, h, w = grad.shape
    return grad.reshape(n, c, h // 2, 2, w // 2, 2).sum((3, 5))


_WHOLE = np.random.default_rng(3).integers(0, 3, (2, 2, 5, 5)).astype(float)
_PAIRS = np.array([[[3.0, 4.0, 0.0, 0.0, 1.0, 1.0]]])

CASES: dict[str, Honest] = {
    "convolution, padded": Honest(lambda: Conv2d(2, 3, padding=1), ((2, 2, 4, 4),)),
    "convolution with stride": Honest(lambda: Conv2d(2, 3, stride=2), ((2, 2, 5, 6),)),
    "dilated convolution": Honest(lambda: Conv2d(1, 2, dilation=2), ((2, 1, 6, 6),)),
    "convolution in groups": Honest(lambda: Conv2d(4, 6, 2, groups=2), ((2, 4, 3, 3),)),
    "convolution of each channel": Honest(lambda: Conv2d(3, 3, 2, groups=3), ((2, 3, 3, 3),)),
    "transposed convolution": Honest(lambda: Transposed2d(3, 2, 3, 2), ((2, 3, 2, 3),)),
    "causal convolution": Honest(lambda: CausalConv1d(2, 3, 3, 2), ((2, 2, 6),)),
    "convolution, relu, pooling": Honest(
        lambda: npnet.Sequential(Conv2d(2, 3, 2), npnet.ReLU(), MaxPool2d(2, 2)),
        (normal(2, 2, 5, 5),),
    ),
    "overlapping maximum with ties": Honest(lambda: MaxPool2d(3, 1), (_WHOLE,)),
    "maximum pooling of zeros": Honest(lambda: MaxPool2d(2, 2), (np.zeros((1, 2, 4, 4)),)),
    "shared maximum with ties": Honest(lambda: MaxPool2d(2, 2, share=True), (_WHOLE,)),
    "average pooling, padded": Honest(lambda: AveragePool2d(3, 2, 1), ((2, 2, 5, 5),)),
    "adaptive average": Honest(lambda: AdaptiveAverage(3), ((2, 2, 7),)),
    "global average": Honest(
        op(
            lambda x: (x.mean((2, 3)), np.ones_like(x) / (x.shape[2] * x.shape[3])),
            lambda grad, share: grad[:, :, None, None] * share,
        ),
        ((2, 3, 2, 3),),
    ),
    "global maximum with ties": Honest(
        op(_largest, lambda grad, share: grad[:, :, None, None] * share), (_WHOLE,)
    ),
    "pooling by length": Honest(op(_quadratic_mean, _each), (_PAIRS,)),
    "pooling by softmax": Honest(op(_soft_pool, _each), ((2, 2, 6),)),
    "reflected at the ends": Honest(op(_reflected, _reflected_grad), ((2, 2, 5),)),
    "pixel shuffle": Honest(op(_shuffled, _shuffled_grad), ((2, 4, 2, 3),)),
    "nearest neighbours": Honest(op(_larger, _larger_grad), ((2, 2, 2, 3),)),
}
