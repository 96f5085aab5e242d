"""Loops of the cross-entropy."""

# mypy: allow-untyped-defs

import numpy as np
from numba import float64, intp

from npnet.ops.jit import loop


@loop(lambda t: (t[:, ::1], intp[::1], t[::1], t[:, ::1]))
def below_peak(x, labels, values, out):
    """Write each row minus its largest element, and what that is at the label."""
    rows, classes = x.shape
    for i in range(rows):
        label = labels[i]
        if label < 0 or label >= classes:
            return False
        peak = x[i, 0]
        for j in range(1, classes):
            # a NaN stays
            peak = x[i, j] if x[i, j] > peak or x[i, j] != x[i, j] else peak
        values[i] = x[i, label] - peak
        for j in range(classes):
            out[i, j] = x[i, j] - peak
    return True


@loop(lambda t: (intp[::1], t[::1], t[:, ::1], float64))
def normalize(labels, values, grad, scale):
    """Finish the values, sum them up, and turn exponentials into the gradient."""
    rows, classes = grad.shape
    scale = grad.dtype.type(scale)
    total = 0.0
    for i in range(rows):
        rest = grad[i, 0]
        for j in range(1, classes):
            rest += grad[i, j]
        values[i] = np.log(rest) - values[i]
        total += values[i]
        factor = scale / rest
        for j in range(classes):
            grad[i, j] *= factor
        grad[i, labels[i]] -= scale
    return total


def cross_entropy(x, labels, values, grad, scale):
    if not below_peak(x, labels, values, grad):
        return False, 0.0
    np.exp(grad, grad)  # NumPy's is vectorised, Numba's is not
    return True, normalize(labels, values, grad, scale)
