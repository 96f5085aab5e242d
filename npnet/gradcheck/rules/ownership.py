"""Who owns an array, and a child: rules about what is changed, kept, shared or used again."""

from __future__ import annotations

import contextlib
import functools
import gc
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.passes import Fault, Finding, Findings, Recording, call_forward, name_of
from npnet.gradcheck.under_test import UnderTest
from npnet.layer import Layer
from npnet.state import buffers
from npnet.typing import Array

_REPEATS = 8  # calls in a row, to see whether each leaves an array behind; NumPy caches seven


def nothing_kept_alive(under_test: UnderTest) -> Findings:
    """Check that after inference, and after a backward pass, no array of the call is alive."""
    for recording, mode in ((False, "inference"), (True, "a finished backward pass")):
        layer = None if "no state on self" in under_test.broken else under_test.fresh()
        run = functools.partial(_arrays_of_a_call, under_test, layer, recording)
        arrays = run()
        if any(ref() is not None for ref in arrays.values()):
            gc.collect()
        kept = [name for name, ref in arrays.items() if ref() is not None]
        for name in kept:
            yield f"after {mode} the {name} is still alive; something holds on to it"
        if not kept and _grows(run):
            yield f"after {mode} an array that it made is still alive, one more with every call"


def _arrays_of_a_call(
    under_test: UnderTest, layer: Layer | None, recording: bool
) -> dict[str, Any]:
    """Run a pass whose arrays only weak references know when this returns."""
    layer = under_test.fresh() if layer is None else layer
    inputs = under_test.arrays()
    one = under_test.record(layer, inputs) if recording else under_test.infer(layer, inputs)
    grads = under_test.upstream(one.outputs)
    if isinstance(one, Recording):
        one.backward(grads)
    groups = {"input": inputs, "output": one.outputs, "upstream gradient": grads}
    return {
        name_of(kind, i, group): weakref.ref(array)
        for kind, group in groups.items()
        for i, array in enumerate(group)
    }


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
        hand("an input's gradient of an earlier one", under_test.finish(one).input_grads)
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


# By the kind of finding: what the rule says, and what to do.
_SAYS = {
    "input": ("Inputs stay as they are.", "an input belongs to the caller, work on a copy"),
    "upstream gradient": (
        "Backward leaves the gradient that it is given as it is.",
        "others may still need it, write into a new array",
    ),
    "output": ("Backward leaves outputs as they are.", "it was handed out, work on a copy"),
    "parameter": ("A pass leaves parameters as they are.", "only an optimizer may do that"),
    "buffer": (
        "Buffers move in a recorded pass in training mode only.",
        "update buffers only if ctx.recording and ctx.training",
    ),
    "child": (
        "A container leaves what its children returned as it is, and so do the children.",
        "a child may have kept it, add into an array of your own",
    ),
    "direct": ("Children are run by ctx.call.", "so the child has a context and a backward pass"),
}
_PASSES: tuple[tuple[bool, bool | None, Any, bool], ...] = (
    (False, False, np.float64, True),  # recording, training, dtype, input_grad
    (True, None, np.float64, True),
    (True, False, np.float64, True),
    (True, None, np.float32, True),
    (True, None, np.float64, False),
)


def none_of(kind: str) -> Callable[[UnderTest], Findings]:
    """Return the check that nothing of this kind happens, in all modes and both dtypes."""
    sentence, advice = _SAYS[kind]

    def check(under_test: UnderTest) -> Findings:
        if "watched" not in under_test.cache:
            under_test.cache["watched"] = dict[Any, Finding]()
            for options in _PASSES:
                with contextlib.suppress(Fault):  # other rules say what was raised
                    _watch(under_test, *options)
        for found in under_test.cache["watched"].values():
            if found.kind == kind:
                yield Finding(f"{found.message}; {advice}", found.tensor)

    check.__doc__ = sentence
    return check


