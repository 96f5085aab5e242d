"""What a loss must do: rules about values, reductions, weights and arrays."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from npnet.gradcheck.attributes import attributes
from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.inputs import mixed
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.passes import Fault, Finding, Findings, Pass
from npnet.gradcheck.rules.ownership import still_alive
from npnet.gradcheck.rules.state import generators_used, new_attributes

_ROWS = 8  # samples that are called alone


def calls_work(under_test: LossUnderTest) -> Findings:
    """Check that a call returns a finite value, its gradients, and nothing but numbers."""
    value = under_test.call(under_test.fresh())
    number = np.asarray(value)
    if number.dtype.kind not in "fiub":
        yield f"the call returned a {type(value).__name__}, not a number"
        return
    grads = under_test.run().parameter_grads
    if not np.isfinite(number).all():
        yield f"the value is {number if number.ndim == 0 else 'not finite'} for finite arguments"
    for name, grad in grads.items():
        if not np.isfinite(grad).all():
            yield f"the gradient of {name} is not finite for finite arguments"


def arguments_unchanged(under_test: LossUnderTest) -> Findings:
    """Check that arguments and sample weights are left as they are."""
    loss = under_test.fresh()
    for method in ("__call__", "value_and_grad"):
        given = under_test.arrays()
        under_test.call(getattr(loss, method), given)
        for name, after, before in zip(under_test.names, given, under_test.arrays(), strict=True):
            if found := mismatch(after, before, 0.0):
                text = f"{method} changed its {name} in place: it now {found}; copy it first"
                yield Finding(text, name)


def randomness(under_test: LossUnderTest) -> Findings:
    """Check that a loss draws no random numbers."""
    for name in generators_used(under_test.run):
        yield f"a call draws from {name}; a loss draws no random numbers"


def calls_repeat(under_test: LossUnderTest) -> Findings:
    """Check that the same arguments give the same result, and a call keeps nothing on the loss."""
    loss = under_test.fresh()
    known = attributes(loss).keys()
    first = under_test.run(loss)
    kept = [a.copy() for a in first.named().values()]
    before = attributes(loss)
    yield from new_attributes(before.keys() - known)
    differs = under_test.compared(under_test.run(loss), under_test.reference, every=True)
    for name, found in differs.items():
        text = f"two calls with the same arguments: the second time the {name} {found}"
        yield Finding(text, "", "non-deterministic")
        return
    others = under_test.arrays()
    for pred in under_test.predictions(others).values():
        pred[...] = mixed(pred)
    under_test.run(loss, others)
    if any(mismatch(a, b, 0.0) for a, b in zip(first.named().values(), kept, strict=True)):
        yield Finding("a second call overwrote the result of the first; make new arrays each time")
    if attributes(loss) != before:
        yield Finding("a call changed an attribute of the loss; nothing may be kept on self")
    says = "called again with the same arguments after others, {}"
    yield from under_test.differences(under_test.run(loss), under_test.reference, says)


def value_agrees(under_test: LossUnderTest) -> Findings:
    """Check that the value is the same with and without the gradient."""
    value = np.asarray(under_test.call(under_test.fresh()))
    says = "from value_and_grad {}, which the call returned"
    yield from under_test.differences(under_test.reference, _result(value), says)


def _result(value: Any, like: Pass | None = None, factor: float = 1.0) -> Pass:
    """Return a value with the gradients of another result, times a factor."""
    grads = {} if like is None else like.parameter_grads
    named = {name: np.asarray(grad * factor) for name, grad in grads.items()}
    return Pass((np.asarray(value),), (), named, "value")


def reductions_agree(under_test: LossUnderTest) -> Findings:
    """Check that the sum is the sum of the terms, and the gradients belong to the values."""
    terms, total = under_test.reduced("none"), under_test.reduced("sum")
    says = "with reduction='sum' {}, that of the terms"
    yield from under_test.differences(total, _result(terms.outputs[0].sum(), terms), says)
    weight = under_test.call(under_test.fresh("mean").evaluate).weight
    mean = under_test.reduced("mean")
    want = _result(total.outputs[0] / weight, total, 1 / weight)
    says = "with reduction='mean' {}, that of the sum over the weight"
    yield from under_test.differences(mean, want, says)
    n = under_test.samples
    if n > 1 and not under_test.weighted:
        twice = under_test.reduced("mean", under_test.rows([*range(n), *range(n)]))
        (value,), slack = mean.outputs, 100 * under_test.noise["value"] / weight
        if found := mismatch(twice.outputs[0], value, slack=slack):
            yield f"with every sample given twice, the mean {found}"


def samples_independent(under_test: LossUnderTest) -> Findings:
    """Check that a sample's terms and gradients do not depend on the other samples."""
    terms, total = under_test.reduced("none").outputs[0], under_test.reduced("sum")
    for i in range(min(under_test.samples, _ROWS)):
        rows = under_test.rows([i])
        value = under_test.reduced("none", rows).outputs[0]
        alone = _result(value, under_test.reduced("sum", rows))
        among = {name: grad[i : i + 1] for name, grad in total.parameter_grads.items()}
        says = f"for sample {i} alone {{}}, which is what it is among the others"
        yield from under_test.differences(
            alone, Pass((terms[i : i + 1],), (), among, "value"), says
        )


