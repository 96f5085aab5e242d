"""What rounding alone may do: to gradients in float64, and to everything in float32.

Rounding errors change with the last digit of what goes in; a wrong formula does not. So everything
is moved by units in the last place, and what moves with it is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from npnet.gradcheck.numeric.function import Function
from npnet.typing import Array

EPS32 = float(np.finfo(np.float32).eps)
_LARGE = 1e37  # near the end of float32
_SMALL = 1e-36
_ROUNDS = ((6, 2), (24, 8))  # how often everything is moved, and by at most how many units


def shaken(x: Array, rng: np.random.Generator, units: int = 1, dtype: Any = np.float64) -> Array:
    """Move every element by one to `units` units in the last place of `dtype`, up or down."""
    unit = np.spacing(np.abs(x).astype(dtype)).astype(np.float64)
    steps = rng.integers(1, units + 1, x.shape) * rng.choice([-1.0, 1.0], x.shape)
    return np.asarray(np.where(x == 0, 0.0, x + steps * unit))


def rounding_moves(function: Function, tries: int = 6) -> list[Array]:
    """Return how far the analytic gradients, (size, k) each, move with the last digits.

    Zero if the layer raises nearby.
    """
    rng = np.random.default_rng(0)
    still = function.analytic()
    moved = [np.zeros((v.size, len(function.upstream))) for v in function.variables]
    with function.restored() as kept:
        for _ in range(tries):
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
    """One result that float32 gets wrong by more than rounding."""

    name: str
    index: tuple[int, ...]
    single: float
    double: float
    factor: float | None
    """The constant factor by which all elements are off, if there is one."""


class Float32:
    """A function in float32 beside the same numbers in float64.

    Parameters
    ----------
    single, double : Function
        With the same upstream gradients and random draws; variables of `double` are set to those
        of `single`.
    """

    def __init__(self, single: Function, double: Function) -> None:
        self.single, self.double = single, double
        for v, w in zip(single.variables, double.variables, strict=True):
            w[...] = v
        self._upstream = single.upstream[:1].astype(np.float32).astype(np.float64)
        sizes = [np.abs(v).max(initial=0.0) for v in double.variables]
        self._largest = max(sizes, default=0.0)
        self.names = [f"output {i}" if len(double.shapes) > 1 else "output"
                      for i in range(len(double.shapes))]  # fmt: skip
        self.names += [f"gradient of {name}" for name in double.names]
        self.shapes = [*double.shapes, *(v.shape for v in double.variables)]

    def mismatches(self) -> list[Mismatch]:
        """Compare outputs and gradients; one entry for each tensor that is off."""
        first = self._both(self._upstream)
        if first is None:
            return []
        ours, true = first
        allowed = self._basic(true)
        gaps = [np.abs(a - b) for a, b in zip(ours, true, strict=True)]
        rng = np.random.default_rng(0)
        low, high, moved = _unmoved(ours, true)
        for tries, units in _ROUNDS:
            if all((g <= a).all() for g, a in zip(gaps, allowed, strict=True)):
                return []
            self._widen(low, high, moved, true, tries, units, rng)
            allowed = [
                basic + 4 * (h - lo) + 4 * m
                for basic, h, lo, m in zip(self._basic(true), high, low, moved, strict=True)
            ]
        return [
            found
            for i in range(len(ours))
            if (found := self._mismatch(i, ours[i], true[i], allowed[i])) is not None
        ]

    def allowances(self) -> list[Array]:
        """Return for each variable, shape (size, 1), what rounding in float32 may cost."""
        first = self._both(self._upstream)
        if first is None:
            return [np.zeros((v.size, 1)) for v in self.double.variables]
        ours, true = first
        low, high, moved = _unmoved(ours, true)
        self._widen(low, high, moved, true, *_ROUNDS[0], np.random.default_rng(0))
        basic = self._basic(true)
        parts = zip(basic, high, low, moved, strict=True)
        allowed = [b + 4 * (h - lo + m) for b, h, lo, m in parts]
        return [np.nan_to_num(a)[:, None] for a in allowed[len(self.double.shapes) :]]

    def _widen(
        self,
        low: list[Array],
        high: list[Array],
        moved: list[Array],
        true: list[Array],
        tries: int,
        units: int,
        rng: np.random.Generator,
    ) -> None:
        """Note how the gap between both, and the float64 results, move with the last digits."""
        with self.single.restored() as kept, self.double.restored():
            for _ in range(tries):
                pairs = zip(self.single.variables, self.double.variables, kept, strict=True)
                for v, w, k in pairs:
                    v[...] = shaken(k, rng, units, np.float32)
                    w[...] = v
                upstream = shaken(self._upstream, rng, units, np.float32)
                both = self._both(upstream.astype(np.float32).astype(np.float64))
                if both is None:
                    return
                for i, (a, b) in enumerate(zip(*both, strict=True)):
                    gap = np.where(np.isfinite(a - b), a - b, low[i])
                    np.fmin(low[i], gap, out=low[i])
                    np.fmax(high[i], gap, out=high[i])
                    np.fmax(moved[i], np.abs(b - true[i]), out=moved[i])

    def _both(self, upstream: Array) -> tuple[list[Array], list[Array]] | None:
        found = []
        for function in (self.single, self.double):
            gradients = function.analytic(upstream)
            outputs = function.outputs()
            if gradients is None:
                return None
            found.append([y.reshape(-1) for y in outputs] + [g[:, 0] for g in gradients])
        return found[0], found[1]

    def _basic(self, true: list[Array]) -> list[Array]:
        """A few units of the largest element, and of what may cancel inside.

        That is as large as the inputs, the outputs and one, and in parameters' gradients as
        their product: 1 - sigmoid(x) is lost beside 1, whatever it is multiplied by.
        """
        count = len(self.double.shapes)
        loud = float(np.abs(self._upstream).max(initial=0.0))
        inside = max(1.0, self._largest)
        result = max(1.0, *(np.abs(t[np.isfinite(t)]).max(initial=0.0) for t in true[:count]))
        floors = [inside] * count
        for v in self.double.variables:
            is_input = any(v is x for x in self.double.inputs)
            floors.append(loud * (max(inside, result) if is_input else inside * result))
        found = []
        for t, floor in zip(true, floors, strict=True):
            size = np.where(np.isfinite(t), np.abs(t), 0.0)
            largest = size.max(initial=0.0)
            found.append(EPS32 * (64 * (size + largest) + 16 * floor) + _SMALL)
        return found

    def _mismatch(self, i: int, ours: Array, true: Array, allowed: Array) -> Mismatch | None:
        fits = np.isfinite(true) & (np.abs(true) < _LARGE)
        off = fits & ~(np.abs(ours - true) <= allowed)
        if not off.any():
            return None
        ratio = np.where(off, np.abs(ours - true) / (np.abs(true) + allowed), -1.0)
        worst = int(np.nan_to_num(ratio, nan=np.inf).argmax())
        index = tuple(int(k) for k in np.unravel_index(worst, self.shapes[i]))
        big = fits & (np.abs(true) > 100 * allowed)
        ratios, factor = ours[big] / true[big], None
        if big.any() and np.isfinite(ratios).all():
            middle = float(np.median(ratios))
            factor = middle if (np.abs(ratios - middle) <= 1e-4 * abs(middle)).all() else None
        return Mismatch(self.names[i], index, float(ours[worst]), float(true[worst]), factor)


def _unmoved(ours: list[Array], true: list[Array]) -> tuple[list[Array], list[Array], list[Array]]:
    """Return the lowest and highest gap seen, and how far float64 has moved, at the start."""
    with np.errstate(invalid="ignore"):
        gaps = [
            np.nan_to_num(a - b, posinf=0.0, neginf=0.0) for a, b in zip(ours, true, strict=True)
        ]
    return gaps, [g.copy() for g in gaps], [np.zeros_like(g) for g in gaps]