def _watch(
    under_test: UnderTest, recording: bool, training: bool | None, dtype: Any, input_grad: bool
) -> None:
    layer, inputs = under_test.fresh(dtype), under_test.arrays(dtype)
    training = under_test.training if training is None else training
    watcher = Watcher(layer, under_test.cache["watched"])

    def track(kind: str, label: str, arrays: Sequence[Array]) -> None:
        for i, array in enumerate(arrays):
            name = name_of(kind, i, arrays)
            watcher.track(kind, label.format(name), array, name if kind == "input" else "")

    track("input", "its {}", inputs)
    for name, p in layer.named_parameters():
        watcher.track("parameter", f"the parameter {name}", p.data, name)
    first = buffers(layer)
    ctx = WatchingContext(watcher, layer, recording, training, under_test.generator())
    outputs = call_forward(layer, ctx, inputs)
    watcher.look(f"forward of {ctx.name}")
    if not (recording and training):
        mode = "a recorded pass with training=False" if recording else "inference"
        for name, value in buffers(layer).items():
            if text := mismatch(value, first.get(name, value + 1), 0.0):
                watcher.note("buffer", f"{mode} changed the buffer {name}: it now {text}")
    if recording:
        track("output", "the {} that forward returned", outputs)
        grads = under_test.upstream(outputs)
        track("upstream gradient", "its {}", grads)
        Recording(layer, ctx, inputs, outputs).backward(grads, input_grad)


class Watcher:
    """Arrays with copies of them, and what was found so far: who changed which, by kind."""

    def __init__(self, layer: Layer, found: dict[Any, Finding]) -> None:
        self.names = {id(part): name for name, part in layer.named_layers()}
        self.found = found
        self.arrays: dict[int, tuple[Finding, Array, Array]] = {}
        for path, child in layer.named_layers():
            if path:
                object.__setattr__(child, "forward", self._watched(child, child.forward, path))

    def note(self, kind: str, text: str, tensor: str = "") -> None:
        """Keep a finding, unless there is one that starts alike."""
        self.found.setdefault((kind, text.partition(":")[0]), Finding(text, tensor, kind))

    def track(self, kind: str, label: str, array: Any, tensor: str = "") -> None:
        """Watch an array from now on, under its newest label."""
        if isinstance(array, np.ndarray):
            self.arrays[id(array)] = (Finding(label, tensor, kind), array, array.copy())

    def look(self, who: str) -> None:
        """Note that `who` changed every array that differs from its copy."""
        for (label, tensor, kind), array, copy in list(self.arrays.values()):
            if found := mismatch(array, copy, 0.0):
                self.note(kind, f"{who} changed {label} in place: it now {found}", tensor)
                self.track(kind, label, array, tensor)

    def name(self, layer: Layer) -> str:
        """Return how a sentence names a layer."""
        name = self.names.get(id(layer))
        return f"{type(layer).__name__} {name!r}" if name else type(layer).__name__

    def _watched(self, child: Layer, forward: Any, path: str) -> Any:
        """Note the first child whose forward another than its own watching context calls."""
        attribute = path.rpartition(".")[2]
        own = f"self.{attribute}" if attribute.isidentifier() else "layer"

        @functools.wraps(forward)
        def watched(ctx: Any, *inputs: Any) -> Any:
            watching = isinstance(ctx, WatchingContext)
            if not (watching and ctx.layer is child):
                how = f"{own}{'.forward(...)' if watching else '(x)'} instead of ctx.call({own}, x)"
                text = f"a child is not run by the context: {self.name(child)}, by {how}"
                self.note("direct", text)
            return forward(ctx, *inputs)

        return watched


class WatchingContext(Context):
    """A context that tells a watcher about the calls of its layer and of the children."""

    __slots__ = ("name", "watcher")

    def __init__(self, watcher: Watcher, layer: Layer, *options: Any) -> None:
        super().__init__(layer, *options)
        self.watcher, self.name = watcher, watcher.name(layer)

    def child(self, layer: Layer) -> WatchingContext:
        """Return a context that tells the same watcher."""
        self.watcher.look(f"forward of {self.name}")
        return WatchingContext(self.watcher, layer, self.recording, self.training, self._rng)

    def run(self, *inputs: Any) -> Any:
        """Run this context's layer; note what it does to arrays."""
        return self._seen(f"forward of {self.name}", "what", super().run(*inputs))

    def backward(self, *grads: Array, needs_input_grad: Any = True) -> Any:
        """Run this call's backward pass; note what it does to arrays."""
        self.watcher.look("the backward pass of the container")
        for grad in grads:
            if id(grad) not in self.watcher.arrays:
                self.watcher.track("child", f"the upstream gradient of {self.name}", grad)
        result = super().backward(*grads, needs_input_grad=needs_input_grad)
        return self._seen(f"backward of {self.name}", "the gradient that", result)

    def _seen(self, who: str, what: str, result: Any) -> Any:
        self.watcher.look(who)
        for array in result if isinstance(result, tuple) else (result,):
            self.watcher.track("child", f"{what} {who} returned", array)
        return result
