r"""Derivatives by a sweep of steps, for lines on which two or three steps do not agree.

The step goes from larger than the point down to the last digits, neighbours are extrapolated
(Richardson), and the steps vote: the error bar of a step is how far the extrapolated value moves
with the next step, plus the rounding noise of the outputs divided by the step, and a step counts
only if its value agrees with those of all smaller steps. A kink or a steep place beyond the
smallest steps therefore does no harm.

References
----------
C. J. F. Ridders, "Accurate computation of F'(x) and F'(x)F''(x)", Adv. Eng. Software 4 (1982).
J. J. More, S. M. Wild, "Estimating derivatives of noisy simulations", ACM TOMS 38 (2012).
"""

from __future__ import annotations

import math

import numpy as np

from npnet.gradcheck.numeric.differences import CHUNK, ROUNDING, Slopes, join
from npnet.gradcheck.numeric.function import EPS, Function
from npnet.gradcheck.numeric.lines import Lines
from npnet.typing import Array

_RATIO = 8.0  # between the steps of the sweep
_BEYOND = 3  # larger steps over which a bend must not grow to be noise
_COARSE = 3  # how many steps of the sweep are of about the scale
_BEYOND_ROUNDING = 2.0**60  # by so much, a change shows in any output that depends on it


def sweep(function: Function, lines: Lines) -> Slopes:
    """Differentiate along every line with a sweep of steps, and look for kinks.

    Not settled where rounding makes a staircase of an output, which larger steps may cross.
    """
    count, outputs = len(lines), function.here.size
    with np.errstate(all="ignore"):
        depth = np.log(2 * lines.scale / lines.finest) / math.log(_RATIO)
    levels = int(min(60, math.ceil(float(depth.max(initial=1.0))) + 1))
    chunk = max(1, 2 * CHUNK // (2 * levels * outputs + 1))
    parts = [
        _sweep(function, lines, i, min(i + chunk, count), levels) for i in range(0, count, chunk)
    ]
    return join(parts, count, len(function.upstream))


def _sweep(function: Function, lines: Lines, first: int, last: int, levels: int) -> Slopes:
    here, r, weights = function.here, function.upstream.T, function.weights.T
    scale, finest = lines.scale[first:last], lines.finest[first:last]
    # Steps that are no multiples of each other: rounding errors that repeat would look like none.
    uneven = np.random.default_rng(0).uniform(0.8, 1.2, levels)
    h = 2 * scale[:, None] * _RATIO ** -np.arange(levels) * uneven
    far = np.stack([_BEYOND_ROUNDING * scale, 2 * lines.own[first:last]], axis=1)
    y, t = function.rows(lines, first, last, np.concatenate([h, -0.97 * h, far, -far], axis=1))
    above, below, beyond = np.split(y, [levels, 2 * levels], axis=1)
    right, left = t[:, :levels, None], -t[:, levels : 2 * levels, None]
    usable = np.isfinite(above).all(2) & np.isfinite(below).all(2)
    usable &= (right[..., 0] > 0) & (left[..., 0] > 0)
    # One-sided slopes, output by output: axes (line, level, output).
    forward = np.where(usable[..., None], (above - here) / right, 0.0)
    backward = np.where(usable[..., None], (here - below) / left, 0.0)
    central = (forward * left + backward * right) / (right + left)  # exact for a parabola
    depends = (usable[..., None] & ((above != here) | (below != here))).any(axis=1)
    # Outputs far larger than their changes may hide a slope: a bias beside 1e18, for example.
    depends |= (np.isfinite(beyond) & (beyond != here)).any(axis=1)
    depends |= ~depends.any(axis=1, keepdims=True)

    # Rounding noise of the outputs: assumed from their size, and seen at the smallest steps.
    largest = np.where(usable[..., None], np.maximum(np.abs(above), np.abs(below)), 0.0)
    # Numbers around one may cancel inside, 1 + tanh(x) in GELU, if outputs ever become so large.
    across = np.nan_to_num(np.abs(beyond[:, 1::2]), posinf=1.0).max(axis=1, keepdims=True)
    inside = np.where(here == 0, 0.0, np.minimum(across, 1.0))
    assumed = np.maximum(np.maximum(largest, np.abs(here)), inside)
    assumed *= ROUNDING * EPS * depends[:, None]
    bends = np.abs(forward - backward) * np.minimum(right, left)
    bends[~usable] = 0.0
    bends = bends @ weights
    seen = _seen_noise(bends, h >= finest[:, None])
    seen = np.maximum(seen, _plateau(bends, largest.max(axis=1) @ weights))
    grains = _grains(np.abs(above - here), np.abs(below - here), usable, largest) @ weights
    rounded = np.asarray(grains.any(axis=1))
    noise = assumed @ weights + np.maximum(seen, grains)[:, None]
    noise /= h[..., None]
    noise[~usable] = np.inf

    slope, size = central @ r, np.abs(central) @ weights  # axes (line, level, upstream)
    slope[~usable] = np.nan
    value, error, best = _vote(slope, noise, right * left)
    gap = np.abs(forward - backward) @ weights
    gap[~usable] = np.nan
    middle = (forward + backward) / 2 @ r
    lower, upper, jumps = _kinks(middle - gap / 2, middle + gap / 2, gap, noise)
    secant = np.where(usable[..., None], size, 0.0)[:, :_COARSE].max(axis=1)
    size = np.take_along_axis(size, best[:, None], axis=1)[:, 0]
    there = np.take_along_axis(largest, best[:, :1, None], axis=1)[:, 0]
    outputs = (np.maximum(np.maximum(np.abs(here), there), inside[:, 0]) * depends) @ weights
    return Slopes(
        value, error + 16 * EPS * size, size,
        outputs / lines.size[first:last, None], secant, lower, upper, jumps, ~rounded,
    )  # fmt: skip


def _seen_noise(bends: Array, useful: Array) -> Array:
    """Return how far the function strays from a line at the smallest steps.

    Noise is the same at every step; a kink grows with the step and curvature with its square. So
    all steps count, from the smallest up, until the bends have begun to grow. Axes of `bends`:
    (line, level, upstream).
    """
    noise = np.zeros((bends.shape[0], bends.shape[2]))
    counts = np.zeros(bends.shape[0], int)
    going = np.ones(noise.shape, bool)
    for i in range(bends.shape[1] - 1, -1, -1):
        here = useful[:, i]
        going &= ~here[:, None] | (counts < 3)[:, None] | (bends[:, i] <= 4 * noise)
        noise = np.where(going & here[:, None], np.maximum(noise, bends[:, i]), noise)
        counts += here
    return 2 * noise


def _plateau(bends: Array, largest: Array) -> Array:
    """Return the bends, tiny beside the outputs, that hardly grow over several steps.

    Those of a kink or a curve grow with the step. Rounding inside, of 1 + tanh(x) in GELU, may
    show at medium steps only, since at the smallest ones nothing inside moves.
    """
    count = bends.shape[1] - _BEYOND
    noise = np.zeros_like(largest)
    if count > 0:
        beyond = np.stack([bends[:, i : i + count] for i in range(_BEYOND)]).max(axis=0)
        own = bends[:, _BEYOND:]
        flat = (beyond <= _RATIO * own) & (own <= 64 * EPS * largest[:, None])
        noise[...] = np.where(flat, 2 * own, 0.0).max(axis=1)
    return noise


def _grains(above: Array, below: Array, usable: Array, largest: Array) -> Array:
    """Return the steps in which outputs move that are differences of larger, rounded numbers.

    1 - cos(x) moves in steps of 1e-16 however small x is. Both sides move so, and the steps are
    tiny beside what the output can become, or beside 1: other staircases are real.
    Axes of the arguments: (line, level, output).
    """
    used = usable[..., None]
    up = np.where(used & (above > 0), above, np.inf).min(axis=1)
    down = np.where(used & (below > 0), below, np.inf).min(axis=1)
    smallest = np.minimum(up, down)
    rounded = np.isfinite(smallest) & (np.maximum(up, down) <= _RATIO**2 * smallest)
    rounded &= smallest <= np.maximum(2.0**-26 * largest.max(axis=1), 8 * EPS)
    rounded &= (used & (above == 0) & (below == 0)).any(axis=1)
    return np.where(rounded, smallest, 0.0)


def _vote(slope: Array, noise: Array, square: Array) -> tuple[Array, Array, Array]:
    """Choose the best step: axes (line, level, upstream); the squared steps fall with the level."""
    levels = slope.shape[1]
    ratio = square[:, :-1] / square[:, 1:]
    better = slope[:, 1:] + (slope[:, 1:] - slope[:, :-1]) / (ratio - 1)
    moves = np.empty_like(better)
    moves[:, :-1] = np.abs(np.diff(better, axis=1))
    moves[:, -1] = np.abs(slope[:, -1] - slope[:, -2])
    moves[:, :-1] += moves[:, 1:]  # two steps that agree by chance are not enough
    bars = moves + 2 * noise[:, 1:]
    bars[np.isnan(bars)] = np.inf
    shape = (slope.shape[0], slope.shape[2])
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    value, error = np.full(shape, np.nan), np.full(shape, np.inf)
    best, agrees = np.zeros(shape, int), np.ones(shape, bool)
    for i in range(levels - 2, -1, -1):
        bar, there = 3 * bars[:, i], np.isfinite(bars[:, i])
        centre = np.where(there, better[:, i], 0.0)
        meets = (centre - bar <= high) & (centre + bar >= low)
        agrees &= meets | ~there
        counts = agrees & there
        low = np.where(counts, np.maximum(low, centre - bar), low)
        high = np.where(counts, np.minimum(high, centre + bar), high)
        chosen = counts & (bar < error)
        value[chosen], error[chosen], best[chosen] = centre[chosen], bar[chosen], i + 1
    return value, error, best


def _kinks(lower: Array, upper: Array, gap: Array, noise: Array) -> tuple[Array, Array, Array]:
    """Find where the gap between the one-sided slopes stays as the step shrinks.

    Returns the range of slopes there (NaN elsewhere) and where the function even jumps.
    """
    levels = gap.shape[1]
    shape = (gap.shape[0], gap.shape[2])
    index = np.arange(levels)[:, None]
    clear = (noise <= 1e-3 * gap) & (gap > 0)  # False where NaN
    last = np.where(clear, index, -1).max(axis=1)  # the smallest step that shows the gap clearly
    found = last >= 1
    at = np.maximum(last, 1)[:, None]
    height = np.take_along_axis(gap, at, axis=1)
    before = np.take_along_axis(gap, at - 1, axis=1)
    closes = (index > at) & (noise <= 0.1 * height) & ~(gap >= 0.5 * height)
    found &= (height >= 0.5 * before)[:, 0] & ~closes.any(axis=1)
    after = np.take_along_axis(gap, np.minimum(at + 1, levels - 1), axis=1)
    jumps = found & (height >= 4 * before)[:, 0] & ~(after < 2 * height)[:, 0]
    moves = np.full(gap.shape, np.inf)
    moves[:, 1:] = np.abs(np.diff(lower, axis=1)) + np.abs(np.diff(upper, axis=1))
    moves += 2 * noise
    moves[np.isnan(moves) | (index > at) | ~(gap <= 2 * height) | (gap < height / 2)] = np.inf
    best = moves.argmin(axis=1)[:, None]
    margin = np.take_along_axis(moves, best, axis=1)
    low = (np.take_along_axis(lower, best, axis=1) - margin)[:, 0]
    high = (np.take_along_axis(upper, best, axis=1) + margin)[:, 0]
    nan = np.full(shape, np.nan)
    return np.where(found, low, nan), np.where(found, high, nan), jumps
