"""One pass through a layer: raw outputs and gradients, checked to be arrays.

Passes are run on the raw `forward` and `backward` with a context, below the conversions that
`Layer.record` and `Tape` make, so that what the layer itself returned can be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.gradcheck.error_text import describe
from npnet.layer import Layer
from npnet.typing import Array


class Fault(Exception):
    """A call of the layer failed or returned something else than arrays; the text says what."""


class Pass(NamedTuple):
    """What one recorded pass gave: None stands for the gradient of an integer input."""

    outputs: tuple[Array, ...]
    input_grads: tuple[Array | None, ...]
    parameter_grads: dict[str, Array]

    def named(self) -> dict[str, Array]:
        """Return every array under a name that a sentence can use."""
        found = {name_of("output", i, self.outputs): y for i, y in enumerate(self.outputs)}
        for i, grad in enumerate(self.input_grads):
            if grad is not None:
                found["gradient of " + name_of("input", i, self.input_grads)] = grad
        for name, grad in self.parameter_grads.items():
            found[f"gradient of {name}"] = grad
        return found

    def copy(self) -> Pass:
        """Copy the outputs, into which a later pass may write."""
        return self._replace(outputs=tuple(y.copy() for y in self.outputs))

    def plus(self, other: Pass) -> Pass:
        """Add the gradients of another pass."""
        dx = [
            None if a is None or b is None or a.shape != b.shape else a + b
            for a, b in zip(self.input_grads, other.input_grads, strict=True)
        ]
        both = {name: g + other.parameter_grads[name] for name, g in self.parameter_grads.items()}
        return self._replace(input_grads=tuple(dx), parameter_grads=both)

    def times(self, factor: float) -> Pass:
        """Multiply the gradients."""
        return self._replace(
            input_grads=tuple(None if g is None else g * factor for g in self.input_grads),
            parameter_grads={name: g * factor for name, g in self.parameter_grads.items()},
        )


class Recording(NamedTuple):
    """A recorded forward pass that waits for its backward pass."""

    layer: Layer
    ctx: Context
    inputs: Sequence[Array]
    outputs: tuple[Array, ...]

    def backward(self, grads: Sequence[Array], needs_input_grad: bool = True) -> Any:
        """Run the raw backward pass; return one gradient for each input."""
        try:
            result = self.ctx.backward(*grads, needs_input_grad=needs_input_grad)
        except Exception as error:
            raise Fault(f"backward raised {describe(error)}") from error
        return _checked_grads(result, self.inputs) if needs_input_grad else None


def call_forward(layer: Layer, ctx: Context, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Run `forward` and return its outputs as a tuple of arrays, or raise a `Fault`."""
    try:
        output = layer.forward(ctx, *inputs)
    except Exception as error:
        shapes = ", ".join(str(x.shape) for x in inputs)
        raise Fault(f"forward raised {describe(error)}, with inputs of shape {shapes}") from error
    outputs = output if isinstance(output, tuple) else (output,)
    if not outputs:
        raise Fault("forward returned an empty tuple; it must return at least one array")
    for i, y in enumerate(outputs):
        what = "" if len(outputs) == 1 else f" as output {i}"
        if y is None:
            raise Fault(f"forward returned None{what}; does it lack a return statement?")
        if not isinstance(y, np.ndarray | np.generic | float):
            raise Fault(
                f"forward returned a {type(y).__name__}{what}; "
                "it must return an array or, for several outputs, a tuple of arrays"
            )
        dtype = np.asarray(y).dtype
        if dtype.kind not in "fiub":
            raise Fault(f"forward returned an array of dtype {dtype}{what}, not real numbers")
    return tuple(np.asarray(y) for y in outputs)


def _checked_grads(result: Any, inputs: Sequence[Array]) -> tuple[Array | None, ...]:
    if isinstance(result, list | dict):
        raise Fault(
            f"backward returned a {type(result).__name__}; it must return an array or, for several "
            "inputs, a tuple of arrays"
        )
    grads = result if isinstance(result, tuple) else (result,)
    if len(grads) != len(inputs):
        raise Fault(
            f"backward returned {len(grads)} gradient(s) for {len(inputs)} input(s); "
            "it must return one for each, None for an integer one"
        )
    found: list[Array | None] = []
    for i, (grad, x) in enumerate(zip(grads, inputs, strict=True)):
        what = name_of("input", i, inputs)
        if x.dtype.kind != "f":
            found.append(None)
            continue
        if grad is None:
            raise Fault(f"backward returned None as the gradient of {what}, which is floating")
        if not isinstance(grad, np.ndarray | np.generic):
            raise Fault(f"backward returned a {type(grad).__name__} as the gradient of {what}")
        if grad.dtype.kind not in "fiub":
            raise Fault(
                f"backward returned dtype {grad.dtype} as the gradient of {what}, not real numbers"
            )
        found.append(np.asarray(grad))
    return tuple(found)


def parameter_grads(layer: Layer) -> dict[str, Array]:
    """Copy the parameters' gradients; one that was never filled is zero."""
    return {
        name: np.zeros_like(p.data) if p.grad is None else p.grad.copy()
        for name, p in layer.named_parameters()
    }


def name_of(kind: str, index: int, group: Sequence[Any]) -> str:
    """Return ``"input"``, or ``"input 1"`` where there are several."""
    return kind if len(group) == 1 else f"{kind} {index}"
