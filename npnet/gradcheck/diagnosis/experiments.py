"""Experiments: what must be left out, frozen, turned or made trivial for backward to be right."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.diagnosis.case import Case, cut, remade
from npnet.gradcheck.diagnosis.matrices import Jacobians, options, true_matrix
from npnet.typing import Array

Found = tuple[str, str]


class _Apart(Context):
    """A context whose chains run each child by itself."""

    fuses = False


def chain(case: Case) -> Found | None:
    """A chain of children run back in the wrong order, or without one of them."""
    if case.is_loss or len(case.subject.inputs) != 1 or not dict(case.subject.checked.named_layers()):
        return None
    subject, layer = remade(case.subject), None
    layer = subject.checked
    parameter = dict(layer.named_parameters()).get(case.name)

    def back(order: Callable[[int], list[int]]) -> tuple[list[Any], Array]:
        case.budget.take(1)
        ctx = subject.context(_Apart)  # type: ignore[attr-defined]
        layer.zero_grad()
        layer.forward(ctx, subject.inputs[0].copy())
        calls = list(ctx.calls)
        grad: Any = subject.split(case.upstream[0])
        grad = grad[0] if len(grad) == 1 else tuple(grad)
        for k in order(len(calls)):
            grad = calls[k].backward(grad)
        grad = grad if parameter is None else parameter.grad
        grad = np.zeros(case.size) if grad is None else np.reshape(grad, -1)
        return calls, grad[case.indices]

    def fits(order: Callable[[int], list[int]], wanted: Array) -> bool:
        try:
            found = back(order)[1]
        except Exception:  # no such chain
            return False
        return bool(np.abs(found - wanted)[case.usable].max() <= 1e-6 * np.abs(wanted).max())

    def reverse(n: int) -> list[int]:
        return [*reversed(range(n))]

    if not fits(reverse, case.numeric[:, 0]):
        return None
    calls, _ = back(reverse)
    wrong = case.analytic[:, 0]
    if len(calls) > 1 and fits(lambda n: [*range(n)], wrong):
        text = "runs its children in the order of forward; it must go in reverse: {} is wrong"
        return "missing factor", f"the backward pass {text}"
    names = {id(v): k for k, v in layer.named_layers()}
    for i, call in enumerate(calls):
        if fits(lambda n, i=i: [k for k in reverse(n) if k != i], wrong):  # type: ignore[misc]
            child = f"child {names.get(id(call.layer), '?')!r} ({type(call.layer).__name__})"
            return "missing factor", f"the backward pass leaves out {child}: {{}} is wrong"
    return None


def children(case: Case) -> Found | None:
    """A child through which nothing, or too much, or the wrong thing comes back."""
    parts = {} if case.is_loss else dict(case.subject.checked.named_layers())
    for name, child in parts.items():
        if not name or name.count(".") > 1:
            continue
        what = f"child {name!r} ({type(child).__name__})"
        calls, direct = _calls(case, name)
        if direct is not None:
            return "missing term", (
                f"{what} is not run by ctx.call, so {{}} is wrong: its forward is called directly "
                f"with the context of {type(direct).__name__}, so their saved arrays mix; use "
                "ctx.call(child, x)"
            )
        p = case.here
        for number in range(calls):
            t = _frozen(case, name, number, calls)
            if t is None or not t.any() or p.agree(t, p.t):
                continue
            which = what if calls == 1 else f"{what}, call {number} of {calls},"
            if p.agree(p.a, t):
                return "missing term", (
                    f"lacks what comes through {which}: the path through it is missing"
                )
            c = _multiple(p.a - p.t, p.t - t, p)
            if c is not None and np.abs(t).max() > 1e-6 * np.abs(p.t).max():
                times = f"{c + 1:.6g} times instead of once"
                return "missing term", f"has what comes through {which} {times}"
    return None


def _calls(case: Case, name: str) -> tuple[int, Any]:
    """Count the calls of a child in a pass; and which layer's context it was given instead."""
    seen: list[Any] = []

    def count(forward: Callable[..., Any]) -> Callable[..., Any]:
        def counted(ctx: Any, *inputs: Any) -> Any:
            seen.append(ctx.layer)
            return forward(ctx, *inputs)

        return counted

    subject = remade(case.subject, lambda layer: _wrap(layer, name, count))
    seen.clear()
    subject.run()
    child = dict(subject.checked.named_layers())[name]
    return len(seen) * (len(seen) <= 8), next((x for x in seen if x is not child), None)


