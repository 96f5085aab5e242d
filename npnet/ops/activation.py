"""The activations that are used most, as kernels: value and derivative.

``f(x, out)`` writes the value; ``f_grad(grad, kept, out)`` writes `grad` times the derivative, with
`kept` the output y where the derivative is a function of y and the input x otherwise. `out` is
returned and may not overlap the other arguments.
"""

from __future__ import annotations

import numpy as np

from npnet.ops.elementwise import choose, keep_where, sigmoid, zeros
from npnet.ops.kernels import kernel
from npnet.typing import Array


@kernel
def leaky_relu(x: Array, slope: float, out: Array) -> Array:
    """Write x where x > 0, else slope * x."""
    if slope == 0:  # 0 * inf is NaN
        return np.maximum(x, zeros(x), out=out)
    np.multiply(x, slope, out=out)
    bound = np.maximum if slope <= 1 else np.minimum
    return bound(x, out, out=out)


@kernel
def leaky_relu_grad(grad: Array, x: Array, slope: float, out: Array) -> Array:
    """Write grad where x > 0, else slope * grad."""
    choose(x > 0, 1.0, slope, out)
    out *= grad
    return out


@kernel
def clip_grad(grad: Array, y: Array, low: float, high: float, out: Array) -> Array:
    """Write grad where low < y < high or y is NaN, else 0."""
    off = y <= low
    off |= y >= high
    return keep_where(~off, grad, out)


@kernel
def hardswish(x: Array, out: Array) -> Array:
    """Write x * min(max(x + 3, 0), 6) / 6."""
    np.add(x, 3, out=out)
    np.clip(out, 0, 6, out=out)
    out *= x
    out *= 1 / 6
    return out


@kernel
def hardswish_grad(grad: Array, x: Array, out: Array) -> Array:
    """Write grad * (x / 3 + 1 / 2) where |x| < 3, 0 below and grad elsewhere."""
    slope = x * x.dtype.type(1 / 3)
    slope += 0.5
    slope = keep_where(np.abs(x, out=out) < 3, slope, np.empty_like(x))
    choose(x < 3, 0.0, 1.0, out)
    out += slope
    out *= grad
    return out


@kernel
def silu(x: Array, out: Array) -> Array:
    """Write x / (1 + exp(-x))."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += 1
    return np.divide(x, out, out=out)


@kernel
def silu_grad(grad: Array, x: Array, out: Array) -> Array:
    """Write grad * s * (1 + x * (1 - s)) with s = sigmoid(x)."""
    s = sigmoid(x, np.empty_like(x))
    np.subtract(1, s, out=out)
    out *= x
    out += 1
    out *= s
    out *= grad
    return out


@kernel
def sigmoid_grad(grad: Array, y: Array, out: Array) -> Array:
    """Write grad * (1 - y) * y."""
    np.subtract(1, y, out=out)
    out *= y
    out *= grad
    return out


@kernel
def tanh_grad(grad: Array, y: Array, out: Array) -> Array:
    """Write grad * (1 - y^2)."""
    np.square(y, out=out)
    np.subtract(1, out, out=out)
    out *= grad
    return out
