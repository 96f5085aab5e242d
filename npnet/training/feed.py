"""Feeds, which hand a model's inputs, target and sample weights to the Trainer batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from operator import length_hint
from typing import Any, NamedTuple

import numpy as np

from npnet.convert import real_array
from npnet.data import DataLoader
from npnet.data.arrays import sample_arrays
from npnet.errors import ArgumentError, DataError
from npnet.typing import Array, ArrayLike, Rng


class Batch(NamedTuple):
    """A batch, or a whole set of samples; ``inputs`` has one entry for each input of the model."""

    inputs: tuple[Any, ...]
    target: Any
    weight: Any = None


def as_samples(x: Any, y: ArrayLike, sample_weight: ArrayLike | None) -> Batch:
    """Check arrays that belong together: equal lengths, not empty, real.

    Parameters
    ----------
    x : array_like, shape (n, ...), or tuple of them
    y : array_like, shape (n, ...)
    sample_weight : array_like, shape (n, ...), or None

    Returns
    -------
    Batch
        Of all samples.
    """
    inputs = as_arrays(x)
    weights = () if sample_weight is None else (real_array(sample_weight, "sample_weight"),)
    sample_arrays((*inputs, target := real_array(y, "y"), *weights))
    return Batch(inputs, target, *weights)


def split_last(samples: Batch, fraction: float) -> tuple[Batch, Batch]:
    """Cut the last samples off for validation.

    Parameters
    ----------
    samples : Batch
    fraction : float
        How many, between 0 and 1.

    Returns
    -------
    training, validation : Batch
        Views.

    Raises
    ------
    ArgumentError
        If `fraction` is out of range or leaves a part empty.
    """
    number = isinstance(fraction, int | float | np.number) and not isinstance(fraction, bool)
    if not number or not 0 <= fraction < 1:
        raise ArgumentError(f"validation_split must be at least 0 and below 1, got {fraction!r}")
    count = len(samples.target)
    cut = math.floor(round(count * (1 - fraction), 6))  # 10 * (1 - 0.9) is a little less than 1
    if not 0 < cut < count:
        raise ArgumentError(
            f"validation_split={fraction!r} must leave samples in both parts: {count} would be "
            f"split into {cut} for training and {count - cut} for validation"
        )
    return _rows(samples, slice(cut)), _rows(samples, slice(cut, None))


def _rows(samples: Batch, rows: slice) -> Batch:
    weight = None if samples.weight is None else samples.weight[rows]
    return Batch(tuple(x[rows] for x in samples.inputs), samples.target[rows], weight)


class ArrayFeed:
    """Batches of arrays.

    Parameters
    ----------
    samples : Batch
    batch_size : int
    shuffle : bool
    rng : numpy.random.Generator, int or None
    """

    def __init__(
        self, samples: Batch, batch_size: int, shuffle: bool = False, rng: Rng = None
    ) -> None:
        self._count = len(samples.inputs)
        weights = () if samples.weight is None else (samples.weight,)
        arrays = (*samples.inputs, samples.target, *weights)
        self._loader = DataLoader(arrays, batch_size, shuffle, rng=rng)

    @property
    def batches(self) -> int | None:
        """How many batches an epoch has."""
        return len(self._loader)

    def __iter__(self) -> Iterator[Batch]:
        count = self._count
        for arrays in self._loader:
            yield Batch(arrays[:count], *arrays[count:])


class LoaderFeed:
    """Batches that somebody else makes: (x, y) or (x, y, sample_weight), x a tuple if several.

    Parameters
    ----------
    source : iterable
        A `DataLoader`, a list of batches, or any object that can be looped over.
    passes : int
        How often it will be.

    Raises
    ------
    ArgumentError
        If it cannot be looped over, or not as often.
    """

    def __init__(self, source: Any, passes: int = 1) -> None:
        if isinstance(source, np.ndarray | tuple) or not isinstance(source, Iterable):
            raise ArgumentError(
                "expected arrays x and y, or in place of both a DataLoader or another iterable of "
                f"(x, y) batches; got y=None and x of type {type(source).__name__}"
            )
        if isinstance(source, Iterator) and passes > 1:
            raise ArgumentError(
                f"a {type(source).__name__} can be looped over once, but {passes} epochs were "
                "asked for; pass a DataLoader, a list or an object with __iter__"
            )
        if isinstance(source, list):  # what can be seen at once need not wait for its turn
            _check_batch(source[0] if source else None)
        self._source = source

    @property
    def batches(self) -> int | None:
        """How many batches an epoch has, if the source knows."""
        return length_hint(self._source) or None

    def __iter__(self) -> Iterator[Batch]:
        batch = None
        for batch in self._source:
            _check_batch(batch)
            x, *rest = batch
            yield Batch(x if isinstance(x, tuple) else (x,), *rest)
        if batch is None:
            _check_batch(batch)


Feed = ArrayFeed | LoaderFeed


def _check_batch(batch: Any) -> None:
    if isinstance(batch, tuple | list) and len(batch) in (2, 3):
        return
    if batch is None:
        raise DataError("the data is empty: the iterable gave no batch")
    got = type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
    raise DataError(
        f"expected batches (x, y) or (x, y, sample_weight), got {got}; "
        "arrays are passed as two arguments, or as a tuple for validation"
    )


def as_arrays(x: Any) -> tuple[Array, ...]:
    """Return the model's inputs, one or a tuple of them, as real arrays.

    Parameters
    ----------
    x : array_like, or tuple of them

    Returns
    -------
    tuple of ndarray
    """
    if not isinstance(x, tuple):
        return (real_array(x, "x"),)
    return tuple(real_array(array, f"x[{i}]") for i, array in enumerate(x))
