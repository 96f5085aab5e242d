"""Comparing arrays, and saying in words where they differ."""

from __future__ import annotations

import numpy as np

from npnet.typing import Array


def mismatch(got: Array, want: Array, tolerance: float = 1e-11, slack: Array | float = 0.0) -> str:
    """Say how `got` differs from `want` by more than `tolerance` of the largest, and `slack`."""
    if got.shape != want.shape:
        return f"has shape {got.shape} instead of {want.shape}"
    if (got == want).all():
        return ""
    a, b = np.asarray(got, np.float64), np.asarray(want, np.float64)
    with np.errstate(all="ignore"):
        finite = np.isfinite(a) & np.isfinite(b)
        scale = np.where(finite, np.maximum(np.abs(a), np.abs(b)), 0.0).max(initial=0.0)
        same = np.where(finite, np.abs(a - b) <= tolerance * scale + slack, a == b)
        bad = ~(same | (np.isnan(a) & np.isnan(b)))
        error = np.where(bad, np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf), -1.0)
    if not bad.any():
        return ""
    index = np.unravel_index(int(error.argmax()), error.shape)
    place = f" at [{', '.join(map(str, index))}]" if a.ndim else ""
    share = f" ({int(bad.sum())} of {bad.size} elements differ)" if bad.size > 1 else ""
    return (
        f"is {_number(a[index], b[index])} instead of {_number(b[index], a[index])}{place}{share}"
    )


def _number(value: float, other: float) -> str:
    """Write a number with as many digits as it takes to tell it from `other`."""
    texts = [(f"{value:.{digits}g}", f"{other:.{digits}g}") for digits in (6, 9, 17)]
    return str(float(next((a for a, b in texts if a != b), texts[0][0])))
