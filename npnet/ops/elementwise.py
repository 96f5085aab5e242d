"""What is done element by element: kernels, and what the formulas of activations are made of.

``f_grad(grad, y, out)`` writes `grad` times the derivative of f, computed from its output y. `out`
is returned and may not overlap the other arguments unless that is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from npnet.ops.kernels import kernel
from npnet.typing import Array

_UNSIGNED: dict[str, np.dtype[Any]] = {"f": np.dtype(np.uint32), "d": np.dtype(np.uint64)}
_SIGNED: dict[str, np.dtype[Any]] = {"f": np.dtype(np.int32), "d": np.dtype(np.int64)}
BLOCK = 32768
"""Elements that one pass works on; smaller blocks pay for calls, larger ones leave the cache."""
WHOLE = 2 * BLOCK
"""Elements up to which an array is worked on whole."""
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
    return constant(0.0, x.shape, x.dtype) if x.size <= WHOLE else 0.0


def blocks(*arrays: Array) -> Iterable[tuple[Array, ...]]:
    """Cut large arrays of one shape into vectors that stay in the cache; the last one is written.

    Small arrays, and all if the one to be written is not contiguous, come whole; scalars as vectors
    of one element, for what NumPy computes of a scalar cannot be written into.
    """
    size = arrays[0].size
    if not arrays[-1].ndim:
        return (tuple(array.reshape(1) for array in arrays),)
    if size <= WHOLE or not arrays[-1].flags.c_contiguous:
        return (arrays,)
    flat = [array.reshape(-1) for array in arrays]
    return (
        tuple(vector[start : start + BLOCK] for vector in flat) for start in range(0, size, BLOCK)
    )


@kernel
def relu(x: Array, out: Array) -> Array:
    """Write max(x, 0); `out` may be `x`."""
    if x.size <= WHOLE:
        return np.maximum(x, constant(0.0, x.shape, x.dtype), out=out)
    for a, b in blocks(x, out):
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
        for g, kept, bits in blocks(grad.view(unsigned), y.view(unsigned), out.view(unsigned)):
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


def sigmoid(x: Array, out: Array) -> Array:
    """Write 1 / (1 + exp(-x))."""
    np.negative(x, out=out)
    np.exp(out, out=out)  # where that is infinite the result is 0
    out += 1
    return np.divide(1, out, out=out)


def keep_where(mask: Any, a: Array, out: Array) -> Array:
    """Write `a` where the mask is True, else 0."""
    signed = _SIGNED.get(out.dtype.char)
    if signed is None or a.dtype != out.dtype:
        out[...] = np.where(mask, a, 0)
        return out
    # -1 has all bits set. Random masks make np.where and np.copyto ten times slower, as processors
    # cannot predict them, and a product would make NaN of 0 * inf.
    bits = np.negative(mask.view(np.int8), out=out.view(signed))
    np.bitwise_and(bits, a.view(signed), out=bits)
    return out


def choose(mask: Any, yes: float, no: float, out: Array) -> Array:
    """Write the number `yes` where the mask is True, else `no`."""
    signed = _SIGNED.get(out.dtype.char)
    if signed is None:
        out[...] = np.where(mask, yes, no)
        return out
    a, b = np.array([yes, no], out.dtype).view(signed)
    bits = np.negative(mask.view(np.int8), out=out.view(signed))
    np.bitwise_and(bits, a ^ b, out=bits)  # as in keep_where
    np.bitwise_xor(bits, b, out=bits)
    return out
