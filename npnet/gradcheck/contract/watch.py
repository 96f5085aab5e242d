"""A context that watches who changes which array, in a layer and in the children it calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.gradcheck.contract.calls import Recording, call_forward, name_of
from npnet.gradcheck.contract.compare import mismatch
from npnet.gradcheck.contract.specimen import Specimen
from npnet.layer import Layer
from npnet.state import buffers
from npnet.typing import Array, DtypeLike


class Change(NamedTuple):
    """One array that was changed by somebody who did not make it."""

    kind: str  # "input", "upstream gradient", "output", "parameter", "buffer", "child"
    text: str


class _Entry(NamedTuple):
    kind: str
    label: str
    array: Array
    copy: Array


class Journal:
    """Arrays with copies of them, and the changes found so far.

    Parameters
    ----------
    layer : Layer
        Names the children.
    """

    def __init__(self, layer: Layer) -> None:
        self.names = {id(part): name for name, part in layer.named_layers()}
        self.changes: list[Change] = []
        self._entries: dict[int, _Entry] = {}

    def track(self, kind: str, label: str, array: Any) -> None:
        """Watch an array from now on, under its newest label."""
        if isinstance(array, np.ndarray):
            self._entries[id(array)] = _Entry(kind, label, array, array.copy())

    def verify(self, culprit: str) -> None:
        """Blame `culprit` for every array that changed since the last look."""
        for key, entry in list(self._entries.items()):
            found = mismatch(entry.array, entry.copy, 0.0)
            if found:
                text = f"{culprit} changed {entry.label}: it now {found}"
                self.changes.append(Change(entry.kind, text))
                self._entries[key] = entry._replace(copy=entry.array.copy())

    def child(self, layer: Layer) -> str:
        """Return how a sentence names a child."""
        name = self.names.get(id(layer))
        return f"{type(layer).__name__} {name!r}" if name else type(layer).__name__


class WatchingContext(Context):
    """A context whose children's calls are checked for changed arrays.

    Parameters
    ----------
    layer, recording, training, rng
        As for `Context`.
    journal : Journal
        Where arrays and changes are noted.
    parent : str
        How a sentence names the layer.
    """

    __slots__ = ("journal", "parent")

    def __init__(
        self, layer: Layer, recording: bool, training: bool, rng: Any, journal: Journal, parent: str
    ) -> None:
        super().__init__(layer, recording, training, rng)
        self.journal = journal
        self.parent = parent

    def child(self, layer: Layer) -> WatchingContext:
        """Return a context that notes into the same journal."""
        journal, name = self.journal, self.journal.child(layer)
        journal.verify(f"forward of {self.parent}")
        return WatchingContext(layer, self.recording, self.training, self._rng, journal, name)

    def run(self, *inputs: Any) -> Any:
        """Run this context's layer; note what it does to arrays."""
        output = super().run(*inputs)
        self.journal.verify(f"forward of {self.parent}")
        for y in output if isinstance(output, tuple) else (output,):
            self.journal.track("child", f"what forward of {self.parent} returned", y)
        return output

    def backward(self, *grads: Array, needs_input_grad: Any = True) -> Any:
        """Run this call's backward pass; note what it does to arrays."""
        journal = self.journal
        journal.verify("the backward pass of the container")
        for grad in grads:
            if id(grad) not in journal._entries:
                journal.track("child", f"the upstream gradient of {self.parent}", grad)
        result = super().backward(*grads, needs_input_grad=needs_input_grad)
        journal.verify(f"backward of {self.parent}")
        for grad in result if isinstance(result, tuple) else (result,):
            journal.track("child", f"the gradient that backward of {self.parent} returned", grad)
        return result


def watch(
    specimen: Specimen,
    *,
    recording: bool,
    training: bool,
    dtype: DtypeLike = np.float64,
    needs_input_grad: bool = True,
) -> list[Change]:
    """Run one pass and return the changes that it made to arrays of others."""
    layer = specimen.fresh(dtype)
    journal = Journal(layer)
    inputs = specimen.arrays(dtype)
    for i, x in enumerate(inputs):
        journal.track("input", f"its {name_of('input', i, inputs)}", x)
    for name, p in layer.named_parameters():
        journal.track("parameter", f"the parameter {name}", p.data)
    frozen = not (recording and training)
    buffers_before = buffers(layer)
    rng = specimen.generator()
    ctx = WatchingContext(layer, recording, training, rng, journal, type(layer).__name__)
    outputs = call_forward(layer, ctx, inputs)
    journal.verify(f"forward of {ctx.parent}")
    if frozen:
        mode = "a recorded pass with training=False" if recording else "inference"
        journal.changes += _moved(buffers_before, buffers(layer), mode)
    if not recording:
        return journal.changes
    for i, y in enumerate(outputs):
        journal.track("output", f"the {name_of('output', i, outputs)} that forward returned", y)
    grads = specimen.upstream(outputs)
    for i, grad in enumerate(grads):
        journal.track("upstream gradient", f"its {name_of('upstream gradient', i, grads)}", grad)
    Recording(layer, ctx, inputs, outputs).backward(grads, needs_input_grad)
    return journal.changes


def _moved(before: dict[str, Array], after: dict[str, Array], mode: str) -> Iterator[Change]:
    for name, value in after.items():
        found = mismatch(value, before[name], 0.0) if name in before else "is new"
        if found:
            yield Change("buffer", f"{mode} changed the buffer {name}: it now {found}")


def changes(specimen: Specimen, kinds: Sequence[str]) -> Iterator[str]:
    """Yield each change of these kinds once, over all modes and both dtypes."""
    if "changes" not in specimen.cache:
        specimen.cache["changes"] = [
            *watch(specimen, recording=False, training=False),
            *watch(specimen, recording=True, training=True),
            *watch(specimen, recording=True, training=False),
            *watch(specimen, recording=True, training=True, dtype=np.float32),
            *watch(specimen, recording=True, training=True, needs_input_grad=False),
        ]
    seen = set()
    for change in specimen.cache["changes"]:
        who = change.text.partition(":")[0]
        if change.kind in kinds and who not in seen:
            seen.add(who)
            yield change.text
