"""Terms that are missing or too many: of a mean, a variance, a norm, a sum, a product."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import along, beside_elements, beside_outputs
from npnet.gradcheck.report import Diagnosis
from npnet.typing import Array


def statistics(p: Jacobians) -> Diagnosis | None:
    """Off by a constant and a multiple of the tensor, or of the output, over what is normalised."""
    if p.columns is None or not p.is_input or not p.known.all():
        return None
    x = p.x.reshape(-1)[p.indices]
    y = p.outputs[0].reshape(-1)[p.indices] if p.own is not None else None
    d = p.a - p.t
    group = (np.abs(p.t) > p.allowed) | (np.abs(d) > p.allowed)
    bases = [("x", x), ("sign", np.sign(x))]
    bases += [("y", y), ("exp", np.exp(y))] if y is not None else []
    columns = [j for j in range(d.shape[1]) if (np.abs(d[:, j]) > p.allowed[:, j]).any()]
    for name, basis in bases:
        fits = []
        for j in columns:
            g = group[:, j]
            fits.append(_fit_column(basis[g], d[g, j], p.allowed[g, j]))
            if fits[-1] is None:
                break
        if not fits or fits[-1] is None:
            continue
        over = along(p.places, np.flatnonzero(group[:, columns[0]]))
        text = _statistics_text(np.array(fits, dtype=float), name, over, p)
        if text:
            return Diagnosis("missing term", p.name, text)
    return None


def _fit_column(basis: Array, d: Array, allowed: Array) -> tuple[float, ...] | None:
    """Fit constant + slope * basis; return these, the basis' mean and size."""
    bound = 30 * allowed.max() + 1e-6 * np.abs(d).max()
    if d.size < 3 or not np.isfinite(basis).all() or not basis.any():
        return None
    design = np.stack([np.ones_like(basis), basis], axis=1)
    alone = float(basis @ d / (basis @ basis))
    if (np.abs(alone * basis - d) <= bound).all():
        coef = np.array([0.0, alone])
    elif np.ptp(d) <= bound:
        coef = np.array([float(d.mean()), 0.0])
    elif d.size < 4 or np.ptp(basis) < 1e-6 * np.abs(basis).max():
        return None
    else:
        coef, *_ = np.linalg.lstsq(design, d, rcond=None)
        if not (np.abs(design @ coef - d) <= bound).all():
            return None
    return (*coef, float(basis.mean()), float(np.abs(basis).max()))


def constant_along(p: Jacobians) -> Diagnosis | None:
    """Off, within what is normalised, by a term constant along some of its axes."""
    if p.own is None or not p.complete or not p.known.all() or p.x.ndim < 2:
        return None
    d = p.a - p.t
    group = (np.abs(p.t) > p.allowed) | (np.abs(d) > p.allowed)
    found = set()
    for j, g in enumerate(group.T):
        bad = np.abs(d[g, j]) > p.allowed[g, j]
        if not bad.any():
            continue
        at = [place[g] for place in p.places]
        allowed = 30 * p.allowed[g, j].max() + 1e-6 * np.abs(d[g, j]).max()
        flat = []
        for k in range(p.x.ndim):
            rest = np.ravel_multi_index([a for i, a in enumerate(at) if i != k],
                                        [n for i, n in enumerate(p.shape) if i != k])  # fmt: skip
            lines = [d[g, j][rest == r] for r in np.unique(rest)]
            if max(map(len, lines)) > 1 and all(np.ptp(line) <= allowed for line in lines):
                flat.append(k)
        found.add(tuple(flat))
    if len(found) != 1 or not (axes := list(found.pop())):
        return None
    over = f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
    text = (
        f"the gradient of {p.name} is off by a term that is constant along {over}: a mean or sum "
        "in backward runs over the wrong axes, or its term is missing"
    )
    return Diagnosis("missing term", p.name, text)


