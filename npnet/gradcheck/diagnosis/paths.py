"""Experiments: what must be left out, frozen or made trivial for backward to be right."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.evidence import Case
from npnet.gradcheck.diagnosis.matrices import jacobians, options
from npnet.gradcheck.report import Diagnosis
from npnet.typing import Array


def parameter_turned(case: Case) -> Diagnosis | None:
    """Backward is right if a square parameter is transposed or flipped between the passes."""
    if case.is_loss:
        return None
    subject = case.subject
    for name, v in zip(subject.names, subject.variables, strict=True):
        if any(v is x for x in subject.inputs) or v.ndim < 2:
            continue
        turns: list[tuple[str, tuple[int, ...], Any]] = [
            ("transposed", (*range(v.ndim - 2), v.ndim - 1, v.ndim - 2), ())
        ]
        turns += (
            [("flipped along its last axes", (), tuple(range(2, v.ndim)))] if v.ndim > 2 else []
        )
        turns += [("transposed in its first two axes", (1, 0, *range(2, v.ndim)), ())]
        turns += [(f"rolled by half of axis {k} (its halves exchanged)", (), -k - 1)
                  for k in range(v.ndim) if v.shape[k] % 2 == 0]  # fmt: skip
        for words, order, flip in turns:
            if order:
                turned = v.transpose(order).copy()
            elif isinstance(flip, int):
                turned = np.roll(v, v.shape[-flip - 1] // 2, -flip - 1)
            else:
                turned = np.flip(v, flip).copy()
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
            unit = subject.split(np.eye(1, case.upstream.shape[1], int(j))[0])
            grads = subject.gradients(unit, between=lambda: np.copyto(variable, value))
            grad = grads[case.number]
            if grad is None:
                return None
            found[:, k] = grad.reshape(-1)[case.indices]
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
    for name, value in options(case.layer):
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
    for fill in (1.0, 0.0):
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
            if case.cured(found) and (not fill or _ignores(case, i)):
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


def _ignores(case: Case, i: int) -> bool:
    """Whether backward does not depend on a variable at all."""
    with case.subject.restored():
        case.subject.variables[i][...] *= 1.7
        moved = case.gradient(case.upstream[0])[case.indices]
    return bool(np.abs(moved - case.analytic[:, 0]).max() <= 1e-9 * np.abs(moved).max())


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
        if all(
            case.cured(case.variant(inputs=cut(subject, axis, k))) for k in range(min(length, 6))
        ):
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
