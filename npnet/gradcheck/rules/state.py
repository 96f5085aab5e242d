"""State and randomness: rules about what a call keeps, saved values, copies, random numbers."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from npnet.gradcheck.passes import Findings, attempt, parts, unseal
from npnet.gradcheck.under_test import UnderTest
from npnet.layer import Layer
from npnet.parameter import Parameter
from npnet.random import default_generator


def no_state_on_self(under_test: UnderTest) -> Findings:
    """Check that a call leaves the layer's attributes as they are."""
    layer = under_test.fresh()
    known = _attributes(layer).keys()
    under_test.infer(layer)
    under_test.run(layer)
    before = _attributes(layer)
    for name in sorted(before.keys() - known):
        yield f"a call makes the attribute {name}; keep what backward needs in ctx"
    for mode in ("inference", "a recorded pass"):
        if mode == "inference":
            under_test.infer(layer, under_test.others())
        else:
            grads = under_test.upstream(under_test.reference.outputs, 2)
            under_test.run(layer, under_test.others(), grads)
        after = _attributes(layer)
        names = sorted(known | (after.keys() - before.keys()))
        changed = [name for name in names if before.get(name) != after.get(name)]
        for name in changed:
            yield f"{mode} changed the attribute {name}; keep what backward needs in ctx"
        if changed:
            return


def _attributes(checked: Layer) -> dict[str, Any]:
    """Describe by value every attribute of a loss, or of a layer, its children and classes."""
    found = {}
    for prefix, part in parts(checked):
        own = dict(part.unregistered() if isinstance(part, Layer) else vars(part))
        for name in own.keys() - getattr(part, "_buffers", {}):
            found[f"{prefix}.{name}" if prefix else name] = _by_value(own[name])
        for name, value in vars(type(part)).items():
            if isinstance(value, np.ndarray | list | dict | set | int | float):
                found[f"{type(part).__name__}.{name}"] = _by_value(value)
    return found


def _by_value(value: Any, depth: int = 0) -> Any:
    """Return something that compares equal as long as `value` stays the same."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, np.random.Generator):
        return ("generator", str(value.bit_generator.state))
    if isinstance(value, Layer | Parameter | type) or callable(value) or depth > 4:
        return id(value)
    if isinstance(value, dict):
        return [(str(k), _by_value(v, depth + 1)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [_by_value(v, depth + 1) for v in value]
    if hasattr(value, "__dict__"):
        return (id(value), _by_value(vars(value), depth + 1))
    return repr(value)


def state_dict(under_test: UnderTest) -> Findings:
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
    says = "of another layer with the same state dictionary {}; is all a Parameter or a Buffer?"
    yield from under_test.differences(under_test.infer(other), want, says)


def deep_copy(under_test: UnderTest) -> Findings:
    """Check that a deep copy is an independent layer that computes the same."""
    if under_test.is_loss:
        says, original = "of a copy {}, which the original gives", under_test.run(under_test.layer)
        yield from under_test.differences(under_test.run(), original, says)
    layer = under_test.fresh()
    want = under_test.infer(layer).copy()
    first, second = copy.deepcopy(layer), copy.deepcopy(layer)  # worked when this copy was made
    yield from under_test.differences(under_test.infer(first), want, "of a copy {}")
    for whose, changed, other in (("copy", first, layer), ("original", layer, second)):
        _change_state(changed)
        says = f"after the parameters of the {whose} were changed, {{}}, of the other layer"
        yield from under_test.differences(under_test.infer(other), want, says)


def _change_state(layer: Layer) -> None:
    """Add one to parameters and floating buffers, in place."""
    for p in layer.parameters():
        p.data += 1
    for _, part in layer.named_layers():
        for value in part._buffers.values():
            if value.dtype.kind == "f":
                value += 1


def randomness(under_test: UnderTest) -> Findings:
    """Check that random numbers come from ctx.rng, and inference draws none."""
    layer = under_test.fresh()
    for name in _generators_used(lambda: under_test.run(layer)):
        yield f"a recorded pass with a generator given draws from {name}; use ctx.rng"
    for name in _generators_used(lambda: under_test.infer(layer)):
        yield f"inference draws from {name}; it must be repeatable"
    if under_test.draws(under_test.training):
        generator = under_test.generator()
        recording = under_test.record(layer, rng=generator)
        before = generator.bit_generator.state
        under_test.finish(recording)
        if generator.bit_generator.state != before:
            yield "backward draws random numbers; draw them in forward and save what they gave"


def _generators_used(call: Callable[[], object]) -> list[str]:
    """Name the generators outside of a context that `call` draws from or seeds."""
    default: Any = default_generator().bit_generator
    generators: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
        "NumPy's global generator": (np.random.get_state, np.random.set_state),
        "Python's random module": (random.getstate, random.setstate),
        "npnet's default generator": (lambda: default.state, partial(setattr, default, "state")),
    }
    kept = {name: get() for name, (get, _) in generators.items()}
    for draw in (np.random.random, random.random, default_generator().random):
        draw()  # so that who seeds one as its owner did shows, too
    before = {name: _by_value(get()) for name, (get, _) in generators.items()}
    try:
        call()
        return [name for name, (get, _) in generators.items() if _by_value(get()) != before[name]]
    finally:
        for name, (_, put) in generators.items():
            put(kept[name])
