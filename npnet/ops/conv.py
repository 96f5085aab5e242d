"""Convolution over any number of axes: its values, and the gradients of its weight and its input.

What deep learning calls a convolution is a correlation: y[n, k, o] is the sum over channels c and
offsets i of weight[k, c, i] x[n, c, o stride + i dilation - padding], where x is 0 outside. It is
linear in x and in the weight, and the two gradients are the transposed linear maps. The gradient of
the input is also what a transposed convolution computes.

Windows are copied into the columns of a matrix a few images, or a few rows of one image, at a time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from npnet.ops.elementwise import constant
from npnet.ops.windows import Sizes, offsets, output_size, windows
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
    return _COLUMNS


# --- columns


_TILE = 1 << 17
"""Elements of a matrix of columns that stay in the cache."""


class _Tile(NamedTuple):
    """Some images, or some rows of the first axis of one, and where their windows lie."""

    images: slice
    first: int  # number of the first of their positions in an image
    out: Sizes  # shape of their positions
    shape: Sizes  # of what their windows cover, padding included
    inner: tuple[Any, ...]  # what of that lies inside the input
    outer: tuple[Any, ...]  # and where it lies there

    @property
    def padded(self) -> bool:
        return any(s.stop - s.start != n for s, n in zip(self.inner, self.shape, strict=True))

    @property
    def positions(self) -> slice:
        return slice(self.first, self.first + math.prod(self.out))


def _tiles(n: int, per_position: int, g: Geometry) -> Iterator[_Tile]:
    """Cut n images into tiles whose matrices of columns have `per_position` rows."""
    per_row = max(1, per_position * math.prod(g.out[1:]))
    rows = min(g.out[0], max(1, _TILE // per_row))
    images = max(1, _TILE // (per_row * rows)) if rows == g.out[0] else 1
    for row in range(0, g.out[0], rows):
        out = (min(rows, g.out[0] - row), *g.out[1:])
        starts = (row * g.stride[0] - g.padding[0], *(-p for p in g.padding[1:]))
        shape, inner, outer = [], [], []
        for start, size, o, k, s, d in zip(
            starts, g.size, out, g.kernel_size, g.stride, g.dilation, strict=True
        ):
            length = (o - 1) * s + (k - 1) * d + 1
            low = min(max(start, 0), start + length)
            high = max(low, min(size, start + length))
            shape.append(length)
            inner.append(slice(low - start, high - start))
            outer.append(slice(low, high))
        first = row * math.prod(g.out[1:])
        for i in range(0, n, images):
            at = slice(i, min(n, i + images))
            yield _Tile(at, first, out, tuple(shape), tuple(inner), tuple(outer))


class _Scratch:
    """Arrays that are used again from tile to tile; a smaller tile gets a piece of them."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.arrays: dict[str, Array] = {}

    def __call__(self, name: str, *shape: int) -> Array:
        size = math.prod(shape)
        if name not in self.arrays or self.arrays[name].size < size:
            self.arrays[name] = np.empty(size, self.dtype)
        return self.arrays[name][:size].reshape(shape)


def _columns(x: Array, tile: _Tile, g: Geometry, scratch: _Scratch) -> Array:
    """Return the windows of a tile as columns, (groups, channels * kernel, images * positions)."""
    piece = x[tile.images][(..., *tile.outer)]
    if tile.padded:
        inside, piece = piece, scratch("padded", *piece.shape[:2], *tile.shape)
        piece[...] = 0
        piece[(..., *tile.inner)] = inside
    n, channels = piece.shape[:2]
    columns = scratch("columns", channels, *g.kernel_size, n, *tile.out)
    axes = len(g.size)
    order = (1, *range(2 + axes, 2 + 2 * axes), 0, *range(2, 2 + axes))
    np.copyto(columns, windows(piece, g.kernel_size, g.stride, g.dilation).transpose(order))
    rows = channels // g.groups * math.prod(g.kernel_size)
    matrices: Array = columns.reshape(g.groups, rows, n * math.prod(tile.out))
    return matrices


def _of_tile(y: Array, tile: _Tile, g: Geometry) -> Array:
    """Return the view (images, groups, channels / groups, positions) of a tile of the output."""
    y4 = y.reshape(len(y), g.groups, y.shape[1] // g.groups, math.prod(g.out))
    part: Array = y4[tile.images, :, :, tile.positions]
    return part


def _grad_rows(grad: Array, tile: _Tile, g: Geometry, scratch: _Scratch) -> Array:
    """Return a tile of the output's gradient, (groups, channels / groups, images * positions)."""
    part: Any = _of_tile(grad, tile, g)
    if len(part) == 1:
        return part[0]
    n, groups, channels, length = part.shape
    rows = scratch("grad", groups, channels, n, length)
    rows[...] = part.transpose(1, 2, 0, 3)
    return rows.reshape(groups, channels, n * length)


def _convolve_columns(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    scratch = _Scratch(x.dtype)
    w = weight.reshape(g.groups, len(weight) // g.groups, -1)
    b = None if bias is None else bias.reshape(g.groups, -1, 1)
    for tile in _tiles(len(x), w.shape[2] * g.groups, g):
        columns, part = _columns(x, tile, g, scratch), _of_tile(y, tile, g)
        n, groups, channels, length = part.shape
        z = part[0] if n == 1 else scratch("product", groups, channels, n * length)
        np.matmul(w, columns, out=z)
        if b is not None:
            z += b
        if n > 1:
            part[...] = z.reshape(groups, channels, n, length).transpose(2, 0, 1, 3)


def _weight_grad_columns(x: Array, grad: Array, g: Geometry, dw: Array) -> None:
    scratch = _Scratch(x.dtype)
    total = dw.reshape(g.groups, len(dw) // g.groups, -1)
    product = np.empty_like(total)
    total[...] = 0
    for tile in _tiles(len(x), total.shape[2] * g.groups, g):
        columns = _columns(x, tile, g, scratch)
        rows = _grad_rows(grad, tile, g, scratch)
        np.matmul(rows, columns.transpose(0, 2, 1), out=product)
        total += product


def _input_grad_columns(
    grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array
) -> None:
    scratch = _Scratch(grad.dtype)
    w = weight.reshape(g.groups, len(weight) // g.groups, -1).transpose(0, 2, 1)
    dx[...] = 0 if bias is None else bias.reshape(-1, *(1,) * len(g.size))
    for tile in _tiles(len(grad), w.shape[1] * g.groups, g):
        rows: Array = _grad_rows(grad, tile, g, scratch)
        n, channels = tile.images.stop - tile.images.start, dx.shape[1]
        columns = scratch("columns", g.groups, w.shape[1], rows.shape[2])
        np.matmul(w, rows, out=columns)
        columns = columns.reshape(channels, *g.kernel_size, n, *tile.out).swapaxes(
            0, 1 + len(g.size)
        )
        piece = scratch("padded", n, channels, *tile.shape)
        piece[...] = 0
        for position, at in offsets(tile.out, g.kernel_size, g.stride, g.dilation):
            piece[(..., *at)] += columns[(slice(None), *position)]
        dx[tile.images][(..., *tile.outer)] += piece[(..., *tile.inner)]


_COLUMNS = _Way(_convolve_columns, _weight_grad_columns, _input_grad_columns)
