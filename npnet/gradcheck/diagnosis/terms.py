"""Terms that are missing or too many: of a mean, a variance, a norm, a sum, a product."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import axes_words, beside_elements, beside_outputs
from npnet.typing import Array

Found = tuple[str, str]


def product_rule(p: Jacobians) -> Iterator[Found]:
    """Only one of the two terms of (x g)' = g + x g', for an output x g(x)."""
    if p.own is None or (p.relevant & ~p.own).any() or p.x.size < 4:
        return
    a, t = (np.where(p.own, m, 0).sum(axis=1) for m in (p.a, p.t))
    x, y = p.x.reshape(-1)[p.indices], p.outputs[0].reshape(-1)[p.indices]
    if not np.isfinite(t).all() or (np.abs(x) < 1e-3).any() or np.ptp(y / x) <= 1e-6:
        return
    g, of_g = y / x, "the term with the derivative of g in output = input * g(input)"
    for guess, words in (
        (g, "takes g for a constant in output = input * g(input): the term with the derivative of "
            "g is missing"),
        (t - g, f"has only {of_g}; the term g itself is missing"),
        (g + (t - g) / x, f"lacks the factor input in {of_g}"),
        (g - (t - g), f"has the wrong sign in {of_g}"),
    ):  # fmt: skip
        if np.abs(a - guess).max() <= 1e-7 * np.abs(t).max():
            yield "missing term", words


def statistics(p: Jacobians) -> Iterator[Found]:
    """Off by a constant and a multiple of the tensor, or of the output, over what is normalised."""
    if p.is_loss or not p.is_input or not p.known.all():
        return
    x = p.x.reshape(-1)[p.indices]
    bases = {"x": x, "sign": np.sign(x)}
    if p.own is not None:
        y = p.outputs[0].reshape(-1)[p.indices]
        bases |= {"y": y, "exp": np.exp(np.minimum(y, 700))}
    d = p.a - p.t
    group = (np.abs(p.t) > p.allowed) | (np.abs(d) > p.allowed)
    columns = np.flatnonzero((np.abs(d) > p.allowed).any(axis=0))
    for name, basis in bases.items():
        fits = []
        for j in columns:
            g = group[:, j]
            fit = _line(basis[g], d[g, j], 30 * p.allowed[g, j].max() + 1e-6 * np.abs(d[g, j]).max())
            if fit is None:
                break
            fits.append(fit)
        else:
            text = _statistics_text(np.array(fits), name, p.name) if fits else ""
            if text:
                at = [k for k, place in enumerate(p.places)
                      if np.unique(place[group[:, columns[0]]]).size > 1]  # fmt: skip
                yield "missing term", f"is off by a {text.replace('@', 'along ' + axes_words(at))}"
                return


def _line(x: Array, d: Array, bound: float) -> tuple[float, float, float, float] | None:
    """Fit constant + slope * x; return these, the mean of x and its size."""
    if d.size < 3 or not np.isfinite(x).all() or not x.any():
        return None
    slope, constant = float(x @ d / (x @ x)), 0.0
    if np.abs(slope * x - d).max() > bound:
        slope, constant = 0.0, float(d.mean())
        if np.ptp(d) > bound:
            if d.size < 4 or np.ptp(x) < 1e-6 * np.abs(x).max():
                return None
            slope, constant = np.polyfit(x, d, 1).tolist()
            if np.abs(constant + slope * x - d).max() > bound:
                return None
    return constant, slope, float(x.mean()), float(np.abs(x).max())


_SUMS = {
    "sign": "multiple of the sign of the input @: the sum of the sizes by which it is divided",
    "exp": "multiple of exp(output) @: the normaliser (log of the sum of exponentials; the term "
    "exp(output) * sum(grad))",
    "y": "multiple of the output @: the sum by which it is normalised (the term output * "
    "sum(grad * output))",
}


def _statistics_text(fits: Array, name: str, tensor: str) -> str:
    constant, slope, mean, size = fits.T
    tiny = 1e-5 * (np.abs(constant).max() + np.abs(slope * size).max())
    no_slope, no_constant = np.abs(slope * size).max() <= tiny, np.abs(constant).max() <= tiny
    centred = np.abs(constant + slope * mean).max() <= tiny
    every = " depends on every element"
    if name != "x":
        return _SUMS[name] + every if no_constant and not no_slope else ""
    if no_slope:
        return f"term that is constant @: a mean (or sum) over it{every}"
    if no_constant and not centred:
        root = "(root of the mean square) by which it is divided"
        return f"multiple of {tensor} itself @: the norm {root}{every}"
    if centred:
        return f"multiple of the centred input @: the variance (standard deviation){every}"
    return (
        "constant and a multiple of the input @: mean and variance depend on every element, and "
        "their terms are missing or wrong"
    )


def invariance(p: Jacobians) -> Iterator[Found]:
    """Forward does not change when the tensor is shifted or scaled; backward does not know it."""
    if not p.exact or p.x.size < 2:
        return
    axes = [(k,) for k in range(p.x.ndim) if p.shape[k] > 1]
    axes += [tuple(range(k, p.x.ndim)) for k in (1, 0) if p.x.ndim - k > 1]
    for some, scaled in itertools.product(axes, (False, True)):
        weight = p.x[..., None] if scaled else 1.0
        a, t = ((weight * p.grid(m)).sum(axis=some) for m in (p.a, p.t))
        size = np.abs(weight * p.grid(p.t)).max()
        if np.abs(t).max() > 1e-6 * size or np.abs(a).max() < 1e-4 * size:
            continue
        over = axes_words(list(some))
        if scaled:
            text = (
                f"forward does not change when {p.name} is scaled along {over}, but {{}} has a "
                "part in that direction: the term of a norm, variance or sum over it is missing "
                "or wrong"
            )
        else:
            text = (
                f"forward does not change when a constant is added to {p.name} along {over}, but "
                "{} does not sum to zero there: the term of a mean or sum over it (of a softmax, a "
                "normalisation) is missing or wrong"
            )
        yield "missing term", text
        return


def added(p: Jacobians) -> Iterator[Found]:
    """A term made of the arrays at hand is missing or too many."""
    known = p.known & p.relevant.any(axis=0)
    d = (p.a - p.t)[known]
    bound = 30 * p.allowed[known] + 1e-6 * np.abs(d).max(initial=0)
    if np.count_nonzero(np.abs(d) > bound) < 4:
        return
    means = (1, p.x.size, len(p.x)) if p.is_loss and p.x.ndim else (1,)  # what a mean divides by
    for name, v in _terms(p):
        term = v[known]
        size = float(term @ term)
        c = float(term @ d) / size if np.isfinite(size) and size else 0.0
        if c == 0 or not (np.abs(c * term - d) <= bound).all():
            continue
        said = next(filter(None, (_coefficient(c * n) for n in means)), None)
        if said:
            signs = {"+1": f"has the term {name} too many", "-1": f"lacks the term {name}"}
            sign = " (a wrong sign?)" * (said in ("-2", "+2"))
            yield "missing term", signs.get(said, f"is off by {said} times {name}{sign}")
            return


def _coefficient(c: float) -> str:
    """Write a coefficient that a person may have written, such as 2 or 1/3."""
    for n in range(1, 25):
        k = round(c * n)
        if k and abs(c * n - k) < 1e-6 * n:
            return f"{k:+d}" if n == 1 else f"{k:+d}/{n}"
    return ""


def _terms(p: Jacobians) -> Iterator[tuple[str, Array]]:
    """Matrices that may have been added."""
    r = "the upstream gradient"
    if p.is_loss:
        yield "a constant", np.ones_like(p.a)
        with np.errstate(all="ignore"):
            for n, v in beside_elements(p):
                yield from ((n, v[:, None]), (f"exp({n})", np.exp(v[:, None])))
    elif p.own is not None and p.output_places is not None:
        own = p.own.astype(float)
        yield r, own
        for name, v in list(beside_outputs(p))[:14]:
            yield f"{r} times {name}", own * v
            yield f"{r} times the square of {name}", own * v * v


def within_samples(p: Jacobians) -> Iterator[Found]:
    """A loss off, in each sample, by another multiple of one of the arrays at hand."""
    if not p.is_loss or not p.exact or p.x.ndim != 2 or p.shape[1] < 2:
        return
    d, s = (p.a - p.t).reshape(p.shape), 1 / (1 + np.exp(-p.x))
    bound = 30 * p.allowed.max() + 1e-6 * np.abs(d).max()
    for name, v in [*beside_elements(p), ("sigmoid(pred) * (1 - sigmoid(pred))", s * (1 - s))]:
        w = v.reshape(p.shape)
        square = (w * w).sum(axis=1, keepdims=True)
        c = (d * w).sum(axis=1, keepdims=True) / np.where(square, square, 1)
        if np.ptp(c) > 1e-3 * np.abs(c).max() and np.abs(d - c * w).max() <= bound:
            text = (
                f"is off, in each sample, by a multiple of {name}: a sum or mean over the sample "
                "(a normaliser, a denominator) is taken as a constant, or its term is wrong"
            )
            yield "missing term", text
            return


def small(p: Jacobians) -> Iterator[Found]:
    """Off by little, nearly everywhere."""
    at = p.relevant
    off, size = np.abs(p.a - p.t)[at], np.abs(p.t[at]).max(initial=0)
    if size and p.wrong[at].mean() > 0.5 and off.max() <= 2e-3 * size:
        text = (
            f"is off by {off.max() / size:.1g} of its size: a small constant (an eps, a rounded "
            "number) is in one of forward and backward only, or a small term is missing"
        )
        yield "factor", text
