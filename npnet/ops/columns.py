"""Convolution by products of matrices, whose columns are the windows of the input.

The columns are made of a tile at a time, of a few images or a few rows of one image, in memory that
is used again: all of them at once would be larger than the input by the size of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.ops.kernels import kernel
from npnet.ops.windows import Sizes, offsets, windows
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry

Slices = tuple[slice, ...]

_TILE = 1 << 18
"""Elements of a matrix of columns that stay in the cache."""


def _covered(
    size: Sizes, row: int, columns: Array, stride: Sizes, padding: Sizes, dilation: Sizes
) -> tuple[Sizes, Slices, Slices]:
    """Return the shape that windows cover, what of it lies inside, and where in the input."""
    axes = len(size)
    kernel_size, positions = columns.shape[1 : 1 + axes], columns.shape[2 + axes :]
    shape, inner, outer = [], [], []
    for axis, (n, k, o) in enumerate(zip(size, kernel_size, positions, strict=True)):
        start = (row if axis == 0 else 0) * stride[axis] - padding[axis]
        length = (o - 1) * stride[axis] + (k - 1) * dilation[axis] + 1
        low = min(max(start, 0), start + length)
        high = max(low, min(n, start + length))
        shape.append(length)
        inner.append(slice(low - start, high - start))
        outer.append(slice(low, high))
    return tuple(shape), tuple(inner), tuple(outer)


@kernel
def copy_windows(
    x: Array, row: int, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array
) -> Array:
    """Write the windows of images; where they reach over the edge they hold zeros.

    Parameters
    ----------
    x : ndarray, shape (images, channels, *size)
    row : int
        The number of the row of positions that `out` begins with.
    stride, padding, dilation : tuple of int
        One integer for each axis; the padding is that before the images.
    out : ndarray, shape (channels, *kernel_size, images, *positions)

    Returns
    -------
    ndarray
        `out`.
    """
    axes = x.ndim - 2
    shape, inner, outer = _covered(x.shape[2:], row, out, stride, padding, dilation)
    piece = x[(..., *outer)]
    if piece.shape[2:] != shape:
        padded = np.zeros((*x.shape[:2], *shape), x.dtype)
        padded[(..., *inner)] = piece
        piece = padded
    order = (1, *range(2 + axes, 2 + 2 * axes), 0, *range(2, 2 + axes))
    np.copyto(out, windows(piece, out.shape[1 : 1 + axes], stride, dilation).transpose(order))
    return out


@kernel
def add_windows(
    columns: Array, row: int, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array
) -> Array:
    """Add what `copy_windows` wrote to where it was taken from.

    Parameters
    ----------
    columns : ndarray, shape (channels, *kernel_size, images, *positions)
    row, stride, padding, dilation
        As `copy_windows` was given them.
    out : ndarray, shape (images, channels, *size)

    Returns
    -------
    ndarray
        `out`.
    """
    axes = out.ndim - 2
    shape, inner, outer = _covered(out.shape[2:], row, columns, stride, padding, dilation)
    columns = columns.swapaxes(0, 1 + axes)
    piece = np.zeros((*out.shape[:2], *shape), out.dtype)
    positions = columns.shape[2 + axes :]
    for position, at in offsets(positions, columns.shape[1 : 1 + axes], stride, dilation):
        piece[(..., *at)] += columns[(slice(None), *position)]
    out[(..., *outer)] += piece[(..., *inner)]
    return out


class _Tile(NamedTuple):
    """Some images, or some rows of the first axis of one."""

    images: slice
    row: int  # the first one
    out: Sizes  # shape of their positions

    @property
    def positions(self) -> slice:
        row = math.prod(self.out[1:])
        return slice(self.row * row, (self.row + self.out[0]) * row)


def _tiles(n: int, per_position: int, g: Geometry) -> Iterator[_Tile]:
    """Cut n images into tiles whose matrices of columns have `per_position` rows."""
    per_row = max(1, per_position * math.prod(g.out[1:]))
    rows = min(g.out[0], max(1, _TILE // per_row))
    rows = math.ceil(g.out[0] / math.ceil(g.out[0] / rows))  # tiles of about one size
    images = max(1, _TILE // (per_row * rows)) if rows == g.out[0] else 1
    for row in range(0, g.out[0], rows):
        out = (min(rows, g.out[0] - row), *g.out[1:])
        for i in range(0, n, images):
            yield _Tile(slice(i, min(n, i + images)), row, out)


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
    images = x[tile.images]
    n, channels = images.shape[:2]
    columns = scratch("columns", channels, *g.kernel_size, n, *tile.out)
    copy_windows(images, tile.row, g.stride, g.padding, g.dilation, columns)
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
    part = _of_tile(grad, tile, g)
    if len(part) == 1:
        single: Array = part[0]
        return single
    n, groups, channels, length = part.shape
    rows = scratch("grad", groups, channels, n, length)
    rows[...] = part.transpose(1, 2, 0, 3)
    return rows.reshape(groups, channels, n * length)


def convolve(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
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


def weight_grad(x: Array, grad: Array, g: Geometry, dw: Array) -> None:
    scratch = _Scratch(x.dtype)
    total = dw.reshape(g.groups, len(dw) // g.groups, -1)
    product = np.empty_like(total)
    total[...] = 0
    for tile in _tiles(len(x), total.shape[2] * g.groups, g):
        columns = _columns(x, tile, g, scratch)
        rows = _grad_rows(grad, tile, g, scratch)
        np.matmul(rows, columns.transpose(0, 2, 1), out=product)
        total += product


def input_grad(grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array) -> None:
    scratch = _Scratch(grad.dtype)
    w = weight.reshape(g.groups, len(weight) // g.groups, -1).transpose(0, 2, 1)
    dx[...] = 0 if bias is None else bias.reshape(-1, *(1,) * len(g.size))
    for tile in _tiles(len(grad), w.shape[1] * g.groups, g):
        rows: Array = _grad_rows(grad, tile, g, scratch)
        n, channels = tile.images.stop - tile.images.start, dx.shape[1]
        columns = scratch("columns", g.groups, w.shape[1], rows.shape[2])
        np.matmul(w, rows, out=columns)
        columns = columns.reshape(channels, *g.kernel_size, n, *tile.out)
        add_windows(columns, tile.row, g.stride, g.padding, g.dilation, dx[tile.images])