def _statistics_text(fits: Array, name: str, over: str, p: Jacobians) -> str:
    constant, slope, mean, size = fits.T
    total = np.abs(constant).max() + np.abs(slope * size).max()
    tiny = 1e-5 * total
    no_slope = np.abs(slope * size).max() <= tiny
    no_constant = np.abs(constant).max() <= tiny
    centred = np.abs(constant + slope * mean).max() <= tiny
    both = not (no_slope or no_constant or centred)
    if name != "x" and not (no_constant and not no_slope):
        return ""
    head = f"the gradient of {p.name} is off by a "
    if no_slope:
        return (
            f"{head}term that is constant along {over}: a mean (or sum) over it "
            "depends on every element"
        )
    if name == "sign":
        return (
            f"{head}multiple of the sign of the input along {over}: the sum of the sizes by which "
            "it is divided depends on every element"
        )
    if name == "exp":
        return (
            f"{head}multiple of exp(output) along {over}: the normaliser (log of the sum of "
            "exponentials) depends on every element (the term exp(output) * sum(grad))"
        )
    if name == "y":
        return (
            f"{head}multiple of the output along {over}: the sum by which it is normalised "
            "depends on every element (the term output * sum(grad * output))"
        )
    if no_constant and not centred:
        return (
            f"{head}multiple of {p.name} itself along {over}: the norm (root of "
            "the mean square) by which it is divided depends on every element"
        )
    if centred and not both:
        return (
            f"{head}multiple of the centred input along {over}: the variance "
            "(standard deviation) depends on every element"
        )
    return (
        f"{head}constant and a multiple of the input along {over}: mean and variance depend on "
        "every element, and their terms are missing or wrong"
    )


def invariance(p: Jacobians) -> Diagnosis | None:
    """Forward does not change when the tensor is shifted or scaled; backward does not know it."""
    if not p.complete or not p.known.all() or p.x.size < 2:
        return None
    axes: list[tuple[int, ...]] = [(k,) for k in range(p.x.ndim) if p.shape[k] > 1]
    axes += [tuple(range(1, p.x.ndim))] if p.x.ndim > 2 else []
    axes += [tuple(range(p.x.ndim))] if p.x.ndim > 1 else []
    for some in axes:
        over = f"axis {some[0]}" if len(some) == 1 else f"axes {list(some)}"
        for scaled in (False, True):
            weight = p.x[..., None] if scaled else 1.0
            a, t, size = ((weight * p.grid(m)).sum(axis=some) for m in (p.a, p.t, np.abs(p.t)))
            size = np.abs(size).max() if not scaled else np.abs(weight * p.grid(p.t)).max()
            if np.abs(t).max() > 1e-6 * size or np.abs(a).max() < 1e-4 * size:
                continue
            if scaled:
                text = (
                    f"forward does not change when {p.name} is scaled along {over}, but the "
                    f"gradient of {p.name} has a part in that direction: the term of a norm, "
                    "variance or sum over it is missing or wrong"
                )
            else:
                text = (
                    f"forward does not change when a constant is added to {p.name} along {over}, "
                    f"but the gradient of {p.name} does not sum to zero there: the term of a mean "
                    "or sum over it (of a softmax, a normalisation) is missing or wrong"
                )
            return Diagnosis("missing term", p.name, text)
    return None


def within_samples(p: Jacobians) -> Diagnosis | None:
    """A loss off, in each sample, by another multiple of one of the arrays at hand."""
    if not p.is_loss or not p.complete or p.x.ndim != 2 or p.shape[1] < 2 or not p.known.all():
        return None
    d, bound = (p.a - p.t).reshape(p.shape), 30 * p.allowed.max()
    s = 1 / (1 + np.exp(-p.x))
    for name, v in [*beside_elements(p), ("sigmoid(pred) * (1 - sigmoid(pred))", s * (1 - s))]:
        w = v.reshape(p.shape)
        square = (w * w).sum(axis=1, keepdims=True)
        c = (d * w).sum(axis=1, keepdims=True) / np.where(square, square, 1)
        varies = np.ptp(c[square > 0]) > 1e-3 * np.abs(c).max() if square.any() else False
        if varies and np.abs(d - c * w).max() <= bound + 1e-6 * np.abs(d).max():
            text = (
                f"the gradient of {p.name} is off, in each sample, by a multiple of {name}: a sum "
                "or mean over the sample (a normaliser, a denominator) is taken as a constant, or "
                "its term is wrong"
            )
            return Diagnosis("missing term", p.name, text)
    return None


def small(p: Jacobians) -> Diagnosis | None:
    """Off by little, and smoothly."""
    d = np.abs(p.a - p.t)[p.known]
    size = np.abs(p.t[p.known]).max(initial=0)
    if not size or d.max(initial=0) > 2e-3 * size:
        return None
    text = (
        f"the gradient of {p.name} is off by {d.max() / size:.1g} of its size: a small constant "
        "(an eps, a rounded number) is in one of forward and backward only, or a small term is "
        "missing"
    )
    return Diagnosis("factor", p.name, text)


