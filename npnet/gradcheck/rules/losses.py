"""What a loss must do: rules about values, reductions, weights and arrays."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.gradcheck.attributes import attributes, new_attribute
from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.error_text import describe
from npnet.gradcheck.inputs import mixed
from npnet.gradcheck.layouts import LAYOUTS
from npnet.gradcheck.loss_under_test import LossUnderTest, call_loss
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.rules.arrays import rounded
from npnet.gradcheck.rules.ownership import still_alive
from npnet.gradcheck.rules.rule import Finding
from npnet.gradcheck.rules.state import generators_used
from npnet.losses.loss import Loss
from npnet.typing import Array

_ARGUMENTS = ("pred", "target", "sample_weight")
_ROWS = 8  # samples that are called alone


def calls_work(under_test: LossUnderTest) -> Iterator[str]:
    """Check that a call returns a finite value, its gradient, and nothing but numbers."""
    try:
        value = call_loss(under_test.fresh(), *under_test.arrays())
    except Exception as error:
        yield f"the call raised {describe(error)}"
        return
    number = np.asarray(value)
    if number.dtype.kind not in "fiub":
        yield f"the call returned a {type(value).__name__}, not a number"
        return
    _, grad = under_test.call(under_test.fresh())
    if not np.isfinite(number).all():
        yield f"the value is {number if number.ndim == 0 else 'not finite'} for finite arguments"
    elif not np.isfinite(grad).all():
        yield "the gradient is not finite for finite arguments"


def arguments_unchanged(under_test: LossUnderTest) -> Iterator[Finding]:
    """Check that prediction, target and sample weights are left as they are."""
    for method in ("__call__", "value_and_grad"):
        given = under_test.arrays()
        call_loss(getattr(under_test.fresh(), method), *given)
        for name, after, before in zip(_ARGUMENTS, given, under_test.arrays(), strict=False):
            found = mismatch(after, before, 0.0)
            if found:
                yield Finding(
                    f"{method} changed its {name} in place: it now {found}; copy it first", name
                )


def calls_repeat(under_test: LossUnderTest) -> Iterator[Finding]:
    """Check that the same arguments give the same result, and a call keeps nothing on the loss."""
    loss = under_test.fresh()
    known = attributes(loss).keys()
    value, grad = under_test.call(loss)
    before = attributes(loss)
    for name in sorted(before.keys() - known):
        yield Finding(new_attribute(name))
    kept = np.array(value), grad.copy()
    again = under_test.call(loss)
    found = _differs(under_test, again, kept)
    if found:
        text = f"two calls with the same arguments: the second time {found}"
        yield Finding(text, "", "non-deterministic")
        return
    pred, *others = under_test.arrays()
    under_test.call(loss, mixed(pred), *others)
    if mismatch(grad, kept[1], 0.0) or mismatch(np.asarray(value), kept[0], 0.0):
        yield Finding("a second call overwrote the result of the first; make new arrays each time")
    if attributes(loss) != before:
        yield Finding("a call changed an attribute of the loss; nothing may be kept on self")
    found = _differs(under_test, under_test.call(loss), kept)
    if found:
        yield Finding(f"called again with the same arguments after others, {found}")


def value_agrees(under_test: LossUnderTest) -> Iterator[str]:
    """Check that the value is the same with and without the gradient."""
    loss = under_test.fresh()
    value, grad = under_test.call(loss)
    found = _differs(under_test, (value, grad), (call_loss(loss, *under_test.arrays()), grad))
    if found:
        yield f"from value_and_grad {found}, which the call returned"


def reductions_agree(under_test: LossUnderTest) -> Iterator[str]:
    """Check that the sum is the sum of the terms, and the gradients belong to the values."""
    terms, grad_of_terms = under_test.reduced("none")
    total, grad_of_sum = under_test.reduced("sum")
    found = _differs(under_test, (total, grad_of_sum), (terms.sum(), grad_of_terms))
    if found:
        yield f"with reduction='sum' {found}, that of the terms"
    mean = call_loss(under_test.fresh("mean").evaluate, *under_test.arrays())
    want = total / mean.weight, grad_of_sum / mean.weight
    found = _differs(under_test, (mean.value, mean.grad), want)
    if found:
        yield f"with reduction='mean' {found}, that of the sum over the weight"
    n = under_test.samples
    if n > 1 and under_test.weight is None:
        twice, _ = under_test.reduced("mean", *under_test.rows([*range(n), *range(n)]))
        found = mismatch(twice, np.asarray(mean.value), slack=under_test.rounding / mean.weight)
        if found:
            yield f"with every sample given twice, the mean {found}"


def sample_weights(under_test: LossUnderTest) -> Iterator[str]:
    """Check that a weight of 2 equals the sample given twice, and 0 leaving it out."""
    n = under_test.samples
    if not n or under_test.weight is not None:
        return
    for reduction in ("sum", "mean"):
        pred, target = under_test.arrays()
        weight = np.ones(n)
        ones = under_test.reduced(reduction, pred, target, weight)
        found = _differs(under_test, ones, under_test.reduced(reduction))
        if found:
            yield f"with reduction={reduction!r} and sample weights of 1, {found}"
            return
        weight[0] = 2
        rows = [*range(n), 0]
        if n > 1:
            weight[-1] = 0
            rows.remove(n - 1)
        value, grad = under_test.reduced(reduction, pred, target, weight)
        want, grad_of_rows = under_test.reduced(reduction, *under_test.rows(rows))
        by_row = np.zeros_like(grad)
        np.add.at(by_row, np.array(rows), grad_of_rows)
        found = _differs(under_test, (value, grad), (want, by_row))
        if found:
            yield f"with reduction={reduction!r} and sample weights, {found}"
            return


def samples_independent(under_test: LossUnderTest) -> Iterator[str]:
    """Check that a sample's terms and gradient do not depend on the other samples."""
    n = under_test.samples
    if not n:
        return
    terms, _ = under_test.reduced("none")
    _, grad = under_test.reduced("sum")
    for i in range(min(n, _ROWS)):
        rows = under_test.rows([i])
        alone = under_test.reduced("none", *rows)[0], under_test.reduced("sum", *rows)[1]
        found = _differs(under_test, alone, (terms[i : i + 1], grad[i : i + 1]))
        if found:
            yield f"for sample {i} alone {found}, which is what it is among the others"
            return


