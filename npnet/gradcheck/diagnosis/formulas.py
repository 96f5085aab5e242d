"""Formulas: factors that are missing or too many, and terms of a mean, a norm, a product."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Found, Jacobians
from npnet.gradcheck.diagnosis.naming import (
    axes_words,
    beside_elements,
    beside_outputs,
    factor_words,
    ratio,
)
from npnet.typing import Array


def factor(p: Jacobians) -> Found:
    """One constant factor."""
    c = ratio(p, p.known)
    if c is None or not p.wrong.any():
        return None
    if abs(c - 1) < 1e-4:
        return "factor", f"is {c:.10g} times the true one: a constant (an eps) is a little off"
    return "factor", f"is {factor_words(c)}"


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
        r = low[some]
        same = (high[some] - r <= 1e-6 * np.abs(r)).all()
        if same and r.size > 2 and np.ptp(r) > 1e-6 * np.abs(r).max():
            yield axis, np.where(some, low, np.nan)


def missing(p: Jacobians) -> Found:
    """A factor, the same for each output or each element, that is one of the arrays at hand."""
    for axis, rate in _rates(p):
        some = np.isfinite(rate)
        arrays = list((beside_elements if axis else beside_outputs)(p))
        arrays.sort(key=lambda pair: pair[0] == "the input")  # the output says it in fewer words
        several = (_derived(n, v, n in p.parameters) for n, v in arrays)
        for name, v in itertools.chain.from_iterable(several):
            r, w = rate[some], v[some]
            if not np.isfinite(w).all() or (w == 0).any() or np.ptp(w) < 1e-3 * np.abs(w).max():
                continue
            for words, c in (
                ("lacks the factor", 1 / (r * w)),
                ("has one factor too many (or lacks a division by it):", r / w),
            ):
                if np.ptp(c) <= 1e-6 * np.abs(c).max():
                    times = "" if abs(c.mean() - 1) < 1e-5 else f"{c.mean():.6g} times "
                    return "missing factor", f"{words} {times}{name}"
    return None


def _derived(name: str, v: Array, parameter: bool = False) -> Iterator[tuple[str, Array]]:
    yield from ((name, v), (f"(1 - {name})", 1 - v), (f"(1 + {name})", 1 + v))
    yield from ((f"(1 - {name} squared)", 1 - v * v), (f"(1 + {name} squared)", 1 + v * v))
    yield from ((f"the square of {name}", v * v), (f"the cube of {name}", v**3))
    yield from ((f"{name} * (1 - {name})", v * (1 - v)), (f"exp({name})", np.exp(v)))
    yield from ((f"the size of {name}", abs(v)), (f"(1 + the size of {name})", 1 + abs(v)))
    if name.startswith("pred") or name == "the input" or parameter:
        s, t = 1 / (1 + np.exp(-v)), np.tanh(v)
        yield from ((f"sigmoid({name})", s), (f"(1 - sigmoid({name}))", 1 - s))
        yield from ((f"tanh({name})", t), (f"(1 - tanh({name}) squared)", 1 - t * t))
        yield f"sigmoid({name}) * (1 - sigmoid({name}))", s * (1 - s)


def unnamed(p: Jacobians) -> Found:
    """A factor, the same for each output or each element, that is no array at hand."""
    for axis, rate in _rates(p):
        if (p.relevant.sum(axis=axis) > 1).mean() < 0.5 and p.own is None and not p.is_loss:
            continue
        some, of = np.isfinite(rate), "" if axis else " of the output"
        what = f"differs from {'element to element' if axis else 'output to output'}"
        for k, at in enumerate((p.places if axis else p.output_places) or ()):
            groups = [rate[(at == i) & some] for i in np.unique(at)]
            if len(groups) > 1 and all(
                len(g) > 1 and np.ptp(g) <= 1e-6 * abs(g[0]) for g in groups
            ):
                what = f"changes with the position along axis {k}{of} alone"
        return "missing factor", (
            f"is off by a factor that {what} (between {rate[some].min():.4g} and "
            f"{rate[some].max():.4g})"
        )
    return None


def product_rule(p: Jacobians) -> Found:
    """Only one of the two terms of (x g)' = g + x g', for an output x g(x)."""
    if p.own is None or not p.known.all() or (p.relevant & ~p.own).any():
        return None
    a, t = (np.where(p.own, m, 0).sum(axis=1) for m in (p.a, p.t))
    x, y = p.x.reshape(-1)[p.indices], p.outputs[0].reshape(-1)[p.indices]
    if (np.abs(x) < 1e-3).any() or np.ptp(y / x) <= 1e-6:
        return None
    g, slope, of = y / x, t - y / x, "in output = input * g(input)"
    for guess, words in (
        (g, f"takes g for a constant {of}: the term with its derivative is missing"),
        (slope, f"has only the term with the derivative of g {of}"),
    ):
        if np.abs(a - guess).max() <= 1e-7 * np.abs(t).max():
            return "missing term", words
    rate = (a - g) / slope
    for times, v in (("", x / x), ("input", x), ("(1 + g)", 1 + g), ("(1 - g)", 1 - g)):
        c = rate * v
        alike = np.isfinite(c).all() and np.ptp(c) <= 1e-6 * np.abs(c).max()
        if alike and (abs(c[0] - 1) < 1e-6) == (times != ""):
            how = f"lacks the factor {times}" if times else f"is {c[0]:.6g} times the true one"
            return "missing term", f"is wrong in the term with the derivative of g {of}: that {how}"
    return None


def _bases(p: Jacobians) -> Iterator[tuple[str, Array]]:
    """Arrays, (m,), of which a sum over elements may have added a multiple, and what that means."""
    x, every = p.x.reshape(-1)[p.indices], "depends on every element"
    yield f"a term that is constant @: a mean (or sum) {every}", np.ones_like(x)
    yield "", x - 0  # centred below
    yield f"a multiple of {p.name} itself @: the norm by which it is divided {every}", x
    yield f"a multiple of the sign of the input @: the sum of sizes {every}", np.sign(x)
    if p.own is not None:
        y = p.outputs[0].reshape(-1)[p.indices]
        yield f"a multiple of the output @: the sum that normalises {every}", y
        yield f"a multiple of exp(output) @: the normaliser {every}", np.exp(np.minimum(y, 700))
    if p.is_loss:
        s = 1 / (1 + np.exp(-x))
        arrays = [*beside_elements(p), ("sigmoid(pred) * (1 - sigmoid(pred))", s * (1 - s))]
        yield from (
            (f"a multiple of {n} @: a sum, mean or root is taken as a constant", v)
            for n, v in arrays
        )


def statistics(p: Jacobians) -> Found:
    """Off, over what is normalised, by a constant and a multiple of one of the arrays at hand."""
    d, known, allowed = p.a - p.t, p.known.all(), p.allowed
    group = (np.abs(p.t) > allowed) | (np.abs(d) > allowed)
    if p.is_loss and p.x.ndim > 1 and p.complete:  # each sample by itself
        group = group & (p.places[0][:, None] == np.arange(p.shape[0])[None])
        d, allowed = np.where(group, d, 0), np.where(group, allowed, 0)
    columns = np.flatnonzero((np.abs(d) > allowed).any(axis=0)) if known and p.is_input else ()
    groups = [group[:, j] for j in columns]
    if not groups or min(g.sum() for g in groups) < 3 or (p.is_loss and len(groups) < 2):
        return None
    bounds = [30 * allowed[g, j].max() + 1e-6 * np.abs(d[g, j]).max()
              for g, j in zip(groups, columns, strict=True)]  # fmt: skip
    along = "along " + axes_words([k for k, at in enumerate(p.places)
                                   if np.unique(at[groups[0]]).size > 1])  # fmt: skip
    x = p.x.reshape(-1)[p.indices]
    affine = "a constant and a multiple of the input @: each mean and variance "
    affine += "depends on every element"
    for words, basis in (*_bases(p), (affine, x)):
        fits = []
        for g, j, bound in zip(groups, columns, bounds, strict=True):
            v, off = basis[g], d[g, j]
            if not words:
                v = v - v.mean()
            design = np.stack([v, np.ones_like(v)][: 1 + (words == affine)], axis=1)
            if not np.isfinite(v).all() or design.shape[1] + 1 >= len(v):
                break
            fits.append(np.linalg.lstsq(design, off, rcond=None)[0])
            if np.abs(design @ fits[-1] - off).max() > bound:
                break
        else:
            words = (
                words or "a multiple of the centred input @: the variance depends on every element"
            )
            cross = np.zeros_like(p.wrong) if p.own is None else ~p.own
            if (p.wrong & cross).any() and not (np.abs(p.t) > p.allowed)[cross].any():
                text = f"has terms of a mean or variance {along} that forward does not compute: "
                text += "each output depends on its own element alone (are statistics fixed?)"
                return "missing term", text
            if p.is_loss and np.ptp(fits) <= 1e-3 * np.abs(fits).max():  # nothing of the sample
                if words.startswith("a term that is constant"):
                    return None
                words = f"{words.split(' @')[0]}: that term is missing or wrong"
            return "missing term", f"is off by {words.replace('@', along)}"
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
                "a part in that direction: the term of a sum, mean or norm is missing or wrong"
            )
    return None
