"""Loops of the activations. The exponentials are NumPy's, which are vectorised."""

# mypy: allow-untyped-defs

import numpy as np
from numba import float64

from npnet.ops.jit import flat, loop


@loop(lambda t: (t[:, ::1], float64, t[:, ::1]), any_shape=True)
def leaky_relu(x, slope, out):
    if x.shape != out.shape or slope == 0:
        return False
    slope = x.dtype.type(slope)
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        out[i] = x[i] if x[i] > 0 else slope * x[i]
    return True


@loop(lambda t: (t[:, ::1], t[:, ::1], float64, t[:, ::1]), any_shape=True)
def leaky_relu_grad(grad, x, slope, out):
    if grad.shape != x.shape or x.shape != out.shape:
        return False
    slope = x.dtype.type(slope)
    grad, x, out = grad.ravel(), x.ravel(), out.ravel()
    for i in range(x.size):
        out[i] = grad[i] if x[i] > 0 else slope * grad[i]
    return True


@loop(lambda t: (t[:, ::1], t[:, ::1], float64, float64, t[:, ::1]), any_shape=True)
def clip_grad(grad, y, low, high, out):
    if grad.shape != y.shape or y.shape != out.shape:
        return False
    low, high = y.dtype.type(low), y.dtype.type(high)
    grad, y, out = grad.ravel(), y.ravel(), out.ravel()
    for i in range(y.size):
        out[i] = 0 if y[i] <= low or y[i] >= high else grad[i]
    return True


@loop(lambda t: (t[:, ::1],) * 2, any_shape=True)
def hardswish(x, out):
    if x.shape != out.shape:
        return False
    sixth, three, six = (x.dtype.type(1 / 6), x.dtype.type(3), x.dtype.type(6))
    zero = x.dtype.type(0)
    x, out = x.ravel(), out.ravel()
    for i in range(x.size):
        z = x[i] + three
        z = zero if z < zero else z
        z = six if z > six else z
        out[i] = z * x[i] * sixth
    return True


@loop(lambda t: (t[:, ::1],) * 3, any_shape=True)
def hardswish_grad(grad, x, out):
    if grad.shape != x.shape or x.shape != out.shape:
        return False
    third, half, three = x.dtype.type(1 / 3), x.dtype.type(0.5), x.dtype.type(3)
    grad, x, out = grad.ravel(), x.ravel(), out.ravel()
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        slope = x[i] * third + half
        slope = zero if x[i] <= -three else slope
        slope = slope if x[i] < three else one
        out[i] = slope * grad[i]
    return True


@loop(lambda t: (t[:, ::1],) * 3, any_shape=True)
def sigmoid_grad(grad, y, out):
    if grad.shape != y.shape or y.shape != out.shape:
        return False
    one = y.dtype.type(1)
    grad, y, out = grad.ravel(), y.ravel(), out.ravel()
    for i in range(y.size):
        out[i] = (one - y[i]) * y[i] * grad[i]
    return True


@loop(lambda t: (t[:, ::1],) * 3, any_shape=True)
def tanh_grad(grad, y, out):
    if grad.shape != y.shape or y.shape != out.shape:
        return False
    one = y.dtype.type(1)
    grad, y, out = grad.ravel(), y.ravel(), out.ravel()
    for i in range(y.size):
        out[i] = (one - y[i] * y[i]) * grad[i]
    return True


@loop(lambda t: (t[::1],) * 2)
def over_one_plus(x, out):
    """Write x / (1 + out) over out."""
    one = x.dtype.type(1)
    for i in range(x.size):
        out[i] = x[i] / (one + out[i])
    return True


@loop(lambda t: (t[::1],) * 3)
def silu_slope(grad, x, out):
    """Write grad times the derivative over out, which holds exp(-x)."""
    one = x.dtype.type(1)
    for i in range(x.size):
        s = one / (one + out[i])
        out[i] = ((one - s) * x[i] + one) * s * grad[i]
    return True


def silu(x, out):
    x, e = flat(x, out)
    np.exp(np.negative(x, out=e), out=e)
    return over_one_plus(x, e)


def silu_grad(grad, x, out):
    grad, x, e = flat(grad, x, out)
    np.exp(np.negative(x, out=e), out=e)
    return silu_slope(grad, x, e)
