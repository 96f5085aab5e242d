"""The random generator that npnet draws from when no other is passed.

Everything random takes ``rng=``; what is not given one uses the generator kept here. NumPy's
global state is never read or changed.
"""

from __future__ import annotations

import numpy as np

from npnet.arguments import refusal, whole_number

_LARGEST_SEED = 2**128 - 1

_generator: np.random.Generator | None = None  # made on first use: numpy.random loads slowly


def manual_seed(seed: int) -> np.random.Generator:
    """Restart npnet's default generator, so that a script repeats itself exactly.

    The generator object stays the same one; whoever holds it sees the restart.

    Parameters
    ----------
    seed : int
        Not negative, of at most 128 bits.

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
    seed = whole_number("manual_seed", "seed", seed, 0, _LARGEST_SEED)
    generator = default_generator()
    generator.bit_generator.state = np.random.default_rng(seed).bit_generator.state
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
    whole = isinstance(rng, int | np.integer) and not isinstance(rng, bool)
    if whole and 0 <= rng <= _LARGEST_SEED:
        return np.random.default_rng(int(rng))
    kind = "a numpy.random.Generator, a non-negative integer or None"
    raise refusal("npnet", "rng", kind, rng, "np.random.default_rng(0) makes a generator")
