r"""Derivatives along lines by differences, each with an error bar.

With fixed upstream gradients r, backward returns the gradient of s = <r, y>. A difference of s is
summed output by output, <r, y(+h) - y(-h)>, so that large outputs which do not change cost no
digits. `glance` takes two steps and says where the analytic value is right beyond doubt; `sweep`
tries all steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import EPS, Function
from npnet.gradcheck.numeric.lines import Line, direction_line, random_direction
from npnet.typing import Array

ROUNDING = 4.0  # units in the last place by which an output may be off
_TIGHT = 1e-9  # a value is good enough if its bar is below this share of its size


class Slopes(NamedTuple):
    """Derivatives along lines (m) of the sums <r, y> for several upstream gradients r (k).

    Attributes
    ----------
    value, error : ndarray, shape (m, k)
        The error bar is infinite where no step could be used.
    size : ndarray, shape (m, k)
        Sum of the sizes of the outputs' contributions: what `value` is before cancellation.
    grain : ndarray, shape (m, k)
        The slope that would change all outputs concerned, or what cancels inside them, by
        themselves as the point doubles; a tiny share of it does not show in their digits.
    secant : ndarray, shape (m, k)
        The largest slope over steps of about the line's scale.
    lower, upper : ndarray, shape (m, k)
        At a kink, the range of the subgradients; NaN elsewhere.
    jumps : ndarray of bool, shape (m, k)
        Whether the function is discontinuous here.
    settled : ndarray of bool, shape (m,)
        Whether nothing is left to be looked at more closely.
    """

    value: Array
    error: Array
    size: Array
    grain: Array
    secant: Array
    lower: Array
    upper: Array
    jumps: Array
    settled: Array


def reach_of(function: Function, variable: Array, rng: np.random.Generator) -> float:
    """Find by which share of its size a variable must move to change the outputs markedly.

    An honest unit of length for the steps: exp(20 x) must take small ones. It is 1 if moving by
    its own size changes the outputs by less than four times theirs.
    """
    here, reach = float(function.weights[0] @ np.abs(function.here)), 1.0
    if variable.size == 0 or here == 0 or not math.isfinite(here):
        return 1.0
    line = direction_line([variable], [random_direction(variable, 1.0, rng)])

    def change(reach: float) -> float:
        rows, _ = function.rows([line], np.array([[reach]]))
        return float(function.weights[0] @ np.abs(rows[0, 0] - function.here)) / here

    there = change(reach)
    while reach > 2.0**-48 and not there < 4:
        nearer = change(reach / 8)
        if there <= 100 * nearer:  # large, but no steeper than a parabola
            break
        reach, there = reach / 8, nearer
    return reach if math.isfinite(there) and reach > 2.0**-48 else 1.0  # at the end of a domain


def glance(function: Function, lines: Sequence[Line], analytic: Array) -> Slopes:
    """Differentiate along every line with two steps, and compare with analytic values, (m, k).

    Settled only where these agree and the function is as good as straight.
    """
    weights, h = function.weights.T, np.array([[line.scale * 2.0**-17] for line in lines])
    y, t = function.rows(lines, h * np.array([1.0, -1.0]))
    change, span = y[:, 0] - y[:, 1], t[:, :1] - t[:, 1:]
    value, size = change @ function.upstream.T / span, np.abs(change) @ weights / span
    outputs = np.abs(y).sum(axis=1) * (change != 0) @ weights
    rough = ROUNDING * EPS * outputs / span
    # What is small beside the largest slope, and says enough about each.
    slack = np.minimum(_TIGHT * size.max(axis=0, initial=0.0), 1e-4 * size)
    gap = np.abs(y[:, 0] - 2 * function.here + y[:, 1]) @ weights / h
    error = _TIGHT * size + slack + rough
    settled = (np.abs(analytic - value) <= error) & np.isfinite(error)
    settled &= (rough <= 10 * _TIGHT * size) | (rough <= slack)
    settled &= gap <= np.maximum(2.0**-10 * size, 2.0**-14 * size.max(axis=0, initial=0.0))
    none, sizes = np.full_like(value, np.nan), np.array([[line.size] for line in lines])
    return Slopes(
        value, error, size, outputs / 2 / sizes, size.copy(), none, none.copy(),
        np.zeros(value.shape, bool), settled.all(axis=1),
    )  # fmt: skip
