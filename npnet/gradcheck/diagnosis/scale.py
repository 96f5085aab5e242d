"""Patterns of the whole gradient: not finite, zero, a constant factor, no linear map at all."""

from __future__ import annotations

import numpy as np

from npnet.gradcheck.diagnosis.evidence import Case, Jacobians
from npnet.gradcheck.diagnosis.naming import element, factor_words, ratio
from npnet.gradcheck.report import Diagnosis


def non_finite(case: Case) -> Diagnosis | None:
    """NaN or infinity."""
    bad = ~np.isfinite(case.analytic).all(axis=1)
    if not bad.any():
        return None
    i = int(np.flatnonzero(bad)[0])
    shape = case.subject.variables[case.number].shape
    at = [int(k) for k in np.unravel_index(case.indices[i], shape)] if shape else []
    row = case.analytic[i]
    text = (
        f"the gradient of {case.name} is {row[~np.isfinite(row)][0]} at {at} "
        f"({bad.sum()} of {bad.size} elements are not finite): look for a division by zero, a "
        "logarithm of zero or an overflow in backward"
    )
    return Diagnosis("non-finite", case.name, text)


def zero(case: Case) -> Diagnosis | None:
    """Zero everywhere, or never set."""
    if case.analytic.any():
        return None
    if case.missing:
        text = f"backward never adds to the gradient of {case.name}; it needs ctx.add_grad"
    else:
        text = f"the gradient of {case.name} is zero everywhere, and should not be"
    return Diagnosis("zero", case.name, text)


def flat(case: Case) -> Diagnosis | None:
    """Forward does not change at all."""
    at = case.usable
    if not at.any() or case.numeric[at].any() or not case.analytic[at].any():
        return None
    text = (
        f"the output does not change with {case.name} around this point, but backward returns a "
        "gradient: forward is a step function, or backward belongs to another formula"
    )
    return Diagnosis("unknown", case.name, text)


def not_linear(case: Case) -> Diagnosis | None:
    """Backward is no linear map of the upstream gradient."""
    if case.is_loss:
        return None
    r, s = case.upstream[0], case.upstream[-1]
    s = s if s is not r else np.roll(r, 1)
    at_r, at_s, nothing = case.gradient(r), case.gradient(s), case.gradient(0 * r)
    size = max(np.abs(at_r).max(initial=0), np.abs(at_s).max(initial=0))
    if not np.isfinite(size):
        return None

    def same(a: np.ndarray, b: np.ndarray, share: float = 1e-6) -> bool:
        return bool(np.abs(a - b).max(initial=0) <= share * size)

    if np.array_equal(at_r, at_s) and size:
        text = (
            f"the gradient of {case.name} does not depend on the upstream gradient: multiply by "
            "the gradient that backward is given"
        )
        return Diagnosis("upstream ignored", case.name, text)
    if not same(nothing, 0 * nothing):
        text = f"the gradient of {case.name} has a term that does not contain the upstream gradient"
        own = case.subject.variables[case.number].reshape(-1)
        c = float(nothing @ own / (own @ own)) if own.any() else 0.0
        if same(nothing, c * own):
            text += f", {c:.6g} times {case.name} itself: is it a penalty (weight decay)?"
        return Diagnosis("nonlinear", case.name, text)
    tiny, minus = case.gradient(1e-3 * r), case.gradient(-r)
    if same(case.gradient(2 * r), 2 * at_r) and same(case.gradient(r + s), at_r + at_s):
        if same(1e3 * case.gradient(1e-3 * r), at_r) and same(minus, -at_r):
            return None if same(case.gradient(100 * r), 100 * at_r, 1e-4) else _clipped(case)
    text = f"the gradient of {case.name} is not proportional to the upstream gradient"
    if same(case.gradient(2 * r), 4 * at_r):
        text += ": it contains its square"
    elif same(minus, at_r):
        text += ": its sign is lost"
    elif same(case.gradient(2 * r), at_r):
        text += ": its size is lost; is it normalised, or only its sign taken?"
    elif not same(1e3 * tiny, at_r):
        return _clipped(case)
    else:
        text += ", as it must be; is it clipped, normalised or masked by its own sign?"
    return Diagnosis("nonlinear", case.name, text)


def _clipped(case: Case) -> Diagnosis:
    text = (
        f"the gradient of {case.name} is not proportional to the upstream gradient, as it must "
        "be: is it clipped or normalised?"
    )
    return Diagnosis("nonlinear", case.name, text)


def factor(p: Jacobians) -> Diagnosis | None:
    """One constant factor."""
    c = ratio(p, p.known)
    if c is None or abs(c - 1) < 1e-8 or not p.wrong.any():
        return None
    if abs(c - 1) < 1e-4:
        text = (
            f"the gradient of {p.name} is {c:.10g} times the true one: a constant (an eps, a "
            "rounded number) differs between forward and backward"
        )
    else:
        text = f"the gradient of {p.name} is {factor_words(c, p)}"
    return Diagnosis("factor", p.name, text)


def scattered(p: Jacobians) -> Diagnosis | None:
    """A few elements of the tensor."""
    bad = p.wrong.any(axis=1)
    count = int(bad.sum())
    if not 0 < count <= max(3, 0.1 * bad.size) or bad.size < 6 or count > 0.34 * bad.size:
        return None
    some = np.flatnonzero(bad)[:4]
    where = ", ".join(str(element(p, int(i))) for i in some)
    if p.own is not None or p.is_loss:
        values = ", ".join(f"{v:.4g}" for v in p.x.reshape(-1)[p.indices][some])
        where += f" (where {p.name} is {values})"
    text = (
        f"only {count} of {bad.size} elements of the gradient of {p.name} "
        f"{'is' if count == 1 else 'are'} wrong, at {where}"
    )
    return Diagnosis("elements", p.name, text)
