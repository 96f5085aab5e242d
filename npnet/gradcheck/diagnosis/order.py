"""The right numbers in another place: transposed, flipped, shifted, of another tensor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.case import Case
from npnet.gradcheck.diagnosis.matrices import Jacobians
from npnet.gradcheck.diagnosis.naming import axes_words
from npnet.typing import Array

Found = tuple[str, str]  # a kind of diagnosis, and what is to be read after "the gradient of x "


def tensor(p: Jacobians) -> Iterator[Found]:
    """The elements of the tensor stand elsewhere."""
    if p.exact:
        for sign, minus in ((1, ""), (-1, "minus the true one, ")):
            for words in _found(sign * p.a, p.t, p.indices, p.shape):
                yield "transposed", f"is {minus}{words}"


def sampled(case: Case) -> Found | None:
    """The same for a tensor of which some elements were checked."""
    if case.indices.size == case.size or case.usable.sum() < 8:
        return None
    at = case.usable
    found = _found(case.full, case.numeric[at], case.indices[at], case.variable.shape)
    return next((("transposed", f"is {words}") for words in found), None)


def upstream(p: Jacobians) -> Iterator[Found]:
    """The upstream gradient is read in another order."""
    if p.is_loss or p.columns.size != sum(y.size for y in p.outputs) or not p.known.all():
        return
    if len(p.outputs) == 1:
        for words in _found(p.a.T, p.t.T, p.columns, p.outputs[0].shape):
            text = f"is right for an upstream gradient that is {words}: its order is mistaken"
            if words.startswith("transposed") and p.x.ndim == 1 and not p.is_input:
                text = "sums the upstream gradient over the wrong axis"
            yield "transposed", text
    elif len({y.size for y in p.outputs}) == 1:
        parts = [m.T.reshape(len(p.outputs), -1) for m in (p.a, p.t)]
        for words in _found(*parts, np.arange(len(p.outputs)), (len(p.outputs),)):
            text = f"is right with the upstream gradients of the outputs swapped (their order {words})"
            yield "swapped", text


def neighbour(p: Jacobians) -> Iterator[Found]:
    """An elementwise derivative taken from another element."""
    if p.own is None or not p.exact or (p.relevant & ~p.own).any() or p.x.size < 6:
        return
    a, t = (np.where(p.own, m, 0).sum(axis=1, keepdims=True) for m in (p.a, p.t))
    for words in _found(a, t, p.indices, p.shape):
        if words.startswith("shifted"):
            yield "transposed", f"uses the derivative (or mask) of a neighbouring element: {words}"


def _found(a: Array, t: Array, indices: Array, shape: tuple[int, ...]) -> Iterator[str]:
    """Yield the orders in which the rows of `a` (all elements) are those of `t` (at indices)."""
    bound = 1e-7 * np.abs(t).max(axis=0, initial=0.0) + 1e-11 * np.abs(t).max(initial=0.0)
    if not np.isfinite(a).all() or not t.any():
        return
    for words, source in _orders(shape):
        back = np.full(source.size, -1)
        back[source[source >= 0]] = np.flatnonzero(source >= 0)
        rows = back[indices]
        there = rows >= 0
        if not (np.abs(a[rows[there]] - t[there]) <= bound).all():
            continue
        moved = (np.abs(a[rows[there]] - a[indices[there]]) > bound).any(axis=1)
        if moved.sum() >= min(2, len(t) - 1) and t[there].any():
            yield words


def _orders(shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Yield words and where each element comes from (-1: lost) for each way to mistake an order."""
    size = int(np.prod(shape))
    number, axes = np.arange(size).reshape(shape), tuple(range(len(shape)))
    for order in itertools.permutations(axes) if len(shape) < 6 else ():
        if order == axes:
            continue
        turned = number.transpose(order)
        how = "transposed" if len(shape) == 2 else f"transposed (axes {list(order)})"
        yield how + ("" if turned.shape == shape else ", then reshaped"), turned.reshape(-1)
        if turned.shape != shape:  # as transposed, but read the other way round
            other = number.reshape([shape[i] for i in np.argsort(order)]).transpose(order)
            yield "reshaped where it should be transposed", other.reshape(-1)
    if len(shape) == 3:  # heads, cut off the last axis
        n, t, f = shape
        for heads in (h for h in range(2, f) if f % h == 0):
            words = "reshaped: cut into heads without swapping axes"
            yield words, number.reshape(n, t, heads, -1).swapaxes(1, 2).reshape(-1)
            yield words, number.reshape(n, heads, t, -1).swapaxes(1, 2).reshape(-1)
    for count in range(1, len(shape) + 1):
        for some in itertools.combinations(axes, count):
            if all(shape[a] > 1 for a in some):
                words = f"flipped (reversed) along {axes_words(list(some))}"
                yield words, np.flip(number, some).reshape(-1)
    for axis, length in enumerate(shape):
        along = f"along axis {axis}"
        for by in range(1, length) if length <= 64 else ():
            least = by if 2 * by < length else by - length
            words = f"shifted by {least} (rolled, cyclically) {along}"
            if 2 * by == length:
                words = f"shifted by half its length (its two halves are swapped) {along}"
            yield words, np.roll(number, by, axis).reshape(-1)
        for by in (1, -1, 2, -2) if length > 2 else ():
            moved = np.roll(number, by, axis).swapaxes(0, axis)
            moved[slice(by) if by > 0 else slice(by, None)] = -1
            where = "forwards" if by > 0 else "backwards"
            yield f"shifted by {abs(by)} {where} {along}", moved.swapaxes(0, axis).reshape(-1)
        if length > 3 and length % 2 == 0:
            pairs = np.take(number, np.arange(length) ^ 1, axis).reshape(-1)
            yield f"shifted to the neighbour {along} (0 and 1, 2 and 3, ... are swapped)", pairs
        for i, k in itertools.combinations(range(length), 2) if length <= 12 else ():
            order = np.arange(length)
            order[[i, k]] = k, i
            words = f"permuted {along}: positions {i} and {k} hold what belongs to each other"
            yield words, np.take(number, order, axis).reshape(-1)


