"""Unfolding of all windows of an image into columns, and folding, the transposed map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npnet.ops.padding import pad
from npnet.ops.windows import Sizes, offsets, output_size, windows
from npnet.typing import Array


def unfold(x: Array, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Array:
    """Return the windows of x, (n, channels, *size), as (n, channels * kernel, windows)."""
    axes = len(kernel_size)
    if any(padding):
        x = pad(x, [(p, p) for p in padding])
    found = windows(x, kernel_size, stride, dilation)
    order = (0, 1, *range(2 + axes, 2 + 2 * axes), *range(2, 2 + axes))
    rows = x.shape[1] * math.prod(kernel_size)
    return found.transpose(order).copy().reshape(len(x), rows, math.prod(found.shape[2 : 2 + axes]))


def fold(
    columns: Array, size: Sizes, kernel_size: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes
) -> Array:
    """Return the sums of what columns, (n, channels * kernel, windows), have of each position."""
    twice = tuple(2 * p for p in padding)
    out = output_size(size, kernel_size, stride, twice, dilation)
    channels = columns.shape[1] // math.prod(kernel_size)
    parts = columns.reshape(len(columns), channels, *kernel_size, *out)
    y = np.zeros((len(columns), channels, *map(sum, zip(size, twice, strict=True))), columns.dtype)
    for position, at in offsets(out, kernel_size, stride, dilation):
        y[(..., *at)] += parts[(slice(None), slice(None), *position)]
    if not any(padding):
        return y
    kept: list[Any] = [slice(p, p + n) for n, p in zip(size, padding, strict=True)]
    return np.ascontiguousarray(y[(..., *kept)])
