"""Experiments with children: one frozen, one left out, one called directly."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.diagnosis.evidence import Case, remade
from npnet.gradcheck.diagnosis.matrices import Jacobians, jacobians
from npnet.gradcheck.report import Diagnosis
from npnet.typing import Array


def children(case: Case) -> Diagnosis | None:
    """A child through which nothing, or too much, or the wrong thing comes back."""
    parts = {} if case.is_loss else dict(case.layer.named_layers())
    parts.pop("", None)
    if not parts or case.here.columns is None:
        return None
    for name, child in parts.items():
        what = f"child {name!r} ({type(child).__name__})"
        calls, direct = _calls(case, name)
        if direct:
            text = (
                f"{what} is not run by ctx.call: its forward is called directly with the context "
                f"of {type(direct).__name__}, so their saved arrays mix; use ctx.call(child, x)"
            )
            return Diagnosis("missing term", case.name, text)
        if "." in name and "." in name.split(".", 1)[1]:
            continue
        for number in range(calls):
            frozen = _with_child(case, name, number, calls)
            if frozen is None or case.here.agree(frozen.t, case.here.t):
                continue
            which = what if calls == 1 else f"{what}, call {number} of {calls},"
            if not frozen.t.any():
                continue
            if case.here.agree(case.here.a, frozen.t):
                text = f"lacks what comes through {which}: the path through it is missing"
            else:
                c = _multiple(case.here.a - case.here.t, case.here.t - frozen.t, case.here)
                if c is None or not np.abs(frozen.t).max() > 1e-6 * np.abs(case.here.t).max():
                    continue
                text = f"has what comes through {which} {c + 1:.6g} times instead of once"
            text = f"the gradient of {case.name} {text}"
            return Diagnosis("missing term", case.name, text)
    return _chain(case)


def _chain(case: Case) -> Diagnosis | None:
    """A chain of children run back in the wrong order, or without one of them."""
    layer, subject = copy.deepcopy(case.layer), case.subject
    count = len(subject.inputs)
    if count != 1:
        return None
    upstream = subject.split(case.upstream[0])

    def back(order: list[int] | None) -> tuple[list[Any], Array]:
        ctx = Context(layer, recording=True, training=subject.training, rng=subject.rewind())
        layer.zero_grad()
        layer.forward(ctx, subject.inputs[0].copy())
        grad: Any = upstream[0] if len(upstream) == 1 else tuple(upstream)
        calls = list(ctx.calls)
        for k in [*reversed(range(len(calls)))] if order is None else order:
            grad = calls[k].backward(grad)
        parameters = dict(layer.named_parameters())
        if case.name in parameters:
            grad = parameters[case.name].grad
        return calls, np.zeros(case.size) if grad is None else np.reshape(grad, -1)

    try:
        calls, right = back(None)
    except Exception:  # no chain
        return None
    if len(calls) < 2 or not np.allclose(right[case.indices], case.numeric[:, 0], 1e-6, 1e-9):
        return None
    names = {id(v): k for k, v in layer.named_layers()}
    orders: list[tuple[list[int], str]] = [
        ([*range(len(calls))], "runs its children in the order of forward; it must go in reverse")
    ]
    for k, call in enumerate(calls):
        child = f"child {names.get(id(call.layer), '?')!r} ({type(call.layer).__name__})"
        orders.append(([i for i in reversed(range(len(calls))) if i != k], f"leaves out {child}"))
    for order, words in orders:
        try:
            _, found = back(order)
        except Exception:  # the shapes do not fit, so it is not this
            continue
        a = case.analytic[:, 0]
        if (
            found.size == case.size
            and np.abs(found[case.indices] - a).max() <= 1e-8 * np.abs(a).max()
        ):
            return Diagnosis("missing factor", case.name, f"the backward pass {words}")
    return None


def _calls(case: Case, name: str) -> tuple[int, Any]:
    """Count the calls of a child in a pass; and which layer's context it was given instead."""
    seen: list[Any] = []

    def count(forward: Callable[..., Any]) -> Callable[..., Any]:
        def counted(ctx: Any, *inputs: Any) -> Any:
            seen.append(ctx.layer)
            return forward(ctx, *inputs)

        return counted

    subject = remade(case.subject, lambda layer: _wrap(layer, name, "forward", count))
    seen.clear()
    subject.run()
    child = dict(subject.checked.named_layers())[name]
    other = next((layer for layer in seen if layer is not child), None)
    return (len(seen) if len(seen) <= 8 else 0), other


def _freeze(number: int, count: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrap(forward: Callable[..., Any]) -> Callable[..., Any]:
        kept: list[Any] = []
        calls = [0]

        def frozen(ctx: Any, *inputs: Any) -> Any:
            mine = calls[0] % count == number
            calls[0] += 1
            if mine and kept:
                return copy.deepcopy(kept[0])
            result = forward(ctx, *inputs)
            if mine:
                kept.append(copy.deepcopy(result))
            return result

        return frozen

    return wrap


def _with_child(case: Case, name: str, number: int, count: int) -> Jacobians | None:
    """Differentiate forward with one call of a child frozen; backward is not looked at."""
    try:
        subject = remade(
            case.subject, lambda layer: _wrap(layer, name, "forward", _freeze(number, count))
        )
        subject.gradients = lambda upstream: [None] * len(subject.variables)  # type: ignore[method-assign]
        found = jacobians(subject, case.number, case.indices, None)
    except Exception:  # it cannot be frozen
        return None
    return found if found.t.shape == case.here.t.shape else None


def _wrap(layer: Any, name: str, method: str, wrap: Any) -> None:
    child = dict(layer.named_layers())[name]
    object.__setattr__(child, method, wrap(getattr(child, method)))


def _multiple(d: Array, through: Array, p: Jacobians) -> float | None:
    at = p.known & np.isfinite(through)
    x, y = through[at], d[at]
    c = float(x @ y / (x @ x)) if x.any() else 0.0
    fits = np.abs(y - c * x) <= 1e-6 * np.abs(c * x) + 30 * p.allowed[at]
    return c if abs(c) > 1e-6 and fits.all() else None
