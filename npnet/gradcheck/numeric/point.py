"""The point of a check: analytic gradients there, and verdicts on them, by element or direction."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.complex_step import ComplexStep
from npnet.gradcheck.numeric.differences import Slopes, reach_of
from npnet.gradcheck.numeric.function import EPS, Function
from npnet.gradcheck.numeric.kinks import Kink
from npnet.gradcheck.numeric.lines import direction_line, element_lines, random_direction
from npnet.gradcheck.numeric.rounding import rounding_moves
from npnet.gradcheck.numeric.verdict import Judged, assess, judge
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

_LIMIT = 1e-3  # the share of a gradient's largest element that rounding is believed to move
_BLOCK, _NUMBERS = 512, 2**18  # lines looked at once, and their outputs
_LOCATED = 16  # faulty elements after which the search ends


class Evidence(NamedTuple):
    """Verdicts on some elements of one variable, by their positions in the flattened variable."""

    variable: int
    indices: Array
    judged: Judged


class Point:
    """A function, what its backward returns for some upstream gradients, and how to judge that.

    Parameters
    ----------
    checked : Function
        Whose backward is checked, at the present values.
    rng : numpy.random.Generator
    function : Function, optional
        Whose forward is differentiated, if not the same: the same numbers in float64.
    allowed : list of ndarray, each (size, k) or (size, 1), optional
        What rounding may add to the error bars.
    """

    def __init__(
        self,
        checked: Function,
        rng: np.random.Generator,
        function: Function | None = None,
        allowed: list[Array] | None = None,
        complex_step: bool = False,
    ) -> None:
        self.checked, self.rng = checked, rng
        self.function = function = checked if function is None else function
        self.gradients = checked.at(checked.upstream)  # None where backward set none
        self.analytic = checked.stack(self.gradients)
        zeros = [np.zeros((v.size, 1)) for v in function.variables]
        self.allowed = zeros if allowed is None else allowed
        self.confirmed = self.tried = 0
        self.at_kinks: dict[int, str] = {}  # how variables are wrong at kinks alone
        self._reach: dict[int, float] = {}
        use = complex_step and not function.is_loss
        self._oracle = ComplexStep(function) if use else None

    def elements(
        self, chosen: dict[int, Array], moved: Callable[[int], object] = lambda count: None
    ) -> list[Evidence]:
        """Judge some elements of some variables; `moved` is told of every element done."""
        found = [Evidence(i, at, self._of_variable(i, at, moved)) for i, at in chosen.items()]
        return self._with_kinks(found)

    def _of_variable(self, i: int, indices: Array, moved: Callable[[int], object]) -> Judged:
        analytic = self.analytic[i][indices]
        allowed = np.broadcast_to(self.allowed[i][indices], analytic.shape)
        size = max(1, min(_BLOCK, _NUMBERS // (2 * self.function.here.size + 1)))
        parts = []
        for start in range(0, max(1, indices.size), size):
            own = slice(start, start + size)
            lines = element_lines(self.function.variables[i], indices[own], self.reach(i))
            parts.append(assess(self.function, lines, analytic[own], allowed[own]))
            moved(len(lines))
        slopes = Slopes._make(map(np.concatenate, zip(*(p.slopes for p in parts), strict=True)))
        fields = zip(*(p[:-1] for p in parts), strict=True)
        judged = Judged._make([*map(np.concatenate, fields), slopes])
        if self._oracle is not None and indices.size:
            confirmed, tried = self._oracle.confirm(i, indices, analytic, allowed, judged)
            self.confirmed, self.tried = self.confirmed + confirmed, self.tried + tried
        # Where only the analytic values' own rounding can explain them, it widens the bars.
        off = np.abs(judged.analytic - judged.numeric)
        close = off <= 1e-5 * (np.abs(judged.analytic) + slopes.size.max(axis=1, initial=0))
        close |= off <= 1e-9 * slopes.grain.max(axis=1, initial=0)
        if not ((judged.verdicts == Verdict.WRONG) & close & np.isfinite(judged.analytic)).any():
            return judged
        limit = _LIMIT * (np.abs(self.analytic[i]).max(axis=0, initial=0.0) + slopes.grain)
        return judge(analytic, slopes, allowed + np.minimum(8 * self.rounding[i][indices], limit))

    def reach(self, i: int) -> float:
        """Return the honest unit of length of a variable."""
        if i not in self._reach:
            self._reach[i] = reach_of(self.function, self.function.variables[i], self.rng)
        return self._reach[i]

    @cached_property
    def rounding(self) -> list[Array]:
        """How far the gradients move with the last digits."""
        return rounding_moves(self.function)

    def _with_kinks(self, found: list[Evidence]) -> list[Evidence]:
        """Settle whether what is returned at kinks is right there."""
        verdicts = [v for e in found for v in e.judged.verdicts]
        any_wrong = Verdict.WRONG in verdicts
        if not any_wrong and Verdict.KINK not in verdicts:
            return found
        kink = Kink(self.function)
        accepted = kink.accepts()
        if accepted != any_wrong or not kink.tried:
            return found
        for e in found:
            now, error = e.judged.verdicts, e.judged.error
            if accepted:
                at = (now == Verdict.WRONG) & kink.jumping()[kink.of(e.variable)][e.indices]
                now[at] = Verdict.KINK
                error[at] = np.abs(e.judged.analytic - e.judged.numeric)[at]
            else:
                outside = kink.outside()[kink.of(e.variable)][e.indices]
                at = (now == Verdict.KINK) & (outside if outside.any() else True)
                now[at] = Verdict.WRONG
                if at.any():
                    self.at_kinks[e.variable] = kink.fault(e.variable)
        return found

    # --- along directions, in which many elements move at once

    def along(self, directions: list[Array]) -> Judged:
        """Judge the slope along one direction, given for every variable."""
        function, moves = self.function, [v.reshape(-1) for v in directions]
        sizes = [np.abs(v) for v in moves]
        slope = np.array([sum(v @ a for v, a in zip(moves, self.analytic, strict=True))])
        # Every term of the sum is rounded, and so is every variable when it moves.
        terms = zip(sizes, function.variables, self.analytic, self.allowed, strict=True)
        allowed = np.zeros_like(slope) + sum(
            EPS * ((v + np.abs(x.reshape(-1))) @ np.abs(a)) + v @ b for v, x, a, b in terms
        )
        judged = assess(function, [direction_line(function.variables, directions)], slope, allowed)
        largest = sum(v @ np.abs(a) for v, a in zip(sizes, self.analytic, strict=True))
        close = (np.abs(judged.analytic - judged.numeric) <= 1e-6 * largest).all()
        if judged.verdicts[0] != Verdict.WRONG or not close:
            return judged
        rounded = sum(v @ m for v, m in zip(sizes, self.rounding, strict=True))
        return judge(slope, judged.slopes, allowed + np.minimum(8 * rounded, _LIMIT * largest))

    def everything(self) -> tuple[Judged, list[Array]]:
        """Judge the slope along a random direction in which everything moves."""
        directions = [
            random_direction(v, self.reach(i), self.rng)
            for i, v in enumerate(self.function.variables)
        ]
        return self.along(directions), directions

    def locate(self) -> dict[int, Array]:
        """Find faulty elements of each variable by halving what moves; at most `_LOCATED` of each.

        Slopes along a direction have told before that there are some.
        """
        return {i: self._located(i) for i in range(len(self.function.variables))}

    def _located(self, i: int) -> Array:
        variables = self.function.variables
        whole = random_direction(variables[i], self.reach(i), self.rng).reshape(-1)
        pending: list[Array] = [np.arange(whole.size)]
        found: list[int] = []
        while pending and len(found) < _LOCATED:
            part = pending.pop()
            directions = [np.zeros_like(v) for v in variables]
            directions[i].reshape(-1)[part] = whole[part]
            if part.size == 0 or self.along(directions).verdicts[0] == Verdict.OK:
                continue
            if part.size == 1:
                found.append(int(part[0]))
            else:
                half = part.size // 2
                pending += [part[half:], part[:half]]
        return np.array(sorted(found), dtype=np.intp)
