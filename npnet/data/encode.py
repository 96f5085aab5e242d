"""`one_hot` writes class labels as rows with a single one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from npnet.arguments import real_dtype, whole_number
from npnet.convert import real_array
from npnet.errors import DataError, TargetError

if TYPE_CHECKING:
    from npnet.typing import Array, ArrayLike, DtypeLike


def one_hot(
    labels: ArrayLike, num_classes: int | None = None, dtype: DtypeLike = np.float32
) -> Array:
    """Return an array that is 1 at every label's class and 0 elsewhere.

    Parameters
    ----------
    labels : array_like of int, shape (...)
        Classes from 0 to ``num_classes - 1``; floating numbers must be whole.
    num_classes : int or None
        None takes the largest label plus one.
    dtype : dtype
        Of the result: boolean, integer or floating.

    Returns
    -------
    ndarray, shape (..., num_classes)

    Raises
    ------
    ArgumentError
        If `num_classes` is no positive integer.
    DataError
        If the result does not fit in memory.
    DtypeError
        If `labels` or `dtype` is not real.
    TargetError
        If a label is fractional, negative or too large, or none tells the number of classes.

    Examples
    --------
    >>> one_hot([0, 2, 1])
    array([[1., 0., 0.],
           [0., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """
    labels = real_array(labels, "labels")
    kind = real_dtype("one_hot", "dtype", dtype, "a boolean, integer or floating dtype", "biuf")
    if num_classes is not None:
        num_classes = whole_number("one_hot", "num_classes", num_classes, 1)
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels))
        if not whole.all():
            raise TargetError(f"labels must be whole numbers, got {labels[~whole][0]}")
    if labels.size == 0:
        if num_classes is None:
            raise TargetError("no label tells the number of classes; pass num_classes")
        return np.zeros((*labels.shape, num_classes), kind)
    low, high = int(labels.min()), int(labels.max())
    if num_classes is None:
        num_classes = high + 1
    if low < 0 or high >= num_classes:
        raise TargetError(
            f"labels must lie between 0 and {num_classes - 1} (num_classes={num_classes}), "
            f"got {low if low < 0 else high}"
        )
    try:
        rows = np.zeros((labels.size, num_classes), kind)
    except (MemoryError, ValueError) as error:  # NumPy's two words for too large
        shape = (*labels.shape, num_classes)
        raise DataError(f"one_hot: an array of shape {shape} does not fit in memory") from error
    rows[np.arange(labels.size), labels.ravel().astype(np.intp)] = 1
    return rows.reshape(*labels.shape, num_classes)