def empty_batch(under_test: LossUnderTest) -> Iterator[str]:
    """Check that the sum over no samples is 0, with an empty gradient."""
    if not under_test.samples:
        return
    rows = under_test.rows([])
    try:
        value, grad = under_test.reduced("sum", *rows)
    except Fault as fault:
        yield f"with an empty batch {fault}"
        return
    if value != 0 or grad.shape != rows[0].shape:
        yield f"the sum over an empty batch is {value}, its gradient has shape {grad.shape}"


def shapes_and_dtypes(under_test: LossUnderTest) -> Iterator[str]:
    """Check that the gradient has the prediction's shape and dtype; a reduced loss is a float."""
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        for reduction in ("mean", "sum", "none"):
            value, grad = under_test.call(under_test.fresh(reduction), *under_test.arrays(dtype))
            if grad.shape != under_test.pred.shape:
                yield f"the gradient has shape {grad.shape} instead of {under_test.pred.shape}"
                return
            if grad.dtype != dtype:
                yield f"the gradient of a {dtype} prediction is {grad.dtype}"
            if reduction != "none" and not isinstance(value, float):
                yield f"with reduction={reduction!r} the value is a {type(value).__name__}"
            if reduction == "none" and np.asarray(value).dtype != dtype:
                yield f"the terms of a {dtype} prediction are {np.asarray(value).dtype}"


