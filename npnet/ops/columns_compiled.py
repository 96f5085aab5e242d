"""Loops over the windows of images with two axes.

Indices that are unsigned cannot be negative, so that no element is asked for where it lies.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np
from numba import intp, types
from numba.extending import register_jitable

from npnet.ops.jit import loop

_PAIR = types.UniTuple(intp, 2)


@register_jitable
def _inside(size, offset, stride, count):
    """Return the first i for which offset + i * stride is in range(size), its place, how many."""
    low = 0 if offset >= 0 else min(count, (stride - 1 - offset) // stride)
    high = max(low, min(count, (size - offset + stride - 1) // stride))
    return np.uintp(low), np.uintp(max(0, offset + low * stride)), np.uintp(high - low)


@loop(lambda t: (t[:, :, :, ::1], intp, _PAIR, _PAIR, _PAIR, t[:, :, :, :, :, ::1]))
def copy_windows(x, row, stride, padding, dilation, out):
    _, _, height, width = x.shape
    channels, kernel_height, kernel_width, images, rows, columns = out.shape
    step, end = np.uintp(stride[1]), np.uintp(columns)
    for c in range(channels):
        for i in range(kernel_height):
            for j in range(kernel_width):
                offset = j * dilation[1] - padding[1]
                low, start, count = _inside(width, offset, stride[1], columns)
                for n in range(images):
                    for r in range(rows):
                        h = (row + r) * stride[0] - padding[0] + i * dilation[0]
                        if h < 0 or h >= height:
                            for q in range(end):
                                out[c, i, j, n, r, q] = 0
                            continue
                        for q in range(low):
                            out[c, i, j, n, r, q] = 0
                        if step == 1:  # vectorised
                            for q in range(count):
                                out[c, i, j, n, r, low + q] = x[n, c, h, start + q]
                        else:
                            for q in range(count):
                                out[c, i, j, n, r, low + q] = x[n, c, h, start + q * step]
                        for q in range(low + count, end):
                            out[c, i, j, n, r, q] = 0
    return True


@loop(lambda t: (t[:, :, :, :, :, ::1], intp, _PAIR, _PAIR, _PAIR, t[:, :, :, ::1]))
def add_windows(columns, row, stride, padding, dilation, out):
    _, _, height, width = out.shape
    channels, kernel_height, kernel_width, images, rows, positions = columns.shape
    step = np.uintp(stride[1])
    for c in range(channels):
        for n in range(images):
            for i in range(kernel_height):
                for j in range(kernel_width):
                    offset = j * dilation[1] - padding[1]
                    low, start, count = _inside(width, offset, stride[1], positions)
                    for r in range(rows):
                        h = (row + r) * stride[0] - padding[0] + i * dilation[0]
                        if h < 0 or h >= height:
                            continue
                        if step == 1:
                            for q in range(count):
                                out[n, c, h, start + q] += columns[c, i, j, n, r, low + q]
                        else:
                            for q in range(count):
                                out[n, c, h, start + q * step] += columns[c, i, j, n, r, low + q]
    return True
