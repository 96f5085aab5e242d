"""A chain of children that backward runs in the wrong order, or of which it leaves one out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Case, Found, remade
from npnet.typing import Array


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
