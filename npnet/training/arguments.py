"""What the Trainer's methods are given, checked and turned into feeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.data import DataLoader
from npnet.errors import ArgumentError, DataError
from npnet.training.feed import ArrayFeed, Feed, LoaderFeed, as_arrays, as_samples, split_last
from npnet.typing import Array, ArrayLike

PASS_ROWS = 256  # rows in a pass that does not train, unless somebody says otherwise


def training_feeds(
    x: Any,
    y: ArrayLike | None,
    *,
    epochs: int,
    batch_size: int | None,
    validation_data: Any,
    validation_split: float,
    shuffle: bool | None,
    sample_weight: ArrayLike | None,
    rng: np.random.Generator,
) -> tuple[Feed, Feed | None]:
    """Return what `Trainer.fit` trains on and what it validates on, if anything."""
    if validation_data is not None and validation_split:
        raise ArgumentError("give validation_data or validation_split, not both")
    validation = None
    rows = positive_integer("batch_size", batch_size, 32)
    pass_rows = max(rows, PASS_ROWS)
    if validation_data is not None:
        validation = _validation_feed(validation_data, pass_rows, epochs)
    if y is None:
        _refuse_with_loader(
            x, batch_size=batch_size, shuffle=shuffle, sample_weight=sample_weight,
            validation_split=validation_split or None,
        )  # fmt: skip
        return LoaderFeed(x, epochs), validation
    _refuse_targets_for(x)
    samples = as_samples(x, y, sample_weight)
    if validation_split:
        samples, held_out = split_last(samples, validation_split)
        validation = ArrayFeed(held_out, pass_rows)
    return ArrayFeed(samples, rows, shuffle is None or bool(shuffle), rng), validation


def evaluation_feed(
    x: Any, y: ArrayLike | None, batch_size: int | None, sample_weight: ArrayLike | None
) -> Feed:
    """Return what `Trainer.evaluate` goes through."""
    if y is None:
        _refuse_with_loader(x, batch_size=batch_size, sample_weight=sample_weight)
        return LoaderFeed(x)
    _refuse_targets_for(x)
    rows = positive_integer("batch_size", batch_size, PASS_ROWS)
    return ArrayFeed(as_samples(x, y, sample_weight), rows)


def as_inputs(x: Any) -> tuple[Array, ...]:
    """Check the inputs of a prediction, which may have no rows.

    Parameters
    ----------
    x : array_like, shape (n, ...), or tuple of them

    Returns
    -------
    tuple of ndarray
    """
    if isinstance(x, DataLoader | Iterator):
        raise ArgumentError(f"predict takes the array itself, got a {type(x).__name__}")
    arrays = as_arrays(x)
    lengths = {array.shape[:1] for array in arrays}
    if len(lengths) != 1 or () in lengths:
        shapes = ", ".join(str(array.shape) for array in arrays) or "none"
        raise DataError(f"expected inputs with the same number of rows, got shapes {shapes}")
    return arrays


def positive_integer(name: str, value: int | None, default: int | None = None) -> int:
    """Check an argument that is a positive integer, or None where there is a default.

    Parameters
    ----------
    name : str
    value : int or None
    default : int or None

    Returns
    -------
    int
    """
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ArgumentError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def _validation_feed(data: Any, rows: int, passes: int) -> Feed:
    if not isinstance(data, tuple):
        return LoaderFeed(data, passes)
    if len(data) not in (2, 3):
        raise ArgumentError(
            "validation_data must be (x, y), (x, y, sample_weight) or an iterable of batches, "
            f"got a tuple of {len(data)}"
        )
    x, y, *weight = data
    return ArrayFeed(as_samples(x, y, weight[0] if weight else None), rows)


def _refuse_with_loader(x: Any, **options: Any) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ArgumentError(
            f"{', '.join(given)} cannot be applied to batches that are already made, by a "
            f"{type(x).__name__}; without y, x is an iterable of batches"
        )


def _refuse_targets_for(x: Any) -> None:
    if isinstance(x, DataLoader | Iterator):
        raise ArgumentError(
            f"with y given, x must be an array, got a {type(x).__name__}; "
            "an iterable of batches gives (x, y) pairs and comes alone"
        )
