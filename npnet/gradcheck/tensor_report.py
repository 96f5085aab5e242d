"""What a check found about one tensor: a verdict for each element of its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from npnet.typing import Array


class Verdict(IntEnum):
    """What is said about one element of a gradient.

    ``OK``: the analytic value lies inside the error bar. ``WRONG``: outside. ``KINK``: it is a
    valid subgradient at a kink. ``NOISE``: the function is too rough, or not finite, to say.
    """

    OK = 0
    WRONG = 1
    KINK = 2
    NOISE = 3


class Element(NamedTuple):
    """One checked element of a gradient.

    Attributes
    ----------
    index : tuple of int
    analytic, numeric, error : float
        What backward returned, what differences of forward say, by how much the two may differ.
    verdict : Verdict
    """

    index: tuple[int, ...]  # type: ignore[assignment]  # hides tuple.index
    analytic: float
    numeric: float
    error: float
    verdict: Verdict


@dataclass(repr=False)
class TensorReport:
    """The gradient with respect to one input or parameter.

    Attributes
    ----------
    name : str
        ``"input"``, ``"input 1"``, ``"pred"``, or a parameter's dotted name.
    shape : tuple of int
    indices : ndarray of int, shape (m,)
        Which elements were checked, as positions in the flattened tensor.
    analytic, numeric, error, verdicts : ndarray, shape (m,)
        As in `Element`, for each of them.
    """

    name: str
    shape: tuple[int, ...]
    indices: Array
    analytic: Array
    numeric: Array
    error: Array
    verdicts: Array

    def count(self, verdict: Verdict) -> int:
        """Count the elements with this verdict."""
        return int(np.count_nonzero(self.verdicts == verdict))

    def fails(self, allow_kinks: bool = True, max_noise: float = 0.0) -> bool:
        """Tell whether this gradient is rejected; for the options see `check_gradients`."""
        wrong = self.count(Verdict.WRONG) + (0 if allow_kinks else self.count(Verdict.KINK))
        return wrong > 0 or self.count(Verdict.NOISE) > max_noise * max(1, len(self.verdicts))

    def distances(self) -> Array:
        """Return how far analytic and numerical values are apart, in error bars, shape (m,)."""
        with np.errstate(all="ignore"):
            off = np.abs(self.analytic - self.numeric)
            return np.where(off == 0, 0.0, off / self.error)

    def worst(self, count: int = 5) -> list[Element]:
        """List some elements: wrong ones, then noise, kinks and right ones; by `distances`."""
        bars = np.nan_to_num(self.distances(), nan=np.inf, posinf=np.inf)
        off = np.abs(self.analytic - self.numeric)
        rank = np.array([3, 0, 2, 1])[self.verdicts]
        found = []
        for i in np.lexsort((self.indices, -off, -bars, rank))[:count]:
            index = tuple(map(int, np.unravel_index(self.indices[i], self.shape)))
            a, n, e = (float(column[i]) for column in (self.analytic, self.numeric, self.error))
            found.append(Element(index, a, n, e, Verdict(self.verdicts[i])))
        return found

    def __repr__(self) -> str:
        counts = ", ".join(f"{v.name.lower()}={self.count(v)}" for v in Verdict)
        return f"TensorReport({self.name!r}, {tuple(self.shape)}, {counts})"
