"""Factors: constant, or varying from place to place; forgotten, or of the wrong array."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import (
    beside_elements,
    beside_outputs,
    factor_words,
    ratio,
)
from npnet.typing import Array

Found = tuple[str, str]


def factor(p: Jacobians) -> Iterator[Found]:
    """One constant factor."""
    c = ratio(p, p.known)
    if c is None or not p.wrong.any():
        return
    if abs(c - 1) < 1e-4:
        yield "factor", (
            f"is {c:.10g} times the true one: a constant (an eps, a rounded number) differs "
            "between forward and backward"
        )
    else:
        yield "factor", f"is {factor_words(c)}"


def _rates(p: Jacobians) -> Iterator[tuple[int, Array]]:
    """Yield ratios that are the same for each output (axis 0) or each element (1), if any."""
    at = p.relevant
    if at.sum() < 4 or any((np.abs(m[at]) <= p.allowed[at]).any() for m in (p.a, p.t)):
        return
    rate = np.where(at, p.a, 1) / np.where(at, p.t, 1)
    for axis in (1,) if p.is_loss else (0, 1):
        low = np.where(at, rate, np.inf).min(axis=axis)
        high = np.where(at, rate, -np.inf).max(axis=axis)
        some = at.any(axis=axis)
        if not (high[some] - low[some] > 1e-6 * np.abs(low[some])).any():
            yield axis, np.where(some, low, np.nan)


def missing(p: Jacobians) -> Iterator[Found]:
    """A factor, the same for each output or each element, that is one of the arrays at hand."""
    for axis, rate in _rates(p):
        some = np.isfinite(rate)
        r = rate[some]
        if r.size < 3 or np.ptp(r) < 1e-9 * np.abs(r).max():
            continue
        for name, v in _functions(list((beside_elements if axis else beside_outputs)(p))):
            w = v[some]
            if not np.isfinite(w).all() or (w == 0).any() or np.ptp(w) < 1e-3 * np.abs(w).max():
                continue
            for words, c in (
                ("lacks the factor", r * w),
                ("has one factor too many (or lacks a division by it):", r / w),
            ):
                if np.ptp(c) <= 1e-6 * np.abs(c).max():
                    value = 1 / c.mean() if words[0] == "l" else c.mean()
                    times = "" if abs(value - 1) < 1e-5 else f"{value:.6g} times "
                    yield "missing factor", f"{words} {times}{name}"
                    return


def _functions(arrays: list[tuple[str, Array]]) -> Iterator[tuple[str, Array]]:
    """Name arrays and what derivatives make of them."""
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
                s, t = 1 / (1 + np.exp(-v)), np.tanh(v)
                yield f"sigmoid({name})", s
                yield f"(1 - sigmoid({name}))", 1 - s
                yield f"sigmoid({name}) * (1 - sigmoid({name}))", s * (1 - s)
                yield f"tanh({name})", t
                yield f"(1 - the square of tanh({name}))", 1 - t**2


def unnamed(p: Jacobians) -> Iterator[Found]:
    """A factor, the same for each output or each element, that is no array at hand."""
    for axis, rate in _rates(p):
        if (p.relevant.sum(axis=axis) > 1).mean() < 0.5 and p.own is None and not p.is_loss:
            continue
        r = rate[np.isfinite(rate)]
        if r.size < 3 or np.ptp(r) < 1e-6 * np.abs(r).max():
            continue
        words = _by_position(p, rate, axis)
        if words:
            text = (
                f"is off by a factor that changes {words}: a factor such as a norm, root, weight "
                "or count is missing"
            )
        else:
            of = "element to element" if axis else "output to output"
            text = (
                f"is off by a factor that differs from {of} (between {r.min():.4g} and "
                f"{r.max():.4g}): a factor that forward computes (a gate, a weight, an activation "
                "or its derivative) or a term of the product rule is missing or wrong"
            )
        yield "missing factor", text


def _by_position(p: Jacobians, rate: Array, axis: int) -> str:
    """Say along which axis alone a factor changes, if so."""
    places = p.places[: 1 if p.is_loss else None] if axis else p.output_places
    some = np.isfinite(rate)
    for k, at in enumerate(places or ()):
        groups = [rate[(at == i) & some] for i in np.unique(at)]
        if min(map(len, groups)) < 2 or len(groups) < 2:
            continue
        if all(np.ptp(g) <= 1e-6 * np.abs(g).max() for g in groups):
            shown = ", ".join(f"{g[0]:.5g}" for g in groups[:6]) + ", ..." * (len(groups) > 6)
            sample = k == 0 and p.batch == len(groups)
            of = "" if axis else " of the output"
            what = "from sample to sample" if sample else f"with the position along axis {k}{of}"
            return f"{what} alone ({shown})"
    return ""


def partner(p: Jacobians) -> Iterator[Found]:
    """A parameter's gradient multiplied by one array where another belongs."""
    places = p.output_places
    if places is None or p.is_input or p.x.ndim != 1 or len(p.outputs) != 1:
        return
    for b, at in enumerate(places):
        own = p.places[0][:, None] == at[None]
        if p.outputs[0].shape[b] != p.x.size or (p.relevant & ~own).any():
            continue
        names = []
        for matrix in (p.a, p.t):
            values, found = np.where(own, matrix, 0).sum(axis=0), ""
            for name, v in [("1", np.ones(p.a.shape[1])), *beside_outputs(p), *_shifted(p)]:
                if not found and np.abs(values - v).max() <= 1e-6 * np.abs(v).max():
                    found = name
            names.append(found)
        if names[0] and names[0] != names[1]:
            right = f"where {names[1]} belongs" if names[1] else "which is not its factor in forward"
            text = f"multiplies the upstream gradient by {names[0]}, {right}"
            yield "missing factor", text


def _shifted(p: Jacobians) -> Iterator[tuple[str, Array]]:
    """Name the inputs of the output's shape, moved along one axis."""
    for name, x in p.inputs.items():
        for axis, length in enumerate(x.shape) if x.shape == p.outputs[0].shape else ():
            for by in range(1, length):
                least = by if 2 * by <= length else by - length
                words = f"the {name.replace('input', 'input', 1)} shifted by {least} along axis {axis}"
                yield words, np.roll(x, by, axis).reshape(-1)[p.columns]
