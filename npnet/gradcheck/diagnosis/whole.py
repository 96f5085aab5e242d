"""What is true of a whole gradient: not finite, zero, rounded, no linear map, a constant factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.case import Case
from npnet.gradcheck.diagnosis.factors import factor
from npnet.gradcheck.diagnosis.naming import ratio
from npnet.typing import Array

Found = tuple[str, str]


def non_finite(case: Case) -> Found | None:
    """NaN or infinity."""
    bad = ~np.isfinite(case.analytic).all(axis=1)
    if not bad.any():
        return None
    i = int(np.flatnonzero(bad)[0])
    at = [int(k) for k in np.unravel_index(case.indices[i], case.variable.shape)]
    row = case.analytic[i]
    return "non-finite", (
        f"is {row[~np.isfinite(row)][0]} at {at} ({bad.sum()} of {bad.size} elements are not "
        "finite): look for a division by zero, a logarithm of zero or an overflow in backward"
    )


def zero(case: Case) -> Found | None:
    """Zero everywhere, or never set."""
    if case.full.any():
        return None
    if case.missing:
        return "zero", "backward never adds to {}; it needs ctx.add_grad"
    return "zero", "is zero everywhere, and should not be"


def flat(case: Case) -> Found | None:
    """Forward does not change at all."""
    at = case.usable
    if not at.any() or case.numeric[at].any() or not case.analytic[at].any():
        return None
    with case.subject.restored():
        before = case.subject.here_now()
        case.variable[...] = -2.5 * case.variable + 1.3
        same = np.array_equal(before, case.subject.here_now())
    if same:
        return "unknown", (
            f"the output does not depend on the value that {case.name} has now, but {{}} is not "
            "zero: does forward keep something that was made of it in an earlier call (stale), or "
            "not use it at all?"
        )
    return "unknown", (
        f"the output does not change with {case.name} around this point, but {{}} is not zero: "
        "forward is a step function (it rounds or compares), or is not meant to be differentiated"
    )


def forward_in_float32(case: Case) -> Found | None:
    """Forward does not see the last digits of a variable."""
    if case.subject.dtype != np.float64 or case.is_loss:
        return None
    centre = case.variable.astype(np.float32).astype(np.float64)
    cell = np.spacing(np.abs(centre).astype(np.float32)).astype(np.float64)
    rows = []
    with case.subject.restored():
        for shift in (0.0, 0.49, 0.51, 1.0):
            case.variable[...] = centre + shift * cell
            rows.append(case.subject.here_now())
    crossed = (rows[1] != rows[2]).mean() > 0.5
    if not (crossed and (rows[0] == rows[1]).all() and (rows[2] == rows[3]).all()):
        return None
    return "float32", (
        f"forward rounds {case.name} to float32, so its output moves in steps and {{}} cannot be "
        "compared; keep the dtype of the input"
    )


def rounded(case: Case) -> Found | None:
    """Backward's error is small and changes at random when everything moves a little."""
    at = case.usable & case.wrong
    a, t = case.analytic[at], case.numeric[at]
    size = np.abs(case.numeric[case.usable]).max(initial=0)
    if not case.double or not at.any() or not size or not np.isfinite(a).all():
        return None
    relative = np.abs(a - t).max() / size
    if not relative < 3e-3:
        return None
    jumps, dtype = _jumps(case, 3e-7) / size, "float32"
    if relative > 2e-5 and jumps < 0.02 * relative:
        jumps, dtype = _jumps(case, 1e-4) / size, "float16"
    if jumps < 0.02 * relative or (dtype == "float32" and relative > 1e-4):
        return None
    return "float32", (
        f"is right to about {'seven' if dtype == 'float32' else 'three'} digits only (relative "
        f"error {relative:.1g}): something is computed in {dtype} on the way"
    )


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


