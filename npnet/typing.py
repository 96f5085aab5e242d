"""Names for the types that npnet's signatures use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array of any real dtype; the docstring says which shape."""

ArrayLike: TypeAlias = npt.ArrayLike
DtypeLike: TypeAlias = npt.DTypeLike
if TYPE_CHECKING:  # naming numpy.random loads it, and that takes longer than the rest of npnet
    Rng: TypeAlias = np.random.Generator | int | None
else:
    Rng = Any
"""Where random numbers come from: a generator, a seed, or None for npnet's default generator."""
