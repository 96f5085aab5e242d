"""Experiments: what must be left out, frozen or made trivial for backward to be right."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.evidence import Case, Jacobians, jacobians, remade
from npnet.gradcheck.report import Diagnosis
from npnet.typing import Array


def children(case: Case) -> Diagnosis | None:
    """A child through which nothing, or too much, or the wrong thing comes back."""
    parts = {} if case.is_loss else dict(case.layer._layers)
    if not parts or case.here.columns is None:
        return None
    for name in parts:
        for number, count in _calls(case, name):
            frozen = _with_child(case, name, number, _freeze)
            if frozen is None or case.here.agree(frozen.t, case.here.t):
                continue
            through = case.here.t - frozen.t
            what = f"{type(parts[name]).__name__} {name!r}"
            what += "" if count == 1 else f", call {number} of {count}"
            if case.here.agree(case.here.a, frozen.t) or not frozen.t.any():
                if not frozen.t.any():
                    continue
                text = f"lacks what comes through {what}: backward does not go back through it"
            else:
                c = _multiple(case.here.a - case.here.t, through, case.here)
                if c is None or not np.abs(frozen.t).max() > 1e-6 * np.abs(case.here.t).max():
                    continue
                text = f"has what comes through {what} {c + 1:.6g} times instead of once"
            text = f"the gradient of {case.name} {text}"
            return Diagnosis("missing term", case.name, text)
    for name, child in parts.items():
        passed = _passed_on(case, name)
        if passed is not None and case.here.agree(case.here.a, passed):
            text = f"backward leaves out layer {name!r}, {type(child).__name__}"
            return Diagnosis("missing factor", case.name, text)
    return None


def _calls(case: Case, name: str) -> list[tuple[int, int]]:
    """Number the calls of a child in one forward pass."""
    seen: list[int] = []

    def count(forward: Callable[..., Any]) -> Callable[..., Any]:
        def counted(ctx: Any, *inputs: Any) -> Any:
            seen.append(1)
            return forward(ctx, *inputs)

        return counted

    subject = remade(case.subject, lambda layer: _wrap(layer, name, "forward", count))
    seen.clear()
    subject.run()
    return [(k, len(seen)) for k in range(len(seen))] if len(seen) <= 12 else []


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


def _with_child(case: Case, name: str, number: int, make: Any) -> Jacobians | None:
    """Differentiate forward with one call of a child frozen; backward is not looked at."""
    count = len(_calls(case, name))
    try:
        subject = remade(
            case.subject, lambda layer: _wrap(layer, name, "forward", make(number, count))
        )
        subject.gradients = lambda upstream: [None] * len(subject.variables)  # type: ignore[method-assign]
        found = jacobians(subject, case.number, case.indices, None)
    except Exception:  # it cannot be frozen
        return None
    return found if found.t.shape == case.here.t.shape else None


def _passed_on(case: Case, name: str) -> Array | None:
    """Return true differences times nothing: backward with one child's backward left out."""
    from npnet.containers.sequential import Sequential

    if len(case.layer._layers) < 2 or len(case.subject.inputs) != 1 or not case.here.is_input:
        return None

    class Chain(Sequential):
        """A chain that runs no neighbours as one, so that each layer can be replaced."""

        def backward(self, ctx: Any, grad: Any) -> Any:
            return super().backward(ctx, grad)

    chain = Chain(copy.deepcopy(dict(case.layer._layers)))
    object.__setattr__(chain._layers[name], "backward", lambda ctx, grad: grad)
    try:
        output, _ = chain.record(*case.subject.inputs)
        if not np.array_equal(output, case.here.outputs[0]):
            return None  # not a plain chain
        found = np.zeros_like(case.here.a)
        assert case.here.columns is not None
        for k, j in enumerate(case.here.columns):
            _, tape = chain.record(*case.subject.inputs)
            unit = case.subject.split(np.eye(1, output.size, j)[0])
            found[:, k] = np.reshape(tape.backward(*unit, input_grad=True), -1)[case.indices]
    except Exception:  # that child changes the shape, so it was not left out
        return None
    return found


def _wrap(layer: Any, name: str, method: str, wrap: Any) -> None:
    child = layer._layers[name]
    object.__setattr__(child, method, wrap(getattr(child, method)))


def _multiple(d: Array, through: Array, p: Jacobians) -> float | None:
    at = p.known & np.isfinite(through)
    x, y = through[at], d[at]
    c = float(x @ y / (x @ x)) if x.any() else 0.0
    fits = np.abs(y - c * x) <= 1e-6 * np.abs(c * x) + 30 * p.allowed[at]
    return c if abs(c) > 1e-6 and fits.all() else None


