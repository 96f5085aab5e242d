"""One pass through a layer: raw outputs and gradients, checked to be arrays."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from types import MethodType
from typing import Any, NamedTuple

import numpy as np

from npnet.context import Context
from npnet.gradcheck.comparison import describe
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.typing import Array

# By the rule that is broken, the method that copies what it is given, or what it returns.
_PROTECTIONS = {
    "input unchanged": ("forward", True),
    "upstream gradient unchanged": ("backward", True),
    "output unchanged": ("forward", False),
}
_ADVICE = "; it must return an array or, for several {}, a tuple of arrays"


class Fault(Exception):
    """A call of the layer failed or returned something else than arrays; the text says what."""


def attempt(what: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function; raise a `Fault` if that raises."""
    try:
        return function(*arguments, **options)
    except Fault:
        raise
    except Exception as error:
        raise Fault(f"{what} raised {describe(error)}") from error


@contextlib.contextmanager
def saying(when: str) -> Iterator[None]:
    """Put words around the text of a `Fault`."""
    try:
        yield
    except Fault as fault:
        raise Fault(f"{when} {fault}") from fault.__cause__


class Finding(NamedTuple):
    """What a rule found; `kind` is that of the diagnosis if not the rule's, or "note"."""

    message: str
    tensor: str = ""
    kind: str = ""


Findings = Iterator[str | Finding]


class Pass(NamedTuple):
    """What one pass gave: None stands for the gradient of an integer input."""

    outputs: tuple[Array, ...]
    input_grads: tuple[Array | None, ...] = ()
    parameter_grads: dict[str, Array] = {}  # noqa: RUF012

    def named(self) -> dict[str, Array]:
        """Return every array under a name that a sentence can use."""
        found = {name_of("output", i, self.outputs): y for i, y in enumerate(self.outputs)}
        for i, grad in enumerate(self.input_grads):
            if grad is not None:
                found["gradient of " + name_of("input", i, self.input_grads)] = grad
        return found | {f"gradient of {n}": grad for n, grad in self.parameter_grads.items()}

    def copy(self) -> Pass:
        """Copy the outputs, into which a later pass may write."""
        return self._replace(outputs=tuple(y.copy() for y in self.outputs))

    def plus(self, other: Pass, add: Callable[..., Any] = np.add) -> Pass:
        """Add the gradients of another pass, or combine both in another way."""
        dx = [
            None if a is None or b is None or a.shape != b.shape else add(a, b)
            for a, b in zip(self.input_grads, other.input_grads, strict=True)
        ]
        named = self.parameter_grads.items()
        both = {name: add(g, other.parameter_grads[name]) for name, g in named}
        return self._replace(input_grads=tuple(dx), parameter_grads=both)

    def times(self, factor: float) -> Pass:
        """Multiply the gradients."""
        return self.plus(self, lambda g, _: g * factor)


class Recording(NamedTuple):
    """A recorded forward pass that waits for its backward pass."""

    layer: Layer
    ctx: Context
    inputs: Sequence[Array]
    outputs: tuple[Array, ...]

    def backward(self, grads: Sequence[Any], needs_input_grad: bool = True) -> Any:
        """Run the raw backward pass; return one gradient for each input."""
        result = attempt("backward", self.ctx.backward, *grads, needs_input_grad=needs_input_grad)
        return _checked_grads(result, self.layer, self.inputs) if needs_input_grad else ()


