"""Whether a contender computed the right thing, by float64 NumPy: the race has to be fair."""

from __future__ import annotations

import functools

import numpy as np

from benchmarks.timing import Run
from benchmarks.workloads import Arrays, Workload

CALLS = 2
MOVED = 0.1
"""Of the distance that parameters moved. Rates are tiny (see `Workload.lr`), so rounding to
float32 shows; another formula, loss or scale is off by far more."""
OUTPUTS = 1e-4
"""Of the norm of outputs."""


class WrongResult(Exception):
    """A contender's result is not the reference's."""


def check(run: Run, workload: Workload) -> None:
    """Let a fresh run make `CALLS` calls, and compare its result with the reference's.

    Parameters
    ----------
    run : Run
        Passed over if it has no result.
    workload : Workload
        Passed over if it has no reference.

    Raises
    ------
    WrongResult
        If they are further apart than the tolerance, or not of the same shapes in float32.
    """
    if run.result is None or (expected := _reference(workload)) is None:
        return
    run.turn(CALLS)
    with run.around():
        result = [np.asarray(array) for array in run.result()]
    start = workload.initial() if workload.trains else [np.zeros(())] * len(expected)
    moved = apart = 0.0
    for got, right, first in zip(result, expected, start, strict=True):
        if got.shape != right.shape or got.dtype != np.float32:
            raise WrongResult(f"it has {got.dtype} {got.shape}, not float32 {right.shape}")
        moved += float(((right - first) ** 2).sum())
        apart += float(((got - right) ** 2).sum())
    off = (apart / moved) ** 0.5
    if not off <= (MOVED if workload.trains else OUTPUTS):
        what = "parameters" if workload.trains else "outputs"
        raise WrongResult(f"after {CALLS} calls its {what} are off by {100 * off:.3g}%")


@functools.lru_cache(maxsize=1)
def _reference(workload: Workload) -> Arrays | None:
    return workload.reference([a.astype(float) for a in workload.initial()], CALLS)