def sample_weights(under_test: LossUnderTest) -> Findings:
    """Check that a weight of 2 equals the sample given twice, and 0 leaving it out."""
    n = under_test.samples
    if not n or under_test.weighted:
        return
    for reduction in ("sum", "mean"):
        when, weight, rows = f"with reduction={reduction!r} and sample weights", np.ones(n), [0]
        ones = under_test.reduced(reduction, [*under_test.arrays(), weight])
        yield from under_test.differences(ones, under_test.reduced(reduction), f"{when} of 1, {{}}")
        weight[0], weight[1:][-1:] = 2, 0
        rows = [*range(max(n - 1, 1)), 0]
        got = under_test.reduced(reduction, [*under_test.arrays(), weight])
        want = under_test.reduced(reduction, under_test.rows(rows))
        for name, by_row in want.parameter_grads.items():
            summed = np.zeros_like(got.parameter_grads[name])
            np.add.at(summed, np.array(rows), by_row)
            want.parameter_grads[name] = summed
        yield from under_test.differences(got, want, f"{when}, {{}}")


def empty_batch(under_test: LossUnderTest) -> Findings:
    """Check that the sum over no samples is 0, with empty gradients."""
    if not under_test.samples:
        return
    rows = under_test.rows([])
    try:
        got = under_test.reduced("sum", rows)
    except Fault as fault:
        yield f"with an empty batch {fault}"
        return
    if got.outputs[0] != 0:
        yield f"the sum over an empty batch is {got.outputs[0]}"
    for name, pred in under_test.predictions(rows).items():
        if (shape := got.parameter_grads[name].shape) != pred.shape:
            yield f"with an empty batch the gradient of {name} has shape {shape}"


def shapes_and_dtypes(under_test: LossUnderTest) -> Findings:
    """Check that gradients have their prediction's shape and dtype; a reduced loss is a float."""
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        for reduction in ("mean", "sum", "none"):
            arrays = under_test.arrays(dtype)
            grads = under_test.reduced(reduction, arrays).parameter_grads
            for name, pred in under_test.predictions().items():
                grad = grads[name]
                if grad.shape != pred.shape:
                    yield f"the gradient of {name} has shape {grad.shape} instead of {pred.shape}"
                if grad.dtype != dtype:
                    yield f"the gradient of {name} in {dtype} is {grad.dtype}"
            value, _ = under_test.call(under_test.fresh(reduction).value_and_grad, arrays)
            if reduction != "none" and not isinstance(value, float):
                yield f"with reduction={reduction!r} the value is a {type(value).__name__}"
            if reduction == "none" and np.asarray(value).dtype != dtype:
                yield f"the terms of predictions in {dtype} are {np.asarray(value).dtype}"


def gradients_not_shared(under_test: LossUnderTest) -> Findings:
    """Check that gradients belong to the caller, who may write into them."""
    loss, given = under_test.fresh(), under_test.arrays()
    grads = under_test.run(loss, given).parameter_grads
    for name, grad in grads.items():
        others = [(other, a) for other, a in zip(under_test.names, given, strict=True)]
        others += [(f"gradient of {other}", g) for other, g in grads.items() if other < name]
        for what, array in others:
            if np.shares_memory(grad, array):
                yield f"the gradient of {name} shares memory with the {what}; return a new array"
        if grad.flags.writeable:
            grad[...] = 5.25
    got = _result(under_test.reference.outputs[0], under_test.run(loss))
    says = "after the caller wrote into the gradients, in the next call {}"
    yield from under_test.differences(got, under_test.reference, says)


def target_not_broadcast(under_test: LossUnderTest) -> Findings:
    """Check that a target of a shape that does not fit is refused."""
    predictions = under_test.predictions()
    for i, name in enumerate(under_test.loss.arguments):
        arrays = under_test.arrays()
        arrays[i] = arrays[i].reshape(*arrays[i].shape, 1)
        shapes = [pred.shape for pred in predictions.values()]
        if name in predictions or arrays[i].shape in shapes:
            continue
        try:
            under_test.call(under_test.fresh(), arrays)
        except Fault:  # refused in whatever words
            continue
        yield (
            f"a {name} of shape {arrays[i].shape} for a prediction of shape {shapes[0]} was "
            "accepted; raise an error for every shape that is not expected"
        )


def nothing_kept_alive(under_test: LossUnderTest) -> Findings:
    """Check that after a call, no array of it is alive."""
    loss = under_test.fresh()

    def call() -> dict[str, Any]:
        given = under_test.arrays()
        arrays = dict(zip(under_test.names, given, strict=True))
        arrays |= under_test.run(loss, given).named()
        return {name: weakref.ref(a) for name, a in arrays.items()}

    for name in still_alive(call()):
        yield f"after a call the {name} is still alive; something holds on to it"


def deep_copy(under_test: LossUnderTest) -> Findings:
    """Check that a deep copy computes the same."""
    says = "of a copy {}, which the original gives"
    yield from under_test.differences(under_test.run(), under_test.run(under_test.loss), says)
