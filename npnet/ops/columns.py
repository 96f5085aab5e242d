"""Convolution by products of matrices, whose columns are the windows of the input.

The columns are made of a tile at a time, of a few images or a few rows of one image, in memory that
is used again: all of them at once would be larger than the input by the size of the kernel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.ops.kernels import active, kernel
from npnet.ops.parallel import in_parts, sum_of
from npnet.ops.windows import Sizes, covered, offsets
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry

_TILE = 1 << 17
"""Elements of a matrix of columns that stay in the cache; one image may have twice as many."""

_Index = tuple[Any, ...]


class _Plan(NamedTuple):
    """How NumPy makes columns, (channels, *kernel_size, images, *positions), in two steps.

    The last axis is expanded first. The others, whose expansion is larger, are then expanded by
    copies of long pieces. The transposed map adds in the reverse order.
    """

    padded: Sizes  # shape of what the windows cover, (images, channels, ...)
    inner: _Index  # what of that lies inside the images
    outer: _Index  # where it lies there
    wide: Sizes  # shape after the first step, (channels, width, images, ..., columns)
    last: Sizes  # strides of the view of `padded` that is copied to `wide`
    others: Sizes | None  # strides of the view of `wide` that is copied to the columns; or the same
    add_last: list[tuple[_Index, int]]  # where in `padded` what of `wide` is added
    add_others: list[tuple[_Index, _Index]]  # where in `wide` what of the columns is


@functools.lru_cache(64)
def _plan(
    shape: Sizes,
    columns: Sizes,
    row: int,
    stride: Sizes,
    padding: Sizes,
    dilation: Sizes,
    itemsize: int,
) -> _Plan:
    """Return the plan for images and columns of some shapes, from a row of positions on."""
    axes = len(shape) - 2
    kernel_size, out = columns[1 : 1 + axes], columns[2 + axes :]
    reach, inner, outer = covered(shape[2:], out, kernel_size, stride, padding, dilation, row)
    padded = (*shape[:2], *reach)
    wide = (shape[1], kernel_size[-1], shape[0], *reach[:-1], out[-1])
    a = [math.prod(padded[i + 1 :]) * itemsize for i in range(axes + 2)]
    last = (a[1], a[-1] * dilation[-1], a[0], *a[2:-1], a[-1] * stride[-1])
    b = [math.prod(wide[i + 1 :]) * itemsize for i in range(axes + 3)]
    others = (
        b[0], *(i * d for i, d in zip(b[3:-1], dilation[:-1], strict=True)), *b[1:3],
        *(i * s for i, s in zip(b[3:-1], stride[:-1], strict=True)), b[-1],
    )  # fmt: skip
    every = (slice(None),)
    at_last = offsets(out[-1:], kernel_size[-1:], stride[-1:], dilation[-1:])
    at_others = offsets(out[:-1], kernel_size[:-1], stride[:-1], dilation[:-1])
    return _Plan(
        padded,
        (..., *inner),
        (..., *outer),
        wide,
        last,
        others if {*kernel_size[:-1], *stride[:-1]} - {1} else None,
        [((..., *at), j) for (j,), at in at_last],
        [((*every * 3, *at), (*every, *position)) for position, at in at_others],
    )


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
    out : ndarray, shape (channels, *kernel_size, images, *positions), contiguous

    Returns
    -------
    ndarray
        `out`.
    """
    plan = _plan(x.shape, out.shape, row, stride, padding, dilation, x.itemsize)
    padded = np.zeros(plan.padded, x.dtype)
    padded[plan.inner] = x[plan.outer]
    wide = np.empty(plan.wide, x.dtype) if plan.others else out.reshape(plan.wide)
    wide[...] = np.ndarray(plan.wide, x.dtype, padded, strides=plan.last)
    if plan.others:
        out[...] = np.ndarray(out.shape, x.dtype, wide, strides=plan.others)
    return out


