r"""Derivatives along lines by differences, each with an error bar.

With fixed upstream gradients r, backward returns the gradient of s = <r, y>. A difference of s is
summed output by output, <r, y(+h) - y(-h)>, so that large outputs which do not change cost no
digits. `glance` takes two steps and says where the analytic value is right beyond doubt.

`sweep` settles the rest. The step goes from larger than the point down to the last digits,
neighbours are extrapolated (Richardson), and the steps vote: the error bar of a step is how far the
extrapolated value moves with the next step, plus the rounding noise of the outputs divided by the
step, and a step counts only if its value agrees with those of all smaller steps. A kink or a steep
place beyond the smallest steps therefore does no harm.

References
----------
C. J. F. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Software 4 (1982).
J. J. More, S. M. Wild, "Estimating derivatives of noisy simulations", ACM TOMS 38 (2012).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.function import EPS, Function, Line, direction_line, random_direction
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

ROUNDING = 4.0  # units in the last place by which an output may be off
_TIGHT = 1e-9  # a value is good enough if its bar is below this share of its size
_RATIO = 8.0  # between the steps of the sweep
_COARSE = 3  # how many steps of the sweep are of about the scale
_BEYOND_ROUNDING = 2.0**60  # by so much, a change shows in any output that depends on it
_UNSURE = 3e-4  # a wider error bar, as a share of the slope, says too little
_UNSEEN = 1e-9  # and as a share of the outputs themselves
_FLAT = 1e-5  # where the slope may be zero, as a share of that over large steps
_DEEP = 2.0**-40  # the share of the slope over large steps that rounding inside hides
_UNDERFLOW = 1e-300
_FAR = 2.0**20  # less than 2**26, so that no staircase looks like rounding from afar
_NEAR = np.array([0.137, -0.211, 0.377, -0.433, 0.71, -1.0])  # no two of them symmetric
_ENOUGH = 24  # suspects in a row that are wrong, after which the others are believed to be


class Slopes(NamedTuple):
    """Derivatives along m lines of the sums <r, y> for k upstream gradients r, (m, k) each."""

    value: Array
    error: Array  # infinite where no step could be used
    size: Array  # of the contributions of all outputs, before they cancel
    grain: Array  # what doubles the outputs, or what cancels inside: a tiny share is not seen
    secant: Array  # the largest slope over steps of about the line's scale
    lower: Array  # at a kink, the range of the subgradients; NaN elsewhere
    upper: Array
    jumps: Array  # whether the function is discontinuous here
    settled: Array  # (m,), whether nothing is left to be looked at more closely


def reach_of(function: Function, variable: Array, rng: np.random.Generator) -> float:
    """Find by which share of its size a variable must move to change the outputs markedly."""
    here, reach = float(function.weights[0] @ np.abs(function.here)), 1.0
    if variable.size == 0 or here == 0 or not math.isfinite(here):
        return 1.0
    line = direction_line([variable], [random_direction(variable, rng)])

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
    """Differentiate along every line with two steps, and compare with analytic values, (m, k)."""
    weights = function.weights.T
    h = np.array([line.scale * 2.0**-17 for line in lines]).reshape(-1, 1)  # there may be none
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
    none = np.full_like(value, np.nan)
    sizes = np.array([line.size for line in lines]).reshape(-1, 1)
    return Slopes(
        value, error, size, outputs / 2 / sizes, size.copy(), none, none.copy(),
        np.zeros(value.shape, bool), settled.all(axis=1),
    )  # fmt: skip


def sweep(function: Function, line: Line, widened: float = 1.0) -> Slopes:
    """Differentiate along one line with a sweep of steps, and look for a kink."""
    here, r, weights = function.here, function.upstream.T, function.weights.T
    scale, finest = widened * line.scale, line.finest
    levels = int(max(2, min(60.0, np.ceil(np.log(2 * scale / finest) / math.log(_RATIO)) + 1)))
    h = 2 * scale * _RATIO ** -np.arange(levels)
    far = _BEYOND_ROUNDING * scale * np.array([1.0, -1.0])
    near = min(_RATIO**2 * finest, h[0]) * _NEAR
    rows, taken = function.rows([line], np.concatenate([h, -h, far, near])[None])
    above, below, beyond, around = np.split(rows[0], [levels, 2 * levels, 2 * levels + 2])
    right, left = taken[0, :levels, None], -taken[0, levels : 2 * levels, None]
    usable = (np.isfinite(above) & np.isfinite(below) & (right > 0) & (left > 0)).all(axis=1)
    # One-sided slopes, output by output: axes (level, output).
    forward = np.where(usable[:, None], (above - here) / right, 0.0)
    backward = np.where(usable[:, None], (here - below) / left, 0.0)
    central = np.where(usable[:, None], (above - below) / (right + left), 0.0)
    depends = (usable[:, None] & ((above != here) | (below != here))).any(axis=0)
    depends |= ~depends.any()

    # Rounding noise of the outputs: assumed from their size, and seen at the smallest steps.
    largest = np.where(usable[:, None], np.maximum(np.abs(above), np.abs(below)), 0.0)
    # Numbers around one may cancel inside, 1 + tanh(x) in GELU, if outputs ever become so large.
    across = np.nan_to_num(np.abs(beyond), posinf=1.0).max(axis=0)
    inside = np.where(here == 0, 0.0, np.minimum(across, 1.0))
    outputs = np.maximum(np.maximum(largest, np.abs(here)), inside) * depends @ weights
    grains = _grains(np.abs(above - here), np.abs(below - here), usable, largest) @ weights
    seen = np.maximum(_seen_noise(around - here, taken[0, -len(near) :, None]) @ weights, grains)
    noise = (ROUNDING * EPS * outputs + seen) / h[:, None]
    noise[~usable] = np.inf

    sizes = np.abs(central) @ weights  # axes (level, upstream)
    chords = (np.abs(forward) + np.abs(backward)) / 2 @ weights  # at a minimum, not zero
    slope, gap = central @ r, np.abs(forward - backward) @ weights
    slope[~usable] = gap[~usable] = np.nan
    found = []
    for k in range(len(function.upstream)):
        value, error, best = _vote(slope[:, k], noise[:, k])
        kink = _kink(slope[:, k], gap[:, k], noise[:, k])
        secant = chords[:_COARSE, k].max()
        size, grain = sizes[best, k], outputs[best, k] / line.size
        found.append([value, error, size, grain, secant, *kink])
    *fields, jumps = np.array(found).T[:, None]
    return Slopes._make([*fields, jumps > 0, ~grains.any(keepdims=True)])


def _seen_noise(change: Array, steps: Array) -> Array:
    """Return how far outputs (m, output) stray from a parabola at some small steps (m, 1)."""
    change = np.where(np.isfinite(change).all(axis=0), change, 0.0)
    units = steps / max(float(np.abs(steps).max()), _UNDERFLOW)
    powers = np.hstack([units, units * units])
    smooth = powers @ np.linalg.lstsq(powers, change, rcond=None)[0]
    return 2 * np.asarray(np.abs(change - smooth).max(axis=0))


def _grains(above: Array, below: Array, usable: Array, largest: Array) -> Array:
    """Return the steps in which outputs move that are differences of larger, rounded numbers."""
    used = usable[:, None]
    up = np.where(used & (above > 0), above, np.inf).min(axis=0)
    down = np.where(used & (below > 0), below, np.inf).min(axis=0)
    smallest = np.minimum(up, down)
    rounded = np.isfinite(smallest) & (np.maximum(up, down) <= _RATIO**2 * smallest)
    rounded &= smallest <= np.maximum(2.0**-26 * largest.max(axis=0), 8 * EPS)
    rounded &= (used & (above == 0) & (below == 0)).any(axis=0)
    return np.where(rounded, smallest, 0.0)


def _vote(slope: Array, noise: Array) -> tuple[float, float, int]:
    """Choose the best of the levels: the value, its error bar, the level."""
    better = slope[1:] + np.diff(slope) / (_RATIO**2 - 1)
    moves = np.append(np.abs(np.diff(better)), np.abs(slope[-1] - slope[-2]))
    bars = 3 * (moves + 2 * noise[1:])
    low, high = -np.inf, np.inf
    found = np.nan, np.inf, 0
    for i in np.flatnonzero(np.isfinite(bars))[::-1]:
        low, high = max(low, better[i] - bars[i]), min(high, better[i] + bars[i])
        if low > high:
            break
        if bars[i] < found[1]:
            found = better[i], bars[i], i + 1
    return found


def _kink(middle: Array, gap: Array, noise: Array) -> tuple[float, float, bool]:
    """Find whether the gap between the one-sided slopes stays as the step shrinks."""
    clear = np.flatnonzero((noise <= 1e-3 * gap) & (gap > 0))  # False where NaN
    at = clear[-1] if clear.size else 0  # the smallest step that shows the gap clearly
    height, before, after = gap[at], gap[at - 1], gap[min(at + 1, len(gap) - 1)]
    closes = (noise[at + 1 :] <= 0.1 * height) & ~(gap[at + 1 :] >= 0.5 * height)
    if at == 0 or closes.any() or not height >= 0.5 * before:
        return np.nan, np.nan, False
    lower, upper = middle - gap / 2, middle + gap / 2
    moves = np.abs(np.diff(lower)) + np.abs(np.diff(upper)) + 2 * noise[1:]
    moves[~np.isfinite(moves) | ~(gap[1:] <= 2 * height) | (gap[1:] < height / 2)] = np.inf
    best = 1 + moves[:at].argmin()
    margin, jumps = moves[best - 1], height >= 4 * before and not after < 2 * height
    return lower[best] - margin, upper[best] + margin, jumps


class Judged(NamedTuple):
    """Verdicts on m elements (m,), each for that of the k upstream gradients that shows it best."""

    verdicts: Array
    analytic: Array
    numeric: Array
    error: Array
    slopes: Slopes  # for all upstream gradients


def judge(analytic: Array, slopes: Slopes, allowed: Array | float = 0.0) -> Judged:
    """Compare analytic values, shape (m, k), with slopes; `allowed` is added to the error bars."""
    kinked = np.isfinite(slopes.lower) & ~slopes.jumps
    value = np.where(kinked, (slopes.lower + slopes.upper) / 2, slopes.value)
    error = np.where(kinked, (slopes.upper - slopes.lower) / 2, slopes.error)
    size = np.maximum(np.maximum(slopes.size, np.abs(value)), np.abs(analytic))
    limit = np.maximum(_UNSURE * size, _UNSEEN * slopes.grain) + _UNDERFLOW
    limit = np.maximum(limit, np.where(np.abs(value) <= error, _FLAT * slopes.secant, 0.0))
    vague = (error > limit) & ~kinked
    error = error + allowed + _DEEP * slopes.secant + _UNDERFLOW
    off = np.abs(analytic - value)
    verdicts = np.where(kinked, Verdict.KINK, np.where(vague, Verdict.NOISE, Verdict.OK))
    verdicts[off > error] = Verdict.WRONG
    verdicts[slopes.jumps | ~np.isfinite(value) | ~np.isfinite(error)] = Verdict.NOISE
    verdicts[~np.isfinite(analytic)] = Verdict.WRONG
    verdicts[np.isinf(analytic) & (analytic == value)] = Verdict.OK
    # Of several upstream gradients, the first of those that say the worst: wrong, noise, kink, ok.
    rank = np.array([0, 3, 1, 2])[verdicts]
    telling = rank.argmax(axis=1)[:, None]
    fields = (verdicts, analytic, value, error)
    chosen = [np.take_along_axis(f, telling, axis=1)[:, 0] for f in fields]
    return Judged._make([*chosen, slopes])


def differentiate(
    function: Function, lines: Sequence[Line], analytic: Array, allowed: Array
) -> Slopes:
    """Differentiate along m lines, as closely as it takes to judge analytic values, (m, k)."""
    slopes = glance(function, lines, analytic)
    suspects = ~slopes.settled | (judge(analytic, slopes, allowed).verdicts != Verdict.OK)
    in_a_row = 0
    # In a mixed order, the first ones stand for all.
    for i in np.random.default_rng(0).permutation(np.flatnonzero(suspects)).tolist():
        line, own = lines[i], slice(i, i + 1)
        found = sweep(function, line)
        if np.isinf(analytic[i]).any():
            steep = _is_steep(function, line, analytic[i])
            found.value[0, steep] = analytic[i, steep]
        verdict = judge(analytic[own], found, allowed[own]).verdicts[0]
        # 1 - cos(x) near zero is lost in rounding before the step is far larger than x.
        still = not found.size.any() and analytic[i].any()
        if still or (verdict == Verdict.NOISE and not found.settled[0]):
            far = sweep(function, line, _FAR)
            # Where far steps see nothing either, they say nothing about a slope that saturates.
            found = far if far.size.any() else found
            verdict = judge(analytic[own], found, allowed[own]).verdicts[0]
        for field, value in zip(slopes, found, strict=True):
            field[i] = value[0]
        in_a_row = in_a_row + 1 if verdict == Verdict.WRONG else 0
        if in_a_row == _ENOUGH:
            break
    return slopes


def _is_steep(function: Function, line: Line, analytic: Array) -> Array:
    """Mark infinite values (k,) where the function is infinitely steep, as the root is at 0."""
    steps = line.scale * 2.0 ** np.array([-10.0, -20.0, -30.0])
    y, t = function.rows([line], np.concatenate([steps, -steps])[None])
    slopes = (y[0] - function.here) / t[0, :, None] @ function.upstream.T
    found = np.zeros(analytic.shape, bool)
    for first, second, third in np.split(slopes, 2):
        # A slope that converges changes a thousand times less with the second step.
        steep = np.abs(third - second) >= 0.5 * np.abs(second - first)
        steep &= (np.abs(third) > np.abs(second)) & (np.sign(third) == np.sign(analytic))
        found |= steep & np.isinf(analytic)
    return found
