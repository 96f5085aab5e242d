"""Convolution with kernels of one element: a product of the weight with each image as it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from npnet.ops.columns import seconds
from npnet.ops.parallel import in_parts, sum_of
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry


def convolve(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    """Write what `npnet.ops.conv.convolve` returns."""
    _product(_matrices(weight, g), x, bias, g, y)


def input_grad(grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array) -> None:
    """Write what `npnet.ops.conv.input_grad` returns."""
    _product(_matrices(weight, g).swapaxes(1, 2), grad, bias, g, dx)


def weight_grad(x: Array, grad: Array, g: Geometry, dw: Array) -> None:
    """Write what `npnet.ops.conv.weight_grad` returns."""
    shape = _matrices(dw, g).shape

    def part(start: int, stop: int) -> Array:
        total = np.zeros(shape, dw.dtype)
        product = np.empty_like(total)
        columns = _images(x[start:stop], g).swapaxes(2, 3)
        for rows, each in zip(_images(grad[start:stop], g), columns, strict=True):
            total += np.matmul(rows, each, out=product)
        return total

    dw[...] = sum_of(in_parts(part, len(x), seconds(dw, g))).reshape(dw.shape)


def _product(w: Array, x: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    def part(start: int, stop: int) -> None:
        np.matmul(w, _images(x[start:stop], g), out=_images(y[start:stop], g))
        if bias is not None:
            y[start:stop] += bias.reshape(-1, *(1,) * len(g.size))

    in_parts(part, len(x), seconds(w.reshape(-1, w.shape[2]), g))


def _matrices(weight: Array, g: Geometry) -> Array:
    """Return the view (groups, out_channels / groups, in_channels / groups) of the weight."""
    return weight.reshape(g.groups, -1, weight.shape[1])


def _images(x: Array, g: Geometry) -> Array:
    """Return x as (images, groups, channels / groups, positions)."""
    return x.reshape(len(x), g.groups, x.shape[1] // g.groups, math.prod(g.size))
