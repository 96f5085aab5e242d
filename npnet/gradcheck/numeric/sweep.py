r"""The derivative along a line by a sweep of steps, where one step does not settle it.

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

from npnet.gradcheck.numeric.differences import ROUNDING, Slopes
from npnet.gradcheck.numeric.function import EPS, Function
from npnet.gradcheck.numeric.lines import Line
from npnet.typing import Array

_RATIO = 8.0  # between the steps of the sweep
_COARSE = 3  # how many steps of the sweep are of about the scale
_BEYOND_ROUNDING = 2.0**60  # by so much, a change shows in any output that depends on it


def sweep(function: Function, line: Line) -> Slopes:
    """Differentiate along one line with a sweep of steps, and look for a kink.

    Not settled where rounding makes a staircase of an output, which larger steps may cross.
    """
    here, r, weights = function.here, function.upstream.T, function.weights.T
    scale, finest = line.scale, line.finest
    levels = int(max(2, min(60.0, np.ceil(np.log(2 * scale / finest) / math.log(_RATIO)) + 1)))
    h = 2 * scale * _RATIO ** -np.arange(levels)
    far = _BEYOND_ROUNDING * scale * np.array([1.0, -1.0])
    rows, taken = function.rows([line], np.concatenate([h, -h, far])[None])
    above, below, beyond = np.split(rows[0], [levels, 2 * levels])
    right, left = taken[0, :levels, None], -taken[0, levels : 2 * levels, None]
    usable = (np.isfinite(above) & np.isfinite(below) & (right > 0) & (left > 0)).all(axis=1)
    # One-sided slopes, output by output: axes (level, output).
    forward = np.where(usable[:, None], (above - here) / right, 0.0)
    backward = np.where(usable[:, None], (here - below) / left, 0.0)
    central = np.where(usable[:, None], (above - below) / (right + left), 0.0)
    depends = (usable[:, None] & ((above != here) | (below != here))).any(axis=0)
    # Outputs far larger than their changes may hide a slope: a bias beside 1e18, for example.
    depends |= (np.isfinite(beyond) & (beyond != here)).any(axis=0)
    depends |= ~depends.any()

    # Rounding noise of the outputs: assumed from their size, and seen at the smallest steps.
    largest = np.where(usable[:, None], np.maximum(np.abs(above), np.abs(below)), 0.0)
    # Numbers around one may cancel inside, 1 + tanh(x) in GELU, if outputs ever become so large.
    across = np.nan_to_num(np.abs(beyond), posinf=1.0).max(axis=0)
    inside = np.where(here == 0, 0.0, np.minimum(across, 1.0))
    outputs = np.maximum(np.maximum(largest, np.abs(here)), inside) * depends @ weights
    bends = np.abs(forward - backward) * np.minimum(right, left) @ weights
    bends[~usable] = 0.0
    grains = _grains(np.abs(above - here), np.abs(below - here), usable, largest) @ weights
    seen = np.maximum(_seen_noise(bends[h >= finest]), grains)
    noise = (ROUNDING * EPS * outputs + seen) / h[:, None]
    noise[~usable] = np.inf

    sizes = np.abs(central) @ weights  # axes (level, upstream)
    slope, gap = central @ r, np.abs(forward - backward) @ weights
    slope[~usable] = gap[~usable] = np.nan
    found = []
    for k in range(len(function.upstream)):
        value, error, best = _vote(slope[:, k], noise[:, k])
        kink = _kink(slope[:, k], gap[:, k], noise[:, k])
        secant = sizes[:_COARSE, k].max()
        size, grain = sizes[best, k], outputs[best, k] / line.size
        found.append([value, error, size, grain, secant, *kink])
    *fields, jumps = np.array(found).T[:, None]
    return Slopes._make([*fields, jumps > 0, ~grains.any(keepdims=True)])


def _seen_noise(bends: Array) -> Array:
    """Return how far the function strays from a line at the smallest steps.

    Noise is the same at every step; a kink grows with the step and curvature with its square. So
    all steps count, from the smallest up, until the bends have begun to grow. Axes of `bends`:
    (level, upstream).
    """
    noise = np.zeros(bends.shape[1])
    going = np.ones(noise.shape, bool)
    for count, bend in enumerate(bends[::-1]):
        going &= (bend <= 4 * noise) | (count < 3)
        noise = np.where(going, np.maximum(noise, bend), noise)
    return 2 * noise


def _grains(above: Array, below: Array, usable: Array, largest: Array) -> Array:
    """Return the steps in which outputs move that are differences of larger, rounded numbers.

    1 - cos(x) moves in steps of 1e-16 however small x is. Both sides move so, and the steps are
    tiny beside what the output can become, or beside 1: other staircases are real.
    Axes of the arguments: (level, output).
    """
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
    """Find whether the gap between the one-sided slopes stays as the step shrinks.

    Returns the range of slopes there, NaN if it does not, and whether the function even jumps.
    """
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
