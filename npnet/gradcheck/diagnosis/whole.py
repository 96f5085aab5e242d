"""What is true of a whole gradient: not finite, zero, rounded, no linear map, a constant factor."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.case import Case, Change, set_option, unchanged
from npnet.gradcheck.diagnosis.formulas import factor
from npnet.gradcheck.diagnosis.matrices import Found
from npnet.gradcheck.diagnosis.naming import ratio
from npnet.typing import Array


def non_finite(case: Case) -> Found:
    """NaN or infinity."""
    bad = ~np.isfinite(case.analytic).all(axis=1)
    if not bad.any():
        return None
    i = int(bad.argmax())
    at = [int(k) for k in np.unravel_index(case.indices[i], case.variable.shape)]
    value = case.analytic[i][~np.isfinite(case.analytic[i])][0]
    return "non-finite", (
        f"is {value} at {at} ({bad.sum()} of {bad.size} elements are not finite): look for a "
        "division by zero, a logarithm of zero or an overflow in backward"
    )


def zero(case: Case) -> Found:
    """Zero everywhere, or never set."""
    if case.full.any():
        return None
    if case.missing:
        return "zero", "backward never adds to {}; it needs ctx.add_grad"
    return "zero", "is zero everywhere, and should not be"


def forward_is_flat(case: Case) -> Found:
    """Forward does not change at all, or in steps."""
    if not case.usable.any() or case.numeric[case.usable].any():
        return None
    with case.subject.restored():
        here = case.subject.here_now()
        case.variable[...] = -2.5 * case.variable + 1.3
        still = np.array_equal(here, case.subject.here_now())
    if still:
        return "unknown", (
            f"the output does not depend on the value that {case.name} has now: does forward keep "
            "something made of it in an earlier call (stale)?"
        )
    text = f"does not change with {case.name} around this point: is forward a step function?"
    return "unknown", f"the output {text}"


def rounded(case: Case) -> Found:
    """Backward's error is small and jumps when everything moves a little; a formula is smooth."""
    at, size = case.usable & case.wrong, np.abs(case.numeric[case.usable]).max(initial=0)
    off = np.abs(case.analytic - case.numeric)[at].max(initial=0)
    for dtype, share, most in (("float32", 3e-7, 1e-4), ("float16", 1e-4, 3e-3)):
        if not case.double or not 0 < off < most * size:
            continue
        found, rng = [], np.random.default_rng(0)
        moves = [share * rng.uniform(0.5, 1, v.shape) for v in case.subject.variables]
        for step in (-1, 0, 1):
            with case.subject.restored():
                for v, move in zip(case.subject.variables, moves, strict=True):
                    v *= 1 + step * move
                found.append(case.gradient(case.upstream[0] * (1 + step * share)))
        if np.abs(found[0] - 2 * found[1] + found[2]).max() > 0.02 * off:
            text = f"is right to few digits only (relative error {off / size:.1g})"
            return "float32", f"{text}: something is computed in {dtype} on the way"
    return None


def not_linear(case: Case) -> Found:
    """Backward is no linear map of the upstream gradient."""
    if case.is_loss or not np.isfinite(case.full).all():
        return None
    r, s = case.upstream[0], case.upstream[-1]
    one, other, both, of_zero = map(case.gradient, (r, s, r + s, 0 * r))
    size = max(np.abs(one).max(), np.abs(other).max())

    def same(a: Array, b: Array) -> bool:
        return bool(np.abs(a - b).max(initial=0) <= 1e-6 * size)

    if np.array_equal(one, other) and size:
        text = "does not depend on the upstream gradient: multiply by what backward is given"
        return "upstream ignored", text
    if not same(of_zero, 0 * one):
        return "nonlinear", "has a term that does not contain the upstream gradient"
    if same(both, one + other) and all(
        same(case.gradient(k * r) / k, one) for k in (2, -1, 1e-3, 100)
    ):
        return None
    return "nonlinear", (
        "is not proportional to the upstream gradient, as it must be: is it clipped, normalised, "
        "squared or masked by its own sign?"
    )


def constant_factor(case: Case) -> Found:
    """One constant factor, with the length, option or parameter of which it is made."""
    found, c = factor(case.here), ratio(case.here, case.here.known)
    if found is None or c is None:
        return None
    away = c if case.elsewhere is None else ratio(case.elsewhere, case.elsewhere.known)
    if away is None or abs(away - c) > 1e-6 * abs(c):
        return None
    text = found[1] + ("" if abs(abs(c) - 1) <= 1e-4 else _origin(case, abs(c)))
    # What has no name may be said better by an expression.
    return None if re.search(r"\.\d{4,} times the true one$", text) else ("factor", text)


_POWERS = {1: "", -1: "1 / ", 0.5: "the root of ", -0.5: "1 / the root of ", 2: "the square of ",
           -2: "1 / the square of "}  # fmt: skip


def _origin(case: Case, c: float) -> str:
    trials: list[tuple[str, float, float, Change, Any]] = []
    lengths = dict.fromkeys(an for x in case.subject.inputs for an in enumerate(x.shape))
    for axis, n in lengths:
        longer = tuple(
            np.concatenate([x, np.take(x, [0], axis)], axis)
            if np.ndim(x) > axis and np.shape(x)[axis] == n else x for x in case.subject.given
        )  # fmt: skip
        words = "the batch size" if axis == 0 else f"the length of axis {axis}"
        if axis == 0 or not case.is_loss:
            trials.append((f"{words}: a sum stands for a mean, or the other way round", n, n + 1,
                           unchanged, longer))  # fmt: skip
    for name, value in case.here.constants.items():
        other = value + 1 if value == int(value) else value * 0.9
        kind = type(getattr(case.subject.checked, name))
        set_other = functools.partial(set_option, name=name, value=kind(other))
        trials.append((f"self.{name}", value, other, set_other, None))
        for axis, n in lengths if value in (2, 3, 4, 8) else ():
            one = functools.partial(set_option, name=name, value=1)
            words = f"the length of axis {axis} divided by self.{name}"
            trials.append((words, n / value, n, one, None))
    for words, value, other, change, inputs in trials:
        for power, of in _POWERS.items() if value > 0 and abs(value - 1) > 1e-3 else ():
            if not np.isclose(value**power, c, 1e-6, 0):
                continue
            if np.isclose(abs(case.factor(change, inputs)), other**power, 1e-6, 0):
                return f" ({value**power:.6g} is {of}{words})"
    return ""
