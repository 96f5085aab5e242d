"""Regions of numbers: wrong where an array is negative, large or masked."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import (
    beside_elements,
    beside_outputs,
    factor_words,
    inside,
    ratio,
)
from npnet.typing import Array

Found = tuple[str, str]


def inverted(p: Jacobians) -> Iterator[Found]:
    """Zero exactly where it should not be, and not where it should be."""
    own = p.own if p.own is not None else np.ones(p.a.shape, bool)
    if p.own is not None and p.relevant[~own].any():
        return
    at = own & p.known
    a, t = (np.abs(m[at]) > p.allowed[at] for m in (p.a, p.t))
    if a.sum() < 2 or t.sum() < 2 or not np.array_equal(a, ~t) or p.x.size < 6:
        return
    text = "is zero exactly where it should not be, and not zero where it should be: "
    for name, v in beside_elements(p):
        w = np.broadcast_to(v[:, None], p.a.shape)[at]
        for c, bound in _bounds(p):
            if np.array_equal(w > c, a) or np.array_equal(w < c, a):
                yield "region", f"{text}the condition on {name} ({bound}) is inverted"
                return
    if (p.own is not None or p.is_loss) and p.x.size >= 10:
        yield "region", f"{text}a mask or condition is inverted"


def region(p: Jacobians) -> Iterator[Found]:
    """Wrong exactly where something is negative, positive or large."""
    for axis, beside in ((1, beside_elements(p)), (0, beside_outputs(p))):
        bad = p.wrong.any(axis=axis)
        good = p.right.any(axis=axis) & ~bad
        good |= (p.known.all(axis=axis) & ~bad) if p.own is not None or p.is_loss else False
        if bad.sum() < 2 or good.sum() < 2:
            continue
        for name, v in beside:
            values, of = (v, v[bad]) if v.dtype == bool else (np.unique(v), np.unique(v[bad]))
            if " along " in name or math.comb(len(values), len(of)) < 60:  # chance
                continue
            sure = good & p.right.any(axis=axis) if v.dtype == bool else good
            found = _threshold(v[bad], v[sure], p) if sure.any() else ""
            said = inside(p, p.wrong)
            if found:
                there = f"; there it {said}" if said else ""
                yield "region", f"is wrong exactly where {name} {found}{there}"


def _threshold(bad: Array, good: Array, p: Jacobians) -> str:
    """Say on which side of a number the wrong values lie."""
    if bad.dtype == bool:
        same = np.unique(bad).size == 1 and bad[0] not in good
        return f"is {bool(bad[0])} (a mask)" if same else ""
    for size, words in ((False, ""), (True, " in size")):
        v, w = (np.abs(bad), np.abs(good)) if size else (bad, good)
        for sign, low in ((1, w.max()), (-1, (-w).max())):
            high = (sign * v).min()
            if not low < high:
                continue
            side = "is above" if sign > 0 else "is below"
            for c, bound in _bounds(p):
                if low <= sign * c <= high and not (size and c <= 0):
                    if c == 0:
                        return "is positive" if sign > 0 else "is negative"
                    return f"{side} {bound}{words}"
            if np.unique(np.concatenate([v, w])).size > 10:
                return f"{side} about {sign * (low + high) / 2:.2g}{words}"
    below, above = good[good < bad.min()], good[good > bad.max()]
    if below.size and above.size and below.size + above.size == good.size:
        ends = [_near(below.max(), bad.min(), p), _near(bad.max(), above.min(), p)]
        return f"is between {ends[0]} and {ends[1]}"
    return ""


def _near(low: float, high: float, p: Jacobians) -> str:
    """Name a bound that lies between two values."""
    named = next((word for c, word in _bounds(p) if low <= c <= high), "")
    return named or f"about {(low + high) / 2:.2g}"


def _bounds(p: Jacobians) -> Iterator[tuple[float, str]]:
    yield 0.0, "0"
    for name, value in p.constants.items():
        if value:
            yield value, f"self.{name}"
            yield -value, f"-self.{name}"
    yield 1.0, "1"
    yield -1.0, "-1"


def masked(p: Jacobians) -> Iterator[Found]:
    """Something comes back where forward lets nothing through."""
    a, t = np.abs(p.a) > 10 * p.allowed, np.abs(p.t) > p.allowed
    closed, opened = p.relevant & a & ~t, p.relevant & t
    if closed.sum() < max(2, 0.03 * opened.sum()) or opened.sum() < 2 or (opened & ~a).any():
        return
    c = ratio(p, opened)
    more = "" if c is None or abs(c - 1) <= 1e-6 else f"; elsewhere it is {factor_words(c)}"
    text = (
        "takes in outputs that do not depend on it (where the true one is zero): a mask, a "
        "condition or the choice of one element (largest, last) in forward is not applied in "
        f"backward{more}"
    )
    yield "region", text
