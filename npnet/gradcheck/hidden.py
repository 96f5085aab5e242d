"""Kinks inside a model that its outputs do not show.

relu(x) - relu(-x) is x, smooth at 0, and yet every framework returns 0 for its derivative there:
each ReLU takes the subgradient 0. A zero row before a layer without bias puts a whole model at
such a point. Its backward pass is right everywhere around it, which is what is asked here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from npnet.gradcheck.lines import Lines, random_direction
from npnet.gradcheck.numeric import Function
from npnet.gradcheck.point import Point
from npnet.gradcheck.report import Verdict
from npnet.gradcheck.subject import LayerSubject
from npnet.gradcheck.verdict import Allowance, Judged, assess
from npnet.typing import Array

_AWAY = 2.0**-16  # how far to go, relative to the variables
_SIDES = (1.0, -1.0, 1.0, -1.0)  # two directions, each to both sides of a kink
_ENOUGH = 64
_JUMP = 1e-2  # by how much gradients must differ around a kink; smooth ones differ by _AWAY


def excuse_hidden_kinks(
    point: Point, lines: Lines, judged: Judged, along: Callable[[list[Array]], Array]
) -> Judged:
    """Call wrong slopes kinks if a model's gradient is right all around but jumps.

    Only models are excused: a layer without children shows its kinks.

    Parameters
    ----------
    point : Point
    lines : Lines
        Those judged.
    judged : Judged
    along : callable
        Returns the slopes along all lines, shape (m, k), for the gradients of all variables.

    Returns
    -------
    Judged
    """
    subject = point.reference
    wrong = np.flatnonzero(judged.verdicts == Verdict.WRONG)
    if wrong.size == 0 or not isinstance(subject, LayerSubject) or not subject.checked._layers:
        return judged
    looked_at = wrong[:_ENOUGH]
    gradients = [point.analytic]
    right = np.ones(looked_at.size, bool)
    rng = np.random.default_rng(3)
    with subject.restored() as kept:
        for side in _SIDES:
            if side > 0:
                directions = [random_direction(k, 1.0, rng) for k in kept]
            for v, k, direction in zip(subject.variables, kept, directions, strict=True):
                v[...] = k + side * _AWAY * direction
            analytic = point.here()
            if analytic is None:
                return judged
            gradients.append(analytic)
            function = Function(subject, point.upstream, point.function.eps)
            nearby = lines.only(looked_at)
            here = along(analytic)[looked_at]
            found = assess(function, nearby, here, Allowance.none(here))
            right &= (found.verdicts == Verdict.OK) | (found.verdicts == Verdict.KINK)
            if not right.any():
                return judged
    if not _jumps(gradients):
        return judged
    excused = wrong if right.all() else looked_at[right]
    verdicts, error = judged.verdicts.copy(), judged.error.copy()
    verdicts[excused] = Verdict.KINK
    error[excused] = np.abs(judged.analytic - judged.numeric)[excused]
    return judged._replace(verdicts=verdicts, error=error)


def _jumps(gradients: list[list[Array]]) -> bool:
    for several in zip(*gradients, strict=True):
        values = np.array(several)
        largest = np.abs(values).max(initial=0.0)
        if np.ptp(values, axis=0).max(initial=0.0) > _JUMP * largest > 0:
            return True
    return False
