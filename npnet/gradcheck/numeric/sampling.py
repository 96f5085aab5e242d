"""Samples of a tensor's elements, and how probably one meets a fault."""

from __future__ import annotations

import math

import numpy as np

from npnet.typing import Array


def sample(size: int, count: int, rng: np.random.Generator) -> Array:
    """Choose `count` positions in a tensor of `size` elements; sorted, without repetition."""
    return np.arange(size) if count >= size else np.sort(rng.choice(size, count, replace=False))


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
    missed = math.prod(max(0, size - count - i) / (size - i) for i in range(faulty))
    return 1.0 - missed