def parameter_turned(case: Case) -> Diagnosis | None:
    """Backward is right if a square parameter is transposed or flipped between the passes."""
    if case.is_loss:
        return None
    subject = case.subject
    for name, v in zip(subject.names, subject.variables, strict=True):
        if any(v is x for x in subject.inputs) or v.ndim < 2:
            continue
        turns = [("transposed", tuple(range(v.ndim - 2)) + (v.ndim - 1, v.ndim - 2), ())]
        turns += [("flipped along its last axes", (), tuple(range(2, v.ndim)))] if v.ndim > 2 else []
        turns += [("transposed in its first two axes", (1, 0, *range(2, v.ndim)), ())]
        for words, order, flip in turns:
            turned = v.transpose(order).copy() if order else np.flip(v, flip).copy()
            if turned.shape != v.shape or np.array_equal(turned, v):
                continue
            found = _backward_with(case, v, turned)
            if found is not None and case.here.agree(found, case.here.t):
                text = (
                    f"the gradient of {case.name} would be right with {name} {words}: backward "
                    f"multiplies by {name} as it is where it must be {words}, or the other way "
                    "round"
                )
                return Diagnosis("transposed", case.name, text)
    return None


def _backward_with(case: Case, variable: Array, value: Array) -> Array | None:
    """Run backward with another value of a parameter than forward."""
    subject, columns = case.subject, case.here.columns
    if columns is None:
        return None
    found = np.zeros_like(case.here.a)
    with subject.restored() as kept:
        start = next(k for v, k in zip(subject.variables, kept, strict=True) if v is variable)
        for k, j in enumerate(columns):
            variable[...] = start
            subject.checked.zero_grad()
            _, backward = subject.record(*[x.copy() for x in subject.inputs])
            variable[...] = value
            unit = subject.split(np.eye(1, case.upstream.shape[1], j)[0])
            grad = subject.collect(backward(unit))[case.number]
            if grad is None:
                return None
            found[:, k] = grad.reshape(-1)[case.indices]
    subject.checked.zero_grad()
    return found


def made_trivial(case: Case) -> Diagnosis | None:
    """Right once a parameter, another input or one of the layer's own numbers plays no part."""
    for finder in (_options, _tensors, _lengths):
        text = finder(case)
        if text:
            return Diagnosis("missing term", case.name, f"the gradient of {case.name} {text}")
    return None


def _options(case: Case) -> str:
    """Numbers and switches that the layer was made with."""
    for name, value in vars(case.layer).items():
        if name.startswith("_") or isinstance(value, str):
            continue
        for other in _others(value):
            def change(layer: Any, name: str = name, other: Any = other) -> None:
                object.__setattr__(layer, name, other)

            if case.cured(case.variant(change)):
                shown = [v if np.ndim(v) == 0 or isinstance(v, tuple) else
                         f"all {np.ravel(v)[0]:g}" for v in (other, value)]  # fmt: skip
                here = "" if isinstance(value, np.ndarray) else f" and wrong with {name}={shown[1]}"
                return (
                    f"is right with {name}={shown[0]}{here}: backward handles {name} otherwise "
                    "than forward"
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
    for words, fill in (("one", 1.0), ("zero", 0.0)):
        cures = []
        for i, (name, v) in enumerate(zip(subject.names, subject.variables, strict=True)):
            if i == case.number or (v == fill).all():
                continue
            with subject.restored():
                v[...] = fill
                try:
                    found = jacobians(subject, case.number, case.indices, None)
                except Exception:  # outside its domain
                    continue
            if case.cured(found):
                cures.append(name)
        if not 0 < len(cures) <= 2:
            continue
        some = " or ".join(cures)
        if fill:
            return f"is right when {some} is all ones: the factor {some} is forgotten in backward"
        return (
            f"is right when {some} is zero: the path through {some} is missing or wrong in backward"
        )
    return ""


def _lengths(case: Case) -> str:
    """Axes cut to a length of one."""
    subject = case.subject
    if case.is_loss:
        return ""
    for axis in range(max(x.ndim for x in subject.inputs)):
        long = [x.ndim > axis and x.shape[axis] > 1 for x in subject.inputs]
        if not any(long):
            continue
        length = min(x.shape[axis] for x, cuts in zip(subject.inputs, long, strict=True) if cuts)
        if all(case.cured(case.variant(inputs=cut(subject, axis, k))) for k in range(min(length, 6))):
            if axis == 0 and subject.batch_size:
                return (
                    "is right for a batch of one: how samples of a batch are summed or coupled "
                    "is wrong"
                )
            return (
                f"is right when axis {axis} has length one: what couples or sums its positions "
                "(through time, if they are steps) is missing or wrong"
            )
    return ""


def cut(subject: Any, axis: int, position: int = 0) -> tuple[Array, ...]:
    """Return the inputs at one position along an axis."""
    return tuple(
        np.take(x, [position], axis) if x.ndim > axis and x.shape[axis] > 1 else x
        for x in subject.inputs
    )
