"""Factors that vary from place to place: forgotten, too many, or taken from the wrong array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import beside_elements, beside_outputs
from npnet.gradcheck.report import Diagnosis
from npnet.typing import Array


def missing(p: Jacobians) -> Diagnosis | None:
    """A factor, the same for each output or each element, that is one of the arrays at hand."""
    at = p.relevant
    if at.sum() < 4 or (np.abs(p.a[at]) <= p.allowed[at]).any():
        return None
    if (np.abs(p.t[at]) <= p.allowed[at]).any():
        return None
    with np.errstate(all="ignore"):
        rate = np.where(at, p.a / p.t, np.nan)
    for axis, beside in ((0, beside_outputs), (1, beside_elements)):
        if rate.shape[axis] > 1 and p.columns is None and axis == 0:
            continue
        r = _common(rate, axis)
        if r is None or np.ptp(r[np.isfinite(r)]) < 1e-9 * np.abs(r[np.isfinite(r)]).max():
            continue
        some = np.isfinite(r)
        if some.sum() < 3:
            continue
        for name, v in _functions(list(beside(p)), p.is_loss):
            w = v[some]
            if not np.isfinite(w).all() or (w == 0).any() or np.ptp(w) < 1e-3 * np.abs(w).max():
                continue
            for lacks, c in ((True, r[some] * w), (False, r[some] / w)):
                if np.ptp(c) > 1e-6 * np.abs(c).max():
                    continue
                value = 1 / c.mean() if lacks else c.mean()
                times = "" if abs(value - 1) < 1e-5 else f"{value:.6g} times "
                verb = "lacks the factor" if lacks else "has one factor too many (or lacks a "
                verb += "" if lacks else "division by it):"
                text = f"the gradient of {p.name} {verb} {times}{name}"
                return Diagnosis("missing factor", p.name, text)
    return None


def unnamed(p: Jacobians) -> Diagnosis | None:
    """A factor, the same for each output or each element, that is no array at hand."""
    at = p.relevant
    if at.sum() < 4 or any((np.abs(m[at]) <= p.allowed[at]).any() for m in (p.a, p.t)):
        return None
    rate = np.where(at, p.a / np.where(at, p.t, 1), np.nan)
    for axis, of in ((0, "output"), (1, "element")):
        r = _common(rate, axis)
        if r is None or (p.is_loss and axis == 0):
            continue
        if (at.sum(axis=axis) > 1).mean() < 0.5 and p.own is None and not p.is_loss:
            continue
        r = r[np.isfinite(r)]
        if r.size < 3 or np.ptp(r) < 1e-6 * np.abs(r).max():
            continue
        text = (
            f"the gradient of {p.name} is off by a factor that differs from {of} to {of} (between "
            f"{r.min():.4g} and {r.max():.4g}): a factor that forward computes (a gate, a weight, "
            "an activation or its derivative) or a term of the product rule is missing or wrong"
        )
        return Diagnosis("missing factor", p.name, text)
    return None


def partner_of_matrix(p: Jacobians) -> Diagnosis | None:
    """A matrix whose gradient is an outer product with one array where another belongs."""
    places = p.output_places
    if places is None or p.is_input or p.x.ndim != 2 or not p.complete or not p.known.all():
        return None
    if not p.wrong.any() or p.outputs[0].shape[0] != p.batch:
        return None
    rows = [("the output", y) for y in p.outputs[:1]]
    rows += [("the input" if n == "input" else n, x) for n, x in p.inputs.items()]
    rows += [(n, np.broadcast_to(v, (p.batch, v.size))) for n, v in p.parameters.items()
             if v.ndim == 1 and p.batch]  # fmt: skip
    for axis, width in ((1, p.shape[1]), (0, p.shape[0])):
        names = []
        for matrix in (p.a, p.t):
            found = "nothing (zero)" if not matrix.any() else ""
            for name, array in rows:
                if array.shape[:1] != (p.batch,) or array[0].size != width or found:
                    continue
                if all(_outer(p.grid(matrix)[..., k], array[places[0][k]].reshape(-1), axis)
                       for k in range(matrix.shape[1])):  # fmt: skip
                    found = name
            names.append(found)
        if all(names) and names[0] != names[1]:
            shift = ""
            if names[0] == "the output":
                shift = (
                    " (in a recurrence: the state after the step instead of before it, "
                    "shifted by one)"
                )
            text = (
                f"the gradient of {p.name} multiplies by {names[0]} where {names[1]} belongs{shift}"
            )
            return Diagnosis("missing factor", p.name, text)
    return None


def _outer(matrix: Array, v: Array, axis: int) -> bool:
    """Whether all rows (or columns) are multiples of a vector."""
    m = matrix if axis == 1 else matrix.T
    rest = m - np.outer(m @ v, v) / (v @ v) if v.any() else m
    return bool(np.abs(rest).max() <= 1e-7 * np.abs(m).max())


def partner(p: Jacobians) -> Diagnosis | None:
    """A parameter's gradient multiplied by one array where another belongs."""
    places = p.output_places
    if places is None or p.is_input or p.x.ndim != 1 or len(p.outputs) != 1:
        return None
    shape = p.outputs[0].shape
    for b, at in enumerate(places):
        own = p.places[0][:, None] == at[None]
        if shape[b] != p.x.size or (p.relevant & ~own).any():
            continue
        used, true = (np.where(own, m, 0).sum(axis=0) for m in (p.a, p.t))
        names: list[str] = []
        for values in (used, true):
            found = ""
            for name, v in [("1", np.ones(p.a.shape[1])), *beside_outputs(p)]:
                if np.abs(values - v).max() <= 1e-6 * np.abs(v).max():
                    found = name
                    break
            names.append(found)
        if names[0] and names[0] != names[1]:
            right = (
                f"where {names[1]} belongs" if names[1] else "which is not its factor in forward"
            )
            text = (
                f"the gradient of {p.name} multiplies the upstream gradient by {names[0]}, {right}"
            )
            return Diagnosis("missing factor", p.name, text)
    return None


