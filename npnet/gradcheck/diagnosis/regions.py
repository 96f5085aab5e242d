"""Patterns of regions: wrong where an array is negative, large or masked."""

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
from npnet.gradcheck.report import Diagnosis
from npnet.typing import Array


def inverted(p: Jacobians) -> Diagnosis | None:
    """Zero exactly where it should not be, and not where it should be."""
    own = p.own if p.own is not None else np.ones(p.a.shape, bool)
    if p.own is not None and p.relevant[~own].any():
        return None
    a, t = (np.abs(m[own & p.known]) > p.allowed[own & p.known] for m in (p.a, p.t))
    if a.sum() < 2 or t.sum() < 2 or not np.array_equal(a, ~t) or p.x.size < 6:
        return None
    text = (
        f"the gradient of {p.name} is zero exactly where it should not be, and not zero where it "
        "should be: "
    )
    for name, v in beside_elements(p):
        w = np.broadcast_to(v[:, None], p.a.shape)[own & p.known]
        for c, bound in _bounds(p):
            if np.array_equal(w > c, a) or np.array_equal(w < c, a):
                return Diagnosis("region", p.name, f"{text}the condition on {name} ({bound}) is "
                                 "inverted")  # fmt: skip
    if (p.own is None and not p.is_loss) or p.x.size < 10:
        return None
    return Diagnosis("region", p.name, f"{text}a mask or condition is inverted")


def region(p: Jacobians) -> list[Diagnosis]:
    """Wrong exactly where something is negative, positive or large."""
    fits = []
    for axis, beside in ((1, beside_elements(p)), (0, beside_outputs(p))):
        bad = p.wrong.any(axis=axis)
        good = p.right.any(axis=axis) & ~bad
        good |= (p.known.all(axis=axis) & ~bad) if p.own is not None or p.is_loss else False
        if bad.sum() < 2 or good.sum() < 2:
            continue
        for name, v in beside:
            values = v if v.dtype == bool else np.unique(v)
            of = v[bad] if v.dtype == bool else np.unique(v[bad])
            if " along " in name or math.comb(len(values), len(of)) < 60:  # chance
                continue
            sure = good & p.right.any(axis=axis) if v.dtype == bool else good
            found = _threshold(v[bad], v[sure], p) if sure.any() else ""
            if found:
                text = (
                    f"the gradient of {p.name} is wrong exactly where {name} {found}"
                    f"{inside(p, p.wrong)}"
                )
                fits.append(Diagnosis("region", p.name, text))
    return fits


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
    middle = good[(good > bad.min()) & (good < bad.max())]
    below, above = good[good < bad.min()], good[good > bad.max()]
    if middle.size == 0 and below.size and above.size:
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


def masked(p: Jacobians) -> Diagnosis | None:
    """Something comes back where forward lets nothing through."""
    a, t = np.abs(p.a) > 10 * p.allowed, np.abs(p.t) > p.allowed
    closed, opened = p.relevant & a & ~t, p.relevant & t
    if closed.sum() < max(2, 0.03 * opened.sum()) or opened.sum() < 2 or (opened & ~a).any():
        return None
    c = ratio(p, opened)
    more = ""
    if c is not None and abs(c - 1) > 1e-6:
        more = f"; elsewhere it is {factor_words(c)}"
    text = (
        f"the gradient of {p.name} takes in outputs that do not depend on it (where the true one "
        "is zero): a mask, a condition or the choice of one element (largest, last) in forward is "
        f"not applied in backward{more}"
    )
    return Diagnosis("region", p.name, text)
