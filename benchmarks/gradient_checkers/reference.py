"""Which planted bugs make the gradient at the given point wrong, found out apart from the tools."""

from __future__ import annotations

import functools

import numpy as np

from benchmarks.gradient_checkers.wrapped import Subject, Wrapped
from npnet.typing import Array

DIRECTIONS = 8
STEPS = (1e-4, 1e-5, 1e-6)
TOLERANCE = 1e-6
"""Of the sizes of the terms that a slope is the sum of."""


def gradient_is_wrong(subject: Subject) -> bool:
    """Tell whether a layer that was just made returns a gradient that is none.

    Each pass is the first of a new layer. The gradient along a direction must lie between the sums
    of the outputs' slopes on either side, which differ at a kink, for one of the steps. A layer
    that raises, or whose results are not the same twice, is not wrong in this sense. The functions
    must be easy to differentiate, as most of those with planted bugs are; some of the hard honest
    layers are not.
    """
    try:
        with np.errstate(all="ignore"):
            return _is_wrong(subject)
    except Exception:  # whatever the code of a faulty layer raises
        return False


def _is_wrong(subject: Subject) -> bool:
    rng = np.random.default_rng(1)
    start = Wrapped(subject).variables
    upstream = [rng.normal(size=shape) for shape in Wrapped(subject).shapes()]
    gradients, again = (
        # Copies, since a faulty layer may write into what it is given.
        Wrapped(subject).gradients([x.copy() for x in start], [r.copy() for r in upstream])
        for _ in range(2)
    )
    if not all(map(functools.partial(np.array_equal, equal_nan=True), gradients, again)):
        return False

    def value(directions: list[Array], step: float) -> Array:
        moved = [x + step * d for x, d in zip(start, directions, strict=True)]
        pairs = zip(upstream, Wrapped(subject).outputs(moved), strict=True)
        return np.concatenate([np.ravel(r * y) for r, y in pairs])

    def agrees(directions: list[Array], terms: Array, step: float) -> bool:
        here = value(directions, 0.0)
        if (here != value(directions, 0.0)).any():  # there are no slopes
            return True
        ahead, behind = (
            (4 * value(directions, h) - value(directions, 2 * h) - 3 * here) / (2 * h)
            for h in (step, -step)
        )
        slack = TOLERANCE * (np.abs(terms).sum() + np.abs(ahead).sum() + np.abs(behind).sum())
        low, high = np.minimum(ahead, behind).sum(), np.maximum(ahead, behind).sum()
        return bool(low - slack <= terms.sum() <= high + slack)

    for _ in range(DIRECTIONS):
        directions = [rng.normal(size=x.shape) * np.maximum(np.abs(x), 0.1) for x in start]
        pairs = zip(gradients, directions, strict=True)
        terms = np.concatenate([np.ravel(g * d) for g, d in pairs])
        if not any(agrees(directions, terms, step) for step in STEPS):
            return True
    return False