class LossLayer(Layer):
    """A loss as a layer of its arguments and sample weights, for which the same rules hold."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.differentiated = [loss.arguments.index(name) for name in loss.predictions]

    def forward(self, ctx: Context, *inputs: Any) -> Array:
        """Call the loss; if recording, `value_and_grad`."""
        if not ctx.recording:
            return np.asarray(self.ask("__call__", inputs))
        value, grad = self.ask("value_and_grad", inputs)
        grads = grad if isinstance(grad, tuple) else (grad,)
        if len(grads) != len(self.differentiated):
            names = ", ".join(self.loss.predictions)
            raise Fault(f"value_and_grad returned {len(grads)} gradient(s) for {names}")
        given = dict(zip(self.differentiated, grads, strict=True))
        ctx.grads = tuple(given.get(i) for i in range(len(inputs)))
        return np.asarray(value)

    def backward(self, ctx: Context, grad: Array) -> Any:
        """Return the gradients, whatever flows back into the value."""
        return ctx.grads

    def ask(self, name: str, inputs: Sequence[Any]) -> Any:
        """Call the loss or a method of it, or raise a `Fault`."""
        count, what = len(self.loss.arguments), "the call" if name == "__call__" else name
        weight = (*inputs[count:], None)[0]
        return attempt(what, getattr(self.loss, name), *inputs[:count], sample_weight=weight)


def parts(checked: Layer) -> list[tuple[str, Any]]:
    """List the layer and its children, with dotted names; of a loss, the loss."""
    return [("", checked.loss)] if isinstance(checked, LossLayer) else [*checked.named_layers()]


def unseal(checked: Layer) -> None:
    """Let passes make new attributes, so that a layer which does can be checked to the end."""
    for _, part in parts(checked):
        object.__setattr__(part, "_open", True)


def protected(layer: Layer, broken: Collection[str]) -> Layer:
    """Give a layer copies of what by a broken rule it changes; return it."""
    for name, given in (_PROTECTIONS[rule] for rule in broken if rule in _PROTECTIONS):
        method: Any = getattr(layer, name)  # bound, so that a deep copy has its own
        object.__setattr__(layer, name, MethodType(_copying(method.__func__, given), layer))
    return layer


def _copying(method: Callable[..., Any], given: bool) -> Callable[..., Any]:
    def copying(self: Any, ctx: Any, *arrays: Any) -> Any:
        result = method(self, ctx, *copy.deepcopy(arrays) if given else arrays)
        return result if given else copy.deepcopy(result)

    return copying


def call_forward(layer: Layer, ctx: Context, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Run `forward` and return its outputs as a tuple of arrays, or raise a `Fault`."""
    try:
        output = layer.forward(ctx, *inputs)
    except Fault:
        raise
    except Exception as error:
        shapes = ", ".join(str(x.shape) for x in inputs)
        raise Fault(f"forward raised {describe(error)}, with inputs of shape {shapes}") from error
    outputs = output if isinstance(output, tuple) else (output,)
    if not outputs:
        raise Fault("forward returned an empty tuple; it must return at least one array")
    found = []
    for i, y in enumerate(outputs):
        what = "" if len(outputs) == 1 else f" as output {i}"
        if y is None:
            raise Fault(f"forward returned None{what}; does it lack a return statement?")
        y = np.asarray(y) if isinstance(y, float) else y
        found.append(_as_array("forward", y, what, _ADVICE.format("outputs")))
    return tuple(found)


def differentiated(layer: Layer, inputs: Sequence[Array]) -> list[bool]:
    """Tell of each input whether it has a gradient; of a loss, only predictions have."""
    among = layer.differentiated if isinstance(layer, LossLayer) else range(len(inputs))
    return [x.dtype.kind == "f" and i in among for i, x in enumerate(inputs)]


def _checked_grads(result: Any, layer: Layer, inputs: Sequence[Array]) -> tuple[Array | None, ...]:
    if isinstance(result, list | dict):
        raise Fault(f"backward returned a {type(result).__name__}{_ADVICE.format('inputs')}")
    grads = list(result) if isinstance(result, tuple) else [result]
    if len(grads) != len(inputs):
        counts = f"{len(grads)} gradient(s) for {len(inputs)} input(s)"
        raise Fault(f"backward returned {counts}; it must return one for each, None for integers")
    for i, wanted in enumerate(differentiated(layer, inputs)):
        what = f" as the gradient of {name_of('input', i, inputs)}"
        if wanted and grads[i] is None:
            raise Fault(f"backward returned None{what}, which is floating")
        grads[i] = _as_array("backward", grads[i], what) if wanted else None
    return tuple(grads)


def _as_array(who: str, value: Any, what: str, advice: str = "") -> Array:
    if not isinstance(value, np.ndarray | np.generic):
        raise Fault(f"{who} returned a {type(value).__name__}{what}{advice}")
    if value.dtype.kind not in "fiub":
        raise Fault(f"{who} returned an array of dtype {value.dtype}{what}, not real numbers")
    return np.asarray(value)


def parameter_grads(layer: Layer) -> dict[str, Array]:
    """Copy the parameters' gradients; one that was never filled is zero."""
    return {
        name: np.zeros_like(p.data) if p.grad is None else p.grad.copy()
        for name, p in layer.named_parameters()
    }


def name_of(kind: str, index: int, group: Sequence[Any]) -> str:
    """Return ``"input"``, or ``"input 1"`` where there are several."""
    return kind if len(group) == 1 else f"{kind} {index}"


def tensor_of(name: str) -> str:
    """Return the tensor whose gradient is called so; empty for an output."""
    return name.removeprefix("gradient of ") if name.startswith("gradient of ") else ""
