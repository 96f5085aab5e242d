"""From slopes with error bars to a verdict for every element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.differences import Slopes, glance
from npnet.gradcheck.numeric.function import Function
from npnet.gradcheck.numeric.lines import Line
from npnet.gradcheck.numeric.sweep import sweep
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

_UNSURE = 3e-4  # a wider error bar, as a share of the slope, says too little
_UNSEEN = 1e-9  # and as a share of the outputs themselves
_FLAT = 1e-5  # where the slope may be zero, as a share of that over large steps
_DEEP = 2.0**-40  # the share of the slope over large steps that rounding inside hides
_UNDERFLOW = 1e-300
_FAR = 2.0**20  # less than 2**26, so that no staircase looks like rounding from afar
_ENOUGH = 24  # suspects in a row that are wrong, after which the others are believed to be


class Judged(NamedTuple):
    """Verdicts on m elements, each for that of the k upstream gradients that shows it best.

    `slopes` are those for all upstream gradients; the other fields have shape (m,).
    """

    verdicts: Array
    analytic: Array
    numeric: Array
    error: Array
    slopes: Slopes


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
    # Of several upstream gradients, the first of those that say the worst: wrong, noise, kink, ok.
    rank = np.array([0, 3, 1, 2])[verdicts]
    telling = rank.argmax(axis=1)[:, None]
    fields = (verdicts, analytic, value, error)
    chosen = [np.take_along_axis(f, telling, axis=1)[:, 0] for f in fields]
    return Judged._make([*chosen, slopes])


def assess(
    function: Function, lines: Sequence[Line], analytic: Array, allowed: Array | float = 0.0
) -> Judged:
    """Differentiate along m lines, as closely as it takes to judge the analytic values."""
    allowed = np.broadcast_to(allowed, analytic.shape)
    slopes = glance(function, lines, analytic)
    suspects = ~slopes.settled | (judge(analytic, slopes, allowed).verdicts != Verdict.OK)
    in_a_row = 0
    # In a mixed order, the first ones stand for all.
    for i in np.random.default_rng(0).permutation(np.flatnonzero(suspects)).tolist():
        own = slice(i, i + 1)
        found = sweep(function, lines[i])
        verdict = judge(analytic[own], found, allowed[own]).verdicts[0]
        # 1 - cos(x) near zero is lost in rounding before the step is far larger than x.
        still = not found.size.any() and analytic[i].any()
        if still or (verdict == Verdict.NOISE and not found.settled[0]):
            far = sweep(function, lines[i]._replace(scale=_FAR * lines[i].scale))
            # Where far steps see nothing either, they say nothing about a slope that saturates.
            found = far if far.size.any() else found
            verdict = judge(analytic[own], found, allowed[own]).verdicts[0]
        for field, value in zip(slopes, found, strict=True):
            field[i] = value[0]
        in_a_row = in_a_row + 1 if verdict == Verdict.WRONG else 0
        if in_a_row == _ENOUGH:
            break
    return _with_infinite_slopes(function, lines, judge(analytic, slopes, allowed))


def _with_infinite_slopes(function: Function, lines: Sequence[Line], judged: Judged) -> Judged:
    """Accept an infinite value where the function is infinitely steep, as the root is at 0."""
    for i in np.flatnonzero(np.isinf(judged.analytic)).tolist():
        steps = lines[i].scale * 2.0 ** np.array([-10.0, -20.0, -30.0])
        y, t = function.rows([lines[i]], np.concatenate([steps, -steps])[None])
        for side in np.split((y[0] - function.here) / t[0, :, None] @ function.upstream[0], 2):
            # A slope that converges changes a thousand times less with the second step.
            steep = np.abs(side[2] - side[1]) >= 0.5 * np.abs(side[1] - side[0])
            steep &= np.abs(side[2]) > np.abs(side[1])
            if steep and np.sign(side[2]) == np.sign(judged.analytic[i]):
                judged.verdicts[i], judged.numeric[i] = Verdict.OK, judged.analytic[i]
    return judged
