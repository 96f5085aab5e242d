"""What a backward pass is: rules about repeated, joint and scaled passes."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.passes import (
    Fault,
    Finding,
    Findings,
    Pass,
    parameter_grads,
    saying,
    tensor_of,
)
from npnet.gradcheck.under_test import UnderTest
from npnet.store import FlatStore


def repeatable(under_test: UnderTest) -> Findings:
    """Check that the same input and random numbers give the same results, recorded or not."""
    layer = under_test.fresh()
    passes = [under_test.run(layer) for _ in range(3)]
    changed = under_test.compared(passes[1], passes[0], every=True)
    for name, found in changed.items():
        tensor, (one, two, three) = tensor_of(name), [p.named()[name] for p in passes]
        if not tensor:
            when = "in a second recorded pass with the same input and the same generator"
            advice = "random numbers must come from ctx.rng, and nothing may be kept on the layer"
            yield f"{when} the {name} {found}: {advice} between calls"
            break
        text = f"identical passes gave different gradients: that of {tensor} {found}; backward"
        text, kind = f"{text} uses random numbers, or state from another call", ""
        if not mismatch(three - two, two - one):
            text, kind = f"the gradient of {tensor} grows with every identical pass", "stale state"
            text += f": it outlives the call; use {_add_grad(tensor)}"
        yield Finding(text, tensor, kind)
    layer = under_test.fresh()
    first = under_test.infer(layer).copy()
    under_test.run(layer, under_test.others())
    under_test.restore_buffers(layer)
    for name, found in under_test.compared(under_test.infer(layer), first, every=True).items():
        yield f"called again with the same input, the {name} {found}"


def _add_grad(name: str) -> str:
    return f"ctx.add_grad(self.{name.rpartition('.')[2]}, ...)"


def recording_equals_inference(under_test: UnderTest) -> Findings:
    """Check that a layer without random numbers computes the same whether it is recorded or not."""
    inferred = under_test.infer()
    for training in [False] if under_test.is_random else [False, True]:
        recorded = Pass(under_test.record(training=training).outputs)
        says = f"with record(x, training={training}) {{}}, which is what inference gives"
        yield from under_test.differences(recorded, inferred, says)


def zero_gradient(under_test: UnderTest) -> Findings:
    """Check that a zero upstream gradient gives zero gradients."""
    got = under_test.run(upstream=[np.zeros_like(y) for y in under_test.reference.outputs])
    for name, grad in got._replace(outputs=()).named().items():
        if found := mismatch(grad, np.zeros_like(grad), 0.0):
            yield f"for an upstream gradient of zeros the {name} {found}"


def linear_backward(under_test: UnderTest) -> Findings:
    """Check that backward is linear in the upstream gradient."""
    layer, reference = under_test.fresh(), under_test.reference
    first, second = (under_test.upstream(reference.outputs, i) for i in (1, 2))
    for text, factor in (("-1", -1.0), ("2**20", 2.0**20), ("2**-20", 2.0**-20)):  # are exact
        scaled = under_test.run(layer, upstream=[np.asarray(g * factor, g.dtype) for g in first])
        says = f"for an upstream gradient times {text}, divided by as much, {{}}"
        yield from under_test.differences(scaled.times(1 / factor), reference, says)
    added = [np.asarray(a + b, a.dtype) for a, b in zip(first, second, strict=True)]
    total = reference.plus(under_test.run(layer, upstream=second))
    got, says = under_test.run(layer, upstream=added), "for the sum of two upstream gradients {}"
    yield from under_test.differences(got, total, f"{says}, the sum of their gradients")


def two_calls(under_test: UnderTest) -> Findings:
    """Check that two calls and then both backward passes, in either order, do not mix."""

    def calls(layer: Any, *order: int) -> dict[int, Pass]:
        """Record these calls one after the other, then run them back in the order given."""
        layer.zero_grad()
        inputs, recorded = (under_test.arrays, under_test.others), {}
        for i in sorted(order):
            recorded[i] = under_test.record(layer, inputs[i](), rng=under_test.generator(i))
        return {i: under_test.finish(recorded[i], 1 + i) for i in order}

    alone = [calls(under_test.fresh(), i)[i] for i in (0, 1)]
    layer = under_test.fresh()
    for order, words in (((0, 1), "in the order of the calls"), ((1, 0), "in reverse order")):
        got = calls(layer, *order)
        both = Pass((), (), got[order[1]].parameter_grads)
        pairs = [(got[i]._replace(parameter_grads={}), alone[i], i) for i in order]
        for one, want, i in (*pairs, (both, alone[0].plus(alone[1]), 2)):
            end = (" of the first {}", " of the second {}", " {}, the sum of both")[i]
            for name, found in under_test.compared(one, want).items():
                text = f"with two calls and then both backward passes {words}, the {name}"
                advice = "what backward needs belongs into ctx, not on the layer"
                yield Finding(f"{text}{end.format(found)}; {advice}", tensor_of(name))
                return


def accumulation(under_test: UnderTest) -> Findings:
    """Check that backward adds to the gradients that are there, in the vector of an optimizer."""
    layer, alone = under_test.fresh(), under_test.reference.parameter_grads
    parameters = dict(layer.named_parameters())
    if not parameters:
        return
    for name, p in parameters.items():
        p.grad = np.full(p.shape, 3.0 * (np.abs(alone[name]).max(initial=0.0) or 1.0))
    before = under_test.reference._replace(parameter_grads=parameter_grads(layer))
    store = FlatStore(list(parameters.values()))
    after = Pass((), (), under_test.finish(under_test.record(layer)).parameter_grads)
    for name, p in parameters.items():
        if p.grad is not None and not np.shares_memory(p.grad, store.grad):
            text = f"the gradient of {name} is not in the optimizer's vector; use {_add_grad(name)}"
            yield Finding(text, name)
    for name, found in under_test.compared(after, under_test.reference.plus(before)).items():
        tensor = tensor_of(name)
        text, kind = f"backward overwrites the {name} instead of adding to it", ""
        if mismatch(after.parameter_grads[tensor], alone[tensor]):
            text = f"with a gradient already there, the {name} {found}, the sum"
            kind = "stale state"
        yield Finding(f"{text}; use {_add_grad(tensor)}", tensor, kind)


def input_gradient_on_demand(under_test: UnderTest) -> Findings:
    """Check that without the input's gradient, the parameters' gradients are the same."""
    when = "with ctx.needs_input_grad=False, as in training,"
    recording = under_test.record()
    with saying(when):
        recording.backward(under_test.upstream(recording.outputs), needs_input_grad=False)
    got = Pass(recording.outputs, (), parameter_grads(recording.layer))
    for name, found in under_test.compared(got, under_test.reference).items():
        kind = "stale state" if got.named()[name].any() else ""
        yield Finding(f"{when} the {name} {found}", tensor_of(name), kind)


def unused_outputs(under_test: UnderTest) -> Findings:
    """Check that None for an output that nobody used stands for a gradient of zeros."""
    outputs = under_test.reference.outputs
    for i, y in enumerate(outputs):
        if not any(other.dtype.kind == "f" for other in (*outputs[:i], *outputs[i + 1 :])):
            continue  # without this output nothing flows back, and nobody runs backward
        zero, none = under_test.upstream(outputs), list[Any](under_test.upstream(outputs))
        zero[i], none[i] = np.zeros_like(y), None
        when = f"with None as the gradient of output {i}, which nobody used,"
        try:
            got = under_test.run(upstream=none)
        except Fault as fault:  # all outputs may always be used
            yield Finding(f"{when} {fault}; None stands for zeros", kind="note")
            continue
        want = under_test.run(upstream=zero)
        yield from under_test.differences(got, want, f"{when} {{}}, that with zeros")


def tape_agrees(under_test: UnderTest) -> Findings:
    """Check that `Layer.record` and `Tape.backward` give the same, also if the output changes."""
    for changes in (False, True):
        layer, rng = under_test.fresh(), under_test.generator()
        output, tape = layer.record(*under_test.arrays(), training=under_test.training, rng=rng)
        outputs = output if isinstance(output, tuple) else (output,)
        upstream = under_test.upstream(outputs)
        for y in outputs if changes else ():
            if y.flags.writeable:
                y.fill(5)
        dx = tape.backward(*upstream, input_grad=True)
        got = Pass(outputs, dx if isinstance(dx, tuple) else (dx,), parameter_grads(layer))
        if not changes:
            yield from under_test.differences(got, under_test.reference)
            continue
        says = "after the caller wrote into the output, {}; keep it, or a copy, with ctx.save(...)"
        yield from under_test.differences(got._replace(outputs=()), under_test.reference, says)
    recording = under_test.record()
    raw = recording.ctx.backward(*under_test.upstream(recording.outputs))
    if len(under_test.inputs) == 1 and isinstance(raw, tuple):
        yield "backward returned a tuple for the one input; return the array itself"
