"""Where a gradient is wrong: at positions, through outputs, where a number is negative; words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Found, Jacobians
from npnet.typing import Array


def factor_words(c: float) -> str:
    """Say what a constant factor is, to be read after "the gradient is"."""
    if abs(c + 1) < 1e-6:
        return "minus the true one: a wrong sign"
    size, sign = abs(c), "minus " if c < 0 else ""
    ratio = Fraction(size).limit_denominator(24)
    text = f"{sign}{ratio}" if abs(float(ratio) - size) < 1e-7 * size else f"{c:.7g}"
    return f"{text} {'of' if size < 1 and '/' in text else 'times'} the true one"


def listed(numbers: list[int]) -> str:
    """Name positions: '3', '0 and 2', '1 to 4'."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    if len(numbers) > 5:
        return ", ".join(map(str, numbers[:5])) + ", ..."
    return " and ".join(", ".join(map(str, numbers)).rsplit(", ", 1))


def axes_words(axes: list[int]) -> str:
    """Name axes: 'axis 1', 'axes [0, 2]'."""
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"


def inside(p: Jacobians) -> str:
    """Describe the wrong part alone, to be read after a sentence."""
    at = p.wrong & p.relevant
    c = p.ratio(at)
    if p.lost:
        return "; there it is zero: its term is missing"
    if (np.abs(p.t[at]) <= p.allowed[at]).all():
        return "; there it should be zero" * bool(at.any())
    return "" if c is None or abs(c - 1) < 1e-6 else f"; there it is {factor_words(c)}"


def beside_elements(p: Jacobians) -> Iterator[tuple[str, Array]]:
    """Name the arrays that have a value for each checked element of the tensor, (m,)."""
    for name, v in _arrays(p):
        found = _fit(v, p.shape)
        if found is not None:
            yield name, found.reshape(-1)[p.indices]


def _arrays(p: Jacobians) -> Iterator[tuple[str, Array]]:
    yield from (("the input" if n == "input" else n, v) for n, v in p.inputs.items())
    if p.is_loss:
        y = p.others[0] if p.others else np.zeros(0)
        if y.dtype.kind in "fiub" and y.shape == p.x.shape:
            yield from (("the target", y * 1.0), ("(pred - target)", p.x - y))
            yield "pred times target", p.x * y
        return
    one = len(p.outputs) == 1
    yield from (("the output" if one else f"output {i}", y) for i, y in enumerate(p.outputs))
    yield from (*p.parameters.items(), *p.masks.items())


def _fit(v: Array, shape: tuple[int, ...]) -> Array | None:
    """Broadcast an array to a shape: as NumPy does, or along axis 1, the channels."""
    fits = [k for k, n in enumerate(shape) if n == v.size and n > 1]
    if fits and v.shape != shape[len(shape) - v.ndim :]:
        k = 1 if 1 in fits else fits[-1]
        v = v.reshape(-1, *[1] * (len(shape) - 1 - k))
    try:
        return np.broadcast_to(v, shape) if v.ndim <= len(shape) and v.ndim else None
    except ValueError:
        return None


def _separated(bad: Array, good: Array, places: list[Array]) -> tuple[int, list[int]] | None:
    found = []
    for axis, at in enumerate(places):
        wrong, right = np.unique(at[bad]), np.unique(at[good])
        if wrong.size and right.size and not np.intersect1d(wrong, right).size:
            share = min(wrong.size, right.size) / (wrong.size + right.size)
            found.append((share, axis, wrong.tolist()))
    return min(found)[1:] if found else None


