"""Who owns an array: rules about arrays that are changed, kept or used again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from npnet.gradcheck.contract.calls import compare, name_of, parameter_grads
from npnet.gradcheck.contract.compare import mismatch
from npnet.gradcheck.contract.specimen import Specimen
from npnet.gradcheck.contract.watch import changes
from npnet.gradcheck.subject import new_attribute
from npnet.layer import Layer
from npnet.parameter import Parameter
from npnet.typing import Array


def inputs_unchanged(specimen: Specimen) -> Iterator[str]:
    """Check that forward and backward leave the inputs as they are."""
    for text in changes(specimen, ["input"]):
        yield f"{text}; an input belongs to the caller, copy it before writing into it"


def upstream_unchanged(specimen: Specimen) -> Iterator[str]:
    """Check that backward leaves the gradient that it is given as it is."""
    for text in changes(specimen, ["upstream gradient"]):
        yield f"{text}; others may still need it, write into a new array"


def outputs_unchanged(specimen: Specimen) -> Iterator[str]:
    """Check that backward leaves the output that forward returned as it is."""
    for text in changes(specimen, ["output"]):
        yield f"{text}; it was handed out, copy it before writing into it"


def parameters_unchanged(specimen: Specimen) -> Iterator[str]:
    """Check that only an optimizer changes parameters."""
    yield from changes(specimen, ["parameter"])


def buffers_unchanged(specimen: Specimen) -> Iterator[str]:
    """Check that buffers move in a recorded pass in training mode only."""
    for text in changes(specimen, ["buffer"]):
        yield f"{text}; update buffers only if ctx.recording and ctx.training"


def children_unchanged(specimen: Specimen) -> Iterator[str]:
    """Check that a container leaves what its children returned as it is, and so do the children."""
    for text in changes(specimen, ["child"]):
        yield f"{text}; a child may have kept it, add into an array of your own"


def no_state_on_self(specimen: Specimen) -> Iterator[str]:
    """Check that a call leaves the layer's attributes as they are."""
    layer = specimen.fresh()
    known = _attributes(layer).keys()
    specimen.infer(layer)
    specimen.run(layer)
    new = _attributes(layer).keys() - known
    yield from map(new_attribute, sorted(new))
    for recording in (False, True):
        specimen.run(layer)  # what is made once for a shape may be kept
        before = _attributes(layer)
        if recording:
            grads = specimen.upstream(specimen.reference.outputs, 2)
            specimen.run(layer, specimen.others(), grads)
        else:
            specimen.infer(layer, specimen.others())
        mode = "a recorded pass" if recording else "inference"
        after = _attributes(layer)
        for name in sorted((before.keys() | after.keys()) - new):
            if before.get(name) != after.get(name):
                yield (
                    f"{mode} changed the attribute {name}; keep what backward needs with "
                    "ctx.save(...), so that two calls do not mix"
                )
        if recording is False and before != after:
            return


def nothing_kept_alive(specimen: Specimen) -> Iterator[str]:
    """Check that after inference, and after a backward pass, no array of the call is alive."""
    for recording, mode in ((False, "inference"), (True, "a finished backward pass")):
        layer = specimen.fresh()
        alive = _run_and_forget(specimen, layer, recording)
        if any(ref() is not None for ref in alive.values()):
            gc.collect()
        kept = [name for name, ref in alive.items() if ref() is not None]
        for name in kept:
            yield f"after {mode} the {name} is still alive; something holds on to it"
        if not kept and _grows(partial(_run_and_forget, specimen, layer, recording)):
            yield f"after {mode} an array that it made is still alive, one more with every call"


def outputs_not_reused(specimen: Specimen) -> Iterator[str]:
    """Check that a later call does not write into what an earlier one returned."""
    layer = specimen.fresh()
    first = specimen.infer(layer)
    kept = [y.copy() for y in first]
    specimen.infer(layer, specimen.others())
    for i, (y, before) in enumerate(zip(first, kept, strict=True)):
        if mismatch(y, before, 0.0):
            yield (
                f"a second inference overwrote the {name_of('output', i, first)} of the first; "
                "make a new array in each call"
            )
    handed: list[tuple[str, Array, Array]] = []
    recordings = [specimen.record(layer, x) for x in (specimen.arrays(), specimen.others())]
    for one in recordings:
        handed += [("an output", y, y.copy()) for y in one.outputs]
    for one in recordings:
        dx = one.backward(specimen.upstream(one.outputs))
        handed += [("an input's gradient", g, g.copy()) for g in dx if g is not None]
    specimen.run(layer, specimen.others())
    for what, array, before in handed:
        if mismatch(array, before, 0.0):
            yield f"a later pass overwrote {what} of an earlier one; make a new array each time"
            return


