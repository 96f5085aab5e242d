"""Sliding windows over the last axes of an array, as convolution and pooling see them.

A window has `kernel_size` elements along each axis, `dilation` apart; the next one begins `stride`
further. All three, and sizes, are tuples with one integer for each of the last axes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from numpy.lib.stride_tricks import as_strided

from npnet.typing import Array

Sizes = tuple[int, ...]


def output_size(
    size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Sizes:
    """Return how many windows there are along each axis; not positive where none fits.

    Parameters
    ----------
    size, kernel_size, stride : tuple of int
    padding : tuple of int
        What is added to each axis, both sides together.
    dilation : tuple of int

    Examples
    --------
    >>> output_size((28, 28), (3, 5), (1, 2), (2, 0), (1, 1))
    (28, 12)
    """
    return tuple(
        (n + p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation, strict=True)
    )


def windows(x: Array, kernel_size: Sizes, stride: Sizes, dilation: Sizes) -> Array:
    """Return all windows as a read-only view of x, (..., *windows, *kernel_size).

    Examples
    --------
    >>> import numpy as np
    >>> windows(np.arange(6), (2,), (2,), (3,)).tolist()
    [[0, 3], [2, 5]]
    """
    axes = len(kernel_size)
    steps = x.strides[x.ndim - axes :]
    out = output_size(x.shape[x.ndim - axes :], kernel_size, stride, (0,) * axes, dilation)
    return as_strided(
        x,
        (*x.shape[: x.ndim - axes], *out, *kernel_size),
        (
            *x.strides[: x.ndim - axes],
            *(a * s for a, s in zip(steps, stride, strict=True)),
            *(a * d for a, d in zip(steps, dilation, strict=True)),
        ),
        writeable=False,
    )


def offsets(
    out: Sizes, kernel_size: Sizes, stride: Sizes, dilation: Sizes
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Yield each position in the window, in C order, and the slices that have it of all windows.

    Parameters
    ----------
    out : tuple of int
        How many windows there are along each axis, as `output_size` returns it.
    kernel_size, stride, dilation : tuple of int

    Examples
    --------
    >>> import numpy as np
    >>> x = np.arange(6)
    >>> [x[at].tolist() for _, at in offsets((2,), (2,), (2,), (3,))]
    [[0, 2], [3, 5]]
    """
    for position in itertools.product(*map(range, kernel_size)):
        yield (
            position,
            tuple(
                slice(i * d, i * d + s * (n - 1) + 1, s)
                for i, d, s, n in zip(position, dilation, stride, out, strict=True)
            ),
        )
