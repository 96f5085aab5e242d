"""What a loss must do beside what holds for layers: reductions, sample weights, targets."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.passes import Fault, Findings, Pass


def value_agrees(under_test: LossUnderTest) -> Findings:
    """Check that the value is the same with and without the gradient."""
    says = "from value_and_grad {}, which the call returned"
    yield from under_test.differences(under_test.reference, under_test.infer(), says)


def _with_value(value: Any, one: Pass, factor: float = 1.0) -> Pass:
    """Return another value with the gradients of a pass, times a factor."""
    return one.times(factor)._replace(outputs=(np.asarray(value),))


def reductions_agree(under_test: LossUnderTest) -> Findings:
    """Check that sum and mean are floats, those of the terms, and so are the gradients."""
    none, sums, means = (under_test.reduced(name) for name in ("none", "sum", "mean"))
    for loss, dtype in itertools.product((sums, means), (np.float32, np.float64)):
        value, _ = loss.ask("value_and_grad", dtype)
        if not isinstance(value, float):
            yield f"with reduction={loss.loss.reduction!r} the value is a {type(value).__name__}"
            return
    terms, total, mean = none.reference, sums.reference, means.reference
    says = "with reduction='sum' {}, that of the terms"
    yield from sums.differences(total, _with_value(terms.outputs[0].sum(), terms), says)
    weight = means.ask("evaluate").weight
    says = "with reduction='mean' {}, that of the sum over the weight"
    want = _with_value(total.outputs[0] / weight, total, 1 / weight)
    yield from means.differences(mean, want, says)
    if (n := under_test.samples) and not under_test.weighted:
        twice = means.infer(inputs=under_test.rows([*range(n), *range(n)]))
        yield from means.differences(twice, mean, "with every sample given twice, {}, the mean")


def sample_weights(under_test: LossUnderTest) -> Findings:
    """Check that a weight of 2 equals the sample given twice, and 0 leaving it out."""
    n = under_test.samples
    if not n or under_test.weighted:
        return
    for reduction in ("sum", "mean"):
        loss = under_test.reduced(reduction)
        when = f"with reduction={reduction!r} and sample weights"
        weight, rows = np.ones(n), [*range(max(n - 1, 1)), 0]
        ones = loss.run(inputs=[*under_test.arrays(), weight.copy()])
        yield from under_test.differences(ones, loss.reference, f"{when} of 1, {{}}")
        weight[0], weight[1:][-1:] = 2, 0
        got = loss.run(inputs=[*under_test.arrays(), weight])
        want = loss.run(inputs=under_test.rows(rows))
        summed = np.array(rows) == np.arange(n)[:, None]  # the rows of each sample
        dx = (None if g is None else np.tensordot(summed, g, 1) for g in want.input_grads)
        want = want._replace(input_grads=tuple(dx))
        yield from loss.differences(got, want, f"{when}, {{}}")


def target_not_broadcast(under_test: LossUnderTest) -> Findings:
    """Check that a target of a shape that does not fit is refused."""
    pairs = zip(under_test.loss.arguments, under_test.inputs, strict=False)
    shapes = [x.shape for name, x in pairs if name in under_test.loss.predictions]
    for i, name in enumerate(under_test.loss.arguments):
        given = under_test.arrays()
        given[i] = given[i][..., None]
        if name in under_test.loss.predictions or given[i].shape in shapes:
            continue
        try:
            under_test.infer(inputs=given)
        except Fault:  # refused in whatever words
            continue
        text = f"a {name} of shape {given[i].shape} for a prediction of shape {shapes[0]} was"
        yield f"{text} accepted; raise an error for every shape that is not expected"
