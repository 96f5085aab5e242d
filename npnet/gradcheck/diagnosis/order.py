"""The right numbers in another place: transposed, shifted, of another tensor; children too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Case, Found, Jacobians, remade
from npnet.gradcheck.diagnosis.places import axes_words
from npnet.typing import Array


def tensor(p: Jacobians) -> Iterator[tuple[str, str]]:
    """The elements of the tensor stand elsewhere, or derivatives are those of other elements."""
    for sign, words in ((1, "is"), (-1, "is minus the true one,")) if p.exact else ():
        for how in _found(sign * p.a, p.t, p.shape):
            yield "transposed", f"{words} {how}"
    if p.exact and p.own is not None and not (p.relevant & ~p.own).any() and p.x.size > 5:
        a, t = (np.where(p.own, m, 0).sum(axis=1, keepdims=True) for m in (p.a, p.t))
        for how in _found(a, t, p.shape):
            yield "transposed", f"uses the derivative (or mask) of another element: {how}"


def upstream(p: Jacobians) -> Iterator[tuple[str, str]]:
    """The upstream gradient is read in another order."""
    whole = len(p.outputs) == 1 and p.columns.size == p.outputs[0].size and p.known.all()
    for words in _found(p.a.T, p.t.T, p.outputs[0].shape) if whole and not p.is_loss else ():
        text = f"is right for an upstream gradient that is {words}: its order is mistaken"
        yield "transposed", text


def _found(a: Array, t: Array, shape: tuple[int, ...]) -> Iterator[str]:
    """Yield the orders in which the rows of `a` are those of `t`."""
    bound = 1e-7 * np.abs(t).max(axis=0, initial=0.0) + 1e-11 * np.abs(t).max(initial=0.0)
    for words, source in orders(shape) if np.isfinite(a).all() and t.any() else ():
        new, old = a[source >= 0], source[source >= 0]
        if (np.abs(new - t[old]) <= bound).all() and t[old].any():
            moved = (np.abs(new - a[old]) > bound).any(axis=1)
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


def chain(case: Case) -> Found:
    """Run the children back in other orders, and compare with what backward gave."""
    subject: Any = remade(case.subject)
    layer = subject.layer
    if case.is_loss or len(subject.inputs) != 1:
        return None
    names = {id(v): f"child {k!r} ({type(v).__name__})" for k, v in layer.named_layers()}

    def fits(order: Callable[[list[Any]], list[Any]], wanted: Array) -> list[Any]:
        """Return the calls if gradients that go through them in this order are those wanted."""
        case.budget.take(1)
        ctx = subject.context()
        layer.zero_grad()
        try:
            layer.forward(ctx, subject.inputs[0].copy())
            calls, grad = list(ctx.calls), subject.split(case.upstream[0])
            grad = grad[0] if len(grad) == 1 else tuple(grad)
            for call in order(calls):
                grad = call.backward(grad)
            grad = subject.parameters[case.name].grad if case.name in subject.parameters else grad
            found = np.zeros(case.size) if grad is None else np.reshape(grad, -1)
            off = np.abs(found[case.indices] - wanted)[case.usable].max()
        except Exception:  # no such chain
            return []
        return calls if off <= 1e-6 * np.abs(wanted).max() else []

    calls = fits(lambda calls: calls[::-1], case.numeric[:, 0]) if names else []
    wrong = case.analytic[:, 0]
    if len(calls) > 1 and fits(lambda calls: calls, wrong):
        text = "runs its children in the order of forward; it must go in reverse: {} is wrong"
        return "missing factor", f"the backward pass {text}"
    for i, call in enumerate(calls):
        if fits(lambda calls, i=i: calls[:i:-1] + calls[:i][::-1], wrong):  # type: ignore[misc]
            child = names.get(id(call.layer), "a child")
            return "missing factor", f"the backward pass leaves out {child}: {{}} is wrong"
    return None
