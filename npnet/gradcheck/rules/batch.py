"""The batch axis: rules about batches of none, one and more samples."""

from __future__ import annotations

import numpy as np

from npnet.gradcheck.passes import Finding, Findings, Pass, saying
from npnet.gradcheck.under_test import UnderTest
from npnet.typing import Array

_PARTS = 8  # into how many a batch is cut at most


def batch_of_one(under_test: UnderTest) -> Findings:
    """Check that a batch of one sample gives outputs and gradients for one sample."""
    if not under_test.has_batches:
        text = "rules about batches do not apply: inputs and outputs have no common batch axis"
        yield Finding(text, kind="note")
    yield from _batch_of(under_test, 1, "a batch of one")


def empty_batch(under_test: UnderTest) -> Findings:
    """Check that a batch without samples gives empty outputs and zero gradients."""
    yield from _batch_of(under_test, 0, "an empty batch")


def _batch_of(under_test: UnderTest, n: int, size: str) -> Findings:
    if not under_test.has_batches or not under_test.batch_independence:
        return
    axis, steady = under_test.batch_axis or 0, under_test.steady
    inputs = [_part(x, axis, 0, n) for x in under_test.arrays()]
    for mode, run in (("inference", under_test.infer), ("training", under_test.run)):
        with saying(f"with {size} in {mode}"):
            got = run(inputs=inputs)
        for name, array in got.named().items():
            if name.removeprefix("gradient of ") not in steady.parameter_grads:
                y = steady.named()[name]
                shape = (*y.shape[:axis], n, *y.shape[axis + 1 :])
                if array.shape != shape:
                    yield f"with {size} in {mode} the {name} has shape {array.shape}, not {shape}"
            elif not np.isfinite(array).all():
                yield f"with {size} the {name} is not finite"
            elif n == 0 and array.any():
                yield f"with {size} the {name} is not zero"


def batch_independence(under_test: UnderTest) -> Findings:
    """Check that a sample's output and gradients do not depend on the other samples."""
    if not under_test.has_batches or not under_test.batch_independence:
        return
    axis = under_test.batch_axis or 0
    training = under_test.training and not under_test.draws(True)
    if under_test.draws(training):  # in evaluation mode, too: samples cannot be compared
        return
    whole = under_test.run(training=training)
    grads, total = under_test.upstream(whole.outputs), whole.times(0.0)
    n = whole.outputs[0].shape[axis]
    for rows in np.array_split(np.arange(n), min(n, _PARTS)):
        i, length = int(rows[0]), len(rows)

        def cut(x: Array, i: int = i, length: int = length) -> Array:
            return _part(x, axis, i, length)

        inputs, upstream = map(cut, under_test.arrays()), map(cut, grads)
        got = under_test.run(inputs=[*inputs], upstream=[*upstream], training=training)
        total = got.plus(total)
        dx = (None if g is None else cut(g) for g in whole.input_grads)
        want = Pass(tuple(map(cut, whole.outputs)), tuple(dx))
        which = f"sample {i}" if length == 1 else f"samples {i} to {i + length - 1}"
        says = f"for {which} alone {{}}, which is what it is among the others; if samples are "
        says += "meant to be coupled, pass batch_independence=False"
        yield from under_test.differences(got._replace(parameter_grads={}), want, says)
    says = "{}, the sum over the samples, each alone"
    yield from under_test.differences(Pass((), (), whole.parameter_grads), total, says)


def batches_of_other_sizes(under_test: UnderTest) -> Findings:
    """Check that after a batch of one size, or during it, a batch of another works the same."""
    if not under_test.has_batches:
        return
    layer, axis = under_test.fresh(), under_test.batch_axis or 0
    double = [np.concatenate([x, x], axis) for x in under_test.arrays()]
    wanted = [under_test.infer(), *[under_test.reference] * 2]
    with saying("with a batch of another size than before,"):
        wanted.append(under_test.run(inputs=double))
        under_test.run(layer, double)
        under_test.infer(layer, double)
        under_test.restore_buffers(layer)
        found = [under_test.infer(layer), under_test.run(layer)]
        for one in [under_test.record(layer), under_test.record(layer, double)]:
            grads = one.backward(under_test.upstream(one.outputs))
            found.append(Pass(one.outputs, grads))
    for when, got, want in zip(("after",) * 2 + ("beside",) * 2, found, wanted, strict=True):
        says = f"in a pass {when} one of another batch size {{}}, which a new layer gives"
        yield from under_test.differences(got, want, says)


def _part(x: Array, axis: int, start: int, length: int) -> Array:
    """Copy some samples."""
    return np.take(x, range(start, start + length), axis)
