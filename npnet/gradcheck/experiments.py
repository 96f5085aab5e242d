"""Patterns that need more passes: what each output contributes, and "what if" backward passes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from npnet.containers.sequential import Sequential
from npnet.context import Context
from npnet.gradcheck.case import Case
from npnet.gradcheck.conduct import same
from npnet.gradcheck.report import Diagnosis
from npnet.gradcheck.subject import LayerSubject

_ROUGH = 1e-4  # relative accuracy of contributions


def forward_in_float32(case: Case) -> Diagnosis | None:
    """Forward does not see the last digits of a variable."""
    subject, function = case.point.reference, case.point.function
    if not isinstance(subject, LayerSubject) or subject.dtype != np.float64:
        return None
    variable = case.variable
    centre = variable.astype(np.float32).astype(np.float64)
    cell = np.spacing(np.abs(centre).astype(np.float32)).astype(np.float64)
    rows = np.empty((4, function.here.size))
    with subject.restored():
        for row, shift in zip(rows, (0.0, 0.49, 0.51, 1.0), strict=True):
            variable[...] = centre + shift * cell
            subject.write_outputs(row)
    same_cell, crossed = (rows[0] == rows[1]).all(), rows[1] != rows[2]
    if not (same_cell and (rows[2] == rows[3]).all() and crossed.mean() > 0.5):
        return None
    text = (
        f"forward rounds {case.name} to float32, so its output moves in steps; "
        "keep the dtype of the input"
    )
    return Diagnosis("float32", case.name, text)


def not_linear(case: Case) -> Diagnosis | None:
    """Twice the upstream gradient does not give twice the gradient."""
    subject = case.point.subject
    if case.is_loss:
        return None
    i, k = case.evidence.variable, case.which
    once = case.point.gradients[k][i]
    twice = subject.gradients([2 * r for r in subject.split(case.point.function.upstream[k])])[i]
    if not case.only_loud and (once is None or twice is None or same(twice, 2 * once)):
        return None
    more = (
        ": right for upstream gradients around 1, wrong for larger ones" if case.only_loud else ""
    )
    text = (
        f"the gradient of {case.name} is not proportional to the upstream gradient{more}; "
        "backward must be linear in it: is it clipped or normalised?"
    )
    return Diagnosis("nonlinear", case.name, text)


class _OneByOne(Sequential):
    """A chain that runs no neighbours as one, so that each layer can be replaced."""

    def backward(self, ctx: Context, grad: Any) -> Any:
        return super().backward(ctx, grad)


def child_left_out(case: Case) -> Diagnosis | None:
    """A chain of children whose backward pass leaves one of them out."""
    subject = case.point.reference
    if not isinstance(subject, LayerSubject) or case.point.subject is not subject:
        return None
    children = dict(subject.checked._layers)
    if len(children) < 2 or len(subject.inputs) != 1 or not case.is_input:
        return None
    for name, child in children.items():
        chain = _OneByOne(copy.deepcopy(children))
        object.__setattr__(chain._layers[name], "backward", lambda ctx, grad: grad)
        try:
            output, tape = chain.record(*subject.inputs, training=subject.training)
            if not np.array_equal(output, case.outputs[0]):
                return None  # not a plain chain
            found = tape.backward(*case.upstream, input_grad=True)
            fits = case.close(case.analytic, np.reshape(found, -1)[case.indices])
        except Exception:  # that child changes the shape, so it was not left out
            continue
        if fits:
            text = f"backward leaves out layer {name!r}, {type(child).__name__}"
            return Diagnosis("missing factor", case.name, text)
    return None


def flat(case: Case) -> Diagnosis | None:
    """Forward does not change at all."""
    at = case.usable
    if not at.any() or case.numeric[at].any() or not case.analytic[at].any():
        return None
    text = (
        f"the output does not change with {case.name} around this point, but backward returns a "
        "gradient: forward is a step function, or backward belongs to another formula"
    )
    return Diagnosis("unknown", case.name, text)


def other_transposed(case: Case) -> Diagnosis | None:
    """Backward is right if a square parameter is transposed between forward and backward."""
    subject = case.point.reference
    if not isinstance(subject, LayerSubject) or case.point.subject is not subject:
        return None
    for name, p in subject.parameters.items():
        turned = p.data.T.copy()
        if turned.shape != p.shape or turned.ndim != 2 or np.array_equal(turned, p.data):
            continue
        with subject.restored():
            subject.checked.zero_grad()
            _, backward = subject.record(*[x.copy() for x in subject.inputs])
            p.data[...] = turned
            found = subject.collect(backward([r.copy() for r in case.upstream]))
        subject.checked.zero_grad()
        other = found[case.evidence.variable]
        if other is not None and case.close(other.reshape(-1)[case.indices], case.numeric):
            text = (
                f"the gradient of {case.name} would be right with {name} transposed: backward "
                f"multiplies by {name} where its transpose belongs, or the other way round"
            )
            return Diagnosis("transposed", case.name, text)
    return None


def one_sample(case: Case) -> Diagnosis | None:
    """A parameter's gradient that holds, or lacks, one sample of the batch."""
    rows = case.row_of_output()
    if case.is_input or rows is None or (case.batch or 0) < 2:
        return None
    parts = case.contributions()
    if parts is None:
        return None
    for b in range(case.batch or 0):
        alone = parts[:, rows == b].sum(axis=1)
        text = ""
        if case.close(case.analytic, alone, _ROUGH):
            text = f"is that of sample {b} alone: it is not summed over the batch"
        elif alone.any() and case.close(case.analytic, case.numeric - alone, _ROUGH):
            text = f"lacks sample {b} of the batch"
        elif alone.any() and case.close(case.analytic, case.numeric + alone, _ROUGH):
            text = f"counts sample {b} of the batch twice"
        if text:
            return Diagnosis("not summed", case.name, f"the gradient of {case.name} {text}")
    return None


