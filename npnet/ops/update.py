"""Optimizer updates of flat vectors, in blocks that stay in the processor's cache.

All arguments are 1-D and contiguous; `data` and the state vectors change in place, `grad` does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npnet.ops.kernels import kernel
from npnet.typing import Array

BLOCK = 32768
"""Elements that all passes of an update work on before the next ones."""


def blocks(vectors: Sequence[Array | None], scratch: int) -> Iterator[list[Any]]:
    """Cut vectors of one size into blocks, each with some scratch vectors behind it.

    A vector that is None stays None in all blocks.
    """
    size, dtype = vectors[0].size, vectors[0].dtype  # type: ignore[union-attr]
    length = min(size, BLOCK)
    room = [np.empty(length, dtype) for _ in range(scratch)]
    if size == length:
        yield [*vectors, *room]
        return
    for start in range(0, size, BLOCK):
        cut = slice(start, start + BLOCK)
        parts = [None if vector is None else vector[cut] for vector in vectors]
        yield [*parts, *(each[: size - start] for each in room)]


def numbers(data: Array, *values: float) -> list[Array]:
    """Return numbers as arrays of no axes: NumPy is slow to convert Python's."""
    made = np.array(values, data.dtype)
    return [made[i, ...] for i in range(len(values))]


def decayed(x: Array, g: Array, weight_decay: float, out: Array) -> Array:
    """Return a gradient with that of the L2 penalty."""
    if not weight_decay:
        return g
    np.multiply(x, weight_decay, out=out)
    out += g
    return out


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
    for x, g, v, t, u in blocks((data, grad, velocity), 2):
        g = decayed(x, g, weight_decay, u)
        if v is not None:
            if first:
                v[...] = g
            else:
                v *= momentum
                v += g if dampening == 0 else g * (1 - dampening)
            g = np.add(g, np.multiply(v, momentum, out=t), out=t) if nesterov else v
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
    beta1: float,
    beta2: float,
    rate: float,
    gain: float,
    eps: float,
    keep: float,
    weight_decay: float,
) -> None:
    """Renew both moments and step: x <- keep x - (rate m + gain g) / (sqrt(v) + eps).

    The optimizers have their corrections for the first steps in the numbers; v is the largest so
    far if there is a `peak`.
    """
    ratio = rate / gain if gain else 0.0
    b1, c1, b2, c2, eps0, ratio0, last = numbers(
        data, beta1, 1 - beta1, beta2, 1 - beta2, eps, ratio, gain or rate
    )
    for x, g, m, v, largest, t, u in blocks((data, grad, mean, square, peak), 2):
        g = decayed(x, g, weight_decay, u)
        if keep != 1:
            x *= keep
        m *= b1
        m += np.multiply(g, c1, t)
        v *= b2
        np.multiply(g, g, t)
        t *= c2
        v += t
        if largest is not None:
            v = np.maximum(largest, v, out=largest)
        np.sqrt(v, t)
        t += eps0
        if gain:
            np.divide(g, t, out=u)
            np.divide(m, t, out=t)
            t *= ratio0
            t += u
        else:
            np.divide(m, t, t)
        t *= last
        x -= t
