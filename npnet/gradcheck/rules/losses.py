"""What a loss must do beside what holds for layers: reductions, sample weights, targets."""

from __future__ import annotations

import copy
import itertools
import re
from typing import Any

import numpy as np

from npnet.gradcheck.passes import Fault, Findings, LossLayer, Pass, attempt
from npnet.gradcheck.under_test import UnderTest
from npnet.typing import Array, DtypeLike

# What rules about layers say, in the words of losses.
_WORDS = (
    (r"(forward|backward) of LossLayer|inference|a (recorded|finished backward) pass", "a call"),
    (r"recorded pass", "call"),
    (r"two passes", "two calls"),
    (r"the same input and the same generator", "the same arguments"),
    (r"\boutput\b", "value"),
    (r"keep what backward needs in ctx", "keep nothing on self"),
    (r"[:;] (random numbers must|what backward|use ctx).*| with a generator given", ""),
)


def worded(under_test: UnderTest, text: str) -> str:
    """Say what a rule found in the words of losses, but for what the loss raised."""
    if not under_test.is_loss:
        return text
    said, *raised = text.partition(" raised ")
    for pattern, word in _WORDS:
        said = re.sub(pattern, word, said)
    names = (*_loss(under_test).arguments, "sample_weight")
    return re.sub(r"\binput (\d+)", lambda m: names[int(m[1])], said) + "".join(raised)


def reduced(under_test: UnderTest, reduction: str) -> UnderTest:
    """Return a loss with another reduction."""
    if reduction not in under_test.cache:
        loss = attempt("copy.deepcopy", copy.deepcopy, _loss(under_test))
        loss.reduction = reduction
        other = UnderTest(LossLayer(loss), under_test.inputs, broken=under_test.broken)
        other.batch_independence = under_test.batch_independence
        under_test.cache[reduction] = other
    return under_test.cache[reduction]  # type: ignore[no-any-return]


def _loss(under_test: UnderTest) -> Any:
    layer: Any = under_test.layer
    return layer.loss


def _ask(under_test: UnderTest, name: str, dtype: DtypeLike = np.float64) -> Any:
    layer: Any = under_test.fresh()
    return layer.ask(name, under_test.arrays(dtype))


def _samples(under_test: UnderTest) -> int:
    """Count the samples; 0 if they are coupled, or their number is fixed, or they have weights."""
    weighted = len(under_test.inputs) > len(_loss(under_test).arguments)
    apart = under_test.batch_independence and reduced(under_test, "none").has_batches
    return len(under_test.inputs[0]) if apart and not weighted else 0


def _rows(under_test: UnderTest, rows: list[int]) -> list[Array]:
    return [x[np.array(rows, np.intp)] for x in under_test.arrays()]


def value_agrees(under_test: UnderTest) -> Findings:
    """Check that the value is the same with and without the gradient."""
    says = "from value_and_grad {}, which the call returned"
    yield from under_test.differences(under_test.reference, under_test.infer(), says)


def _with_value(value: Any, one: Pass, factor: float = 1.0) -> Pass:
    """Return another value with the gradients of a pass, times a factor."""
    return one.times(factor)._replace(outputs=(np.asarray(value),))


def reductions_agree(under_test: UnderTest) -> Findings:
    """Check that sum and mean are floats, those of the terms, and so are the gradients."""
    none, sums, means = (reduced(under_test, name) for name in ("none", "sum", "mean"))
    for loss, dtype in itertools.product((sums, means), (np.float32, np.float64)):
        value, _ = _ask(loss, "value_and_grad", dtype)
        if not isinstance(value, float):
            yield f"with reduction={_loss(loss).reduction!r} the value is a {type(value).__name__}"
            return
    terms, total, mean = none.reference, sums.reference, means.reference
    says = "with reduction='sum' {}, that of the terms"
    yield from sums.differences(total, _with_value(terms.outputs[0].sum(), terms), says)
    weight = _ask(means, "evaluate").weight
    says = "with reduction='mean' {}, that of the sum over the weight"
    want = _with_value(total.outputs[0] / weight, total, 1 / weight)
    yield from means.differences(mean, want, says)
    if n := _samples(under_test):
        twice = means.infer(inputs=_rows(under_test, [*range(n), *range(n)]))
        yield from means.differences(twice, mean, "with every sample given twice, {}, the mean")


def sample_weights(under_test: UnderTest) -> Findings:
    """Check that a weight of 2 equals the sample given twice, and 0 leaving it out."""
    n = _samples(under_test)
    for reduction in ("sum", "mean") if n else ():
        loss = reduced(under_test, reduction)
        when = f"with reduction={reduction!r} and sample weights"
        weight, rows = np.ones(n), [*range(max(n - 1, 1)), 0]
        ones = loss.run(inputs=[*under_test.arrays(), weight.copy()])
        yield from under_test.differences(ones, loss.reference, f"{when} of 1, {{}}")
        weight[0], weight[1:][-1:] = 2, 0
        got = loss.run(inputs=[*under_test.arrays(), weight])
        want = loss.run(inputs=_rows(under_test, rows))
        summed = np.array(rows) == np.arange(n)[:, None]  # the rows of each sample
        dx = (None if g is None else np.tensordot(summed, g, 1) for g in want.input_grads)
        want = want._replace(input_grads=tuple(dx))
        yield from loss.differences(got, want, f"{when}, {{}}")


def target_not_broadcast(under_test: UnderTest) -> Findings:
    """Check that a target of a shape that does not fit is refused."""
    loss = _loss(under_test)
    pairs = zip(loss.arguments, under_test.inputs, strict=False)
    shapes = [x.shape for name, x in pairs if name in loss.predictions]
    for i, name in enumerate(loss.arguments):
        given = under_test.arrays()
        given[i] = given[i][..., None]
        if name in loss.predictions or given[i].shape in shapes:
            continue
        try:
            under_test.infer(inputs=given)
        except Fault:  # refused in whatever words
            continue
        text = f"a {name} of shape {given[i].shape} for a prediction of shape {shapes[0]} was"
        yield f"{text} accepted; raise an error for every shape that is not expected"
