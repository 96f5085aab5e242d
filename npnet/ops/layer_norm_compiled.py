"""Loops of the normalisation of rows."""

# mypy: allow-untyped-defs

import numpy as np
from numba import boolean, float64

from npnet.ops.jit import loop

ROWS = 256
"""Rows that are added up in the dtype itself; the sums of such rows are added up in float64."""


@loop(
    lambda t: (t[:, ::1], t[::1], t[::1], float64, boolean, *(t[::1],) * 3, t[:, ::1]),
    any_order=True,
)
def layer_norm(x, weight, bias, eps, centered, shift, rest, inverse, out):
    m, d = x.shape
    if weight.size != d or bias.size != d or out.shape != x.shape:
        return False
    if shift.size != m or rest.size != m or inverse.size != m:
        return False
    t = x.dtype.type
    share = t(1 / max(d, 1))
    for i in range(m):
        mean, one, two = t(0), t(0), t(0)
        if centered:
            for j in range(d):
                mean += x[i, j] * share
        for j in range(d):
            one += x[i, j] - mean
        one = one * share if centered else t(0)
        for j in range(d):
            c = (x[i, j] - mean) - one
            two += c * c
        factor = t(1 / np.sqrt(two * share + eps))
        shift[i], rest[i], inverse[i] = mean, one, factor
        for j in range(d):
            out[i, j] = ((x[i, j] - mean) - one) * factor * weight[j] + bias[j]
    return True


@loop(
    lambda t: (
        t[:, ::1], t[:, ::1], t[::1], boolean, *(t[::1],) * 3, float64[::1], float64[::1],
        t[:, ::1],
    ),
    any_order=True,
)  # fmt: skip
def layer_norm_grad(grad, x, weight, centered, shift, rest, inverse, dweight, dbias, out):
    m, d = x.shape
    if grad.shape != x.shape or out.shape != x.shape or weight.size != d:
        return False
    if shift.size != m or rest.size != m or inverse.size != m:
        return False
    if dweight.size != d or dbias.size != d:
        return False
    t = x.dtype.type
    share = t(1 / max(d, 1))
    dweight[:], dbias[:] = 0.0, 0.0
    sums, products = np.empty_like(weight), np.empty_like(weight)
    for start in range(0, m, ROWS):
        sums[:], products[:] = t(0), t(0)
        for i in range(start, min(start + ROWS, m)):
            mean, off, factor = shift[i], rest[i], inverse[i]
            one, two = t(0), t(0)
            for j in range(d):
                g = grad[i, j]
                z = ((x[i, j] - mean) - off) * factor
                out[i, j] = z
                sums[j] += g
                products[j] += g * z
            for j in range(d):
                g = grad[i, j] * weight[j]
                one += g
                two += g * out[i, j]
            one = one * share if centered else t(0)
            two *= share
            for j in range(d):
                out[i, j] = (grad[i, j] * weight[j] - one - out[i, j] * two) * factor
        for j in range(d):
            dweight[j] += products[j]
            dbias[j] += sums[j]
    return True
