"""The transforms of Winograd's convolution: images to tiles, tiles to images, kernels.

`npnet.ops.winograd` tells what they are for.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from npnet.ops.kernels import kernel
from npnet.ops.windows import Sizes
from npnet.typing import Array

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
SIZE = 6
"""How many inputs a tile has along an axis."""


@functools.cache
def _input(dtype: str) -> Array:
    """Return B."""
    return np.array(_INPUT, dtype).T


@functools.cache
def _powers(count: int, scales: tuple[float, ...], dtype: str) -> Array:
    """Return the matrix that evaluates polynomials of `count` coefficients: A without scales, G."""
    matrix = np.zeros((SIZE, count))
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
    for i in range(SIZE):
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
    height, width = step * rows + SIZE - step, step * columns + SIZE - step
    image = np.zeros((n, height, width, c), x.dtype)
    image[:, top : top + x.shape[2], left : left + x.shape[3]] = x.transpose(0, 2, 3, 1)
    matrix = _input(x.dtype.char).T
    # What is at each place of the tiles along the rows of images, and along their columns then.
    shape, a = (SIZE, n, height, columns, c), image.strides
    seen = np.ndarray(shape, x.dtype, image, strides=(a[2], *a[:2], step * a[2], a[3]))
    along = _first(matrix, seen, *shape)
    whole, b = (SIZE, SIZE, n, rows, columns, c), along.strides
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
    tiles = _first(matrix, grad, SIZE, SIZE, n, rows, columns, c)
    height, width = step * rows + SIZE - step, step * columns + SIZE - step
    along = np.empty((SIZE, n, height, columns, c), grad.dtype)
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
    y = _first(matrix, tiles, step, SIZE, n * rows * columns * c)
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


def weight_tiles(weight: Array) -> Array:
    """Return G w G^T: (36, in_channels, out_channels) of (out_channels, in_channels, r, r)."""
    k, c, r, _ = weight.shape
    tiles = np.dot(_kernel(r, "d"), weight.reshape(k * c, r * r).T)
    tiles = tiles.reshape(36, k, c).transpose(0, 2, 1)
    return np.ascontiguousarray(tiles, weight.dtype)


def weight_tiles_grad(grad: Array, r: int) -> Array:
    """Return the transpose of `weight_tiles`."""
    _, c, k = grad.shape
    dw = np.dot(_kernel(r, grad.dtype.char).T, grad.reshape(36, -1))
    return np.ascontiguousarray(dw.reshape(r, r, c, k).transpose(3, 2, 0, 1))
