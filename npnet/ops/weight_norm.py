"""A weight made of its length and its direction, and the derivative."""

from __future__ import annotations

import numpy as np

from npnet.typing import Array


def norms(v: Array, dim: int | None) -> Array:
    """Return the norm of v for each index of an axis, or of all of v for None.

    The other axes have the length 1.
    """
    if dim is None:
        return np.asarray(np.sqrt(np.vdot(v, v)))
    others = tuple(axis for axis in range(v.ndim) if axis != dim)
    return np.asarray(np.sqrt(np.square(v).sum(axis=others, keepdims=True)))


def weight(g: Array, v: Array, dim: int | None) -> Array:
    """Return g * v / |v|, the norm being that of `norms`."""
    return np.asarray(v * (g / norms(v, dim)))


def weight_grad(grad: Array, g: Array, v: Array, dim: int | None) -> tuple[Array, Array]:
    """Return the derivatives of `weight`: of g the part along v, and of v what is across it."""
    norm = norms(v, dim)
    unit = v / norm
    others = None if dim is None else tuple(axis for axis in range(v.ndim) if axis != dim)
    dg = np.asarray((grad * unit).sum(axis=others, keepdims=dim is not None))
    return dg, (grad - unit * dg) * (g / norm)
