"""Loops of the optimizer updates that divide by what gradients accumulated to."""

# mypy: allow-untyped-defs

import numpy as np
from numba import float64, none

from npnet.ops.jit import loop

_RMSPROP = (float64,) * 6
_ADADELTA = (float64,) * 4
_ADAMAX = (float64,) * 5


@loop(
    lambda t: (*(t[::1],) * 3, none, none, *_RMSPROP),
    lambda t: (*(t[::1],) * 4, none, *_RMSPROP),
    lambda t: (*(t[::1],) * 3, none, t[::1], *_RMSPROP),
    lambda t: (*(t[::1],) * 5, *_RMSPROP),
)
def rmsprop(data, grad, square, mean, velocity, lr, keep, gain, eps, momentum, weight_decay):
    if not data.size == grad.size == square.size:
        return False
    if mean is not None and mean.size != data.size:
        return False
    if velocity is not None and velocity.size != data.size:
        return False
    t = data.dtype.type
    lr, keep, gain, eps = t(lr), t(keep), t(gain), t(eps)
    momentum, decay = t(momentum), t(weight_decay)
    for i in range(data.size):
        d = grad[i] + decay * data[i] if decay != 0 else grad[i]
        s = square[i] = keep * square[i] + gain * d * d
        if mean is not None:
            m = mean[i] = mean[i] + gain * (d - mean[i])
            s -= m * m
            s = t(0) if s < 0 else s
        d /= np.sqrt(s) + eps
        if velocity is not None:
            d = velocity[i] = momentum * velocity[i] + d
        data[i] -= lr * d
    return True


@loop(lambda t: (*(t[::1],) * 4, *_ADADELTA))
def adadelta(data, grad, square, delta, lr, rho, eps, weight_decay):
    if not data.size == grad.size == square.size == delta.size:
        return False
    t = data.dtype.type
    keep, gain, lr, eps, decay = t(rho), t(1 - rho), t(lr), t(eps), t(weight_decay)
    for i in range(data.size):
        d = grad[i] + decay * data[i] if decay != 0 else grad[i]
        s = square[i] = keep * square[i] + gain * d * d
        d *= np.sqrt(delta[i] + eps) / np.sqrt(s + eps)
        delta[i] = keep * delta[i] + gain * d * d
        data[i] -= lr * d
    return True


@loop(lambda t: (*(t[::1],) * 4, *_ADAMAX))
def adamax(data, grad, mean, peak, beta1, beta2, rate, eps, weight_decay):
    if not data.size == grad.size == mean.size == peak.size:
        return False
    t = data.dtype.type
    b1, c1, b2 = t(beta1), t(1 - beta1), t(beta2)
    rate, eps, decay = t(rate), t(eps), t(weight_decay)
    for i in range(data.size):
        d = grad[i] + decay * data[i] if decay != 0 else grad[i]
        m = mean[i] = b1 * mean[i] + c1 * d
        u, v = b2 * peak[i], abs(d) + eps
        u = peak[i] = v if v > u or v != v else u
        data[i] -= rate * (m / u)
    return True
