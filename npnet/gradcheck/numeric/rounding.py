"""What rounding alone may do: to gradients in float64, and to everything in float32.

Rounding errors change with the last digit of what goes in; a wrong formula does not. So everything
is moved by units in the last place, and what moves with it is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from npnet.gradcheck.numeric.function import Function
from npnet.typing import Array

_EPS32 = float(np.finfo(np.float32).eps)
_LARGE, _SMALL = 1e37, 1e-36  # near the ends of float32
_TRIES, _UNITS = 6, 2  # how often everything is moved, and in float32 by how many units
_Results = tuple[list[Array], list[Array]]  # in float32 and in float64


def shaken(x: Array, rng: np.random.Generator, units: int = 1, dtype: Any = np.float64) -> Array:
    """Move every element by one to `units` units in the last place of `dtype`, up or down."""
    unit = np.spacing(np.abs(x).astype(dtype)).astype(np.float64)
    steps = rng.integers(1, units + 1, x.shape) * rng.choice([-1.0, 1.0], x.shape)
    return np.asarray(np.where(x == 0, 0.0, x + steps * unit))


def rounding_moves(function: Function) -> list[Array]:
    """Return how far the analytic gradients, (size, k) each, move with the last digits.

    Zero if the layer raises nearby.
    """
    rng = np.random.default_rng(0)
    still = function.analytic()
    moved = [np.zeros((v.size, len(function.upstream))) for v in function.variables]
    with function.restored() as kept:
        for _ in range(_TRIES):
            for v, k in zip(function.variables, kept, strict=True):
                v[...] = shaken(k, rng)
            now = function.analytic(shaken(function.upstream, rng))
            if still is None or now is None:
                break
            for found, a, b in zip(moved, still, now, strict=True):
                np.maximum(found, np.nan_to_num(np.abs(a - b), nan=np.inf), out=found)
    return moved


@dataclass
class Mismatch:
    """One result that float32 gets wrong by more than rounding.

    `factor` is the constant one by which all its elements are off, if there is one.
    """

    name: str
    index: tuple[int, ...]
    single: float
    double: float
    factor: float | None


class Float32:
    """A function in float32 beside the same numbers, upstream gradients and draws in float64.

    The results compared are all outputs and the gradients of all variables, flattened.
    """

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
        self._results = self._both(self._upstream)

    def mismatches(self) -> list[Mismatch]:
        """Compare outputs and gradients; one entry for each tensor that is off."""
        if self._results is None:
            return []
        allowed = self._basic(self._results[1])
        triples = zip(*self._results, allowed, strict=True)
        if not all((np.abs(a - b) <= c).all() for a, b, c in triples):
            allowed = self._allowed(self._results)
        compared = zip(self._names, self._shapes, *self._results, allowed, strict=True)
        found = [_mismatch(*one) for one in compared]
        return [one for one in found if one is not None]

    def allowances(self) -> list[Array] | None:
        """Return for each variable, shape (size, 1), what rounding in float32 may cost."""
        if self._results is None:
            return None
        allowed = self._allowed(self._results)[len(self.double.shapes) :]
        return [np.nan_to_num(a)[:, None] for a in allowed]

    def _allowed(self, results: _Results) -> list[Array]:
        """Return how far results may be apart: by how much they, and their gaps, vary nearby."""
        found, nearby = self._basic(results[1]), [results, *self._nearby()]
        for i, basic in enumerate(found):
            single, double = (np.array([one[side][i] for one in nearby]) for side in (0, 1))
            with np.errstate(invalid="ignore"):
                gap, moved = single - double, np.abs(double - double[0])
            gap[~np.isfinite(gap)] = np.nan
            gap[0] = np.nan_to_num(gap[0])
            spread = np.fmax.reduce(gap) - np.fmin.reduce(gap)
            found[i] = basic + 4 * (spread + np.fmax.reduce(moved))
        return found

    def _nearby(self) -> Iterator[_Results]:
        """Yield results where everything is moved by a few units in the last place."""
        rng = np.random.default_rng(0)
        with self.single.restored() as kept, self.double.restored():
            for _ in range(_TRIES):
                pairs = zip(self.single.variables, self.double.variables, kept, strict=True)
                for v, w, k in pairs:
                    v[...] = shaken(k, rng, _UNITS, np.float32)
                    w[...] = v
                upstream = shaken(self._upstream, rng, _UNITS, np.float32)
                both = self._both(upstream.astype(np.float32).astype(np.float64))
                if both is not None:
                    yield both

    def _both(self, upstream: Array) -> _Results | None:
        found = []
        for function in (self.single, self.double):
            gradients = function.analytic(upstream)
            if gradients is None:
                return None
            outputs = [y.reshape(-1) for y in function.outputs()]
            found.append([*outputs, *(g[:, 0] for g in gradients)])
        return found[0], found[1]

    def _basic(self, true: list[Array]) -> list[Array]:
        """Return a few units of the largest element, and of what may cancel inside.

        That is as large as the inputs, the outputs and one, and in parameters' gradients as
        their product: 1 - sigmoid(x) is lost beside 1, whatever it is multiplied by.
        """
        double, count = self.double, len(self.double.shapes)
        loud = _largest(self._upstream)
        inside = max(1.0, *map(_largest, double.variables))
        result = max(1.0, *map(_largest, true[:count]))
        floors = [inside] * count
        for v in double.variables:
            is_input = any(v is x for x in double.inputs)
            floors.append(loud * (max(inside, result) if is_input else inside * result))
        sizes = [np.where(np.isfinite(t), np.abs(t), 0.0) + _largest(t) for t in true]
        pairs = zip(sizes, floors, strict=True)
        return [_EPS32 * (64 * size + 16 * floor) + _SMALL for size, floor in pairs]


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
