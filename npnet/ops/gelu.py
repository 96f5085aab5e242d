"""GELU in its two forms, and their derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npnet.errors import MissingDependency
from npnet.typing import Array


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
