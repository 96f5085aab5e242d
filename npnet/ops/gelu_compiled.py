"""Loops of GELU in single precision. The exponentials are NumPy's, which are vectorised."""

# mypy: allow-untyped-defs

import math

import numpy as np
from numba import float64

from npnet.ops.gelu import END, LOGIT
from npnet.ops.jit import flat, loop

DENSITY = 1 / math.sqrt(2 * math.pi)


@loop(lambda t: (t[::1], t[::1], float64, t[::1], t[::1]))
def exponents(x, coefficients, end, logit, bell):
    """Write -x * p(x^2) and -x^2 / 2."""
    t = x.dtype.type
    c = coefficients  # an argument, for the cache does not see that a constant has changed
    c0, c1, c2, c3, c4 = c[0], c[1], c[2], c[3], c[4]
    c5, c6, c7, c8 = c[5], c[6], c[7], c[8]
    end, half = t(end), t(-0.5)
    for i in range(x.size):
        square = x[i] * x[i]
        bell[i] = half * square
        s = end if square > end else square
        p = (((c8 * s + c7) * s + c6) * s + c5) * s + c4
        logit[i] = -((((p * s + c3) * s + c2) * s + c1) * s + c0) * x[i]
    return True


@loop(lambda t: (t[::1],) * 2)
def over_one_plus(x, out):
    """Write x / (1 + out) over out."""
    one = x.dtype.type(1)
    for i in range(x.size):
        out[i] = x[i] / (one + out[i])
    return True


@loop(lambda t: (t[::1],) * 4)
def slope(grad, x, bell, out):
    """Write grad times the derivative over out, which holds exp(-logit); bell is exp(-x^2 / 2)."""
    one, density = x.dtype.type(1), x.dtype.type(DENSITY)
    for i in range(x.size):
        out[i] = (one / (one + out[i]) + density * bell[i] * x[i]) * grad[i]
    return True


def gelu_single(x, out):
    x, e = flat(x, out)
    exponents(x, np.array(LOGIT, x.dtype), END**2, e, np.empty_like(x))
    np.exp(e, out=e)
    return over_one_plus(x, e)


def gelu_single_grad(grad, x, out):
    grad, x, e = flat(grad, x, out)
    bell = np.empty_like(x)
    exponents(x, np.array(LOGIT, x.dtype), END**2, e, bell)
    np.exp(e, out=e)
    np.exp(bell, out=bell)
    return slope(grad, x, bell, e)
