"""The loop of resampling along the middle one of three axes."""

# mypy: allow-untyped-defs

from numba import intp

from npnet.ops.jit import loop


@loop(lambda t: (t[:, :, ::1], intp[:, ::1], t[:, ::1], t[:, :, ::1]))
def gather(x, source, weight, out):
    rows, m, width = out.shape
    if x.shape[0] != rows or x.shape[2] != width or weight.shape != source.shape:
        return False
    if source.shape[0] != m:
        return False
    taps = source.shape[1]
    if width == 1:
        for a in range(rows):
            for i in range(m):
                total = weight[i, 0] * x[a, source[i, 0], 0]
                for t in range(1, taps):
                    total += weight[i, t] * x[a, source[i, t], 0]
                out[a, i, 0] = total
        return True
    for a in range(rows):
        for i in range(m):
            first, factor = source[i, 0], weight[i, 0]
            for b in range(width):
                out[a, i, b] = factor * x[a, first, b]
            for t in range(1, taps):
                other, factor = source[i, t], weight[i, t]
                for b in range(width):
                    out[a, i, b] += factor * x[a, other, b]
    return True
