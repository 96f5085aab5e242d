r"""Derivatives along lines by differences, each with an error bar.

With fixed upstream gradients r, backward returns the gradient of s = <r, y>. A difference of s is
summed output by output, <r, y(+h) - y(-h)>, so that large outputs which do not change cost no
digits. Three ways, from the cheapest: `glance` takes two steps and says where the analytic value
is right beyond doubt; `quick` takes four or six and extrapolates them to step zero (Romberg);
`sweep` tries all steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import EPS, Function
from npnet.gradcheck.numeric.lines import DirectionLine, Lines, random_direction
from npnet.typing import Array

ROUNDING = 4.0  # units in the last place by which an output may be off
CHUNK = 2**18  # floats held at once
_TIGHT = 1e-9  # a quick value is good enough if its bar is below this share of its size


class Slopes(NamedTuple):
    """Derivatives along lines (m) of the sums <r, y> for several upstream gradients r (k).

    Attributes
    ----------
    value, error : ndarray, shape (m, k)
        The error bar is infinite where no step could be used.
    size : ndarray, shape (m, k)
        Sum of the sizes of the outputs' contributions: what `value` is before cancellation.
    grain : ndarray, shape (m, k)
        The slope that would change all outputs concerned by themselves as the point doubles; a
        tiny share of it does not show in their digits.
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
    """Find by how many times its size a variable must move to change the outputs markedly.

    An honest unit of length for the steps: a bias of 1e-9 before an output of 1 may take large
    steps, exp(20 x) must take small ones, and zeros have no size of their own. It is 1 if moving
    by its own size changes the outputs by about theirs.
    """
    here = float(function.weights[0] @ np.abs(function.here))
    if variable.size == 0 or here == 0 or not math.isfinite(here):
        return 1.0
    line = DirectionLine([variable], [random_direction(variable, 1.0, rng)])

    def change(reach: float) -> float:
        rows, _ = function.rows(line, 0, 1, np.array([[reach]]))
        return float(function.weights[0] @ np.abs(rows[0, 0] - function.here)) / here

    reach, there = 1.0, change(1.0)
    if 1e-13 < there < 1 / 8:
        larger = min(1 / there, 1e12)
        straight = 0.1 < change(larger**0.5) / (larger**0.5 * there) < 10  # saturated ones are not
        return larger if straight and change(larger) < 4 else reach
    for _ in range(40):
        if there < 4:
            break
        nearer = change(reach / 8)
        if there <= 100 * nearer:  # large, but no steeper than a parabola
            break
        reach, there = reach / 8, nearer
    return reach if math.isfinite(there) and reach > 2.0**-48 else 1.0  # at the end of a domain


