"""Who owns an array: rules about arrays that are changed, kept, shared or used again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.passes import name_of, parameter_grads
from npnet.gradcheck.rules.rule import Finding
from npnet.gradcheck.rules.watching import events
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.layer import Layer
from npnet.typing import Array

_REPEATS = 8  # calls in a row, to see whether each leaves an array behind; NumPy caches seven


def _unchanged(kind: str, sentence: str, advice: str) -> Callable[..., Iterator[Finding]]:
    def check(under_test: LayerUnderTest) -> Iterator[Finding]:
        for found in events(under_test, kind):
            yield found._replace(message=f"{found.message}; {advice}")

    check.__doc__ = sentence
    return check


inputs_unchanged = _unchanged(
    "input",
    "Forward and backward leave the inputs as they are.",
    "an input belongs to the caller, work on a copy",
)
upstream_unchanged = _unchanged(
    "upstream gradient",
    "Backward leaves the gradient that it is given as it is.",
    "others may still need it, write into a new array",
)
outputs_unchanged = _unchanged(
    "output",
    "Backward leaves the output that forward returned as it is.",
    "it was handed out, work on a copy",
)
parameters_unchanged = _unchanged(
    "parameter", "A pass leaves the parameters as they are.", "only an optimizer may do that"
)
buffers_unchanged = _unchanged(
    "buffer",
    "Buffers move in a recorded pass in training mode only.",
    "update buffers only if ctx.recording and ctx.training",
)
children_unchanged = _unchanged(
    "child",
    "A container leaves what its children returned as it is, and so do the children.",
    "a child may have kept it, add into an array of your own",
)
children_called = _unchanged(
    "direct", "Children are run by ctx.call.", "so the child has a context and a backward pass"
)


def nothing_kept_alive(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that after inference, and after a backward pass, no array of the call is alive."""
    for recording, mode in ((False, "inference"), (True, "a finished backward pass")):
        layer = under_test.fresh()
        kept = still_alive(_run_and_forget(under_test, layer, recording))
        for name in kept:
            yield f"after {mode} the {name} is still alive; something holds on to it"
        if not kept and _grows(partial(_run_and_forget, under_test, layer, recording)):
            yield f"after {mode} an array that it made is still alive, one more with every call"


def still_alive(arrays: dict[str, Any]) -> list[str]:
    """Name the weak references whose arrays the garbage collector does not free."""
    if any(ref() is not None for ref in arrays.values()):
        gc.collect()
    return [name for name, ref in arrays.items() if ref() is not None]


def outputs_not_reused(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a later call does not write into what an earlier one returned."""
    layer = under_test.fresh()
    first = under_test.infer(layer)
    handed = [("what inference returned", y, y.copy()) for y in first.outputs]
    under_test.infer(layer, under_test.others())
    recordings = [under_test.record(layer, x) for x in (under_test.arrays(), under_test.others())]
    for one in recordings:
        handed += [("the output of a recorded pass", y, y.copy()) for y in one.outputs]
    for one in recordings:
        dx = one.backward(under_test.upstream(one.outputs))
        handed += [
            ("an input's gradient of an earlier one", g, g.copy()) for g in dx if g is not None
        ]
    under_test.run(layer, under_test.others())
    for what, array, before in handed:
        if mismatch(array, before, 0.0):
            yield f"a later call overwrote {what}; make a new array each time"
            return


def outputs_writable(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that the caller may write into the output before backward runs."""
    layer = under_test.fresh()
    rng = under_test.generator()
    output, tape = layer.record(*under_test.arrays(), training=under_test.training, rng=rng)
    outputs = output if isinstance(output, tuple) else (output,)
    upstream = under_test.upstream(outputs)
    for y in outputs:
        if y.flags.writeable:
            y[...] = 5 if y.dtype.kind != "f" else 5.25
    dx = tape.backward(*upstream, input_grad=True)
    want = under_test.reference
    got = want._replace(
        input_grads=tuple(dx) if isinstance(dx, tuple) else (dx,),
        parameter_grads=parameter_grads(layer),
    )
    for found in under_test.differences(got, want):
        yield (
            f"after the caller wrote into the output, {found}; keep the output with "
            "ctx.save(...), or save a copy, so that it can be protected"
        )
        return


def gradients_not_shared(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a parameter's gradient is an array of its own."""
    layer = under_test.fresh()
    recording = under_test.record(layer)
    grads = under_test.upstream(recording.outputs)
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


def _run_and_forget(under_test: LayerUnderTest, layer: Layer, recording: bool) -> dict[str, Any]:
    """Run a pass whose arrays only weak references know when this returns."""
    inputs = under_test.arrays()
    arrays = {name_of("input", i, inputs): x for i, x in enumerate(inputs)}
    if recording:
        one = under_test.record(layer, inputs)
        outputs = one.outputs
        grads = under_test.upstream(outputs)
        arrays |= {name_of("upstream gradient", i, grads): g for i, g in enumerate(grads)}
        one.backward(grads)
    else:
        outputs = under_test.infer(layer, inputs).outputs
    arrays |= {name_of("output", i, outputs): y for i, y in enumerate(outputs)}
    return {name: weakref.ref(a) for name, a in arrays.items()}


def _grows(run: Callable[[], object]) -> bool:
    """Tell whether every run leaves an array behind."""
    import tracemalloc

    only_arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)

    def count(collect: bool) -> int:
        for _ in range(_REPEATS):
            run()
        if collect:
            gc.collect()
        return len(tracemalloc.take_snapshot().filter_traces([only_arrays]).traces)

    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        for collect in (False, True):  # which is slow, but what waits for it does not count
            before, after = count(collect), count(collect)
            if after < before + _REPEATS:
                return False
        return True
    finally:
        if not tracing:
            tracemalloc.stop()
