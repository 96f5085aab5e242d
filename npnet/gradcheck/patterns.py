"""Patterns in a wrong gradient that show in its numbers alone, each with its sentence.

A pattern takes a `Case` and returns a `Diagnosis`, or None if it does not fit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.case import Case
from npnet.gradcheck.report import Diagnosis
from npnet.gradcheck.subject import LossSubject
from npnet.typing import Array


def non_finite(case: Case) -> Diagnosis | None:
    """NaN or infinity."""
    bad = np.flatnonzero(~np.isfinite(case.analytic))
    if bad.size == 0:
        return None
    at = _index(case, bad[0])
    return Diagnosis(
        "non-finite",
        case.name,
        f"the gradient of {case.name} is {case.analytic[bad[0]]} at {at} "
        f"({bad.size} of {case.analytic.size} elements are not finite)",
    )


def zero(case: Case) -> Diagnosis | None:
    """Zero everywhere, or never set."""
    if case.analytic.any():
        return None
    if case.missing:
        text = f"backward never adds to the gradient of {case.name}; it needs ctx.add_grad"
    else:
        text = f"the gradient of {case.name} is zero everywhere, and should not be"
    return Diagnosis("zero", case.name, text)


def factor(case: Case) -> Diagnosis | None:
    """One constant factor."""
    c = _constant_ratio(case, np.ones(case.analytic.size, bool))
    if c is None:
        return None
    return Diagnosis("factor", case.name, f"the gradient of {case.name} is {named(c, case)}")


def transposed(case: Case) -> Diagnosis | None:
    """The right numbers with axes exchanged."""
    shape = case.variable.shape
    if not case.complete or len(shape) < 2 or not case.usable.all():
        return None
    numeric = case.whole(case.numeric)
    for axes in itertools.permutations(range(len(shape))):
        if axes == tuple(range(len(shape))):
            continue
        turned = numeric.transpose(axes)
        if np.array_equal(turned.reshape(-1), case.numeric):  # only axes of length 1 are exchanged
            continue
        how = "transposed" if len(shape) == 2 else f"transposed (axes {list(axes)})"
        if turned.shape != shape:
            how += ", then reshaped"
        for sign, word in ((1, ""), (-1, "minus the true one, ")):
            if case.close(case.analytic, sign * turned.reshape(-1)):
                text = f"the gradient of {case.name} is {word}{how}"
                return Diagnosis("transposed", case.name, text)
    return None


def permuted(case: Case) -> Diagnosis | None:
    """The right numbers in another order."""
    if not case.complete or case.analytic.size < 3 or not case.usable.all():
        return None
    order, other = np.argsort(case.analytic), np.argsort(case.numeric)
    back = np.empty_like(case.analytic)
    back[other] = case.analytic[order]
    distinct = np.abs(np.diff(case.numeric[other])).min() > 1e-9 * np.abs(case.numeric).max()
    if not distinct or not case.close(back, case.numeric) or np.array_equal(order, other):
        return None
    text = (
        f"the gradient of {case.name} holds the right numbers in the wrong order: is it reshaped "
        "or transposed otherwise than in forward?"
    )
    return Diagnosis("transposed", case.name, text)


def single_precision(case: Case) -> Diagnosis | None:
    """Right to seven digits only."""
    at = case.usable & case.wrong
    if not at.any() or case.point.subject.dtype != np.float64:
        return None
    off = np.abs(case.analytic[at] - case.numeric[at])
    relative = off / np.maximum(np.abs(case.numeric[at]), 1e-3 * np.abs(case.numeric).max())
    values = case.analytic[case.usable]
    dtype, digits, limit = "float32", "seven", 3e-6
    if (values == values.astype(np.float16)).all():
        dtype, digits, limit = "float16", "three", 1e-2
    elif (values == values.astype(np.float32)).all():
        limit = 1e-3
    if not (relative.max() < limit and np.median(relative) > 1e-10):
        return None
    return Diagnosis(
        "float32",
        case.name,
        f"the gradient of {case.name} is right to about {digits} digits only "
        f"(relative error {relative.max():.1g}): something is computed in {dtype} on the way",
    )


def upstream_ignored(case: Case) -> Diagnosis | None:
    """The same for every upstream gradient."""
    both = case.point.analytic[case.evidence.variable]
    if both.shape[1] < 2 or not both.any() or not np.array_equal(both[:, 0], both[:, 1]):
        return None
    text = (
        f"the gradient of {case.name} does not depend on the upstream gradient: "
        "multiply by the gradient that backward is given"
    )
    return Diagnosis("upstream ignored", case.name, text)


def rows(case: Case) -> Diagnosis | None:
    """Some rows wrong, the others right."""
    shape = case.variable.shape
    if not case.complete or case.wrong.all() or case.wrong.sum() < 2:
        return None
    wrong = case.whole(case.wrong)
    relevant = case.whole((case.numeric != 0) | (case.analytic != 0))
    for axis, length in enumerate(shape):
        others = tuple(i for i in range(len(shape)) if i != axis)
        bad = np.flatnonzero(wrong.any(axis=others))
        if length < 2 or not others or bad.size == length:
            continue
        inside = np.take(wrong, bad, axis)[np.take(relevant, bad, axis)]
        if inside.size < 2 or inside.mean() < 0.8:
            continue
        what = "sample" if axis == 0 and case.is_input and case.batch == length else "row"
        place = "" if what == "sample" else f" of axis {axis}"
        which = ", ".join(map(str, bad[:6])) + (", ..." if bad.size > 6 else "")
        plural = "s" if bad.size > 1 else ""
        text = (
            f"only {what}{plural} {which}{place} (of {length}) of the gradient of {case.name} "
            f"{'are' if plural else 'is'} wrong{_inside(case, case.wrong)}"
        )
        return Diagnosis("rows", case.name, text)
    return None


def region(case: Case) -> Diagnosis | None:
    """Wrong exactly where something is negative, positive or large."""
    considered = case.usable & ((case.numeric != 0) | (case.analytic != 0))
    wrong = case.wrong[considered]
    if wrong.sum() < 2 or (~wrong).sum() < 2:
        return None
    for name, values in _same_shape(case, products=False):
        v = values[considered]
        for words, inside in (
            ("is negative", v < 0),
            ("is positive", v > 0),
            ("is zero", v == 0),
            ("exceeds 1 in size", np.abs(v) > 1),
            ("is below 1 in size", np.abs(v) < 1),
        ):
            if np.array_equal(inside, wrong):
                text = (
                    f"the gradient of {case.name} is wrong exactly where {name} {words}"
                    f"{_inside(case, case.wrong)}"
                )
                return Diagnosis("region", case.name, text)
    return None


def inverted(case: Case) -> Diagnosis | None:
    """Zero exactly where it should not be, and not where it should be."""
    a, n = case.analytic[case.usable] != 0, case.numeric[case.usable] != 0
    if not a.any() or not n.any() or not np.array_equal(a, ~n):
        return None
    text = (
        f"the gradient of {case.name} is zero exactly where it should not be, and not zero where "
        "it should be: a condition is inverted"
    )
    return Diagnosis("region", case.name, text)


def scattered(case: Case) -> Diagnosis | None:
    """A few elements."""
    count = int(case.wrong.sum())
    if count == 0 or count > max(3, 0.1 * case.wrong.size) or count == case.wrong.size:
        return None
    where = ", ".join(str(_index(case, i)) for i in np.flatnonzero(case.wrong)[:4])
    text = (
        f"only {count} of {case.wrong.size} elements of the gradient of {case.name} "
        f"{'is' if count == 1 else 'are'} wrong, at {where}{_inside(case, case.wrong)}"
    )
    return Diagnosis("elements", case.name, text)


def partly_zero(case: Case) -> Diagnosis | None:
    """Every wrong element is zero."""
    if not case.wrong.any() or case.analytic[case.wrong].any():
        return None
    text = (
        f"{int(case.wrong.sum())} of {case.wrong.size} elements of the gradient of {case.name} "
        "are zero and should not be"
    )
    return Diagnosis("zero", case.name, text)


def missing_factor(case: Case) -> Diagnosis | None:
    """A factor that is one of the arrays at hand."""
    at = case.usable & (case.numeric != 0) & (case.analytic != 0)
    if at.sum() < 4 or at.sum() < 0.5 * case.usable.sum():
        return None
    for name, values in _factors(case):
        v = values[at]
        if not np.isfinite(v).all() or (v == 0).any() or np.ptp(np.abs(v)) < 1e-3 * np.ptp([0, *v]):
            continue
        for lacks in (True, False):
            guess = np.zeros(case.analytic.size)
            guess[at] = case.numeric[at] / v if lacks else case.numeric[at] * v
            c = _fit(case, guess, at)
            if c is None:
                continue
            c = 1 / c if lacks else c
            times = "" if abs(c - 1) < 1e-6 else f"{_number(c)} times "
            verb = "lacks the factor" if lacks else "has one factor too many:"
            text = f"the gradient of {case.name} {verb} {times}{name}"
            return Diagnosis("missing factor", case.name, text)
    return None


def product_rule(case: Case) -> Diagnosis | None:
    """Only one of the two terms of (x g)' = g + x g', for an output x g(x)."""
    for r, y in zip(case.upstream, case.outputs, strict=True):
        if case.is_loss or not case.is_input or y.shape != case.variable.shape:
            continue
        x = case.variable.reshape(-1)[case.indices]
        first = r.reshape(-1)[case.indices] * y.reshape(-1)[case.indices] / np.where(x, x, np.nan)
        if not np.isfinite(first[case.usable]).all():
            continue
        second = case.numeric - first
        for guess, words in (
            (first, "takes g for a constant in output = input * g(input): the term with the "
                    "derivative of g is missing"),
            (second, "has only the term with the derivative of g in output = input * g(input); "
                     "the term g itself is missing"),
            (first + second / np.where(x, x, np.nan),
             "lacks the factor input in the term with the derivative of g in "
             "output = input * g(input)"),
        ):  # fmt: skip
            if case.close(case.analytic, guess, 1e-7):
                text = f"the gradient of {case.name} {words}"
                return Diagnosis("missing term", case.name, text)
    return None


def missing_term(case: Case) -> Diagnosis | None:
    """A summand that is one of the arrays at hand, up to a factor."""
    difference = case.analytic - case.numeric
    at = case.usable
    if at.sum() < 3 or not difference[at].any():
        return None
    for name, values in _terms(case):
        v = values[at]
        if not np.isfinite(v).all() or not v.any():
            continue
        c = float(v @ difference[at] / (v @ v))
        rest = np.abs(difference[at] - c * v)
        allowed = 4 * case.bar[at] + 1e-6 * np.abs(difference[at]).max()
        if c == 0 or not (rest <= allowed).all():
            continue
        if abs(c + 1) < 1e-5:
            text = f"the gradient of {case.name} lacks the term {name}"
        elif abs(c - 1) < 1e-5:
            text = (
                f"the gradient of {case.name} exceeds the true one by {name}: it has that term "
                "too many, or lacks it with a minus sign"
            )
        else:
            text = f"the gradient of {case.name} is off by {_number(c)} times {name}"
            if abs(abs(c) - 2) < 1e-5:
                text += " (a wrong sign?)"
        return Diagnosis("missing term", case.name, text)
    return None


def statistics(case: Case) -> Diagnosis | None:
    """Off by a constant and a multiple of the output along some axes, as lost mean and variance."""
    shape = case.variable.shape
    same = [y for y in case.outputs if y.shape == shape]
    if not case.complete or not case.usable.all() or not same:
        return None
    difference, bar = case.whole(case.analytic - case.numeric), case.whole(case.bar)
    allowed = 4 * bar + 1e-6 * np.abs(difference).max()
    for axes in _groups(len(shape)):
        if math.prod(shape[a] for a in axes) < 4:
            continue
        along = f"axis {axes[0]}" if len(axes) == 1 else f"axes {list(axes)}"
        centred = difference - difference.mean(axis=axes, keepdims=True)
        output = same[0] - same[0].mean(axis=axes, keepdims=True)
        square = (output * output).sum(axis=axes, keepdims=True)
        slope = (centred * output).sum(axis=axes, keepdims=True) / np.where(square, square, 1)
        own = (difference * same[0]).sum(axis=axes, keepdims=True)
        total = (same[0] * same[0]).sum(axis=axes, keepdims=True)
        multiple = own / np.where(total, total, 1) * same[0]
        if (np.abs(difference - multiple) <= allowed).all():
            what = (
                f"a multiple of the output along {along}: a mean, norm or variance "
                "depends on every element, and that is not differentiated"
            )
        elif (np.abs(centred) <= allowed).all():
            what = f"a term that is constant along {along}: a mean or sum is not differentiated"
        elif (np.abs(centred - slope * output) <= allowed).all():
            what = (
                f"a constant and a multiple of the output along {along}: mean and variance "
                "depend on every element, and that is not (fully) differentiated"
            )
        else:
            continue
        text = f"the gradient of {case.name} is off by {what}"
        return Diagnosis("missing term", case.name, text)
    return None


def _groups(ndim: int) -> Iterator[tuple[int, ...]]:
    """Yield the sets of axes over which layers compute statistics."""
    seen = set()
    everything = tuple(range(ndim))
    single = [(a,) for a in everything]
    but_one = [tuple(b for b in everything if b != a) for a in everything]
    last = [everything[a:] for a in everything]
    for axes in (*single, *but_one, *last):
        if axes and axes not in seen:
            seen.add(axes)
            yield axes


# --- naming


def named(c: float, case: Case) -> str:
    """Say what a constant factor is: '-1', 'the batch size', ...

    Parameters
    ----------
    c : float
    case : Case
        Whose sizes are tried.

    Returns
    -------
    str
        To be read after "the gradient is".
    """
    if abs(c + 1) < 1e-7:
        return "minus the true one: a wrong sign"
    size = abs(c)
    text = f"{_number(c)} times the true one"
    for candidate in (size, 1 / size):
        n = round(candidate)
        if n < 2 or abs(candidate - n) > 1e-6 * n:
            continue
        word = _size_name(n, case) if n > 2 or n == case.batch else ""
        more = candidate == size
        if not more:
            text = f"{'minus ' if c < 0 else ''}1/{n} of the true one"
        if word:
            why = "a division is missing" if more else "a mean instead of a sum"
            text += f" ({n} is {word}: {why}?)"
        return text
    from fractions import Fraction  # slow to load

    ratio = Fraction(c).limit_denominator(24)
    if abs(float(ratio) - c) < 1e-8 * abs(c):
        sign = "minus " if ratio < 0 else ""
        return f"{sign}{abs(ratio)} of the true one" if size < 1 else f"{ratio} times the true one"
    return text


def _size_name(n: int, case: Case) -> str:
    if n == case.batch:
        return "the batch size"
    for y in case.outputs:
        if n == y.size:
            return "the number of output elements"
    for name, x in [*case.inputs().items(), *(("output", y) for y in case.outputs)]:
        if n == x.size:
            return f"the number of elements of {name}"
        for axis, length in enumerate(x.shape):
            if n == length:
                return f"the length of axis {axis} of {name}"
    return ""


def _number(c: float) -> str:
    return f"{c:.7g}"


def _index(case: Case, i: int) -> list[int]:
    shape = case.variable.shape
    return [int(k) for k in np.unravel_index(case.indices[i], shape)] if shape else []


def _inside(case: Case, where: Array) -> str:
    """Describe the wrong elements alone."""
    at = where & case.usable
    if at.any() and not case.analytic[at].any():
        return "; there it is zero"
    c = _constant_ratio(case, at)
    return "" if c is None else f"; there it is {named(c, case)}"


# --- arithmetic


def _constant_ratio(case: Case, chosen: Array) -> float | None:
    """Return c if the analytic values chosen are c times the true ones, c not 1."""
    at = chosen & case.usable
    size = np.abs(case.numeric[at]).max(initial=0.0)
    if not size > 100 * case.bar[at].max(initial=0.0):  # nothing but noise to be compared with
        return None
    c = _fit(case, case.numeric, at)
    return None if c is None or abs(c - 1) < 1e-6 else c


def _fit(case: Case, guess: Array, at: Array) -> float | None:
    """Return c if the analytic values are c times `guess` where `at` says."""
    p, q, bar = case.analytic[at], guess[at], case.bar[at]
    if p.size == 0 or not np.isfinite(q).all() or not (q @ q) > 0:
        return None
    c = float(p @ q / (q @ q))
    share = np.divide(q, case.numeric[at], out=np.ones_like(q), where=case.numeric[at] != 0)
    allowed = 4 * bar * np.abs(c * share) + 1e-7 * np.abs(c * q) + 1e-13 * np.abs(p).max()
    return c if c != 0 and (np.abs(p - c * q) <= allowed).all() else None


def _same_shape(case: Case, products: bool) -> Iterator[tuple[str, Array]]:
    """Name the arrays at hand that have the tensor's shape."""
    shape = case.variable.shape
    several = len(case.outputs) > 1
    base: list[tuple[str, Array]] = list(case.inputs().items())
    if case.is_loss:
        base += _targets(case)
    else:
        for i, (r, y) in enumerate(zip(case.upstream, case.outputs, strict=True)):
            base += [(f"output {i}" if several else "the output", y)]
            base += [(f"upstream gradient {i}" if several else "the upstream gradient", r)]
    if not case.is_input:
        base += [(n, p) for n, p in case.parameters().items()]
    base = [("the " + n if n in ("input", "pred") else n, v) for n, v in base if v.shape == shape]
    for name, v in base:
        yield name, v.reshape(-1)[case.indices]
    if products:
        for (n, v), (m, w) in itertools.combinations_with_replacement(base, 2):
            yield f"{n} times {m}", (v * w).reshape(-1)[case.indices]


