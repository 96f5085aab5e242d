"""Honest functions of single elements, with kinks, domains and constants; gates."""

from __future__ import annotations

import math

import numpy as np

import npnet
from npnet.errors import ArgumentError
from zoo.honest_base import Honest, Weighted, elementwise, normal, op


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _mish_slope(x):
    t = np.tanh(softplus(x))
    return t + x * (1 - t * t) * sigmoid(x)


def _positive(x, what):
    if not (x > 0).all():
        raise ArgumentError(f"{what} takes positive numbers only")
    return x


def _ratio(a, b):
    if (b == 0).any():
        raise ArgumentError("a denominator is zero")
    return a / b, a, b


def _sinc(x):
    return np.where(x == 0, 1, np.sin(x) / np.where(x == 0, 1, x))


def _sinc_slope(x):
    """(x cos x - sin x) / x^2, by its series near zero where that cancels."""
    near = np.abs(x) < 0.03
    far = np.where(near, 1, x)
    return np.where(near, -x / 3 + x**3 / 30, (far * np.cos(far) - np.sin(far)) / far**2)


def _straight(x):
    """Eight steps with constants, written out."""
    a = x * np.float32(0.1)
    b = a + np.float32(0.3) * x * x
    c = np.tanh(b - 0.7)
    d = c * a + x
    return d - 0.25 * c * c, x, a, c


def _straight_grad(grad, x, a, c):
    tenth, third = np.float32(0.1), np.float32(0.3)
    dd, dc = grad, -0.5 * grad * c
    dc, da, dx = dc + dd * a, dd * c, dd
    db = dc * (1 - c * c)
    return dx + (da + db) * tenth + 2 * third * x * db


class Swish(Weighted):
    """x * sigmoid(beta x), with one beta for each feature."""

    def forward(self, ctx, x):
        s = sigmoid(self.beta.data * x)
        ctx.save(x, s)
        return x * s

    def backward(self, ctx, grad):
        x, s = ctx.saved
        slope = s * (1 - s)
        ctx.add_grad(self.beta, (grad * x * x * slope).sum(0))
        return grad * (s + x * self.beta.data * slope)


class Power(Weighted):
    """|x|^p sign(x) with p = 1 + e^q, so that the slope at zero is zero."""

    def forward(self, ctx, x):
        p = 1 + np.exp(self.q.data)
        ctx.save(x, p)
        return np.sign(x) * np.abs(x) ** p

    def backward(self, ctx, grad):
        x, p = ctx.saved
        size = np.abs(x)
        log = np.log(np.where(size == 0, 1, size))
        ctx.add_grad(self.q, (grad * np.sign(x) * size**p * log).sum() * (p - 1))
        return grad * p * size ** (p - 1)


class Table(Weighted):
    """A polygon through learned heights at -2, -1, 0, 1, 2; constant beyond."""

    def forward(self, ctx, x):
        place = np.clip(x + 2, 0, 4)
        left = np.minimum(place.astype(np.intp), 3)
        share = place - left.astype(x.dtype)
        ctx.save(left, share, np.abs(x) < 2)
        h = self.heights.data
        return h[left] * (1 - share) + h[left + 1] * share

    def backward(self, ctx, grad):
        left, share, inside = ctx.saved
        h, dh = self.heights.data, np.zeros_like(self.heights.data)
        np.add.at(dh, left, grad * (1 - share))
        np.add.at(dh, left + 1, grad * share)
        ctx.add_grad(self.heights, dh)
        return grad * inside * (h[left + 1] - h[left])


class Fourier(Weighted):
    """Sines and cosines of x W."""

    def forward(self, ctx, x):
        z = x @ self.w.data
        ctx.save(x, z)
        return np.concatenate([np.sin(z), np.cos(z)], -1)

    def backward(self, ctx, grad):
        x, z = ctx.saved
        a, b = np.split(grad, 2, -1)
        dz = a * np.cos(z) - b * np.sin(z)
        ctx.add_grad(self.w, x.T @ dz)
        return dz @ self.w.data.T


class SwiGLU(Weighted):
    """(silu(x W) * (x V)) U."""

    def forward(self, ctx, x):
        a, b = x @ self.w.data, x @ self.v.data
        s = sigmoid(a)
        ctx.save(x, a, b, s)
        return (a * s * b) @ self.u.data

    def backward(self, ctx, grad):
        x, a, b, s = ctx.saved
        ctx.add_grad(self.u, (a * s * b).T @ grad)
        grad = grad @ self.u.data.T
        da, db = grad * b * s * (1 + a * (1 - s)), grad * a * s
        ctx.add_grad(self.w, x.T @ da)
        ctx.add_grad(self.v, x.T @ db)
        return da @ self.w.data.T + db @ self.v.data.T


