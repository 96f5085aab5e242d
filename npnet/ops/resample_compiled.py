"""Loops of resampling along the middle one of three axes."""

# mypy: allow-untyped-defs

from numba import intp

from npnet.ops.jit import loop


@loop(lambda t: (t[:, :, ::1], intp[:, ::1], t[:, ::1], t[:, :, ::1]))
def gather(x, index, weight, out):
    if x.shape[0] != out.shape[0] or x.shape[2] != out.shape[2] or len(index) != out.shape[1]:
        return False
    taps = index.shape[1]
    for a in range(x.shape[0]):
        for i in range(len(index)):
            for b in range(x.shape[2]):
                out[a, i, b] = weight[i, 0] * x[a, index[i, 0], b]
            for t in range(1, taps):
                for b in range(x.shape[2]):
                    out[a, i, b] += weight[i, t] * x[a, index[i, t], b]
    return True


@loop(lambda t: (t[:, :, ::1], intp[:, ::1], t[:, ::1], t[:, :, ::1]))
def scatter(grad, index, weight, out):
    if (
        grad.shape[0] != out.shape[0]
        or grad.shape[2] != out.shape[2]
        or len(index) != grad.shape[1]
    ):
        return False
    for a in range(grad.shape[0]):
        for i in range(len(index)):
            for t in range(index.shape[1]):
                for b in range(grad.shape[2]):
                    out[a, index[i, t], b] += weight[i, t] * grad[a, i, b]
    return True
