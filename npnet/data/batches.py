"""What users pass to the `Trainer` as data, checked once and turned into batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from operator import length_hint
from typing import Any, NamedTuple

from npnet.arguments import flag, real_number, refusal, whole_number
from npnet.convert import is_sparse, refuse_recorded
from npnet.data.arrays import holds_arrays, row_batches, sample_array, sample_arrays, written
from npnet.data.loader import DataLoader
from npnet.errors import ArgumentError, DataError
from npnet.random import generator_at
from npnet.typing import Array, ArrayLike

PASS_ROWS = 256
"""Rows in a pass that does not train, unless somebody says otherwise."""

_TUPLE = "one tuple, fit((a, b), y)"


class Batch(NamedTuple):
    """One batch; ``inputs`` has one entry for each input, ``target`` is a tuple if several."""

    inputs: tuple[Any, ...]
    target: Any
    weight: Any = None


class BatchSource:
    """Batches to train or to evaluate on, epoch by epoch."""

    steps_per_epoch: int | None  # None if it is not known

    def epoch(self, number: int) -> Iterator[Batch]:
        """Iterate over the batches of an epoch, counted from 1."""
        raise NotImplementedError

    def named_arrays(self) -> dict[str, Array]:
        """Return the data as a whole: "x" or "x[0]", "x[1]", ..., "y" likewise, "sample_weight".

        Nothing for batches that somebody else makes.
        """
        return {}


class ArraySource(BatchSource):
    """Batches of arrays, in an order drawn for each epoch if there is a seed."""

    def __init__(self, arrays: dict[str, Array], batch_size: int, seed: int | None = None) -> None:
        self._count = next(iter(arrays.values())).shape[0]
        self._steps = range(-(-self._count // batch_size))
        self.steps_per_epoch = len(self._steps)
        self._arrays = arrays
        self._batch_size = batch_size
        self._seed = seed

    def epoch(self, number: int) -> Iterator[Batch]:
        """Iterate over slices, or over rows in the order of this epoch."""
        arrays, several = self._arrays, "y" not in self._arrays
        inputs = sum(name.startswith("x") for name in arrays)
        targets = inputs + sum(name.startswith("y") for name in arrays)
        order = None
        if self._seed is not None:
            order = generator_at(self._seed, number).permutation(self._count)
        for rows in row_batches(list(arrays.values()), self._batch_size, self._steps, order):
            target = rows[inputs:targets] if several else rows[inputs]
            yield Batch(rows[:inputs], target, *rows[targets:])

    def named_arrays(self) -> dict[str, Array]:
        """Return all of them."""
        return dict(self._arrays)


class LoaderSource(BatchSource):
    """Batches that somebody else makes: (x, y) or (x, y, sample_weight), x a tuple if several."""

    def __init__(self, loader: Any, epochs: int = 1) -> None:
        plain = isinstance(loader, tuple | str | bytes | dict) or _is_array(loader)
        if plain or not isinstance(loader, Iterable):
            raise ArgumentError(
                "expected arrays x and y, or in place of both a DataLoader or another iterable of "
                f"(x, y) batches; got y=None and x of type {type(loader).__name__}"
            )
        if isinstance(loader, Iterator) and epochs > 1:
            raise ArgumentError(
                f"a {type(loader).__name__} can be looped over once, but {epochs} epochs were "
                "asked for; pass a DataLoader, a list or an object with __iter__"
            )
        if isinstance(loader, list):  # what can be seen at once need not wait for its turn
            _as_batch(loader[0] if loader else None)
        self.steps_per_epoch = length_hint(loader) or None
        self._loader = loader

    def epoch(self, number: int) -> Iterator[Batch]:
        """Loop over the loader; of a `DataLoader` ask for the epoch of this number."""
        loader = self._loader
        if isinstance(loader, DataLoader) and type(loader).__iter__ is DataLoader.__iter__:
            loader = loader.epoch(number)
        batch = None
        for batch in loader:
            yield _as_batch(batch)
        if batch is None:
            _as_batch(batch)


def _as_batch(batch: Any) -> Batch:
    if isinstance(batch, tuple | list) and len(batch) in (2, 3):
        x, *rest = batch
        if isinstance(x, list) and holds_arrays(x):
            raise DataError(
                "x of a batch is a list of arrays; several inputs are one tuple: ((a, b), y)"
            )
        return Batch(x if isinstance(x, tuple) else (x,), *rest)
    if batch is None:
        raise DataError("the data is empty: the iterable gave no batch")
    got = type(batch).__name__ + (f" of {len(batch)}" if isinstance(batch, tuple | list) else "")
    raise DataError(
        f"expected batches (x, y) or (x, y, sample_weight), got {got}; "
        "arrays are passed as two arguments, or as a tuple for validation"
    )


# --- the arguments of the Trainer's methods


def training_sources(
    x: Any,
    y: ArrayLike | None,
    *,
    epochs: int,
    batch_size: int | None,
    validation_data: Any,
    validation_split: float,
    shuffle: bool | None,
    sample_weight: ArrayLike | None,
    seed: int,
) -> tuple[BatchSource, BatchSource | None]:
    """Return what `Trainer.fit` trains on, and what it validates on, if anything."""
    rows = _batch_size("fit", batch_size, 32)
    fraction = _fraction(validation_split)
    shuffled = shuffle is None or flag("fit", "shuffle", shuffle)
    if validation_data is not None and fraction:
        raise ArgumentError("give validation_data or validation_split, not both")
    validation: BatchSource | None = None
    if validation_data is not None:
        validation = _validation_source(validation_data, max(rows, PASS_ROWS), epochs)
    if y is None:
        source = LoaderSource(x, epochs)
        _refuse_options(
            x, batch_size=batch_size, shuffle=shuffle, sample_weight=sample_weight,
            validation_split=fraction or None,
        )  # fmt: skip
        return source, validation
    arrays = _samples("fit", x, y, sample_weight)
    if fraction:
        cut = _cut(next(iter(arrays.values())).shape[0], fraction)
        held_out = {name: array[cut:] for name, array in arrays.items()}
        validation = ArraySource(held_out, max(rows, PASS_ROWS))
        arrays = {name: array[:cut] for name, array in arrays.items()}
    return ArraySource(arrays, rows, seed if shuffled else None), validation


def evaluation_source(
    x: Any, y: ArrayLike | None, batch_size: int | None, sample_weight: ArrayLike | None
) -> BatchSource:
    """Return what `Trainer.evaluate` goes through."""
    rows = _batch_size("evaluate", batch_size, PASS_ROWS)
    if y is not None:
        return ArraySource(_samples("evaluate", x, y, sample_weight), rows)
    source = LoaderSource(x)
    _refuse_options(x, batch_size=batch_size, sample_weight=sample_weight)
    return source


def input_batches(x: Any, batch_size: int | None) -> list[tuple[Array, ...]]:
    """Return the batches of `Trainer.predict`: views of the inputs, one batch at least."""
    rows = _batch_size("predict", batch_size, PASS_ROWS)
    if _is_loader(x):
        raise ArgumentError(
            f"predict takes the array itself, got a {type(x).__name__}; loop over it: "
            "[model(xb) for xb, yb in loader]"
        )
    how = "one tuple, predict((a, b))"
    arrays = {name: sample_array(array, name, how) for name, array in _inputs(x).items()}
    lengths = {array.shape[:1] for array in arrays.values()}
    if len(lengths) != 1 or () in lengths:
        shapes = ", ".join(str(array.shape) for array in arrays.values()) or "none"
        raise DataError(f"expected inputs with the same number of rows, got shapes {shapes}")
    steps = range(max(-(-lengths.pop()[0] // rows), 1))
    return list(row_batches(tuple(arrays.values()), rows, steps))


def _inputs(x: Any) -> dict[str, Any]:
    refuse_recorded(x, "x")
    return {f"x[{i}]": a for i, a in enumerate(x)} if isinstance(x, tuple) else {"x": x}


def _targets(y: Any) -> dict[str, Any]:
    """Name the targets: a tuple of arrays has one for each, an empty one none."""
    several = isinstance(y, tuple) and all(getattr(one, "ndim", 0) for one in y)
    return {f"y[{i}]": one for i, one in enumerate(y)} if several else {"y": y}


def _samples(owner: str, x: Any, y: Any, sample_weight: Any) -> dict[str, Array]:
    if _is_loader(x):
        raise ArgumentError(
            f"with y given, x must be an array, got a {type(x).__name__}; an iterable of batches "
            f"gives (x, y) pairs and comes alone: {owner}(loader)"
        )
    arrays = {**_inputs(x), **_targets(y)}
    if sample_weight is not None:
        arrays["sample_weight"] = sample_weight
    return sample_arrays(arrays, _TUPLE)


def _is_array(x: Any) -> bool:
    return hasattr(x, "__array__") or is_sparse(x)


def _is_loader(x: Any) -> bool:
    loops = isinstance(x, Iterable) and not _is_array(x)
    return isinstance(x, Iterator) or (loops and hasattr(x, "batch_size"))


def _validation_source(data: Any, rows: int, epochs: int) -> BatchSource:
    if isinstance(data, list) and holds_arrays(data):
        raise ArgumentError("validation_data is a list of arrays; make it a tuple: (x, y)")
    if not isinstance(data, tuple):
        return LoaderSource(data, epochs)
    if len(data) not in (2, 3):
        raise ArgumentError(
            "validation_data must be (x, y), (x, y, sample_weight) or an iterable of batches, "
            f"got a tuple of {len(data)}"
        )
    return ArraySource(_samples("fit", data[0], data[1], data[2] if data[2:] else None), rows)


def _batch_size(owner: str, value: int | None, default: int) -> int:
    return default if value is None else whole_number(owner, "batch_size", value, 1)


def _fraction(value: Any) -> float:
    """Check `validation_split`."""
    if isinstance(value, int | float) and 1 < value < 100:
        hint = f"{value:g} percent is {value / 100:g}"
        raise refusal("fit", "validation_split", "a fraction below 1", value, hint)
    real_number("fit", "validation_split", value, 0, below=1)
    return written(value)


def _cut(count: int, fraction: float) -> int:
    """Return where the last samples begin, which are held out."""
    cut = math.floor(round(count * (1 - fraction), 6))  # 10 * (1 - 0.9) is a little less than 1
    if not 0 < cut < count:
        raise ArgumentError(
            f"validation_split={fraction!r} must leave samples in both parts: {count} would be "
            f"split into {cut} for training and {count - cut} for validation"
        )
    return cut


def _refuse_options(x: Any, **options: Any) -> None:
    """Raise if options for arrays come with an iterable of batches."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ArgumentError(
            f"{', '.join(given)} cannot be applied to batches that are already made, by a "
            f"{type(x).__name__}; without y, x is an iterable of batches"
        )
