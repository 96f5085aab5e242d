"""Winograd's F(4x4, 3x3): convolutions with 3x3 kernels and stride 1 with a quarter of the products.

Overlapping tiles of 6x6 inputs and the kernels are transformed so that a 4x4 tile of outputs is the
transform of an elementwise product, summed over channels: y = A^T [(G w G^T) * (B^T x B)] A. Each
of the 36 positions of a tile is one matrix product over all tiles of some images. All three steps
are linear, so the derivatives are their transposes in reverse order.

Arrays of tiles have the shape (36, images, rows, columns, channels). Images are taken in panels, so
that the tiles stay in the processor's cache and memory stays bounded.

References
----------
A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from npnet.ops.kernels import kernel
from npnet.ops.parallel import in_parts
from npnet.ops.windows import windows
from npnet.typing import Array

_INPUT = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)  # B^T
_OUTPUT = ((1, 1, 1, 1, 1, 0), (0, 1, -1, 2, -2, 0), (0, 1, 1, 4, 4, 0), (0, 1, -1, 8, -8, 1))  # A^T
_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)  # G

PANEL = 144
"""How many tiles a panel has, if one image has not more."""


@functools.cache
def _matrix(transform: tuple[tuple[float, ...], ...], dtype: str) -> Array:
    """Return the transform of both axes at once: the Kronecker product of the matrix with itself."""
    return np.kron(transform, transform).astype(dtype)


@kernel
def input_tiles(x: Array, top: int, left: int, out: Array) -> Array:
    """Write B^T x B for the overlapping 6x6 tiles of padded images.

    Parameters
    ----------
    x : ndarray, shape (images, channels, height, width)
    top, left : int
        How many zeros stand before the first row and column; behind the last, what tiles need.
    out : ndarray, shape (36, images, rows, columns, channels), contiguous

    Returns
    -------
    ndarray
        `out`.
    """
    _, n, rows, columns, c = out.shape
    image = np.zeros((n, 4 * rows + 2, 4 * columns + 2, c), x.dtype)
    image[:, top : top + x.shape[2], left : left + x.shape[3]] = x.transpose(0, 2, 3, 1)
    tiles = windows(image.transpose(0, 3, 1, 2), (6, 6), (4, 4), (1, 1))
    tiles = tiles.transpose(4, 5, 0, 2, 3, 1).reshape(36, -1)
    np.dot(_matrix(_INPUT, x.dtype.char), tiles, out=out.reshape(36, -1))
    return out


@kernel
def input_tiles_grad(grad: Array, top: int, left: int, out: Array) -> Array:
    """Write the transpose of `input_tiles` of the tiles' gradient: tiles' overlaps are added.

    Parameters
    ----------
    grad : ndarray, shape (36, images, rows, columns, channels), contiguous
    top, left : int
        As `input_tiles` was given them.
    out : ndarray, shape (images, channels, height, width)

    Returns
    -------
    ndarray
        `out`.
    """
    _, n, rows, columns, c = grad.shape
    tiles = np.dot(_matrix(_INPUT, grad.dtype.char).T, grad.reshape(36, -1))
    tiles = tiles.reshape(6, 6, n, rows, columns, c).transpose(2, 3, 0, 4, 1, 5)
    image = np.zeros((n, rows + 1, 4, columns + 1, 4, c), grad.dtype)
    image[:, :-1, :, :-1] = tiles[:, :, :4, :, :4]
    image[:, 1:, :2, :-1] += tiles[:, :, 4:, :, :4]
    image[:, :-1, :, 1:, :2] += tiles[:, :, :4, :, 4:]
    image[:, 1:, :2, 1:, :2] += tiles[:, :, 4:, :, 4:]
    image = image.reshape(n, 4 * rows + 4, 4 * columns + 4, c)
    image = image[:, top : top + out.shape[2], left : left + out.shape[3]]
    out[...] = image.transpose(0, 3, 1, 2)
    return out


@kernel
def from_output_tiles(tiles: Array, out: Array) -> Array:
    """Write A^T m A of tiles m, without what reaches over the edge of the images.

    Parameters
    ----------
    tiles : ndarray, shape (36, images, rows, columns, channels), contiguous
    out : ndarray, shape (images, channels, height, width)

    Returns
    -------
    ndarray
        `out`.
    """
    _, n, rows, columns, c = tiles.shape
    y = np.dot(_matrix(_OUTPUT, tiles.dtype.char), tiles.reshape(36, -1))
    image = y.reshape(4, 4, n, rows, columns, c).transpose(2, 3, 0, 4, 1, 5)
    image = image.reshape(n, 4 * rows, 4 * columns, c)[:, : out.shape[2], : out.shape[3]]
    out[...] = image.transpose(0, 3, 1, 2)
    return out


@kernel
def from_output_tiles_grad(grad: Array, out: Array) -> Array:
    """Write A dy A^T, the transpose of `from_output_tiles`, with zeros over the edge.

    Parameters
    ----------
    grad : ndarray, shape (images, channels, height, width)
    out : ndarray, shape (36, images, rows, columns, channels), contiguous

    Returns
    -------
    ndarray
        `out`.
    """
    _, n, rows, columns, c = out.shape
    image = np.zeros((n, 4 * rows, 4 * columns, c), grad.dtype)
    image[:, : grad.shape[2], : grad.shape[3]] = grad.transpose(0, 2, 3, 1)
    tiles = image.reshape(n, rows, 4, columns, 4, c).transpose(2, 4, 0, 1, 3, 5).reshape(16, -1)
    np.dot(_matrix(_OUTPUT, grad.dtype.char).T, tiles, out=out.reshape(36, -1))
    return out


def _weight_tiles(weight: Array) -> Array:
    """Return G w G^T: (36, in_channels, out_channels) of (out_channels, in_channels, 3, 3)."""
    k, c = weight.shape[:2]
    tiles = np.dot(_matrix(_KERNEL, "d"), weight.reshape(k * c, 9).T)
    tiles = tiles.reshape(36, k, c).transpose(0, 2, 1)
    return np.ascontiguousarray(tiles, weight.dtype)


def _weight_tiles_grad(grad: Array) -> Array:
    """Return the transpose of `_weight_tiles`."""
    _, c, k = grad.shape
    dw = np.dot(_matrix(_KERNEL, grad.dtype.char).T, grad.reshape(36, -1))
    return np.ascontiguousarray(dw.reshape(3, 3, c, k).transpose(3, 2, 0, 1))


class _Panels:
    """How images are divided into panels, and the memory for the tiles of one panel."""

    def __init__(self, size: tuple[int, ...], start: int, stop: int) -> None:
        self.rows, self.columns = (math.ceil(n / 4) for n in size)
        step = max(1, PANEL // (self.rows * self.columns))
        self.slices = [slice(i, min(i + step, stop)) for i in range(start, stop, step)]
        self.step = min(step, stop - start)

    def tiles(self, channels: int) -> Array:
        """Return memory for the tiles of a panel."""
        return np.empty(36 * self.step * self.rows * self.columns * channels, np.float32)

    def view(self, memory: Array, n: int, channels: int) -> Array:
        """Return a part of it as the contiguous tiles of n images."""
        shape = (36, n, self.rows, self.columns, channels)
        return memory[: math.prod(shape)].reshape(shape)


def convolve(x: Array, weight: Array, padding: tuple[int, int], out: Array) -> Array:
    """Write the cross-correlation of padded images with the weight.

    Parameters
    ----------
    x : ndarray of float32, shape (images, in_channels, height, width)
    weight : ndarray of float32, shape (out_channels, in_channels, 3, 3)
    padding : tuple of int
        Zeros above the first row and before the first column; behind the last ones stand as many
        as the output's size asks for.
    out : ndarray of float32, shape (images, out_channels, out_height, out_width)

    Returns
    -------
    ndarray
        `out`.
    """
    k, c = weight.shape[:2]
    kernels = _weight_tiles(weight)

    def part(start: int, stop: int) -> None:
        panels = _Panels(out.shape[2:], start, stop)
        inputs, outputs = panels.tiles(c), panels.tiles(k)
        for at in panels.slices:
            n = at.stop - at.start
            v = input_tiles(x[at], *padding, panels.view(inputs, n, c))
            m = panels.view(outputs, n, k)
            np.matmul(v.reshape(36, -1, c), kernels, out=m.reshape(36, -1, k))
            from_output_tiles(m, out[at])

    in_parts(part, len(x))
    return out


def convolve_grad(
    grad: Array,
    x: Array | None,
    weight: Array,
    padding: tuple[int, int],
    dx: Array | None,
) -> Array | None:
    """Write the gradient with respect to the images, return that with respect to the weight.

    Parameters
    ----------
    grad : ndarray of float32, shape (images, out_channels, out_height, out_width)
    x : ndarray of float32, shape (images, in_channels, height, width), or None
        None where the weight's gradient is not wanted.
    weight : ndarray of float32, shape (out_channels, in_channels, 3, 3)
    padding : tuple of int
        As `convolve` was given it.
    dx : ndarray of float32, shape (images, in_channels, height, width), or None
        Receives the images' gradient if that is wanted.

    Returns
    -------
    ndarray, shape (out_channels, in_channels, 3, 3), or None
    """
    k, c = weight.shape[:2]
    if dx is not None:  # products are faster with kernels that are not transposed views
        kernels = np.ascontiguousarray(_weight_tiles(weight).transpose(0, 2, 1))

    def part(start: int, stop: int) -> Array:
        panels = _Panels(grad.shape[2:], start, stop)
        inputs, outputs = panels.tiles(c), panels.tiles(k)
        total = np.zeros((36, c, k), np.float32)
        product = np.empty_like(total)
        for at in panels.slices:
            n = at.stop - at.start
            v = panels.view(inputs, n, c)
            d = from_output_tiles_grad(grad[at], panels.view(outputs, n, k)).reshape(36, -1, k)
            if x is not None:
                input_tiles(x[at], *padding, v)
                total += np.matmul(v.reshape(36, -1, c).transpose(0, 2, 1), d, out=product)
            if dx is not None:
                np.matmul(d, kernels, out=v.reshape(36, -1, c))
                input_tiles_grad(v, *padding, dx[at])
        return total

    totals = in_parts(part, len(grad))
    return None if x is None else _weight_tiles_grad(sum(totals[1:], totals[0]))
