"""Optimizer updates of flat vectors, in blocks that stay in the processor's cache.

All arguments are 1-D and contiguous; `data` and the state vectors change in place, `grad` does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from npnet.ops.kernels import kernel
from npnet.typing import Array

BLOCK = 65536
"""Elements that all passes of an update work on before the next ones."""


def _blocks(*vectors: Array) -> Iterable[tuple[Array, ...]]:
    """Cut vectors of one size into blocks; small ones come whole."""
    size = vectors[0].size
    if size <= BLOCK:
        return (vectors,)
    cuts = (slice(start, start + BLOCK) for start in range(0, size, BLOCK))
    return (tuple(vector[cut] for vector in vectors) for cut in cuts)


@kernel
def sgd(
    data: Array,
    grad: Array,
    velocity: Array | None,
    *,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
    weight_decay: float,
    first: bool,
) -> None:
    """Do one step of gradient descent, see `npnet.optim.SGD` for the formula."""
    first_scratch = np.empty(min(BLOCK, data.size), data.dtype)
    second_scratch = np.empty_like(first_scratch) if weight_decay else first_scratch
    for x, g, *rest in _blocks(data, grad, *([] if velocity is None else [velocity])):
        t, u = first_scratch[: x.size], second_scratch[: x.size]
        if weight_decay:
            np.multiply(x, weight_decay, out=t)
            g = np.add(t, g, out=u)
        for v in rest:  # the velocity, if there is one
            if first:
                v[...] = g
            else:
                v *= momentum
                v += g if dampening == 0 else g * (1 - dampening)
            g = np.add(g, np.multiply(v, momentum), out=t) if nesterov else v
        np.multiply(g, lr, out=t)
        x -= t


@kernel
def adam(
    data: Array,
    grad: Array,
    mean: Array,
    square: Array,
    peak: Array | None,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
) -> None:
    """Do one step of Adam, see `npnet.optim.Adam` for the formula; `step` counts from 1."""
    beta1, beta2, eps, weight_decay = map(float, (beta1, beta2, eps, weight_decay))
    root = math.sqrt(1 - beta2**step)
    step_size = lr * root / (1 - beta1**step)
    # Arrays of no axes, for NumPy is slow to convert a Python number.
    numbers = np.array((beta1, 1 - beta1, beta2, 1 - beta2, eps * root, step_size), data.dtype)
    b1, c1, b2, c2, eps_root, rate = (numbers[i, ...] for i in range(6))
    first_scratch = np.empty(min(BLOCK, data.size), data.dtype)
    changed = weight_decay and not decoupled
    second_scratch = np.empty_like(first_scratch) if changed else first_scratch
    for x, g, m, v, *rest in _blocks(data, grad, mean, square, *([] if peak is None else [peak])):
        t, u = first_scratch[: x.size], second_scratch[: x.size]
        if weight_decay and decoupled:
            x *= 1 - lr * weight_decay
        elif weight_decay:
            np.multiply(x, weight_decay, out=t)
            g = np.add(t, g, out=u)
        m *= b1
        m += np.multiply(g, c1, t)
        v *= b2
        np.multiply(g, g, t)
        t *= c2
        v += t
        for largest in rest:  # the peak, if there is one
            v = np.maximum(largest, v, out=largest)
        np.sqrt(v, t)
        t += eps_root
        np.divide(m, t, t)
        t *= rate
        x -= t