def by_position(p: Jacobians) -> Diagnosis | None:
    """A factor that depends on the position along one axis alone."""
    at = p.relevant
    if at.sum() < 4:
        return None
    if any((np.abs(m[at]) <= p.allowed[at]).any() for m in (p.a, p.t)):
        return None
    with np.errstate(all="ignore"):
        rate = np.where(at, p.a / p.t, np.nan)
    sides = [(0, p.output_places, " of the output")] if not p.is_loss else []
    for axis, places, of in (*sides, (1, p.places[:1] if p.is_loss else p.places, "")):
        r = _common(rate, axis)
        if r is None or places is None or not np.isfinite(r).any():
            continue
        for a, position in enumerate(places):
            groups = [r[(position == k) & np.isfinite(r)] for k in np.unique(position)]
            if len(groups) < 2 or len(groups) >= np.isfinite(r).sum():
                continue
            if all(g.size and np.ptp(g) <= 1e-6 * np.abs(g).max() for g in groups):
                values = [float(g[0]) for g in groups]
                if np.ptp(values) > 1e-6 and min(map(len, groups)) > 1:
                    shown = ", ".join(f"{v:.5g}" for v in values[:6])
                    shown += ", ..." if len(values) > 6 else ""
                    what = "from sample to sample" if a == 0 and p.batch == len(values) else (
                        f"with the position along axis {a}{of}")  # fmt: skip
                    text = (
                        f"the gradient of {p.name} is off by a factor that changes {what} alone "
                        f"({shown}): a factor such as a norm, root, weight or count is missing"
                    )
                    return Diagnosis("missing factor", p.name, text)
    return None


def _common(rate: Array, axis: int) -> Array | None:
    """Return the ratio along the other axis if it does not vary along this one."""
    known = np.isfinite(rate)
    filled = np.where(known, rate, np.inf)
    low, high = filled.min(axis=axis), np.where(known, rate, -np.inf).max(axis=axis)
    some = known.any(axis=axis)
    size = np.maximum(np.abs(low), np.abs(high))
    if not some.any() or (high[some] - low[some] > 1e-6 * size[some]).any():
        return None
    return np.where(some, low, np.nan)


def _functions(arrays: list[tuple[str, Array]], is_loss: bool) -> Iterator[tuple[str, Array]]:
    with np.errstate(all="ignore"):
        for name, v in arrays:
            yield name, v
            yield f"(1 - {name})", 1 - v
            yield f"(1 - {name} squared)", 1 - v * v
            yield f"the square of {name}", v * v
            yield f"{name} * (1 - {name})", v * (1 - v)
            yield f"the size of {name}", np.abs(v)
            yield f"(1 + {name})", 1 + v
            yield f"(1 + the size of {name})", 1 + np.abs(v)
            yield f"(1 + the square of {name})", 1 + v * v
            yield f"exp({name})", np.exp(v)
            yield f"the cube of {name}", v**3
        for name, v in arrays:
            if name.startswith("pred") or name == "the input":
                s = 1 / (1 + np.exp(-v))
                yield f"sigmoid({name})", s
                yield f"(1 - sigmoid({name}))", 1 - s
                yield f"sigmoid({name}) * (1 - sigmoid({name}))", s * (1 - s)
                yield f"tanh({name})", np.tanh(v)
                yield f"(1 - the square of tanh({name}))", 1 - np.tanh(v) ** 2
