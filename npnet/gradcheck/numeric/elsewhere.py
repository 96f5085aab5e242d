"""Checks at other points: along a direction, and by element where that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import Function
from npnet.gradcheck.numeric.kinks import Kink
from npnet.gradcheck.numeric.places import Place, branches
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.numeric.rounding import Float32, Mismatch
from npnet.gradcheck.numeric.sampling import sample
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

_MANY = 600  # elements of a variable, above which faulty ones are located by halving
_SAMPLED = 64
_HALVINGS = 14
_ENOUGH = 6  # places at which a gradient is wrong, after which no others are visited


class Finding(NamedTuple):
    """A gradient that is wrong at some point: where, which elements, or what was raised."""

    place: str
    point: Point | None
    evidence: list[Evidence]
    error: Exception | None = None
    float32: Mismatch | None = None


def judge_point(function: Function, rng: np.random.Generator, place: str = "") -> Finding | None:
    """Check all gradients of a function at its point along one direction; None if right."""
    everything = function.upstream
    function.upstream, function.weights = everything[:1], function.weights[:1]  # is enough
    try:
        point = Point(function, function, function.at(function.upstream), rng)
    except Exception as error:  # forward was possible here, so backward must be
        return Finding(place, None, [], error)
    if all(np.isfinite(a).all() for a in point.analytic):
        judged, _ = point.everything()
        verdict = judged.verdicts[0]
        if verdict in (Verdict.OK, Verdict.NOISE):
            return None
        kink = Kink(function)
        if kink.accepts() or (verdict == Verdict.KINK and not kink.decides):
            return None
        chosen = suspects(point, rng)
    else:
        odd = {i: np.flatnonzero(~np.isfinite(a[:, 0])) for i, a in enumerate(point.analytic)}
        chosen = {i: at for i, at in odd.items() if at.size}
    function.upstream, function.weights = everything, np.abs(everything)
    point = Point(function, function, function.at(everything), rng)
    evidence = point.elements(chosen)
    if any((e.judged.verdicts == Verdict.WRONG).any() for e in evidence):
        return Finding(place, point, evidence)
    return None


def suspects(point: Point, rng: np.random.Generator) -> dict[int, Array]:
    """Choose what to look at where a direction has failed: all elements, or the faulty and some."""
    sizes = [v.size for v in point.function.variables]
    if max(sizes, default=0) <= _MANY:
        return {i: np.arange(n) for i, n in enumerate(sizes)}
    located = point.locate()
    return {
        i: np.arange(n) if n <= _MANY else np.union1d(sample(n, _SAMPLED, rng), located[i])
        for i, n in enumerate(sizes)
    }


class Elsewhere:
    """A check of the same layer or loss at many places.

    Parameters
    ----------
    make : callable
        ``make(inputs)`` returns a `Function` at other inputs.
    pair : callable
        ``pair(inputs)`` returns a `Float32` there.
    rng : numpy.random.Generator

    Attributes
    ----------
    findings : list of Finding
    left_out : dict of str to str
        Why forward could not be computed, by place.
    visited : int
    right : list of ndarray
        Numbers in the inputs of places where all gradients are right.
    """

    def __init__(
        self,
        make: Callable[[Sequence[Array]], Function],
        pair: Callable[[Sequence[Array]], Float32] | None,
        rng: np.random.Generator,
    ) -> None:
        self._make, self._pair, self._rng = make, pair, rng
        self.findings: list[Finding] = []
        self.left_out: dict[str, str] = {}
        self.visited = 0
        self.right: list[Array] = []

    def visit(self, several: Sequence[Place]) -> None:
        """Check the first of some places at which forward can be computed."""
        if len(self.findings) >= _ENOUGH:
            return
        for place in several:
            function = self._function(place)
            if function is None:
                continue
            self.visited += 1
            finding = judge_point(function, self._rng, place.says)
            if finding is None:
                self.right += [x.reshape(-1) for x in place.inputs if x.dtype.kind == "f"]
                finding = self._in_float32(place)
            if finding is not None:
                self.findings.append(finding)
            return

    def _function(self, place: Place) -> Function | None:
        try:
            function = self._make(place.inputs)
        except Exception as error:  # whatever it is: forward does not take these numbers
            self.left_out[place.says] = f"{type(error).__name__}: {error}"
            return None
        if not function.finite:
            self.left_out[place.says] = "the output is not finite"
            return None
        return function

    def _in_float32(self, place: Place) -> Finding | None:
        if self._pair is None:
            return None
        try:
            both = self._pair(place.inputs)
        except Exception as error:
            self.left_out[f"{place.says}, in float32"] = f"{type(error).__name__}: {error}"
            return None
        if not both.single.finite and not _overflows(both.single):
            self.left_out[f"{place.says}, in float32"] = "the output is not finite"
            return None
        for mismatch in both.mismatches():
            return Finding(place.says, None, [], float32=mismatch)
        return None

    def region(self, inputs: Sequence[Array]) -> str:
        """Say in which range of numbers an elementwise gradient is wrong; empty if there is none.

        No number with a right gradient may lie inside; its ends are closed in on.
        """
        bad, good, places, name = [], list(self.right), list[int](), ""
        for finding in self.findings:
            for e in finding.evidence:
                function = finding.point.function  # type: ignore[union-attr]
                v, wrong = function.variables[e.variable], e.judged.verdicts == Verdict.WRONG
                place = [i for i, x in enumerate(function.given) if x is v]
                if place and wrong.any():
                    places += place
                    name = function.names[e.variable]
                    bad.append(v.reshape(-1)[e.indices[wrong]])
                    good.append(v.reshape(-1)[e.indices[e.judged.verdicts == Verdict.OK]])
        if len(set(places)) != 1:
            return ""
        wrong_values, fine = np.concatenate(bad), np.concatenate([*good, np.zeros(0)])
        for what, change in ((name, np.asarray), (f"the size of {name}", np.abs)):
            found = self._range(change(wrong_values), change(fine), inputs, places[0])
            if found:
                return f"the gradient of {name} is wrong exactly where {what} is {found}"
        return ""

    def _range(self, wrong: Array, fine: Array, inputs: Sequence[Array], i: int) -> str:
        low, high = float(wrong.min()), float(wrong.max())
        below, above = fine[fine < low], fine[fine > high]
        if not fine.size or below.size + above.size < fine.size:
            return ""
        if low == high:
            return f"{low:g}"
        start = self._closed_in(float(below.max()), low, inputs, i) if below.size else None
        end = self._closed_in(float(above.min()), high, inputs, i) if above.size else None
        if start is None or end is None:
            return f"below about {end:.4g}" if start is None else f"above about {start:.4g}"
        return f"between about {round(start, 6):.4g} and {round(end, 6):.4g}"

    def _closed_in(self, good: float, bad: float, inputs: Sequence[Array], i: int) -> float:
        """Halve the way from a number with a right gradient to one with a wrong one."""
        if self._is_right_at(bad, inputs, i):
            return (good + bad) / 2
        for _ in range(_HALVINGS):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if self._is_right_at(middle, inputs, i) else (good, middle)
        return (good + bad) / 2

    def _is_right_at(self, number: float, inputs: Sequence[Array], i: int) -> bool:
        found = [np.array(x) for x in inputs]
        found[i] = np.full(inputs[i].shape, number)
        function = self._function(Place("", found))
        return function is None or judge_point(function, self._rng) is None

    def visit_branches(self, inputs: Sequence[Array], moving: Sequence[int]) -> None:
        """Look for values at which forward takes another branch; visit both sides of each."""
        function = self._make(inputs)
        r = function.upstream[0]
        for i in moving:
            variable = next(v for v in function.variables if v is function.given[i])

            def value(t: float, variable: Array = variable) -> float:
                variable.fill(t)
                return float(r @ function.here_now())

            with function.restored():
                found = branches(value, 1e-12 * float(np.abs(r).sum()))
            for at in found:
                for place in _around(inputs, i, at, self._rng):
                    self.visit([place])


def _overflows(function: Function) -> bool:
    """Tell whether a number in the forward pass becomes too large, which no domain explains."""
    try:
        with np.errstate(over="raise"):
            function.run()
    except Fault as fault:
        return isinstance(fault.__cause__, FloatingPointError)
    return False


def _around(
    inputs: Sequence[Array], i: int, at: float, rng: np.random.Generator
) -> Iterator[Place]:
    shape, size = inputs[i].shape, abs(at) or 1.0
    for says, shift in (
        (f"at inputs of {at:g}, where forward takes another branch", 0.0),
        (f"at inputs a little above {at:g}", size),
        (f"at inputs a little below {at:g}", -size),
    ):
        found = [np.array(x) for x in inputs]
        share = 10.0 ** rng.uniform(-4, -0.7, shape)
        found[i] = at + shift * share
        yield Place(says, found)
