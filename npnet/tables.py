"""Tables of pandas as arrays. They are known by their methods; nothing here imports pandas."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.typing import Array


def table_array(table: Any) -> Array | None:
    """Return a table or a column as an array, None if it does not hold real numbers alone."""
    if table.ndim == 1:
        return column_array(table)
    columns = table_columns(table)
    dtypes = {column.dtype for column in columns}
    if all(isinstance(dtype, np.dtype) and dtype.kind in "fiub" for dtype in dtypes):
        return np.asarray(table, np.result_type(*dtypes or {np.float64}))
    arrays = [array for array in map(column_array, columns) if array is not None]
    return np.stack(arrays, axis=1) if len(arrays) == len(columns) else None


def table_columns(table: Any) -> list[Any]:
    """Return the columns of a table; a column is its own and only one."""
    return [table] if table.ndim == 1 else [table.iloc[:, i] for i in range(table.shape[1])]


def column_array(column: Any) -> Array | None:
    """Return a column as an array, None if it does not hold real numbers alone.

    NaN in a dtype of NumPy's is a number. What pandas's own dtypes lack is missing.
    """
    dtype = column.dtype
    if not isinstance(dtype, np.dtype):
        if np.any(column.isna()):
            return None
        dtype = getattr(dtype, "numpy_dtype", None)
    array = np.asarray(column, dtype)
    return array if array.dtype.kind in "fiub" else None
