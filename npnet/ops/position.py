"""The sinusoidal encoding of positions."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from npnet.typing import Array


@functools.lru_cache(4)
def sine_table(length: int, size: int, max_wavelength: float, dtype: np.dtype[Any]) -> Array:
    """Return sin(t f_i), cos(t f_i) in columns 2 i, 2 i + 1; f_i = max_wavelength^(-2 i / size).

    Parameters
    ----------
    length : int
        Positions t, from 0.
    size : int
        Columns.
    max_wavelength : float
    dtype : dtype

    Returns
    -------
    ndarray, shape (length, size), read-only
    """
    column = np.arange(size)
    angle = np.outer(np.arange(length), max_wavelength ** (-(column // 2 * 2) / size))
    table: Array = np.where(column % 2, np.cos(angle), np.sin(angle)).astype(dtype)
    table.flags.writeable = False
    return table
