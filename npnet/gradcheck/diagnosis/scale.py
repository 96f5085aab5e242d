"""Patterns of the whole gradient: not finite, zero, a constant factor, no linear map at all."""

from __future__ import annotations

import numpy as np

from npnet.gradcheck.diagnosis.evidence import Case, extended
from npnet.gradcheck.diagnosis.matrices import Jacobians
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
    variable, rows = case.subject.variables[case.number], np.empty((2, case.upstream.shape[1]))
    with case.subject.restored():
        for row in rows:
            case.subject.write_outputs(row)
            variable *= -2.5
            variable += 1.3
    if np.array_equal(*rows):
        why = (
            f"does not depend on the value that {case.name} has now: does forward keep something "
            "that was made of it in an earlier call (stale), or not use it at all?"
        )
    else:
        why = (
            f"does not change with {case.name} around this point, but backward returns a "
            "gradient: forward is a step function (it rounds or compares), or is not meant to be "
            "differentiated"
        )
    text = f"the output {why}"
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
    fits = [same(case.gradient(2 * r), 2 * at_r), same(case.gradient(r + s), at_r + at_s)]
    if all(fits) and same(1e3 * tiny, at_r) and same(minus, -at_r):
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
    if c is None or not p.wrong.any():
        return None
    if abs(c - 1) < 1e-4:
        text = (
            f"the gradient of {p.name} is {c:.10g} times the true one: a constant (an eps, a "
            "rounded number) differs between forward and backward"
        )
    else:
        text = f"the gradient of {p.name} is {factor_words(c)}"
    return Diagnosis("factor", p.name, text)


def named_factor(case: Case) -> Diagnosis | None:
    """One constant factor, with the length, option or parameter of which it is made."""
    found = factor(case.here)
    c = ratio(case.here, case.here.known)
    if found is None or c is None:
        return None
    away = None if case.elsewhere is None else ratio(case.elsewhere, case.elsewhere.known)
    if case.elsewhere is not None and away is None:
        return None
    if away is not None and abs(away - c) > 1e-6 * abs(c):
        name = next((n for n, v in case.here.parameters.items() if v.size == 1
                     for w in (float(v.flat[0]),) if abs(abs(c) - abs(w)) < 1e-6 * abs(c)
                     or abs(abs(c) * abs(w) - 1) < 1e-6), "")  # fmt: skip
        if not name:
            return None
        return found._replace(message=f"{found.message}: the factor {name} is forgotten, or too "
                              "many")  # fmt: skip
    if abs(abs(c) - 1) > 1e-4:
        found = found._replace(message=found.message + _origin(case, abs(c)))
    return found


_POWERS = {1: "", -1: "1 / ", 0.5: "the root of ", -0.5: "1 / the root of ", 2: "the square of ",
           -2: "1 / the square of "}  # fmt: skip


def _origin(case: Case, c: float) -> str:
    """Name the length or option that the factor follows when it changes."""
    for axis in range(max((v.ndim for v in case.here.inputs.values()), default=0)):
        for n in {v.shape[axis] for v in case.here.inputs.values() if v.ndim > axis}:
            power = next((k for k in _POWERS if n > 1 and abs(n**k - c) < 1e-6 * c), None)
            if power is None or (case.is_loss and axis > 0):
                continue
            longer = case.variant(inputs=extended(case.subject, axis, n))
            again = None if longer is None else ratio(longer, longer.known)
            if again is not None and abs(abs(again) - (n + 1) ** power) < 1e-6 * abs(again):
                word = "the batch size" if axis == 0 else f"the length of axis {axis}"
                if case.is_loss or power == 1:
                    why = "a division is missing, or a sum stands for a mean"
                else:
                    why = "a mean stands for a sum, or a division is too many"
                why = "" if abs(power) != 1 else f": {why}"
                return f" ({n**power:.6g} is {_POWERS[power]}{word}{why})"
    for name, value in case.here.constants.items():
        if value <= 0:
            continue
        power = next((k for k in _POWERS if abs(value - 1) > 1e-3
                      and abs(value**k - c) < 1e-6 * c), None)  # fmt: skip
        if power is None:
            continue
        other = value + 1 if value == int(value) else value * 0.9

        def change(layer: object, name: str = name, other: float = other) -> None:
            object.__setattr__(layer, name, type(getattr(layer, name))(other))

        changed = case.variant(change)
        again = None if changed is None else ratio(changed, changed.known)
        if again is not None and abs(abs(again) - other**power) < 1e-6 * abs(again):
            return f" (which is {_POWERS[power]}self.{name})"
    return ""


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