def wrong_axis(case: Case) -> Diagnosis | None:
    """The upstream gradient summed over other axes than it should be."""
    if case.is_input or case.is_loss or case.variable.ndim != 1 or not case.complete:
        return None
    for r in case.upstream:
        for axis, length in enumerate(r.shape):
            others = tuple(i for i in range(r.ndim) if i != axis)
            if length != case.variable.size or not others:
                continue
            if case.close(case.analytic, r.sum(axis=others)):
                text = (
                    f"the gradient of {case.name} is the upstream gradient summed over the wrong "
                    f"{_axes(others)}: it is not summed over the batch"
                )
                return Diagnosis("not summed", case.name, text)
    return None


def coupling(case: Case) -> Diagnosis | None:
    """An input's gradient that holds only the outputs of its own sample, or its own output."""
    if not case.is_input or case.is_loss:
        return None
    parts = case.contributions()
    if parts is None:
        return None
    rows, batch = case.row_of_output(), case.batch
    if rows is not None and batch:
        own = rows[None] == (case.indices // (case.variable.size // batch))[:, None]
        if _coupled(case, np.where(own, 0, parts)) and case.close(
            case.analytic, np.where(own, parts, 0).sum(axis=1), _ROUGH
        ):
            text = (
                f"the gradient of {case.name} lacks the terms through the other samples of the "
                "batch: what is computed from all rows (mean, variance) depends on each of them"
            )
            return Diagnosis("missing term", case.name, text)
    if len(case.outputs) == 1 and case.outputs[0].shape == case.variable.shape:
        own = np.arange(parts.shape[1])[None] == case.indices[:, None]
        diagonal = np.where(own, parts, 0).sum(axis=1)
        if _coupled(case, np.where(own, 0, parts)):
            if case.close(case.analytic, diagonal, _ROUGH):
                text = (
                    f"the gradient of {case.name} has the term of each element's own output only; "
                    "the terms through the other outputs (a sum or mean in forward) are missing"
                )
                return Diagnosis("missing term", case.name, text)
            if case.close(case.analytic, case.numeric - diagonal, _ROUGH):
                text = (
                    f"the gradient of {case.name} has only the terms through other outputs; that "
                    "of each element's own output is missing"
                )
                return Diagnosis("missing term", case.name, text)
    return None


def _coupled(case: Case, others: np.ndarray) -> bool:
    size = np.abs(case.numeric[case.usable]).max(initial=0.0)
    return bool(np.abs(others).sum(axis=1).max(initial=0.0) > 1e-6 * size)


def _axes(axes: tuple[int, ...]) -> str:
    return f"axis {axes[0]}" if len(axes) == 1 else f"axes {list(axes)}"