def outputs_writable(specimen: Specimen) -> Iterator[str]:
    """Check that the caller may write into the output before backward runs."""
    layer = specimen.fresh()
    inputs = specimen.arrays()
    output, tape = layer.record(*inputs, rng=specimen.generator())
    outputs = output if isinstance(output, tuple) else (output,)
    upstream = specimen.upstream(outputs)
    scribbled = False
    for y in outputs:
        if y.flags.writeable and not any(np.shares_memory(y, x) for x in _held(layer, inputs)):
            y[...] = 5 if y.dtype.kind != "f" else 5.25
            scribbled = True
    if not scribbled:
        return
    dx = tape.backward(*upstream, input_grad=True)
    want = specimen.reference
    got = want._replace(
        input_grads=tuple(dx) if isinstance(dx, tuple) else (dx,),
        parameter_grads=parameter_grads(layer),
    )
    for found in compare(got, want):
        yield (
            f"after the caller wrote into the output, {found}; keep the output with "
            "ctx.save(...), or save a copy, so that it can be protected"
        )
        return


def gradients_not_shared(specimen: Specimen) -> Iterator[str]:
    """Check that a parameter's gradient is an array of its own."""
    layer = specimen.fresh()
    recording = specimen.record(layer)
    grads = specimen.upstream(recording.outputs)
    dx = recording.backward(grads)
    others = [("the upstream gradient", g) for g in grads]
    others += [("an input", x) for x in recording.inputs]
    others += [("an input's gradient", g) for g in dx if g is not None]
    others += [(f"the value of {name}", p.data) for name, p in layer.named_parameters()]
    seen: list[tuple[str, Array]] = []
    for name, p in layer.named_parameters():
        if p.grad is None:
            continue
        for what, other in others + seen:
            if np.shares_memory(p.grad, other):
                yield (
                    f"the gradient of {name} shares memory with {what}; "
                    "use ctx.add_grad(parameter, value), which copies"
                )
        seen.append((f"the gradient of {name}", p.grad))


def _held(layer: Layer, inputs: Sequence[Array]) -> list[Array]:
    """Return the arrays that an output may be a view of."""
    values = [p.data for p in layer.parameters()]
    return [*inputs, *values, *(b for _, part in layer.named_layers() for b in
                                part._buffers.values())]  # fmt: skip


def _run_and_forget(specimen: Specimen, layer: Layer, recording: bool) -> dict[str, Any]:
    """Run a pass whose arrays only weak references know when this returns."""
    inputs = specimen.arrays()
    arrays = {name_of("input", i, inputs): x for i, x in enumerate(inputs)}
    if recording:
        one = specimen.record(layer, inputs)
        outputs = one.outputs
        grads = specimen.upstream(outputs)
        arrays |= {name_of("upstream gradient", i, grads): g for i, g in enumerate(grads)}
        one.backward(grads)
    else:
        outputs = specimen.infer(layer, inputs)
    held = {id(a) for a in _held(layer, ())}
    arrays |= {name_of("output", i, outputs): y for i, y in enumerate(outputs)}
    return {name: weakref.ref(a) for name, a in arrays.items() if id(a) not in held}


def _grows(run: Callable[[], object], times: int = 12) -> bool:
    """Tell whether every run leaves an array behind."""
    import tracemalloc

    only_arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)

    def count(collect: bool) -> int:
        for _ in range(times):
            run()
        if collect:
            gc.collect()
        return len(tracemalloc.take_snapshot().filter_traces([only_arrays]).traces)

    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        before = count(collect=False)  # meanwhile NumPy's cache of small blocks fills
        if count(collect=False) < before + times:
            return False
        before = count(collect=True)  # slow; what waits for the collector does not count
        return count(collect=True) >= before + times
    finally:
        if not tracing:
            tracemalloc.stop()


def _attributes(layer: Layer) -> dict[str, Any]:
    """Describe every attribute of a layer, of its class, and of its children by value."""
    found = {}
    for prefix, part in layer.named_layers():
        for name, value in part.unregistered():
            if name not in part._buffers:
                found[f"{prefix}.{name}" if prefix else name] = by_value(value, 0)
        for name, value in vars(type(part)).items():
            if isinstance(value, np.ndarray | list | dict | set | int | float):
                found[f"{type(part).__name__}.{name}"] = by_value(value, 0)
    return found


def by_value(value: Any, depth: int) -> Any:
    """Return something that compares equal as long as `value` stays the same."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, np.random.Generator):
        return ("generator", str(value.bit_generator.state))
    if isinstance(value, Layer | Parameter | type) or callable(value) or depth > 4:
        return id(value)
    if isinstance(value, dict):
        return [(str(k), by_value(v, depth + 1)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [by_value(v, depth + 1) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if hasattr(value, "__dict__"):
        return (id(value), by_value(vars(value), depth + 1))
    return repr(value)
