"""The right numbers in another place: transposed, flipped, shifted, of another tensor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.evidence import Case
from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import listed
from npnet.gradcheck.report import Diagnosis
from npnet.typing import Array


def transposed(p: Jacobians) -> Diagnosis | None:
    """Axes of the tensor exchanged, flipped, or its elements reshaped in another order."""
    if not p.complete or p.x.size < 2 or not p.known.all():
        return None
    for words, index in _orders(p.shape):
        for sign, minus in ((1, ""), (-1, "minus the true one, ")):
            moved = p.t[index]
            if not p.agree(moved, p.t) and p.agree(p.a, sign * moved):
                text = f"the gradient of {p.name} is {minus}{words}"
                return Diagnosis("transposed", p.name, text)
    return None


def sampled(case: Case) -> Diagnosis | None:
    """The transposed of a tensor of which some elements were checked."""
    shape, full = case.subject.variables[case.number].shape, case.full
    if case.indices.size == case.size or len(shape) < 2 or case.usable.sum() < 8:
        return None
    for words, index in _orders(shape):
        true = np.empty(case.size)
        true[index] = full[:, 0]
        off = np.abs(true[case.indices] - case.numeric[:, 0])[case.usable]
        if off.max() <= 1e-6 * np.abs(case.numeric[case.usable, 0]).max():
            return Diagnosis("transposed", case.name, f"the gradient of {case.name} is {words}")
    return None


def upstream_transposed(p: Jacobians) -> Diagnosis | None:
    """The same for the upstream gradient."""
    if p.columns is None or len(p.outputs) != 1 or p.columns.size != p.outputs[0].size:
        return None
    if not p.known.all() or p.columns.size < 2:
        return None
    for words, index in _orders(p.outputs[0].shape):
        moved = p.t[:, index]
        if not p.agree(moved, p.t) and p.agree(p.a, moved):
            text = (
                f"the gradient of {p.name} is right for an upstream gradient that is {words}: "
                "backward takes its axes, or their order, otherwise than forward returns them"
            )
            if p.x.ndim == 1 and not p.is_input:
                text = f"the gradient of {p.name} sums the upstream gradient over the wrong axis"
            return Diagnosis("transposed", p.name, text)
    return None


def _orders(shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Yield words and the flat index for each way to mistake an order of axes."""
    number = np.arange(int(np.prod(shape))).reshape(shape)
    axes = tuple(range(len(shape)))
    for order in itertools.permutations(axes):
        if order == axes or len(shape) > 5:
            continue
        turned = number.transpose(order)
        how = "transposed" if len(shape) == 2 else f"transposed (axes {list(order)})"
        how += "" if turned.shape == shape else ", then reshaped"
        yield how, turned.reshape(-1)
        if turned.shape != shape:  # as transposed, but read the other way round
            back = np.argsort(order)
            other = number.reshape([shape[i] for i in back]).transpose(order)
            yield "reshaped where it should be transposed", other.reshape(-1)
    if len(shape) == 3:  # heads, cut off the last axis
        n, t, f = shape
        for heads in (h for h in range(2, f) if f % h == 0):
            cut = number.reshape(n, t, heads, f // heads)
            yield "cut into heads without swapping axes", cut.swapaxes(1, 2).reshape(-1)
            cut = number.reshape(n, heads, t, f // heads).swapaxes(1, 2)
            yield "cut into heads without swapping axes", cut.reshape(-1)
    for count in range(1, len(shape) + 1):
        for some in itertools.combinations(axes, count):
            if all(shape[a] > 1 for a in some):
                where = f"axis {some[0]}" if count == 1 else f"axes {list(some)}"
                yield f"flipped (reversed) along {where}", np.flip(number, some).reshape(-1)


def moved(p: Jacobians) -> Diagnosis | None:
    """Slices along an axis of the tensor stand at other positions."""
    if not p.complete:
        return None
    for axis, length in enumerate(p.shape):
        found = _moved([np.take(p.grid(m), range(length), axis).swapaxes(0, axis)
                        for m in (p.a, p.t, p.allowed)])  # fmt: skip
        if found:
            text = f"the gradient of {p.name} is {found} along axis {axis}"
            return Diagnosis("transposed", p.name, text)
    return None


def upstream_moved(p: Jacobians) -> Diagnosis | None:
    """Slices of the upstream gradient are used at other positions."""
    places = p.output_places
    if places is None or p.columns is None or len(p.outputs) != 1:
        return None
    shape = p.outputs[0].shape
    if p.columns.size != p.outputs[0].size:
        return None
    for axis in range(len(shape)):
        parts = [m.T.reshape(*shape, -1).swapaxes(0, axis) for m in (p.a, p.t, p.allowed)]
        found = _moved(parts)
        if found:
            text = (
                f"the gradient of {p.name} is right for an upstream gradient that is {found} "
                f"along axis {axis}: backward reads the wrong positions of it"
            )
            return Diagnosis("transposed", p.name, text)
    return None


def _moved(parts: list[Array]) -> str:
    """Say how slices (along the first axis) of the first array stand in the second."""
    a, t, allowed = (x.reshape(x.shape[0], -1) for x in parts)
    n = a.shape[0]
    if n < 2 or n > 128 or not np.isfinite(t).all() or a.shape[1] < 2:
        return ""
    allowed = 10 * allowed.max(axis=0) + 1e-12 * np.abs(t).max()
    there = np.array([(np.abs(a[k] - t) <= allowed).all(axis=1) for k in range(n)])  # a[k] == t[m]
    zero_a, zero_t = (np.abs(x) <= allowed for x in (a, t))
    empty_a, empty_t = zero_a.all(axis=1), zero_t.all(axis=1)
    if (there.sum(axis=1)[~empty_a] > 1).any() or np.diag(there).all():
        return ""
    place = {k: int(np.flatnonzero(there[k])[0]) for k in range(n) if not empty_a[k]
             and there[k].any()}  # fmt: skip
    lost = [k for k in range(n) if not empty_a[k] and k not in place]
    shifts = {k - m for k, m in place.items()}
    if len(place) >= 2 and len(shifts) == 1 and 0 not in shifts and len(lost) <= 1:
        by = shifts.pop()
        return f"shifted by {abs(by)} {'forwards' if by > 0 else 'backwards'}"
    if lost or len(set(place.values())) < len(place):
        return ""
    if (empty_a != empty_t).any() and (np.flatnonzero(empty_a).size != empty_t.sum()):
        return ""
    wrong = [k for k, m in place.items() if k != m]
    cyclic = {(k - m) % n for k, m in place.items()}
    if len(cyclic) == 1 and 0 not in cyclic and len(place) > 1:
        by = cyclic.pop()
        if 2 * by == n:
            return "shifted by half its length (its two halves are swapped)"
        return f"shifted by {by if 2 * by < n else by - n} (rolled, cyclically)"
    if n > 2 and len(place) > 2 and all(m == k ^ 1 for k, m in place.items()):
        return "shifted to the neighbour: positions 0 and 1, 2 and 3, ... are swapped"
    if len(place) == n and all(m == n - 1 - k for k, m in place.items()):
        return "reversed (flipped)"
    if wrong:
        other = [place[k] for k in wrong]
        return f"permuted: position(s) {listed(wrong)} hold what belongs to {listed(other)}"
    return ""


def outputs_exchanged(p: Jacobians) -> Diagnosis | None:
    """The upstream gradients of two outputs are taken for each other."""
    if p.columns is None or len(p.outputs) < 2 or len({y.shape for y in p.outputs}) != 1:
        return None
    size = p.outputs[0].size
    if p.columns.size != size * len(p.outputs):
        return None
    for i, k in itertools.combinations(range(len(p.outputs)), 2):
        turned = np.arange(p.columns.size).reshape(len(p.outputs), size)
        turned[[i, k]] = turned[[k, i]]
        moved = p.t[:, turned.reshape(-1)]
        if not p.agree(moved, p.t) and p.agree(p.a, moved):
            text = (
                f"the gradient of {p.name} is right with the upstream gradients of outputs {i} "
                f"and {k} exchanged: they are swapped"
            )
            return Diagnosis("swapped", p.name, text)
    return None


def forward_again(p: Jacobians) -> Diagnosis | None:
    """Backward does what forward does, instead of the transposed."""
    if p.own is None or not p.complete or p.a.shape[0] != p.a.shape[1] or not p.known.all():
        return None
    if p.agree(p.t, p.t.T) or not p.agree(p.a, p.t.T):
        return None
    text = (
        f"the gradient of {p.name} is what forward does to the upstream gradient, where its "
        "transpose belongs: the direction (of a sum, a shift, an order) must be reversed"
    )
    return Diagnosis("transposed", p.name, text)


def neighbour(p: Jacobians) -> Diagnosis | None:
    """An elementwise derivative taken from the neighbouring element."""
    if p.own is None or not p.complete or (p.relevant & ~p.own).any() or p.x.size < 6:
        return None
    a, t = (p.grid(np.where(p.own, m, 0).sum(axis=1)[:, None])[..., 0] for m in (p.a, p.t))
    for axis, length in enumerate(p.shape):
        for by in (1, -1) if length > 2 else ():
            inner = slice(1, None) if by == 1 else slice(None, -1)
            moved = np.roll(t, by, axis).swapaxes(0, axis)[inner]
            if np.abs(a.swapaxes(0, axis)[inner] - moved).max() <= 1e-7 * np.abs(t).max():
                text = (
                    f"the gradient of {p.name} uses the derivative (or mask) of the neighbouring "
                    f"element: it is shifted by one along axis {axis}"
                )
                return Diagnosis("transposed", p.name, text)
    return None


def permuted(p: Jacobians) -> Diagnosis | None:
    """The right numbers in an order that has no simple name."""
    if not p.complete or p.x.size < 4 or not p.known.all():
        return None
    w = np.random.default_rng(0).normal(size=p.a.shape[1])
    a, t = p.a @ w, p.t @ w
    first, second = np.argsort(a), np.argsort(t)
    size = np.abs(t).max()
    if np.abs(a[first] - t[second]).max() > 1e-7 * size or (t[second] > 1e-7 * size).sum() < 2:
        return None
    if np.abs(a - t).max() <= 1e-6 * size:
        return None
    text = (
        f"the gradient of {p.name} holds the right numbers in the wrong order: is it reshaped "
        "or transposed otherwise than in forward?"
    )
    return Diagnosis("transposed", p.name, text)


def swapped(case: Case, cases: list[Case]) -> Diagnosis | None:
    """The gradient of one tensor stands in the place of another's."""
    shape = case.subject.variables[case.number].shape
    for other in cases:
        same = case.subject.variables[other.number].shape == shape
        if other is case or not same or case.indices.size != other.indices.size:
            continue
        ok = case.usable & other.usable
        if not ok.any():
            continue

        def close(a: Array, b: Array, ok: Array = ok) -> bool:
            size = np.abs(b[ok]).max()
            return bool(size > 0 and np.abs(a[ok] - b[ok]).max() <= 1e-6 * size)

        if close(case.numeric, other.numeric):
            continue
        if close(case.analytic, other.numeric):
            both = close(other.analytic, case.numeric)
            text = f"the gradient of {other.name} is stored as that of {case.name}"
            text += ", and the other way round: they are exchanged" if both else ""
        elif not other.analytic.any() and close(case.analytic, case.numeric + other.numeric):
            text = f"the gradient of {other.name} is added to that of {case.name}"
        elif not case.analytic.any() and close(other.analytic, case.numeric + other.numeric):
            text = f"the gradient of {case.name} is added to that of {other.name}"
        elif not case.analytic.any() and close(other.analytic, case.numeric):
            text = f"the gradient of {case.name} is stored as that of {other.name}"
        else:
            continue
        return Diagnosis("swapped", case.name, text)
    return None
