"""Loops over the windows of images with two axes, channels last."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np
from numba import intp, types
from numba.extending import register_jitable

from npnet.ops.jit import loop
from npnet.ops.layout_compiled import channels_first, channels_last

_PAIR = types.UniTuple(intp, 2)


@register_jitable
def _covered(stride, dilation, positions, size):
    """Return how much of an axis windows cover."""
    return (positions - 1) * stride + (size - 1) * dilation + 1


@register_jitable
def _runs(dilation, kernel_width, channels):
    """Return into how many pieces a row of a window falls, and how long they are."""
    return (1, kernel_width * channels) if dilation == 1 else (kernel_width, channels)


@loop(lambda t: (t[:, :, :, ::1], intp, _PAIR, _PAIR, _PAIR, t[:, :, :, :, :, ::1]))
def copy_rows(x, row, stride, padding, dilation, out):
    n, c, _, _ = x.shape
    _, rows, columns, kernel_height, kernel_width, _ = out.shape
    top, left = padding[0] - row * stride[0], padding[1]
    h = _covered(stride[0], dilation[0], rows, kernel_height)
    w = _covered(stride[1], dilation[1], columns, kernel_width)
    pieces, run = _runs(dilation[1], kernel_width, c)
    image = np.zeros((h, w, c), x.dtype)
    lines, windows = image.reshape(h, w * c), out.reshape(n, rows, columns, kernel_height, -1)
    for b in range(n):
        channels_last(x[b], image, top, left)
        for r in range(rows):
            for q in range(columns):
                for i in range(kernel_height):
                    line, window = lines[r * stride[0] + i * dilation[0]], windows[b, r, q, i]
                    for j in range(pieces):
                        start = (q * stride[1] + j * dilation[1]) * c
                        source, target = line[start : start + run], window[j * run : (j + 1) * run]
                        for k in range(run):
                            target[k] = source[k]
    return True


@loop(lambda t: (t[:, :, :, :, :, ::1], intp, _PAIR, _PAIR, _PAIR, t[:, :, :, ::1]))
def add_rows(rows, row, stride, padding, dilation, out):
    n, c, _, _ = out.shape
    _, down, across, kernel_height, kernel_width, _ = rows.shape
    top, left = padding[0] - row * stride[0], padding[1]
    h = _covered(stride[0], dilation[0], down, kernel_height)
    w = _covered(stride[1], dilation[1], across, kernel_width)
    pieces, run = _runs(dilation[1], kernel_width, c)
    image = np.empty((h, w, c), out.dtype)
    lines, windows = image.reshape(h, w * c), rows.reshape(n, down, across, kernel_height, -1)
    for b in range(n):
        image[...] = 0
        for r in range(down):
            for q in range(across):
                for i in range(kernel_height):
                    line, window = lines[r * stride[0] + i * dilation[0]], windows[b, r, q, i]
                    for j in range(pieces):
                        start = (q * stride[1] + j * dilation[1]) * c
                        source, target = window[j * run : (j + 1) * run], line[start : start + run]
                        for k in range(run):
                            target[k] += source[k]
        channels_first(image, out[b], top, left, True)
    return True
