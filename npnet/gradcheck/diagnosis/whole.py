"""What is true of a whole gradient: not finite, zero, rounded, no linear map, a constant factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.case import Case
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
    v, at = case.variable, case.usable
    still = at.any() and not case.numeric[at].any() and case.analytic[at].any()
    single = v.astype(np.float32).astype(float)
    cell, rows = np.spacing(np.abs(single).astype(np.float32)).astype(float), []
    with case.subject.restored():
        for shift in (0.0, 0.49, 0.51, 1.0):
            v[...] = single + shift * cell
            rows.append(case.subject.here_now())
        v[...] = -2.5 * v + 1.3
        rows.append(case.subject.here_now())
    if still and (rows[3] == rows[4]).all():
        return "unknown", (
            f"the output does not depend on the value that {case.name} has now, but {{}} is not "
            "zero: does forward keep something made of it in an earlier call (stale)?"
        )
    if still:
        text = f"does not change with {case.name} around this point: is forward a step function?"
        return "unknown", f"the output {text}"
    steps = (rows[0] == rows[1]).all() and (rows[2] == rows[3]).all()
    if case.double and not case.is_loss and steps and (rows[1] != rows[2]).mean() > 0.5:
        text = "so its output moves in steps; keep the dtype of the input"
        return (
            "float32",
            f"the output is that of float32: forward rounds {case.name} to float32, {text}",
        )
    return None


def rounded(case: Case) -> Found:
    """Backward's error is small and changes at random when everything moves a little.

    What is computed from rounded numbers jumps by as much as it is off; a formula, however wrong,
    is smooth.
    """
    at, size = case.usable & case.wrong, np.abs(case.numeric[case.usable]).max(initial=0)
    off = np.abs(case.analytic - case.numeric)[at].max(initial=0)
    rng = np.random.default_rng(0)
    moves = [rng.uniform(0.5, 1, v.shape) for v in case.subject.variables]
    for dtype, share, most in (("float32", 3e-7, 1e-4), ("float16", 1e-4, 3e-3)):
        if not case.double or not 0 < off < most * size:
            continue
        found = []
        with case.subject.restored() as kept:
            for step in (-share, 0, share):
                for v, k, move in zip(case.subject.variables, kept, moves, strict=True):
                    v[...] = k * (1 + step * move)
                found.append(case.gradient(case.upstream[0] * (1 + step)))
        if np.abs(found[0] - 2 * found[1] + found[2]).max() > 0.02 * off:
            digits = "seven" if dtype == "float32" else "three"
            return "float32", (
                f"is right to about {digits} digits only (relative error {off / size:.1g}): "
                f"something is computed in {dtype} on the way"
            )
    return None


def not_linear(case: Case) -> Found:
    """Backward is no linear map of the upstream gradient."""
    if case.is_loss:
        return None
    r, s = case.upstream[0], case.upstream[-1]
    upstreams = (r, s, 0 * r, 2 * r, -r, r + s, 1e-3 * r, 100 * r)
    at_r, at_s, nothing, twice, minus, both, tiny, large = map(case.gradient, upstreams)
    size = max(np.abs(at_r).max(initial=0), np.abs(at_s).max(initial=0))

    def same(a: Array, b: Array, share: float = 1e-6) -> bool:
        return bool(np.abs(a - b).max(initial=0) <= share * size)

    if not np.isfinite(size):
        return None
    if np.array_equal(at_r, at_s) and size:
        text = "does not depend on the upstream gradient: multiply by what backward is given"
        return "upstream ignored", text
    if not same(nothing, 0 * nothing):
        text = "has a term that does not contain the upstream gradient"
        own = case.variable.reshape(-1)
        c = float(nothing @ own / (own @ own or 1))
        decay = f", {c:.6g} times {case.name} itself: is it a penalty (weight decay)?"
        return "nonlinear", text + decay * same(nothing, c * own)
    small = same(1e3 * tiny, at_r)
    if same(twice, 2 * at_r) and same(both, at_r + at_s) and small and same(minus, -at_r):
        if same(large, 100 * at_r, 1e-4):
            return None
    why = ", as it must be; is it clipped, normalised or masked by its own sign?"
    if same(twice, 4 * at_r):
        why = ": it contains its square"
    elif same(minus, at_r):
        why = ": its sign is lost"
    elif same(twice, at_r):
        why = ": its size is lost; is it normalised, or only its sign taken?"
    elif not small or same(minus, -at_r):
        why = ", as it must be: is it clipped or normalised?"
    return "nonlinear", f"is not proportional to the upstream gradient{why}"


def constant_factor(case: Case) -> Found:
    """One constant factor, with the length, option or parameter of which it is made."""
    found, c = factor(case.here), ratio(case.here, case.here.known)
    if found is None or c is None:
        return None
    kind, text = found
    if case.elsewhere is not None:
        away = ratio(case.elsewhere, case.elsewhere.known)
        if away is None:
            return None
        if abs(away - c) > 1e-6 * abs(c):
            for name, v in case.here.parameters.items():
                w = case.elsewhere.parameters[name]
                for power in (1, -1) if v.size == 1 and v.any() and w.any() else ():
                    values = [float(abs(x.flat[0])) ** power for x in (v, w)]
                    if np.allclose(values, np.abs([c, away]), rtol=1e-6, atol=0):
                        return kind, f"{text}: the factor {name} is forgotten, or too many"
            return None
    return kind, text + (_origin(case, abs(c)) if abs(abs(c) - 1) > 1e-4 else "")


_POWERS = {1: "", -1: "1 / ", 0.5: "the root of ", -0.5: "1 / the root of ", 2: "the square of ",
           -2: "1 / the square of "}  # fmt: skip


def _power(value: float, c: float) -> float | None:
    """Return the power of a number that is the factor."""
    fits = (k for k in _POWERS if value > 0 and abs(value**k - c) < 1e-6 * c)
    return next(fits, None) if abs(value - 1) > 1e-3 else None


def _origin(case: Case, c: float) -> str:
    """Name the length or option that the factor follows when it changes."""
    inputs = case.subject.inputs
    for axis, n in dict.fromkeys(an for x in inputs for an in enumerate(x.shape)):
        power = _power(n, c)
        if power is None or (case.is_loss and axis > 0):
            continue
        longer = tuple(
            np.concatenate([x, np.take(x, [0], axis)], axis)
            if np.ndim(x) > axis and np.shape(x)[axis] == n else x for x in case.subject.given
        )  # fmt: skip
        if np.isclose(abs(case.factor(inputs=longer)), (n + 1) ** power, 1e-6, 0):
            word = "the batch size" if axis == 0 else f"the length of axis {axis}"
            divided = case.is_loss or power == 1
            why = "a division is missing" if divided else "a mean stands for a sum"
            return f" ({n**power:.6g} is {_POWERS[power]}{word}: {why}?)"
    for name, value in case.here.constants.items():
        power, other = _power(value, c), value + 1 if value == int(value) else value * 0.9

        def change(layer: Any, name: str = name, other: float = other) -> None:
            object.__setattr__(layer, name, type(getattr(layer, name))(other))

        if power is not None and np.isclose(abs(case.factor(change)), other**power, 1e-6, 0):
            return f" (which is {_POWERS[power]}self.{name})"
    return ""
