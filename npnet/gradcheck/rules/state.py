"""State and randomness: rules about what a call keeps, saved values, copies, random numbers."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.gradcheck.attributes import attributes, by_value, unseal
from npnet.gradcheck.passes import Findings, attempt
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.layer import Layer
from npnet.random import default_generator


def no_state_on_self(under_test: LayerUnderTest) -> Findings:
    """Check that a call leaves the layer's attributes as they are."""
    layer = under_test.fresh()
    known = attributes(layer).keys()
    under_test.infer(layer)
    under_test.run(layer)
    new = attributes(layer).keys() - known
    for name in sorted(new):
        yield (
            f"a call makes the attribute {name} (outside of this check that raises "
            "NameTypoError); keep nothing on self, so that two calls do not mix; what backward "
            "needs goes into ctx"
        )
    grads = under_test.upstream(under_test.reference.outputs, 2)
    for mode in ("inference", "a recorded pass"):
        before = attributes(layer)
        if mode == "inference":
            under_test.infer(layer, under_test.others())
        else:
            under_test.run(layer, under_test.others(), grads)
        after = attributes(layer)
        for name in sorted((before.keys() | after.keys()) - new):
            if before.get(name) != after.get(name):
                yield (
                    f"{mode} changed the attribute {name}; keep what backward needs with "
                    "ctx.save(...), so that two calls do not mix"
                )
        if before != after:
            return


def state_dict(under_test: LayerUnderTest) -> Findings:
    """Check that a layer that loads another's state dictionary computes the same."""
    layer = under_test.fresh()
    want = under_test.infer(layer).copy()
    state = attempt("state_dict", layer.state_dict)
    for value in state.values():
        if any(np.shares_memory(value, p.data) for p in layer.parameters()):
            yield "state_dict returned a parameter's own array instead of a copy"
            return
    if under_test.make is None:
        other = under_test.fresh()
        _change_state(other)
    else:
        other = under_test.make()
        unseal(other)
        other.astype(np.float64)
    copies = {name: value.copy() for name, value in state.items()}
    attempt("load_state_dict", other.load_state_dict, copies)
    says = (
        "of another layer with the same state dictionary {}; something that it computes with is "
        "neither a Parameter nor a Buffer"
    )
    yield from under_test.differences(under_test.infer(other), want, says)


def deep_copy(under_test: LayerUnderTest) -> Findings:
    """Check that a deep copy is an independent layer that computes the same."""
    layer = under_test.fresh()
    want = under_test.infer(layer).copy()
    first, second = copy.deepcopy(layer), copy.deepcopy(layer)  # worked when this copy was made
    for text, changed, looked_at in (
        ("of a copy", None, first),
        ("after the copy's parameters were changed, of the original", first, layer),
        ("after the original's parameters were changed, of the copy", layer, second),
    ):
        if changed is not None:
            _change_state(changed)
        yield from under_test.differences(under_test.infer(looked_at), want, f"{text} {{}}")


def _change_state(layer: Layer) -> None:
    """Add one to parameters and floating buffers, in place."""
    values = [p.data for p in layer.parameters()]
    for _, part in layer.named_layers():
        values += [b for b in part._buffers.values() if b.dtype.kind == "f"]
    for value in values:
        value += 1


def randomness(under_test: LayerUnderTest) -> Findings:
    """Check that random numbers come from ctx.rng, and inference draws none."""
    layer = under_test.fresh()
    for name in generators_used(lambda: under_test.run(layer)):
        yield f"a recorded pass with a generator given draws from {name}; use ctx.rng"
    for name in generators_used(lambda: under_test.infer(layer)):
        yield f"inference draws from {name}; it must be repeatable"
    if under_test.draws(under_test.training):
        generator = under_test.generator()
        recording = under_test.record(layer, rng=generator)
        before = generator.bit_generator.state
        recording.backward(under_test.upstream(recording.outputs))
        if generator.bit_generator.state != before:
            yield "backward draws random numbers; draw them in forward and save what they gave"


def generators_used(call: Callable[[], object]) -> list[str]:
    """Name the generators outside of a context that `call` draws from or seeds."""
    default: Any = default_generator().bit_generator
    kept = np.random.get_state(), random.getstate(), default.state  # noqa: NPY002
    np.random.seed(987)  # noqa: NPY002
    random.seed(987)
    default.state = type(default)(987).state

    def states() -> dict[str, Any]:
        return {
            "NumPy's global generator": by_value(np.random.get_state()),  # noqa: NPY002
            "Python's random module": random.getstate(),
            "npnet's default generator": default.state,
        }

    before = states()
    try:
        call()
        after = states()
    finally:
        np.random.set_state(kept[0])  # noqa: NPY002
        random.setstate(kept[1])
        default.state = kept[2]
    return [name for name in before if after[name] != before[name]]
