"""Experiments: what must be left out or turned for backward to be right."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.case import Case, remade
from npnet.gradcheck.diagnosis.matrices import Found
from npnet.typing import Array


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


def parameter_turned(case: Case) -> Found:
    """Backward is right if a parameter is transposed or flipped between the passes."""
    subject, true = case.subject, case.numeric[:, 0]
    for name, v in ((n, p.data) for n, p in subject.parameters.items() if p.data.ndim > 1):
        kernels = []
        for c in case.subject.inputs[0].shape[1:2] if v.ndim == 2 and not case.is_loss else ():
            k = math.isqrt(v.shape[1] // c)
            if c * k * k == v.shape[1]:
                kernels = [v.reshape(-1, c, k, k).swapaxes(2, 3).reshape(v.shape)]
        for words, turned in (
            ("transposed", v.swapaxes(-1, -2)),
            ("transposed in its first two axes", v.swapaxes(0, 1)),
            ("flipped along its last axes", np.flip(v, tuple(range(2, v.ndim)))),
            *(("as a kernel with i and j exchanged", k) for k in kernels),
            *(("rolled by one along its last axis", np.roll(v, k, -1)) for k in (1, -1)),
        ):
            if turned.shape != v.shape or np.array_equal(turned, v):
                continue
            with subject.restored():
                between = functools.partial(np.copyto, v, turned.copy())
                found = case.gradient(case.upstream[0], between)[case.indices]
            off = np.abs(found - true)[case.usable].max()
            if found.any() and off <= 1e-6 * np.abs(true).max():
                why = "forward and backward read it in different orders"
                return "transposed", f"would be right with {name} {words}: {why}"
    return None
