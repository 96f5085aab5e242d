"""From slopes with error bars to a verdict for every element."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npnet.gradcheck.numeric.differences import Slopes, glance, quick
from npnet.gradcheck.numeric.function import EPS, Function
from npnet.gradcheck.numeric.lines import Lines
from npnet.gradcheck.numeric.sweep import sweep
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

UNSURE = 3e-4  # a wider error bar, as a share of the slope, says too little
_UNSEEN = 1e-9  # and as a share of the outputs themselves
_FAINT = 1e-11  # and as a share of the slope over large steps, which is the function's own measure
_FLAT = 1e-5  # the same where the slope may well be zero
_DEEP = 2.0**-40  # the share of that slope which rounding inside the function hides
_UNDERFLOW = 1e-300
_FAR = 2.0**20  # less than 2**26, so that no staircase looks like rounding from afar
_ENOUGH = 24  # suspects examined before the others are believed to be wrong as well


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
    share = np.where(np.abs(value) <= error, _FLAT, _FAINT)
    limit = np.maximum(UNSURE * size, _UNSEEN * slopes.grain)
    limit = np.maximum(limit, share * slopes.secant + _UNDERFLOW)
    vague = (error > limit) & ~kinked
    error = error + allowed + 16 * EPS * np.abs(analytic) + _DEEP * slopes.secant + _UNDERFLOW
    off = np.abs(analytic - value)
    verdicts = np.where(kinked, Verdict.KINK, np.where(vague, Verdict.NOISE, Verdict.OK))
    verdicts[off > error] = Verdict.WRONG
    verdicts[slopes.jumps | ~np.isfinite(value) | ~np.isfinite(error)] = Verdict.NOISE
    verdicts[~np.isfinite(analytic)] = Verdict.WRONG
    # Of several upstream gradients, the first of those that say the worst: wrong, noise, kink, ok.
    rank = np.array([0, 3, 1, 2])[verdicts]
    telling = rank.argmax(axis=1)[:, None]

    def pick(field: Array) -> Array:
        return np.take_along_axis(field, telling, axis=1)[:, 0]

    return Judged(pick(verdicts), pick(analytic), pick(value), pick(error), slopes)


def assess(
    function: Function, lines: Lines, analytic: Array, allowed: Array | float = 0.0
) -> Judged:
    """Differentiate along m lines, as closely as it takes to judge the analytic values."""
    allowed = np.broadcast_to(allowed, analytic.shape)
    slopes = glance(function, lines, analytic)
    _retry(slopes, function, lines, np.flatnonzero(~slopes.settled))
    suspects = _suspects(judge(analytic, slopes, allowed))
    while suspects.size:
        now, suspects = suspects[:_ENOUGH], suspects[_ENOUGH:]
        found = sweep(function, lines.only(now))
        _replace(slopes, now, found, np.arange(now.size))
        verdicts = judge(analytic[now], found, allowed[now]).verdicts
        # 1 - cos(x) near zero is lost in rounding before the step is far larger than x.
        still = ~found.size.any(axis=1) & analytic[now].any(axis=1)
        lost = np.flatnonzero(still | (~found.settled & (verdicts == Verdict.NOISE)))
        if lost.size:
            far = sweep(function, lines.only(now[lost]).closer(_FAR))
            # Where far steps see nothing either, they say nothing about a slope that saturates.
            seen = np.flatnonzero(far.size.any(axis=1))
            _replace(found, lost[seen], far, seen)
            _replace(slopes, now[lost[seen]], far, seen)
            verdicts = judge(analytic[now], found, allowed[now]).verdicts
        if now.size == _ENOUGH and (verdicts == Verdict.WRONG).all():
            break
    judged = judge(analytic, slopes, allowed)
    return _with_infinite_slopes(function, lines, judged)


def _with_infinite_slopes(function: Function, lines: Lines, judged: Judged) -> Judged:
    """Accept an infinite value where the function is infinitely steep, as the root is at 0."""
    infinite = np.flatnonzero(np.isinf(judged.analytic))
    if infinite.size == 0:
        return judged
    chosen = lines.only(infinite)
    steps = chosen.scale[:, None] * 2.0 ** np.array([-10.0, -20.0, -30.0])
    y, t = function.rows(chosen, 0, infinite.size, np.concatenate([steps, -steps], axis=1))
    slopes = (y - function.here) / t[..., None] @ function.upstream[0]
    right, left = np.split(slopes, 2, axis=1)
    verdicts, numeric = judged.verdicts.copy(), judged.numeric.copy()
    for side in (right, left):
        # A slope that converges changes a thousand times less with the second step.
        steep = np.abs(side[:, 2] - side[:, 1]) >= 0.5 * np.abs(side[:, 1] - side[:, 0])
        steep &= np.abs(side[:, 2]) > np.abs(side[:, 1])
        steep &= np.sign(side[:, 2]) == np.sign(judged.analytic[infinite])
        verdicts[infinite[steep]] = Verdict.OK
        numeric[infinite[steep]] = judged.analytic[infinite[steep]]
    return judged._replace(verdicts=verdicts, numeric=numeric)


def _retry(slopes: Slopes, function: Function, lines: Lines, chosen: Array) -> None:
    if chosen.size:
        _replace(slopes, chosen, quick(function, lines.only(chosen)), np.arange(chosen.size))


def _suspects(judged: Judged) -> Array:
    found = np.flatnonzero(~judged.slopes.settled | (judged.verdicts != Verdict.OK))
    # In a mixed order, the first ones stand for all.
    return np.random.default_rng(0).permutation(found)


def _replace(slopes: Slopes, where: Array, others: Slopes, chosen: Array) -> None:
    for field, other in zip(slopes, others, strict=True):
        field[where] = other[chosen]
