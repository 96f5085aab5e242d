"""How a layer behaves between calls: faults that one forward and one backward pass do not show.

A gradient can equal its formula and still be wrong in use, because an array was changed in place,
because a gradient was overwritten instead of accumulated, or because a second call replaced what
the first one needed. Each fault becomes a violation and a diagnosis.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from npnet.gradcheck.report import Diagnosis, Report
from npnet.gradcheck.sampling import nudged
from npnet.gradcheck.subject import (
    LayerSubject,
    LossSubject,
    Subject,
    attributes,
    call_loss,
    new_attribute,
)
from npnet.typing import Array

Grads = Sequence[Array | None]


def check_conduct(report: Report, subject: LayerSubject, upstream: list[list[Array]]) -> bool:
    """Look for changed arrays, chance, stale state and overwritten gradients of a layer.

    Parameters
    ----------
    report : Report
        Receives what is found.
    subject : LayerSubject
    upstream : list of list of ndarray
        Two sets of upstream gradients.

    Returns
    -------
    bool
        Whether forward is a function at all, so that it can be differentiated.
    """
    before = [v.copy() for v in subject.variables]
    _new_attributes(report, subject)
    try:
        _mutation(report, subject, upstream[0])
        if not _restore(subject, before):
            _find(report, "mutation", "parameters unchanged", "", "a pass changed a parameter's "
                  "data; only an optimizer may do that")  # fmt: skip
            return False
        if not _repeatable(report, subject):
            return False
        if _repeatable_gradients(report, subject, upstream[0]):
            _accumulation(report, subject, upstream)
            _interleaving(report, subject, upstream)
            _without_input_gradient(report, subject, upstream[0])
    finally:
        _restore(subject, before)
        subject.checked.zero_grad()
    return True


def check_loss_conduct(report: Report, subject: LossSubject) -> bool:
    """Look for changed arrays and chance in a loss.

    Parameters
    ----------
    report : Report
        Receives what is found.
    subject : LossSubject

    Returns
    -------
    bool
        Whether the loss is a function at all.
    """
    _new_attributes(report, subject)
    loss, pred = subject.checked, subject.variables[0]
    given, others = pred.copy(), copy.deepcopy(subject.others)
    value, grad = call_loss(loss.value_and_grad, given, *others)
    for name, now, then in zip(
        ("pred", "target", "sample_weight"), (given, *others), (pred, *subject.others), strict=False
    ):
        if isinstance(then, np.ndarray) and not np.array_equal(now, then, equal_nan=True):
            _find(report, "mutation", "input unchanged", name, f"the loss changed its {name} in "
                  "place; it must leave arrays alone that it did not make")  # fmt: skip
    first, second = subject.outputs()[0], subject.outputs()[0]
    if not same(first, second):
        _find(report, "non-deterministic", "deterministic", "", "two calls with the same arguments "
              f"gave {first.flat[0]} and {second.flat[0]}")  # fmt: skip
        return False
    if not same(np.asarray(value), first):
        _find(report, "stale state", "one value", "", "the loss's value from value_and_grad, "
              f"{np.ravel(value)[0]}, is not that of a call, {first.flat[0]}")  # fmt: skip
    again = subject.gradients([])[0]
    if again is not None and not same(np.asarray(grad), again):
        _find(report, "non-deterministic", "deterministic", "pred",
              "two calls of value_and_grad gave different gradients")  # fmt: skip
    return True


def same(a: Array | None, b: Array | None) -> bool:
    """Tell whether two arrays agree but for rounding of sums; NaN equals NaN.

    Parameters
    ----------
    a, b : ndarray or None

    Returns
    -------
    bool
    """
    if a is None or b is None:
        return a is b
    if a.shape != b.shape:
        return False
    tolerance = 1e-10 if np.float32 not in (a.dtype, b.dtype) else 1e-4
    finite = np.isfinite(a) & np.isfinite(b)
    size = np.abs(b[finite]).max(initial=0.0)
    return bool(
        np.array_equal(a[~finite], b[~finite], equal_nan=True)
        and (np.abs(a[finite] - b[finite]) <= tolerance * size).all()
    )


def computes_in_float32(subject: Subject, here: list[Array]) -> bool:
    """Tell whether every output that moves is a float32 number, which chance makes impossible.

    Parameters
    ----------
    subject : Subject
        In float64.
    here : list of ndarray
        Its outputs at this point.

    Returns
    -------
    bool
    """
    rng = np.random.default_rng(2)
    moved: list[Array] = []
    with subject.restored():
        for v in subject.variables:
            v[...] = nudged(v, 2.0**-10, rng)
        try:
            moved = subject.outputs()
        except Exception as error:  # outside the domain; says nothing
            subject.refusals[:] = [error]
        finer = subject.in_longdouble() if moved else []
    values = np.concatenate([m[m != y] for m, y in zip(moved, here, strict=False)] or [[]])
    values = values[np.isfinite(values) & (values != 0)]
    if values.size <= 2 or not (values == values.astype(np.float32)).all():
        return False
    # Differences of larger numbers, 1 - cos(x), have few digits as well; but with more digits
    # inside, those change.
    stays = [np.mean(f == m) for f, m in zip(finer, moved, strict=False)]
    return not stays or min(stays) > 0.5


def _find(report: Report, kind: str, rule: str, tensor: str, message: str) -> None:
    report.violate(rule, message)
    report.diagnosis.append(Diagnosis(kind, tensor, message))


def _new_attributes(report: Report, subject: Subject) -> None:
    for name in sorted(attributes(subject.checked) - subject.attributes):
        _find(report, "stale state", "no state on self", "", new_attribute(name))


def _restore(subject: LayerSubject, before: list[Array]) -> bool:
    """Put the variables back; tell whether nothing had changed."""
    intact = all(np.array_equal(v, b) for v, b in zip(subject.variables, before, strict=True))
    for v, b in zip(subject.variables, before, strict=True):
        v[...] = b
    return intact


def _mutation(report: Report, subject: LayerSubject, upstream: list[Array]) -> None:
    inputs = [x.copy() for x in subject.inputs]
    outputs, backward = subject.record(*inputs, copies=False)

    def inputs_changed(by: str) -> None:
        for i, (now, then) in enumerate(zip(inputs, subject.inputs, strict=True)):
            if not np.array_equal(now, then):
                name = "input" if len(inputs) == 1 else f"input {i}"
                _find(report, "mutation", "input unchanged", name,
                      f"{by} changed {name} in place; work on a copy or use out= with an array "
                      "of your own")  # fmt: skip
                now[...] = then
                subject.copies_inputs = True

    subject.copies_inputs = False
    inputs_changed("forward")
    kept = [y.copy() for y in outputs]
    given = [r.copy() for r in upstream]
    backward(given)
    for i, (now, then) in enumerate(zip(given, upstream, strict=True)):
        if not np.array_equal(now, then):
            which = "" if len(given) == 1 else f" of output {i}"
            _find(report, "mutation", "upstream gradient unchanged", "",
                  f"backward changed the upstream gradient{which} in place; others may still "
                  "need it")  # fmt: skip
    inputs_changed("backward")
    if any(not np.array_equal(y, k, equal_nan=True) for y, k in zip(outputs, kept, strict=True)):
        _find(report, "mutation", "output unchanged", "",
              "backward changed the output that forward had returned")  # fmt: skip
    subject.checked.zero_grad()


def _repeatable(report: Report, subject: LayerSubject) -> bool:
    first = subject.outputs()
    for y, again in zip(first, subject.outputs(), strict=True):
        if not same(again, y):
            gap = float(np.nanmax(np.abs(again - y)))
            _find(report, "non-deterministic", "deterministic", "",
                  "two recorded passes with the same input and the same generator gave outputs "
                  f"that differ by {gap:.2g}: random numbers must come from ctx.rng, and nothing "
                  "may be kept on the layer between calls")  # fmt: skip
            return False
    return True


def _repeatable_gradients(report: Report, subject: LayerSubject, upstream: list[Array]) -> bool:
    first, second = subject.gradients(upstream), subject.gradients(upstream)
    wrong = [i for i, (a, b) in enumerate(zip(first, second, strict=True)) if not same(b, a)]
    third = subject.gradients(upstream) if wrong else []
    for i in wrong:
        name, a, b, c = subject.names[i], first[i], second[i], third[i]
        if a is not None and b is not None and c is not None and same(c - b, b - a):
            _find(report, "stale state", "repeatable", name,
                  f"the gradient of {name} grows with every identical pass: it is summed up in "
                  "an array that outlives the call; use ctx.add_grad")  # fmt: skip
        else:
            _find(report, "non-deterministic", "repeatable", name,
                  f"identical passes gave different gradients of {name}: backward uses random "
                  "numbers, or state from another call")  # fmt: skip
    return not wrong


def _accumulation(report: Report, subject: LayerSubject, upstream: list[list[Array]]) -> None:
    first, second = (subject.gradients(r) for r in upstream)
    subject.checked.zero_grad()
    for rs in upstream:
        _, backward = subject.record(*[x.copy() for x in subject.inputs])
        backward([r.copy() for r in rs])
    for name, p in subject.parameters.items():
        i = subject.names.index(name)
        a, b = first[i], second[i]
        if a is None or b is None or p.grad is None:
            continue
        if same(p.grad, a + b):
            continue
        if same(p.grad, b):
            _find(report, "overwritten", "gradients accumulate", name,
                  f"a second backward pass overwrites the gradient of {name} instead of adding to "
                  f"it; use ctx.add_grad(self.{name.rsplit('.', 1)[-1]}, ...)")  # fmt: skip
        else:
            _find(report, "stale state", "gradients accumulate", name,
                  f"after two backward passes the gradient of {name} is not the sum of "
                  "theirs")  # fmt: skip
    subject.checked.zero_grad()


def _interleaving(report: Report, subject: LayerSubject, upstream: list[list[Array]]) -> None:
    """Record two calls, then run both backward, in either order."""
    rng = np.random.default_rng(1)
    # Smaller values stay inside a domain that contains 0 or is a half-line.
    other = [x if x.dtype.kind != "f" else 0.75 * nudged(x, 0.2, rng) for x in subject.inputs]
    alone = subject.gradients(upstream[0])
    for first_recorded in (True, False):
        subject.checked.zero_grad()
        try:
            _, backward = subject.record(*[x.copy() for x in subject.inputs])
            _, later = subject.record(*other, rng=np.random.default_rng(12345))
            if not first_recorded:
                later([r.copy() for r in upstream[1]])
                subject.checked.zero_grad()
        except Exception as error:
            report.notes.append("two calls before both backward passes were not tried: the layer "
                                f"refused another input ({error})")  # fmt: skip
            return
        found = subject.collect(backward([r.copy() for r in upstream[0]]))
        for name, now, then in zip(subject.names, found, alone, strict=True):
            if not same(now, then):
                when = "recorded" if first_recorded else "recorded and run backward"
                _find(report, "stale state", "calls do not disturb each other", name,
                      f"the gradient of {name} changes when a second call is {when} before "
                      "backward: what backward needs belongs into ctx, not on the "
                      "layer")  # fmt: skip
                return
    subject.checked.zero_grad()


def _without_input_gradient(report: Report, subject: LayerSubject, upstream: list[Array]) -> None:
    full = dict(zip(subject.names, subject.gradients(upstream), strict=True))
    _, backward = subject.record(*[x.copy() for x in subject.inputs])
    backward([r.copy() for r in upstream], False)
    for name, p in subject.parameters.items():
        if not same(p.grad, full[name]):
            _find(report, "zero", "parameter gradients without input gradient", name,
                  f"the gradient of {name} differs when nobody asks for the input's gradient "
                  "(ctx.needs_input_grad is False), as in training")  # fmt: skip
    subject.checked.zero_grad()
