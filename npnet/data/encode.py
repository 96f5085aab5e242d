"""`one_hot` writes class labels as rows with a single one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from npnet.convert import real_array
from npnet.errors import ArgumentError, DtypeError, TargetError

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
    dtype = np.dtype(dtype)
    if dtype.kind not in "biuf":
        raise DtypeError(f"one_hot makes boolean, integer or floating arrays, not {dtype}")
    if num_classes is not None and (
        isinstance(num_classes, bool)
        or not isinstance(num_classes, int | np.integer)
        or num_classes < 1
    ):
        raise ArgumentError(f"num_classes must be a positive integer or None, got {num_classes!r}")
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels))
        if not whole.all():
            raise TargetError(f"labels must be whole numbers, got {labels[~whole][0]}")
    if labels.size == 0:
        if num_classes is None:
            raise TargetError("no label tells the number of classes; pass num_classes")
        return np.zeros((*labels.shape, num_classes), dtype)
    low, high = int(labels.min()), int(labels.max())
    if num_classes is None:
        num_classes = high + 1
    if low < 0 or high >= num_classes:
        raise TargetError(
            f"labels must lie between 0 and {num_classes - 1} (num_classes={num_classes}), "
            f"got {low if low < 0 else high}"
        )
    rows = np.zeros((labels.size, num_classes), dtype)
    rows[np.arange(labels.size), labels.ravel().astype(np.intp)] = 1
    return rows.reshape(*labels.shape, num_classes)
