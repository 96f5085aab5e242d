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
    whole = isinstance(rng, int | np.integer) and not isinstance(rng, bool | np.timedelta64)
    if whole and 0 <= rng <= _LARGEST_SEED:
        return np.random.default_rng(int(rng))
    kind = "a numpy.random.Generator, a non-negative integer or None"
    raise refusal("npnet", "rng", kind, rng, "np.random.default_rng(0) makes a generator")


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


def generator_at(seed: int, epoch: int, batch: int | None = None) -> np.random.Generator:
    """Return the generator of a place in a training, which depends on seed and place alone.

    The order of a shuffled epoch comes from ``generator_at(seed, epoch)``, and what the model
    draws for a batch from ``generator_at(seed, epoch, batch)``.

    Parameters
    ----------
    seed : int
    epoch : int
        From 1.
    batch : int, optional
        From 0.

    Returns
    -------
    numpy.random.Generator
        A new one; different places give independent numbers.

    Examples
    --------
    >>> generator_at(0, 3, 7).random() == generator_at(0, 3, 7).random()
    True
    """
    if batch is not None:
        batch = whole_number("generator_at", "batch", batch, 0)
        return LazyGenerator(seed, epoch).at(batch)()
    seed = whole_number("generator_at", "seed", seed, 0, _LARGEST_SEED)
    epoch = whole_number("generator_at", "epoch", epoch, 1)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(epoch,))))


_JUMP = 0x9E3779B97F4A7C15F39CC0605CEDC835
"""How far `numpy.random.PCG64.jumped` goes; nobody draws as many numbers."""


class LazyGenerator:
    """The generator of a batch, made when it is first asked for: most models draw nothing.

    One object serves all batches of an epoch, for setting a generator is faster than making one.

    Parameters
    ----------
    seed, epoch : int
        As for `generator_at`.
    """

    __slots__ = ("_batch", "_generator", "_ready", "_start", "epoch", "seed")

    def __init__(self, seed: int, epoch: int) -> None:
        self.seed = seed
        self.epoch = epoch
        self._batch = 0
        self._ready = False
        self._generator: np.random.Generator | None = None

    def at(self, batch: int) -> LazyGenerator:
        """Go to a batch of the epoch.

        Parameters
        ----------
        batch : int
            From 0.

        Returns
        -------
        LazyGenerator
            The object itself.
        """
        self._batch = batch
        self._ready = False
        return self

    def __call__(self) -> np.random.Generator:
        """Return the generator, the same one until the next batch."""
        if self._generator is None:
            self._generator = generator_at(self.seed, self.epoch)
            self._start = self._generator.bit_generator.state
        if not self._ready:
            bits = self._generator.bit_generator
            bits.state = self._start
            bits.advance((self._batch + 1) * _JUMP)  # type: ignore[attr-defined]
            self._ready = True
        return self._generator
