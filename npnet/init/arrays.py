"""What the initialisers share: checked shapes, and arrays of numbers that their dtype can hold."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from npnet import arguments
from npnet.arguments import float_dtype
from npnet.errors import ArgumentError, ShapeError
from npnet.typing import Array, DtypeLike

Shape: TypeAlias = int | Sequence[int]
"""The shape of an array; an int is the length of a vector."""

MOST_AXES = 64
"""How many axes an array may have in NumPy."""


def checked_shape(owner: str, shape: Any) -> tuple[int, ...]:
    """Return a shape that an address can be computed for."""
    if isinstance(shape, np.ndarray) and shape.ndim == 1 and shape.dtype.kind in "iu":
        shape = list(shape)
    dims = arguments.shape(owner, "shape", shape)
    if len(dims) > MOST_AXES:
        raise ArgumentError(f"{owner}: arrays have at most {MOST_AXES} axes, got {len(dims)}")
    if 8 * math.prod(max(n, 1) for n in dims) > sys.maxsize:  # NumPy looks at empty arrays so too
        raise too_large(owner, dims)
    return dims


def too_large(owner: str, dims: tuple[int, ...]) -> ArgumentError:
    """Return the error for an array that no memory holds."""
    return ArgumentError(f"{owner}: an array of shape {dims} is larger than the memory")


def sizes(owner: str, shape: Any, least: int, most: int, what: str) -> tuple[int, ...]:
    """Return a checked shape that has from `least` to `most` axes."""
    dims = checked_shape(owner, shape)
    if not least <= len(dims) <= most:
        raise ShapeError(f"{owner} needs a shape {what}, got {dims}")
    return dims


def made(owner: str, shape: Any, dtype: DtypeLike, make: Callable[[tuple[int, ...]], Any]) -> Array:
    """Return what `make` makes of a checked shape, in the dtype."""
    dims, dtype = checked_shape(owner, shape), float_dtype(owner, "dtype", dtype)
    try:
        with np.errstate(over="ignore"):
            array: Array = np.asarray(make(dims)).astype(dtype, copy=False)
    except (MemoryError, ValueError):  # NumPy raises one or the other
        raise too_large(owner, dims) from None
    if not np.isfinite(array).all():
        raise ArgumentError(f"{owner}: {dtype} cannot hold numbers as large as these")
    return array
