"""Words for numbers, places and arrays: 'the batch size', 'position 2 of axis 1', 'the output'."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.typing import Array


def factor_words(c: float) -> str:
    """Say what a constant factor is, to be read after "the gradient is"."""
    if abs(c + 1) < 1e-6:
        return "minus the true one: a wrong sign"
    size, sign = abs(c), "minus " if c < 0 else ""
    ratio = Fraction(size).limit_denominator(24)
    text = f"{sign}{ratio}" if abs(float(ratio) - size) < 1e-7 * size else f"{c:.7g}"
    how = "of the true one" if size < 1 and "/" in text else "times the true one"
    return f"{text} {how}"


def positions(bad: Array, good: Array, places: list[Array]) -> tuple[int, list[int], int] | None:
    """Find the axis along which wrong places and right ones differ: axis, wrong positions, all."""
    best = None
    for axis, at in enumerate(places):
        wrong, right = np.unique(at[bad]), np.unique(at[good])
        if wrong.size and right.size and not np.intersect1d(wrong, right).size:
            total = wrong.size + right.size
            if best is None or min(wrong.size, right.size) / total < best[3]:
                best = (axis, wrong.tolist(), total, min(wrong.size, right.size) / total)
    return None if best is None else best[:3]


def listed(numbers: list[int]) -> str:
    """Name positions: '3', '0 and 2', '1 to 4'."""
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    text = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
    return " and ".join(text.rsplit(", ", 1)) if len(numbers) < 6 else text


def element(p: Jacobians, i: int) -> list[int]:
    """Return the index of a checked element."""
    return [int(k) for k in np.unravel_index(p.indices[i], p.shape)] if p.shape else []


def inside(p: Jacobians, where: Array) -> str:
    """Describe the wrong part alone."""
    at = where & p.relevant
    if not at.any():
        return ""
    if (np.abs(p.a[at]) <= p.allowed[at]).all():
        return "; there it is zero: its term is missing"
    if (np.abs(p.t[at]) <= p.allowed[at]).all():
        return "; there it should be zero"
    c = ratio(p, at)
    return "" if c is None or abs(c - 1) < 1e-6 else f"; there it is {factor_words(c)}"


def ratio(p: Jacobians, at: Array) -> float | None:
    """Return c if backward's values are c times the true ones where `at` says."""
    a, t = p.a[at], p.t[at]
    size = float(t @ t) if t.size else 0.0
    if not size or not np.isfinite(a).all():
        return None
    c = float(a @ t) / size
    allowed = 1e-7 * np.abs(c * t) + 10 * p.allowed[at] * max(abs(c), 1)
    return c if c != 0 and (np.abs(a - c * t) <= allowed).all() else None


def beside_elements(p: Jacobians) -> Iterator[tuple[str, Array]]:
    """Name the arrays that have a value for each checked element of the tensor, (m,)."""
    for name, v in _arrays(p):
        found = _fit(v, p.shape)
        if found is not None:
            yield name, found.reshape(-1)[p.indices]


def beside_outputs(p: Jacobians) -> Iterator[tuple[str, Array]]:
    """Name the arrays that have a value for each column, (n,)."""
    if p.columns is None:
        return
    for name, v in _arrays(p):
        parts = [_fit(v, y.shape) for y in p.outputs]
        if len({y.shape for y in p.outputs}) == 1 and parts[0] is not None:
            yield name, np.concatenate([x.reshape(-1) for x in parts if x is not None])[p.columns]


def _arrays(p: Jacobians) -> Iterator[tuple[str, Array]]:
    for name, v in p.inputs.items():
        yield ("the input" if name == "input" else name), v
    for i, y in enumerate(p.outputs):
        if not p.is_loss:
            yield ("the output" if len(p.outputs) == 1 else f"output {i}"), y
    yield from p.parameters.items()
    if p.is_loss and p.others:
        yield from _targets(p)
    elif not p.is_loss:
        yield from p.masks.items()
    for name, v in p.inputs.items():
        yield from _statistics("the input" if name == "input" else name, v, p)


def _targets(p: Jacobians) -> Iterator[tuple[str, Array]]:
    target = p.others[0]
    if target.dtype.kind in "iu" and p.x.ndim == target.ndim + 1:
        classes = np.arange(p.x.shape[1]).reshape(-1, *[1] * (p.x.ndim - 2))
        hot = (np.expand_dims(target, 1) == classes).astype(float)
        yield "the one-hot target", hot
        e = np.exp(p.x - p.x.max(axis=1, keepdims=True))
        soft = e / e.sum(axis=1, keepdims=True)
        yield "softmax(pred)", soft
        yield "(softmax(pred) - one-hot target)", soft - hot
        yield "the probability of the true class", (soft * hot).sum(axis=1, keepdims=True)
    elif target.dtype.kind in "fiub" and target.shape == p.x.shape:
        target = target.astype(float)
        yield "the target", target
        if p.x.ndim == 2:
            e = np.exp(p.x - p.x.max(axis=1, keepdims=True))
            yield "softmax(pred)", e / e.sum(axis=1, keepdims=True)
        yield "(pred - target)", p.x - target
        yield "pred times target", p.x * target
        with np.errstate(all="ignore"):
            yield "sigmoid(pred)", 1 / (1 + np.exp(-p.x))
    for w in p.others[1:]:
        yield "the sample weight", w.astype(float).reshape(w.shape + (1,) * (p.x.ndim - w.ndim))


def _statistics(name: str, x: Array, p: Jacobians) -> Iterator[tuple[str, Array]]:
    """Name deviations and norms over axes, as normalisations divide by."""
    if p.is_loss or x.ndim < 1 or x.size < 2:
        return
    eps = next((v for k, v in p.constants.items() if k.startswith("eps")), 0.0)
    sets: list[tuple[int, ...]] = [(a,) for a in range(x.ndim)]
    sets += [s for k in range(2, x.ndim + 1) for s in itertools.combinations(range(x.ndim), k)]
    for axes in sets:
        along = f"axis {axes[0]}" if len(axes) == 1 else f"axes {list(axes)}"
        if np.prod([x.shape[a] for a in axes]) < 2:
            continue
        var = x.var(axis=axes, keepdims=True)
        square = (x * x).mean(axis=axes, keepdims=True)
        for word, value in (
            ("the standard deviation", np.sqrt(var + eps)),
            ("the root of the mean square", np.sqrt(square + eps)),
            ("the norm", np.sqrt((x * x).sum(axis=axes, keepdims=True))),
        ):
            yield f"{word} of {name} along {along}", value
        yield (
            f"{name} normalised along {along}",
            (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(var + eps),
        )


def _fit(v: Array, shape: tuple[int, ...]) -> Array | None:
    """Broadcast an array to a shape: as NumPy does, or along axis 1, the channels."""
    fits = [k for k, n in enumerate(shape) if n == v.size and n > 1]
    if fits and v.shape != shape[len(shape) - v.ndim :]:
        k = 1 if 1 in fits else fits[-1]  # the channels
        v = v.reshape(-1, *[1] * (len(shape) - 1 - k))
    try:
        return np.broadcast_to(v, shape) if v.ndim <= len(shape) and v.ndim else None
    except ValueError:
        return None


def along(places: list[Array], chosen: Array) -> str:
    """Name the axes along which chosen places vary."""
    axes = [a for a, at in enumerate(places) if np.unique(at[chosen]).size > 1]
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {axes}"
