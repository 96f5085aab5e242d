"""Winograd's F(4x4, 3x3) and F(2x2, 5x5): convolution with stride 1 by a fraction of the products.

Overlapping tiles of 6x6 inputs and the kernels are transformed so that a tile of outputs is the
transform of an elementwise product, summed over channels: y = A^T [(G w G^T) * (B^T x B)] A. Each
of the 36 positions of a tile is one matrix product over all tiles of some images. All three steps
are linear, so the derivatives are their transposes in reverse order.

The transforms evaluate polynomials at 0, 1, -1, 2, -2 and infinity. A kernel of 3x3 leaves tiles of
4x4 outputs, one of 5x5 tiles of 2x2; that is the `step` from one tile to the next. The transform of
the inputs is the same for both.

Arrays of tiles have the shape (36, images, rows, columns, channels). Images are taken in panels, so
that the tiles stay in the processor's cache and memory stays bounded.

References
----------
A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.ops.kernels import active, kernel
from npnet.ops.parallel import in_parts, sum_of
from npnet.ops.windows import Sizes
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry

_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)  # B^T
_POINTS = (0, 1, -1, 2, -2)
_SCALES = (1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24)
_SIZE = 6

_ONES = 7
"""The position whose value the output transform adds to all outputs of a tile."""

PANEL = 144
"""How many tiles a panel has, if one image has not more."""

_CHANNELS = {"numpy": 16, "numba": 8}
"""With fewer channels the transforms take longer than they save."""

_KERNELS = {(3, 3), (5, 5)}

_PRODUCTS = 0.6
"""How many of the products must be left at most; tiles reach over the edge of small images."""


@functools.cache
def _input(dtype: str) -> Array:
    """Return B."""
    return np.array(_INPUT, dtype).T


@functools.cache
def _powers(count: int, scales: tuple[float, ...], dtype: str) -> Array:
    """Return the matrix that evaluates polynomials of `count` coefficients: A without scales, G."""
    matrix = np.zeros((_SIZE, count))
    matrix[:-1] = np.vander(_POINTS, count, increasing=True) * np.array(scales)[:, np.newaxis]
    matrix[-1, -1] = 1  # at infinity
    return matrix.astype(dtype)


def _output(step: int, dtype: str) -> Array:
    """Return A."""
    return _powers(step, (1.0,) * len(_POINTS), dtype)


@functools.cache
def _kernel(r: int, dtype: str) -> Array:
    """Return the transform of kernels along both axes: G's Kronecker product with itself."""
    matrix = _powers(r, _SCALES, dtype)
    return np.kron(matrix, matrix)


def _first(matrix: Array, x: Array, *shape: int) -> Array:
    """Return the product with all vectors along the first axis, in a shape."""
    y: Array = np.dot(matrix, x.reshape(matrix.shape[1], -1))
    return y.reshape(shape)


def _write_first(matrix: Array, x: Array, out: Array) -> Array:
    """Write the product with all vectors along the first axis."""
    if out.flags.c_contiguous:
        np.dot(matrix, x.reshape(matrix.shape[1], -1), out=out.reshape(len(matrix), -1))
    else:
        out[...] = _first(matrix, x, *out.shape)
    return out


def _add_overlapping(tiles: Array, step: int, out: Array) -> None:
    """Write sums of overlapping tiles along axis 2, where tiles[i] holds what tiles have at i."""
    count = tiles.shape[3]
    out[:, :, step * count :] = 0
    for i in range(_SIZE):
        at = out[:, :, i : i + step * (count - 1) + 1 : step]
        if i < step:
            at[...] = tiles[i]
        else:
            at += tiles[i]


