"""Gradients at another point: along a direction, by element where that fails, by region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import Function
from npnet.gradcheck.numeric.kinks import Kink
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.numeric.sampling import sample
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

_MANY = 600  # elements of a variable, above which faulty ones are located by halving
_SAMPLED = 64
_HALVINGS = 14


class Finding(NamedTuple):
    """A gradient that is wrong at some point: where, which elements, or what was raised."""

    place: str
    point: Point | None
    evidence: list[Evidence]
    error: Exception | None = None


def judge_point(function: Function, rng: np.random.Generator, place: str = "") -> Finding | None:
    """Check all gradients of a function at its point along one direction; None if right."""
    everything = function.upstream
    function.upstream = everything[:1]  # is enough
    try:
        point = Point(function, rng)
    except Exception as error:  # forward was possible here, so backward must be
        return Finding(place, None, [], error)
    chosen = {i: np.flatnonzero(~np.isfinite(a[:, 0])) for i, a in enumerate(point.analytic)}
    if not any(at.size for at in chosen.values()):
        verdict = point.everything()[0].verdicts[0]
        if verdict in (Verdict.OK, Verdict.NOISE):
            return None
        kink = Kink(function)
        if kink.accepts() or (verdict == Verdict.KINK and not kink.tried):
            return None
        chosen = suspects(point, rng)
    function.upstream = everything
    point = Point(function, rng)
    evidence = point.elements(chosen)
    wrong = any((e.judged.verdicts == Verdict.WRONG).any() for e in evidence)
    return Finding(place, point, evidence) if wrong else None


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


def region(
    findings: Sequence[Finding], right: Sequence[Array], is_right: Callable[[int, float], bool]
) -> str:
    """Say in which range of numbers an elementwise gradient is wrong; empty if there is none.

    No number with a `right` gradient may lie inside; its ends are closed in on by asking whether
    the gradient `is_right` where a number fills an input.
    """
    bad, good, places, name = [], list(right), set[int](), ""
    for point, e in ((f.point, e) for f in findings for e in f.evidence):
        assert point is not None
        v, verdicts = point.function.variables[e.variable], e.judged.verdicts
        place = {i for i, x in enumerate(point.function.given) if x is v}
        if place and (verdicts == Verdict.WRONG).any():
            name, places = point.function.names[e.variable], places | place
            bad.append(v.reshape(-1)[e.indices[verdicts == Verdict.WRONG]])
            good.append(v.reshape(-1)[e.indices[verdicts == Verdict.OK]])
    if len(places) != 1:
        return ""
    (i,) = places
    for what, change in ((name, np.asarray), (f"the size of {name}", np.abs)):
        wrong, fine = (change(np.concatenate(values)) for values in (bad, good))
        low, high = float(wrong.min()), float(wrong.max())
        below, above = fine[fine < low], fine[fine > high]
        if fine.size and below.size + above.size == fine.size:
            start = _closed_in(float(below.max()), low, i, is_right) if below.size else None
            end = _closed_in(float(above.min()), high, i, is_right) if above.size else None
            return f"the gradient of {name} is wrong exactly where {what} is " + (
                f"{low:g}" if low == high
                else f"below about {end:.4g}" if start is None
                else f"above about {start:.4g}" if end is None
                else f"between about {round(start, 6):.4g} and {round(end, 6):.4g}"
            )  # fmt: skip
    return ""


def _closed_in(good: float, bad: float, i: int, is_right: Callable[[int, float], bool]) -> float:
    """Halve the way from a number with a right gradient to one with a wrong one."""
    if is_right(i, bad):
        return (good + bad) / 2
    for _ in range(_HALVINGS):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if is_right(i, middle) else (good, middle)
    return (good + bad) / 2
