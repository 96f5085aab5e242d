"""What a backward pass is: rules about repeated, joint and scaled passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.errors import NpnetError
from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.error_text import describe
from npnet.gradcheck.passes import Fault, Pass, Recording, name_of, parameter_grads
from npnet.gradcheck.rules.rule import Finding
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.layer import Layer
from npnet.store import FlatStore
from npnet.typing import Array


def inference_repeats(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that the same input gives the same inference output."""
    layer = under_test.fresh()
    first = [y.copy() for y in under_test.infer(layer)]
    under_test.run(layer, under_test.others())
    under_test.restore_buffers(layer)
    for i, (a, b) in enumerate(zip(under_test.infer(layer), first, strict=True)):
        found = mismatch(a, b)
        if found:
            yield f"called again with the same input, the {name_of('output', i, first)} {found}"


def passes_repeat(under_test: LayerUnderTest) -> Iterator[Finding]:
    """Check that the same input and random numbers give the same pass."""
    layer = under_test.fresh()
    first, second = under_test.run(layer), under_test.run(layer)
    changed = under_test.compared(second, first)
    for name, found in changed.items():
        tensor = _tensor(name)
        if name.startswith("output"):
            yield Finding(
                f"in a second recorded pass with the same input and the same generator the {name} "
                f"{found}: random numbers must come from ctx.rng, and nothing may be kept on the "
                "layer between calls"
            )
            return
        third = under_test.run(layer).named()[name]
        one, two = first.named()[name], second.named()[name]
        if not mismatch(third - two, two - one):
            yield Finding(
                f"the gradient of {tensor} grows with every identical pass: it is summed up in an "
                f"array that outlives the call; use {_add_grad(tensor)}",
                tensor,
                "stale state",
            )
        else:
            yield Finding(
                f"identical passes gave different gradients: that of {tensor} {found}; backward "
                "uses random numbers, or state from another call",
                tensor,
            )
    if changed:
        return
    under_test.run(layer, under_test.others())
    for name, found in under_test.compared(under_test.run(layer), under_test.reference).items():
        yield Finding(
            f"after a pass with another input the {name} {found}: something of an earlier call is "
            "used",
            _tensor(name),
            "stale state",
        )


def _tensor(name: str) -> str:
    """Return the tensor whose gradient is called so; empty for an output."""
    return name.removeprefix("gradient of ") if name.startswith("gradient of ") else ""


def _add_grad(name: str) -> str:
    return f"ctx.add_grad(self.{name.rpartition('.')[2]}, ...)"


