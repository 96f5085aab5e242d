"""Lines through the point: along one element, or along which everything moves at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.typing import Array


class Line(NamedTuple):
    """A line along which live arrays move."""

    parts: list[tuple[Array, Any, Any, Any]]  # array, index, numbers at the start, direction
    scale: float = 1.0  # a step that changes the function markedly
    finest: float = 2.0**-42  # the smallest useful step
    size: float = 1.0  # of the point itself, unless much less changes the function

    def move(self, step: float) -> float:
        """Shift by a step; return the one really taken after rounding."""
        for x, at, start, direction in self.parts:
            x[at] = moved = start + step * direction
        return moved - start if isinstance(start, float) else step

    def restore(self) -> None:
        """Put everything back."""
        for x, at, start, _ in self.parts:
            x[at] = start


def element_lines(variable: Array, indices: Array, reach: float = 1.0) -> list[Line]:
    """Make a line for each chosen element of a contiguous variable."""
    flat, typical, near = variable.reshape(-1), typical_size(variable), min(reach, 1.0)
    found = []
    for i in indices.tolist():
        start = float(flat[i])
        size, own = abs(start) or typical * near, max(abs(start), typical)
        found.append(Line([(flat, i, start, 1.0)], own * reach, size * 2.0**-50, own * near))
    return found


def direction_line(variables: Sequence[Array], directions: Sequence[Array]) -> Line:
    """Make a line along which variables move at once."""
    pairs = list(zip(variables, directions, strict=True))
    reach = max((typical_size(v) / typical_size(x) for x, v in pairs), default=1.0)
    return Line([(x, ..., x.copy(), v) for x, v in pairs], finest=2.0**-42 / max(1.0, reach))


def typical_size(x: Array) -> float:
    """Return the median size of the elements that are not zero, 1 if all are."""
    sizes = np.abs(x[x != 0])
    return float(np.median(sizes)) if sizes.size else 1.0


def random_direction(x: Array, reach: float, rng: np.random.Generator) -> Array:
    """Draw a direction in which every element moves by about its typical size, none by zero."""
    size = np.maximum(np.abs(x), typical_size(x)) * reach
    return np.asarray(size * rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1.0, x.shape))


def sample(size: int, count: int, rng: np.random.Generator) -> Array:
    """Choose `count` positions in a tensor of `size` elements; sorted, without repetition."""
    return np.arange(size) if count >= size else np.sort(rng.choice(size, count, replace=False))
