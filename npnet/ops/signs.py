"""Optimizer updates that use the signs of gradients; see `npnet.ops.update`."""

from __future__ import annotations

import numpy as np

from npnet.ops.kernels import kernel
from npnet.ops.update import blocks, decayed, numbers
from npnet.typing import Array


def sign(x: Array, out: Array) -> Array:
    """Compute what `np.sign` does, which is slow where signs cannot be predicted; 0 for NaN."""
    return np.subtract((x > 0).view(np.int8), (x < 0).view(np.int8), out=out)


@kernel
def lion(
    data: Array,
    grad: Array,
    mean: Array,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    keep: float,
) -> None:
    """Do one step of Lion, see `npnet.optim.Lion`; `keep` is what decay leaves of the values."""
    rate0, b1, c1, b2, c2 = numbers(data, lr, beta1, 1 - beta1, beta2, 1 - beta2)
    for x, g, m, t, u in blocks((data, grad, mean), 2):
        np.multiply(m, b1, out=t)
        t += np.multiply(g, c1, out=u)
        m *= b2
        m += np.multiply(g, c2, out=u)
        if keep != 1:
            x *= keep
        sign(t, out=u)
        nan = np.isnan(t)
        if nan.any():
            u[nan] = np.nan
        u *= rate0
        x -= u


@kernel
def rprop(
    data: Array,
    grad: Array,
    before: Array,
    size: Array,
    *,
    minus: float,
    plus: float,
    least: float,
    most: float,
) -> None:
    """Do one step of Rprop, see `npnet.optim.Rprop` for the formula."""
    minus0, plus0, one, zero = numbers(data, minus - 1, plus - 1, 1, 0)
    for x, g, old, s, t, u in blocks((data, grad, before, size), 2):
        np.multiply(g, old, out=t)
        turned = t < zero
        np.multiply(t > zero, plus0, out=t)  # the factor minus 1
        np.multiply(turned, minus0, out=u)
        t += u
        t += one
        s *= t
        np.clip(s, least, most, out=s)
        old[...] = g
        np.putmask(old, turned, 0)
        sign(old, out=t)
        t *= s
        x -= t


@kernel
def asgd(
    data: Array,
    grad: Array,
    average: Array,
    *,
    lr: float,
    share: float,
    keep: float,
    weight_decay: float,
) -> None:
    """Step, x <- keep x - lr g, and move the average by a share of the way to the values."""
    rate0, share0 = numbers(data, lr, share)
    for x, g, a, t in blocks((data, grad, average), 1):
        g = decayed(x, g, weight_decay, t)
        if keep != 1:
            x *= keep
        x -= np.multiply(g, rate0, out=t)
        if share == 1:
            a[...] = x
        else:
            np.subtract(x, a, out=t)
            t *= share0
            a += t