@kernel
def add_windows(
    columns: Array, row: int, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array
) -> Array:
    """Add what `copy_windows` wrote to where it was taken from.

    Parameters
    ----------
    columns : ndarray, shape (channels, *kernel_size, images, *positions), contiguous
    row, stride, padding, dilation
        As `copy_windows` was given them.
    out : ndarray, shape (images, channels, *size)

    Returns
    -------
    ndarray
        `out`.
    """
    plan = _plan(out.shape, columns.shape, row, stride, padding, dilation, out.itemsize)
    if plan.others:
        wide = np.zeros(plan.wide, out.dtype)
        for at, position in plan.add_others:
            wide[at] += columns[position]
    else:
        wide = columns.reshape(plan.wide)
    padded = np.zeros(plan.padded, out.dtype)
    for at, j in plan.add_last:
        padded[at] += wide[:, j].swapaxes(0, 1)
    out[plan.outer] += padded[plan.inner]
    return out


class Tile(NamedTuple):
    """Some images, or some rows of the first axis of one."""

    images: slice
    row: int  # the first one
    out: Sizes  # shape of their positions

    @property
    def positions(self) -> slice:
        """Which positions of an image these are."""
        row = math.prod(self.out[1:])
        return slice(self.row * row, (self.row + self.out[0]) * row)


