"""Loops of the optimizer updates that use the signs of gradients."""

# mypy: allow-untyped-defs

from numba import float64

from npnet.ops.jit import loop


@loop(lambda t: (*(t[::1],) * 3, *(float64,) * 4))
def lion(data, grad, mean, lr, beta1, beta2, keep):
    if not data.size == grad.size == mean.size:
        return False
    t = data.dtype.type
    b1, c1, b2, c2 = t(beta1), t(1 - beta1), t(beta2), t(1 - beta2)
    lr, keep = t(lr), t(keep)
    for i in range(data.size):
        g, m = grad[i], mean[i]
        d = b1 * m + c1 * g
        mean[i] = b2 * m + c2 * g
        step = lr if d > 0 else (-lr if d < 0 else d * 0)
        data[i] = keep * data[i] - step
    return True


@loop(lambda t: (*(t[::1],) * 4, *(float64,) * 4))
def rprop(data, grad, before, size, minus, plus, least, most):
    if not data.size == grad.size == before.size == size.size:
        return False
    t = data.dtype.type
    minus, plus, least, most = t(minus), t(plus), t(least), t(most)
    one, zero = t(1), t(0)
    for i in range(data.size):
        g = grad[i]
        product = g * before[i]
        s = size[i] * (plus if product > zero else (minus if product < zero else one))
        s = least if s < least else (most if s > most else s)
        g = zero if product < zero else g
        size[i], before[i] = s, g
        data[i] -= s if g > zero else (-s if g < zero else zero)
    return True


@loop(lambda t: (*(t[::1],) * 3, *(float64,) * 4))
def asgd(data, grad, average, lr, share, keep, weight_decay):
    if not data.size == grad.size == average.size:
        return False
    t = data.dtype.type
    lr, share, keep, decay = t(lr), t(share), t(keep), t(weight_decay)
    whole = share == t(1)
    for i in range(data.size):
        d = grad[i] + decay * data[i] if decay != 0 else grad[i]
        x = data[i] = keep * data[i] - lr * d
        average[i] = x if whole else average[i] + share * (x - average[i])
    return True
