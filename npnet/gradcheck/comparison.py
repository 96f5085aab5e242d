"""Comparing arrays and saying in words where they differ."""

from __future__ import annotations

import numpy as np

from npnet.typing import Array


def mismatch(got: Array, want: Array, tolerance: float = 1e-11, slack: Array | float = 0.0) -> str:
    """Say how `got` differs from `want`; the empty string if it does not.

    `tolerance` is relative to the largest magnitude of either; `slack` is what each element may
    differ besides. Two NaN are equal.

    Examples
    --------
    >>> mismatch(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    'is 2.0 instead of 3.0 at [1] (1 of 2 elements differ)'
    """
    if got.shape != want.shape:
        return f"has shape {got.shape} instead of {want.shape}"
    if (got == want).all():
        return ""
    a, b = np.asarray(got, np.float64), np.asarray(want, np.float64)
    bad = different(a, b, tolerance, slack)
    if not bad.any():
        return ""
    with np.errstate(all="ignore"):
        error = np.where(bad, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf), -1.0)
    index = np.unravel_index(int(error.argmax()), error.shape)
    place = f" at [{', '.join(map(str, index))}]" if a.ndim else ""
    share = f" ({int(bad.sum())} of {bad.size} elements differ)" if bad.size > 1 else ""
    return f"is {number(a[index], b[index])} instead of {number(b[index], a[index])}{place}{share}"


def different(a: Array, b: Array, tolerance: float, slack: Array | float = 0.0) -> Array:
    """Mark where two float64 arrays of one shape differ."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(a) & np.isfinite(b)
        both = np.where(finite, np.maximum(np.abs(a), np.abs(b)), 0.0)
        scale = both.max(initial=0.0)
        same = np.where(finite, np.abs(a - b) <= tolerance * scale + slack, a == b)
        return np.asarray(~(same | (np.isnan(a) & np.isnan(b))))


def number(value: float, other: float | None = None) -> str:
    """Write a number with as many digits as it takes to tell it from `other`."""
    for digits in (6, 9, 17):
        text = f"{value:.{digits}g}"
        if other is None or value == other or text != f"{other:.{digits}g}":
            break
    return str(float(text))
