"""What float32 gets wrong by more than rounding, values and gradients."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import Function
from npnet.typing import Array

_EPS32 = float(np.finfo(np.float32).eps)
_LARGE = 1e37  # near the end of float32
_TRIES = 6  # how often everything is moved


def _nearby(functions: Sequence[Function], upstream: Array) -> Iterator[Array]:
    """Move the variables of functions by a unit in the last place, up or down."""
    rng, dtype = np.random.default_rng(0), functions[0].dtype

    def shaken(x: Array) -> Array:
        unit = np.where(x == 0, 0.0, np.spacing(np.abs(x).astype(dtype)))
        moved = x + unit * rng.choice([-1.0, 1.0], x.shape)
        return np.asarray(moved.astype(dtype), np.float64)

    with contextlib.ExitStack() as stack:
        kept, *_ = [stack.enter_context(function.restored()) for function in functions]
        for _ in range(_TRIES):
            for i, k in enumerate(kept):
                moved = shaken(k)
                for function in functions:
                    function.variables[i][...] = moved
            yield shaken(upstream)


class Mismatch(NamedTuple):
    """One result that float32 gets wrong by more than rounding."""

    name: str
    at: tuple[int, ...]
    single: float
    double: float
    factor: float | None  # by which all its elements are off, if there is one


class Float32:
    """A function in float32 beside the same numbers, upstream gradients and draws in float64."""

    def __init__(self, single: Function, double: Function) -> None:
        self.single, self.double = single, double
        for v, w in zip(single.variables, double.variables, strict=True):
            w[...] = v
        double.here = double.here_now()
        self._upstream = single.upstream[:1].astype(np.float32).astype(np.float64)
        count = len(double.shapes)
        self._names = [f"output {i}" if count > 1 else "output" for i in range(count)]
        self._names += [f"gradient of {name}" for name in double.names]
        self._shapes = [*double.shapes, *(v.shape for v in double.variables)]
        self._ends = np.cumsum([math.prod(shape) for shape in self._shapes])[:-1]
        self._results = self._both(self._upstream)

    def mismatches(self) -> list[Mismatch]:
        """Compare outputs and gradients; one entry for each tensor that is off."""
        if self._results is None:
            return []
        (ours, true), allowed = self._results, self._basic(self._results[1])
        if not (np.abs(ours - true) <= allowed).all():
            allowed = self._allowed(self._results)
        parts = (np.split(x, self._ends) for x in (ours, true, allowed))
        found = (_mismatch(*one) for one in zip(self._names, self._shapes, *parts, strict=True))
        return [one for one in found if one is not None]

    def allowances(self) -> list[Array] | None:
        """Return for each variable, shape (size, 1), what rounding in float32 may cost."""
        if self._results is None:
            return None
        allowed = np.split(np.nan_to_num(self._allowed(self._results)), self._ends)
        return [a[:, None] for a in allowed[len(self.double.shapes) :]]

    def _allowed(self, results: Array) -> Array:
        """Return how far results may be apart: by how much they, and their gaps, vary nearby."""
        moved = _nearby((self.single, self.double), self._upstream)
        nearby = [self._both(upstream) for upstream in moved]
        single, double = np.stack([results, *(x for x in nearby if x is not None)], axis=1)
        with np.errstate(invalid="ignore"):
            gap, moves = single - double, np.abs(double - double[0])
        gap[~np.isfinite(gap)] = np.nan
        gap[0] = np.nan_to_num(gap[0])
        spread = np.fmax.reduce(gap) - np.fmin.reduce(gap)
        return np.asarray(self._basic(results[1]) + 4 * (spread + np.fmax.reduce(moves)))

    def _both(self, upstream: Array) -> Array | None:
        """Return the results in float32 and float64, (2, N), if there are any."""
        found = []
        for function in (self.single, self.double):
            gradients = function.analytic(upstream)
            if gradients is None:
                return None
            found.append(np.concatenate([function.here_now(), *(g[:, 0] for g in gradients)]))
        return np.array(found)

    def _basic(self, true: Array) -> Array:
        """Return a few units of the largest element, and of what may cancel inside."""
        double, parts = self.double, np.split(true, self._ends)
        count, loud = len(double.shapes), _largest(self._upstream)
        inside = max(1.0, *map(_largest, double.variables))
        result = max(1.0, *map(_largest, parts[:count]))
        floors = [inside] * count
        for v in double.variables:
            is_input = any(v is x for x in double.inputs)
            floors.append(loud * (max(inside, result) if is_input else inside * result))
        sizes = [np.where(np.isfinite(t), np.abs(t), 0.0) + _largest(t) for t in parts]
        units = [64 * size + 16 * floor for size, floor in zip(sizes, floors, strict=True)]
        return _EPS32 * np.concatenate(units)


def _largest(x: Array) -> float:
    return float(np.abs(x[np.isfinite(x)]).max(initial=0.0))


def _mismatch(
    name: str, shape: tuple[int, ...], ours: Array, true: Array, allowed: Array
) -> Mismatch | None:
    fits = np.isfinite(true) & (np.abs(true) < _LARGE)
    fits &= allowed <= 1 + np.abs(true)  # beside inputs of 1e8 float32 loses a one
    off = fits & ~(np.abs(ours - true) <= allowed)
    if not off.any():
        return None
    share = np.where(off, np.abs(ours - true) / (np.abs(true) + allowed), -1.0)
    worst = int(np.nan_to_num(share, nan=np.inf).argmax())
    big = fits & (np.abs(true) > 100 * allowed)
    ratios, factor = ours[big] / true[big], None
    if big.any() and np.isfinite(ratios).all():
        middle = float(np.median(ratios))
        factor = middle if (np.abs(ratios - middle) <= 1e-4 * abs(middle)).all() else None
    index = tuple(int(k) for k in np.unravel_index(worst, shape))
    return Mismatch(name, index, float(ours[worst]), float(true[worst]), factor)