def recording_equals_inference(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a layer without random numbers computes the same whether it is recorded or not."""
    inferred = [y.copy() for y in under_test.infer(under_test.fresh())]
    for training in [False] if under_test.is_random else [False, True]:
        outputs = under_test.record(under_test.fresh(), training=training).outputs
        for i, (a, b) in enumerate(zip(outputs, inferred, strict=True)):
            found = mismatch(a, b)
            if found:
                yield (
                    f"with record(x, training={training}) the {name_of('output', i, outputs)} "
                    f"{found}, which is what inference gives"
                )
                return


def zero_gradient(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a zero upstream gradient gives zero gradients."""
    zeros = [np.zeros_like(y) for y in under_test.reference.outputs]
    for name, grad in under_test.run(upstream=zeros).named().items():
        if name.startswith("gradient") and (grad != 0).any():
            worst = np.unravel_index(int(np.nan_to_num(np.abs(grad)).argmax()), grad.shape)
            yield (
                f"the {name} is {grad[worst]:.6g} at {[int(i) for i in worst]} for an upstream "
                "gradient of zeros"
            )


def linear_backward(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that backward is linear in the upstream gradient."""
    layer, reference = under_test.fresh(), under_test.reference
    first, second = (under_test.upstream(reference.outputs, i) for i in (1, 2))
    for text, factor in (("-1", -1.0), ("2**20", 2.0**20), ("2**-20", 2.0**-20)):  # are exact
        scaled = under_test.run(layer, upstream=[np.asarray(g * factor, g.dtype) for g in first])
        for found in under_test.differences(scaled.times(1 / factor), reference):
            yield f"for an upstream gradient times {text}, divided by as much, {found}"
            return
    added = [np.asarray(a + b, a.dtype) for a, b in zip(first, second, strict=True)]
    total = reference.plus(under_test.run(layer, upstream=second))
    for found in under_test.differences(under_test.run(layer, upstream=added), total):
        yield f"for the sum of two upstream gradients {found}, the sum of their gradients"
        return


def two_calls(under_test: LayerUnderTest) -> Iterator[Finding]:
    """Check that two calls and then both backward passes, in either order, do not mix."""
    both = (under_test.arrays(), under_test.others())
    layer = under_test.fresh()
    alone = [_recorded(under_test, under_test.fresh(), both[i], i).run() for i in (0, 1)]
    total = alone[0].plus(alone[1])
    for order in ((0, 1), (1, 0)):
        layer.zero_grad()
        pending = [_recorded(under_test, layer, inputs, i) for i, inputs in enumerate(both)]
        when = "in the order of the calls" if order == (0, 1) else "in reverse order"
        when = f"with two calls and then both backward passes {when},"
        why = "what backward needs belongs into ctx, not on the layer"
        for i in order:
            got = pending[i].run()._replace(parameter_grads={})
            for name, found in under_test.compared(got, alone[i]).items():
                call = ("first", "second")[i]
                yield Finding(f"{when} the {name} of the {call} {found}; {why}", _tensor(name))
                return
        grads = total._replace(parameter_grads=parameter_grads(layer))
        for name, found in under_test.compared(grads, total).items():
            yield Finding(f"{when} the {name} {found}, the sum of both; {why}", _tensor(name))
            return


class _Pending(NamedTuple):
    """A recorded call, with an upstream gradient of its own."""

    recording: Recording
    upstream: list[Array]

    def run(self) -> Pass:
        """Run backward."""
        outputs = tuple(y.copy() for y in self.recording.outputs)
        dx = self.recording.backward(self.upstream)
        return Pass(outputs, dx, parameter_grads(self.recording.layer))


def _recorded(under_test: LayerUnderTest, layer: Layer, inputs: list[Array], i: int) -> _Pending:
    arrays = [x.copy() for x in inputs]
    recording = under_test.record(layer, arrays, rng=under_test.generator(i))
    return _Pending(recording, under_test.upstream(recording.outputs, 1 + i))


def accumulation(under_test: LayerUnderTest) -> Iterator[Finding]:
    """Check that backward adds to the gradients that are there."""
    alone = under_test.reference.parameter_grads
    if not alone:
        return
    layer = under_test.fresh()
    for name, p in layer.named_parameters():
        p.grad = np.full(p.shape, 3.0 * (np.abs(alone[name]).max(initial=0.0) or 1.0))
    before = under_test.reference._replace(parameter_grads=parameter_grads(layer))
    total = under_test.reference.plus(before)
    recording = under_test.record(layer)
    recording.backward(under_test.upstream(recording.outputs))
    after = parameter_grads(layer)
    for name, found in under_test.compared(Pass((), (), after), total).items():
        tensor = _tensor(name)
        if mismatch(after[tensor], alone[tensor]):
            text = f"with a gradient already there, the gradient of {tensor} {found}, the sum"
            yield Finding(f"{text}; use {_add_grad(tensor)}", tensor, "stale state")
        else:
            text = f"backward overwrites the gradient of {tensor} instead of adding to it"
            yield Finding(f"{text}; use {_add_grad(tensor)}", tensor)


class _Twice(Layer):
    """Call one layer twice in one pass, as a model with shared weights does."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, ctx: Context, *inputs: object) -> object:
        count = len(inputs) // 2
        outputs: list[object] = []
        for half in (inputs[:count], inputs[count:]):
            output = ctx.call(self.layer, *half)
            outputs += output if isinstance(output, tuple) else [output]
        return tuple(outputs)

    def backward(self, ctx: Context, *grads: object) -> tuple[object, ...]:
        count = len(grads) // 2
        found: list[tuple[object, ...]] = []
        for half in (grads[count:], grads[:count]):
            result = ctx.calls.pop().backward(*half)
            found.insert(0, result if isinstance(result, tuple) else (result,))
        return (*found[0], *found[1])


def used_twice(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that a layer that occurs twice in a model gets the gradients of both places."""
    want = under_test.steady
    if not want.parameter_grads:
        return
    layer = under_test.fresh()
    twice = _Twice(layer)
    grads = under_test.upstream(want.outputs)
    under_test.restore_buffers(layer)
    ctx = Context(twice, True, under_test.steady_mode, under_test.generator())
    twice.forward(ctx, *under_test.arrays(), *under_test.arrays())
    twice.backward(ctx, *grads, *(g.copy() for g in grads))
    got = Pass((), (), parameter_grads(layer))
    for found in under_test.differences(got, want.plus(want)):
        yield f"used twice in one model, {found}, the sum of both uses"


def flat_store(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that gradients land in the flat vector of an optimizer."""
    layer = under_test.fresh()
    parameters = list(layer.parameters())
    if not parameters:
        return
    store = FlatStore(parameters)
    for found in under_test.differences(under_test.run(layer), under_test.reference):
        yield f"after an optimizer gathered the parameters, {found}"
        return
    for name, p in layer.named_parameters():
        if p.grad is not None and not np.shares_memory(p.grad, store.grad):
            yield (
                f"the gradient of {name} is not in the optimizer's flat vector; "
                f"use {_add_grad(name)}"
            )


def input_gradient_on_demand(under_test: LayerUnderTest) -> Iterator[Finding]:
    """Check that without the input's gradient, the parameters' gradients are the same."""
    when = "with ctx.needs_input_grad=False, as in training,"
    try:
        got = under_test.run(needs_input_grad=False)
    except Fault as fault:
        yield Finding(f"{when} {fault}", "", "raised")
        return
    want = under_test.reference._replace(input_grads=())
    for name, found in under_test.compared(got, want).items():
        kind = "" if not got.named()[name].any() else "stale state"
        yield Finding(f"{when} the {name} {found}", _tensor(name), kind)


def unused_outputs(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that None for an output that nobody used stands for a gradient of zeros."""
    for i, got in enumerate(runs_without(under_test)):
        grads = under_test.upstream(under_test.reference.outputs)
        grads[i] = np.zeros_like(grads[i])
        if isinstance(got, Pass):
            for found in under_test.differences(got, under_test.run(upstream=grads)):
                yield f"with None as the gradient of output {i} {found}, that with zeros"


def runs_without(under_test: LayerUnderTest) -> list[Pass | Fault]:
    """Run a pass for each of several outputs, with None as its gradient."""
    found: list[Pass | Fault] = []
    outputs = under_test.reference.outputs
    for i in range(len(outputs) if len(outputs) > 1 else 0):
        grads: list[Any] = under_test.upstream(outputs)
        grads[i] = None
        try:
            found.append(under_test.run(upstream=grads))
        except Fault as fault:
            found.append(fault)
    return found


def tape_agrees(under_test: LayerUnderTest) -> Iterator[str]:
    """Check that `Layer.record` and `Tape.backward` give what forward and backward give."""
    layer = under_test.fresh()
    try:
        output, tape = layer.record(
            *under_test.arrays(), training=under_test.training, rng=under_test.generator()
        )
        outputs = output if isinstance(output, tuple) else (output,)
        dx = tape.backward(*under_test.upstream(outputs), input_grad=True)
    except NpnetError as error:
        yield f"record or backward raised {describe(error)}"
        return
    got = Pass(outputs, dx if isinstance(dx, tuple) else (dx,), parameter_grads(layer))
    yield from under_test.differences(got, under_test.reference)
    recording = under_test.record(under_test.fresh())
    raw = recording.ctx.backward(*under_test.upstream(recording.outputs))
    if len(under_test.inputs) == 1 and isinstance(raw, tuple):
        yield "backward returned a tuple for the one input; return the array itself"