def _targets(case: Case) -> list[tuple[str, Array]]:
    """Name what a loss compares its prediction with."""
    subject = case.point.reference
    assert isinstance(subject, LossSubject)
    pred, target = case.variable, subject.others[0]
    if not isinstance(target, np.ndarray) or target.dtype.kind not in "fiub":
        return []
    if target.shape == pred.shape:
        return [("the target", target.astype(float)), ("(pred - target)", pred - target)]
    if target.shape == pred.shape[:1] and pred.ndim == 2 and target.dtype.kind in "iu":
        return [("the one-hot target", (target[:, None] == np.arange(pred.shape[1])).astype(float))]
    return []


def _factors(case: Case) -> Iterator[tuple[str, Array]]:
    for name, v in _same_shape(case, products=False):
        yield name, v
        yield f"(1 - {name})", 1 - v
        yield f"(1 + the size of {name})", 1 + np.abs(v)
        yield f"(1 + {name})", 1 + v
        yield f"(1 - {name} squared)", 1 - v * v
        yield f"the square of {name}", v * v
        yield f"{name} * (1 - {name})", v * (1 - v)
        yield f"the size of {name}", np.abs(v)
        yield f"exp({name})", np.exp(v)
    if case.is_loss:
        s = 1 / (1 + np.exp(-case.variable.reshape(-1)[case.indices]))
        yield "sigmoid(pred)", s
        yield "sigmoid(pred) * (1 - sigmoid(pred))", s * (1 - s)
    for name, p in case.parameters().items():
        picked = case.pick(p)
        if picked is not None and case.is_input:
            yield name, picked


