"""Formulas: constant factors, those that change from place to place, terms of a mean or norm."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Found, Jacobians
from npnet.gradcheck.diagnosis.naming import axes_words, factor_words, ratio
from npnet.typing import Array


def factor(p: Jacobians) -> Found:
    """One constant factor."""
    c = ratio(p, p.known)
    if c is None or not p.wrong.any():
        return None
    if abs(c - 1) < 1e-4:
        return "factor", f"is {c:.10g} times the true one: a constant (an eps) is a little off"
    return "factor", f"is {factor_words(c)}"


def _rates(p: Jacobians) -> Iterator[tuple[int, Array]]:
    """Yield ratios that are the same for each output (axis 0) or each element (1), if any."""
    at = p.relevant
    if at.sum() < 4 or any((np.abs(m[at]) <= p.allowed[at]).any() for m in (p.a, p.t)):
        return
    rate = np.where(at, p.a, 1) / np.where(at, p.t, 1)
    for axis in (1,) if p.is_loss else (0, 1):
        low = np.where(at, rate, np.inf).min(axis=axis)
        high = np.where(at, rate, -np.inf).max(axis=axis)
        some = at.any(axis=axis)
        r = low[some]
        same = (high[some] - r <= 1e-6 * np.abs(r)).all()
        if same and r.size > 2 and np.ptp(r) > 1e-6 * np.abs(r).max():
            yield axis, np.where(some, low, np.nan)


def unnamed(p: Jacobians) -> Found:
    """A factor, the same for each output or each element, that is no array at hand."""
    for axis, rate in _rates(p):
        if (p.relevant.sum(axis=axis) > 1).mean() < 0.5 and p.own is None and not p.is_loss:
            continue
        some, of = np.isfinite(rate), "" if axis else " of the output"
        what = f"differs from {'element to element' if axis else 'output to output'}"
        for k, at in enumerate((p.places if axis else p.output_places) or ()):
            groups = [rate[(at == i) & some] for i in np.unique(at)]
            if len(groups) > 1 and all(
                len(g) > 1 and np.ptp(g) <= 1e-6 * abs(g[0]) for g in groups
            ):
                what = f"changes with the position along axis {k}{of} alone"
        return "missing factor", (
            f"is off by a factor that {what} (between {rate[some].min():.4g} and "
            f"{rate[some].max():.4g})"
        )
    return None


def invariance(p: Jacobians) -> Found:
    """Forward does not change when the tensor is shifted or scaled; backward does not know it."""
    axes: list[tuple[int, ...]] = [(k,) for k in range(p.x.ndim) if p.shape[k] > 1]
    axes += [tuple(range(k, p.x.ndim)) for k in (1, 0) if p.x.ndim - k > 1]
    for some, scaled in itertools.product(axes if p.exact else (), (False, True)):
        weighted = [m.reshape(*p.shape, -1) * (p.x[..., None] if scaled else 1) for m in (p.a, p.t)]
        a, t = (np.abs(m.sum(axis=some)).max() for m in weighted)
        size = np.abs(weighted[1]).max()
        if t <= 1e-6 * size and a >= 1e-4 * size:
            how = f"{p.name} is scaled" if scaled else f"a constant is added to {p.name}"
            return "missing term", (
                f"forward does not change when {how} along {axes_words(list(some))}, but {{}} has "
                "a part in that direction: the term of a sum, mean or norm is missing or wrong"
            )
    return None
