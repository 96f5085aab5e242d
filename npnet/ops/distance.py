"""The p-norm of vectors along the last axis, and its derivative."""

from __future__ import annotations

import math

import numpy as np

from npnet.typing import Array


def norm(x: Array, p: float) -> Array:
    """Return (sum |x|^p)^(1/p) with the last axis kept; for p = inf the largest |x|."""
    size = np.abs(x)
    if p == math.inf:
        y: Array = size.max(-1, keepdims=True)
    elif p == 2:
        y = np.sqrt((x * x).sum(-1, keepdims=True))
    else:
        y = (size**p).sum(-1, keepdims=True) ** (1 / p)
    return y


def norm_grad(x: Array, y: Array, p: float) -> Array:
    """Return dy/dx for y = norm(x, p), as PyTorch has it: 0 for x = 0, equal shares for equals."""
    size = np.abs(x)
    if p == math.inf:
        largest = (size == y).astype(x.dtype)
        grad: Array = np.sign(x) * largest / largest.sum(-1, keepdims=True)
        return grad
    on = (size > 0) & (y > 0)
    ratio = np.divide(size, y, out=np.ones_like(x), where=on)
    grad = np.sign(x) * on * ratio ** (p - 1)
    return grad