def _terms(case: Case) -> Iterator[tuple[str, Array]]:
    yield "a constant", np.ones(case.analytic.size)
    yield from _same_shape(case, products=True)
    yield from _through_sums(case)
    for i, (r, y) in enumerate(zip(case.upstream, case.outputs, strict=True)):
        of = "" if len(case.outputs) == 1 else f" {i}"
        for name, array in (
            (f"the upstream gradient{of}", r),
            (f"the upstream gradient{of} times the output", r * y),
            (f"the upstream gradient{of} times the output squared", r * y * y),
            *((f"the upstream gradient{of} times {n}", r * x)
              for n, x in case.inputs().items() if x.shape == r.shape),
            *((f"the upstream gradient{of} times the square of {n}", r * x * x)
              for n, x in case.inputs().items() if x.shape == r.shape),
            *((f"the upstream gradient{of} times {n}", r * p)
              for n, p in case.parameters().items() if r.shape[r.ndim - p.ndim :] == p.shape),
        ):  # fmt: skip
            picked = case.pick(array)
            if picked is not None:
                yield name, picked


def _through_sums(case: Case) -> Iterator[tuple[str, Array]]:
    """Terms that couple the elements along an axis, as softmax and normalisations have."""
    for r, y in zip(case.upstream, case.outputs, strict=True):
        if y.shape != case.variable.shape:
            continue
        for axis in range(y.ndim):
            along = f"along axis {axis}"
            total = r.sum(axis=axis, keepdims=True)
            inner = (r * y).sum(axis=axis, keepdims=True)
            for name, array in (
                (f"the sum of the upstream gradient {along}", np.broadcast_to(total, y.shape)),
                (f"the output times the sum of (upstream gradient times output) {along}",
                 y * inner),
                (f"exp(output) times the sum of the upstream gradient {along}",
                 np.exp(y) * total),
                (f"the output times the sum of the upstream gradient {along}", y * total),
            ):  # fmt: skip
                picked = case.pick(array)
                if picked is not None:
                    yield name, picked