def tiles(n: int, per_position: int, g: Geometry) -> Iterator[Tile]:
    """Cut n images into tiles whose matrices of columns have `per_position` rows."""
    per_row = max(1, per_position * math.prod(g.out[1:]))
    rows = min(g.out[0], max(1, 2 * _TILE // per_row))
    rows = math.ceil(g.out[0] / math.ceil(g.out[0] / rows))  # tiles of about one size
    images = max(1, _TILE // (per_row * rows)) if rows == g.out[0] else 1
    for row in range(0, g.out[0], rows):
        out = (min(rows, g.out[0] - row), *g.out[1:])
        for i in range(0, n, images):
            yield Tile(slice(i, min(n, i + images)), row, out)


class Scratch:
    """Arrays that are used again from tile to tile; a smaller tile gets a piece of them."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.arrays: dict[str, Array] = {}

    def __call__(self, name: str, *shape: int) -> Array:
        """Return the array of a name with a shape, whatever it holds."""
        size = math.prod(shape)
        if name not in self.arrays or self.arrays[name].size < size:
            self.arrays[name] = np.empty(size, self.dtype)
        return self.arrays[name][:size].reshape(shape)


def _columns(x: Array, tile: Tile, g: Geometry, scratch: Scratch) -> Array:
    """Return the windows of a tile as columns, (groups, channels * kernel, images * positions)."""
    images = x[tile.images]
    n, channels = images.shape[:2]
    columns = scratch("columns", channels, *g.kernel_size, n, *tile.out)
    copy_windows(images, tile.row, g.stride, g.padding, g.dilation, columns)
    rows = channels // g.groups * math.prod(g.kernel_size)
    matrices: Array = columns.reshape(g.groups, rows, n * math.prod(tile.out))
    return matrices


def _of_tile(y: Array, tile: Tile, g: Geometry) -> Array:
    """Return the view (images, groups, channels / groups, positions) of a tile of the output."""
    y4 = y.reshape(len(y), g.groups, y.shape[1] // g.groups, math.prod(g.out))
    part: Array = y4[tile.images, :, :, tile.positions]
    return part


def _grad_rows(grad: Array, tile: Tile, g: Geometry, scratch: Scratch) -> Array:
    """Return a tile of the output's gradient, (groups, channels / groups, images * positions)."""
    part = _of_tile(grad, tile, g)
    if len(part) == 1:
        single: Array = part[0]
        return single
    n, groups, channels, length = part.shape
    rows = scratch("grad", groups, channels, n, length)
    rows[...] = part.transpose(1, 2, 0, 3)
    return rows.reshape(groups, channels, n * length)


def seconds(weight: Array, g: Geometry) -> float:
    """Return about how long an image takes: products, and copies of windows and outputs."""
    copies = (weight.size // len(weight) * g.groups + len(weight)) / 2e9
    return math.prod(g.out) * (weight.size / 3e10 + copies)


def convolve(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    """Write what `npnet.ops.conv.convolve` returns."""
    w = weight.reshape(g.groups, len(weight) // g.groups, -1)
    b = None if bias is None else bias.reshape(g.groups, -1, 1)

    def part(start: int, stop: int) -> None:
        scratch = Scratch(x.dtype)
        images, outputs = x[start:stop], y[start:stop]
        for tile in tiles(stop - start, w.shape[2] * g.groups, g):
            columns, to = _columns(images, tile, g, scratch), _of_tile(outputs, tile, g)
            n, groups, channels, length = to.shape
            z = to[0] if n == 1 else scratch("product", groups, channels, n * length)
            np.matmul(w, columns, out=z)
            if b is not None:
                z += b
            if n > 1:
                to[...] = z.reshape(groups, channels, n, length).transpose(2, 0, 1, 3)

    in_parts(part, len(x), seconds(weight, g))


def weight_grad(x: Array, grad: Array, g: Geometry, dw: Array) -> None:
    """Write what `npnet.ops.conv.weight_grad` returns."""
    k, c = len(dw) // g.groups, math.prod(dw.shape[1:])

    def part(start: int, stop: int) -> Array:
        scratch = Scratch(x.dtype)
        images, outputs = x[start:stop], grad[start:stop]
        total = np.zeros((g.groups, c, k), dw.dtype)  # transposed, the products are faster
        product = np.empty_like(total)
        for tile in tiles(stop - start, c * g.groups, g):
            columns = _columns(images, tile, g, scratch)
            rows = _grad_rows(outputs, tile, g, scratch)
            total += np.matmul(columns, rows.transpose(0, 2, 1), out=product)
        return total

    total = sum_of(in_parts(part, len(x), seconds(dw, g)))
    dw[...] = total.transpose(0, 2, 1).reshape(dw.shape)


def input_grad(grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array) -> None:
    """Write what `npnet.ops.conv.input_grad` returns."""
    adds_fast = active() == "numba" and len(g.size) == 2  # has a loop
    if {*g.stride} == {1} and len(weight) <= 2 * dx.shape[1] and not adds_fast:
        opposite, geometry = transposed(weight, g)
        convolve(grad, opposite, bias, geometry, dx)
        return
    w = weight.reshape(g.groups, len(weight) // g.groups, -1).transpose(0, 2, 1)

    def part(start: int, stop: int) -> None:
        scratch = Scratch(grad.dtype)
        images, outputs = dx[start:stop], grad[start:stop]
        images[...] = 0 if bias is None else bias.reshape(-1, *(1,) * len(g.size))
        for tile in tiles(stop - start, w.shape[1] * g.groups, g):
            rows = _grad_rows(outputs, tile, g, scratch)
            columns = scratch("columns", g.groups, w.shape[1], rows.shape[2])
            np.matmul(w, rows, out=columns)
            at = images[tile.images]
            columns = columns.reshape(dx.shape[1], *g.kernel_size, len(at), *tile.out)
            add_windows(columns, tile.row, g.stride, g.padding, g.dilation, at)

    in_parts(part, len(grad), seconds(weight, g))


def transposed(weight: Array, g: Geometry) -> tuple[Array, Geometry]:
    """Return the convolution of grad that is the input's gradient, for a stride of 1.

    It is the faster way where grad has not many more channels.
    """
    w = weight.reshape(g.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    w = np.flip(w.reshape(-1, *w.shape[2:]), tuple(range(2, weight.ndim)))
    before = [d * (k - 1) - p for k, d, p in zip(g.kernel_size, g.dilation, g.padding, strict=True)]
    return w, g._replace(size=g.out, out=g.size, padding=tuple(before))
