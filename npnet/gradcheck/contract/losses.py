"""What a loss must do: rules about values, reductions, weights and arrays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npnet.errors import NpnetError
from npnet.gradcheck.contract.arrays import rounded
from npnet.gradcheck.contract.calls import Fault
from npnet.gradcheck.contract.compare import mismatch
from npnet.gradcheck.contract.loss_specimen import LossSpecimen
from npnet.gradcheck.contract.ownership import by_value
from npnet.gradcheck.contract.specimen import mixed
from npnet.gradcheck.contract.state import generators_used
from npnet.gradcheck.layouts import LAYOUTS
from npnet.gradcheck.raised import describe
from npnet.gradcheck.subject import attributes, call_loss, new_attribute
from npnet.losses.loss import Loss

_ROUNDING = 64 * float(np.finfo(np.float64).eps)


def _cancelled(terms: Any) -> float:
    """Return the rounding error of a sum or mean of terms that may cancel."""
    return _ROUNDING * float(np.abs(terms).sum())


def value_agrees(specimen: LossSpecimen) -> Iterator[str]:
    """Check that the value is the same with and without the gradient."""
    loss = specimen.fresh()
    value, _ = specimen.call(loss)
    found = mismatch(np.asarray(value), np.asarray(call_loss(loss, *specimen.arrays())), 1e-12)
    if found:
        yield f"the value that value_and_grad returned {found}, which the call returned"


def arguments_unchanged(specimen: LossSpecimen) -> Iterator[str]:
    """Check that prediction, target and sample weights are left as they are."""
    for method in ("__call__", "value_and_grad"):
        given = specimen.arrays()
        call_loss(getattr(specimen.fresh(), method), *given)
        names = ("prediction", "target", "sample weights")
        for name, after, before in zip(names, given, specimen.arrays(), strict=False):
            found = mismatch(after, before, 0.0)
            if found:
                yield f"{method} changed the {name}: it now {found}; copy it first"


def reductions_agree(specimen: LossSpecimen) -> Iterator[str]:
    """Check that the sum is the sum of the terms, and the gradients belong to the values."""
    terms, grad_of_terms = specimen.call(specimen.fresh("none"))
    total, grad_of_sum = specimen.call(specimen.fresh("sum"))
    evaluated = call_loss(specimen.fresh("mean").evaluate, *specimen.arrays())
    found = mismatch(np.asarray(total), np.asarray(terms).sum(), slack=_cancelled(terms))
    if found:
        yield f"with reduction='sum' the value {found}, the sum of the terms"
    found = mismatch(grad_of_sum, grad_of_terms)
    if found:
        yield f"with reduction='sum' the gradient {found}, the one with reduction='none'"
    if not isinstance(evaluated.grad, np.ndarray) or not evaluated.weight:
        return
    found = mismatch(np.asarray(evaluated.value), np.asarray(total / evaluated.weight))
    if found:
        yield f"with reduction='mean' the value {found}, the sum over the weight"
    found = mismatch(evaluated.grad, grad_of_sum / evaluated.weight)
    if found:
        yield f"with reduction='mean' the gradient {found}, that of the sum over the weight"
    if specimen.samples > 1 and specimen.weight is None:
        n = specimen.samples
        twice, _ = specimen.call(specimen.fresh("mean"), *specimen.rows([*range(n), *range(n)]))
        slack = _cancelled(terms) / evaluated.weight
        found = mismatch(np.asarray(twice), np.asarray(evaluated.value), slack=slack)
        if found:
            yield f"with every sample given twice, the mean {found}"


def sample_weights(specimen: LossSpecimen) -> Iterator[str]:
    """Check that a weight of 2 equals the sample given twice, and 0 leaving it out."""
    n = specimen.samples
    if not n or specimen.weight is not None:
        return
    for reduction in ("sum", "mean"):
        loss = specimen.fresh(reduction)
        pred, target = specimen.arrays()
        weight = np.ones(n)
        value, grad = specimen.call(loss, pred, target, weight)
        plain, plain_grad = specimen.call(loss)
        found = mismatch(np.asarray(value), np.asarray(plain)) or mismatch(grad, plain_grad)
        if found:
            yield f"with reduction={reduction!r} and sample weights of 1, a result {found}"
            return
        weight[0] = 2
        rows = [*range(n), 0]
        if n > 1:
            weight[-1] = 0
            rows.remove(n - 1)
        value, grad = specimen.call(loss, pred, target, weight)
        want, grad_of_rows = specimen.call(loss, *specimen.rows(rows))
        slack = 2 * _cancelled(specimen.call(specimen.fresh("none"))[0])
        found = mismatch(np.asarray(value), np.asarray(want), slack=slack)
        if found:
            yield f"with reduction={reduction!r} and sample weights, the value {found}"
            return
        by_row = np.zeros_like(grad)
        np.add.at(by_row, np.array(rows), grad_of_rows)
        # A saturated softmax is a difference of numbers around 1.
        found = mismatch(grad, by_row, slack=_ROUNDING)
        if found:
            yield f"with reduction={reduction!r} and sample weights, the gradient {found}"
            return


def samples_independent(specimen: LossSpecimen) -> Iterator[str]:
    """Check that a sample's terms and gradient do not depend on the other samples."""
    n = specimen.samples
    if not n:
        return
    terms, _ = specimen.call(specimen.fresh("none"))
    _, grad = specimen.summed()
    for i in range(min(n, 8)):
        rows = specimen.rows([i])
        alone, _ = specimen.call(specimen.fresh("none"), *rows)
        found = mismatch(np.asarray(alone), np.asarray(terms)[i : i + 1])
        found = f"term {found}" if found else mismatch(specimen.summed(*rows)[1], grad[i : i + 1])
        if found:
            yield f"for sample {i} alone a result {found}, which is what it is among the others"
            return


