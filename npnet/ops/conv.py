"""Convolution over any number of axes: its values, and the gradients of its weight and its input.

What deep learning calls a convolution is a correlation: y[n, k, o] is the sum over channels c and
offsets i of weight[k, c, i] x[n, c, o stride + i dilation - padding], where x is 0 outside. It is
linear in x and in the weight, and the two gradients are the transposed linear maps. The gradient of
the input is also what a transposed convolution computes.

How they are computed depends on the geometry: see `_way`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from npnet.ops import columns, depthwise, pointwise, rows, winograd
from npnet.ops.elementwise import constant
from npnet.ops.windows import Sizes, output_size
from npnet.typing import Array


class Geometry(NamedTuple):
    """Where the windows of a convolution lie; a tuple has one integer for each axis.

    Padding behind the input is implied by `out`. It is negative where `padding` before the input
    is, or the last elements are in no window.
    """

    size: Sizes  # of the input
    out: Sizes  # of the output
    kernel_size: Sizes
    stride: Sizes
    padding: Sizes  # before the input
    dilation: Sizes
    groups: int


@functools.lru_cache(256)
def geometry(
    size: Sizes,
    kernel_size: Sizes,
    stride: Sizes,
    padding: tuple[tuple[int, int], ...],
    dilation: Sizes,
    groups: int,
) -> Geometry:
    """Return the geometry for an input; `padding` is (before, after) for each axis."""
    out = output_size(size, kernel_size, stride, tuple(map(sum, padding)), dilation)
    before = tuple(b for b, _ in padding)
    return Geometry(size, out, kernel_size, stride, before, dilation, groups)


def convolve(
    x: Array, weight: Array, bias: Array | None, g: Geometry, exact: bool = False
) -> Array:
    """Return the convolution.

    Parameters
    ----------
    x : ndarray, shape (n, in_channels, *g.size)
    weight : ndarray, shape (out_channels, in_channels / g.groups, *g.kernel_size)
    bias : ndarray, shape (out_channels,), or None
    g : Geometry
    exact : bool
        Whether a faster way is ruled out whose rounding errors are larger than a product's.

    Returns
    -------
    ndarray, shape (n, out_channels, *g.out)
    """
    y = np.empty((len(x), len(weight), *g.out), x.dtype)
    _way(g, weight.shape, x.dtype.char, exact).convolve(x, weight, bias, g, y)
    return y


def weight_grad(x: Array, grad: Array, g: Geometry, exact: bool = False) -> Array:
    """Return the gradient of the weight for that of the output, (n, out_channels, *g.out)."""
    dw = np.empty((grad.shape[1], x.shape[1] // g.groups, *g.kernel_size), grad.dtype)
    _way(g, dw.shape, grad.dtype.char, exact).weight_grad(x, np.ascontiguousarray(grad), g, dw)
    return dw


def input_grad(
    grad: Array, weight: Array, g: Geometry, exact: bool = False, bias: Array | None = None
) -> Array:
    """Return the gradient of the input, (n, in_channels, *g.size), plus a bias of each channel."""
    dx = np.empty((len(grad), weight.shape[1] * g.groups, *g.size), grad.dtype)
    way = _way(g, weight.shape, grad.dtype.char, exact)
    way.input_grad(np.ascontiguousarray(grad), weight, bias, g, dx)
    return dx


def both_grads(
    x: Array, grad: Array, weight: Array, g: Geometry, exact: bool = False
) -> tuple[Array, Array]:
    """Return what `weight_grad` and `input_grad` return."""
    way = _way(g, weight.shape, grad.dtype.char, exact)
    if way.both_grads is None:
        return weight_grad(x, grad, g, exact), input_grad(grad, weight, g, exact)
    dw, dx = np.empty(weight.shape, grad.dtype), np.empty(x.shape, grad.dtype)
    way.both_grads(x, np.ascontiguousarray(grad), weight, g, dw, dx)
    return dw, dx


def bias_grad(grad: Array) -> Array:
    """Return the gradient of the bias, the sum over images and positions."""
    n, channels = grad.shape[:2]
    length = math.prod(grad.shape[2:])
    # A product with ones is the fastest sum of rows.
    rows = grad.reshape(n * channels, length).dot(constant(1.0, (length,), grad.dtype))
    total: Array = rows.reshape(n, channels).sum(axis=0)
    return total


class _Way(NamedTuple):
    """One way to compute the three maps; each function writes into its last argument."""

    convolve: Callable[[Array, Array, Array | None, Geometry, Array], None]
    weight_grad: Callable[[Array, Array, Geometry, Array], None]
    input_grad: Callable[[Array, Array, Array | None, Geometry, Array], None]
    both_grads: Callable[[Array, Array, Array, Geometry, Array, Array], None] | None = None
    """Both gradients for less than one after the other: of x, grad, weight, g, dw, dx."""


def _way(g: Geometry, weight_shape: tuple[int, ...], dtype: str, exact: bool) -> _Way:
    """Choose how a convolution is computed."""
    if {*g.kernel_size, *g.stride} == {1} and {*g.padding} == {0} and g.size == g.out:
        return _POINTWISE if math.prod(g.out) >= _LONG else _COLUMNS
    if dtype == "f" and not exact and winograd.pays(g, weight_shape):
        return _WINOGRAD
    if depthwise.computes(g, weight_shape):
        return _DEPTHWISE
    if {*g.stride} != {1} and g.groups == 1 and min(weight_shape[:2]) >= _CHANNELS:
        return _ROWS
    return _COLUMNS


_LONG = 32
"""How many positions make products of single images worth it."""

_CHANNELS = 8
"""How many channels make copies of all channels of a window long enough."""

_POINTWISE = _Way(pointwise.convolve, pointwise.weight_grad, pointwise.input_grad)
_WINOGRAD = _Way(winograd.convolve, winograd.weight_grad, winograd.input_grad, winograd.both_grads)
_DEPTHWISE = _Way(depthwise.convolve, depthwise.weight_grad, depthwise.input_grad)
_ROWS = _Way(rows.convolve, rows.weight_grad, rows.input_grad)
_COLUMNS = _Way(columns.convolve, columns.weight_grad, columns.input_grad)
