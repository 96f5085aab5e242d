"""The point of a check: gradients there, and verdicts on them, by element or direction.

W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM
Review 40 (1998).
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.differences import (
    ROUNDING,
    Judged,
    Slopes,
    differentiate,
    judge,
    reach_of,
)
from npnet.gradcheck.numeric.function import (
    EPS,
    Function,
    direction_line,
    element_lines,
    located,
    random_direction,
    sample,
    typical_size,
)
from npnet.gradcheck.numeric.kinks import Kink
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

_BLOCK, _NUMBERS = 512, 2**18  # lines looked at once, and their outputs


class Evidence(NamedTuple):
    """Verdicts on some elements of one variable, by their positions in the flattened variable."""

    variable: int
    indices: Array
    judged: Judged


class Point:
    """A function, what its backward returns for some upstream gradients, and how to judge that."""

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
        # None where backward set none.
        self.gradients = [checked.gradients(checked.split(r)) for r in checked.upstream]
        self.analytic = checked.stack(self.gradients)
        # Terms that cancel in backward leave rounding errors of the variable's largest gradient.
        self.allowed = [
            ROUNDING * EPS * np.broadcast_to(np.abs(np.nan_to_num(a)).max(0, initial=0.0), a.shape)
            for a in self.analytic
        ]
        if allowed is not None:  # for the first upstream gradient
            loud = np.abs(checked.upstream).max(axis=1, initial=0.0)
            louder = np.maximum(1.0, loud / (loud[0] or 1.0))
            pairs = zip(self.allowed, allowed, strict=True)
            self.allowed = [np.maximum(own, rounding * louder) for own, rounding in pairs]
        self.confirmed = self.tried = 0
        self.at_kinks: dict[int, str] = {}  # how variables are wrong at kinks alone
        self._complex = complex_step and not function.is_loss

    def elements(
        self, chosen: dict[int, Array], moved: Callable[[int], object] = lambda count: None
    ) -> list[Evidence]:
        """Judge some elements of some variables; `moved` is told of every element done."""
        found = [Evidence(i, at, self._of_variable(i, at, moved)) for i, at in chosen.items()]
        return self._with_kinks(found)

    def _of_variable(self, i: int, indices: Array, moved: Callable[[int], object]) -> Judged:
        analytic = self.analytic[i][indices]
        allowed = np.broadcast_to(self.allowed[i][indices], analytic.shape)
        parts, size = [], max(1, min(_BLOCK, _NUMBERS // (2 * self.function.here.size + 1)))
        for start in range(0, max(1, indices.size), size):
            own = slice(start, start + size)
            lines = element_lines(self.function.variables[i], indices[own], self.reach[i])
            parts.append(differentiate(self.function, lines, analytic[own], allowed[own]))
            moved(len(lines))
        slopes = Slopes._make(map(np.concatenate, zip(*parts, strict=True)))
        judged = judge(analytic, slopes, allowed)
        if self._complex and indices.size:
            count, tried = confirmed(self.function, i, indices, analytic, judged)
            self.confirmed, self.tried = self.confirmed + count, self.tried + tried
        return judged

    @cached_property
    def reach(self) -> list[float]:
        """The honest unit of length of each variable."""
        return [reach_of(self.function, v, self.rng) for v in self.function.variables]

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
        function = self.function
        moves = np.concatenate([v.reshape(-1) for v in directions])
        slope = (moves @ np.concatenate(self.analytic))[None]
        allowed = np.abs(moves) @ np.concatenate(self.allowed)
        line = direction_line(function.variables, directions)
        return judge(slope, differentiate(function, [line], slope, allowed[None]), allowed)

    def everything(self) -> tuple[Judged, list[Array]]:
        """Judge the slope along a random direction in which everything moves."""
        pairs = zip(self.function.variables, self.reach, strict=True)
        directions = [random_direction(v, self.rng, reach) for v, reach in pairs]
        return self.along(directions), directions

    def located(self, i: int) -> Array:
        """Find some faulty elements of a variable."""
        variables = self.function.variables
        whole = random_direction(variables[i], self.rng, self.reach[i]).reshape(-1)

        def is_wrong(part: Array) -> bool:
            directions = [np.zeros_like(v) for v in variables]
            directions[i].reshape(-1)[part] = whole[part]
            return bool(self.along(directions).verdicts[0] != Verdict.OK)

        return located(whole.size, is_wrong)


_STEP = 2.0**-80  # relative; its square vanishes beside 1
_CONFIRMED = 16  # elements of each tensor on which it is tried


def confirmed(
    function: Function, variable: int, indices: Array, analytic: Array, judged: Judged
) -> tuple[int, int]:
    """Return how many right values of a variable complex steps confirm, of how many tried."""
    tried = np.flatnonzero(judged.verdicts == Verdict.OK)
    tried = tried[sample(tried.size, _CONFIRMED, np.random.default_rng(variable))]
    try:
        exact = np.array(_slopes(function, variable, indices[tried]))
    except Exception:  # whatever it is: this forward takes no complex numbers
        return 0, 0
    if not tried.size:
        return 0, 0
    fine = 256 * EPS * (judged.slopes.size[tried] + np.abs(analytic[tried]))
    right = (np.abs(exact - analytic[tried]) <= fine).all(axis=1)
    return int(right.sum()), tried.size if right.any() else 0


def _slopes(function: Function, variable: int, indices: Array) -> list[Array]:
    """Differentiate with respect to elements; raises where forward is not complex-safe."""
    layer = copy.deepcopy(function.checked)
    for p in layer.parameters():
        p._data = p._data.astype(complex)  # Parameter itself refuses complex numbers
    inputs = [x.astype(complex if x.dtype.kind == "f" else x.dtype) for x in function.inputs]
    variables = [x for x in inputs if x.dtype.kind == "c"] + [p._data for p in layer.parameters()]
    step, flat = _STEP * typical_size(function.variables[variable]), variables[variable].reshape(-1)
    found = []
    for index in indices:
        ctx, start = function.context(), flat[index]
        ctx.layer = layer
        flat[index] += 1j * step
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = layer.forward(ctx, *[x.copy() for x in inputs])
        flat[index] = start
        outputs = result if isinstance(result, tuple) else (result,)
        y = np.concatenate([y.reshape(-1) for y in outputs])
        found.append(function.upstream @ y.imag / step)
    return found
