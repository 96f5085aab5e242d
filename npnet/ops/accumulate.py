"""Optimizer updates that divide by what gradients accumulated to; see `npnet.ops.update`."""

from __future__ import annotations

import numpy as np

from npnet.ops.kernels import kernel
from npnet.ops.update import blocks, decayed, numbers
from npnet.typing import Array


@kernel
def rmsprop(
    data: Array,
    grad: Array,
    square: Array,
    mean: Array | None,
    velocity: Array | None,
    *,
    lr: float,
    keep: float,
    gain: float,
    eps: float,
    momentum: float,
    weight_decay: float,
) -> None:
    """Renew s <- keep s + gain g^2 and step by g / (sqrt(s) + eps).

    With a `mean` of the gradients the root is of s minus its square; with a `velocity` the step is
    that.
    """
    rate0, keep0, gain0, eps0, momentum0 = numbers(data, lr, keep, gain, eps, momentum)
    for x, g, s, m, v, t, u in blocks((data, grad, square, mean, velocity), 2):
        g = decayed(x, g, weight_decay, u)
        np.multiply(g, g, out=t)
        if keep != 1:
            s *= keep0
        if gain != 1:
            t *= gain0
        s += t
        if m is None:
            np.sqrt(s, out=t)
        else:
            np.subtract(g, m, out=t)
            t *= gain0
            m += t
            np.multiply(m, m, out=t)
            np.subtract(s, t, out=t)
            np.maximum(t, 0, out=t)  # below 0 by a rounding
            np.sqrt(t, out=t)
        t += eps0
        np.divide(g, t, out=t)
        if v is not None:
            v *= momentum0
            v += t
            np.multiply(v, rate0, out=t)
        else:
            t *= rate0
        x -= t


@kernel
def adadelta(
    data: Array,
    grad: Array,
    square: Array,
    delta: Array,
    *,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Do one step of Adadelta, see `npnet.optim.Adadelta` for the formula."""
    rate0, keep0, gain0, eps0 = numbers(data, lr, rho, 1 - rho, eps)
    for x, g, s, a, t, u in blocks((data, grad, square, delta), 2):
        g = decayed(x, g, weight_decay, u)
        s *= keep0
        np.multiply(g, g, out=t)
        t *= gain0
        s += t
        np.add(s, eps0, out=t)
        np.sqrt(t, out=t)
        np.divide(g, t, out=u)
        np.add(a, eps0, out=t)
        np.sqrt(t, out=t)
        u *= t
        a *= keep0
        np.multiply(u, u, out=t)
        t *= gain0
        a += t
        u *= rate0
        x -= u


@kernel
def adamax(
    data: Array,
    grad: Array,
    mean: Array,
    peak: Array,
    *,
    beta1: float,
    beta2: float,
    rate: float,
    eps: float,
    weight_decay: float,
) -> None:
    """Do one step of Adamax, see `npnet.optim.Adamax`, its correction being in the rate."""
    b1, c1, b2, rate0, eps0 = numbers(data, beta1, 1 - beta1, beta2, rate, eps)
    for x, g, m, p, t, u in blocks((data, grad, mean, peak), 2):
        g = decayed(x, g, weight_decay, u)
        m *= b1
        m += np.multiply(g, c1, out=t)
        p *= b2
        np.abs(g, out=t)
        t += eps0
        np.maximum(p, t, out=p)
        np.divide(m, p, out=t)
        t *= rate0
        x -= t
