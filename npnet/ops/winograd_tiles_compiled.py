"""Loops of the tiles' transforms, vectorised over channels."""

# mypy: allow-untyped-defs, allow-untyped-calls

import numpy as np
from numba import intp, types
from numba.extending import register_jitable

from npnet.ops.jit import loop
from npnet.ops.layout_compiled import channels_first, channels_last

_PAIR = types.UniTuple(intp, 2)


@register_jitable
def _input(t, a0, a1, a2, a3, a4, a5):
    """Return B^T a."""
    two, four, five = t(2), t(4), t(5)
    u, v, s, r = a4 - four * a2, a3 - four * a1, a4 - a2, two * (a3 - a1)
    return four * a0 - five * a2 + a4, u + v, u - v, s + r, s - r, four * a1 - five * a3 + a5


@register_jitable
def _input_grad(t, a0, a1, a2, a3, a4, a5):
    """Return B a."""
    two, four, five = t(2), t(4), t(5)
    s, m, p, r = a1 + a2, a1 - a2, a3 + a4, two * (a3 - a4)
    return (
        four * a0,
        four * (a5 - m) - r,
        -five * a0 - four * s - p,
        m + r - five * a5,
        a0 + s + p,
        a5,
    )


@register_jitable
def _output(t, a0, a1, a2, a3, a4, a5):
    """Return A^T a."""
    two, four, eight = t(2), t(4), t(8)
    s, d, p, m = a1 + a2, a1 - a2, a3 + a4, a3 - a4
    return a0 + s + p, d + two * m, s + four * p, d + eight * m + a5


@register_jitable
def _output_pair(t, a0, a1, a2, a3, a4, a5):
    """Return A^T a for two outputs."""
    return a0 + (a1 + a2) + (a3 + a4), (a1 - a2) + t(2) * (a3 - a4) + a5


@register_jitable
def _output_grad(t, a0, a1, a2, a3):
    """Return A a."""
    two, four, eight = t(2), t(4), t(8)
    s, d, p, m = a0 + a2, a1 + a3, a0 + four * a2, two * a1 + eight * a3
    return a0, s + d, s - d, p + m, p - m, a3


@register_jitable
def _output_pair_grad(t, a0, a1):
    """Return A a for two outputs."""
    b = t(2) * a1
    return a0, a0 + a1, a0 - a1, a0 + b, a0 - b, a1


@loop(lambda t: (t[:, :, :, ::1], _PAIR, intp, t[:, :, :, :, ::1]))
def input_tiles(x, padding, step, out):
    t = x.dtype.type
    _, n, rows, columns, c = out.shape
    image = np.zeros((step * rows + 6 - step, step * columns + 6 - step, c), x.dtype)
    e = np.empty((6, 6, c), x.dtype)
    for b in range(n):
        channels_last(x[b], image, padding[0], padding[1])
        for row in range(rows):
            for column in range(columns):
                h, w = step * row, step * column
                for i in range(6):
                    for k in range(c):
                        e[i, 0, k], e[i, 1, k], e[i, 2, k], e[i, 3, k], e[i, 4, k], e[i, 5, k] = (
                            _input(
                                t,
                                image[h + i, w, k],
                                image[h + i, w + 1, k],
                                image[h + i, w + 2, k],
                                image[h + i, w + 3, k],
                                image[h + i, w + 4, k],
                                image[h + i, w + 5, k],
                            )
                        )
                for j in range(6):
                    for k in range(c):
                        (
                            out[j, b, row, column, k],
                            out[6 + j, b, row, column, k],
                            out[12 + j, b, row, column, k],
                            out[18 + j, b, row, column, k],
                            out[24 + j, b, row, column, k],
                            out[30 + j, b, row, column, k],
                        ) = _input(
                            t,
                            e[0, j, k],
                            e[1, j, k],
                            e[2, j, k],
                            e[3, j, k],
                            e[4, j, k],
                            e[5, j, k],
                        )
    return True


@loop(lambda t: (t[:, :, :, :, ::1], _PAIR, intp, t[:, :, :, ::1]))
def input_tiles_grad(grad, padding, step, out):
    t = grad.dtype.type
    _, n, rows, columns, c = grad.shape
    image = np.empty((step * rows + 6 - step, step * columns + 6 - step, c), grad.dtype)
    e = np.empty((6, 6, c), grad.dtype)
    for b in range(n):
        image[...] = 0
        for row in range(rows):
            for column in range(columns):
                h, w = step * row, step * column
                for j in range(6):
                    for k in range(c):
                        e[0, j, k], e[1, j, k], e[2, j, k], e[3, j, k], e[4, j, k], e[5, j, k] = (
                            _input_grad(
                                t,
                                grad[j, b, row, column, k],
                                grad[6 + j, b, row, column, k],
                                grad[12 + j, b, row, column, k],
                                grad[18 + j, b, row, column, k],
                                grad[24 + j, b, row, column, k],
                                grad[30 + j, b, row, column, k],
                            )
                        )
                for i in range(6):
                    for k in range(c):
                        a0, a1, a2, a3, a4, a5 = _input_grad(
                            t,
                            e[i, 0, k],
                            e[i, 1, k],
                            e[i, 2, k],
                            e[i, 3, k],
                            e[i, 4, k],
                            e[i, 5, k],
                        )
                        image[h + i, w, k] += a0
                        image[h + i, w + 1, k] += a1
                        image[h + i, w + 2, k] += a2
                        image[h + i, w + 3, k] += a3
                        image[h + i, w + 4, k] += a4
                        image[h + i, w + 5, k] += a5
        channels_first(image, out[b], padding[0], padding[1], False)
    return True