def rows(p: Jacobians) -> Found:
    """Some positions of the tensor wrong, the others right."""
    bad = p.wrong.any(axis=1)
    found = _separated(bad, p.right.any(axis=1) & ~bad, p.places)
    if found is None or (p.lost and p.right[bad].any()):
        return None
    (axis, wrong), length = found, p.shape[found[0]]
    within = np.isin(p.places[axis], wrong) & p.relevant.any(axis=1)
    chance = bad.sum() < 2 if p.x.ndim == 1 else not p.complete and bad.sum() < 2 * len(wrong)
    if chance or bad[within].mean() < 0.6:
        return None
    sample = axis == 0 and p.is_input and p.batch == length
    plural = len(wrong) > 1
    what = ("sample" if sample else "position") + "s" * plural + f" {listed(wrong)} (of {length})"
    what += "" if sample else f" along axis {axis}"
    ends = {0, length - 1} <= set(wrong) <= {0, 1, length - 2, length - 1} and length > 4
    what += " (at the border)" * ends + " (the last)" * (wrong == [length - 1])
    return "rows", f"only {what} of {{}} {'are' if plural else 'is'} wrong{inside(p)}"


def through(p: Jacobians) -> Found:
    """What comes through one of several outputs; of a parameter, through some positions of it."""
    bad = p.wrong.any(axis=0)
    good = p.right.any(axis=0) & ~bad
    places = p.output_places
    found = None if places is None or p.is_input else _separated(bad, good, places)
    if found and places and p.lost:
        axis, wrong = found
        right = np.unique(places[axis][good]).tolist()
        sample = axis == 0 and p.outputs[0].shape[0] == p.batch
        where = "sample {}" if sample else f"the output at position {{}} of axis {axis}"
        if len(right) == 1 and len(wrong) > 1:
            others = "it is not summed over the batch" if sample else "the others are not used"
            text = f"holds only what comes through {where.format(right[0])}: {others}"
            return "not summed", text
        return "not summed", f"lacks what comes through {where.format(listed(wrong))} in its sum"
    found = _separated(bad, good, [p.output_number])
    if found is None:
        return None
    which = f"output{'s' * (len(found[1]) > 1)} {listed(found[1])} (of {len(p.outputs)})"
    text = f"is wrong in what comes through {which}, and right through the others"
    return "missing term", text + inside(p)


def overlap(p: Jacobians) -> Found:
    """Where several outputs use an element, one alone counts."""
    by_index = p.is_input or any(o.dtype.kind in "iu" for o in p.others)
    if p.output_places is None or len(p.outputs) > 1 or not by_index or not p.right.any():
        return None
    spots = [np.arange(p.a.shape[1])]
    if len(p.output_places) > 2:
        inner = p.output_places[2:]
        spots.append(np.ravel_multi_index(inner, [int(k.max()) + 1 for k in inner]))
    big_a, big_t = (np.abs(m) > p.allowed for m in (p.a, np.nan_to_num(p.t)))
    for spot in spots:
        kept = set()
        for a, t in zip(big_a, big_t, strict=True):
            used, left = np.unique(spot[t]), np.unique(spot[a])
            if used.size > 1 and left.size:
                ends = {"last": used[-1:], "first": used[:1]}
                kept.add(next((k for k, v in ends.items() if np.array_equal(v, left)), "no"))
            elif not np.isin(left, used).all():
                kept.add("no")
        if len(kept) == 1 and "no" not in kept and not (p.wrong & big_a).any():
            return "not summed", (
                f"takes only the {kept.pop()} of several outputs that use the same element "
                "(windows that overlap, repeated indices, a batch): all must be summed (+=, "
                "np.add.at), and not overwrite each other"
            )
    return None


def shares(p: Jacobians) -> Found:
    """Every entry is one of two or three multiples of the true one."""
    r = p.a[p.relevant] / p.t[p.relevant]
    values = np.unique(np.round(r, 7))
    if not 2 <= values.size <= 3 or r.size < 6 or not np.isfinite(r).all():
        return None
    if min(np.isclose(r, v).mean() for v in values) < 0.1 or values.tolist() == [0, 1]:
        return None
    shown = " or ".join(str(Fraction(v).limit_denominator(12)) for v in values.tolist())
    one = values.size == 2 and values[0] == 0 and values[1] > 1
    why = ": it is zero where what belongs to several goes to one of them" if one else ""
    return "elements", f"is off by a factor of {shown}, by element{why}"


