"""Convolution of each channel by itself, without columns: sums of shifted images times a weight.

An image is copied to a page, where its padded rows follow each other in one run of memory. The
elements that an element of the kernel meets, of all windows, are one slice of the page then, with
some between the rows that belong to no window and are dropped. Strides divide a page into phases:
the element i * stride + p of an axis lies in phase p at i.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.ops.kernels import kernel
from npnet.ops.parallel import in_parts, sum_of
from npnet.ops.windows import Sizes
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.ops.conv import Geometry

_BLOCK = 32768
"""Elements of pages that stay in the cache."""


class Plan(NamedTuple):
    """Where the elements of images with two axes lie in a page."""

    page: Sizes  # phases, rows, columns
    stride: Sizes
    taps: Array  # for each element of the kernel where its slice begins
    phases: Array  # for both axes: the first place in the page, in the image, and how many


def computes(g: Geometry, weight_shape: tuple[int, ...]) -> bool:
    """Tell whether each channel is convolved by itself, along one or two axes."""
    return weight_shape[1] == 1 < g.groups and len(g.size) <= 2


def convolve(x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array) -> None:
    """Write what `npnet.ops.conv.convolve` returns."""
    plan, images, outputs, w = _plan(g), _square(x), _square(y), _taps_last(weight, g)
    b = np.zeros(len(weight), x.dtype) if bias is None else bias
    b = b.reshape(w.shape[:2])

    def part(start: int, stop: int) -> None:
        correlate(images[start:stop], w, b, *plan, outputs[start:stop])

    in_parts(part, len(x), seconds(weight, g))


def weight_grad(x: Array, grad: Array, g: Geometry, dw: Array) -> None:
    """Write what `npnet.ops.conv.weight_grad` returns."""
    plan, images, outputs, shape = _plan(g), _square(x), _square(grad), _taps_last(dw, g).shape

    def part(start: int, stop: int) -> Array:
        total = np.zeros(shape)
        correlate_weight_grad(images[start:stop], outputs[start:stop], *plan, total)
        return total

    dw[...] = sum_of(in_parts(part, len(x), seconds(dw, g))).reshape(dw.shape)


def input_grad(grad: Array, weight: Array, bias: Array | None, g: Geometry, dx: Array) -> None:
    """Write what `npnet.ops.conv.input_grad` returns."""
    plan, images, outputs, w = _plan(g), _square(dx), _square(grad), _taps_last(weight, g)

    def part(start: int, stop: int) -> None:
        correlate_input_grad(outputs[start:stop], w, *plan, images[start:stop])

    in_parts(part, len(grad), seconds(weight, g))
    if bias is not None:
        dx += bias.reshape(-1, *(1,) * len(g.size))


def seconds(weight: Array, g: Geometry) -> float:
    """Return about how long an image takes."""
    return math.prod(g.out) * weight.size / 8e9


def _square(x: Array) -> Array:
    """Return images with one or two axes as images with two."""
    return x if x.ndim == 4 else x[:, :, np.newaxis]


def _taps_last(weight: Array, g: Geometry) -> Array:
    """Return the weight as (in_channels, outputs of each, elements of the kernel)."""
    taps = math.prod(g.kernel_size)
    return np.ascontiguousarray(weight).reshape(g.groups, len(weight) // g.groups, taps)


def _plan(g: Geometry) -> Plan:
    """Return the plan for one or two axes."""
    axes = g.size, g.out, g.kernel_size, g.stride, g.padding, g.dilation
    if len(g.size) == 1:
        axes = tuple((i, *v) for i, v in zip((1, 1, 1, 1, 0, 1), axes, strict=True))  # type: ignore[assignment]
    return plan_of(*axes)


@functools.lru_cache(64)
def plan_of(
    size: Sizes, out: Sizes, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Plan:
    """Return the plan for images with two axes; the arguments are those of `Geometry`."""
    places = [  # for each axis how many there are
        o + (k - 1) * d // s for o, k, s, d in zip(out, kernel_size, stride, dilation, strict=True)
    ]
    taps = []
    for i, j in itertools.product(*map(range, kernel_size)):
        (row, p), (column, q) = (
            divmod(i * dilation[0], stride[0]),
            divmod(j * dilation[1], stride[1]),
        )
        taps.append(((p * stride[1] + q) * places[0] + row) * places[1] + column)
    phases = []
    for phase in itertools.product(*map(range, stride)):
        for p, n, s, before, count in zip(phase, size, stride, padding, places, strict=True):
            first = max(0, -((p - before) // s))
            last = min(count, -((p - before - n) // s))
            phases += [first, first * s + p - before, max(0, last - first)]
    return Plan(
        (len(phases) // 6, *places), stride, np.array(taps), np.array(phases).reshape(-1, 6)
    )


class _Pages:
    """The pages of one channel of some images, which follow each other phase by phase.

    Parameters
    ----------
    n : int
        How many images there are.
    plan : Plan
    out : tuple of int
        Rows and columns of the output.
    dtype : dtype

    Attributes
    ----------
    rows : ndarray
        Memory for rows of outputs.
    outputs : ndarray, shape (n, rows, columns)
        Those in it that belong to windows; the others are 0 at first.
    seen : list of ndarray
        For each element of the kernel what it meets, of the shape of `rows`.
    places : list of (ndarray, tuple)
        What of each phase holds elements of images, and which elements.
    """

    def __init__(self, n: int, plan: Plan, out: Sizes, dtype: np.dtype[Any]) -> None:
        count, rows, columns = plan.page
        area = rows * columns
        self.memory = np.zeros(count * n * area + columns, dtype)  # slices end behind the last row
        planes = self.memory[:-columns].reshape(count, n, rows, columns)
        whole = np.zeros((n, rows, columns), dtype)
        self.outputs = whole[:, : out[0], : out[1]]
        self.rows = whole.reshape(-1)[: (n - 1) * area + out[0] * columns]
        starts = [start // area * n * area + start % area for start in plan.taps.tolist()]
        self.seen = [self.memory[start : start + self.rows.size] for start in starts]
        self.places = [
            (
                planes[plane, :, i : i + m, j : j + length],
                np.s_[
                    :, h : h + m * plan.stride[0] : plan.stride[0],
                    w : w + length * plan.stride[1] : plan.stride[1],
                ],
            )
            for plane, (i, h, m, j, w, length) in enumerate(plan.phases.tolist())
        ]  # fmt: skip

    def load(self, images: Array) -> None:
        """Copy a channel of images to their places."""
        for place, at in self.places:
            place[...] = images[at]


def _blocks(n: int, plan: Plan, out: Sizes, dtype: np.dtype[Any]) -> Iterator[tuple[slice, _Pages]]:
    """Yield some of n images at a time, with their pages."""
    step = max(1, _BLOCK // math.prod(plan.page))
    for i in range(0, n, step):
        stop = min(n, i + step)
        yield slice(i, stop), _Pages(stop - i, plan, out, dtype)


@kernel
def correlate(
    x: Array, weight: Array, bias: Array, page: Sizes, stride: Sizes, taps: Array, phases: Array,
    out: Array,
) -> Array:  # fmt: skip
    """Write the convolution.

    Parameters
    ----------
    x : ndarray, shape (images, channels, height, width)
    weight : ndarray, shape (channels, outputs of each, elements of the kernel)
    bias : ndarray, shape (channels, outputs of each)
    page, stride, taps, phases
        A `Plan`.
    out : ndarray, shape (images, channels * outputs of each, rows, columns)

    Returns
    -------
    ndarray
        `out`.
    """
    for at, pages in _blocks(len(x), Plan(page, stride, taps, phases), out.shape[2:], x.dtype):
        product = np.empty_like(pages.rows)
        for c, m in np.ndindex(weight.shape[:2]):
            if not m:
                pages.load(x[at, c])
            pages.rows[...] = bias[c, m]
            for seen, factor in zip(pages.seen, weight[c, m], strict=True):
                pages.rows += np.multiply(seen, factor, out=product)
            out[at, c * weight.shape[1] + m] = pages.outputs
    return out


@kernel
def correlate_weight_grad(
    x: Array, grad: Array, page: Sizes, stride: Sizes, taps: Array, phases: Array, out: Array
) -> Array:
    """Write the derivative of `correlate` of the weight, in float64; arguments as there."""
    out[...] = 0
    for at, pages in _blocks(len(x), Plan(page, stride, taps, phases), grad.shape[2:], x.dtype):
        for c, m in np.ndindex(out.shape[:2]):
            if not m:
                pages.load(x[at, c])
            pages.outputs[...] = grad[at, c * out.shape[1] + m]
            out[c, m] += [seen.dot(pages.rows) for seen in pages.seen]
    return out


@kernel
def correlate_input_grad(
    grad: Array, weight: Array, page: Sizes, stride: Sizes, taps: Array, phases: Array, out: Array
) -> Array:
    """Write the derivative of `correlate` of x; arguments as there."""
    out[...] = 0  # what no window sees
    for at, pages in _blocks(len(out), Plan(page, stride, taps, phases), grad.shape[2:], out.dtype):
        product = np.empty_like(pages.rows)
        for c in range(len(weight)):
            pages.memory[...] = 0
            for m, factors in enumerate(weight[c]):
                pages.outputs[...] = grad[at, c * weight.shape[1] + m]
                for seen, factor in zip(pages.seen, factors, strict=True):
                    seen += np.multiply(pages.rows, factor, out=product)
            for place, elements in pages.places:
                out[at, c][elements] = place
    return out
