"""Loops of pooling: each window is looked at as a whole, in C order."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np
from numba import intp, uint8

from npnet.ops.jit import loop

_AXES = (intp[:, ::1],) * 3 + (intp,) * 5


def _tables(axes):
    """Return the windows along each axis as tables, the last kernel sizes, and the dilations."""
    depth, height, width = axes
    return (
        depth.spans, height.spans, width.spans, height.kernel, width.kernel,
        depth.dilation, height.dilation, width.dilation,
    )  # fmt: skip


def maxima(x, y, places, axes):
    if places is None:  # what NumPy is fast at
        return False
    depth, height, width = axes
    if depth.is_whole and height.are_pairs and width.are_pairs:
        return maxima_of_four(x[:, 0], y[:, 0], places[:, 0])
    return find_maxima(x, y, places, *_tables(axes))


@loop(lambda t: (t[:, :, ::1], t[:, :, ::1], uint8[:, :, ::1]))
def maxima_of_four(x, y, places):
    for p in range(y.shape[0]):
        for i in range(y.shape[1]):
            above, below = x[p, 2 * i], x[p, 2 * i + 1]
            values, found = y[p, i], places[p, i]
            for j in range(values.size):
                peak, place = above[2 * j], uint8(0)
                v = above[2 * j + 1]
                better = v > peak or v != v
                peak, place = v if better else peak, uint8(1) if better else place
                v = below[2 * j]
                better = v > peak or v != v
                peak, place = v if better else peak, uint8(2) if better else place
                v = below[2 * j + 1]
                better = v > peak or v != v
                values[j] = v if better else peak
                found[j] = uint8(3) if better else place
    return True


@loop(lambda t: (t[:, :, :, ::1], t[:, :, :, ::1], uint8[:, :, :, ::1], *_AXES))
def find_maxima(
    x, y, places, along_d, along_h, along_w, kernel_h, kernel_w, step_d, step_h, step_w
):
    planes, depth, height, width = y.shape
    for p in range(planes):
        for i in range(depth):
            start_d, first_d, last_d = along_d[0, i], along_d[1, i], along_d[2, i]
            for j in range(height):
                start_h, first_h, last_h = along_h[0, j], along_h[1, j], along_h[2, j]
                for k in range(width):
                    start_w, first_w, last_w = along_w[0, k], along_w[1, k], along_w[2, k]
                    place = (first_d * kernel_h + first_h) * kernel_w + first_w
                    peak = x[
                        p,
                        start_d + first_d * step_d,
                        start_h + first_h * step_h,
                        start_w + first_w * step_w,
                    ]
                    for a in range(first_d, last_d):
                        for b in range(first_h, last_h):
                            row = x[p, start_d + a * step_d, start_h + b * step_h]
                            at = (a * kernel_h + b) * kernel_w
                            for c in range(first_w, last_w):
                                v = row[start_w + c * step_w]
                                better = v > peak or v != v
                                peak = v if better else peak
                                place = at + c if better else place
                    y[p, i, j, k], places[p, i, j, k] = peak, place
    return True


def maxima_grad(grad, places, dx, axes):
    return add_to_maxima(grad, places, dx, *_tables(axes))


@loop(lambda t: (t[:, :, :, ::1], uint8[:, :, :, ::1], t[:, :, :, ::1], *_AXES))
def add_to_maxima(
    grad, places, dx, along_d, along_h, along_w, kernel_h, kernel_w, step_d, step_h, step_w
):
    planes, depth, height, width = grad.shape
    rows, columns = dx.shape[2:]
    # How far each place in a window is from the window's start.
    ahead = np.empty(256, np.intp)
    for place in range(256):
        rest, c = divmod(place, kernel_w)
        a, b = divmod(rest, kernel_h)
        ahead[place] = (a * step_d * rows + b * step_h) * columns + c * step_w
    for p in range(planes):
        out = dx[p].reshape(-1)
        out[:] = 0
        for i in range(depth):
            for j in range(height):
                start = (along_d[0, i] * rows + along_h[0, j]) * columns
                values, found = grad[p, i, j], places[p, i, j]
                for k in range(width):
                    out[start + along_w[0, k] + ahead[found[k]]] += values[k]
    return True


def means(x, divisor, y, axes):
    return find_means(x, divisor, y, *_tables(axes))


@loop(lambda t: (t[:, :, :, ::1], t[:, :, ::1], t[:, :, :, ::1], *_AXES))
def find_means(
    x, divisor, y, along_d, along_h, along_w, kernel_h, kernel_w, step_d, step_h, step_w
):
    planes, depth, height, width = y.shape
    total = np.empty(x.shape[3], x.dtype)  # of the rows that the windows of a row have
    for p in range(planes):
        for i in range(depth):
            for j in range(height):
                total[:] = 0
                for a in range(along_d[1, i], along_d[2, i]):
                    for b in range(along_h[1, j], along_h[2, j]):
                        row = x[p, along_d[0, i] + a * step_d, along_h[0, j] + b * step_h]
                        for c in range(total.size):
                            total[c] += row[c]
                for k in range(width):
                    sum_of_all = x.dtype.type(0)
                    for c in range(along_w[1, k], along_w[2, k]):
                        sum_of_all += total[along_w[0, k] + c * step_w]
                    y[p, i, j, k] = sum_of_all / divisor[i, j, k]
    return True


def means_grad(grad, divisor, dx, axes):
    return add_shares(grad, divisor, dx, *_tables(axes))


@loop(lambda t: (t[:, :, :, ::1], t[:, :, ::1], t[:, :, :, ::1], *_AXES))
def add_shares(
    grad, divisor, dx, along_d, along_h, along_w, kernel_h, kernel_w, step_d, step_h, step_w
):
    planes, depth, height, width = grad.shape
    shares = np.empty(dx.shape[3], dx.dtype)
    for p in range(planes):
        dx[p] = 0
        for i in range(depth):
            for j in range(height):
                shares[:] = 0
                for k in range(width):
                    share = grad[p, i, j, k] / divisor[i, j, k]
                    for c in range(along_w[1, k], along_w[2, k]):
                        shares[along_w[0, k] + c * step_w] += share
                for a in range(along_d[1, i], along_d[2, i]):
                    for b in range(along_h[1, j], along_h[2, j]):
                        row = dx[p, along_d[0, i] + a * step_d, along_h[0, j] + b * step_h]
                        for c in range(shares.size):
                            row[c] += shares[c]
    return True
