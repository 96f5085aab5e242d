"""The right numbers in another place: transposed, flipped, shifted, of another tensor."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Case, Found, Jacobians
from npnet.gradcheck.diagnosis.places import axes_words
from npnet.typing import Array


def tensor(p: Jacobians) -> Iterator[tuple[str, str]]:
    """The elements of the tensor stand elsewhere, or derivatives are those of other elements."""
    if p.exact:
        yield from (("transposed", f"is {how}") for how in _found(p.a, p.t, p.indices, p.shape))
        yield from (("transposed", f"is minus the true one, {how}")
                    for how in _found(-p.a, p.t, p.indices, p.shape))  # fmt: skip
    if p.exact and p.own is not None and not (p.relevant & ~p.own).any() and p.x.size > 5:
        a, t = (np.where(p.own, m, 0).sum(axis=1, keepdims=True) for m in (p.a, p.t))
        for how in _found(a, t, p.indices, p.shape):
            yield "transposed", f"uses the derivative (or mask) of another element: {how}"


def upstream(p: Jacobians) -> Iterator[tuple[str, str]]:
    """The upstream gradient is read in another order."""
    whole = len(p.outputs) == 1 and p.columns.size == p.outputs[0].size and p.known.all()
    if whole and not p.is_loss:
        for words in _found(p.a.T, p.t.T, p.columns, p.outputs[0].shape):
            text = f"is right for an upstream gradient that is {words}: its order is mistaken"
            yield "transposed", text


def _found(a: Array, t: Array, indices: Array, shape: tuple[int, ...]) -> Iterator[str]:
    """Yield the orders in which the rows of `a` (all elements) are those of `t` (at indices)."""
    bound = 1e-7 * np.abs(t).max(axis=0, initial=0.0) + 1e-11 * np.abs(t).max(initial=0.0)
    for words, source in orders(shape) if np.isfinite(a).all() and t.any() else ():
        back = np.full(source.size, -1)
        back[source[source >= 0]] = np.flatnonzero(source >= 0)
        rows = back[indices]
        there = rows >= 0
        if (np.abs(a[rows[there]] - t[there]) <= bound).all() and t[there].any():
            moved = (np.abs(a[rows[there]] - a[indices[there]]) > bound).any(axis=1)
            if moved.sum() >= min(2, len(t) - 1):
                yield words


def orders(shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """Yield words and where each element comes from (-1: lost) for each way to mistake an order."""
    number, axes = np.arange(int(np.prod(shape))).reshape(shape), tuple(range(len(shape)))
    for order in itertools.permutations(axes) if len(shape) < 6 else ():
        turned = number.transpose(order)
        how = "transposed" if len(shape) == 2 else f"transposed (axes {list(order)})"
        yield how + ("" if turned.shape == shape else ", then reshaped"), turned.reshape(-1)
        if turned.shape != shape:  # as transposed, but read the other way round
            other = number.reshape([shape[i] for i in np.argsort(order)]).transpose(order)
            yield "reshaped where it should be transposed", other.reshape(-1)
    for count in range(1, len(shape) + 1):
        for some in itertools.combinations(axes, count):
            two = all(shape[k] == 2 for k in some)
            words = "its two parts are exchanged, or shifted by one" if two else "reversed"
            words = f"flipped ({words}) along {axes_words(list(some))}"
            yield words, np.flip(number, some).reshape(-1)
    for axis, length in enumerate(shape):
        along = f"along axis {axis}"
        for by in range(1, length) if length <= 64 else ():
            words = f"shifted by {by if 2 * by < length else by - length} (rolled) {along}"
            if 2 * by == length:
                words = f"shifted by half its length (its two halves are swapped) {along}"
            yield words, np.roll(number, by, axis).reshape(-1)
        for by, way in ((1, "forwards"), (-1, "backwards")) if length > 2 else ():
            moved = np.roll(number, by, axis).swapaxes(0, axis)
            moved[0 if by > 0 else -1] = -1
            yield f"shifted by one {along}, {way}", moved.swapaxes(0, axis).reshape(-1)


def forward_again(p: Jacobians) -> Found:
    """Backward does what forward does, instead of the transposed."""
    square = p.own is not None and p.exact and p.a.shape[0] == p.a.shape[1]
    allowed = 10 * p.allowed + 1e-7 * np.abs(p.a)
    if not square or not p.wrong.any() or (np.abs(p.a - p.t.T) > allowed).any():
        return None
    text = "is what forward does to the upstream gradient, where its transpose belongs: the order"
    return "transposed", f"{text} or direction must be reversed"


def exchanged(p: Jacobians) -> Found:
    """For each output the right numbers, of other elements."""
    own = p.own is not None and not (p.relevant & ~p.own).any()
    little = np.abs(p.a - p.t).max(initial=0) <= 1e-4 * np.abs(p.t).max(initial=0)
    if p.is_loss or not p.exact or own or not p.is_input or little:
        return None
    columns, bound = p.wrong.any(axis=0), 1e-7 * np.abs(p.t).max()
    a, t = (np.sort(m, axis=0)[:, columns] for m in (p.a, p.t))
    several = (np.abs(t) > bound).any(axis=0)
    if several.sum() < 2 or (np.abs(a - t).max(axis=0) <= bound)[several].mean() < 0.6:
        return None
    return "transposed", (
        "has the right numbers for each output, but for other elements: weights (w and 1 - w), "
        "indices (i and j) or positions are exchanged or shifted"
    )


def swapped(case: Case) -> Found:
    """The gradient of one tensor stands in the place of another's."""
    mine, true = case.analytic[case.usable], case.numeric[case.usable]

    def close(a: Array, b: Array) -> bool:
        return bool(np.abs(a - b).max(initial=0) <= 1e-6 * np.abs(b).max(initial=0) and b.any())

    if close(mine, float((mine * true).sum()) / float((true * true).sum() or 1) * true):
        return None  # it is a multiple of its own
    for other in case.others:
        if other is case or other.variable.shape != case.variable.shape:
            continue
        if not np.array_equal(case.indices, other.indices):
            continue
        its, its_true = other.analytic[case.usable], other.numeric[case.usable]
        this, that = case.name, other.name
        both = ", and the other way round: they are exchanged" if close(its, true) else ""
        if both:  # said once of the two
            this, that = sorted((this, that))
        for fits, words in (
            (close(mine, its_true), f"{that} is stored as that of {this}{both}"),
            (not its.any() and close(mine, true + its_true), f"{that} is added to that of {this}"),
            (not mine.any() and close(its, true + its_true), f"{this} is added to that of {that}"),
            (not mine.any() and close(its, true), f"{this} is stored as that of {that}"),
        ):
            if fits and not close(true, its_true):
                return "swapped", f"the gradient of {words}"
    return None