def precision(under_test: LossUnderTest) -> Iterator[str]:
    """Check that a float64 prediction's loss is computed in float64 all the way."""
    rng = np.random.default_rng(17)
    pred, *others = under_test.arrays()
    direction = np.abs(pred).max(initial=0.0) * rng.uniform(1, 2, pred.shape)
    results = [
        under_test.reduced("none", pred + step * direction, *others) for step in (1e-4, 1e-3, 2e-3)
    ]
    for name, values in zip(("terms", "gradients"), zip(*results, strict=True), strict=True):
        if rounded(*values):
            yield f"the {name} were rounded to float32, though the prediction is float64"


def gradient_of_its_own(under_test: LossUnderTest) -> Iterator[str]:
    """Check that the gradient belongs to the caller, who may write into it."""
    loss = under_test.fresh()
    given = under_test.arrays()
    _, grad = under_test.call(loss, *given)
    for name, array in zip(_ARGUMENTS, given, strict=False):
        if np.shares_memory(grad, array):
            yield f"the gradient shares memory with the {name}; return a new array"
    if grad.flags.writeable:
        want = grad.copy()
        grad[...] = 5.25
        found = mismatch(under_test.call(loss)[1], want)
        if found:
            yield f"after the caller wrote into the gradient, that of the next call {found}"


def memory_layout(under_test: LossUnderTest) -> Iterator[str]:
    """Check that strides, order and read-only flags of the arguments make no difference."""
    want = under_test.call(under_test.fresh())
    for name, arrange in LAYOUTS.items():
        try:
            got = under_test.call(under_test.fresh(), *map(arrange, under_test.arrays()))
        except Fault as fault:
            yield f"with {name} arguments {fault}"
            continue
        found = _differs(under_test, got, want)
        if found:
            yield f"with {name} arguments {found}"


def target_not_broadcast(under_test: LossUnderTest) -> Iterator[str]:
    """Check that a target of a shape that does not fit is refused."""
    pred, target, *others = under_test.arrays()
    wrong = target.reshape(*target.shape, 1)
    if wrong.shape == pred.shape:
        return
    try:
        call_loss(under_test.fresh(), pred, wrong, *others)
    except Exception:  # refused in whatever words
        return
    yield (
        f"a target of shape {wrong.shape} for a prediction of shape {pred.shape} was accepted; "
        "raise an error for every shape that is not expected"
    )


def nothing_kept_alive(under_test: LossUnderTest) -> Iterator[str]:
    """Check that after a call, no array of it is alive."""
    for name in still_alive(_call_and_forget(under_test, under_test.fresh())):
        yield f"after a call the {name} is still alive; something holds on to it"


def _call_and_forget(under_test: LossUnderTest, loss: Loss) -> dict[str, Any]:
    given = under_test.arrays()
    _, grad = under_test.call(loss, *given)
    arrays = dict(zip(_ARGUMENTS, given, strict=False)) | {"gradient": grad}
    return {name: weakref.ref(a) for name, a in arrays.items()}


def deep_copy(under_test: LossUnderTest) -> Iterator[str]:
    """Check that a deep copy computes the same."""
    found = _differs(
        under_test, under_test.call(under_test.fresh()), under_test.call(under_test.loss)
    )
    if found:
        yield f"of a copy {found}, which the original gives"


def randomness(under_test: LossUnderTest) -> Iterator[str]:
    """Check that a loss draws no random numbers."""
    for name in generators_used(lambda: under_test.call(under_test.fresh())):
        yield f"a call draws from {name}; a loss draws no random numbers"


def _differs(under_test: LossUnderTest, got: tuple[Any, Array], want: tuple[Any, Array]) -> str:
    """Say how value or gradient differ; the empty string if they do not."""
    found = mismatch(np.asarray(got[0]), np.asarray(want[0]), slack=under_test.rounding)
    if found:
        return f"the value {found}"
    found = mismatch(got[1], want[1])
    return f"the gradient {found}" if found else ""
