"""The batch axis: rules about batches of none, one and more samples.

They apply where every input has the batch axis, and a batch twice as long gives outputs twice as
long; a layer of any other kind has no batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.passes import Fault, Pass, name_of
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.typing import Array

_ROWS = 8  # how many samples are run alone


def has_batches(under_test: LayerUnderTest) -> bool:
    """Tell whether the layer takes any number of samples along the batch axis."""
    if "batches" not in under_test.cache:
        under_test.cache["batches"] = _has_batches(under_test)
    return bool(under_test.cache["batches"])


def _has_batches(under_test: LayerUnderTest) -> bool:
    axis = under_test.batch_axis
    if axis is None or not under_test.inputs:
        return False
    for x in under_test.inputs:  # one axis of real numbers may as well be the features
        if x.ndim <= max(axis, 1 if x.dtype.kind == "f" else 0):
            return False
    lengths = {x.shape[axis] for x in under_test.inputs}
    if len(lengths) != 1 or 0 in lengths:
        return False
    (n,) = lengths
    double = [
        np.concatenate(pair, axis)
        for pair in zip(under_test.arrays(), under_test.others(), strict=True)
    ]
    outputs = under_test.outputs_of(double)
    if outputs is None:
        return False
    single = under_test.steady.outputs
    return all(
        y.ndim > axis and y.shape[axis] == n and twice.shape == _with_length(y, axis, 2 * n)
        for y, twice in zip(single, outputs, strict=True)
    )


def batch_of_one(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a batch of one sample gives outputs and gradients for one sample."""
    yield from _batch_of(under_test, 1)


def empty_batch(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a batch without samples gives empty outputs and zero gradients."""
    yield from _batch_of(under_test, 0)


def _batch_of(under_test: LayerUnderTest, n: int) -> Iterator[str]:
    if not has_batches(under_test) or not under_test.batch_independence:
        return
    axis = under_test.batch_axis or 0
    size = "an empty batch" if n == 0 else "a batch of one"
    inputs = [_rows(x, axis, slice(n)) for x in under_test.arrays()]
    for mode in ("inference", "training"):
        try:
            if mode == "inference":
                outputs = tuple(under_test.infer(under_test.fresh(), inputs))
                one = Pass(outputs, (), {})
            else:
                one = under_test.run(None, inputs)
        except Fault as fault:
            yield f"with {size} in {mode} {fault}"
            return
        for i, (y, full) in enumerate(zip(one.outputs, under_test.steady.outputs, strict=True)):
            if y.shape != _with_length(full, axis, n):
                yield (
                    f"with {size} in {mode} the {name_of('output', i, one.outputs)} has shape "
                    f"{y.shape} instead of {_with_length(full, axis, n)}"
                )
                return
    for i, (grad, x) in enumerate(zip(one.input_grads, inputs, strict=True)):
        if grad is not None and grad.shape != x.shape:
            yield (
                f"with {size} the gradient of the {name_of('input', i, inputs)} has shape "
                f"{grad.shape} instead of {x.shape}"
            )
    for name, grad in one.parameter_grads.items():
        if not np.isfinite(grad).all():
            yield f"with {size} the gradient of {name} is not finite"
        elif n == 0 and grad.any():
            yield f"with {size} the gradient of {name} is not zero"


def batch_independence(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a sample's output and gradients do not depend on the other samples."""
    if not has_batches(under_test) or not under_test.batch_independence:
        return
    axis = under_test.batch_axis or 0
    training = under_test.training and not under_test.draws_random_numbers
    whole = under_test.run(training=training)
    n = whole.outputs[0].shape[axis]
    grads = under_test.upstream(whole.outputs)
    total = {name: np.zeros_like(g) for name, g in whole.parameter_grads.items()}
    for i in range(min(n, _ROWS)):
        part = (slice(None),) * axis + (slice(i, i + 1),)
        inputs = [x[part].copy() for x in under_test.arrays()]
        upstream = [g[part].copy() for g in grads]
        try:
            got = under_test.run(None, inputs, upstream, training=training)
        except Fault:
            return  # a rule of its own
        for name, grad in got.parameter_grads.items():
            total[name] += grad
        want = Pass(
            tuple(y[part] for y in whole.outputs),
            tuple(None if g is None else g[part] for g in whole.input_grads),
            {},
        )
        for found in under_test.differences(got._replace(parameter_grads={}), want, part):
            if "shape" in found:
                return  # a rule of its own
            yield (
                f"for sample {i} alone {found}, which is what it is among the others; if samples "
                "are meant to be coupled, pass batch_independence=False"
            )
            return
    if n > _ROWS:
        return
    summed = whole._replace(parameter_grads=total)
    for found in under_test.differences(whole, summed):
        yield f"{found}, the sum over the samples, each alone"
        return


def batches_of_other_sizes(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that after a batch of one size, or during it, a batch of another works the same."""
    if not has_batches(under_test):
        return
    axis = under_test.batch_axis or 0
    layer = under_test.fresh()
    double = [np.concatenate([x, x], axis) for x in under_test.arrays()]
    try:
        longer = under_test.run(None, double)
        under_test.run(layer, double)
        under_test.infer(layer, double)
        under_test.restore_buffers(layer)
        got = under_test.infer(layer)
        after = under_test.run(layer)
        pending = [under_test.record(layer), under_test.record(layer, double)]
        grads = [one.backward(under_test.upstream(one.outputs)) for one in pending]
    except Fault as fault:
        yield f"with a batch of another size than before, {fault}"
        return
    want = under_test.infer(under_test.fresh())
    for i, (a, b) in enumerate(zip(got, want, strict=True)):
        found = mismatch(a, b)
        if found:
            yield (
                f"after a batch twice as long the {name_of('output', i, got)} {found}, "
                "which a new layer gives"
            )
    short = Pass(pending[0].outputs, grads[0], {})
    for when, one, other in (
        ("after", after, under_test.reference),
        ("beside", short, under_test.reference),
        ("beside", Pass(pending[1].outputs, grads[1], {}), longer),
    ):
        for found in under_test.differences(one, other):
            yield f"in a pass {when} one of another batch size {found}, which a new layer gives"
            return


def _rows(x: Array, axis: int, rows: slice) -> Array:
    part: tuple[Any, ...] = (slice(None),) * axis + (rows,)
    return np.array(x[part])


def _with_length(y: Array, axis: int, n: int) -> tuple[int, ...]:
    return (*y.shape[:axis], n, *y.shape[axis + 1 :])
