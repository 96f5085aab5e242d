"""Rules about the arrays that go in and come out: shapes, dtypes, memory layouts, batches."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from npnet.errors import ShapeError
from npnet.gradcheck.comparison import not_finite
from npnet.gradcheck.inputs import LAYOUTS
from npnet.gradcheck.passes import (
    Fault,
    Finding,
    Findings,
    Pass,
    name_of,
    saying,
    tensor_of,
)
from npnet.gradcheck.under_test import UnderTest
from npnet.typing import Array

_TINY = 2.0**-26


def calls_work(under_test: UnderTest) -> Findings:
    """Check that a call and a backward pass work and give finite real arrays."""
    layer = under_test.fresh()
    outputs, again = (under_test.infer(layer).outputs for _ in range(2))
    one, two = (", ".join(str(y.shape) for y in ys) for ys in (outputs, again))
    if one != two:
        yield f"forward returned shape {two} in another call, {one} in the first"
        return
    try:
        recorded = under_test.run(layer)
    except Fault as fault:
        yield from _not_summed(under_test, fault.__cause__)
        raise
    for ys in (outputs, recorded.outputs):
        for i, y in enumerate(ys):
            if odd := not_finite(y):
                advice = "if the layer takes only some numbers, pass domain=(low, high)"
                what = name_of("output", i, ys)
                yield f"forward returned {odd} of the {what} for finite inputs; {advice}"
                return


def _not_summed(under_test: UnderTest, error: BaseException | None) -> Findings:
    """Recognise a parameter gradient that still has the batch axis."""
    for name, p in under_test.layer.named_parameters():
        for full in {x.shape[:1] + p.shape for x in under_test.inputs}:
            if isinstance(error, ShapeError) and f"{p.shape}, got {full}" in str(error):
                text = f"the gradient of {name} is not summed over the batch: it has shape {full}"
                yield Finding(f"{text} instead of {p.shape}; use .sum(axis=0)", name, "not summed")
                return


def shapes_and_dtypes(under_test: UnderTest) -> Findings:
    """Check that results have the inputs' dtype, and gradients their tensors' shapes."""
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        layer, inputs = under_test.fresh(dtype), under_test.arrays(dtype)
        inferred = under_test.infer(layer, inputs).outputs
        recording = under_test.record(layer, inputs)
        for mode, outputs in (("inference", inferred), ("a recorded pass", recording.outputs)):
            for i, y in enumerate(outputs):
                if y.dtype.kind == "f" and y.dtype != dtype:
                    what = name_of("output", i, outputs)
                    yield f"{mode} in {dtype} returned {y.dtype} as {what}"
        dx = under_test.finish(recording).input_grads
        for i, (grad, x) in enumerate(zip(dx, inputs, strict=True)):
            what = name_of("input", i, inputs)
            if grad is not None and grad.shape != x.shape:
                shapes = f"of shape {grad.shape} for the {what} of shape {x.shape}"
                yield f"backward returned a gradient {shapes}"
            elif grad is not None and grad.dtype != dtype:
                yield f"backward in {dtype} returned {grad.dtype} as the gradient of the {what}"


def precision(under_test: UnderTest) -> Findings:
    """Check that what comes in as float64 is computed in float64 all the way."""

    def moved(step: float) -> dict[str, Array]:
        """Run a pass a little elsewhere, since float32 numbers may be what was given."""
        rng = np.random.default_rng(13)
        return under_test.shifted(lambda a: a * step * rng.uniform(1, 2, a.shape)).named()

    try:
        results = [moved(step) for step in (1e-4, 1e-3, 2e-3)]
    except Fault:  # the inputs lie at the border of what the layer takes
        return
    for name in results[0]:
        if _rounded(*(values[name] for values in results)):
            text = f"the {name} was rounded to float32, though everything that came in is float64"
            yield Finding(text, tensor_of(name))


def _rounded(one: Array, two: Array, three: Array) -> bool:
    """Tell whether a result is always a float32 number, seen at three points on a line."""
    # A step function may give round numbers, but few of them change twice. Tiny values may be
    # differences of numbers around 1, such as 1 - cos(x), and have few digits for that.
    changes = (one != two) * 1 + (two != three)
    twice = (changes == 2) & (np.abs(one) > _TINY)
    values = np.stack([a[twice] for a in (one, two, three)])
    always = one.dtype == np.float64 and (values.astype(np.float32) == values).all()
    return bool(always and (changes == 2).sum() > (changes == 1).sum() and twice.any())


def memory_layout(under_test: UnderTest) -> Findings:
    """Check that strides, Fortran order and read-only flags make no difference."""
    grads = under_test.upstream(under_test.reference.outputs)
    for layout, arrange in LAYOUTS.items():
        for name, arrays in (("inputs", under_test.arrays()), ("upstream", grads)):
            when = f"with {layout} {name if name == 'inputs' else 'upstream gradients'}"
            with saying(when):
                options: dict[str, Any] = {name: [arrange(x) for x in arrays]}
                got = under_test.run(**options)
            yield from under_test.differences(got, under_test.reference, f"{when} {{}}")


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
    if n > under_test.inputs[0].shape[axis]:
        return
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
    if under_test.inputs[0].shape[axis] == 0:
        return
    whole = under_test.run(training=training)
    grads, total = under_test.upstream(whole.outputs), whole.times(0.0)
    n = whole.outputs[0].shape[axis]
    for rows in np.array_split(np.arange(n), min(n, _PARTS)):
        i, length = int(rows[0]), len(rows)
        cut = partial(_part, axis=axis, start=i, length=length)
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
        both = [under_test.record(layer), under_test.record(layer, double)]
        found += [under_test.finish(one)._replace(parameter_grads={}) for one in both]
    for when, got, want in zip(("after",) * 2 + ("beside",) * 2, found, wanted, strict=True):
        says = f"in a pass {when} one of another batch size {{}}, which a new layer gives"
        yield from under_test.differences(got, want, says)


def _part(x: Array, axis: int, start: int, length: int) -> Array:
    return np.take(x, range(start, start + length), axis)
