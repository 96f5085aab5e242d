"""What a report says of arrays and errors: where arrays differ, what was raised and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from npnet.errors import NpnetError
from npnet.typing import Array

_GRADCHECK = Path(__file__).parent
_NPNET = _GRADCHECK.parent
# Modules that only pass a call on to the layer.
_BETWEEN = ("calls", "configured", "context", "convert", "errors", "layer", "parameter",
            "registry", "state")  # fmt: skip


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


def not_finite(array: Array) -> str:
    """Return ``"nan at [0, 1]"``, the first number that is not finite, if any."""
    for index in np.argwhere(~np.isfinite(array))[:1].tolist():
        return f"{array[tuple(index)]}" + (f" at {index}" if index else "")
    return ""


def describe(error: BaseException) -> str:
    """Return ``"ValueError: no way (mylayers.py, line 3)"``: the last line of the layer's own."""
    text = error.args[0] if isinstance(error, NpnetError) and error.args else error
    words, place = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":"), ""
    trace = None if isinstance(error, SyntaxError) else error.__traceback__  # it says where
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        between = path.parent == _NPNET and path.stem in _BETWEEN
        inside = "numpy" in path.parts or _GRADCHECK in path.parents
        if not (between or inside or path.name.startswith("<frozen")):
            place = f" ({path.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return words + place