def _frozen(case: Case, name: str, number: int, count: int) -> Array | None:
    """Differentiate forward with one call of a child frozen."""
    kept: list[Any] = []
    calls = [0]

    def freeze(forward: Callable[..., Any]) -> Callable[..., Any]:
        def frozen(ctx: Any, *inputs: Any) -> Any:
            mine = calls[0] % count == number
            calls[0] += 1
            if mine and kept:
                return copy.deepcopy(kept[0])
            result = forward(ctx, *inputs)
            kept.extend([copy.deepcopy(result)] * mine)
            return result

        return frozen

    try:
        subject, p = remade(case.subject, lambda layer: _wrap(layer, name, freeze)), case.here
        case.budget.take(4 * p.indices.size)
        size = subject.here.size
        t = true_matrix(subject, subject.variables[case.number], p.indices, size)
    except Exception:  # it cannot be frozen
        return None
    return t[:, p.columns]


def _wrap(layer: Any, name: str, wrap: Any) -> None:
    child = dict(layer.named_layers())[name]
    object.__setattr__(child, "forward", wrap(child.forward))


def _multiple(d: Array, through: Array, p: Jacobians) -> float | None:
    at = p.known & np.isfinite(through)
    x, y = through[at], d[at]
    c = float(x @ y / (x @ x)) if x.any() else 0.0
    fits = np.abs(y - c * x) <= 1e-6 * np.abs(c * x) + 30 * p.allowed[at]
    return c if abs(c) > 1e-6 and fits.all() else None


def parameter_turned(case: Case) -> Found | None:
    """Backward is right if a parameter is transposed or flipped between the passes."""
    subject = case.subject
    for name in () if case.is_loss else subject.parameters:
        v = subject.parameters[name].data
        for words, turned in _turns(v) if v.ndim > 1 else ():
            if turned.shape != v.shape or np.array_equal(turned, v):
                continue
            found = _backward_with(case, v, turned.copy())
            if found is not None and case.here.agree(found, case.here.t):
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


def _backward_with(case: Case, variable: Array, value: Array) -> Array | None:
    """Run backward with another value of a parameter than forward."""
    subject, p = case.subject, case.here
    case.budget.take(p.columns.size)
    found = np.zeros_like(p.a)
    with subject.restored():
        start = variable.copy()
        for k, j in enumerate(p.columns):
            variable[...] = start
            unit = subject.split(np.eye(1, subject.here.size, int(j))[0])
            grad = subject.gradients(unit, between=lambda: np.copyto(variable, value))[case.number]
            if grad is None:
                return None
            found[:, k] = grad.reshape(-1)[p.indices]
    return found


def made_trivial(case: Case) -> Found | None:
    """Right once an option, a parameter, another input or a length plays no part."""
    text = _options(case) or _tensors(case) or _lengths(case)
    return ("missing term", text) if text else None


def _options(case: Case) -> str:
    """Numbers and switches that the layer was made with."""
    for name, value in options(case.subject.checked):
        for other in _others(value):

            def change(layer: Any, name: str = name, other: Any = other) -> None:
                object.__setattr__(layer, name, other)

            if case.cured(case.variant(change)):
                array = isinstance(value, np.ndarray)
                shown = f"all {np.ravel(other)[0]:g}" if array else other
                here = "" if array else f" and wrong with {name}={value}"
                return (
                    f"is right with {name}={shown}{here}: backward handles {name} otherwise than "
                    "forward"
                )
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
    for fill in (1.0, 0.0):
        cures = []
        for i, (name, v) in enumerate(zip(subject.names, subject.variables, strict=True)):
            if i != case.number and not (v == fill).all():
                with subject.restored():
                    v[...] = fill
                    found = case.variant()
                if case.cured(found) and (not fill or _ignores(case, v)):
                    cures.append(name)
        if 0 < len(cures) <= 2:
            some = " or ".join(cures)
            if fill:
                return f"is right when {some} is all ones: the factor {some} is forgotten in backward"
            return (
                f"is right when {some} is zero: the path through {some} is missing or wrong in "
                "backward"
            )
    return ""


def _ignores(case: Case, variable: Array) -> bool:
    """Whether backward does not depend on a variable at all."""
    with case.subject.restored():
        variable *= 1.7
        moved = case.gradient(case.upstream[0])[case.indices]
    return bool(np.abs(moved - case.analytic[:, 0]).max() <= 1e-9 * np.abs(moved).max())


def _lengths(case: Case) -> str:
    """Axes cut to a length of one."""
    inputs = () if case.is_loss else case.subject.inputs
    for axis in range(max((x.ndim for x in inputs), default=0)):
        lengths = [x.shape[axis] for x in inputs if x.ndim > axis and x.shape[axis] > 1]
        ones = range(min([6, *lengths]) if lengths else 0)
        if ones and all(case.cured(case.variant(inputs=cut(case.subject, axis, k))) for k in ones):
            if axis == 0 and case.subject.batch_size:
                return (
                    "is right for a batch of one: how samples of a batch are summed or coupled is "
                    "wrong"
                )
            return (
                f"is right when axis {axis} has length one: what couples or sums its positions "
                "(through time, if they are steps) is missing or wrong"
            )
    return ""
