"""A context that watches who changes which array, and who runs children past `ctx.call`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.passes import Fault, Recording, call_forward, name_of
from npnet.gradcheck.rules.rule import Finding
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.layer import Layer
from npnet.state import buffers
from npnet.typing import Array, DtypeLike


class Event(NamedTuple):
    """An array changed by somebody who did not make it, or a child run without `ctx.call`.

    `kind` is "input", "upstream gradient", "output", "parameter", "buffer", "child" or "direct".
    """

    kind: str
    tensor: str
    text: str


class Watcher:
    """Arrays with copies of them, and the events so far."""

    def __init__(self, layer: Layer) -> None:
        self.names = {id(part): name for name, part in layer.named_layers()}
        self.events: list[Event] = []
        self.running = [self.name(layer)]  # whose forward passes are running, the innermost last
        self.arrays: dict[int, tuple[Event, Array, Array]] = {}

    def track(self, kind: str, label: str, array: Any, tensor: str = "") -> None:
        """Watch an array from now on, under its newest label."""
        if isinstance(array, np.ndarray):
            self.arrays[id(array)] = (Event(kind, tensor, label), array, array.copy())

    def look(self, who: str) -> None:
        """Note that `who` changed every array that differs from its copy."""
        for key, (event, array, copy) in list(self.arrays.items()):
            found = mismatch(array, copy, 0.0)
            if found:
                text = f"{who} changed {event.text} in place: it now {found}"
                self.events.append(event._replace(text=text))
                self.arrays[key] = (event, array, array.copy())

    def name(self, layer: Layer) -> str:
        """Return how a sentence names a layer."""
        name = self.names.get(id(layer))
        return f"{type(layer).__name__} {name!r}" if name else type(layer).__name__

    def watch_children(self, layer: Layer) -> None:
        """Note when a child's forward is called by anybody but a watching context of its own."""
        for path, child in layer.named_layers():
            if path:
                object.__setattr__(child, "forward", self._watched(child, child.forward, path))

    def _watched(self, child: Layer, forward: Any, path: str) -> Any:
        @functools.wraps(forward)
        def watched(ctx: Any, *inputs: Any) -> Any:
            is_own = isinstance(ctx, WatchingContext) and ctx.layer is child
            if not is_own and self.running[-1]:
                self.events.append(Event("direct", "", self._direct(ctx, child, path)))
            self.running.append(
                self.name(child) if is_own else ""
            )  # what is below goes without say
            try:
                return forward(ctx, *inputs)
            finally:
                self.running.pop()

        return watched

    def _direct(self, ctx: Any, child: Layer, path: str) -> str:
        attribute = path.rpartition(".")[2]
        own = f"self.{attribute}" if attribute.isidentifier() else "layer"
        how = f"{own}.forward(...)" if isinstance(ctx, WatchingContext) else f"{own}(x)"
        return (
            f"forward of {self.running[-1]} runs its child {self.name(child)} by {how} instead of "
            f"ctx.call({own}, x)"
        )


class WatchingContext(Context):
    """A context that tells a watcher about the calls of its layer and of the children."""

    __slots__ = ("name", "watcher")

    def __init__(
        self, layer: Layer, recording: bool, training: bool, rng: Any, watcher: Watcher
    ) -> None:
        super().__init__(layer, recording, training, rng)
        self.watcher = watcher
        self.name = watcher.name(layer)

    def child(self, layer: Layer) -> WatchingContext:
        """Return a context that tells the same watcher."""
        self.watcher.look(f"forward of {self.name}")
        return WatchingContext(layer, self.recording, self.training, self._rng, self.watcher)

    def run(self, *inputs: Any) -> Any:
        """Run this context's layer; note what it does to arrays."""
        output = super().run(*inputs)
        self.watcher.look(f"forward of {self.name}")
        for y in output if isinstance(output, tuple) else (output,):
            self.watcher.track("child", f"what forward of {self.name} returned", y)
        return output

    def backward(self, *grads: Array, needs_input_grad: Any = True) -> Any:
        """Run this call's backward pass; note what it does to arrays."""
        watcher = self.watcher
        watcher.look("the backward pass of the container")
        for grad in grads:
            if id(grad) not in watcher.arrays:
                watcher.track("child", f"the upstream gradient of {self.name}", grad)
        result = super().backward(*grads, needs_input_grad=needs_input_grad)
        watcher.look(f"backward of {self.name}")
        for grad in result if isinstance(result, tuple) else (result,):
            watcher.track("child", f"the gradient that backward of {self.name} returned", grad)
        return result


_PASSES: tuple[dict[str, Any], ...] = (
    {"recording": False, "training": False},
    {},
    {"training": False},
    {"dtype": np.float32},
    {"input_grad": False},
)


def events(under_test: LayerUnderTest, kind: str) -> Iterator[Finding]:
    """Yield the events of one kind, each once, over all modes and both dtypes."""
    if "events" not in under_test.cache:
        found: dict[tuple[str, str], Event] = {}
        for options in _PASSES:
            with contextlib.suppress(Fault):  # other rules say what was raised
                for event in _watch(under_test, **options):
                    found.setdefault((event.kind, event.text.partition(":")[0]), event)
        under_test.cache["events"] = list(found.values())
    for event in under_test.cache["events"]:
        if event.kind == kind:
            yield Finding(event.text, event.tensor)


def _watch(
    under_test: LayerUnderTest,
    recording: bool = True,
    training: bool | None = None,
    dtype: DtypeLike = np.float64,
    input_grad: bool = True,
) -> Sequence[Event]:
    """Run one pass and return what happened in it."""
    layer = under_test.fresh(dtype)
    training = under_test.training if training is None else training
    watcher = Watcher(layer)
    watcher.watch_children(layer)
    inputs = under_test.arrays(dtype)
    for i, x in enumerate(inputs):
        name = name_of("input", i, inputs)
        watcher.track("input", f"its {name}", x, name)
    for name, p in layer.named_parameters():
        watcher.track("parameter", f"the parameter {name}", p.data, name)
    first = buffers(layer)
    ctx = WatchingContext(layer, recording, training, under_test.generator(), watcher)
    outputs = call_forward(layer, ctx, inputs)
    watcher.look(f"forward of {ctx.name}")
    if not (recording and training):
        mode = "a recorded pass with training=False" if recording else "inference"
        for name, value in buffers(layer).items():
            found = mismatch(value, first.get(name, value + 1), 0.0)
            if found:
                text = f"{mode} changed the buffer {name}: it now {found}"
                watcher.events.append(Event("buffer", "", text))
    if not recording:
        return watcher.events
    for i, y in enumerate(outputs):
        watcher.track("output", f"the {name_of('output', i, outputs)} that forward returned", y)
    grads = under_test.upstream(outputs)
    for i, grad in enumerate(grads):
        watcher.track("upstream gradient", f"its {name_of('upstream gradient', i, grads)}", grad)
    Recording(layer, ctx, inputs, outputs).backward(grads, input_grad)
    return watcher.events
