"""Comparisons that the numbers still use."""

from __future__ import annotations

import numpy as np

from npnet.gradcheck.sampling import nudged
from npnet.gradcheck.subject import Subject
from npnet.typing import Array


def same(a: Array | None, b: Array | None) -> bool:
    """Tell whether two arrays agree but for rounding of sums; NaN equals NaN.

    Parameters
    ----------
    a, b : ndarray or None

    Returns
    -------
    bool
    """
    if a is None or b is None:
        return a is b
    if a.shape != b.shape:
        return False
    tolerance = 1e-10 if np.float32 not in (a.dtype, b.dtype) else 1e-4
    finite = np.isfinite(a) & np.isfinite(b)
    size = np.abs(b[finite]).max(initial=0.0)
    return bool(
        np.array_equal(a[~finite], b[~finite], equal_nan=True)
        and (np.abs(a[finite] - b[finite]) <= tolerance * size).all()
    )


def computes_in_float32(subject: Subject, here: list[Array]) -> bool:
    """Tell whether every output that moves is a float32 number, which chance makes impossible.

    Parameters
    ----------
    subject : Subject
        In float64.
    here : list of ndarray
        Its outputs at this point.

    Returns
    -------
    bool
    """
    rng = np.random.default_rng(2)
    moved: list[Array] = []
    with subject.restored():
        for v in subject.variables:
            v[...] = nudged(v, 2.0**-10, rng)
        try:
            moved = subject.outputs()
        except Exception as error:  # outside the domain; says nothing
            subject.refusals[:] = [error]
        finer = subject.in_longdouble() if moved else []
    values = np.concatenate([m[m != y] for m, y in zip(moved, here, strict=False)] or [[]])
    values = values[np.isfinite(values) & (values != 0)]
    if values.size <= 2 or not (values == values.astype(np.float32)).all():
        return False
    # Differences of larger numbers, 1 - cos(x), have few digits as well; but with more digits
    # inside, those change.
    stays = [np.mean(f == m) for f, m in zip(finer, moved, strict=False)]
    return not stays or min(stays) > 0.5
