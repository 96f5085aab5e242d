"""Where nobody looked: other inputs at which a gradient may be wrong though it is right here.

Zeros, ties, whole numbers, sizes from 1e-3 to 1000, a row of zeros, one large element, other batch
sizes, and both sides of the values at which forward takes another branch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import Function
from npnet.typing import Array

_BANDS = ((1e-3, 0.1), (0.1, 1.0), (1.0, 4.0), (4.0, 10.0), (10.0, 100.0), (100.0, 1000.0))
_COVERED = 24  # values of each band that are visited
_MOST = 3  # times that a band is visited for it
_GRID = 96  # sizes at which branches are looked for, on either side of 0
_BRANCHES = 6
_Domain = tuple[float, float] | None


class Place(NamedTuple):
    """Inputs to visit, and how a sentence says where that is."""

    says: str
    inputs: list[Array]


def places(
    inputs: Sequence[Array], moving: Sequence[int], rng: np.random.Generator, domain: _Domain = None
) -> Iterator[list[Place]]:
    """Yield places, each with those to visit in its stead if forward cannot be computed there.

    `moving` says which inputs may be changed: all of them at once, then each alone. Numbers
    outside of the `domain` are not visited.
    """
    low, high = (-np.inf, np.inf) if domain is None else domain
    for group in (list(moving), *([i] for i in moving if len(moving) > 1)):
        times = min((inputs[i].size for i in group), default=1)
        times = max(1, min(_MOST, _COVERED // max(1, times)))
        where = "" if group == list(moving) else f" of input {group[0]}"
        for drawn in zip(*(_numbers(inputs[i], rng, times, domain) for i in group), strict=True):
            found = []
            for arrays in zip(*(alternatives for _, alternatives in drawn), strict=True):
                if all(((x >= low) & (x <= high)).all() for x in arrays):
                    found.append(Place(drawn[0][0] + where, _replaced(inputs, group, arrays)))
            yield found


def _replaced(
    inputs: Sequence[Array], where: Sequence[int], arrays: Sequence[Array]
) -> list[Array]:
    found = [np.array(x) for x in inputs]
    for i, x in zip(where, arrays, strict=True):
        found[i] = np.asarray(x, np.float64)
    return found


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
    share = (rng.permutation(count) + rng.uniform(0, 1, count)) / max(1, count)
    wide = high > 20 * low
    found = low * (high / low) ** share if wide else low + (high - low) * share
    return np.asarray(found.reshape(shape))


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
    for i in moving:
        variable = function.given[i]

        def value(t: float, variable: Array = variable) -> float:
            variable.fill(t)
            return float(r @ function.here_now())

        with function.restored():
            found = branches(value, 1e-12 * float(np.abs(r).sum()))
        for at in found:
            for says, shift in (
                (f"at inputs of {at:g}, where forward takes another branch", 0.0),
                (f"at inputs a little above {at:g}", abs(at) or 1.0),
                (f"at inputs a little below {at:g}", -(abs(at) or 1.0)),
            ):
                share = 10.0 ** rng.uniform(-4, -0.7, variable.shape)
                yield Place(says, _replaced(given, [i], [at + shift * share]))


def branches(value: Callable[[float], float], smallest: float) -> list[float]:
    """Find values at which a function takes another branch: its slope jumps there.

    Second differences over a grid are compared with those beside them; where one stands out, the
    place is closed in on. Changes below `smallest` may be rounding.
    """
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
    middle = 0.5 * (a + b)
    nice = float(np.round(middle, 6))
    return nice if abs(nice - middle) <= abs(b - a) + 1e-9 * abs(middle) else float(middle)
