"""Elementwise functions and their derivatives.

``f(x, out)`` writes the value; ``f_grad(grad, kept, out)`` writes `grad` times the derivative, with
`kept` the output y where the derivative is a function of y and the input x otherwise. `out` is
returned and may not overlap the other arguments. Stable for any finite input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from npnet.errors import MissingDependency
from npnet.ops.kernels import kernel
from npnet.typing import Array

_UNSIGNED: dict[str, np.dtype[Any]] = {"f": np.dtype(np.uint32), "d": np.dtype(np.uint64)}
BLOCK = 32768
"""Elements that one pass works on; smaller blocks pay for calls, larger ones leave the cache."""
FEW = 2048
"""Elements up to which the number of calls counts for more than what they do."""

_flat: dict[tuple[float, str], Array] = {}
_cut: dict[tuple[float, tuple[int, ...], str], Array] = {}


def constant(value: float, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return a read-only array of one value, cut from a vector that is made once.

    NumPy's two-array loops are several times faster than those with a Python scalar.
    """
    found = _cut.get((value, shape, dtype.char))
    if found is not None:
        return found
    size = math.prod(shape)
    flat = _flat.get((value, dtype.char))
    if flat is None or flat.size < size:
        flat = np.full(max(size, 1024), value, dtype.newbyteorder("="))
        flat.flags.writeable = False
        _flat[value, dtype.char] = flat
        _cut.clear()  # views of a vector that is now too short
    if len(_cut) >= 256:
        _cut.clear()
    found = _cut[value, shape, dtype.char] = flat[:size].reshape(shape)
    return found


def zeros(x: Array) -> Array | float:
    """Return what to compare `x` with: an array of zeros, or 0 where that would be a large one."""
    return constant(0.0, x.shape, x.dtype) if x.size <= BLOCK else 0.0


def _blocks(*arrays: Array) -> Iterable[tuple[Array, ...]]:
    """Cut large arrays of one shape into vectors that stay in the cache; the last one is written.

    Small arrays, and all if the one to be written is not contiguous, come whole.
    """
    size = arrays[0].size
    if size <= BLOCK or not arrays[-1].flags.c_contiguous:
        return (arrays,)
    flat = [array.reshape(-1) for array in arrays]
    return (
        tuple(vector[start : start + BLOCK] for vector in flat) for start in range(0, size, BLOCK)
    )


@kernel
def relu(x: Array, out: Array) -> Array:
    """Write max(x, 0); `out` may be `x`."""
    if x.size <= BLOCK:
        return np.maximum(x, constant(0.0, x.shape, x.dtype), out=out)
    for a, b in _blocks(x, out):
        np.maximum(a, zeros(a), out=b)
    return out


@kernel
def relu_grad(grad: Array, y: Array, out: Array) -> Array:
    """Write grad where y > 0, else 0; `out` may be `grad`."""
    unsigned = _UNSIGNED.get(y.dtype.char)
    if unsigned is None or not y.dtype == grad.dtype == out.dtype:
        out[...] = np.where(y <= 0, 0, grad)
    elif y.size <= FEW:  # fewer calls
        zero = constant(0.0, y.shape, y.dtype)
        off = np.less_equal(y, zero)
        if out is not grad:
            out[...] = grad
        np.putmask(out, off, zero)
    else:
        # Read as an unsigned integer, y is 0 only where the float is 0 (it is never negative), and
        # -min(y, 1) has all bits set elsewhere. This mask is faster than one of booleans, and
        # no 0 * inf arises as in a product.
        for g, kept, bits in _blocks(grad.view(unsigned), y.view(unsigned), out.view(unsigned)):
            mask = np.empty_like(kept) if out is grad else bits
            np.minimum(kept, constant(1, kept.shape, unsigned), out=mask)
            np.negative(mask, out=mask)
            np.bitwise_and(mask, g, out=bits)
    return out


@kernel
def relu_grad_in_place(grad: Array, y: Array) -> None:
    """Write grad where y > 0, else 0, over y; a compiled loop of three arrays would be slower."""
    relu_grad(grad, y, y)


@kernel
def add_bias(y: Array, bias: Array) -> None:
    """Add a bias of shape (n,) to each row of y, in place."""
    if len(y) == 1:  # equal shapes are added in half the time
        y = y[0]
    y += bias


@kernel
def add_bias_relu(y: Array, bias: Array) -> None:
    """Write max(y + bias, 0) over y."""
    rows = y[0] if len(y) == 1 else y
    rows += bias
    relu(rows, rows)


@kernel
def dropout(x: Array, noise: Array, p: float, scale: float, out: Array) -> Array:
    """Turn uniform noise into the mask (scale where noise >= p, else 0); write x * mask."""
    noise[...] = noise >= p
    noise *= scale
    return np.multiply(x, noise, out=out)


def leaky_relu(x: Array, slope: float, out: Array) -> Array:
    """Write x where x > 0, else slope * x."""
    np.multiply(x, slope, out=out)
    np.copyto(out, x, where=x > 0)
    return out


