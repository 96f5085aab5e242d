"""Loops of the optimizer updates."""

# mypy: allow-untyped-defs

import numpy as np
from numba import boolean, float64, none

from npnet.ops.jit import loop

_SGD = (float64, float64, float64, boolean, float64, boolean)
_ADAM = (float64,) * 7


@loop(lambda t: (t[::1], t[::1], none, *_SGD), lambda t: (t[::1], t[::1], t[::1], *_SGD))
def sgd(
    data, grad, velocity, lr, momentum, dampening, nesterov, weight_decay, first
):  # fmt: skip
    if grad.size != data.size or (velocity is not None and velocity.size != data.size):
        return False
    t = data.dtype.type
    lr, momentum, gain, decay = t(lr), t(momentum), t(1 - dampening), t(weight_decay)
    for i in range(data.size):
        d = grad[i] + decay * data[i] if decay != 0 else grad[i]
        if velocity is not None:
            v = velocity[i] = d if first else momentum * velocity[i] + gain * d
            d = d + momentum * v if nesterov else v
        data[i] -= lr * d
    return True


@loop(
    lambda t: (*(t[::1],) * 4, none, *_ADAM),
    lambda t: (*(t[::1],) * 5, *_ADAM),
)
def adam(
    data, grad, mean, square, peak,
    beta1, beta2, rate, gain, eps, keep, weight_decay,
):  # fmt: skip
    if not data.size == grad.size == mean.size == square.size:
        return False
    if peak is not None and peak.size != data.size:
        return False
    t = data.dtype.type
    b1, b2, c1, c2 = t(beta1), t(beta2), t(1 - beta1), t(1 - beta2)
    rate, gain, eps, keep, decay = t(rate), t(gain), t(eps), t(keep), t(weight_decay)
    for i in range(data.size):
        d = grad[i] + decay * data[i] if decay != 0 else grad[i]
        m = mean[i] = mean[i] * b1 + d * c1
        v = square[i] = square[i] * b2 + d * d * c2
        if peak is not None:
            v = peak[i] = max(peak[i], v)
        data[i] = keep * data[i] - (rate * m + gain * d) / (np.sqrt(v) + eps)
    return True
