"""Who owns an array: rules about arrays that are changed, kept, shared or used again."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.passes import Findings, Recording, name_of
from npnet.gradcheck.under_test import UnderTest
from npnet.layer import Layer
from npnet.typing import Array

_REPEATS = 8  # calls in a row, to see whether each leaves an array behind; NumPy caches seven


def nothing_kept_alive(under_test: UnderTest) -> Findings:
    """Check that after inference, and after a backward pass, no array of the call is alive."""
    for recording, mode in ((False, "inference"), (True, "a finished backward pass")):
        layer = None if "no state on self" in under_test.broken else under_test.fresh()

        def run(layer: Layer | None = layer, recording: bool = recording) -> dict[str, Any]:
            """Run a pass whose arrays only weak references know when this returns."""
            layer = under_test.fresh() if layer is None else layer
            inputs = under_test.arrays()
            one = under_test.record(layer, inputs) if recording else under_test.infer(layer, inputs)
            grads = under_test.upstream(one.outputs)
            if isinstance(one, Recording):
                one.backward(grads)
            groups = {"input": inputs, "output": one.outputs, "upstream gradient": grads}
            named = (
                (name_of(kind, i, g), a) for kind, g in groups.items() for i, a in enumerate(g)
            )
            return {name: weakref.ref(array) for name, array in named}

        arrays = run()
        if any(ref() is not None for ref in arrays.values()):
            gc.collect()
        kept = [name for name, ref in arrays.items() if ref() is not None]
        for name in kept:
            yield f"after {mode} the {name} is still alive; something holds on to it"
        if not kept and _grows(run):
            yield f"after {mode} an array that it made is still alive, one more with every call"


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
    try:  # collecting is slow, but what waits for it does not count
        return all(count(collect) + _REPEATS <= count(collect) for collect in (False, True))
    finally:
        if not tracing:
            tracemalloc.stop()


def outputs_not_reused(under_test: UnderTest) -> Findings:
    """Check that a later call does not write into what an earlier one returned."""
    layer = under_test.fresh()
    handed: list[tuple[str, Array, Array]] = []

    def hand(what: str, arrays: Iterable[Array | None]) -> None:
        handed.extend((what, a, a.copy()) for a in arrays if a is not None)

    hand("what inference returned", under_test.infer(layer).outputs)
    under_test.infer(layer, under_test.others())
    recordings = [under_test.record(layer, x) for x in (under_test.arrays(), under_test.others())]
    for one in recordings:
        hand("the output of a recorded pass", one.outputs)
    for one in recordings:
        dx = one.backward(under_test.upstream(one.outputs))
        hand("an input's gradient of an earlier one", dx)
    under_test.run(layer, under_test.others())
    for what, array, before in handed:
        if mismatch(array, before, 0.0):
            yield f"a later call overwrote {what}; make a new array each time"


def gradients_not_shared(under_test: UnderTest) -> Findings:
    """Check that a parameter's gradient is an array of its own."""
    layer = under_test.fresh()
    recording = under_test.record(layer)
    grads = under_test.upstream(recording.outputs)
    dx, named = recording.backward(grads), dict(layer.named_parameters())
    of_inputs = [(name_of("input", i, dx), g) for i, g in enumerate(dx) if g is not None]
    others = [("the upstream gradient", g) for g in grads]
    others += [(name_of("the input", i, dx), x) for i, x in enumerate(recording.inputs)]
    if under_test.is_loss:
        owned, advice = of_inputs, "return a new array"
    else:
        others += [(f"the gradient of {name}", g) for name, g in of_inputs]
        others += [(f"the value of {name}", p.data) for name, p in named.items()]
        owned = [(name, p.grad) for name, p in named.items() if p.grad is not None]
        advice = "use ctx.add_grad(parameter, value), which copies"
    for name, grad in owned:
        for what, other in others:
            if np.shares_memory(grad, other):
                yield f"the gradient of {name} shares memory with {what}; {advice}"
        others.append((f"the gradient of {name}", grad))
        if grad.flags.writeable:
            grad[...] = 5.25
    says = "after the caller wrote into the gradients, in the next call {}"
    yield from under_test.differences(under_test.run(layer), under_test.reference, says)
