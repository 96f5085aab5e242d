"""Shapes, dtypes and memory layouts: rules about the arrays that go in and come out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npnet.context import Context
from npnet.gradcheck.contract.calls import Fault, Pass, Recording, call_forward, name_of
from npnet.gradcheck.contract.specimen import Specimen
from npnet.gradcheck.layouts import LAYOUTS
from npnet.typing import Array

_TINY = 2.0**-26


def shapes_and_dtypes(specimen: Specimen) -> Iterator[str]:
    """Check that results have the inputs' dtype, and gradients their tensors' shapes."""
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        layer = specimen.fresh(dtype)
        inputs = specimen.arrays(dtype)
        results = [("inference", specimen.infer(layer, inputs))]
        recording = specimen.record(layer, inputs)
        results.append(("a recorded pass", recording.outputs))
        for mode, outputs in results:
            for i, y in enumerate(outputs):
                if y.dtype.kind == "f" and y.dtype != dtype:
                    yield (
                        f"{mode} in {dtype} returned {y.dtype} as {name_of('output', i, outputs)}"
                    )
        # The raw gradients, before a tape would convert them.
        ctx = Context(layer, True, True, specimen.generator())
        outputs = call_forward(layer, ctx, inputs)
        dx = Recording(layer, ctx, inputs, outputs).backward(specimen.upstream(outputs))
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


def precision(specimen: Specimen) -> Iterator[str]:
    """Check that a float64 layer computes in float64 all the way.

    Numbers that were rounded to float32 somewhere survive another rounding unchanged. Generic
    float64 numbers never do, and a gradient with respect to a generic upstream is generic.
    """
    try:
        one, two, three = (_pass_nearby(specimen, step) for step in (1e-4, 1e-3, 2e-3))
    except Fault:  # the inputs lie at the border of what the layer takes
        return
    for name, array in one.named().items():
        if not name.startswith("gradient"):
            continue
        if only_float32(array, array != 0) and only_float32(array, _significant(specimen, name)):
            yield f"the {name} was rounded to float32, though everything that came in is float64"
    for i, ys in enumerate(zip(one.outputs, two.outputs, three.outputs, strict=True)):
        what = name_of("output", i, one.outputs)
        if rounded(*ys) and rounded(*ys, _significant(specimen, what)):
            yield f"the {what} was rounded to float32 on the way"


def _pass_nearby(specimen: Specimen, step: float) -> Pass:
    """Run a pass close by, since float32 values may be what the layer was given."""
    rng = np.random.default_rng((specimen.seed, 13))
    layer, inputs = specimen.fresh(), specimen.arrays()
    for array in (*inputs, *(p.data for p in layer.parameters())):
        if array.dtype.kind == "f":
            array *= 1 + step * rng.uniform(1, 2, array.shape)
    return specimen.run(layer, inputs)


def _significant(specimen: Specimen, name: str) -> Array:
    """Mark the elements of a result that are more than rounding errors."""
    noise = specimen.noise[name] + specimen.floor(name)
    return np.asarray(np.abs(specimen.reference.named()[name]) > 1000 * noise)


def rounded(one: Array, two: Array, three: Array, where: Array | bool = True) -> bool:
    """Tell whether a result is always a float32 number, seen at three points on a line.

    The values of a step function may be round numbers; but they do not change twice. Tiny values
    may be differences of numbers around 1, such as 1 - cos(x), and have few digits for that.
    """
    moves = (one != two) & (two != three) & (np.abs(one) > _TINY) & where
    return only_float32(one, moves) and only_float32(two, moves) and only_float32(three, moves)


def only_float32(array: Array, where: Array) -> bool:
    """Tell whether some numbers are chosen and all of those are float32 numbers."""
    if array.dtype != np.float64:
        return False
    with np.errstate(over="ignore"):
        values = array[where & np.isfinite(array)]
        return bool(values.size and (values.astype(np.float32) == values).all())


def memory_layout(specimen: Specimen) -> Iterator[str]:
    """Check that strides, Fortran order and read-only flags make no difference."""
    want = specimen.reference
    for name, arrange in LAYOUTS.items():
        for what in ("inputs", "upstream gradient"):
            inputs, grads = specimen.arrays(), specimen.upstream(want.outputs)
            if what == "inputs":
                inputs = [arrange(x) for x in inputs]
            else:
                grads = [arrange(g) for g in grads]
            try:
                got = specimen.run(None, inputs, grads)
            except Fault as fault:
                yield f"with {name} {what} {fault}"
                continue
            for found in specimen.differences(got, want):
                yield f"with {name} {what} {found}"
                break
