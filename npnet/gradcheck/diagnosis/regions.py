"""Regions of numbers: wrong where an array is negative, large or masked."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Found, Jacobians
from npnet.gradcheck.diagnosis.naming import beside_elements, beside_outputs, inside, there
from npnet.typing import Array


def inverted(p: Jacobians) -> Found:
    """Zero exactly where it should not be, and not where it should be."""
    own = p.own if p.own is not None else np.full(p.a.shape, p.is_loss)
    if p.relevant[~own].any() or p.x.size < 10:
        return None
    at = own & p.known
    a, t = (np.abs(m[at]) > p.allowed[at] for m in (p.a, p.t))
    if a.sum() < 2 or t.sum() < 2 or not np.array_equal(a, ~t):
        return None
    text = "is zero exactly where it should not be, and not zero where it should be: a mask or "
    return "region", f"{text}condition is inverted"


def masked(p: Jacobians) -> Found:
    """Something comes back where forward lets nothing through."""
    a, t = np.abs(p.a) > 10 * p.allowed, np.abs(p.t) > p.allowed
    closed, opened = p.relevant & a & ~t, p.relevant & t
    if closed.sum() < max(2, 0.03 * opened.sum()) or opened.sum() < 2 or (opened & ~a).any():
        return None
    return "region", (
        "takes in outputs that do not depend on it (where the true one is zero): a mask, condition "
        "or choice of one element (largest, last) in forward is not applied in backward"
    )


def region(p: Jacobians) -> Iterator[tuple[str, str]]:
    """Wrong exactly where something is negative, positive or large."""
    for axis, beside in ((1, beside_elements(p)), (0, beside_outputs(p))):
        bad = p.wrong.any(axis=axis)
        good = p.right.any(axis=axis) & ~bad
        if p.own is not None or p.is_loss:
            good |= p.known.all(axis=axis) & ~bad
        if bad.sum() < 2 or good.sum() < 2:
            continue
        for name, v in beside:
            values, of = (v, v[bad]) if v.dtype == bool else (np.unique(v), np.unique(v[bad]))
            if " along " in name or math.comb(len(values), len(of)) < 60:  # chance
                continue
            sure = good & p.right.any(axis=axis) if v.dtype == bool else good
            found = _threshold(v[bad], v[sure], p) if sure.any() else ""
            if found:
                said = there(inside(p, p.wrong))
                yield "region", f"is wrong exactly where {name} {found}{said}"


def _threshold(bad: Array, good: Array, p: Jacobians) -> str:
    """Say on which side of a number the wrong values lie."""
    if bad.dtype == bool:
        same = np.unique(bad).size == 1 and bad[0] not in good
        return f"is {bool(bad[0])} (a mask)" if same else ""
    below, above = good[good < bad.min()], good[good > bad.max()]
    if below.size == good.size:
        return _named("is above {}", below.max(), bad.min(), p).replace("above 0", "positive")
    if above.size == good.size:
        return _named("is below {}", bad.max(), above.min(), p).replace("below 0", "negative")
    if below.size + above.size == good.size:
        low = _named("is between {} and ", below.max(), bad.min(), p)
        return low + _named("{}", bad.max(), above.min(), p)
    least, most = np.abs(bad).min(), np.abs(good).max()
    return _named("is above {} in size", most, least, p) if most < least else ""


def _named(text: str, low: float, high: float, p: Jacobians) -> str:
    """Name a bound that lies between two values."""
    bounds = [(0.0, "0"), (1.0, "1"), (-1.0, "-1")]
    for name, value in p.constants.items():
        bounds[1:1] = [(value, f"self.{name}"), (-value, f"-self.{name}")] if value else []
    named = next((word for c, word in bounds if low <= c <= high), "")
    return text.format(named or f"about {(low + high) / 2:.2g}")
