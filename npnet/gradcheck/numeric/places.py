"""Other places at which a gradient may be wrong though it is right here, and whether it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import Function, sample
from npnet.gradcheck.numeric.kinks import Kink
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

_BANDS = ((1e-3, 0.1), (0.1, 1.0), (1.0, 4.0), (4.0, 10.0), (10.0, 100.0), (100.0, 1000.0))
_COVERED = 24  # values of each band that are visited
_MOST = 3  # times that a band is visited for it
_GRID = 96  # sizes at which branches are looked for, on either side of 0
_BRANCHES = 6
_MANY = 600  # elements of a variable, above which faulty ones are located by halving
_SAMPLED = 64
_HALVINGS = 14
_Domain = tuple[float, float] | None


class Place(NamedTuple):
    """Inputs to visit, and how a sentence says where that is."""

    says: str
    inputs: list[Array]


def places(
    inputs: Sequence[Array], moving: Sequence[int], rng: np.random.Generator, domain: _Domain = None
) -> Iterator[list[Place]]:
    """Yield places, each with those to visit in its stead if forward cannot be computed there."""
    low, high = (-np.inf, np.inf) if domain is None else domain
    for group in (list(moving), *([i] for i in moving if len(moving) > 1)):
        times = min((inputs[i].size for i in group), default=1)
        times = max(1, min(_MOST, _COVERED // max(1, times)))
        where = "" if group == list(moving) else f" of input {group[0]}"
        for drawn in zip(*(_numbers(inputs[i], rng, times, domain) for i in group), strict=True):
            yield [
                Place(drawn[0][0] + where, _replaced(inputs, dict(zip(group, arrays, strict=True))))
                for arrays in zip(*(alternatives for _, alternatives in drawn), strict=True)
                if all(((x >= low) & (x <= high)).all() for x in arrays)
            ]


def _replaced(inputs: Sequence[Array], new: dict[int, Array]) -> list[Array]:
    return [np.array(new[i], float) if i in new else x.copy() for i, x in enumerate(inputs)]


def _numbers(
    x: Array, rng: np.random.Generator, times: int, domain: _Domain
) -> Iterator[tuple[str, list[Array]]]:
    """Yield numbers to put in place of an input, with alternatives, and what they are."""
    shape = x.shape
    yield "at zeros", [np.zeros(shape)]
    yield "at equal elements", [np.full(shape, 0.7)]
    yield "at whole numbers", [rng.integers(-8, 9, shape), rng.integers(1, 9, shape)]
    yield "at ties", [rng.integers(1, 3, shape) * 0.5]
    for low, high in _BANDS:
        for _ in range(times):
            sizes = _spread(shape, low, high, rng)
            signed = sizes * rng.choice([-1.0, 1.0], shape)
            yield f"at inputs of size {low:g} to {high:g}", [signed, sizes, -sizes]
    row, large = x.copy(), 0.1 * x
    if x.size:
        row[0 if x.ndim > 1 else ...] = 0.0
        large.reshape(-1)[x.size // 2] = 100.0
    yield "with a row of zeros", [row]
    yield "with one large element among small ones", [large]
    if domain is not None and np.isfinite(domain).all():
        low, high = domain
        margin = 1e-3 * (high - low)
        yield "inside the domain", [rng.uniform(low, high, shape)]
        yield "at the lower end of the domain", [rng.uniform(low, low + margin, shape)]
        yield "at the upper end of the domain", [rng.uniform(high - margin, high, shape)]


def _spread(shape: tuple[int, ...], low: float, high: float, rng: np.random.Generator) -> Array:
    """Spread sizes evenly over a range, in a random order; a wide one by their logarithms."""
    count = int(np.prod(shape))
    share = ((rng.permutation(count) + rng.uniform(0, 1, count)) / max(1, count)).reshape(shape)
    wide = high > 20 * low
    return np.asarray(low * (high / low) ** share if wide else low + (high - low) * share)


def batches(inputs: Sequence[Array], axis: int) -> Iterator[Place]:
    """Yield batches of 1, 2 and 17 samples, made of those there are, halved when used again."""
    count = min((x.shape[axis] for x in inputs), default=0)
    for size in (1, 2, 17) if count else ():
        found, numbers = [], np.arange(size)
        share = 0.5 ** (numbers // count)  # exact, so that equal numbers stay equal
        for x in inputs:
            taken = np.take(x, numbers % count, axis)
            if x.dtype.kind == "f":
                taken = taken * share.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
            found.append(taken)
        yield Place(f"with a batch of {size}", found)


def beside_branches(
    function: Function, moving: Sequence[int], rng: np.random.Generator
) -> Iterator[Place]:
    """Look for values at which forward takes another branch; yield them and both sides of each."""
    r, given = function.upstream[0], [x.copy() for x in function.given]

    def value(t: float) -> float:
        variable.fill(t)
        return float(r @ function.here_now())

    for i in moving:
        variable = function.given[i]
        with function.restored():
            found = branches(value, 1e-12 * float(np.abs(r).sum()))
        for at in found:
            for says, shift in (
                (f"at inputs of {at:g}, where forward takes another branch", 0.0),
                (f"at inputs a little above {at:g}", abs(at) or 1.0),
                (f"at inputs a little below {at:g}", -(abs(at) or 1.0)),
            ):
                share = 10.0 ** rng.uniform(-4, -0.7, variable.shape)
                yield Place(says, _replaced(given, {i: at + shift * share}))


def branches(value: Callable[[float], float], smallest: float) -> list[float]:
    """Find values at which a function takes another branch: its slope jumps there."""
    found: list[float] = []
    for at in (np.geomspace(1e-3, 1e3, _GRID), -np.geomspace(1e-3, 1e3, _GRID)):
        y = np.array([value(t) for t in at])
        with np.errstate(all="ignore"):
            slope = np.diff(y) / np.diff(at)
            bend = np.nan_to_num(np.abs(np.diff(slope)), posinf=0.0)
            noise = 1e-9 * np.abs(slope[1:])
            noise += (smallest + 1e-13 * np.abs(y[1:-1])) / np.abs(np.diff(at)[1:])
        beside = np.maximum(np.roll(bend, 2), np.roll(bend, -2))
        stands_out = bend > 4 * beside + noise
        for k in np.flatnonzero(stands_out)[:_BRANCHES]:
            place = _closed_in(value, at[k], at[k + 2])
            if place is not None and all(abs(place - f) > 1e-6 * abs(f) for f in found):
                found.append(place)
    return found[:_BRANCHES]


def _closed_in(value: Callable[[float], float], a: float, b: float) -> float | None:
    """Halve an interval towards the jump of the slope; None if there is none."""
    start, first = b - a, 0.0
    for _ in range(40):
        t = np.linspace(a, b, 5)
        y = np.array([value(v) for v in t])
        if not np.isfinite(y).all():
            return None
        bend = np.abs(np.diff(y, 2))
        k = int(bend.argmax())
        a, b, first = t[k], t[k + 2], first or bend[k]
        if bend[k] <= 1e-12 * float(np.abs(y).max()):
            break
    # With a jump of the slope half the interval leaves half of the bend; without one, a quarter;
    # at a pole or a step, all of it.
    if abs(b - a) > 1e-6 * abs(start) or bend[k] > 1e-3 * first:
        return None
    middle, nice = 0.5 * float(a + b), round(0.5 * float(a + b), 6)
    return nice if abs(nice - middle) <= abs(b - a) + 1e-9 * abs(middle) else middle


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
    return {
        i: np.arange(v.size)
        if v.size <= _MANY
        else np.union1d(sample(v.size, _SAMPLED, rng), point.located(i))
        for i, v in enumerate(point.function.variables)
    }


def region(
    findings: Sequence[Finding], right: Sequence[Array], is_right: Callable[[int, float], bool]
) -> str:
    """Say in which range of numbers an elementwise gradient is wrong; empty if there is none."""
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
            start = _end_of_region(float(below.max()), low, i, is_right) if below.size else None
            end = _end_of_region(float(above.min()), high, i, is_right) if above.size else None
            return f"the gradient of {name} is wrong exactly where {what} is " + (
                f"{low:g}" if low == high
                else f"below about {end:.4g}" if start is None
                else f"above about {start:.4g}" if end is None
                else f"between about {round(start, 6):.4g} and {round(end, 6):.4g}"
            )  # fmt: skip
    return ""


def _end_of_region(
    good: float, bad: float, i: int, is_right: Callable[[int, float], bool]
) -> float:
    """Halve the way from a number with a right gradient to one with a wrong one."""
    if is_right(i, bad):
        return (good + bad) / 2
    for _ in range(_HALVINGS):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if is_right(i, middle) else (good, middle)
    return (good + bad) / 2