def elements(p: Jacobians) -> Found:
    """A few elements of the tensor."""
    bad = p.wrong.any(axis=1)
    count = int(bad.sum())
    most = min(max(3, 0.1 * bad.size) if p.complete else 3, 0.34 * bad.size)
    if bad.size < 6 or not 0 < count <= most:
        return None
    some = p.indices[bad][:4]
    where = ", ".join(str([int(k) for k in np.unravel_index(i, p.shape)]) for i in some)
    if p.own is not None or p.is_loss:
        where += f" (where {p.name} is {', '.join(f'{v:.4g}' for v in p.x.reshape(-1)[some])})"
    of = "elements" if p.complete else f"elements tried (of {p.x.size})"
    verb = f"{'is' if count == 1 else 'are'} wrong, at {where}{inside(p)}"
    return "elements", f"only {count} of {bad.size} {of} of {{}} {verb}"


# --- regions of numbers


def inverted(p: Jacobians) -> Found:
    """Zero exactly where it should not be, and not where it should be."""
    own = p.own if p.own is not None else np.full(p.a.shape, p.is_loss)
    if p.relevant[~own].any() or p.x.size < 10:
        return None
    at = own & p.known
    a, t = (np.abs(m[at]) > p.allowed[at] for m in (p.a, p.t))
    if a.sum() < 2 or t.sum() < 2 or not np.array_equal(a, ~t):
        return None
    text = "is zero exactly where it should not be, and not zero where it should be: a mask or "
    return "region", f"{text}condition is inverted"


def masked(p: Jacobians) -> Found:
    """Something comes back where forward lets nothing through."""
    a, t = np.abs(p.a) > 10 * p.allowed, np.abs(p.t) > p.allowed
    closed, opened = p.relevant & a & ~t, p.relevant & t
    if closed.sum() < max(2, 0.03 * opened.sum()) or opened.sum() < 2 or (opened & ~a).any():
        return None
    return "region", (
        "takes in outputs that do not depend on it (where the true one is zero): a mask, a "
        "condition, an index, a shift by one or the axes of a sum are not those of forward"
    )


def region(p: Jacobians) -> Iterator[tuple[str, str]]:
    """Wrong exactly where something is negative, positive or large."""
    bad = p.wrong.any(axis=1)
    good = p.right.any(axis=1) & ~bad
    if p.own is not None or p.is_loss:
        good |= p.known.all(axis=1) & ~bad
    for name, v in beside_elements(p) if min(bad.sum(), good.sum()) > 1 else ():
        values, of = (v, v[bad]) if v.dtype == bool else (np.unique(v), np.unique(v[bad]))
        if math.comb(len(values), len(of)) < 60 or (len(of) < 2 and v.dtype != bool):
            continue  # it may be chance
        sure = good & p.right.any(axis=1) if v.dtype == bool else good
        found = _threshold(v[bad], v[sure], p) if sure.any() else ""
        if found:
            yield "region", f"is wrong exactly where {name} {found}{inside(p)}"


def _threshold(bad: Array, good: Array, p: Jacobians) -> str:
    if bad.dtype == bool:
        same = np.unique(bad).size == 1 and bad[0] not in good
        return f"is {bool(bad[0])} (a mask)" if same else ""
    below, above = good[good < bad.min()], good[good > bad.max()]
    if below.size == good.size:
        return _named("is above {}", below.max(), bad.min(), p).replace("above 0", "positive")
    if above.size == good.size:
        return _named("is below {}", bad.max(), above.min(), p).replace("below 0", "negative")
    if below.size + above.size == good.size:
        low = _named("is between {} and ", below.max(), bad.min(), p)
        return low + _named("{}", bad.max(), above.min(), p)
    least, most = np.abs(bad).min(), np.abs(good).max()
    return _named("is above {} in size", most, least, p) if most < least else ""


def _named(text: str, low: float, high: float, p: Jacobians) -> str:
    bounds = [(0.0, "0"), (1.0, "1"), (-1.0, "-1")]
    for name, value in p.constants.items():
        bounds[1:1] = [(value, f"self.{name}"), (-value, f"-self.{name}")] if value else []
    named = next((word for c, word in bounds if low <= c <= high), "")
    return text.format(named or f"about {(low + high) / 2:.2g}")
