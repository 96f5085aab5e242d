"""Experiments: what must be left out, frozen, turned or made trivial for backward to be right."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.diagnosis.case import Case, cut, remade
from npnet.gradcheck.diagnosis.matrices import Found, options
from npnet.typing import Array


class _Apart(Context):
    """A context whose chains run each child by itself."""

    fuses = False


def chain(case: Case) -> Found:
    """A chain of children run back in the wrong order, or without one of them."""
    subject: Any = remade(case.subject)
    layer, names = subject.checked, {}
    if not case.is_loss:
        names = {id(v): f"child {k!r} ({type(v).__name__})" for k, v in layer.named_layers()}
    if len(subject.inputs) != 1 or not names:
        return None

    def fits(order: Callable[[list[Any]], list[Any]], wanted: Array) -> list[Any]:
        """Return the calls if gradients that go through them in this order are those wanted."""
        case.budget.take(1)
        ctx = subject.context(_Apart)
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

    wrong = case.analytic[:, 0]
    calls = fits(lambda calls: calls[::-1], case.numeric[:, 0])
    if len(calls) > 1 and fits(lambda calls: calls, wrong):
        text = "runs its children in the order of forward; it must go in reverse: {} is wrong"
        return "missing factor", f"the backward pass {text}"
    for i, call in enumerate(calls):
        if fits(lambda calls, i=i: calls[:i:-1] + calls[:i][::-1], wrong):  # type: ignore[misc]
            child = names.get(id(call.layer), "a child")
            return "missing factor", f"the backward pass leaves out {child}: {{}} is wrong"
    return None


def children(case: Case) -> Found:
    """A child through which nothing or too much comes back."""
    parts = {} if case.is_loss else dict(case.subject.checked.named_layers())
    for name, child in parts.items() if len(parts) > 1 else ():
        calls: list[None] = []
        remade(case.subject, lambda layer: _freeze(layer, name, -1, 1, calls))  # noqa: B023
        count = len(calls) if name and name.count(".") < 2 and len(calls) <= 8 else 0
        for number in range(count):
            try:
                a, t = case.slopes()
                _, rest = case.slopes(lambda x: _freeze(x, name, number, count, []))  # noqa: B023
            except Exception:  # it cannot be frozen
                continue
            size, through = np.abs(t).max(), t - rest
            if np.abs(through).max() <= 1e-6 * size or np.abs(rest).max() <= 1e-6 * size:
                continue
            c = float((a - t) @ through / (through @ through))
            if abs(c) > 1e-6 and np.abs(a - t - c * through).max() <= 1e-7 * size:
                which = f"child {name!r} ({type(child).__name__})"
                which += f", call {number} of {count}," if count > 1 else ""
                if abs(c + 1) < 1e-6:
                    return "missing term", f"lacks what comes through {which}: a path is missing"
                times = f"{c + 1:.6g} times instead of once"
                return "missing term", f"has what comes through {which} {times}"
    return None


def _freeze(layer: Any, name: str, number: int, count: int, calls: list[None]) -> None:
    """Let one of the calls of a child return what it did at first; count them."""
    child, kept = dict(layer.named_layers())[name], list[Any]()
    forward = child.forward

    def frozen(ctx: Any, *inputs: Any) -> Any:
        mine = len(calls) % count == number
        calls.append(None)
        if mine and kept:
            return copy.deepcopy(kept[0])
        result = forward(ctx, *inputs)
        kept.extend([copy.deepcopy(result)] * mine)
        return result

    object.__setattr__(child, "forward", frozen)


def parameter_turned(case: Case) -> Found:
    """Backward is right if a parameter is transposed or flipped between the passes."""
    subject, true = case.subject, case.numeric[:, 0]
    for name, parameter in subject.parameters.items():
        v = parameter.data
        for words, turned in _turns(v) if v.ndim > 1 else ():
            if turned.shape != v.shape or np.array_equal(turned, v):
                continue
            case.budget.take(1)
            with subject.restored():
                other = turned.copy()
                units = subject.split(case.upstream[0])
                found = subject.gradients(units, between=lambda: np.copyto(v, other))[case.number]  # noqa: B023
            if found is None:
                continue
            off = np.abs(found.reshape(-1)[case.indices] - true)[case.usable]
            if off.max(initial=0) <= 1e-6 * np.abs(true).max():
                return "transposed", (
                    f"would be right with {name} {words}: backward multiplies by {name} as it is "
                    f"where it must be {words}, or the other way round"
                )
    return None


def _turns(v: Array) -> Iterator[tuple[str, Array]]:
    """Yield what may be done to a parameter."""
    yield "transposed", v.swapaxes(-1, -2)
    if v.ndim > 2:
        yield "flipped along its last axes", np.flip(v, tuple(range(2, v.ndim)))
        yield "transposed in its first two axes", v.swapaxes(0, 1)
    for k in range(v.ndim):
        if v.shape[k] % 2 == 0:
            words = f"rolled by half of axis {k} (its halves exchanged)"
            yield words, np.roll(v, v.shape[k] // 2, k)


def made_trivial(case: Case) -> Found:
    """Right once an option, a parameter, another input or a length plays no part."""
    text = _options(case) or _tensors(case) or _lengths(case)
    return ("missing term", text) if text else None


def _options(case: Case) -> str:
    """Numbers and switches that the layer was made with."""
    for name, value in options(case.subject.checked):
        for other in _others(value):
            if case.is_cured(lambda layer: object.__setattr__(layer, name, other)):  # noqa: B023
                array = isinstance(value, np.ndarray)
                shown = f"all {np.ravel(other)[0]:g}" if array else other
                here = "" if array else f" and wrong with {name}={value}"
                return f"is right with {name}={shown}{here}: backward handles {name} otherwise"
    return ""


def _others(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return [type(value)(k) for k in (0, 1) if k != value]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return [np.full_like(value, k) for k in (1, 0)]
    if isinstance(value, tuple) and value and all(isinstance(v, int) for v in value):
        return [t for k in (0, 1) if (t := (k,) * len(value)) != value]
    return []


def _tensors(case: Case) -> str:
    """Parameters and other inputs set to one or zero."""
    subject = case.subject
    for fill, words in (
        (1.0, "is right when {0} is all ones: the factor {0} is forgotten in backward"),
        (0.0, "is right when {0} is zero: the path through {0} is missing or wrong in backward"),
    ):
        cures = []
        for i, (name, v) in enumerate(zip(subject.names, subject.variables, strict=True)):
            if i != case.number and not (v == fill).all():
                with subject.restored():
                    v *= 1.7
                    moved = case.gradient(case.upstream[0])[case.indices] - case.analytic[:, 0]
                    v[...] = fill
                    cured = case.is_cured()
                ignored = np.abs(moved).max() <= 1e-9 * np.abs(case.analytic[:, 0]).max()
                cures += [name] * (cured and (not fill or bool(ignored)))
        if 0 < len(cures) <= 2:
            return words.format(" or ".join(cures))
    return ""


def _lengths(case: Case) -> str:
    """Axes cut to a length of one."""
    inputs = () if case.is_loss else case.subject.inputs
    for axis in range(max((x.ndim for x in inputs), default=0)):
        lengths = [x.shape[axis] for x in inputs if x.ndim > axis and x.shape[axis] > 1]
        ones = range(min([6, *lengths]) if lengths else 0)
        if ones and all(case.is_cured(inputs=cut(case.subject, axis, k)) for k in ones):
            if axis == 0 and case.subject.batch_size:
                return "is right for a batch of one: its samples are summed or coupled wrongly"
            return (
                f"is right when axis {axis} has length one: what couples or sums its positions "
                "(through time, if they are steps) is missing or wrong"
            )
    return ""
