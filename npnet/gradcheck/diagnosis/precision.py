"""Patterns of precision: float32 on the way, or a constant that is a little off."""

from __future__ import annotations

import numpy as np

from npnet.gradcheck.diagnosis.evidence import Case
from npnet.gradcheck.report import Diagnosis


def forward_in_float32(case: Case) -> Diagnosis | None:
    """Forward does not see the last digits of a variable."""
    if case.subject.dtype != np.float64 or case.is_loss:
        return None
    variable = case.subject.variables[case.number]
    centre = variable.astype(np.float32).astype(np.float64)
    cell = np.spacing(np.abs(centre).astype(np.float32)).astype(np.float64)
    rows = np.empty((4, case.upstream.shape[1]))
    with case.subject.restored():
        for row, shift in zip(rows, (0.0, 0.49, 0.51, 1.0), strict=True):
            variable[...] = centre + shift * cell
            case.subject.write_outputs(row)
    crossed = (rows[1] != rows[2]).mean() > 0.5
    if not (crossed and (rows[0] == rows[1]).all() and (rows[2] == rows[3]).all()):
        return None
    text = (
        f"forward rounds {case.name} to float32, so its output moves in steps; "
        "keep the dtype of the input"
    )
    return Diagnosis("float32", case.name, text)


def rounded(case: Case) -> Diagnosis | None:
    """Backward's error is small and changes at random when everything moves a little."""
    if case.subject.dtype != np.float64 or case.tested.dtype != np.float64:
        return None
    at = case.usable & case.wrong
    a, t = case.analytic[at], case.numeric[at]
    if not at.any() or not np.isfinite(a).all():
        return None
    size = np.abs(case.numeric[case.usable]).max(initial=0)
    relative = np.abs(a - t).max() / size if size else 1.0
    if not relative < 3e-3:
        return None
    jumps = _jumps(case, 3e-7) / size
    dtype = "float32"
    if relative > 2e-5 and jumps < 0.02 * relative:
        jumps, dtype = _jumps(case, 1e-4) / size, "float16"
    if jumps < 0.02 * relative or (dtype == "float32" and relative > 1e-4):
        return None
    digits = "seven" if dtype == "float32" else "three"
    text = (
        f"the gradient of {case.name} is right to about {digits} digits only "
        f"(relative error {relative:.1g}): something is computed in {dtype} on the way"
    )
    return Diagnosis("float32", case.name, text)


def _jumps(case: Case, share: float) -> float:
    """Return how far backward strays from a straight line as all moves by this share.

    What is computed from rounded numbers jumps by as much as it is off; a formula, however wrong,
    is smooth.
    """
    rng = np.random.default_rng(0)
    moves = [rng.uniform(0.5, 1, v.shape) for v in case.subject.variables]
    of_upstream = rng.uniform(0.5, 1, case.upstream[0].shape)
    found = []
    with case.subject.restored() as kept:
        for step in (-share, 0, share):
            for v, k, move in zip(case.subject.variables, kept, moves, strict=True):
                v[...] = k * (1 + step * move)
            found.append(case.gradient(case.upstream[0] * (1 + step * of_upstream)))
    return float(np.abs(found[0] - 2 * found[1] + found[2]).max(initial=0))
