"""Names for the types that npnet's signatures use."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array of any real dtype; the docstring says which shape."""

ArrayLike: TypeAlias = npt.ArrayLike
DtypeLike: TypeAlias = npt.DTypeLike
Rng: TypeAlias = np.random.Generator | int | None
"""Where random numbers come from: a generator, a seed, or None for npnet's default generator."""
