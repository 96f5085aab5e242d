"""Convolution with kernels of one element: a product of the weight with each image as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
    total = _matrices(dw, g)
    total[...] = 0
    product = np.empty_like(total)
    for rows, columns in zip(_images(grad, g), _images(x, g).swapaxes(2, 3), strict=True):
        total += np.matmul(rows, columns, out=product)


def _product(w: Array, x: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    np.matmul(w, _images(x, g), out=_images(y, g))
    if bias is not None:
        y += bias.reshape(-1, *(1,) * len(g.size))


def _matrices(weight: Array, g: Geometry) -> Array:
    """Return the view (groups, out_channels / groups, in_channels / groups) of the weight."""
    return weight.reshape(g.groups, -1, weight.shape[1])


def _images(x: Array, g: Geometry) -> Array:
    """Return x as (images, groups, channels / groups, positions)."""
    images = x.reshape(len(x), g.groups, x.shape[1] // g.groups, -1) if len(x) else x
    return images
