"""Pooling: maxima and means of windows, their derivatives, and the way back from maxima.

Arrays have four axes, (planes, depth, height, width); those that do not exist have the size 1. The
windows are the product of windows along each of the last three axes. NumPy reduces along one
axis after another, in blocks of planes that stay in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from npnet.ops.elementwise import BLOCK, constant
from npnet.ops.kernels import kernel
from npnet.ops.pool_windows import Axes, elements
from npnet.typing import Array


def max_pool(x: Array, axes: Axes, keep: bool) -> tuple[Array, Array | None]:
    """Return the maxima of windows, and where they are in the windows if that is to be kept.

    Of equal elements the first one is taken, of NaN the last one.

    Parameters
    ----------
    x : ndarray, shape (planes, depth, height, width)
    axes : tuple of Windows
    keep : bool

    Returns
    -------
    y : ndarray, shape (planes, windows along depth, height, width)
    places : ndarray of unsigned integers, of y's shape, or None
        For the offsets (a, b, c) in the window ``(a * kernel_height + b) * kernel_width + c``: one
        byte for windows of up to 256 elements.
    """
    shape = (len(x), *(each.count for each in axes))
    y: Array = np.empty(shape, x.dtype)
    places = None
    if keep:
        largest = math.prod(each.kernel for each in axes) - 1
        places = np.empty(shape, np.min_scalar_type(largest))
    maxima(x, y, places, axes)
    return y, places


@kernel
def maxima(x: Array, y: Array, places: Array | None, axes: Axes) -> None:
    """Write what `max_pool` returns."""
    for at in _blocks(x, y):
        y[at], found = _maxima(x[at], places, axes, False)
        if places is not None:
            if np.isnan(y[at].max()):
                _, found = _maxima(x[at], places, axes, True)
            places[at] = found


def _maxima(x: Array, places: Array | None, axes: Axes, has_nan: bool) -> tuple[Array, Array | int]:
    """Reduce along one axis after another; for the places, the last one first."""
    found: Array | int = 0
    scale = 1
    order = list(enumerate(axes, 1))
    for axis, windows in order if places is None else reversed(order):
        if windows.is_whole:
            continue
        shape = (*x.shape[:axis], windows.count, *x.shape[axis + 1 :])
        y: Array = np.empty(shape, x.dtype)
        now: Array | int = 0 if places is None else np.empty(shape, places.dtype)
        for offset, outs, ins, is_first in windows.pieces:
            at, here = (slice(None),) * axis + (outs,), (slice(None),) * axis + (ins,)
            value, view = y[at], x[here]
            if isinstance(now, np.ndarray):
                # It only grows: what was found along the axes before is less than the scale.
                code = now.dtype.type(offset * scale)
                if isinstance(found, np.ndarray):
                    code = code + found[here]
                if is_first:
                    now[at] = code
                else:
                    better = view > value
                    if has_nan:
                        better |= view != view
                    np.maximum(now[at], code * better, out=now[at])
            if is_first:
                value[...] = view
            else:
                np.maximum(value, view, out=value)
        x, found = y, now
        scale *= windows.kernel
    return x, found


def max_pool_grad(grad: Array, places: Array, axes: Axes) -> Array:
    """Return the gradient with respect to x: each window's where its maximum was."""
    dx = _like_x(grad, axes)
    maxima_grad(grad, places, dx, axes)
    return dx


@kernel
def maxima_grad(grad: Array, places: Array, dx: Array, axes: Axes) -> None:
    """Write what `max_pool_grad` returns."""
    plane = math.prod(dx.shape[1:])
    for at in _blocks(dx, grad):
        values, out = grad[at], dx[at]
        index = indices(places[at], axes)
        index += np.arange(0, out.size, plane).reshape(-1, 1, 1, 1)
        if any(each.overlap for each in axes):
            total = np.bincount(index.reshape(-1), values.reshape(-1), out.size)
            out[...] = total.reshape(out.shape)
        else:
            flat = np.zeros(out.size, dx.dtype)
            flat[index] = values
            out[...] = flat.reshape(out.shape)


def indices(places: Array, axes: Axes) -> Array:
    """Return where the maxima are in their planes, counted in C order.

    Parameters
    ----------
    places : ndarray of unsigned integers
        As `max_pool` returns them.
    axes : tuple of Windows

    Returns
    -------
    ndarray of int64, of the same shape
    """
    starts, offsets = _positions(axes)
    result: Array = offsets.take(places)
    result += starts
    return result


@lru_cache(maxsize=64)
def _positions(axes: Axes) -> tuple[Array, Array]:
    """Return where the windows start in a plane, and how far from there their elements are."""
    starts = offsets = np.zeros((), np.int64)
    for each in axes:
        starts = starts[..., np.newaxis] * each.size + each.spans[0]
        steps = each.dilation * np.arange(each.kernel)
        offsets = offsets[..., np.newaxis] * each.size + steps
    return starts, offsets.reshape(-1)


