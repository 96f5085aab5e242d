"""Convolution by products of matrices, whose rows are the windows of the input, channels last.

What lies side by side in a window is side by side in memory then, so that windows are copied in
long pieces, whatever the stride. Where channels are few the pieces are short, and
`npnet.ops.columns` is faster.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.ops.columns import Scratch, Tile, seconds, tiles
from npnet.ops.kernels import kernel
from npnet.ops.parallel import in_parts, sum_of
from npnet.ops.windows import Sizes, covered, offsets, windows
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry


@kernel
def copy_rows(
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
    out : ndarray, shape (images, *positions, *kernel_size, channels), contiguous

    Returns
    -------
    ndarray
        `out`.
    """
    axes, shape = x.ndim - 2, out.shape
    kernel_size = shape[1 + axes : -1]
    reach, inner, outer = covered(
        x.shape[2:], shape[1 : 1 + axes], kernel_size, stride, padding, dilation, row
    )
    image = np.zeros((len(x), *reach, shape[-1]), x.dtype)
    image = image.transpose(0, axes + 1, *range(1, axes + 1))
    inside: Any = (..., *inner)
    outside: Any = (..., *outer)
    image[inside] = x[outside]
    seen = windows(image, kernel_size, stride, dilation)
    out[...] = seen.transpose(0, *range(2, 2 * axes + 2), 1)
    return out


@kernel
def add_rows(
    rows: Array, row: int, stride: Sizes, padding: Sizes, dilation: Sizes, out: Array
) -> Array:
    """Add what `copy_rows` wrote to where it was taken from.

    Parameters
    ----------
    rows : ndarray, shape (images, *positions, *kernel_size, channels), contiguous
    row, stride, padding, dilation
        As `copy_rows` was given them.
    out : ndarray, shape (images, channels, *size)

    Returns
    -------
    ndarray
        `out`.
    """
    axes, shape = out.ndim - 2, rows.shape
    positions, kernel_size = shape[1 : 1 + axes], shape[1 + axes : -1]
    reach, inner, outer = covered(
        out.shape[2:], positions, kernel_size, stride, padding, dilation, row
    )
    image = np.zeros((len(out), *reach, shape[-1]), out.dtype)
    every = (slice(None),) * (axes + 1)
    for position, at in offsets(positions, kernel_size, stride, dilation):
        image[(slice(None), *at)] += rows[(*every, *position)]
    inside: Any = (..., *inner)
    outside: Any = (..., *outer)
    out[outside] += image.transpose(0, axes + 1, *range(1, axes + 1))[inside]
    return out


class _Panel:
    """Memory for the windows of a tile and its outputs.

    Parameters
    ----------
    n : int
        How many images the tile has.
    tile : Tile
    g : Geometry
    channels : tuple of int
        Of the input and the output.
    scratch : Scratch

    Attributes
    ----------
    rows : ndarray, shape (images * positions, kernel * in_channels)
    outputs : ndarray, shape (images * positions, out_channels)
    """

    def __init__(
        self, n: int, tile: Tile, g: Geometry, channels: tuple[int, int], scratch: Scratch
    ) -> None:
        c, k = channels
        length = math.prod(tile.out)
        self._where = tile.row, g.stride, g.padding, g.dilation
        self._windows = scratch("rows", n, *tile.out, *g.kernel_size, c)
        self.rows = self._windows.reshape(n * length, -1)
        # A gap between the rows: places a power of two apart share few lines of the cache.
        self.outputs = scratch("outputs", n * length, k + 4)[:, :k]
        self._positions = tile.positions

    def gather(self, images: Array) -> Array:
        """Return the rows with the windows of images."""
        copy_rows(images, *self._where, self._windows)
        return self.rows

    def scatter(self, images: Array) -> None:
        """Add the rows to what they are the windows of: the transpose of `gather`."""
        add_rows(self._windows, *self._where, images)

    def load(self, y: Array) -> Array:
        """Return the outputs of images as rows."""
        part = self._of(y)
        self.outputs.reshape(part.shape)[...] = part
        return self.outputs

    def store(self, y: Array) -> None:
        """Write the rows into the outputs of images."""
        part = self._of(y)
        part[...] = self.outputs.reshape(part.shape)

    def _of(self, y: Array) -> Array:
        part: Array = y.reshape(*y.shape[:2], -1)[:, :, self._positions]
        return part.transpose(0, 2, 1)


def _panels(x: Array, y: Array, g: Geometry) -> Iterator[tuple[_Panel, Array, Array]]:
    """Yield panels, each with its images in x and in y; they use the same memory in turn."""
    scratch, found = Scratch(x.dtype), dict[tuple[int, int], _Panel]()
    channels = x.shape[1], y.shape[1]
    for tile in tiles(len(x), channels[0] * math.prod(g.kernel_size), g):
        images, outputs = x[tile.images], y[tile.images]
        key = len(images), tile.row
        if key not in found:
            found[key] = _Panel(len(images), tile, g, channels, scratch)
        yield found[key], images, outputs


def _matrix(weight: Array) -> Array:
    """Return the weight as (kernel * in_channels, out_channels)."""
    w = weight.transpose(*range(2, weight.ndim), 1, 0).reshape(-1, len(weight))
    return np.ascontiguousarray(w)


def convolve(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    """Write what `npnet.ops.conv.convolve` returns."""
    w = _matrix(weight)

    def part(start: int, stop: int) -> None:
        for panel, images, outputs in _panels(x[start:stop], y[start:stop], g):
            np.matmul(panel.gather(images), w, out=panel.outputs)
            if bias is not None:
                panel.outputs += bias
            panel.store(outputs)

    in_parts(part, len(x), seconds(weight, g))


def weight_grad(x: Array, grad: Array, g: Geometry, dw: Array) -> None:
    """Write what `npnet.ops.conv.weight_grad` returns."""
    k, c, *kernel = dw.shape

    def part(start: int, stop: int) -> Array:
        total = np.zeros((dw.size // k, k), dw.dtype)
        product = np.empty_like(total)
        for panel, images, outputs in _panels(x[start:stop], grad[start:stop], g):
            total += np.matmul(panel.gather(images).T, panel.load(outputs), out=product)
        return total

    total = sum_of(in_parts(part, len(x), seconds(dw, g)))
    dw[...] = np.moveaxis(total.reshape(*kernel, c, k), (-1, -2), (0, 1))


def input_grad(grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array) -> None:
    """Write what `npnet.ops.conv.input_grad` returns."""
    w = np.ascontiguousarray(_matrix(weight).T)

    def part(start: int, stop: int) -> None:
        dx[start:stop] = 0 if bias is None else bias.reshape(-1, *(1,) * len(g.size))
        for panel, images, outputs in _panels(dx[start:stop], grad[start:stop], g):
            np.matmul(panel.load(outputs), w, out=panel.rows)
            panel.scatter(images)

    in_parts(part, len(grad), seconds(weight, g))
