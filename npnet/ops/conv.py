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

from npnet.ops import columns, pointwise
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
    _way(g, weight.shape, exact).convolve(x, weight, bias, g, y)
    return y


def weight_grad(x: Array, grad: Array, g: Geometry, exact: bool = False) -> Array:
    """Return the gradient of the weight for that of the output, (n, out_channels, *g.out)."""
    dw = np.empty((grad.shape[1], x.shape[1] // g.groups, *g.kernel_size), grad.dtype)
    _way(g, dw.shape, exact).weight_grad(x, np.ascontiguousarray(grad), g, dw)
    return dw


def input_grad(
    grad: Array, weight: Array, g: Geometry, exact: bool = False, bias: Array | None = None
) -> Array:
    """Return the gradient of the input, (n, in_channels, *g.size), plus a bias of each channel."""
    dx = np.empty((len(grad), weight.shape[1] * g.groups, *g.size), grad.dtype)
    _way(g, weight.shape, exact).input_grad(np.ascontiguousarray(grad), weight, bias, g, dx)
    return dx


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


@functools.lru_cache(256)
def _way(g: Geometry, weight_shape: tuple[int, ...], exact: bool) -> _Way:
    """Choose how a convolution is computed; here a faster way for some of them is entered."""
    if {*g.kernel_size, *g.stride} == {1} and g.size == g.out and math.prod(g.out) >= _LONG:
        return _POINTWISE
    return _COLUMNS


_LONG = 32
"""How many positions make products of single images worth it."""

_POINTWISE = _Way(pointwise.convolve, pointwise.weight_grad, pointwise.input_grad)
_COLUMNS = _Way(columns.convolve, columns.weight_grad, columns.input_grad)
