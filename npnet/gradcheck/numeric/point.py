"""The point of a check: analytic gradients there, and verdicts on them, by element or direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.complex_step import ComplexStep
from npnet.gradcheck.numeric.differences import Slopes, reach_of
from npnet.gradcheck.numeric.function import EPS, Function
from npnet.gradcheck.numeric.kinks import Kink
from npnet.gradcheck.numeric.lines import DirectionLine, ElementLines, random_direction
from npnet.gradcheck.numeric.rounding import rounding_moves
from npnet.gradcheck.numeric.verdict import Judged, assess, judge
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

_LIMIT = 1e-3  # the share of a gradient's largest element that rounding is believed to move
_BLOCK = 512  # lines looked at between two moves of a progress bar
_LOCATED = 16  # faulty elements after which the search ends


class Evidence(NamedTuple):
    """What is known about some elements of one variable.

    `indices` are positions in the flattened variable, `lines` those along which they were
    differentiated, `judged` the verdicts.
    """

    variable: int
    indices: Array
    lines: ElementLines
    judged: Judged


class Point:
    """A function, what its backward returns for some upstream gradients, and how to judge that.

    Parameters
    ----------
    checked : Function
        Whose backward is checked.
    function : Function
        Whose forward is differentiated: the same one, or the same numbers in float64.
    gradients : list
        For each upstream gradient, one gradient for each variable, None where backward set none.
    rng : numpy.random.Generator
    allowed : list of ndarray, each (size, k) or (size, 1), optional
        What rounding may add to the error bars.
    """

    def __init__(
        self,
        checked: Function,
        function: Function,
        gradients: list[list[Array | None]],
        rng: np.random.Generator,
        allowed: list[Array] | None = None,
        complex_step: bool = False,
    ) -> None:
        self.checked, self.function, self.rng = checked, function, rng
        self.gradients = gradients
        self.analytic = checked.stack(gradients)
        zeros = [np.zeros((v.size, 1)) for v in function.variables]
        self.allowed = zeros if allowed is None else allowed
        self.confirmed = self.tried = 0
        self.at_kinks: dict[int, str] = {}  # how variables are wrong at kinks alone
        self._moves: list[Array] | None = None
        self._reach: dict[int, float] = {}
        use = complex_step and not function.is_loss
        self._oracle = ComplexStep(function) if use else None

    def elements(
        self, chosen: dict[int, Array], moved: Callable[[int], object] = lambda count: None
    ) -> list[Evidence]:
        """Judge some elements of some variables; `moved` is told of every element done."""
        found = [self._of_variable(i, indices, moved) for i, indices in chosen.items()]
        return self._with_kinks(found)

    def _of_variable(self, i: int, indices: Array, moved: Callable[[int], object]) -> Evidence:
        lines = ElementLines(self.function.variables[i], indices, self.reach(i))
        parts = []
        for start in range(0, max(1, indices.size), _BLOCK):
            block = np.arange(start, min(start + _BLOCK, indices.size))
            analytic, allowed = self._rows(i, indices[block])
            parts.append(assess(self.function, lines.only(block), analytic, allowed))
            moved(block.size)
        judged = _joined(parts)
        analytic, allowed = self._rows(i, indices)
        if self._oracle is not None and indices.size:
            judged, *count = self._oracle.confirm(i, indices, analytic, judged, allowed)
            self.confirmed, self.tried = self.confirmed + count[0], self.tried + count[1]
        return Evidence(i, indices, lines, self._with_rounding(i, indices, judged))

    def reach(self, i: int) -> float:
        """Return the honest unit of length of a variable."""
        if i not in self._reach:
            self._reach[i] = reach_of(self.function, self.function.variables[i], self.rng)
        return self._reach[i]

    def _rows(self, i: int, indices: Array) -> tuple[Array, Array]:
        analytic = self.analytic[i][indices]
        return analytic, np.broadcast_to(self.allowed[i][indices], analytic.shape)

    def _with_rounding(self, i: int, indices: Array, judged: Judged) -> Judged:
        """Widen the bars by the analytic values' own rounding, where only that can explain them."""
        wrong = judged.verdicts == Verdict.WRONG
        analytic, allowed = self._rows(i, indices)
        off = np.abs(judged.analytic - judged.numeric)
        close = off <= 1e-5 * (np.abs(judged.analytic) + judged.slopes.size.max(axis=1, initial=0))
        close |= off <= 1e-9 * judged.slopes.grain.max(axis=1, initial=0)
        if not (wrong & close & np.isfinite(judged.analytic)).any():
            return judged
        largest = np.abs(self.analytic[i]).max(axis=0, initial=0.0)
        limit = _LIMIT * (largest + judged.slopes.grain)
        wider = allowed + np.minimum(8 * self.rounding[i][indices], limit)
        return judge(analytic, judged.slopes, wider)

    @property
    def rounding(self) -> list[Array]:
        """How far the gradients move with the last digits; found once."""
        if self._moves is None:
            self._moves = rounding_moves(self.function)
        return self._moves

    def _with_kinks(self, found: list[Evidence]) -> list[Evidence]:
        """Settle whether what is returned at kinks is right there."""
        verdicts = np.concatenate([*(e.judged.verdicts for e in found), np.zeros(0, int)])
        any_wrong = bool((verdicts == Verdict.WRONG).any())
        if not any_wrong and not (verdicts == Verdict.KINK).any():
            return found
        kink = Kink(self.function)
        accepted = kink.accepts()
        if accepted != any_wrong or not kink.decides:
            return found
        settled = []
        for e in found:
            now, error = e.judged.verdicts.copy(), e.judged.error.copy()
            if accepted:
                at = (now == Verdict.WRONG) & kink.jumping(e.variable)[e.indices]
                now[at] = Verdict.KINK
                error[at] = np.abs(e.judged.analytic - e.judged.numeric)[at]
            else:
                outside = kink.outside(e.variable)[e.indices]
                at = (now == Verdict.KINK) & (outside if outside.any() else True)
                now[at] = Verdict.WRONG
                if at.any():
                    self.at_kinks[e.variable] = kink.fault(e.variable)
            settled.append(e._replace(judged=e.judged._replace(verdicts=now, error=error)))
        return settled

    # --- along directions, in which many elements move at once

    def along(self, directions: list[Array]) -> Judged:
        """Judge the slope along one direction, given for every variable."""
        moves = [v.reshape(-1) for v in directions]
        slope = np.array([sum(v @ a for v, a in zip(moves, self.analytic, strict=True))])
        # Every term of the sum is rounded, and so is every variable when it moves.
        terms = zip(moves, self.function.variables, self.analytic, self.allowed, strict=True)
        allowed = sum(
            EPS * ((np.abs(v) + np.abs(x.reshape(-1))) @ np.abs(a)) + np.abs(v) @ b
            for v, x, a, b in terms
        )
        bars = np.reshape(np.broadcast_to(allowed, slope.shape), slope.shape)
        line = DirectionLine(self.function.variables, directions)
        judged = assess(self.function, line, slope, bars)
        if judged.verdicts[0] != Verdict.WRONG:
            return judged
        sizes = zip(moves, self.analytic, strict=True)
        largest = sum(np.abs(v) @ np.abs(a) for v, a in sizes)
        if (np.abs(judged.analytic - judged.numeric) <= 1e-6 * largest).all():
            rounded = sum(np.abs(v) @ m for v, m in zip(moves, self.rounding, strict=True))
            judged = judge(slope, judged.slopes, bars + np.minimum(8 * rounded, _LIMIT * largest))
        return judged

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


def _joined(parts: list[Judged]) -> Judged:
    if len(parts) == 1:
        return parts[0]
    slopes = Slopes._make(
        np.concatenate(fields) for fields in zip(*(p.slopes for p in parts), strict=True)
    )
    fields = zip(*(p[:4] for p in parts), strict=True)
    verdicts, analytic, numeric, error = (np.concatenate(f) for f in fields)
    return Judged(verdicts, analytic, numeric, error, slopes)
