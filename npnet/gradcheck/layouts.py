"""The same values in other memory: what a layer must not notice about an array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.typing import Array


def _strided(array: Array) -> Array:
    pairs = np.full((*array.shape, 2), 7, array.dtype)  # every second element must not be read
    view = pairs[..., 0]
    view[...] = array
    return view


def _reversed(array: Array) -> Array:
    back: tuple[Any, ...] = (..., *(slice(None, None, -1) for _ in array.shape))
    return np.asarray(array[back].copy()[back])


def _read_only(array: Array) -> Array:
    copy = np.array(array)
    copy.flags.writeable = False
    return copy[...]  # a view, which cannot be made writable again


# Each returns a copy.
LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "non-contiguous": _strided,
    "reversed": _reversed,
    "Fortran-ordered": lambda array: np.array(array, order="F"),
    "read-only": _read_only,
}
