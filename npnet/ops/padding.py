"""Padding: elements added around the last axes of an array, or cut off, and the derivative."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npnet.errors import shape_error
from npnet.typing import Array

Widths = Sequence[tuple[int, int]]


def pad(x: Array, widths: Widths, mode: str = "constant", value: float = 0.0) -> Array:
    """Return x with elements added before and after along its last axes.

    Parameters
    ----------
    x : ndarray, shape (..., n1, ..., nk)
    widths : sequence of k pairs (before, after)
        How many elements are added along each of the last k axes; a negative number cuts off.
    mode : {"constant", "reflect", "replicate", "circular"}
        What is added: `value`, the elements mirrored at the outermost one (which is not
        repeated), the outermost one, or the elements from the other end. What is cut off is
        mirrored and repeated before, but does not go round. `check` tells which widths fit.
    value : float

    Returns
    -------
    ndarray
        A new array.

    References
    ----------
    ``torch.nn.functional.pad``, which has the last axis first.

    Examples
    --------
    >>> pad(np.array([1, 2, 3]), [(2, 1)], "reflect")
    array([3, 2, 1, 2, 3, 2])
    """
    if mode == "circular":
        x = x[_kept(widths)]
    first = x.ndim - len(widths)
    sizes = [n + max(b, 0) + max(a, 0) for n, (b, a) in zip(x.shape[first:], widths, strict=True)]
    y = np.empty((*x.shape[:first], *sizes), x.dtype)
    y[_inner(widths)] = x
    for axis, width in enumerate(widths, first):
        inner = y[_along(axis, _between(width))]
        for border, source in _borders(x.shape[axis], width, mode):
            y[_along(axis, border)] = value if source is None else inner[_along(axis, source)]
    return y if mode == "circular" else np.ascontiguousarray(y[_kept(widths)])


def pad_grad(grad: Array, widths: Widths, mode: str = "constant") -> Array:
    """Return the gradient with respect to `pad`'s input, given that to its output."""
    if mode != "circular":
        grad = _put_back(grad, widths)
    first = grad.ndim - len(widths)
    for axis, width in reversed(list(enumerate(widths, first))):
        dx = grad[_along(axis, _between(width))]
        if max(width) > 0 and mode != "constant":
            dx = dx.copy()
            for border, source in _borders(dx.shape[axis], width, mode):
                added = grad[_along(axis, border)]
                if mode == "replicate":
                    added = added.sum(axis, keepdims=True)
                dx[_along(axis, source)] += added
        grad = dx
    return np.ascontiguousarray(_put_back(grad, widths) if mode == "circular" else grad)


def check(layer: Any, shape: tuple[int, ...], widths: Widths, mode: str) -> None:
    """Raise the layer's `ShapeError` if the widths do not fit inputs of a shape.

    Mirrored, an axis gives all its elements but one; a circle is gone round once at most.
    """
    for axis, (before, after) in enumerate(widths, len(shape) - len(widths)):
        cut = -min(before, 0) - min(after, 0)
        least = {
            "constant": cut,
            "reflect": max(before, after, 0, -before - after) + 1,
            "replicate": max(0, -before - after) + 1,
            "circular": cut + max(before, after, 1),
        }[mode]
        if shape[axis] < least:
            expected = f"with at least {least} elements along axis {axis}"
            raise shape_error(layer, expected, shape, f"padding there is ({before}, {after})")


def _borders(n: int, width: tuple[int, int], mode: str) -> Iterator[tuple[slice, Any]]:
    """Give the borders along an axis of n elements, each with the elements that it repeats.

    Positions of the border count from the first padded element, those it repeats from the first
    element of the input.
    """
    before, after = max(width[0], 0), max(width[1], 0)
    end = before + n
    if before:
        source = {
            "reflect": slice(before, 0, -1),
            "replicate": slice(0, 1),
            "circular": slice(n - before, n),
        }.get(mode)
        yield slice(0, before), source
    if after and mode == "reflect":
        yield slice(end + after - 1, end - 1, -1), slice(n - 1 - after, n - 1)
    elif after:
        source = {"replicate": slice(n - 1, n), "circular": slice(0, after)}.get(mode)
        yield slice(end, end + after), source


def _along(axis: int, part: Any) -> tuple[Any, ...]:
    """Return the index of a part of one axis."""
    return (*(slice(None),) * axis, part)


def _between(width: tuple[int, int]) -> slice:
    """Return the slice between the added elements."""
    return slice(max(width[0], 0), -width[1] if width[1] > 0 else None)


def _inner(widths: Widths) -> tuple[Any, ...]:
    """Return the index of the input in the padded array, before anything is cut off."""
    return (..., *map(_between, widths))


def _kept(widths: Widths) -> tuple[Any, ...]:
    """Return the index of what is not cut off."""
    return (..., *(_between((-before, -after)) for before, after in widths))


def _put_back(grad: Array, widths: Widths) -> Array:
    """Return grad with zeros where elements were cut off."""
    cut = [(max(-before, 0), max(-after, 0)) for before, after in widths]
    return pad(grad, cut) if any(map(any, cut)) else grad
