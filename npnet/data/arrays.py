"""The checks that all data passes at the door, and the one way to pick rows.

Nothing here copies or reads an array as a whole, so memory-mapped files stay on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.convert import csr, is_sparse, real_array, refuse_recorded
from npnet.errors import DataError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from npnet.typing import Array, ArrayLike


def sample_array(data: ArrayLike, what: str, tuples: str) -> Array:
    """Return `data` as a real array, or a sparse matrix as it is.

    A list of arrays is refused, which might mean one or several.

    `what` is the name of the data, `tuples` shows how several arrays are passed.
    """
    refuse_recorded(data, what)
    if is_sparse(data):
        return csr(data, what)  # type: ignore[no-any-return]
    if isinstance(data, list | tuple) and holds_arrays(data):
        raise DataError(
            f"{what} is a {type(data).__name__} of arrays; several arrays are {tuples}; "
            f"rows of one array are joined with np.stack"
        )
    return real_array(data, what)


def holds_arrays(data: list[Any] | tuple[Any, ...]) -> bool:
    """Tell whether the first entry is an array that has axes."""
    return bool(data) and getattr(data[0], "ndim", 0) > 0


def sample_arrays(arrays: Mapping[str, ArrayLike], tuples: str) -> dict[str, Array]:
    """Return named arrays as real arrays that share the length of their first axis, the samples.

    What is an array already comes back as it is, or as a view; `tuples` as for `sample_array`.

    Examples
    --------
    >>> found = sample_arrays({"x": [[0.0, 1.0], [2.0, 3.0]], "y": [0, 1]}, "one tuple, f((x, y))")
    >>> found["x"].shape, found["y"].shape
    ((2, 2), (2,))
    """
    if not arrays:
        raise DataError("expected at least one array, got none")
    checked = {what: sample_array(data, what, tuples) for what, data in arrays.items()}
    for what, array in checked.items():
        if array.ndim == 0:
            raise ShapeError(f"expected {what} of shape (samples, ...), got the scalar {array}")
    lengths = {array.shape[0] for array in checked.values()}
    shapes = ", ".join(str(array.shape) for array in checked.values())
    if len(lengths) > 1:
        raise DataError(f"the arrays must have the same number of samples, got shapes {shapes}")
    if lengths == {0}:
        raise DataError(f"the data is empty: expected at least one sample, got shape {shapes}")
    return checked


def row_batches(
    arrays: Sequence[Array], batch_size: int, steps: range, order: Array | None = None
) -> Iterator[tuple[Array, ...]]:
    """Yield the batches of rows with the numbers `steps`; without an `order` they are views."""
    for first in range(steps.start * batch_size, steps.stop * batch_size, batch_size):
        rows = slice(first, first + batch_size)
        if order is None:
            yield tuple([array[rows] for array in arrays])
        else:
            index = order[rows]
            yield tuple([take_rows(array, index) for array in arrays])


def take_rows(array: Array, index: Array) -> Array:
    """Return a new array of the rows ``array[index]``; no others are read."""
    # `take` is up to five times faster, but begins with a copy of all that is not in C order.
    if isinstance(array, np.ndarray) and array.flags.c_contiguous and array.flags.aligned:
        return array.take(index, axis=0)
    rows: Array = array[index]
    return rows


def written(fraction: Any) -> float:
    """Return a fraction as it was written: ``np.float16(0.3)`` means 0.3, not 0.30005."""
    return float(str(fraction)) if isinstance(fraction, np.floating) else float(fraction)