def empty_batch(specimen: LossSpecimen) -> Iterator[str]:
    """Check that the sum over no samples is 0, with an empty gradient."""
    if not specimen.samples:
        return
    rows = specimen.rows([])
    try:
        value, grad = specimen.summed(*rows)
    except Fault as fault:
        yield f"with an empty batch {fault}"
        return
    if value != 0 or grad.shape != rows[0].shape:
        yield f"the sum over an empty batch is {value}, its gradient has shape {grad.shape}"


def calls_repeat(specimen: LossSpecimen) -> Iterator[str]:
    """Check that the same arguments give the same result, and a call keeps nothing on the loss."""
    loss = specimen.fresh()
    known = attributes(loss)
    value, grad = specimen.call(loss)
    yield from map(new_attribute, sorted(attributes(loss) - known))
    kept = np.array(value), grad.copy()
    before = by_value(vars(loss), 0)
    pred, *others = specimen.arrays()
    specimen.call(loss, mixed(pred), *others)
    if mismatch(grad, kept[1], 0.0) or mismatch(np.asarray(value), kept[0], 0.0):
        yield "a second call overwrote the result of the first; make new arrays in each call"
    if by_value(vars(loss), 0) != before:
        yield "a call changed an attribute of the loss; nothing may be kept on self"
    again, grad_again = specimen.call(loss)
    found = mismatch(np.asarray(again), kept[0]) or mismatch(grad_again, kept[1])
    if found:
        yield f"called again with the same arguments, a result {found}"


def shapes_and_dtypes(specimen: LossSpecimen) -> Iterator[str]:
    """Check that the gradient has the prediction's shape and dtype; a reduced loss is a float."""
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        for reduction in ("mean", "sum", "none"):
            value, grad = specimen.call(specimen.fresh(reduction), *specimen.arrays(dtype))
            if grad.shape != specimen.pred.shape:
                yield f"the gradient has shape {grad.shape} instead of {specimen.pred.shape}"
                return
            if grad.dtype != dtype:
                yield f"the gradient of a {dtype} prediction is {grad.dtype}"
            if reduction != "none" and not isinstance(value, float):
                yield f"with reduction={reduction!r} the value is a {type(value).__name__}"
            if reduction == "none" and np.asarray(value).dtype != dtype:
                yield f"the terms of a {dtype} prediction are {np.asarray(value).dtype}"


def precision(specimen: LossSpecimen) -> Iterator[str]:
    """Check that a float64 prediction's loss is computed in float64 all the way."""
    rng = np.random.default_rng(17)
    pred, *others = specimen.arrays()
    direction = np.abs(pred).max(initial=0.0) * rng.uniform(1, 2, pred.shape)
    results = [
        specimen.call(specimen.fresh("none"), pred + step * direction, *others)
        for step in (1e-4, 1e-3, 2e-3)
    ]
    for name, values in zip(("terms", "gradients"), zip(*results, strict=True), strict=True):
        if rounded(*map(np.asarray, values)):
            yield f"the {name} were rounded to float32, though the prediction is float64"


