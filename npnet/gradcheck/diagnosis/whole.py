"""What is true of a whole gradient: not finite, zero, rounded, no linear map, a constant factor."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Case, Found, Jacobians
from npnet.gradcheck.diagnosis.places import axes_words, factor_words
from npnet.typing import Array


def non_finite(case: Case) -> Found:
    """NaN or infinity."""
    bad = ~np.isfinite(case.analytic).all(axis=1)
    if not bad.any():
        return None
    i = int(bad.argmax())
    at = [int(k) for k in np.unravel_index(case.indices[i], case.variable.shape)]
    value = case.analytic[i][~np.isfinite(case.analytic[i])][0]
    text = f"is {value} at {at} ({bad.sum()} of {bad.size} elements are not finite): look for a"
    return "non-finite", f"{text} division by zero, a logarithm of zero or an overflow in backward"


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
        text = f"the output does not depend on the value that {case.name} has now: does forward"
        return "unknown", f"{text} keep something made of it in an earlier call (stale)?"
    text = f"does not change with {case.name} around this point: is forward a step function?"
    return "unknown", f"the output {text}"


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
    text = "is not proportional to the upstream gradient, as it must be: is it clipped, normalised,"
    return "nonlinear", f"{text} squared or masked by its own sign?"


def constant_factor(case: Case) -> Found:
    """One constant factor, with the length, option or parameter of which it is made."""
    c, away = (p.ratio(p.known) for p in (case.here, case.elsewhere))
    if c is None or away is None or abs(away - c) > 1e-6 * abs(c):
        return None
    if abs(c - 1) < 1e-4:
        p = case.here
        if np.abs(p.a - c * p.t)[p.known].max() > 0.1 * abs(c - 1) * np.abs(p.t[p.known]).max():
            return None  # no factor, but something that is rounded
        text = f"is {c:.10g} times the true one: a constant (an eps) is a little off"
        return "factor", text
    text = f"is {factor_words(c)}" + ("" if abs(c + 1) <= 1e-4 else _origin(case, abs(c)))
    # What has no name may be said better by an expression.
    return None if re.search(r"\.\d{4,} times the true one$", text) else ("factor", text)


_POWERS = {1: "", -1: "1 / ", 0.5: "the root of ", -0.5: "1 / the root of ", 2: "the square of ",
           -2: "1 / the square of "}  # fmt: skip


def _origin(case: Case, c: float) -> str:
    trials: list[tuple[str, float, float, dict[str, Any], Any]] = []
    lengths = dict.fromkeys(an for x in case.subject.inputs for an in enumerate(x.shape))
    for axis, n in lengths:
        longer = tuple(
            np.concatenate([x, np.take(x, [0], axis)], axis)
            if np.ndim(x) > axis and np.shape(x)[axis] == n else x for x in case.subject.given
        )  # fmt: skip
        words = "the batch size" if axis == 0 else f"the length of axis {axis}"
        if axis == 0 or not case.is_loss:
            trials.append((f"{words}: a sum stands for a mean, or the other way round", n, n + 1,
                           {}, longer))  # fmt: skip
    for name, value in case.here.constants.items():
        other = value + 1 if value == int(value) else value * 0.9
        kind = type(getattr(case.subject.checked, name))
        trials.append((f"self.{name}", value, other, {name: kind(other)}, None))
    for words, value, other, options, inputs in trials:
        for power, of in _POWERS.items() if value > 0 and abs(value - 1) > 1e-3 else ():
            if not np.isclose(value**power, c, 1e-6, 0):
                continue
            if np.isclose(abs(case.factor(options, inputs)), other**power, 1e-6, 0):
                return f" ({value**power:.6g} is {of}{words})"
    return ""


def unnamed(p: Jacobians) -> Found:
    """A factor, the same for each output or each element."""
    at = p.relevant
    if at.sum() < 4 or any((np.abs(m[at]) <= p.allowed[at]).any() for m in (p.a, p.t)):
        return None
    rate = np.where(at, p.a, 1) / np.where(at, p.t, 1)
    for axis in (1,) if p.is_loss else (0, 1):
        low = np.where(at, rate, np.inf).min(axis=axis)[at.any(axis=axis)]
        high = np.where(at, rate, -np.inf).max(axis=axis)[at.any(axis=axis)]
        alone = (at.sum(axis=axis) > 1).mean() < 0.5 and p.own is None and not p.is_loss
        same = low.size > 2 and not alone and (high - low <= 1e-6 * np.abs(low)).all()
        if same and np.ptp(low) > 1e-4 * np.abs(low).max():
            what = "element to element" if axis else "output to output"
            if axis == 0 and p.output_places and p.outputs[0].shape[0] == p.batch:
                of_row = p.output_places[0][at.any(axis=0)]
                alike = (np.ptp(low[of_row == i]) <= 1e-6 * np.abs(low).max() for i in of_row)
                what = "sample to sample" if all(alike) else what
            between = f"(between {low.min():.4g} and {low.max():.4g})"
            return "missing factor", f"is off by a factor that differs from {what} {between}"
    return None


def statistics(p: Jacobians) -> Found:
    """Off, over what is normalised, by a constant, a multiple of the tensor, or both."""
    d, every = p.a - p.t, "depends on every element"
    columns = np.flatnonzero((np.abs(d) > p.allowed).any(axis=0))
    if not p.known.all() or not p.is_input or p.is_loss or not columns.size:
        return None
    group = (np.abs(p.t) > p.allowed) | (np.abs(d) > p.allowed)
    x, first = p.x.reshape(-1)[p.indices], group[:, columns[0]]
    one = np.ones_like(x)
    along = axes_words([k for k, at in enumerate(p.places) if np.unique(at[first]).size > 1])
    for what, why, basis in (
        ("a term that is constant", "a mean (or sum)", [one]),
        (f"a multiple of {p.name} itself", "the norm by which it is divided", [x]),
        ("a constant and a multiple of the input", "each mean and variance", [one, x]),
    ):
        for g, off, allowed in zip(*(m.T[columns] for m in (group, d, p.allowed)), strict=True):
            design = np.stack(basis, axis=1)[g]
            away = np.abs(design @ np.linalg.lstsq(design, off[g], rcond=None)[0] - off[g])
            bound = 30 * allowed[g].max() + 1e-6 * np.abs(off[g]).max()
            if g.sum() < len(basis) + 2 or away.max() > bound:
                break
        else:
            return "missing term", f"is off by {what} along {along}: {why} {every}"
    return None


def invariance(p: Jacobians) -> Found:
    """Forward does not change when the tensor is shifted or scaled; backward does not know it."""
    axes: list[tuple[int, ...]] = [(k,) for k in range(p.x.ndim) if p.shape[k] > 1]
    axes += [tuple(range(k, p.x.ndim)) for k in (1, 0) if p.x.ndim - k > 1]
    for some, scaled in itertools.product(axes if p.exact else (), (False, True)):
        weighted = [m.reshape(*p.shape, -1) * (p.x[..., None] if scaled else 1) for m in (p.a, p.t)]
        a, t = (np.abs(m.sum(axis=some)).max() for m in weighted)
        size = np.abs(weighted[1]).max()
        if t <= 1e-6 * size and a >= 1e-4 * size:
            how = f"{p.name} is scaled" if scaled else f"a constant is added to {p.name}"
            return "missing term", (
                f"forward does not change when {how} along {axes_words(list(some))}, but {{}} has "
                "a part in that direction: a term (of a sum, mean or norm?) is missing or wrong"
            )
    return None