def _pixels(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return memory for images with channels last, from which a transposed copy is fast.

    Pixels a power of two apart share few places in the cache, so there is a gap between them.
    """
    *axes, channels = shape
    return np.empty((*axes, channels + 4), dtype)[..., :channels]


@kernel
def input_tiles(x: Array, padding: Sizes, step: int, out: Array) -> Array:
    """Write B^T x B for the overlapping 6x6 tiles of padded images.

    Parameters
    ----------
    x : ndarray, shape (images, channels, height, width)
    padding : tuple of int
        How many zeros stand before the first row and column; behind the last, what tiles need.
    step : int
        How far one tile is from the next.
    out : ndarray, shape (36, images, rows, columns, channels)

    Returns
    -------
    ndarray
        `out`.
    """
    (top, left), (_, n, rows, columns, c) = padding, out.shape
    height, width = step * rows + _SIZE - step, step * columns + _SIZE - step
    image = np.zeros((n, height, width, c), x.dtype)
    image[:, top : top + x.shape[2], left : left + x.shape[3]] = x.transpose(0, 2, 3, 1)
    matrix = _input(x.dtype.char).T
    # What is at each place of the tiles along the rows of images, and along their columns then.
    shape: tuple[int, ...] = (_SIZE, n, height, columns, c)
    a = image.strides
    seen = np.ndarray(shape, x.dtype, image, strides=(a[2], *a[:2], step * a[2], a[3]))
    along = _first(matrix, seen, *shape)
    whole, b = (_SIZE, _SIZE, n, rows, columns, c), along.strides
    seen = np.ndarray(whole, x.dtype, along, strides=(b[2], *b[:2], step * b[2], *b[3:]))
    return _write_first(matrix, seen, out)


@kernel
def input_tiles_grad(grad: Array, padding: Sizes, step: int, out: Array) -> Array:
    """Write the transpose of `input_tiles` of the tiles' gradient: tiles' overlaps are added.

    Parameters
    ----------
    grad : ndarray, shape (36, images, rows, columns, channels)
    padding : tuple of int
    step : int
        As `input_tiles` was given them.
    out : ndarray, shape (images, channels, height, width)

    Returns
    -------
    ndarray
        `out`.
    """
    (top, left), (_, n, rows, columns, c) = padding, grad.shape
    matrix = _input(grad.dtype.char)
    tiles = _first(matrix, grad, _SIZE, _SIZE, n, rows, columns, c)
    height, width = step * rows + _SIZE - step, step * columns + _SIZE - step
    along = np.empty((_SIZE, n, height, columns, c), grad.dtype)
    _add_overlapping(tiles, step, along)
    along = _first(matrix, along, *along.shape)
    image = _pixels((n, height, width, c), grad.dtype)
    _add_overlapping(along, step, image)
    image = image[:, top : top + out.shape[2], left : left + out.shape[3]]
    out[...] = image.transpose(0, 3, 1, 2)
    return out


@kernel
def from_output_tiles(tiles: Array, step: int, out: Array) -> Array:
    """Write A^T m A of tiles m, without what reaches over the edge of the images.

    Parameters
    ----------
    tiles : ndarray, shape (36, images, rows, columns, channels)
    step : int
        How many outputs a tile has along an axis.
    out : ndarray, shape (images, channels, height, width)

    Returns
    -------
    ndarray
        `out`.
    """
    _, n, rows, columns, c = tiles.shape
    matrix = _output(step, tiles.dtype.char).T
    y = _first(matrix, tiles, step, _SIZE, n * rows * columns * c)
    image = _pixels((n, rows, step, columns, step, c), y.dtype)
    y = np.matmul(matrix, y).reshape(step, step, n, rows, columns, c)
    image[...] = y.transpose(2, 3, 0, 4, 1, 5)
    image = image.reshape(n, step * rows, step * columns, c)
    image = image[:, : out.shape[2], : out.shape[3]]
    out[...] = image.transpose(0, 3, 1, 2)
    return out


@kernel
def from_output_tiles_grad(grad: Array, step: int, out: Array) -> Array:
    """Write A dy A^T, the transpose of `from_output_tiles`, with zeros over the edge.

    Parameters
    ----------
    grad : ndarray, shape (images, channels, height, width)
    step : int
        As `from_output_tiles` was given it.
    out : ndarray, shape (36, images, rows, columns, channels)

    Returns
    -------
    ndarray
        `out`.
    """
    _, n, rows, columns, c = out.shape
    image = np.zeros((n, step * rows, step * columns, c), grad.dtype)
    image[:, : grad.shape[2], : grad.shape[3]] = grad.transpose(0, 2, 3, 1)
    tiles = image.reshape(n, rows, step, columns, step, c).transpose(2, 4, 0, 1, 3, 5)
    matrix = _output(step, grad.dtype.char)
    tiles = np.matmul(matrix, tiles.reshape(step, step, n * rows * columns * c))
    return _write_first(matrix, tiles, out)


def _weight_tiles(weight: Array) -> Array:
    """Return G w G^T: (36, in_channels, out_channels) of (out_channels, in_channels, r, r)."""
    k, c, r, _ = weight.shape
    tiles = np.dot(_kernel(r, "d"), weight.reshape(k * c, r * r).T)
    tiles = tiles.reshape(36, k, c).transpose(0, 2, 1)
    return np.ascontiguousarray(tiles, weight.dtype)


def _weight_tiles_grad(grad: Array, r: int) -> Array:
    """Return the transpose of `_weight_tiles`."""
    _, c, k = grad.shape
    dw = np.dot(_kernel(r, grad.dtype.char).T, grad.reshape(36, -1))
    return np.ascontiguousarray(dw.reshape(r, r, c, k).transpose(3, 2, 0, 1))


class _Panels:
    """How images are divided into panels and over threads, and the memory for one panel's tiles."""

    def __init__(self, g: Geometry, in_channels: int, out_channels: int) -> None:
        self.step = _SIZE + 1 - g.kernel_size[0]
        self.size = math.ceil(g.out[0] / self.step), math.ceil(g.out[1] / self.step)
        tiles = math.prod(self.size)
        self.images = max(1, PANEL // tiles)
        c, k = in_channels, out_channels
        self.seconds = 36e-9 * tiles * (c * k / 50 + (c + k) / 2)  # for an image, about

    def slices(self, start: int, stop: int) -> Iterator[slice]:
        """Yield the panels of consecutive images."""
        for first in range(start, stop, self.images):
            yield slice(first, min(first + self.images, stop))

    def memory(self, start: int, stop: int, channels: int) -> Array:
        """Return memory for the tiles of a panel of these images."""
        n = min(self.images, stop - start)
        return np.empty(36 * n * math.prod(self.size) * channels, np.float32)

    def tiles(self, memory: Array, images: slice, channels: int) -> Array:
        """Return a piece of it as the tiles of a panel."""
        shape = (36, images.stop - images.start, *self.size, channels)
        return memory[: math.prod(shape)].reshape(shape)


def pays(g: Geometry, weight_shape: tuple[int, ...]) -> bool:
    """Tell whether a convolution can be computed so, and is faster then than as it is defined."""
    if g.kernel_size not in _KERNELS or {*g.stride, *g.dilation, g.groups} != {1}:
        return False
    r = g.kernel_size[0]
    for size, out, before in zip(g.size, g.out, g.padding, strict=True):
        if before < 0 or size + before > out + r - 1:  # padding is negative
            return False
    step = _SIZE + 1 - r
    tiles = math.ceil(g.out[0] / step) * math.ceil(g.out[1] / step)
    enough = min(weight_shape[:2]) >= _CHANNELS[active()]
    return enough and 36 * tiles <= _PRODUCTS * r * r * math.prod(g.out)


def convolve(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    """Write what `npnet.ops.conv.convolve` returns, in float32."""
    k, c = weight.shape[:2]
    kernels, panels = _weight_tiles(weight), _Panels(g, c, k)

    def part(start: int, stop: int) -> None:
        inputs, outputs = (panels.memory(start, stop, channels) for channels in (c, k))
        for at in panels.slices(start, stop):
            v, m = panels.tiles(inputs, at, c), panels.tiles(outputs, at, k)
            input_tiles(x[at], g.padding, panels.step, v)
            np.matmul(v.reshape(36, -1, c), kernels, out=m.reshape(36, -1, k))
            if bias is not None:
                m[_ONES] += bias
            from_output_tiles(m, panels.step, y[at])

    in_parts(part, len(x), panels.seconds)


def weight_grad(x: Array, grad: Array, g: Geometry, dw: Array) -> None:
    """Write what `npnet.ops.conv.weight_grad` returns, in float32."""
    _gradients(dw.shape, x, grad, None, g, dw, None)


def input_grad(grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array) -> None:
    """Write what `npnet.ops.conv.input_grad` returns, in float32."""
    _gradients(weight.shape, None, grad, weight, g, None, dx)
    if bias is not None:
        dx += bias.reshape(-1, 1, 1)


def both_grads(x: Array, grad: Array, weight: Array, g: Geometry, dw: Array, dx: Array) -> None:
    """Write both gradients, for which the output's gradient is transformed once."""
    _gradients(weight.shape, x, grad, weight, g, dw, dx)


def _gradients(
    shape: tuple[int, ...],
    x: Array | None,
    grad: Array,
    weight: Array | None,
    g: Geometry,
    dw: Array | None,
    dx: Array | None,
) -> None:
    """Write the gradient of the weight, of this shape, for which x is needed; that of the input."""
    k, c = shape[:2]
    panels = _Panels(g, c, k)
    if weight is not None:  # products are faster than with a transposed view
        kernels = np.ascontiguousarray(_weight_tiles(weight).transpose(0, 2, 1))

    def part(start: int, stop: int) -> Array:
        inputs, outputs = (panels.memory(start, stop, channels) for channels in (c, k))
        total = np.zeros((36, c, k), np.float32)
        product = np.empty_like(total)
        for at in panels.slices(start, stop):
            v, m = panels.tiles(inputs, at, c), panels.tiles(outputs, at, k)
            from_output_tiles_grad(grad[at], panels.step, m)
            rows, v3 = m.reshape(36, -1, k), v.reshape(36, -1, c)
            if x is not None:
                input_tiles(x[at], g.padding, panels.step, v)
                total += np.matmul(v3.transpose(0, 2, 1), rows, out=product)
            if dx is not None:
                np.matmul(rows, kernels, out=v3)
                input_tiles_grad(v, g.padding, panels.step, dx[at])
        return total

    totals = in_parts(part, len(grad), panels.seconds)
    if dw is not None:
        dw[...] = _weight_tiles_grad(sum_of(totals), shape[2])
