"""A generator whose numbers can be drawn again in another precision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npnet.typing import DtypeLike


class Draws(np.random.Generator):
    """Notes the dtypes that it is asked for, or draws in those that were noted before.

    A layer that draws in the dtype of its input gets other numbers in float32 than in float64; to
    compare both, the float64 pass must be given the numbers of the float32 one.
    """

    def __init__(self, noted: Sequence[DtypeLike] = ()) -> None:
        super().__init__(np.random.PCG64(0))
        self.noted, self.asked = tuple(noted), list[DtypeLike]()
        self._start = self.bit_generator.state

    def rewind(self) -> None:
        """Start again."""
        self.bit_generator.state, self.asked = self._start, []

    @property
    def used(self) -> bool:
        """Whether anything was drawn since the start."""
        return bool(self.bit_generator.state != self._start)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from [0, 1)."""
        return self._draw(super().random, size, dtype, out)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        """Draw from the normal distribution."""
        return self._draw(super().standard_normal, size, dtype, out)

    def _draw(self, draw: Callable[..., Any], size: Any, dtype: Any, out: Any) -> Any:
        used = self.noted[len(self.asked)] if len(self.asked) < len(self.noted) else dtype
        self.asked.append(dtype)
        if out is None:
            return np.dtype(dtype).type(draw(size, used))
        out[...] = draw(out.shape, used)
        return out