def not_linear(case: Case) -> Found | None:
    """Backward is no linear map of the upstream gradient."""
    if case.is_loss:
        return None
    r, s = case.upstream[0], case.upstream[-1]
    s = s if s is not r else np.roll(r, 1)
    at_r, at_s, nothing, twice = map(case.gradient, (r, s, 0 * r, 2 * r))
    size = max(np.abs(at_r).max(initial=0), np.abs(at_s).max(initial=0))
    if not np.isfinite(size):
        return None

    def same(a: Array, b: Array, share: float = 1e-6) -> bool:
        return bool(np.abs(a - b).max(initial=0) <= share * size)

    if np.array_equal(at_r, at_s) and size:
        return "upstream ignored", (
            "does not depend on the upstream gradient: multiply by the gradient that backward is "
            "given"
        )
    if not same(nothing, 0 * nothing):
        text = "has a term that does not contain the upstream gradient"
        own = case.variable.reshape(-1)
        c = float(nothing @ own / (own @ own)) if own.any() else 0.0
        if same(nothing, c * own):
            text += f", {c:.6g} times {case.name} itself: is it a penalty (weight decay)?"
        return "nonlinear", text
    tiny, minus = case.gradient(1e-3 * r), case.gradient(-r)
    text = "is not proportional to the upstream gradient"
    clipped = f"{text}, as it must be: is it clipped or normalised?"
    if same(twice, 2 * at_r) and same(case.gradient(r + s), at_r + at_s):
        if same(1e3 * tiny, at_r) and same(minus, -at_r):
            fits = same(case.gradient(100 * r), 100 * at_r, 1e-4)
            return None if fits else ("nonlinear", clipped)
    if same(twice, 4 * at_r):
        return "nonlinear", f"{text}: it contains its square"
    if same(minus, at_r):
        return "nonlinear", f"{text}: its sign is lost"
    if same(twice, at_r):
        return "nonlinear", f"{text}: its size is lost; is it normalised, or only its sign taken?"
    if not same(1e3 * tiny, at_r):
        return "nonlinear", clipped
    return "nonlinear", f"{text}, as it must be; is it clipped, normalised or masked by its own sign?"


def constant_factor(case: Case) -> Found | None:
    """One constant factor, with the length, option or parameter of which it is made."""
    found, c = next(factor(case.here), None), ratio(case.here, case.here.known)
    if found is None or c is None:
        return None
    kind, text = found
    if case.elsewhere is not None:
        away = ratio(case.elsewhere, case.elsewhere.known)
        if away is None:
            return None
        if abs(away - c) > 1e-6 * abs(c):
            there = case.elsewhere.parameters
            for name, v in case.here.parameters.items():
                for power in (1, -1) if v.size == 1 and v.any() else ():
                    values = [float(w.flat[0]) ** power for w in (v, there[name])]
                    if np.allclose(np.abs(values), np.abs([c, away]), rtol=1e-6, atol=0):
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
    for axis in range(max(np.ndim(x) for x in inputs)):
        for n in {x.shape[axis] for x in inputs if x.ndim > axis}:
            power = _power(n, c)
            if power is None or (case.is_loss and axis > 0):
                continue
            longer = tuple(
                np.concatenate([x, np.take(x, [0], axis)], axis)
                if np.ndim(x) > axis and np.shape(x)[axis] == n else x for x in case.subject.given
            )  # fmt: skip
            if np.isclose(abs(case.factor(inputs=longer)), (n + 1) ** power, 1e-6, 0):
                word = "the batch size" if axis == 0 else f"the length of axis {axis}"
                why = ": a mean stands for a sum, or a division is too many"
                if case.is_loss or power == 1:
                    why = ": a division is missing, or a sum stands for a mean"
                why *= abs(power) == 1
                return f" ({n**power:.6g} is {_POWERS[power]}{word}{why})"
    for name, value in case.here.constants.items():
        power, other = _power(value, c), value + 1 if value == int(value) else value * 0.9

        def change(layer: Any, name: str = name, other: float = other) -> None:
            object.__setattr__(layer, name, type(getattr(layer, name))(other))

        if power is not None and np.isclose(abs(case.factor(change)), other**power, 1e-6, 0):
            return f" (which is {_POWERS[power]}self.{name})"
    return ""
