"""A plain oracle for gradients, independent of npnet's own checker."""

import numpy as np


def central_differences(value, x, step=1e-5):
    """Differentiate value() with respect to x, an array that value reads, by five points."""
    grad = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        h = step * max(1.0, abs(kept)) * 10
        samples = []
        for k in (-2, -1, 1, 2):
            x[index] = kept + k * h
            samples.append(value())
        x[index] = kept
        grad[index] = (samples[0] - 8 * samples[1] + 8 * samples[2] - samples[3]) / (12 * h)
    return grad
