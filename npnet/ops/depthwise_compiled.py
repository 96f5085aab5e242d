"""Loops of the convolution of each channel by itself, one page at a time."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np
from numba import float64, intp, types
from numba.extending import register_jitable

from npnet.ops.jit import loop

_PLAN = (types.UniTuple(intp, 3), types.UniTuple(intp, 2), intp[::1], intp[:, ::1])


@register_jitable
def _page(page, dtype):
    """Return memory for a page and, behind it, for the ends of the last slices."""
    phases, rows, columns = page
    return np.zeros(phases * rows * columns + columns, dtype)


@register_jitable
def _load(x, page, stride, phases, memory):
    """Copy an image to its places in a page."""
    _, rows, columns = page
    for p in range(len(phases)):
        i, h, m, j, w, n = phases[p]
        for r in range(m):
            start = (p * rows + i + r) * columns + j
            target = memory[start : start + n]
            source = x[h + r * stride[0], w : w + n * stride[1] : stride[1]]
            for k in range(n):
                target[k] = source[k]


@register_jitable
def _add(scale, source, target):
    for k in range(target.size):
        target[k] += scale * source[k]


@register_jitable
def _copy(source, target):
    for k in range(target.size):
        target[k] = source[k]


@loop(lambda t: (t[:, :, :, ::1], t[:, :, ::1], t[:, ::1], *_PLAN, t[:, :, :, ::1]))
def correlate(x, weight, bias, page, stride, taps, phases, out):
    n, c, _, _ = x.shape
    outputs, (_, _, height, width), columns = weight.shape[1], out.shape, page[2]
    memory, rows = _page(page, x.dtype), np.empty(height * columns, x.dtype)
    for i in range(n):
        for k in range(c):
            _load(x[i, k], page, stride, phases, memory)
            for m in range(outputs):
                rows[:] = bias[k, m]
                for t in range(taps.size):
                    _add(weight[k, m, t], memory[taps[t] : taps[t] + rows.size], rows)
                for r in range(height):
                    target = out[i, k * outputs + m, r]
                    _copy(rows[r * columns : r * columns + width], target)
    return True


@loop(
    lambda t: (t[:, :, :, ::1], t[:, :, :, ::1], *_PLAN, float64[:, :, ::1]),
    any_order=True,
)
def correlate_weight_grad(x, grad, page, stride, taps, phases, out):
    n, c, _, _ = x.shape
    outputs, (_, _, height, width), columns = out.shape[1], grad.shape, page[2]
    memory, rows = _page(page, x.dtype), np.zeros(height * columns, x.dtype)
    out[...] = 0
    for i in range(n):
        for k in range(c):
            _load(x[i, k], page, stride, phases, memory)
            for m in range(outputs):
                for r in range(height):
                    target = rows[r * columns : r * columns + width]
                    _copy(grad[i, k * outputs + m, r], target)
                for t in range(taps.size):
                    total, seen = x.dtype.type(0), memory[taps[t] : taps[t] + rows.size]
                    for j in range(rows.size):
                        total += seen[j] * rows[j]
                    out[k, m, t] += total
    return True


@loop(lambda t: (t[:, :, :, ::1], t[:, :, ::1], *_PLAN, t[:, :, :, ::1]))
def correlate_input_grad(grad, weight, page, stride, taps, phases, out):
    n, c, _, _ = out.shape
    outputs, (_, _, height, width), columns = weight.shape[1], grad.shape, page[2]
    memory, rows = _page(page, grad.dtype), np.zeros(height * columns, grad.dtype)
    for i in range(n):
        for k in range(c):
            memory[:] = 0
            for m in range(outputs):
                for r in range(height):
                    target = rows[r * columns : r * columns + width]
                    _copy(grad[i, k * outputs + m, r], target)
                for t in range(taps.size):
                    _add(weight[k, m, t], rows, memory[taps[t] : taps[t] + rows.size])
            out[i, k] = 0  # what no window sees
            for p in range(len(phases)):
                a, h, height_, j, w, count = phases[p]
                for r in range(height_):
                    start = (p * page[1] + a + r) * columns + j
                    target = out[i, k, h + r * stride[0], w : w + count * stride[1] : stride[1]]
                    _copy(memory[start : start + count], target)
    return True