class Highway(npnet.Layer):
    """g f(x) + (1 - g) x with two children."""

    def __init__(self, value, gate):
        super().__init__()
        self.value, self.gate = value, gate

    def forward(self, ctx, x):
        y, g = ctx.call(self.value, x), sigmoid(ctx.call(self.gate, x))
        ctx.save(x, y, g)
        return g * y + (1 - g) * x

    def backward(self, ctx, grad):
        x, y, g = ctx.saved
        gate, value = ctx.calls.pop(), ctx.calls.pop()
        return (
            (1 - g) * grad + value.backward(g * grad) + gate.backward(grad * (y - x) * g * (1 - g))
        )


class SqueezeExcite(Weighted):
    """Channels (n, c, l) times a sigmoid of their means."""

    def forward(self, ctx, x):
        mean = x.mean(2)
        g = sigmoid(mean @ self.w.data)
        ctx.save(x, mean, g)
        return x * g[..., None]

    def backward(self, ctx, grad):
        x, mean, g = ctx.saved
        dz = (grad * x).sum(2) * g * (1 - g)
        ctx.add_grad(self.w, mean.T @ dz)
        return grad * g[..., None] + (dz @ self.w.data.T)[..., None] / x.shape[2]


class Both(npnet.Layer):
    """relu(x) - relu(-x) with one child: x, also at zero where either side may be taken."""

    def __init__(self):
        super().__init__()
        self.relu = npnet.ReLU()

    def forward(self, ctx, x):
        return ctx.call(self.relu, x) - ctx.call(self.relu, -x)

    def backward(self, ctx, grad):
        below = ctx.calls.pop().backward(-grad)
        return ctx.calls.pop().backward(grad) - below


def _relus(width, *seeds):
    layers = [npnet.Linear(width, width, bias=False, rng=s) for s in seeds]
    return npnet.Sequential(*(part for layer in layers for part in (layer, npnet.ReLU())))


_KINKS = np.array([[0.0, -1.0, 3.0, -3.0], [0.5, -0.5, 6.0, 1.0], [710.0, -710.0, 1e-3, 0.0]])
_SELU = 1.0507009873554805, 1.6732632423543772

