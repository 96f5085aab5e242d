"""Where the windows of pooling lie: along each axis for itself, sliding or adaptive."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npnet.typing import Array


class Piece(NamedTuple):
    """The elements at one offset in the windows `outs`; they stand at `ins` of the axis."""

    offset: int
    outs: slice
    ins: slice
    is_first: bool
    """Whether no window among them has an element at a smaller offset."""


class Windows:
    """Windows along one axis.

    Window i has the elements ``starts[i] + o * dilation`` for the offsets o from ``first[i]`` to
    ``last[i]`` exclusive, which are inside the axis.

    Parameters
    ----------
    size, count, kernel, dilation : int
        Elements of the axis, windows, offsets that a window may have, elements from one offset to
        the next.
    groups : list of (int, int, int)
        For each group of windows that are equally far apart the start of its first one, the
        elements from one start to the next, and the number of offsets. The groups take turns:
        window i is of group i modulo their number.

    Attributes
    ----------
    spans : ndarray of intp, shape (3, count)
        The rows starts, first and last.
    pieces : list of Piece
        All elements of all windows, a window's in the order of its offsets.
    overlap : bool
        Whether an element may be in several windows.
    has_empty : bool
        Whether there are windows without an element.
    is_whole : bool
        Whether each element is a window of its own.
    is_one : bool
        Whether there is one window, of all elements.
    are_pairs : bool
        Whether the windows are pairs of elements, one behind the other.
    """

    def __init__(
        self, size: int, count: int, kernel: int, dilation: int, groups: list[tuple[int, int, int]]
    ) -> None:
        self.size, self.count, self.kernel, self.dilation = size, count, kernel, dilation
        self.pieces: list[Piece] = []
        self.spans = np.zeros((3, count), np.intp)
        turns = len(groups)
        for turn, (start, stride, length) in enumerate(groups):
            starts = start + stride * np.arange(count // turns)
            # From the first offset at or behind 0 to the one at or behind the axis's end.
            first = np.maximum(-(starts // dilation), 0)
            last = np.clip(-((starts - size) // dilation), first, length)
            self.spans[:, turn::turns] = starts, first, last
            for o in range(first.min(initial=length), last.max(initial=0)):
                for is_first in (True, False):
                    at = np.flatnonzero((first == o if is_first else first < o) & (o < last))
                    if at.size:  # these are neighbours
                        low, high = int(at[0]), int(at[-1])
                        begin, end = (start + stride * i + o * dilation for i in (low, high))
                        outs = slice(turn + low * turns, turn + high * turns + 1, turns)
                        ins = slice(begin, end + 1, stride)
                        self.pieces.append(Piece(o, outs, ins, is_first))
        _, first, last = self.spans
        self.has_empty = bool((first >= last).any())
        spread = dilation * (kernel - 1) + 1  # from a window's first element to its end
        self.overlap = turns > 1 or any(stride < spread for _, stride, _ in groups)
        self.is_whole = kernel == 1 and count == size
        self.is_one = count == 1 and dilation == 1 and bool(last[0] - first[0] == size)
        self.are_pairs = groups == [(0, 2, 2)] and not dilation > 1 and bool((last == 2).all())


Axes = tuple[Windows, Windows, Windows]
"""Windows along depth, height and width."""

Sizes = tuple[int, ...]


def output_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Return how many windows slide along an axis; not positive where none fits.

    With `ceil_mode` the last one may reach beyond the padding, if it starts before it.

    Examples
    --------
    >>> [output_size(size, 3, 2, 1, 1, True) for size in (4, 5, 6)]
    [3, 3, 4]
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


@lru_cache(maxsize=512)
def sliding(
    sizes: Sizes, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes, ceil_mode: bool
) -> Axes:
    """Return windows that slide along the last axes, which have these sizes."""
    return _last(
        Windows(size, max(output_size(size, k, s, p, d, ceil_mode), 0), k, d, [(-p, s, k)])
        for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    )


@lru_cache(maxsize=512)
def adaptive(sizes: Sizes, counts: Sizes) -> Axes:
    """Return windows that cover the last axes, so many along each.

    The window i of n begins at size * i / n, rounded down, and ends at size * (i + 1) / n, rounded
    up.
    """
    return _last(map(_adaptive, sizes, counts))


def _adaptive(size: int, count: int) -> Windows:
    common = math.gcd(size, count)  # so many windows are equally far apart
    groups = []
    for i in range(count // common if common else 0):
        start, stop = i * size // count, -(-(i + 1) * size // count)
        groups.append((start, size // common, stop - start))
    return Windows(size, count, max((length for *_, length in groups), default=1), 1, groups)


def _last(windows: Iterable[Windows]) -> Axes:
    """Return the windows along three axes, of which the first ones may be missing."""
    found = [Windows(1, 1, 1, 1, [(0, 1, 1)])] * 3 + list(windows)
    return found[-3], found[-2], found[-1]


@lru_cache(maxsize=512)
def elements(axes: Axes, padding: Sizes, dtype: np.dtype[Any]) -> Array:
    """Return how many elements the windows have, those in so much padding on both sides among them.

    The padding is that of the last axes.
    """
    result = np.ones((), dtype)
    for each, pad in zip(axes, (0,) * (3 - len(padding)) + padding, strict=True):
        starts, first, last = each.spans
        if pad:
            first, last = starts, np.minimum(starts + each.kernel, each.size + pad)
        result = result[..., np.newaxis] * (last - first).astype(dtype)
    return result