@loop(lambda t: (t[:, :, :, :, ::1], intp, t[:, :, :, ::1]))
def from_output_tiles(tiles, step, out):
    t = tiles.dtype.type
    _, n, rows, columns, c = tiles.shape
    image = np.empty((step * rows, step * columns, c), tiles.dtype)
    e = np.empty((4, 6, c), tiles.dtype)
    for b in range(n):
        for row in range(rows):
            for column in range(columns):
                h, w = step * row, step * column
                if step == 2:
                    for j in range(6):
                        for k in range(c):
                            e[0, j, k], e[1, j, k] = _output_pair(
                                t,
                                tiles[j, b, row, column, k],
                                tiles[6 + j, b, row, column, k],
                                tiles[12 + j, b, row, column, k],
                                tiles[18 + j, b, row, column, k],
                                tiles[24 + j, b, row, column, k],
                                tiles[30 + j, b, row, column, k],
                            )
                    for i in range(2):
                        for k in range(c):
                            image[h + i, w, k], image[h + i, w + 1, k] = _output_pair(
                                t,
                                e[i, 0, k],
                                e[i, 1, k],
                                e[i, 2, k],
                                e[i, 3, k],
                                e[i, 4, k],
                                e[i, 5, k],
                            )
                    continue
                for j in range(6):
                    for k in range(c):
                        e[0, j, k], e[1, j, k], e[2, j, k], e[3, j, k] = _output(
                            t,
                            tiles[j, b, row, column, k],
                            tiles[6 + j, b, row, column, k],
                            tiles[12 + j, b, row, column, k],
                            tiles[18 + j, b, row, column, k],
                            tiles[24 + j, b, row, column, k],
                            tiles[30 + j, b, row, column, k],
                        )
                for i in range(4):
                    for k in range(c):
                        (
                            image[h + i, w, k],
                            image[h + i, w + 1, k],
                            image[h + i, w + 2, k],
                            image[h + i, w + 3, k],
                        ) = _output(
                            t,
                            e[i, 0, k],
                            e[i, 1, k],
                            e[i, 2, k],
                            e[i, 3, k],
                            e[i, 4, k],
                            e[i, 5, k],
                        )
        channels_first(image, out[b], 0, 0, False)
    return True


@loop(lambda t: (t[:, :, :, ::1], intp, t[:, :, :, :, ::1]))
def from_output_tiles_grad(grad, step, out):
    t = grad.dtype.type
    _, n, rows, columns, c = out.shape
    image = np.zeros((step * rows, step * columns, c), grad.dtype)
    e = np.empty((4, 6, c), grad.dtype)
    for b in range(n):
        channels_last(grad[b], image, 0, 0)
        for row in range(rows):
            for column in range(columns):
                h, w = step * row, step * column
                if step == 2:
                    for i in range(2):
                        for k in range(c):
                            (
                                e[i, 0, k],
                                e[i, 1, k],
                                e[i, 2, k],
                                e[i, 3, k],
                                e[i, 4, k],
                                e[i, 5, k],
                            ) = _output_pair_grad(t, image[h + i, w, k], image[h + i, w + 1, k])
                    for j in range(6):
                        for k in range(c):
                            (
                                out[j, b, row, column, k],
                                out[6 + j, b, row, column, k],
                                out[12 + j, b, row, column, k],
                                out[18 + j, b, row, column, k],
                                out[24 + j, b, row, column, k],
                                out[30 + j, b, row, column, k],
                            ) = _output_pair_grad(t, e[0, j, k], e[1, j, k])
                    continue
                for i in range(4):
                    for k in range(c):
                        e[i, 0, k], e[i, 1, k], e[i, 2, k], e[i, 3, k], e[i, 4, k], e[i, 5, k] = (
                            _output_grad(
                                t,
                                image[h + i, w, k],
                                image[h + i, w + 1, k],
                                image[h + i, w + 2, k],
                                image[h + i, w + 3, k],
                            )
                        )
                for j in range(6):
                    for k in range(c):
                        (
                            out[j, b, row, column, k],
                            out[6 + j, b, row, column, k],
                            out[12 + j, b, row, column, k],
                            out[18 + j, b, row, column, k],
                            out[24 + j, b, row, column, k],
                            out[30 + j, b, row, column, k],
                        ) = _output_grad(t, e[0, j, k], e[1, j, k], e[2, j, k], e[3, j, k])
    return True
