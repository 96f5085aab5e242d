"""Words for numbers, places and arrays: '1/2 of the true one', '1 to 4', 'the output'."""

from __future__ import annotations

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
    c = ratio(p, at)
    if p.lost:
        return "; there it is zero: its term is missing"
    if (np.abs(p.t[at]) <= p.allowed[at]).all():
        return "; there it should be zero" * bool(at.any())
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
    if p.is_loss or len({y.shape for y in p.outputs}) != 1:
        return
    size = p.outputs[0].size
    for name, v in _arrays(p):
        found = _fit(v, p.outputs[0].shape)
        if found is not None:
            yield name, found.reshape(-1)[p.columns % size]


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