def glance(function: Function, lines: Lines, analytic: Array) -> Slopes:
    """Differentiate along every line with two steps, and compare with analytic values.

    Settled only where these agree and the function is as good as straight.
    """
    count, outputs = len(lines), function.here.size
    chunk = max(1, CHUNK // (2 * outputs + 1))
    starts = range(0, count, chunk)
    parts = [_glance(function, lines, i, min(i + chunk, count), analytic) for i in starts]
    return join(parts, count, len(function.upstream))


def _glance(function: Function, lines: Lines, first: int, last: int, analytic: Array) -> Slopes:
    h = lines.scale[first:last, None] * 2.0**-17
    y, t = function.rows(lines, first, last, h * np.array([1.0, -1.0]))
    value, size, rough, outputs = _central(function, y[:, 0], y[:, 1], t[:, 0] - t[:, 1])
    gap = np.abs(y[:, 0] - 2 * function.here + y[:, 1]) @ function.weights.T / h
    error = _TIGHT * size + _slack(size) + rough
    close = np.abs(analytic[first:last] - value) <= error
    sharp = (rough <= 10 * _TIGHT * size) | (rough <= _slack(size))
    straight = gap <= np.maximum(2.0**-10 * size, 2.0**-14 * size.max(axis=0, initial=0.0))
    settled = close & sharp & straight & np.isfinite(error)
    none = np.full_like(value, np.nan)
    return Slopes(
        value, error, size, outputs / lines.size[first:last, None], size.copy(), none, none.copy(),
        np.zeros(value.shape, bool), settled.all(axis=1),
    )  # fmt: skip


def _slack(size: Array) -> Array:
    """Return the error that is small beside the largest slope, and says enough about each."""
    return np.asarray(np.minimum(_TIGHT * size.max(axis=0, initial=0.0), 1e-4 * size))


def quick(function: Function, lines: Lines) -> Slopes:
    """Differentiate along every line with four or six steps.

    Not settled where the steps disagree, the bar is wide, or a kink shows.
    """
    count, outputs = len(lines), function.here.size
    chunk = max(1, CHUNK // (4 * outputs + 1))
    parts = [_quick(function, lines, i, min(i + chunk, count)) for i in range(0, count, chunk)]
    return join(parts, count, len(function.upstream))


def _quick(function: Function, lines: Lines, first: int, last: int) -> Slopes:
    weights, here = function.weights.T, function.here
    h = lines.scale[first:last, None] * 2.0**-6
    y, t = function.rows(lines, first, last, h * np.array([1.0, -1.0, 0.5, -0.5]))
    wide, size, rough_wide, outputs = _central(function, y[:, 0], y[:, 1], t[:, 0] - t[:, 1])
    half, _, rough_half, _ = _central(function, y[:, 2], y[:, 3], t[:, 2] - t[:, 3])
    value, error = wide, np.abs(half - wide) + rough_wide
    curved = np.flatnonzero(~(np.abs(half - wide) <= rough_half).all(axis=1))
    if curved.size:
        y4, t4 = function.rows(
            lines.only(first + curved), 0, curved.size, h[curved] * np.array([0.25, -0.25])
        )
        fourth, _, rough, _ = _central(function, y4[:, 0], y4[:, 1], t4[:, 0] - t4[:, 1])
        once = (4 * half[curved] - wide[curved]) / 3
        twice = (4 * fourth - half[curved]) / 3
        value[curved] = twice + (twice - once) / 15
        error[curved] = np.abs(twice - once) / 8 + 2 * rough
    # The difference of the one-sided slopes halves with the step, unless there is a kink.
    bend = np.abs(y[:, 0] - 2 * here + y[:, 1]) @ weights / h
    bend_half = np.abs(y[:, 2] - 2 * here + y[:, 3]) @ weights / (h / 2)
    kinked = (bend_half > 0.7 * bend) & (bend_half > 8 * rough_half)
    error += 16 * EPS * size
    sharp = (error <= _TIGHT * size) | (error <= _slack(size))
    settled = (np.isfinite(error) & sharp & ~kinked).all(axis=1)
    none = np.full_like(value, np.nan)
    return Slopes(
        value, error, size, outputs / lines.size[first:last, None], size.copy(), none, none.copy(),
        np.zeros(value.shape, bool), settled,
    )  # fmt: skip


def _central(function: Function, above: Array, below: Array, span: Array) -> tuple[Array, ...]:
    """Return the central difference, its size before cancellation, its error, the outputs."""
    change = above - below
    outputs = ((np.abs(above) + np.abs(below)) * (change != 0)) @ function.weights.T
    span = span[:, None]
    return (
        change @ function.upstream.T / span,
        np.abs(change) @ function.weights.T / span,
        ROUNDING * EPS * outputs / span,
        outputs / 2,
    )


def join(parts: list[Slopes], count: int, k: int) -> Slopes:
    """Put the slopes along several groups of lines together."""
    if not parts:
        empty = np.zeros((0, k))
        return Slopes._make([*[empty] * 7, empty.astype(bool), np.zeros(0, bool)])
    return Slopes._make(np.concatenate(fields) for fields in zip(*parts, strict=True))
