"""A line search for the strong Wolfe conditions: enough descent, and a slope near 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from npnet.typing import Array


class Point(NamedTuple):
    """A place on the line: how far along, with value, gradient and slope there."""

    t: float
    f: float
    g: Array
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    width: float,
    limit: int,
    *,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
) -> tuple[Point, int]:
    """Find a point where f <= f0 + c1 t f0' and abs(f') <= -c2 f0'.

    First t grows until a bracket holds such a point, then the bracket shrinks.

    Parameters
    ----------
    evaluate : callable
        Returns the point at a distance.
    start : Point
        At distance 0, with a negative slope.
    t : float
        The first distance to try.
    width : float
        Largest magnitude of the direction: how far a number moves for t = 1.
    limit : int
        How many points are evaluated after the first one.
    c1, c2 : float
        Of the two conditions.
    tolerance_change : float
        A bracket over which no number moves by more is small enough.

    Returns
    -------
    point : Point
        The best one if the limit came first.
    evaluations : int

    References
    ----------
    Nocedal, Wright, "Numerical Optimization", 2006, algorithms 3.5 and 3.6; with the safeguards of
    Schmidt's minFunc, as in ``torch.optim.LBFGS``.
    """

    def too_high(p: Point) -> bool:
        return not p.f <= start.f + c1 * p.t * start.slope  # also for NaN

    def flat(p: Point) -> bool:
        return abs(p.slope) <= -c2 * start.slope

    before, now, more = start, evaluate(t), 0
    ends = [start, now]
    while more < limit:
        if flat(now) and not too_high(now) and not (more > 1 and now.f >= before.f):
            return now, more + 1
        if too_high(now) or (more > 1 and now.f >= before.f) or now.slope >= 0:
            ends = [before, now]
            break
        t = minimum_of_cubic(before, now, now.t + 0.01 * (now.t - before.t), 10 * now.t)
        before, now = now, evaluate(t)
        more += 1
        ends = [start, now]
    low = _lower(ends)
    was_near_an_end = False
    while more < limit and abs(ends[1].t - ends[0].t) * width >= tolerance_change:
        left, right = sorted((ends[0].t, ends[1].t))
        t = minimum_of_cubic(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        near_an_end = min(right - t, t - left) < margin
        if near_an_end and (was_near_an_end or not left < t < right):
            t = right - margin if right - t < t - left else left + margin
            near_an_end = False
        was_near_an_end = near_an_end
        now = evaluate(t)
        more += 1
        if too_high(now) or now.f >= ends[low].f:
            ends[1 - low] = now
            low = _lower(ends)
            continue
        if not flat(now) and now.slope * (ends[1 - low].t - ends[low].t) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = now
        if flat(now):
            break
    return ends[low], more + 1


def _lower(ends: list[Point]) -> int:
    return int(ends[1].f < ends[0].f or math.isnan(ends[0].f))


def minimum_of_cubic(a: Point, b: Point, least: float, most: float) -> float:
    """Return where the cubic through two points with their slopes is lowest, within bounds.

    Where there is no such place it is the middle.
    """
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t) if a.t != b.t else math.nan
    square = d1 * d1 - a.slope * b.slope
    if square >= 0:
        d2 = math.sqrt(square)
        divisor = b.slope - a.slope + 2 * d2
        place = b.t - (b.t - a.t) * (b.slope + d2 - d1) / divisor if divisor else math.nan
        if math.isfinite(place):
            return min(max(place, least), most)
    return (least + most) / 2