def leaky_relu_grad(grad: Array, x: Array, slope: float, out: Array) -> Array:
    """Write grad where x > 0, else slope * grad."""
    np.multiply(grad, slope, out=out)
    np.copyto(out, grad, where=x > 0)
    return out


def elu(x: Array, alpha: float, out: Array) -> Array:
    """Write x where x > 0, else alpha * (exp(x) - 1)."""
    np.minimum(x, zeros(x), out=out)
    np.expm1(out, out=out)
    out *= alpha
    np.copyto(out, x, where=x > 0)
    return out


def elu_grad(grad: Array, x: Array, alpha: float, out: Array) -> Array:
    """Write grad where x > 0, else grad * alpha * exp(x)."""
    np.minimum(x, zeros(x), out=out)
    np.exp(out, out=out)
    out *= alpha
    out *= grad
    np.copyto(out, grad, where=x > 0)
    return out


def sigmoid(x: Array, out: Array) -> Array:
    """Write 1 / (1 + exp(-x))."""
    np.negative(x, out=out)
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right 0
        np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)


def sigmoid_grad(grad: Array, y: Array, out: Array) -> Array:
    """Write grad * (1 - y) * y."""
    np.subtract(1, y, out=out)
    out *= y
    out *= grad
    return out


def tanh(x: Array, out: Array) -> Array:
    """Write tanh(x)."""
    return np.tanh(x, out=out)


def tanh_grad(grad: Array, y: Array, out: Array) -> Array:
    """Write grad * (1 - y^2)."""
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)
    out *= grad
    return out


def silu(x: Array, out: Array) -> Array:
    """Write x * sigmoid(x)."""
    sigmoid(x, out)
    out *= x
    return out


def silu_grad(grad: Array, x: Array, out: Array) -> Array:
    """Write grad * s * (1 + x * (1 - s)) with s = sigmoid(x)."""
    s = sigmoid(x, np.empty_like(x))
    np.subtract(1, s, out=out)
    out *= x
    out += 1
    out *= s
    out *= grad
    return out


def softplus(x: Array, beta: float, threshold: float, out: Array) -> Array:
    """Write log(1 + exp(beta * x)) / beta, and x where beta * x > threshold."""
    scaled = x * x.dtype.type(beta)
    np.abs(scaled, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    out += np.maximum(scaled, zeros(x))
    out /= beta
    np.copyto(out, x, where=scaled > threshold)
    return out


def softplus_grad(grad: Array, x: Array, beta: float, threshold: float, out: Array) -> Array:
    """Write grad * sigmoid(beta * x), and grad where beta * x > threshold."""
    scaled = x * x.dtype.type(beta)
    sigmoid(scaled, out)
    out *= grad
    np.copyto(out, grad, where=scaled > threshold)
    return out


def softsign(x: Array, out: Array) -> Array:
    """Write x / (1 + |x|)."""
    np.abs(x, out=out)
    out += 1
    return np.divide(x, out, out=out)


def softsign_grad(grad: Array, x: Array, out: Array) -> Array:
    """Write grad / (1 + |x|)^2."""
    np.abs(x, out=out)
    out += 1
    np.multiply(out, out, out=out)
    return np.divide(grad, out, out=out)


def _ndtr() -> Any:
    try:
        from scipy.special import ndtr
    except ImportError as error:
        raise MissingDependency("GELU needs SciPy: pip install scipy") from error
    return ndtr


def gelu(x: Array, out: Array) -> Array:
    """Write x * Phi(x), where Phi is the normal distribution function."""
    _ndtr()(x, out=out)
    out *= x
    return out


def gelu_grad(grad: Array, x: Array, out: Array) -> Array:
    """Write grad * (Phi(x) + x * phi(x))."""
    np.multiply(x, x, out=out)
    out *= -0.5
    np.exp(out, out=out)
    out *= 1 / math.sqrt(2 * math.pi)
    out *= x
    out += _ndtr()(x)
    out *= grad
    return out


_SQRT_2_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715


def gelu_tanh(x: Array, out: Array) -> Array:
    """Write x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))."""
    np.multiply(x, x, out=out)
    out *= _CUBIC
    out += 1
    out *= x
    out *= _SQRT_2_PI
    np.tanh(out, out=out)
    out += 1
    out *= x
    out *= 0.5
    return out


def gelu_tanh_grad(grad: Array, x: Array, out: Array) -> Array:
    """Write grad * ((1 + t) / 2 + x / 2 * (1 - t^2) * du/dx) with t = tanh(u(x))."""
    square = x * x
    t = np.tanh(_SQRT_2_PI * x * (1 + _CUBIC * square))
    np.multiply(square, 3 * _CUBIC, out=out)
    out += 1
    out *= x
    out *= 0.5 * _SQRT_2_PI
    out *= 1 - t * t
    out += 0.5 * (1 + t)
    out *= grad
    return out
