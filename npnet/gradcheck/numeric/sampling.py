"""Samples of a tensor's elements, and how probably one meets a fault."""

from __future__ import annotations

import math

import numpy as np

from npnet.typing import Array


def sample(size: int, count: int, rng: np.random.Generator) -> Array:
    """Choose `count` positions in a tensor of `size` elements; sorted, without repetition."""
    if count >= size:
        return np.arange(size)
    return np.sort(rng.choice(size, count, replace=False))


def detection_probability(size: int, count: int, faulty: int) -> float:
    """Compute how probably a sample of `count` of `size` meets one of the faulty elements.

    That is 1 - C(size - faulty, count) / C(size, count).

    Examples
    --------
    >>> detection_probability(100, 10, 100)
    1.0
    >>> round(detection_probability(1000, 100, 10), 3)
    0.653
    """
    count = min(count, size)
    if faulty == 0 or size == 0:
        return 0.0
    if count > size - faulty:
        return 1.0
    missed = (
        math.lgamma(size - faulty + 1)
        - math.lgamma(size - faulty - count + 1)
        + math.lgamma(size - count + 1)
        - math.lgamma(size + 1)
    )
    return -math.expm1(missed)
