"""`DataLoader` hands out arrays batch by batch, shuffled anew for every epoch if asked.

A batch is one slice or one indexed read per array; no sample is touched on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.data.arrays import sample_arrays, take_rows
from npnet.errors import ArgumentError
from npnet.random import as_generator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from npnet.typing import Array, ArrayLike, Rng


class DataLoader:
    """Iterate over arrays in batches; every loop over the loader is one epoch.

    Without shuffling a batch is a view of the data: change it in place, and the data changes.
    Memory-mapped arrays (``np.load(path, mmap_mode="r")``) are read batch by batch.

    Parameters
    ----------
    arrays : array_like, shape (n, ...), or tuple of them
        The data, samples along the first axis. A tuple yields tuples, one array yields arrays.
    batch_size : int
        Samples per batch; the last batch of an epoch holds what is left.
    shuffle : bool
        Draw a new order at the start of every epoch.
    drop_last : bool
        Leave out a last batch that is not full.
    rng : numpy.random.Generator, int or None
        Where the orders come from; None is npnet's default generator.

    Attributes
    ----------
    n_samples : int
        Length of the arrays.

    Raises
    ------
    ArgumentError
        If `batch_size` is no positive integer, or `drop_last` would drop everything.
    DataError
        If there is no data, or the lengths differ.
    DtypeError
        If an array holds objects, strings or complex numbers.
    ShapeError
        If an array is a scalar.

    Examples
    --------
    >>> import numpy as np
    >>> x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    >>> loader = DataLoader((x, y), batch_size=2)
    >>> loader
    DataLoader((5, 2) float64, (5,) int64; batch_size=2, shuffle=False, drop_last=False)
    >>> len(loader), loader.n_samples
    (3, 5)
    >>> for x_batch, y_batch in loader:
    ...     print(x_batch.shape, y_batch)
    (2, 2) [0 1]
    (2, 2) [2 3]
    (1, 2) [4]
    """

    def __init__(
        self,
        arrays: ArrayLike | tuple[ArrayLike, ...],
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        rng: Rng = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer):
            raise ArgumentError(
                f"batch_size must be a positive integer, got a {type(batch_size).__name__}; "
                "several arrays are passed as one tuple: DataLoader((x, y), batch_size=32)"
            )
        if batch_size < 1:
            raise ArgumentError(f"batch_size must be a positive integer, got {batch_size}")
        self._in_tuples = isinstance(arrays, tuple)
        self._arrays = sample_arrays(arrays if isinstance(arrays, tuple) else (arrays,))
        self._rng = as_generator(rng)
        self.n_samples = len(self._arrays[0])
        self.batch_size = int(batch_size)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        if self.drop_last and self.n_samples < self.batch_size:
            raise ArgumentError(
                f"drop_last=True leaves no batch: batch_size is {self.batch_size}, "
                f"but there are only {self.n_samples} samples"
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(self.n_samples, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[Any]:
        # The order is drawn here rather than at the first batch, and belongs to this iteration
        # alone: loops may be nested or interleaved.
        order = self._rng.permutation(self.n_samples) if self.shuffle else None
        return self._batches(order)

    def _batches(self, order: Array | None) -> Iterator[Array | tuple[Array, ...]]:
        size = self.batch_size
        for start in range(0, len(self) * size, size):
            if order is None:
                batch = tuple(array[start : start + size] for array in self._arrays)
            else:
                index = order[start : start + size]
                batch = tuple(take_rows(array, index) for array in self._arrays)
            yield batch if self._in_tuples else batch[0]

    def __repr__(self) -> str:
        arrays = ", ".join(f"{array.shape} {array.dtype}" for array in self._arrays)
        return (
            f"DataLoader({arrays}; batch_size={self.batch_size}, "
            f"shuffle={self.shuffle}, drop_last={self.drop_last})"
        )