CASES: dict[str, Honest] = {
    "hard swish": Honest(
        elementwise(
            lambda x: x * np.clip(x + 3, 0, 6) / 6,
            lambda x: np.where(x > 3, 1, np.where(x < -3, 0, (2 * x + 3) / 6)),
        ),
        ((3, 4),),
    ),
    "hard swish at its kinks": Honest(
        elementwise(
            lambda x: x * np.clip(x + 3, 0, 6) / 6,
            lambda x: np.where(x > 3, 1, np.where(x < -3, 0, (2 * x + 3) / 6)),
        ),
        (_KINKS,),
    ),
    "relu6": Honest(
        elementwise(lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6)), ((3, 4),)
    ),
    "relu6 at its kinks": Honest(
        elementwise(lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6)), (_KINKS,)
    ),
    "selu": Honest(
        elementwise(
            lambda x: _SELU[0] * np.where(x > 0, x, _SELU[1] * np.expm1(np.minimum(x, 0))),
            lambda x: _SELU[0] * np.where(x > 0, 1, _SELU[1] * np.exp(np.minimum(x, 0))),
        ),
        ((3, 4),),
    ),
    "mish": Honest(elementwise(lambda x: x * np.tanh(softplus(x)), _mish_slope), ((3, 4),)),
    "softplus at 710": Honest(elementwise(softplus, sigmoid), (_KINKS,)),
    "logarithm of a sigmoid": Honest(
        elementwise(lambda x: -softplus(-x), lambda x: sigmoid(-x)), ((3, 4),)
    ),
    "soft shrinkage": Honest(
        elementwise(
            lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), lambda x: np.abs(x) > 0.5
        ),
        (_KINKS,),
    ),
    "hard shrinkage": Honest(
        elementwise(lambda x: np.where(np.abs(x) > 0.5, x, 0), lambda x: np.abs(x) > 0.5),
        (normal(3, 4),),
    ),
    "logarithm of a size with sign": Honest(
        elementwise(lambda x: np.sign(x) * np.log1p(np.abs(x)), lambda x: 1 / (1 + np.abs(x))),
        ((3, 4),),
    ),
    "smooth size": Honest(
        elementwise(lambda x: np.sqrt(x * x + 0.01), lambda x: x / np.sqrt(x * x + 0.01)), ((3, 4),)
    ),
    "bell": Honest(
        elementwise(lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x)), ((3, 4),)
    ),
    "x - tanh x": Honest(
        elementwise(lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2), ((3, 4),)
    ),
    "sinc at zero": Honest(elementwise(_sinc, _sinc_slope), (_KINKS[:2],)),
    "arc tangent": Honest(elementwise(np.arctan, lambda x: 1 / (1 + x * x)), ((3, 4),)),
    "log-cosh, written for large numbers": Honest(
        elementwise(lambda x: np.abs(x) + np.log1p(np.exp(-2 * np.abs(x))) - math.log(2), np.tanh),
        ((3, 4),),
    ),
    "tenth of float32": Honest(
        elementwise(lambda x: np.float32(0.1) * x, lambda x: np.full_like(x, np.float32(0.1))),
        ((3, 4),),
    ),
    "straight line of float32 constants": Honest(op(_straight, _straight_grad), ((3, 4),)),
    "logarithm that refuses": Honest(
        elementwise(lambda x: np.log(_positive(x, "log")), lambda x: 1 / x),
        (np.array([[0.5, 2.0, 1e-3]]),),
    ),
    "logarithm with a domain": Honest(
        elementwise(np.log, lambda x: 1 / x), (np.array([[0.5, 2.0, 1e-6]]),)
    ),
    "root that refuses": Honest(
        elementwise(lambda x: np.sqrt(_positive(x, "sqrt")), lambda x: 0.5 / np.sqrt(x)),
        (np.array([[0.5, 2.0, 1e-4, 100.0]]),),
    ),
    "ratio that refuses": Honest(
        op(_ratio, lambda grad, a, b: (grad / b, -grad * a / (b * b))),
        (normal(3, 4), normal(3, 4) + 3),
    ),
    "entropy": Honest(
        elementwise(lambda x: -x * np.log(x), lambda x: -1 - np.log(x)),
        (np.array([[0.5, 0.1, 1e-3, 0.999]]),),
    ),
    "logit": Honest(
        elementwise(lambda x: np.log(x / (1 - x)), lambda x: 1 / (x * (1 - x))),
        (np.array([[0.5, 0.1, 1e-4, 0.999]]),),
    ),
    "angle of two inputs": Honest(
        op(
            lambda y, x: (np.arctan2(y, x), y, x),
            lambda grad, y, x: (grad * x / (x * x + y * y), -grad * y / (x * x + y * y)),
        ),
        (normal(3, 4), normal(3, 4) + 1),
    ),
    "remainder": Honest(elementwise(lambda x: x - np.floor(x), np.ones_like), (normal(3, 4),)),
    "swish with a slope for each feature": Honest(lambda: Swish(beta=4), ((3, 4),)),
    "power with a learned exponent": Honest(lambda: Power(q=()), (np.array([[0.0, -1.5, 2.0]]),)),
    "polygon of learned heights": Honest(lambda: Table(heights=5), (normal(3, 4),)),
    "polygon at its corners, learned": Honest(lambda: Table(heights=5), (_KINKS[:2],)),
    "fourier features": Honest(lambda: Fourier(w=(4, 3)), ((3, 4),)),
    "swiglu": Honest(lambda: SwiGLU(w=(4, 3), v=(4, 3), u=(3, 4)), ((5, 4),)),
    "highway": Honest(
        lambda: Highway(npnet.Linear(4, 4, rng=1), npnet.Linear(4, 4, rng=2)), ((3, 4),)
    ),
    "squeeze and excitation": Honest(lambda: SqueezeExcite(w=(3, 3)), ((2, 3, 4),)),
    "relu(x) - relu(-x) at zero": Honest(Both, (_KINKS,)),
    "relu(x) - relu(-x) of zeros": Honest(Both, (np.zeros((2, 3)),)),
    "three relus of zeros": Honest(lambda: _relus(3, 1, 2, 3), (np.zeros((2, 3)),)),
    "two relus with a zero row": Honest(
        lambda: _relus(3, 1, 2), (np.concatenate([normal(2, 3), np.zeros((1, 3))]),)
    ),
    "sigmoids, saturated on both sides": Honest(
        lambda: npnet.Sequential(npnet.Sigmoid(), npnet.Linear(4, 2, rng=1), npnet.Sigmoid()),
        (normal(3, 4, scale=200.0),),
    ),
    "tanh of 1e-20": Honest(npnet.Tanh, (normal(3, 4, scale=1e-20),)),
    "square of 1e-15": Honest(
        elementwise(lambda x: x * x, lambda x: 2 * x), (normal(3, 4, scale=1e-15),)
    ),
    # differences.sweep: 1 + tanh cancels inside, in steps that the small outputs do not show
    "gelu by tanh where it is saturated": Honest(
        lambda: npnet.GELU("tanh"), (np.linspace(-6.8, -5.5, 40).reshape(8, 5),)
    ),
    # Kink._is_right_by_output
    "relus of both signs, side by side": Honest(
        op(
            lambda x: (np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1), x),
            lambda grad, x: grad[:, :3] * (x > 0) - grad[:, 3:] * (x < 0),
        ),
        (np.zeros((2, 3)),),
    ),
    "sum of 1e8 and 1": Honest(
        op(lambda a, b: (a + b,), lambda grad: (grad, grad)),
        (normal(3, 2, scale=1e8), normal(3, 2)),
    ),
}
