"""Lines through the point: one for each element, or one along which everything moves at once.

The derivative along a line is all that differences can see; an element of a gradient is the
derivative along its own axis. Of all lines, arrays say: a step of `scale` changes the function
markedly, one of `finest` is the smallest useful one; `own` is how large the point itself is, `size`
the same unless much less changes the function.
"""

from __future__ import annotations

import numpy as np

from npnet.typing import Array


class ElementLines:
    """One line for each chosen element of a live, contiguous variable.

    The variable must move by `reach` times its size to change the function markedly.
    """

    def __init__(self, variable: Array, indices: Array, reach: float = 1.0) -> None:
        self._variable, self._reach, self.indices = variable, reach, indices
        self._flat = variable.reshape(-1)
        self._positions: list[int] = indices.tolist()
        self._start: list[float] = self._flat[indices].tolist()
        size, typical = np.abs(self._flat[indices]), typical_size(variable)
        self.own = np.maximum(size, typical)
        self.scale = self.own * reach
        self.size = self.own * min(reach, 1.0)
        self.finest = np.where(size > 0, size, typical * min(reach, 1.0)) * 2.0**-50

    def __len__(self) -> int:
        return len(self._positions)

    def move(self, i: int, step: float) -> float:
        """Shift the element of line i; return the step really taken after rounding."""
        start = self._start[i]
        moved = start + step
        self._flat[self._positions[i]] = moved
        return moved - start

    def restore(self, i: int) -> None:
        """Put the element back."""
        self._flat[self._positions[i]] = self._start[i]

    def only(self, i: int, factor: float = 1.0) -> ElementLines:
        """Return one of the lines, on demand with another scale."""
        return ElementLines(self._variable, self.indices[i : i + 1], self._reach * factor)


class DirectionLine:
    """One line along which several live variables move at once."""

    def __init__(
        self, variables: list[Array], directions: list[Array], factor: float = 1.0
    ) -> None:
        self._variables, self._directions = variables, directions
        self._start = [x.copy() for x in variables]
        pairs = zip(variables, directions, strict=True)
        reach = max((typical_size(v) / typical_size(x) for x, v in pairs), default=1.0)
        self.scale, self.size, self.own = np.full(1, factor), np.ones(1), np.ones(1)
        self.finest = np.full(1, 2.0**-42 / max(1.0, reach))

    def __len__(self) -> int:
        return 1

    def move(self, i: int, step: float) -> float:
        """Shift all variables by `step` times the direction."""
        for x, start, v in zip(self._variables, self._start, self._directions, strict=True):
            np.multiply(v, step, out=x)
            x += start
        return step

    def restore(self, i: int) -> None:
        """Put the variables back."""
        for x, start in zip(self._variables, self._start, strict=True):
            x[...] = start

    def only(self, i: int, factor: float = 1.0) -> DirectionLine:
        """Return the line, on demand with another scale."""
        return DirectionLine(self._variables, self._directions, self.scale.item() * factor)


Lines = ElementLines | DirectionLine


def typical_size(x: Array) -> float:
    """Return the median size of the elements that are not zero, 1 if all are."""
    sizes = np.abs(x[x != 0])
    return float(np.median(sizes)) if sizes.size else 1.0


def random_direction(x: Array, reach: float, rng: np.random.Generator) -> Array:
    """Draw a direction in which every element moves by about its typical size, none by zero."""
    size = np.maximum(np.abs(x), typical_size(x)) * reach
    return np.asarray(size * rng.choice([-1.0, 1.0], x.shape) * rng.uniform(0.5, 1.0, x.shape))
