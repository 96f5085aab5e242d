"""A context that watches who changes which array, and who runs children past `ctx.call`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.passes import Fault, Finding, Findings, Recording, call_forward, name_of
from npnet.gradcheck.under_test import UnderTest
from npnet.layer import Layer
from npnet.state import buffers
from npnet.typing import Array

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
    """Run one pass and watch what happens in it."""
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
        self.running = [self.name(layer)]  # whose forward passes are running, the innermost last
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
        """Note when a child's forward is called by anybody but a watching context of its own."""
        attribute = path.rpartition(".")[2]
        own = f"self.{attribute}" if attribute.isidentifier() else "layer"

        @functools.wraps(forward)
        def watched(ctx: Any, *inputs: Any) -> Any:
            watching = isinstance(ctx, WatchingContext)
            is_own = watching and ctx.layer is child
            if not is_own and self.running[-1]:
                how = f"{own}{'.forward(...)' if watching else '(x)'} instead of ctx.call({own}, x)"
                text = f"forward of {self.running[-1]} runs its child {self.name(child)} by {how}"
                self.note("direct", text)
            self.running.append(self.name(child) if is_own else "")  # below, nothing is said
            try:
                return forward(ctx, *inputs)
            finally:
                self.running.pop()

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
