"""Draws, a random generator for passes that must draw the same numbers in float32 and float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npnet.typing import DtypeLike


class Draws(np.random.Generator):
    """A generator that notes the dtypes it is asked for, or draws in those noted before.

    A layer that draws in the dtype of its input gets other numbers in float32 than in float64;
    its float64 copy must get the same. `noted` are the dtypes in which to draw, in turn.
    """

    def __init__(self, noted: Sequence[DtypeLike] = ()) -> None:
        super().__init__(np.random.PCG64(0))
        self.noted = tuple(noted)
        self.asked: list[DtypeLike] = []

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from [0, 1)."""
        return self._draw(super().random, size, dtype, out)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from the normal distribution."""
        return self._draw(super().standard_normal, size, dtype, out)

    def _draw(self, draw: Callable[..., Any], size: Any, dtype: Any, out: Any) -> Any:
        used = dict(enumerate(self.noted)).get(len(self.asked), dtype)
        self.asked.append(dtype)
        if out is None:
            return np.dtype(dtype).type(draw(size, used))
        out[...] = draw(out.shape, used)
        return out