def avg_pool(x: Array, axes: Axes, divisor: Array) -> Array:
    """Return the sums of windows over a divisor.

    Parameters
    ----------
    x : ndarray, shape (planes, depth, height, width)
    axes : tuple of Windows
    divisor : ndarray, shape (windows along depth, height, width), or of one element

    Returns
    -------
    ndarray, shape (planes, windows along depth, height, width)
    """
    if all(each.is_one for each in axes):  # the product with ones is a sum
        size = math.prod(x.shape[1:])
        total = x.reshape(len(x), size).dot(constant(1.0, (size,), x.dtype))
        mean: Array = total.reshape(-1, 1, 1, 1) / divisor
        return mean
    y: Array = np.empty((len(x), *(each.count for each in axes)), x.dtype)
    means(x, divisor, y, axes)
    return y


@kernel
def means(x: Array, divisor: Array, y: Array, axes: Axes) -> None:
    """Write what `avg_pool` returns."""
    for at in _blocks(x, y):
        total = x[at]
        for axis, windows in enumerate(axes, 1):  # the last axis has the shortest loops
            if windows.is_whole:
                continue
            shape = (*total.shape[:axis], windows.count, *total.shape[axis + 1 :])
            sums = np.empty(shape, x.dtype)
            for _, outs, ins, is_first in windows.pieces:
                value = sums[(slice(None),) * axis + (outs,)]
                view = total[(slice(None),) * axis + (ins,)]
                if is_first:
                    value[...] = view
                else:
                    value += view
            total = sums
        np.divide(total, divisor, out=y[at])


def avg_pool_grad(grad: Array, axes: Axes, divisor: Array) -> Array:
    """Return the gradient with respect to x: of each window an equal share for its elements."""
    dx = _like_x(grad, axes)
    if all(each.is_one for each in axes):
        dx[...] = grad / divisor
        return dx
    means_grad(grad, divisor, dx, axes)
    return dx


@kernel
def means_grad(grad: Array, divisor: Array, dx: Array, axes: Axes) -> None:
    """Write what `avg_pool_grad` returns."""
    for at in _blocks(dx, grad):
        share = grad[at] / divisor
        for axis, windows in reversed(list(enumerate(axes, 1))):
            if windows.is_whole:
                continue
            shape = (*share.shape[:axis], windows.size, *share.shape[axis + 1 :])
            spread = np.zeros(shape, share.dtype)
            for _, outs, ins, _ in windows.pieces:
                spread[(slice(None),) * axis + (ins,)] += share[(slice(None),) * axis + (outs,)]
            share = spread
        dx[at] = share


def lp_pool(x: Array, axes: Axes, norm: float, size: int) -> tuple[Array, Array]:
    """Return (m size)^(1 / norm) and m, the means of x^norm.

    Parameters
    ----------
    x : ndarray, shape (planes, depth, height, width)
    axes : tuple of Windows
    norm : float
        Not 0.
    size : int
        Elements of a window that nothing cuts off.

    Returns
    -------
    y, mean : ndarray, shape (planes, windows along depth, height, width)
    """
    mean = avg_pool(x**norm, axes, elements(axes, (), x.dtype))
    mean += 0.0  # which leaves no negative zero: 1 / 0 is infinite, not minus infinite
    return (mean * size) ** (1 / norm), mean


def lp_pool_grad(grad: Array, x: Array, mean: Array, axes: Axes, norm: float, size: int) -> Array:
    """Return the gradient with respect to x; 0 from windows whose mean is 0."""
    slope = (mean * size) ** (1 / norm - 1) * (size / norm)
    # PyTorch's sign of a NaN is 0.
    share = np.where(mean == 0, 0, grad * slope * (mean == mean))
    dx = avg_pool_grad(share.astype(x.dtype, copy=False), axes, elements(axes, (), x.dtype))
    dx *= norm * x ** (norm - 1)
    return dx


def max_unpool(x: Array, index: Array, size: int) -> Array:
    """Return planes with x at their indices, else 0; of those at one place the last one.

    Parameters
    ----------
    x : ndarray, shape (planes, n)
    index : ndarray of int64, of x's shape
    size : int
        Elements of a plane.

    Returns
    -------
    ndarray, shape (planes, size)
    """
    y = np.zeros((len(x), size), x.dtype)
    np.put_along_axis(y, index, x, 1)
    return y


def max_unpool_grad(grad: Array, index: Array) -> Array:
    """Return the gradient with respect to x: 0 for those over which another one was written."""
    order = np.broadcast_to(np.arange(index.shape[1]), index.shape)
    owner = np.empty(grad.shape, np.int64)
    np.put_along_axis(owner, index, order, 1)
    dx: Array = np.take_along_axis(grad, index, 1)
    dx[np.take_along_axis(owner, index, 1) != order] = 0
    return dx


def _like_x(grad: Array, axes: Axes) -> Array:
    """Return an array for the gradient with respect to x."""
    make = np.empty if grad.size else np.zeros  # which no window adds to
    return make((len(grad), *(each.size for each in axes)), grad.dtype)


def _blocks(large: Array, small: Array) -> Iterator[slice]:
    """Yield slices of the planes that cut arrays into blocks; none if there is nothing to do."""
    if small.size and large.size:
        step = max(BLOCK // (large.size // len(large)), 1)
        for start in range(0, len(large), step):
            yield slice(start, start + step)
