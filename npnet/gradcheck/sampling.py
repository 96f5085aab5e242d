"""What is drawn at random: upstream gradients, the elements of a sample, other inputs."""

from __future__ import annotations

import math

import numpy as np

from npnet.typing import Array

LOUD = 30.0  # the second upstream gradient is larger, so that clipping in backward shows


def upstream_gradients(size: int, rng: np.random.Generator) -> Array:
    """Draw the gradients that backward is given.

    Random signs and sizes bounded away from zero: ones would hide a transposed sum, a missing
    softmax term or an upstream gradient that is not used at all.

    Parameters
    ----------
    size : int
        Number of elements of all outputs.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (2, size)
    """
    drawn = rng.uniform(0.5, 1.5, (2, size)) * rng.choice([-1.0, 1.0], (2, size))
    drawn[1] *= LOUD
    return np.asarray(drawn)


def sample(size: int, count: int, rng: np.random.Generator) -> Array:
    """Choose positions in a tensor of `size` elements.

    Parameters
    ----------
    size, count : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int, shape (min(size, count),)
        Sorted, without repetition.
    """
    if count >= size:
        return np.arange(size)
    return np.sort(rng.choice(size, count, replace=False))


def detection_probability(size: int, count: int, faulty: int) -> float:
    """Compute how probably a sample meets at least one of the faulty elements.

    Parameters
    ----------
    size : int
        Elements of the tensor.
    count : int
        Elements of the sample.
    faulty : int
        Faulty elements of the tensor.

    Returns
    -------
    float
        1 - C(size - faulty, count) / C(size, count).

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


def nudged(x: Array, share: float, rng: np.random.Generator) -> Array:
    """Change every element by a random share of itself.

    Parameters
    ----------
    x : ndarray
    share : float
        The largest relative change.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape of `x`
    """
    return np.asarray(x * (1 + share * rng.uniform(-1.0, 1.0, x.shape)))
