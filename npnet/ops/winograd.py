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

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from npnet.ops import winograd_tiles as transforms
from npnet.ops.kernels import active
from npnet.ops.parallel import in_parts, sum_of
from npnet.ops.winograd_tiles import SIZE, weight_tiles, weight_tiles_grad
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry

_ONES = 7
"""The position whose value the output transform adds to all outputs of a tile."""

PANEL = 144
"""How many tiles a panel has, if one image has not more."""

_CHANNELS = {"numpy": 16, "numba": 8}
"""With fewer channels the transforms take longer than they save."""

_KERNELS = {(3, 3), (5, 5)}

_PRODUCTS = 0.6
"""How many of the products must be left at most; tiles reach over the edge of small images."""


class _Panels:
    """How images are divided into panels and over threads, and the memory for one panel's tiles."""

    def __init__(self, g: Geometry, in_channels: int, out_channels: int) -> None:
        self.step = SIZE + 1 - g.kernel_size[0]
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
    step = SIZE + 1 - r
    tiles = math.ceil(g.out[0] / step) * math.ceil(g.out[1] / step)
    enough = min(weight_shape[:2]) >= _CHANNELS[active()]
    return enough and 36 * tiles <= _PRODUCTS * r * r * math.prod(g.out)


def convolve(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    """Write what `npnet.ops.conv.convolve` returns, in float32."""
    k, c = weight.shape[:2]
    kernels, panels = weight_tiles(weight), _Panels(g, c, k)

    def part(start: int, stop: int) -> None:
        inputs, outputs = (panels.memory(start, stop, channels) for channels in (c, k))
        for at in panels.slices(start, stop):
            v, m = panels.tiles(inputs, at, c), panels.tiles(outputs, at, k)
            transforms.input_tiles(x[at], g.padding, panels.step, v)
            np.matmul(v.reshape(36, -1, c), kernels, out=m.reshape(36, -1, k))
            if bias is not None:
                m[_ONES] += bias
            transforms.from_output_tiles(m, panels.step, y[at])

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
        kernels = np.ascontiguousarray(weight_tiles(weight).transpose(0, 2, 1))

    def part(start: int, stop: int) -> Array:
        inputs, outputs = (panels.memory(start, stop, channels) for channels in (c, k))
        total = np.zeros((36, c, k), np.float32)
        product = np.empty_like(total)
        for at in panels.slices(start, stop):
            v, m = panels.tiles(inputs, at, c), panels.tiles(outputs, at, k)
            transforms.from_output_tiles_grad(grad[at], panels.step, m)
            rows, v3 = m.reshape(36, -1, k), v.reshape(36, -1, c)
            if x is not None:
                transforms.input_tiles(x[at], g.padding, panels.step, v)
                total += np.matmul(v3.transpose(0, 2, 1), rows, out=product)
            if dx is not None:
                np.matmul(rows, kernels, out=v3)
                transforms.input_tiles_grad(v, g.padding, panels.step, dx[at])
        return total

    totals = in_parts(part, len(grad), panels.seconds)
    if dw is not None:
        dw[...] = weight_tiles_grad(sum_of(totals), shape[2])