def gradient_of_its_own(specimen: LossSpecimen) -> Iterator[str]:
    """Check that the gradient belongs to the caller, who may write into it."""
    loss = specimen.fresh()
    given = specimen.arrays()
    _, grad = specimen.call(loss, *given)
    for name, array in zip(("prediction", "target", "sample weights"), given, strict=False):
        if np.shares_memory(grad, array):
            yield f"the gradient shares memory with the {name}; return a new array"
    if grad.flags.writeable:
        want = grad.copy()
        grad[...] = 5.25
        found = mismatch(specimen.call(loss)[1], want)
        if found:
            yield f"after the caller wrote into the gradient, that of the next call {found}"


def memory_layout(specimen: LossSpecimen) -> Iterator[str]:
    """Check that strides, order and read-only flags of the arguments make no difference."""
    want = specimen.call(specimen.fresh())
    for name, arrange in LAYOUTS.items():
        try:
            got = specimen.call(specimen.fresh(), *map(arrange, specimen.arrays()))
        except Fault as fault:
            yield f"with {name} arguments {fault}"
            continue
        found = mismatch(np.asarray(got[0]), np.asarray(want[0])) or mismatch(got[1], want[1])
        if found:
            yield f"with {name} arguments a result {found}"


def target_not_broadcast(specimen: LossSpecimen) -> Iterator[str]:
    """Check that a target of a shape that does not fit is refused."""
    pred, target, *others = specimen.arrays()
    wrong = target.reshape(*target.shape, 1)
    if target.ndim == 0 or wrong.shape == pred.shape:
        return
    try:
        call_loss(specimen.fresh(), pred, wrong, *others)
    except Exception:  # refused in whatever words
        return
    yield (
        f"a target of shape {wrong.shape} for a prediction of shape {pred.shape} was accepted; "
        "raise an error for every shape that is not expected"
    )


def nothing_kept_alive(specimen: LossSpecimen) -> Iterator[str]:
    """Check that after a call, no array of it is alive."""
    loss = specimen.fresh()
    alive = _call_and_forget(specimen, loss)
    if any(ref() is not None for ref in alive.values()):
        gc.collect()
    for name, ref in alive.items():
        if ref() is not None:
            yield f"after a call the {name} is still alive; something holds on to it"


def deep_copy(specimen: LossSpecimen) -> Iterator[str]:
    """Check that a deep copy computes the same."""
    value, grad = specimen.call(specimen.fresh())
    want = specimen.call(specimen.loss)
    found = mismatch(np.asarray(value), np.asarray(want[0])) or mismatch(grad, want[1])
    if found:
        yield f"of a copy a result {found}, which the original gives"


def randomness(specimen: LossSpecimen) -> Iterator[str]:
    """Check that a loss draws no random numbers."""
    for name in generators_used(lambda: specimen.call(specimen.fresh())):
        yield f"a call draws from {name}; a loss draws no random numbers"


def _call_and_forget(specimen: LossSpecimen, loss: Loss) -> dict[str, Any]:
    given = specimen.arrays()
    _, grad = specimen.call(loss, *given)
    arrays = dict(zip(("prediction", "target", "sample weights"), given, strict=False))
    arrays["gradient"] = grad
    return {name: weakref.ref(a) for name, a in arrays.items()}


def basic_call(specimen: LossSpecimen) -> Iterator[str]:
    """Check that a call returns a finite value, its gradient, and nothing but numbers."""
    try:
        value = call_loss(specimen.fresh(), *specimen.arrays())
    except NpnetError as error:
        yield f"the call raised {describe(error)}"
        return
    except Exception as error:
        yield f"the call raised {describe(error)}"
        return
    number = np.asarray(value)
    if number.dtype.kind not in "fiub":
        yield f"the call returned a {type(value).__name__}, not a number"
        return
    _, grad = specimen.call(specimen.fresh())
    if not np.isfinite(number).all():
        yield f"the value is {number if number.ndim == 0 else 'not finite'} for finite arguments"
    elif not np.isfinite(grad).all():
        yield "the gradient is not finite for finite arguments"


LOSS_RULES: dict[str, Callable[[LossSpecimen], Iterator[str]]] = {
    "one value": value_agrees,
    "input unchanged": arguments_unchanged,
    "reductions": reductions_agree,
    "sample weights": sample_weights,
    "sample independence": samples_independent,
    "empty batch": empty_batch,
    "repeatable": calls_repeat,
    "shapes and dtypes": shapes_and_dtypes,
    "precision": precision,
    "gradient not shared": gradient_of_its_own,
    "memory layout": memory_layout,
    "target shape": target_not_broadcast,
    "nothing kept alive": nothing_kept_alive,
    "deep copy": deep_copy,
    "randomness": randomness,
}
