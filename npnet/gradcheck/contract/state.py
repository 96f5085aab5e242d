"""State and randomness: rules about saved values, copies and where random numbers come from."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npnet.gradcheck.contract.calls import name_of
from npnet.gradcheck.contract.compare import mismatch
from npnet.gradcheck.contract.specimen import Specimen
from npnet.gradcheck.raised import describe
from npnet.layer import Layer
from npnet.random import default_generator
from npnet.typing import Array


def state_dict(specimen: Specimen) -> Iterator[str]:
    """Check that a layer that loads another's state dictionary computes the same."""
    layer = specimen.fresh()
    want = [y.copy() for y in specimen.infer(layer)]
    try:
        state = layer.state_dict()
    except Exception as error:
        yield f"state_dict raised {describe(error)}"
        return
    for value in state.values():
        if any(np.shares_memory(value, p.data) for p in layer.parameters()):
            yield "state_dict returned a parameter's own array instead of a copy"
            return
    if specimen.make is None:
        other = specimen.fresh()
        for value in _own_state(other):
            value += 1
    else:
        other = specimen.another().astype(np.float64)
    try:
        other.load_state_dict({name: value.copy() for name, value in state.items()})
    except Exception as error:
        yield f"load_state_dict raised {describe(error)}"
        return
    for i, (a, b) in enumerate(zip(specimen.infer(other), want, strict=True)):
        found = mismatch(a, b)
        if found:
            yield (
                f"another layer with the same state dictionary gives another "
                f"{name_of('output', i, want)}, which {found}; something that it computes with "
                "is neither a Parameter nor a Buffer"
            )
            return


def deep_copy(specimen: Specimen) -> Iterator[str]:
    """Check that a deep copy is an independent layer that computes the same."""
    layer = specimen.fresh()
    want = [y.copy() for y in specimen.infer(layer)]
    try:
        twin = copy.deepcopy(layer)
    except Exception as error:
        yield f"copy.deepcopy raised {describe(error)}"
        return
    for found in _outputs_differ(specimen, twin, want):
        yield f"of the copy the {found}"
        return
    for value in _own_state(twin):
        value += 1
    for found in _outputs_differ(specimen, layer, want):
        yield f"after the copy's parameters were changed, the original's {found}"
        return
    twin = copy.deepcopy(layer)
    for value in _own_state(layer):
        value += 1
    for found in _outputs_differ(specimen, twin, want):
        yield f"after the original's parameters were changed, the copy's {found}"
        return


def randomness(specimen: Specimen) -> Iterator[str]:
    """Check that random numbers come from ctx.rng, and inference draws none."""
    layer = specimen.fresh()
    for name in generators_used(lambda: specimen.run(layer)):
        yield f"a recorded pass with a generator given draws from {name}; use ctx.rng"
    for name in generators_used(lambda: specimen.infer(layer)):
        yield f"inference draws from {name}; it must be repeatable"
    if specimen.draws_random_numbers:
        generator = specimen.generator()
        recording = specimen.record(layer, rng=generator)
        before = generator.bit_generator.state
        recording.backward(specimen.upstream(recording.outputs))
        if generator.bit_generator.state != before:
            yield "backward draws random numbers; draw them in forward and save what they gave"


def _outputs_differ(specimen: Specimen, layer: Layer, want: list[Array]) -> Iterator[str]:
    subject_outputs = specimen.infer(layer)
    for i, (a, b) in enumerate(zip(subject_outputs, want, strict=True)):
        found = mismatch(a, b)
        if found:
            yield f"{name_of('output', i, want)} {found}"


def _own_state(layer: Layer) -> Iterator[Array]:
    """Yield the arrays of parameters and floating buffers."""
    for p in layer.parameters():
        yield p.data
    for _, part in layer.named_layers():
        for value in part._buffers.values():
            if value.dtype.kind == "f":
                yield value


def generators_used(call: Callable[[], object]) -> list[str]:
    """Name the generators outside of a context that `call` draws from or seeds.

    They start from numbers of their own, so that seeding them shows, and are put back.
    """
    default: Any = default_generator().bit_generator
    kept = np.random.get_state(), random.getstate(), default.state  # noqa: NPY002
    np.random.seed(987)  # noqa: NPY002
    random.seed(987)
    default.state = type(default)(987).state
    try:
        before = _random_states()
        call()
        after = _random_states()
    finally:
        np.random.set_state(kept[0])  # noqa: NPY002
        random.setstate(kept[1])
        default.state = kept[2]
    return [name for name in before if after[name] != before[name]]


def _random_states() -> dict[str, str]:
    return {
        "NumPy's global generator": str(np.random.get_state(legacy=False)["state"]),  # noqa: NPY002
        "Python's random module": str(random.getstate()),
        "npnet's default generator": str(default_generator().bit_generator.state),
    }
