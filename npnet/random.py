"""The random generator that npnet draws from when no other is passed.

Everything random takes ``rng=``; what is not given one uses the generator kept here. NumPy's
global state is never read or changed.
"""

from __future__ import annotations

import numpy as np

from npnet.arguments import shown
from npnet.errors import ArgumentError

_generator: np.random.Generator | None = None  # made on first use: numpy.random loads slowly


def manual_seed(seed: int) -> np.random.Generator:
    """Restart npnet's default generator, so that a script repeats itself exactly.

    The generator object stays the same one; whoever holds it sees the restart.

    Parameters
    ----------
    seed : int
        Any non-negative integer.

    Returns
    -------
    numpy.random.Generator
        The default generator.

    Examples
    --------
    >>> a = manual_seed(0).random()
    >>> a == manual_seed(0).random()
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ArgumentError(f"manual_seed expects a non-negative integer, got {shown(seed)}")
    generator = default_generator()
    generator.bit_generator.state = np.random.default_rng(int(seed)).bit_generator.state
    return generator


def default_generator() -> np.random.Generator:
    """Return npnet's default generator.

    Its state can be saved and put back: ``default_generator().bit_generator.state``.

    Returns
    -------
    numpy.random.Generator

    Examples
    --------
    >>> state = default_generator().bit_generator.state
    >>> a = default_generator().random()
    >>> default_generator().bit_generator.state = state
    >>> a == default_generator().random()
    True
    """
    global _generator
    if _generator is None:
        _generator = np.random.default_rng()
    return _generator


def as_generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    """Turn the argument ``rng`` of npnet's functions into a generator.

    Parameters
    ----------
    rng : numpy.random.Generator, int or None
        A generator is returned as it is, an integer seeds a new one, None is the default one.

    Returns
    -------
    numpy.random.Generator
    """
    if rng is None:
        return default_generator()
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    raise ArgumentError(
        f"rng must be a numpy.random.Generator, a non-negative integer or None, got {shown(rng)}"
    )


def as_seed(rng: np.random.Generator | int | None) -> int:
    """Turn the argument ``rng`` into the seed of a training.

    Parameters
    ----------
    rng : numpy.random.Generator, int or None
        An integer is the seed; from a generator, or the default one, a seed is drawn.

    Returns
    -------
    int
    """
    generator = as_generator(rng)
    return int(rng) if isinstance(rng, int | np.integer) else int(generator.integers(2**63))


def generator_at(seed: int, *place: int) -> np.random.Generator:
    """Return the generator of a place in a training, which depends on seed and place alone.

    A shuffled epoch draws its order from ``generator_at(seed, epoch)``, and what the model draws
    for a batch comes from ``generator_at(seed, epoch, batch)``.

    Parameters
    ----------
    seed : int
    *place : int
        The epoch, from 1, and the batch in it, from 0.

    Returns
    -------
    numpy.random.Generator
        A new one; different places give independent numbers.

    Examples
    --------
    >>> generator_at(0, 3, 7).random() == generator_at(0, 3, 7).random()
    True
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=place))


class LazyGenerator:
    """The generator of a place in a training, made on first use: most models draw nothing.

    Parameters
    ----------
    seed : int
    *place : int
        As for `generator_at`.
    """

    __slots__ = ("_generator", "_place")

    def __init__(self, *place: int) -> None:
        self._place = place
        self._generator: np.random.Generator | None = None

    def __call__(self) -> np.random.Generator:
        """Return the generator, always the same one."""
        if self._generator is None:
            self._generator = generator_at(*self._place)
        return self._generator
