"""What a backward pass is: rules about repeated, joint and scaled passes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from npnet.context import Context
from npnet.errors import NpnetError
from npnet.gradcheck.contract.compare import mismatch
from npnet.gradcheck.contract.subject import (
    Fault,
    Pass,
    Subject,
    compare,
    describe,
    name_of,
    parameter_grads,
)
from npnet.layer import Layer
from npnet.store import FlatStore


def inference_repeats(subject: Subject) -> Iterator[str]:
    """The same input gives the same inference output."""
    layer = subject.fresh()
    first = [y.copy() for y in subject.infer(layer)]
    subject.run(layer, subject.others())
    subject._restore_buffers(layer)
    for i, (a, b) in enumerate(zip(subject.infer(layer), first, strict=True)):
        found = mismatch(a, b)
        if found:
            yield (
                f"called again with the same input, the {name_of('output', i, first)} {found}"
            )


def recording_repeats(subject: Subject) -> Iterator[str]:
    """The same input and random numbers give the same pass, on fresh tapes of one layer."""
    layer = subject.fresh()
    subject.run(layer)
    subject.run(layer, subject.others())
    for found in compare(subject.run(layer), subject.reference):
        yield f"on a second pass with the same input and generator {found}"


def recording_equals_inference(subject: Subject) -> Iterator[str]:
    """A layer without random numbers computes the same whether it is recorded or not."""
    layer = subject.fresh()
    inferred = [y.copy() for y in subject.infer(layer)]
    modes = [False] if subject.is_random else [False, True]
    for training in modes:
        outputs = subject.record(subject.fresh(), training=training).outputs
        for i, (a, b) in enumerate(zip(outputs, inferred, strict=True)):
            found = mismatch(a, b)
            if found:
                yield (
                    f"with record(x, training={training}) the {name_of('output', i, outputs)} "
                    f"{found}, which is what inference gives"
                )
                return


def zero_gradient(subject: Subject) -> Iterator[str]:
    """A zero upstream gradient gives zero gradients."""
    layer = subject.fresh()
    zeros = [np.zeros_like(y) for y in subject.reference.outputs]
    for name, grad in subject.run(layer, upstream=zeros).named().items():
        if name.startswith("gradient") and (grad != 0).any():
            worst = np.unravel_index(int(np.nan_to_num(np.abs(grad)).argmax()), grad.shape)
            yield (
                f"the {name} is {grad[worst]:.6g} at {[int(i) for i in worst]} for an upstream "
                "gradient of zeros"
            )


def linear_backward(subject: Subject) -> Iterator[str]:
    """Backward is linear in the upstream gradient."""
    layer = subject.fresh()
    outputs = subject.reference.outputs
    first, second = subject.upstream(outputs, 1), subject.upstream(outputs, 2)
    one, other = subject.reference, subject.run(layer, upstream=second)
    for factor in (-1.0, 2.0**20, 2.0**-20):  # powers of two scale without rounding
        scaled = subject.run(layer, upstream=[np.asarray(g * factor, g.dtype) for g in first])
        for found in compare(scaled, _scale(one, factor)):
            yield f"for an upstream gradient times {factor:g} {found}"
            return
    added = [np.asarray(a + b, a.dtype) for a, b in zip(first, second, strict=True)]
    for found in subject.differences(subject.run(layer, upstream=added), _add(one, other)):
        yield f"for the sum of two upstream gradients {found}, the sum of their gradients"
        return


def two_calls(subject: Subject) -> Iterator[str]:
    """Two calls of one layer and then both backward passes, in either order, do not mix."""
    both = (subject.arrays(), subject.others())
    layer = subject.fresh()
    if "alone" not in subject.cache:
        subject.cache["alone"] = [
            subject.reference, subject.run(inputs=subject.others())
        ]  # fmt: skip
    alone: list[Pass] = subject.cache["alone"]
    total = _add(*alone)
    for order in ((0, 1), (1, 0)):
        layer.zero_grad()
        recordings = [subject.record(layer, inputs) for inputs in both]
        when = "in the order of the calls" if order == (0, 1) else "in reverse order"
        for i in order:
            outputs = recordings[i].outputs
            dx = recordings[i].backward(subject.upstream(outputs))
            got = alone[i]._replace(outputs=outputs, input_grads=dx)
            for found in compare(got, alone[i]):
                call = ("first", "second")[i]
                yield (
                    f"two calls, then both backward passes {when}: in the {call} one {found}; "
                    "something of one call is used in the other"
                )
                return
        grads = total._replace(parameter_grads=parameter_grads(layer))
        for found in compare(grads, total):
            yield f"two calls, then both backward passes {when}: {found}, the sum of both"
            return


def accumulation(subject: Subject) -> Iterator[str]:
    """Backward adds to the gradients that are there."""
    layer = subject.fresh()
    if not subject.reference.parameter_grads:
        return
    for name, p in layer.named_parameters():
        size = np.abs(subject.reference.parameter_grads[name]).max(initial=0.0) or 1.0
        p.grad = np.full(p.shape, 3.0 * size)
    before = parameter_grads(layer)
    recording = subject.record(layer)
    recording.backward(subject.upstream(recording.outputs))
    for name, grad in parameter_grads(layer).items():
        found = mismatch(grad, before[name] + subject.reference.parameter_grads[name])
        if found:
            overwritten = not mismatch(grad, subject.reference.parameter_grads[name])
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
            output = ctx.call(self.layer, *half)  # type: ignore[arg-type]
            outputs += output if isinstance(output, tuple) else [output]
        return tuple(outputs)

    def backward(self, ctx: Context, *grads: object) -> tuple[object, ...]:
        count = len(grads) // 2
        found: list[tuple[object, ...]] = []
        for half in (grads[count:], grads[:count]):
            result = ctx.calls.pop().backward(*half)  # type: ignore[arg-type]
            found.insert(0, result if isinstance(result, tuple) else (result,))
        return (*found[0], *found[1])


def used_twice(subject: Subject) -> Iterator[str]:
    """A layer that occurs twice in a model gets the gradients of both places."""
    layer = subject.fresh()
    inputs = subject.arrays()
    want = subject.run(layer, inputs, training=not subject.is_random)
    twice = _Twice(layer)
    grads = subject.upstream(want.outputs)
    ctx = Context(twice, True, not subject.is_random, subject.generator())
    layer.zero_grad()
    subject._restore_buffers(layer)
    twice.forward(ctx, *subject.arrays(), *subject.arrays())
    twice.backward(ctx, *grads, *(g.copy() for g in grads))
    for name, grad in parameter_grads(layer).items():
        found = mismatch(grad, 2 * want.parameter_grads[name])
        if found:
            yield f"used twice in one model, the gradient of {name} {found}, the sum of both uses"


def flat_store(subject: Subject) -> Iterator[str]:
    """With parameters gathered by an optimizer, the gradients land in its flat vector."""
    layer = subject.fresh()
    parameters = list(layer.parameters())
    if not parameters:
        return
    store = FlatStore(parameters)
    got = subject.run(layer)
    for found in compare(got, subject.reference):
        yield f"after an optimizer gathered the parameters, {found}"
        return
    for name, p in layer.named_parameters():
        if p.grad is not None and not np.shares_memory(p.grad, store.grad):
            yield (
                f"the gradient of {name} is not in the optimizer's flat vector; "
                "use ctx.add_grad(parameter, value)"
            )


def input_gradient_on_demand(subject: Subject) -> Iterator[str]:
    """Without the input's gradient, the parameters' gradients are the same."""
    layer = subject.fresh()
    try:
        got = subject.run(layer, needs_input_grad=False)
    except Fault as fault:
        yield f"with ctx.needs_input_grad=False {fault}"
        return
    want = subject.reference._replace(input_grads=())
    for found in compare(got, want):
        yield f"with ctx.needs_input_grad=False {found}"


def tape_agrees(subject: Subject) -> Iterator[str]:
    """`Layer.record` and `Tape.backward` give what forward and backward give."""
    layer = subject.fresh()
    try:
        output, tape = layer.record(*subject.arrays(), rng=subject.generator())
        outputs = output if isinstance(output, tuple) else (output,)
        dx = tape.backward(*subject.upstream(outputs), input_grad=True)
    except NpnetError as error:
        yield f"record or backward raised {describe(error)}"
        return
    got = Pass(outputs, dx if isinstance(dx, tuple) else (dx,), parameter_grads(layer))
    yield from compare(got, subject.reference)
    if len(subject.inputs) == 1 and isinstance(dx, tuple):
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