def forward_again(p: Jacobians) -> Iterator[Found]:
    """Backward does what forward does, instead of the transposed."""
    square = p.own is not None and p.exact and p.a.shape[0] == p.a.shape[1]
    if square and not p.agree(p.t, p.t.T) and p.agree(p.a, p.t.T):
        text = (
            "is what forward does to the upstream gradient, where its transpose belongs: the "
            "direction (of a sum, a shift, an order) must be reversed"
        )
        yield "transposed", text


def permuted(p: Jacobians) -> Iterator[Found]:
    """The right numbers in an order that has no simple name."""
    if not p.exact or p.x.size < 4:
        return
    w = np.random.default_rng(0).normal(size=p.a.shape[1])
    a, t = p.a @ w, p.t @ w
    size = np.abs(t).max()
    if np.abs(np.sort(a) - np.sort(t)).max() <= 1e-7 * size and (t > 1e-7 * size).sum() > 1:
        text = "holds the right numbers in the wrong order: is it reshaped or transposed otherwise"
        yield "transposed", f"{text} than in forward?"


def swapped(case: Case, cases: list[Case]) -> Found | None:
    """The gradient of one tensor stands in the place of another's."""
    a, t = case.analytic[case.usable], case.numeric[case.usable]
    c = float((a * t).sum()) / float((t * t).sum() or 1)
    if c and np.abs(a - c * t).max() <= 1e-7 * np.abs(a).max():
        return None  # it is a multiple of its own
    for other in cases:
        same = case.variable.shape == other.variable.shape
        if other is case or not same or not np.array_equal(case.indices, other.indices):
            continue
        ok = case.usable & other.usable

        def close(a: Array, b: Array, ok: Array = ok) -> bool:
            size = np.abs(b[ok]).max(initial=0.0)
            return bool(size > 0 and np.abs(a[ok] - b[ok]).max() <= 1e-6 * size)

        mine, true, its, its_true = case.analytic, case.numeric, other.analytic, other.numeric
        if close(true, its_true):
            continue
        if close(mine, its_true):
            both = ", and the other way round: they are exchanged" if close(its, true) else ""
            text = f"the gradient of {other.name} is stored as that of {case.name}{both}"
        elif not its.any() and close(mine, true + its_true):
            text = f"the gradient of {other.name} is added to that of {case.name}"
        elif not mine.any() and close(its, true + its_true):
            text = f"{{}} is added to that of {other.name}"
        elif not mine.any() and close(its, true):
            text = f"{{}} is stored as that of {other.name}"
        else:
            continue
        return "swapped", text
    return None
