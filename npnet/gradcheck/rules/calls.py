"""What must hold before anything else can be checked: a call and a backward pass work."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npnet.errors import ShapeError
from npnet.gradcheck.passes import Fault, name_of
from npnet.gradcheck.rules.rule import Finding
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.typing import Array


def calls_work(under_test: LayerUnderTest) -> Iterator[str | Finding]:
    """Check that a call and a backward pass work and give finite real arrays."""
    layer = under_test.fresh()
    outputs = under_test.infer(layer).outputs
    again = under_test.infer(layer).outputs
    if [y.shape for y in again] != [y.shape for y in outputs]:
        shapes = [", ".join(str(y.shape) for y in ys) for ys in (outputs, again)]
        yield (
            f"forward returned shape {shapes[0]} in a first call and {shapes[1]} in a second "
            "with the same input"
        )
        return
    try:
        one = under_test.run(layer)
    except Fault as fault:
        yield from _not_summed(under_test, fault.__cause__)
        raise
    for mode, ys in (("inference", outputs), ("a recorded pass", one.outputs)):
        for i, y in enumerate(ys):
            if not np.isfinite(y).all():
                yield (
                    f"{mode} returned {_first_odd(y)} in {name_of('output', i, ys)} for finite "
                    "inputs; if the layer takes only some numbers, pass domain=(low, high)"
                )
                return
    for name, array in one.named().items():
        if not np.isfinite(array).all():
            yield f"the {name} is {_first_odd(array)} for finite inputs"


def _not_summed(under_test: LayerUnderTest, error: BaseException | None) -> Iterator[Finding]:
    """Recognise a parameter gradient that still has the batch axis."""
    if not isinstance(error, ShapeError):
        return
    for name, p in under_test.layer.named_parameters():
        for batch in {x.shape[:1] for x in under_test.inputs}:
            if f"{p.shape}, got {batch + p.shape}" in str(error):
                message = (
                    f"the gradient of {name} is not summed over the batch: it has shape "
                    f"{batch + p.shape} instead of {p.shape}; use .sum(axis=0)"
                )
                yield Finding(message, name, "not summed")
                return


def _first_odd(array: Array) -> str:
    index = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
    return f"{array[tuple(index)]}" + (f" at {index}" if index else "")
