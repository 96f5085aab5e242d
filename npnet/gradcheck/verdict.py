"""From slopes with error bars to a verdict for every element."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from npnet.gradcheck.lines import Lines
from npnet.gradcheck.numeric import EPS, Function, Slopes, quick, thorough
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

UNSURE = 3e-4  # a wider error bar, as a share of the slope, says too little
_UNSEEN = 1e-9  # and as a share of the outputs themselves
_FAINT = 1e-11  # and as a share of the slope over large steps, which is the function's own measure
_FLAT = 1e-6  # the same where the slope may well be zero
_DEEP = 2.0**-40  # the share of that slope which rounding inside the function hides
_UNDERFLOW = 1e-300
LIMIT = 1e-3
_FAR = 2.0**20  # less than 2**26, so that no staircase looks like rounding from afar
_ENOUGH = 256  # suspects examined before the others are believed to be wrong as well


class Allowance(NamedTuple):
    """What the analytic values' own rounding may add to the error bars.

    Attributes
    ----------
    absolute : ndarray, shape (m, k)
    observed : ndarray, shape (m, k)
        Errors seen nearby; believed up to `LIMIT` of the gradient's largest element (of which
        `largest` is a row of k) and of `Slopes.grain`.
    largest : ndarray, shape (k,)
    """

    absolute: Array
    observed: Array
    largest: Array

    @classmethod
    def none(cls, analytic: Array) -> Allowance:
        """Allow nothing."""
        zero = np.zeros_like(analytic)
        return cls(zero, zero, np.abs(analytic).max(axis=0, initial=0.0))

    def only(self, chosen: Array) -> Allowance:
        """Return that of some elements."""
        return Allowance(self.absolute[chosen], self.observed[chosen], self.largest)

    def total(self, slopes: Slopes) -> Array:
        """Sum up; shape (m, k)."""
        return np.asarray(
            self.absolute + np.minimum(self.observed, LIMIT * (self.largest + slopes.grain))
        )


class Judged(NamedTuple):
    """Verdicts on m elements, each for that of the k upstream gradients that shows it best.

    Attributes
    ----------
    verdicts : ndarray of int, shape (m,)
    analytic, numeric, error : ndarray, shape (m,)
    slopes : Slopes
        For all upstream gradients.
    """

    verdicts: Array
    analytic: Array
    numeric: Array
    error: Array
    slopes: Slopes


def judge(analytic: Array, slopes: Slopes, allowance: Allowance) -> Judged:
    """Compare analytic values with slopes.

    Parameters
    ----------
    analytic : ndarray, shape (m, k)
    slopes : Slopes
    allowance : Allowance

    Returns
    -------
    Judged
    """
    kinked = np.isfinite(slopes.lower) & ~slopes.jumps
    value = np.where(kinked, (slopes.lower + slopes.upper) / 2, slopes.value)
    error = np.where(kinked, (slopes.upper - slopes.lower) / 2, slopes.error)
    size = np.maximum(np.maximum(slopes.size, np.abs(value)), np.abs(analytic))
    share = np.where(np.abs(value) <= error, _FLAT, _FAINT)
    limit = np.maximum(UNSURE * size, _UNSEEN * slopes.grain)
    limit = np.maximum(limit, share * slopes.secant + _UNDERFLOW)
    vague = (error > limit) & ~kinked
    error = error + allowance.total(slopes)
    error += 16 * EPS * np.abs(analytic) + _DEEP * slopes.secant + _UNDERFLOW
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


def assess(function: Function, lines: Lines, analytic: Array, allowance: Allowance) -> Judged:
    """Differentiate along lines, as closely as it takes to judge the analytic values.

    Parameters
    ----------
    function : Function
    lines : Lines
        m of them.
    analytic : ndarray, shape (m, k)
    allowance : Allowance

    Returns
    -------
    Judged
    """
    slopes = quick(function, lines)
    suspects = _suspects(judge(analytic, slopes, allowance))
    # Kinks and steep places near the point lie beyond a much smaller step.
    if suspects.size:
        retried = quick(function, lines.only(suspects).closer(2.0**-12))
        sure = np.flatnonzero(retried.settled)
        _replace(slopes, suspects[sure], retried, sure)
        suspects = _suspects(judge(analytic, slopes, allowance))
    while suspects.size:
        now, suspects = suspects[:_ENOUGH], suspects[_ENOUGH:]
        found = thorough(function, lines.only(now))
        _replace(slopes, now, found, np.arange(now.size))
        verdicts = judge(analytic[now], found, allowance.only(now)).verdicts
        # 1 - cos(x) near zero is lost in rounding before the step is far larger than x.
        still = ~found.size.any(axis=1) & analytic[now].any(axis=1)
        lost = np.flatnonzero(still | (~found.settled & (verdicts == Verdict.NOISE)))
        if lost.size:
            far = thorough(function, lines.only(now[lost]).closer(_FAR))
            _replace(found, lost, far, np.arange(lost.size))
            _replace(slopes, now[lost], far, np.arange(lost.size))
            verdicts = judge(analytic[now], found, allowance.only(now)).verdicts
        if now.size == _ENOUGH and (verdicts == Verdict.WRONG).all():
            break
    return judge(analytic, slopes, allowance)


def _suspects(judged: Judged) -> Array:
    found = np.flatnonzero(~judged.slopes.settled | (judged.verdicts != Verdict.OK))
    # In a mixed order, the first ones stand for all.
    return np.random.default_rng(0).permutation(found)


def _replace(slopes: Slopes, where: Array, others: Slopes, chosen: Array) -> None:
    for field, other in zip(slopes, others, strict=True):
        field[where] = other[chosen]
