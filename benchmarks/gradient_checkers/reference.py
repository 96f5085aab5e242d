"""Which planted bugs make the gradient at the given point wrong, found out apart from the tools."""

from __future__ import annotations

import numpy as np

from benchmarks.gradient_checkers.wrapped import Subject, Wrapped
from npnet.typing import Array

DIRECTIONS = 8
STEP = 1e-4
TOLERANCE = 1e-6
"""Of the sizes of the terms that a slope is the sum of."""


def gradient_is_wrong(subject: Subject) -> bool:
    """Tell whether a layer that was just made returns a gradient that is none.

    Each pass is the first of a new layer. The gradient along a direction must lie between the sums
    of the outputs' slopes on either side, which differ at a kink. A layer that raises, or whose
    output is not the same twice, is not wrong in this sense. The functions must be easy to
    differentiate, as most of those with planted bugs are; some of the hard honest layers are not.
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
    copies = [x.copy() for x in start], [r.copy() for r in upstream]  # a faulty layer writes
    gradients = Wrapped(subject).gradients(*copies)

    def value(directions: list[Array], step: float) -> Array:
        moved = [x + step * d for x, d in zip(start, directions, strict=True)]
        pairs = zip(upstream, Wrapped(subject).outputs(moved), strict=True)
        return np.concatenate([np.ravel(r * y) for r, y in pairs])

    for _ in range(DIRECTIONS):
        directions = [rng.normal(size=x.shape) * np.maximum(np.abs(x), 0.1) for x in start]
        terms = np.concatenate(
            [np.ravel(g * d) for g, d in zip(gradients, directions, strict=True)]
        )
        here = value(directions, 0.0)
        if (here != value(directions, 0.0)).any():
            return False
        slopes = np.array([
            (4 * value(directions, h) - value(directions, 2 * h) - 3 * here) / (2 * h)
            for h in (STEP, -STEP)
        ])  # fmt: skip
        slack = TOLERANCE * (np.abs(terms).sum() + np.abs(slopes).sum())
        low, high = slopes.min(axis=0).sum(), slopes.max(axis=0).sum()
        if not low - slack <= terms.sum() <= high + slack:
            return True
    return False
