"""Shapes, dtypes and memory layouts: rules about the arrays that go in and come out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npnet.gradcheck.layouts import LAYOUTS
from npnet.gradcheck.passes import Fault, Pass, name_of
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.typing import Array

_TINY = 2.0**-26


def shapes_and_dtypes(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that results have the inputs' dtype, and gradients their tensors' shapes."""
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        layer = under_test.fresh(dtype)
        inputs = under_test.arrays(dtype)
        inferred = under_test.infer(layer, inputs).outputs
        recording = under_test.record(layer, inputs)
        for mode, outputs in (("inference", inferred), ("a recorded pass", recording.outputs)):
            for i, y in enumerate(outputs):
                if y.dtype.kind == "f" and y.dtype != dtype:
                    what = name_of("output", i, outputs)
                    yield f"{mode} in {dtype} returned {y.dtype} as {what}"
        dx = recording.backward(under_test.upstream(recording.outputs))
        for i, (grad, x) in enumerate(zip(dx, inputs, strict=True)):
            if grad is None:
                continue
            what = name_of("input", i, inputs)
            if grad.shape != x.shape:
                yield (
                    f"backward returned a gradient of shape {grad.shape} for the {what} "
                    f"of shape {x.shape}"
                )
                return
            if grad.dtype != dtype:
                yield f"backward in {dtype} returned {grad.dtype} as the gradient of the {what}"


def precision(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a float64 layer computes in float64 all the way.

    Numbers that were rounded to float32 somewhere survive another rounding unchanged. Generic
    float64 numbers never do.
    """
    try:
        passes = [_pass_nearby(under_test, step).named() for step in (1e-4, 1e-3, 2e-3)]
    except Fault:  # the inputs lie at the border of what the layer takes
        return
    for name in passes[0]:
        one, two, three = (results[name] for results in passes)
        if rounded(one, two, three):
            yield f"the {name} was rounded to float32, though everything that came in is float64"


def _pass_nearby(under_test: LayerUnderTest, step: float) -> Pass:
    """Run a pass close by, since float32 values may be what the layer was given."""
    rng = np.random.default_rng((under_test.seed, 13))
    layer, inputs = under_test.fresh(), under_test.arrays()
    grads = under_test.upstream(under_test.reference.outputs)
    for array in (*inputs, *grads, *(p.data for p in layer.parameters())):
        if array.dtype.kind == "f":
            array *= 1 + step * rng.uniform(1, 2, array.shape)
    return under_test.run(layer, inputs, grads)


def rounded(one: Array, two: Array, three: Array) -> bool:
    """Tell whether a result is always a float32 number, seen at three points on a line.

    The values of a step function may be round numbers; but few of them change twice. Tiny values
    may be differences of numbers around 1, such as 1 - cos(x), and have few digits for that.
    """
    if one.dtype != np.float64:
        return False
    changes = (one != two) * 1 + (two != three)
    twice = (changes == 2) & (np.abs(one) > _TINY)
    values = np.stack([a[twice] for a in (one, two, three)])
    with np.errstate(over="ignore"):
        always = (values.astype(np.float32) == values).all()
    return bool(always and (changes == 2).sum() > (changes == 1).sum() and twice.any())


def memory_layout(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that strides, Fortran order and read-only flags make no difference."""
    want = under_test.reference
    for name, arrange in LAYOUTS.items():
        for what in ("inputs", "upstream gradient"):
            inputs, grads = under_test.arrays(), under_test.upstream(want.outputs)
            if what == "inputs":
                inputs = [arrange(x) for x in inputs]
            else:
                grads = [arrange(g) for g in grads]
            try:
                got = under_test.run(None, inputs, grads)
            except Fault as fault:
                yield f"with {name} {what} {fault}"
                continue
            for found in under_test.differences(got, want):
                yield f"with {name} {what} {found}"
                break
