"""What a backward pass is: rules about repeated, joint and scaled passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.errors import NpnetError
from npnet.gradcheck.contract.calls import (
    Fault,
    Pass,
    Recording,
    compare,
    name_of,
    parameter_grads,
)
from npnet.gradcheck.contract.compare import mismatch
from npnet.gradcheck.contract.specimen import Specimen
from npnet.gradcheck.raised import describe
from npnet.layer import Layer
from npnet.store import FlatStore
from npnet.typing import Array


def inference_repeats(specimen: Specimen) -> Iterator[str]:
    """Check that the same input gives the same inference output."""
    layer = specimen.fresh()
    first = [y.copy() for y in specimen.infer(layer)]
    specimen.run(layer, specimen.others())
    specimen.restore_buffers(layer)
    for i, (a, b) in enumerate(zip(specimen.infer(layer), first, strict=True)):
        found = mismatch(a, b)
        if found:
            yield (f"called again with the same input, the {name_of('output', i, first)} {found}")


def recording_repeats(specimen: Specimen) -> Iterator[str]:
    """Check that the same input and random numbers give the same pass on a fresh tape."""
    layer = specimen.fresh()
    specimen.run(layer)
    specimen.run(layer, specimen.others())
    for found in compare(specimen.run(layer), specimen.reference):
        yield f"on a second pass with the same input and generator {found}"


def recording_equals_inference(specimen: Specimen) -> Iterator[str]:
    """Check that a layer without random numbers computes the same whether it is recorded or not."""
    layer = specimen.fresh()
    inferred = [y.copy() for y in specimen.infer(layer)]
    modes = [False] if specimen.is_random else [False, True]
    for training in modes:
        outputs = specimen.record(specimen.fresh(), training=training).outputs
        for i, (a, b) in enumerate(zip(outputs, inferred, strict=True)):
            found = mismatch(a, b)
            if found:
                yield (
                    f"with record(x, training={training}) the {name_of('output', i, outputs)} "
                    f"{found}, which is what inference gives"
                )
                return


def zero_gradient(specimen: Specimen) -> Iterator[str]:
    """Check that a zero upstream gradient gives zero gradients."""
    layer = specimen.fresh()
    zeros = [np.zeros_like(y) for y in specimen.reference.outputs]
    for name, grad in specimen.run(layer, upstream=zeros).named().items():
        if name.startswith("gradient") and (grad != 0).any():
            worst = np.unravel_index(int(np.nan_to_num(np.abs(grad)).argmax()), grad.shape)
            yield (
                f"the {name} is {grad[worst]:.6g} at {[int(i) for i in worst]} for an upstream "
                "gradient of zeros"
            )


def linear_backward(specimen: Specimen) -> Iterator[str]:
    """Check that backward is linear in the upstream gradient."""
    layer = specimen.fresh()
    outputs = specimen.reference.outputs
    first, second = specimen.upstream(outputs, 1), specimen.upstream(outputs, 2)
    one = specimen.reference._replace(outputs=())
    for factor in (-1.0, 2.0**20, 2.0**-20):  # powers of two scale without rounding
        scaled = specimen.run(layer, upstream=[np.asarray(g * factor, g.dtype) for g in first])
        for found in compare(scaled._replace(outputs=()), _scale(one, factor)):
            yield f"for an upstream gradient times {factor:g} {found}"
            return
    added = [np.asarray(a + b, a.dtype) for a, b in zip(first, second, strict=True)]
    other = specimen.run(layer, upstream=second)._replace(outputs=())
    both = specimen.run(layer, upstream=added)._replace(outputs=())
    for found in specimen.differences(both, _add(one, other)):
        yield f"for the sum of two upstream gradients {found}, the sum of their gradients"
        return


def two_calls(specimen: Specimen) -> Iterator[str]:
    """Check that two calls and then both backward passes, in either order, do not mix."""
    both = (specimen.arrays(), specimen.others())
    layer = specimen.fresh()
    alone = [_one_of_two(specimen, specimen.fresh(), both[i], i).run() for i in (0, 1)]
    total = _add(*alone)
    for order in ((0, 1), (1, 0)):
        layer.zero_grad()
        pending = [_one_of_two(specimen, layer, inputs, i) for i, inputs in enumerate(both)]
        when = "in the order of the calls" if order == (0, 1) else "in reverse order"
        for i in order:
            for found in compare(pending[i].run()._replace(parameter_grads={}), alone[i]):
                call = ("first", "second")[i]
                yield (
                    f"two calls, then both backward passes {when}: in the {call} one {found}; "
                    "something of one call is used in the other"
                )
                return
        grads = total._replace(parameter_grads=parameter_grads(layer))
        for found in compare(grads, total):
            yield (
                f"two calls, then both backward passes {when}: {found}, the sum of both; "
                "something of one call is used in the other, or overwritten"
            )
            return


class _Pending(NamedTuple):
    """One of two recorded calls, with an upstream gradient of its own."""

    recording: Recording
    upstream: list[Array]

    def run(self) -> Pass:
        """Run backward."""
        outputs = tuple(y.copy() for y in self.recording.outputs)
        dx = self.recording.backward(self.upstream)
        return Pass(outputs, dx, parameter_grads(self.recording.layer))


def _one_of_two(specimen: Specimen, layer: Layer, inputs: list[Array], i: int) -> _Pending:
    arrays = [x.copy() for x in inputs]
    recording = specimen.record(layer, arrays, rng=specimen.generator(i))
    return _Pending(recording, specimen.upstream(recording.outputs, 1 + i))


def accumulation(specimen: Specimen) -> Iterator[str]:
    """Check that backward adds to the gradients that are there."""
    layer = specimen.fresh()
    if not specimen.reference.parameter_grads:
        return
    for name, p in layer.named_parameters():
        size = np.abs(specimen.reference.parameter_grads[name]).max(initial=0.0) or 1.0
        p.grad = np.full(p.shape, 3.0 * size)
    before = parameter_grads(layer)
    recording = specimen.record(layer)
    recording.backward(specimen.upstream(recording.outputs))
    for name, grad in parameter_grads(layer).items():
        found = mismatch(grad, before[name] + specimen.reference.parameter_grads[name])
        if found:
            overwritten = not mismatch(grad, specimen.reference.parameter_grads[name])
            yield (
                f"the gradient of {name} is overwritten instead of added to; "
                "use ctx.add_grad(parameter, value)"
                if overwritten
                else f"with a gradient already there, the gradient of {name} {found}, the sum"
            )


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


def used_twice(specimen: Specimen) -> Iterator[str]:
    """Check that a layer that occurs twice in a model gets the gradients of both places."""
    layer = specimen.fresh()
    inputs = specimen.arrays()
    want = specimen.run(layer, inputs, training=not specimen.is_random)
    twice = _Twice(layer)
    grads = specimen.upstream(want.outputs)
    ctx = Context(twice, True, not specimen.is_random, specimen.generator())
    layer.zero_grad()
    specimen.restore_buffers(layer)
    twice.forward(ctx, *specimen.arrays(), *specimen.arrays())
    twice.backward(ctx, *grads, *(g.copy() for g in grads))
    for name, grad in parameter_grads(layer).items():
        found = mismatch(grad, 2 * want.parameter_grads[name])
        if found:
            yield f"used twice in one model, the gradient of {name} {found}, the sum of both uses"


def flat_store(specimen: Specimen) -> Iterator[str]:
    """Check that gradients land in the flat vector of an optimizer."""
    layer = specimen.fresh()
    parameters = list(layer.parameters())
    if not parameters:
        return
    store = FlatStore(parameters)
    got = specimen.run(layer)
    for found in compare(got, specimen.reference):
        yield f"after an optimizer gathered the parameters, {found}"
        return
    for name, p in layer.named_parameters():
        if p.grad is not None and not np.shares_memory(p.grad, store.grad):
            yield (
                f"the gradient of {name} is not in the optimizer's flat vector; "
                "use ctx.add_grad(parameter, value)"
            )


def input_gradient_on_demand(specimen: Specimen) -> Iterator[str]:
    """Check that without the input's gradient, the parameters' gradients are the same."""
    layer = specimen.fresh()
    try:
        got = specimen.run(layer, needs_input_grad=False)
    except Fault as fault:
        yield f"with ctx.needs_input_grad=False {fault}"
        return
    want = specimen.reference._replace(input_grads=())
    for found in compare(got, want):
        yield f"with ctx.needs_input_grad=False {found}"


def unused_outputs(specimen: Specimen) -> Iterator[str]:
    """Check that None for an output that nobody used stands for a gradient of zeros."""
    for i, got in enumerate(runs_without(specimen)):
        grads = specimen.upstream(specimen.reference.outputs)
        grads[i] = np.zeros_like(grads[i])
        if isinstance(got, Pass):
            for found in specimen.differences(got, specimen.run(upstream=grads)):
                yield f"with None as the gradient of output {i} {found}, that with zeros"


def runs_without(specimen: Specimen) -> list[Pass | Fault]:
    """Run a pass for each of several outputs, with None as its gradient."""
    found: list[Pass | Fault] = []
    outputs = specimen.reference.outputs
    for i in range(len(outputs) if len(outputs) > 1 else 0):
        grads: list[Any] = specimen.upstream(outputs)
        grads[i] = None
        try:
            found.append(specimen.run(upstream=grads))
        except Fault as fault:
            found.append(fault)
    return found


def tape_agrees(specimen: Specimen) -> Iterator[str]:
    """Check that `Layer.record` and `Tape.backward` give what forward and backward give."""
    layer = specimen.fresh()
    try:
        output, tape = layer.record(*specimen.arrays(), rng=specimen.generator())
        outputs = output if isinstance(output, tuple) else (output,)
        dx = tape.backward(*specimen.upstream(outputs), input_grad=True)
    except NpnetError as error:
        yield f"record or backward raised {describe(error)}"
        return
    got = Pass(outputs, dx if isinstance(dx, tuple) else (dx,), parameter_grads(layer))
    yield from compare(got, specimen.reference)
    recording = specimen.record(specimen.fresh())
    raw = recording.ctx.backward(*specimen.upstream(recording.outputs))
    if len(specimen.inputs) == 1 and isinstance(raw, tuple):
        yield "backward returned a tuple for the one input; return the array itself"


def _scale(one: Pass, factor: float) -> Pass:
    return one._replace(
        input_grads=tuple(None if g is None else g * factor for g in one.input_grads),
        parameter_grads={name: g * factor for name, g in one.parameter_grads.items()},
    )


def _add(one: Pass, other: Pass) -> Pass:
    dx = [
        None if a is None or b is None or a.shape != b.shape else a + b
        for a, b in zip(one.input_grads, other.input_grads, strict=True)
    ]
    both = {name: g + other.parameter_grads[name] for name, g in one.parameter_grads.items()}
    return one._replace(input_grads=tuple(dx), parameter_grads=both)
