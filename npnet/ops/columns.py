"""Convolution by products of matrices, whose columns are the windows of the input.

The columns of a few images, or of a few rows of one image, are made at a time in memory that is
used again: all of them at once would be larger than the input by the size of the kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.ops.windows import offsets, windows
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry

_ELEMENTS = 1 << 17
"""How many elements the columns of a panel have at most, to stay in the processor's cache."""


class _Panel:
    """Memory for the columns of some images at some rows of positions, and its views.

    Offsets along the last axis come first in a column. That axis is expanded first, so that the
    others, whose expansion is larger, are expanded by copies of long pieces.

    Parameters
    ----------
    g : Geometry
    channels : tuple of int
        Of the input and the output.
    images : int
    first, rows : int
        Which rows of the output.
    dtype : dtype

    Attributes
    ----------
    columns : ndarray, shape (groups, in_channels / groups * kernel, images * positions)
    outputs : ndarray, shape (groups, out_channels / groups, images, positions)
    """

    def __init__(
        self, g: Geometry, channels: tuple[int, int], images: int, first: int, rows: int, dtype: Any
    ) -> None:
        out, axes = (rows, *g.out[1:]), len(g.out)
        last = [each[-1:] for each in (g.kernel_size, g.stride, g.dilation)]
        others = [each[:-1] for each in (g.kernel_size, g.stride, g.dilation)]
        shape: list[int] = []
        inner: list[Any] = []
        outer: list[Any] = []
        for axis in range(axes):
            length = (out[axis] - 1) * g.stride[axis]
            length += (g.kernel_size[axis] - 1) * g.dilation[axis] + 1
            start = (0 if axis else first * g.stride[0]) - g.padding[axis]
            low = min(max(start, 0), start + length)
            high = max(low, min(g.size[axis], start + length))
            shape.append(length)
            inner.append(slice(low - start, high - start))
            outer.append(slice(low, high))
        length = math.prod(out)
        self.positions = slice(first * length // rows, first * length // rows + length)
        self.outputs = np.empty((g.groups, channels[1] // g.groups, images, length), dtype)
        self.outer: Any = (..., *outer)
        self.padded = np.zeros((images, channels[0], *shape), dtype)
        self.inside = self.padded[(..., *inner)]
        wide_shape = (channels[0], *last[0], images, *shape[:-1], out[-1])
        columns = np.empty((*wide_shape[:2], *others[0], images, *out), dtype)
        self.columns = columns.reshape(g.groups, -1, images * length)
        self.wide = np.empty(wide_shape, dtype) if axes > 1 else columns
        # What is copied to make columns, and what is added to transpose that.
        seen = windows(self.padded, *last)
        self.copies = [(self.wide, seen.transpose(1, axes + 2, 0, *range(2, axes + 2)))]
        across = self.padded.swapaxes(0, 1)
        self.sums = [(across[(..., *at)], self.wide[:, j]) for (j,), at in offsets(out[-1:], *last)]
        if axes > 1:
            seen = windows(self.wide.transpose(axes + 2, *range(axes + 2)), *others)
            order = (1, 2, *range(axes + 3, 2 * axes + 2), *range(3, axes + 3), 0)
            self.copies.append((columns, seen.transpose(order)))
            every: Any = (slice(None),)
            self.sums = [
                (self.wide[(*every * 3, *at)], columns[(*every * 2, *position)])
                for position, at in offsets(out[:-1], *others)
            ] + self.sums

    def gather(self, x: Array) -> Array:
        """Return the columns of images."""
        self.inside[...] = x[self.outer]
        for to, source in self.copies:
            to[...] = source
        return self.columns

    def scatter(self, dx: Array) -> None:
        """Add the columns to what they are the windows of: the transpose of `gather`."""
        if len(self.copies) > 1:
            self.wide[...] = 0
        self.padded[...] = 0
        for to, source in self.sums:
            to += source
        dx[self.outer] += self.inside

    def rows(self, y: Array) -> Array:
        """Return the rows of images' output that belong to the columns, or memory for them."""
        part: Array = y[:, :, :, self.positions]
        return part[0] if len(part) == 1 else self.outputs.reshape(*part.shape[1:3], -1)

    def load(self, y: Array) -> Array:
        """Return the rows of images' output that belong to the columns."""
        if len(y) > 1:
            self.outputs[...] = y[:, :, :, self.positions].transpose(1, 2, 0, 3)
        return self.rows(y)

    def store(self, y: Array) -> None:
        """Write what is in the memory for rows into the images' output."""
        if len(y) > 1:
            y[:, :, :, self.positions] = self.outputs.transpose(2, 0, 1, 3)


def _panels(x: Array, y: Array, g: Geometry) -> Iterator[tuple[_Panel, Array, Array]]:
    """Yield panels, each with its images in x and in y, (images, groups, channels, positions)."""
    n, channels = len(x), (x.shape[1], y.shape[1])
    y = y.reshape(n, g.groups, channels[1] // g.groups, -1) if n else y
    per_row = channels[0] * math.prod(g.kernel_size) * math.prod(g.out[1:])
    rows = min(g.out[0], max(1, _ELEMENTS // per_row))
    images = max(1, _ELEMENTS // (per_row * rows)) if rows == g.out[0] else 1
    whole = n - n % images
    for first in range(0, g.out[0], rows):
        for start, stop, step in ((0, whole, images), (whole, n, n % images)):
            if start < stop:
                panel = _Panel(g, channels, step, first, min(rows, g.out[0] - first), x.dtype)
                for i in range(start, stop, step):
                    yield panel, x[i : i + step], y[i : i + step]


def _matrices(weight: Array, g: Geometry) -> Array:
    """Return the weight as (groups, out_channels / groups, rows of a column)."""
    w = weight.transpose(0, 1, weight.ndim - 1, *range(2, weight.ndim - 1))
    return w.reshape(g.groups, len(weight) // g.groups, -1)


def convolve(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    """Write what `npnet.ops.conv.convolve` returns."""
    w = _matrices(weight, g)
    b = None if bias is None else bias.reshape(g.groups, -1, 1)
    for panel, images, outputs in _panels(x, y, g):
        rows = np.matmul(w, panel.gather(images), out=panel.rows(outputs))
        if b is not None:
            rows += b
        panel.store(outputs)


def weight_grad(x: Array, grad: Array, g: Geometry, dw: Array) -> None:
    """Write what `npnet.ops.conv.weight_grad` returns."""
    channels, *kernel = dw.shape[1:]
    total = np.zeros((g.groups, len(dw) // g.groups, channels * math.prod(kernel)), dw.dtype)
    product = np.empty_like(total)
    for panel, images, outputs in _panels(x, grad, g):
        columns = panel.gather(images).transpose(0, 2, 1)
        total += np.matmul(panel.load(outputs), columns, out=product)
    found = total.reshape(len(dw), channels, kernel[-1], *kernel[:-1])
    dw[...] = found.transpose(0, 1, *range(3, dw.ndim), 2)


def input_grad(grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array) -> None:
    """Write what `npnet.ops.conv.input_grad` returns."""
    if {*g.stride} == {1} and len(weight) <= 2 * dx.shape[1]:
        _input_grad_by_convolution(grad, weight, bias, g, dx)
        return
    w = _matrices(weight, g).transpose(0, 2, 1)
    dx[...] = 0 if bias is None else bias.reshape(-1, *(1,) * len(g.size))
    for panel, images, outputs in _panels(dx, grad, g):
        np.matmul(w, panel.load(outputs), out=panel.columns)
        panel.scatter(images)


def _input_grad_by_convolution(
    grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array
) -> None:
    """Do it as a convolution of grad, which is faster where grad has not many more channels."""
    w = weight.reshape(g.groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    w = np.flip(w.reshape(-1, *w.shape[2:]), range(2, weight.ndim))
    before = [d * (k - 1) - p for k, d, p in zip(g.kernel_size, g.dilation, g.padding, strict=True)]
    convolve(grad, w, bias, g._replace(size=g.out, out=g.size, padding=tuple(before)), dx)
