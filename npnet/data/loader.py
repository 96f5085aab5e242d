"""`DataLoader` hands out arrays batch by batch, shuffled anew for every epoch if asked.

A batch is one slice or one indexed read per array; no sample is touched on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from npnet.arguments import flag, refusal, whole_number
from npnet.configured import Configured
from npnet.data.arrays import row_batches, sample_arrays
from npnet.errors import ArgumentError
from npnet.random import as_generator, as_seed, generator_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from npnet.typing import ArrayLike, Rng

_TUPLE = "several arrays are one tuple: DataLoader((x, y), batch_size=32)"
_PLAIN = "batches are slices of arrays in memory; there are no workers to set up"


class DataLoader(Configured):
    """Iterate over arrays in batches; every loop over the loader is one epoch.

    Without shuffling a batch is a view of the data: change it in place, and the data changes.
    Memory-mapped arrays (``np.load(path, mmap_mode="r")``) are read batch by batch.

    The order of a shuffled epoch depends on the seed and the number of the epoch alone. The first
    loop is epoch 1, the second one epoch 2, whether or not the first was finished; loops may be
    nested. `Trainer.fit` asks for the epochs by their numbers in its history.

    Parameters
    ----------
    arrays : array_like or sparse matrix, shape (n, ...), or tuple of them
        The data, samples along the first axis. A tuple yields tuples, one array yields arrays. Of
        a matrix of SciPy's format CSR batches are such matrices.
    batch_size : int
        Samples per batch; the last batch of an epoch holds what is left.
    shuffle : bool
        Draw a new order for every epoch.
    drop_last : bool
        Leave out a last batch that is not full.
    rng : numpy.random.Generator, int or None
        An integer is the seed. From a generator, npnet's default one for None, the seed is drawn
        when the first order is needed.

    Attributes
    ----------
    arrays : ndarray, or tuple of them
    n_samples : int
        Length of the arrays.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind, or `drop_last` would drop everything.
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

    habits: ClassVar[Mapping[str, str]] = {
        "batch_size": _TUPLE, "dataset": "the first argument is called arrays; " + _TUPLE,
        "x": _TUPLE, "y": _TUPLE, "num_workers": _PLAIN, "pin_memory": _PLAIN,
        "persistent_workers": _PLAIN, "prefetch_factor": _PLAIN,
        "seed": "use rng=", "generator": "use rng=", "random_state": "use rng=",
        "set_epoch": "each loop is the next epoch; loader.epoch(number) gives any one",
    }  # fmt: skip

    def __init__(
        self,
        arrays: ArrayLike | tuple[ArrayLike, ...],
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        rng: Rng = None,
    ) -> None:
        if hasattr(batch_size, "__len__"):
            raise refusal(self, "batch_size", "a positive integer", batch_size, _TUPLE)
        self.batch_size = whole_number(self, "batch_size", batch_size, 1)
        self.shuffle = flag(self, "shuffle", shuffle)
        self.drop_last = flag(self, "drop_last", drop_last)
        named: dict[str, Any] = {"arrays": arrays}
        if isinstance(arrays, tuple):
            named = {f"arrays[{i}]": array for i, array in enumerate(arrays)}
        self._arrays = tuple(sample_arrays(named, "one tuple, DataLoader((x, y))").values())
        self.arrays: Any = self._arrays if isinstance(arrays, tuple) else self._arrays[0]
        self.n_samples: int = self._arrays[0].shape[0]
        as_generator(rng)  # checks it
        self._rng = rng
        self._seed: int | None = None
        self._epochs = 0
        if self.drop_last and self.n_samples < self.batch_size:
            raise ArgumentError(
                f"drop_last=True leaves no batch: batch_size is {self.batch_size}, "
                f"but there are only {self.n_samples} samples"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, self._checked_argument(name, value))

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(self.n_samples, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[Any]:
        self._epochs += 1
        return self.epoch(self._epochs)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of any epoch; loops over the loader are not affected.

        Parameters
        ----------
        number : int
            The epoch, from 1.
        start : int
            The batch to begin with, from 0.

        Returns
        -------
        iterator of ndarray or tuple of ndarray

        Examples
        --------
        >>> loader = DataLoader([0, 1, 2, 3, 4, 5], batch_size=2, shuffle=True, rng=0)
        >>> epochs = [[batch.tolist() for batch in loader] for _ in range(3)]
        >>> [batch.tolist() for batch in loader.epoch(2, start=1)] == epochs[1][1:]
        True
        """
        number = whole_number(self, "number", number, 1)
        steps = range(whole_number(self, "start", start, 0, len(self)), len(self))
        order = None
        if self.shuffle:
            if self._seed is None:
                self._seed = as_seed(self._rng)
            order = generator_at(self._seed, number).permutation(self.n_samples)
        batches = row_batches(self._arrays, self.batch_size, steps, order)
        return batches if isinstance(self.arrays, tuple) else (batch for (batch,) in batches)

    def __repr__(self) -> str:
        arrays = ", ".join(f"{array.shape} {array.dtype}" for array in self._arrays)
        return (
            f"DataLoader({arrays}; batch_size={self.batch_size}, "
            f"shuffle={self.shuffle}, drop_last={self.drop_last})"
        )
