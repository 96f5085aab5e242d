"""What is true of a whole gradient: not finite, zero, rounded, no linear map, a constant factor."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.case import Case, Change, set_option, unchanged
from npnet.gradcheck.diagnosis.formulas import factor
from npnet.gradcheck.diagnosis.matrices import Found
from npnet.gradcheck.diagnosis.naming import factor_words, ratio
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
    v, still = case.variable, bool(case.usable.any()) and not case.numeric[case.usable].any()
    single = v.astype(np.float32).astype(float)
    cell, rows = np.spacing(np.abs(single).astype(np.float32)).astype(float), []
    with case.subject.restored():
        for moved in [-2.5 * v + 1.3] * still + [single + k * cell for k in (0, 0.49, 0.51, 1)]:
            v[...] = moved
            rows.append(case.subject.here_now())
    if still and np.array_equal(rows[0], rows[1]):
        return "unknown", (
            f"the output does not depend on the value that {case.name} has now: does forward keep "
            "something made of it in an earlier call (stale)?"
        )
    if still:
        text = f"does not change with {case.name} around this point: is forward a step function?"
        return "unknown", f"the output {text}"
    flat = np.array_equal(rows[0], rows[1]) and np.array_equal(rows[2], rows[3])
    if flat and case.double and not case.is_loss and (rows[1] != rows[2]).mean() > 0.5:
        text = f"forward rounds {case.name} to float32; keep the dtype of the input"
        return "float32", f"the output moves in steps: {text}"
    return None


def rounded(case: Case) -> Found:
    """Backward's error is small and jumps when everything moves a little; a formula is smooth."""
    at, size = case.usable & case.wrong, np.abs(case.numeric[case.usable]).max(initial=0)
    off = np.abs(case.analytic - case.numeric)[at].max(initial=0)
    for dtype, digits, share, most in (
        ("float32", "seven", 3e-7, 1e-4),
        ("float16", "three", 1e-4, 3e-3),
    ):
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
            text = f"is right to about {digits} digits only (relative error {off / size:.1g})"
            return "float32", f"{text}: something is computed in {dtype} on the way"
    return None


def not_linear(case: Case) -> Found:
    """Backward is no linear map of the upstream gradient."""
    if case.is_loss or not np.isfinite(case.full).all():
        return None
    r, s = case.upstream[0], case.upstream[-1]
    at = {k: case.gradient(k * r) for k in (1, 2, -1, 1e-3, 100, 0)}
    other, both, one = case.gradient(s), case.gradient(r + s), at[1]
    size = max(np.abs(one).max(), np.abs(other).max())

    def same(a: Array, b: Array) -> bool:
        return bool(np.abs(a - b).max(initial=0) <= 1e-6 * size)

    if np.array_equal(one, other) and size:
        text = "does not depend on the upstream gradient: multiply by what backward is given"
        return "upstream ignored", text
    if not same(at[0], 0 * one):
        own = case.variable.reshape(-1)
        c = float(at[0] @ own / (own @ own or 1))
        decay = f", {c:.6g} times {case.name} itself: is it a penalty (weight decay)?"
        text = "has a term that does not contain the upstream gradient"
        return "nonlinear", text + decay * same(at[0], c * own)
    if same(both, one + other) and all(same(v / k, one) for k, v in at.items() if k):
        return None
    why = ", as it must be: is it clipped, normalised or masked by its own sign?"
    if same(at[2], 4 * one):
        why = ": it contains its square"
    elif same(at[-1], one) or same(at[2], one):
        why = f": its {'sign' if same(at[-1], one) else 'size'} is lost"
    elif same(at[-1], -one):
        why = ", as it must be: is it clipped or normalised?"
    return "nonlinear", f"is not proportional to the upstream gradient{why}"


def constant_factor(case: Case) -> Found:
    """One constant factor with a name: simple, or made of a length, option or parameter."""
    found = any_factor(case)
    return None if found and re.search(r"\.\d{4,} times the true one$", found[1]) else found


def any_factor(case: Case) -> Found:
    """One constant factor, with the length, option or parameter of which it is made."""
    found, c = factor(case.here), ratio(case.here, case.here.known)
    if found is None or c is None:
        return None
    plain = ratio(case.plain, case.plain.known) if case.is_loss else c
    if plain is not None and abs(plain - c) > 1e-6 * abs(c):  # it changes with the batch
        return "factor", f"is {factor_words(plain)}{_origin(case, abs(plain))}"
    away = c if case.elsewhere is None else ratio(case.elsewhere, case.elsewhere.known)
    if away is None:
        return None
    if abs(away - c) <= 1e-6 * abs(c):
        origin = "" if abs(abs(c) - 1) <= 1e-4 else _origin(case, abs(c))
        return found[0], found[1] + origin
    there = case.here.parameters if case.elsewhere is None else case.elsewhere.parameters
    for name, v in case.here.parameters.items():
        pairs = [(v, c), (there[name], away)] if v.size == 1 else []
        for power in (1, -1) if pairs and all(x.any() for x, _ in pairs) else ():
            for what, f in ((name, np.abs), (f"exp({name})", np.exp)):
                if all(np.isclose(f(x.flat[0]) ** power, abs(k), 1e-6, 0) for x, k in pairs):
                    return found[0], f"{found[1]}: the factor {what} is forgotten, or too many"
    return None


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
