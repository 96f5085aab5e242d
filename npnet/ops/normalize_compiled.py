"""Loops of the normalisation of channels.

A channel of one number a sample is a column: then the channels stand in the inner loop.
"""

# mypy: allow-untyped-defs

from numba import float64

from npnet.ops.jit import loop

CHUNK = 4096
"""Numbers that are added up in the dtype itself; the sums of chunks are added up in float64."""


@loop(lambda t: (t[:, :, ::1], t[::1], float64[::1], float64[::1]), any_order=True)
def moments(x, shift, rest, var):
    a, k, b = x.shape
    if shift.size != k or rest.size != k or var.size != k:
        return False
    zero, rows, count = x.dtype.type(0), x.reshape(a, k * b), a * b
    part = x.dtype.type(1 / b)
    for c in range(k):
        mean = zero
        for j in range(b):
            mean += x[0, c, j] * part
        shift[c] = mean
        rest[c] = var[c] = 0.0
    for i in range(a):
        if b == 1:
            for c in range(k):
                d = rows[i, c] - shift[c]
                rest[c] += d
                var[c] += d * d
            continue
        for c in range(k):
            s = shift[c]
            for start in range(0, b, CHUNK):
                one, two = zero, zero
                for j in range(start, min(start + CHUNK, b)):
                    d = x[i, c, j] - s
                    one += d
                    two += d * d
                rest[c] += one
                var[c] += two
    for c in range(k):
        rest[c] /= count
        v = var[c] / count - rest[c] * rest[c]
        var[c] = 0.0 if v < 0 else v
    return True


@loop(lambda t: (t[:, :, ::1], t[::1], t[::1], t[::1], t[:, :, ::1]))
def scale_channels(x, shift, scale, offset, out):
    a, k, b = x.shape
    if shift.size != k or scale.size != k or offset.size != k or out.shape != x.shape:
        return False
    rows, written = x.reshape(a, k * b), out.reshape(a, k * b)
    for i in range(a):
        if b == 1:
            for c in range(k):
                written[i, c] = (rows[i, c] - shift[c]) * scale[c] + offset[c]
            continue
        for c in range(k):
            s, f, o = shift[c], scale[c], offset[c]
            for j in range(b):
                out[i, c, j] = (x[i, c, j] - s) * f + o
    return True


@loop(lambda t: (t[:, :, ::1], t[:, :, ::1], t[::1], float64[::1], float64[::1]), any_order=True)
def channel_sums(grad, x, shift, total, product):
    a, k, b = x.shape
    if grad.shape != x.shape or shift.size != k or total.size != k or product.size != k:
        return False
    zero = x.dtype.type(0)
    rows, upstream = x.reshape(a, k * b), grad.reshape(a, k * b)
    for c in range(k):
        total[c] = product[c] = 0.0
    for i in range(a):
        if b == 1:
            for c in range(k):
                total[c] += upstream[i, c]
                product[c] += upstream[i, c] * (rows[i, c] - shift[c])
            continue
        for c in range(k):
            s = shift[c]
            for start in range(0, b, CHUNK):
                one, two = zero, zero
                for j in range(start, min(start + CHUNK, b)):
                    g = grad[i, c, j]
                    one += g
                    two += g * (x[i, c, j] - s)
                total[c] += one
                product[c] += two
    return True


@loop(lambda t: (t[:, :, ::1], t[:, :, ::1], t[::1], t[::1], t[::1], t[::1], t[:, :, ::1]))
def combine_channels(grad, x, shift, scale, slope, offset, out):
    a, k, b = x.shape
    if grad.shape != x.shape or out.shape != x.shape or shift.size != k:
        return False
    if scale.size != k or slope.size != k or offset.size != k:
        return False
    rows, upstream, written = (
        x.reshape(a, k * b), grad.reshape(a, k * b), out.reshape(a, k * b)
    )  # fmt: skip
    for i in range(a):
        if b == 1:
            for c in range(k):
                d = rows[i, c] - shift[c]
                written[i, c] = upstream[i, c] * scale[c] + d * slope[c] + offset[c]
            continue
        for c in range(k):
            s, f, q, o = shift[c], scale[c], slope[c], offset[c]
            for j in range(b):
                out[i, c, j] = grad[i, c, j] * f + (x[i, c, j] - s) * q + o
    return True
