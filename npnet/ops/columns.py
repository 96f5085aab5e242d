"""Convolution by products of matrices, whose columns are the windows of the input.

The columns are made of a tile at a time, of a few images or a few rows of one image, in memory that
is used again: all of them at once would be larger than the input by the size of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.ops.windows import Sizes, offsets, windows
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry

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
        columns = columns.reshape(channels, *g.kernel_size, n, *tile.out).swapaxes(
            0, 1 + len(g.size)
        )
        piece = scratch("padded", n, channels, *tile.shape)
        piece[...] = 0
        for position, at in offsets(tile.out, g.kernel_size, g.stride, g.dilation):
            piece[(..., *at)] += columns[(slice(None), *position)]
        dx[tile.images][(..., *tile.outer)] += piece[(..., *tile.inner)]