def product_rule(p: Jacobians) -> Diagnosis | None:
    """Only one of the two terms of (x g)' = g + x g', for an output x g(x)."""
    own = p.own
    if own is None or (p.relevant & ~own).any() or p.x.size < 4:
        return None
    a, t = (np.where(own, m, 0).sum(axis=1) for m in (p.a, p.t))
    x, y = p.x.reshape(-1)[p.indices], p.outputs[0].reshape(-1)[p.indices]
    if not np.isfinite(t).all() or (np.abs(x) < 1e-3).any():
        return None
    first = y / x
    second = t - first
    for guess, words in (
        (first, "takes g for a constant in output = input * g(input): the term with the "
                "derivative of g is missing"),
        (second, "has only the term with the derivative of g in output = input * g(input); "
                 "the term g itself is missing"),
        (first + second / x, "lacks the factor input in the term with the derivative of g in "
                             "output = input * g(input)"),
        (first - second, "has the wrong sign in the term with the derivative of g in "
                         "output = input * g(input)"),
    ):  # fmt: skip
        if np.abs(a - guess).max() <= 1e-7 * np.abs(t).max() and np.ptp(first) > 1e-6:
            return Diagnosis("missing term", p.name, f"the gradient of {p.name} {words}")
    return None


def added(p: Jacobians) -> Diagnosis | None:
    """A term made of the arrays at hand is missing or too many."""
    known = p.known & p.relevant.any(axis=0)
    d = (p.a - p.t)[known]
    bound = 30 * p.allowed[known] + 1e-6 * np.abs(d).max(initial=0)
    if np.count_nonzero(np.abs(d) > bound) < 4:
        return None
    means = (1, p.x.size, len(p.x)) if p.is_loss else (1,)  # what a mean divides by
    for name, v in _terms(p):
        term = v[known]
        size = float(term @ term)
        c = float(term @ d) / size if np.isfinite(size) and size else 0.0
        if c == 0 or not (np.abs(c * term - d) <= bound).all():
            continue
        said = next(filter(None, (_term_text(c * n) for n in means)), None)
        if said is None:
            continue
        text = {"+1": f"has the term {name} too many", "-1": f"lacks the term {name}"}.get(
            said, f"is off by {said} times {name}" + " (a wrong sign?)" * (said in ("-2", "+2"))
        )
        return Diagnosis("missing term", p.name, f"the gradient of {p.name} {text}")
    return None


def _term_text(c: float) -> str | None:
    """Write a coefficient that a person may have written, such as 2, 1/3 or 0.8."""
    for n in range(1, 25):
        if abs(c * n - round(c * n)) < 1e-6 * n and round(c * n):
            k = round(c * n)
            return f"{k:+d}" if n == 1 else f"{k:+d}/{n}"
    if abs(c * 1000 - round(c * 1000)) < 1e-6 * abs(c * 1000) and abs(c) >= 1e-3:
        return f"{c:+.4g}"
    return None


def _terms(p: Jacobians) -> Iterator[tuple[str, Array]]:
    """Matrices that may have been added: of own outputs, of all outputs, of the tensor itself."""
    if p.is_loss:
        beside = [(n, v[:, None]) for n, v in beside_elements(p)]
        yield "a constant", np.ones_like(p.a)
        for n, v in beside:
            yield n, v
            with np.errstate(all="ignore"):
                yield f"exp({n})", np.exp(v)
        for (n, v), (m, w) in itertools.combinations_with_replacement(beside[:8], 2):
            yield f"{n} times {m}", v * w
        return
    if p.own is None or p.output_places is None:
        return
    r = "the upstream gradient"
    beside = [(n, v[None]) for n, v in beside_outputs(p)][:14]
    patterns = [("", p.own.astype(float))]
    for axis in range(p.x.ndim) if p.x.ndim > 1 else ():
        same = np.ones(p.a.shape)
        for b in range(p.x.ndim):
            if b != axis:
                same *= p.places[b][:, None] == p.output_places[b][None]
        patterns.append((f" summed along axis {axis}", same))
    x = [(n, v[:, None]) for n, v in beside_elements(p) if n in ("the input", "the output")]
    x += [("exp(the output)", np.exp(v)) for n, v in x if n == "the output"]
    for of, pattern in patterns:
        yield f"{r}{of}", pattern
        for name, v in beside:
            yield f"{r} times {name}{of}", pattern * v
            if "normalised" not in name and " of " not in name:
                yield f"{r} times the square of {name}{of}", pattern * v * v
        if of:
            for name, v in x:
                yield f"{name} times the {r[4:]}{of}", pattern * v
