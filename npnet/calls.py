"""Wrong ways to call a layer, and the errors that say the right one."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from npnet.arguments import habit, name_of, wrong_call
from npnet.errors import ArgumentError, DtypeError, SignatureError
from npnet.registry import Registry, holds_hidden


class _Running(threading.local):
    """The layer whose recorded forward pass is running in a thread, if there is one."""

    layer: Any = None


running = _Running()


def refuse_direct_call(layer: Any) -> None:
    """Raise if a layer is called by itself inside the recorded pass of a model that holds it.

    It would run as inference, and nothing in it would train.
    """
    root = running.layer
    if root is None:
        return
    if any(True for _ in layer.parameters()) and not layer.trainable:
        return  # frozen on purpose, a teacher
    layers = dict(root.named_layers())
    path = next((name for name, one in layers.items() if one is layer), None)
    parent, _, name = ("", "", "") if path is None else path.rpartition(".")
    if path is None and not any(
        holds_hidden(value) for one in layers.values() for _, value in one.unregistered()
    ):
        return
    child = f"self.{name}" if name.isidentifier() else "layer"
    raise ArgumentError(
        f"{type(layer).__name__} was called directly inside forward, where it would not train; "
        f"write ctx.call({child}, x)",
        layers[parent],
    )


def not_registered(parent: Any, layer: Any) -> ArgumentError:
    """Return the error for a call of something that is no layer of the caller's."""
    if not isinstance(layer, Registry):
        return ArgumentError(f"ctx.call expects a layer first, got {type(layer).__name__}", parent)
    return ArgumentError(
        f"ctx.call of a {type(layer).__name__} that is not registered: nobody would train or save "
        "it; make it an attribute in __init__, or keep several in a npnet.LayerList",
        parent,
    )


def wrong_inputs(
    layer: Any, ctx: Any, inputs: tuple[Any, ...]
) -> SignatureError | DtypeError | None:
    """Return the error for a number of inputs that `forward` does not take, or None."""
    signature = inspect.signature(layer.forward)
    try:
        signature.bind(ctx, *inputs)
    except TypeError:
        names = list(signature.parameters)
        if names[:1] != ["ctx"] and len(names) == len(inputs):
            given = ", ".join(["self", *names])
            right = ", ".join(["self", "ctx", *names])
            return SignatureError(
                f"forward({given}) lacks the context; write forward({right})", layer
            )
        takes = ", ".join(names[1:])
        return SignatureError(f"expected the inputs ({takes}), got {len(inputs)} of them", layer)
    return missing_input(layer, inputs)


def missing_input(layer: Any, inputs: Sequence[Any]) -> DtypeError | None:
    """Return the error for an input that is None where `forward` has no default, or None."""
    for x in inputs:
        if x is None:
            break
    else:
        return None  # signatures are slow
    parameters = list(inspect.signature(layer.forward).parameters.values())[1:]
    for x, p in zip(inputs, parameters, strict=False):
        if x is None and p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD:
            return DtypeError(f"expected an array as the input {p.name}, got None", layer)
    return None


def by_position(
    function: Callable[..., Any], owner: Any, given: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[Any, ...]:
    """Return the inputs of a call of which some were given by name, in the function's order."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(*given, **named)
    except TypeError as error:
        habits = {name: habit(owner, name) for name in named}
        raise wrong_call(function, name_of(owner), given, named, habits) or error from None
    bound.apply_defaults()
    last = max(list(signature.parameters).index(name) for name in named)
    return tuple(bound.arguments.values())[: max(last + 1, len(given))]


def wrong_grads(layer: Any, ctx: Any, grads: Sequence[Any]) -> SignatureError | None:
    """Return the error for a number of gradients that `backward` does not take, or None."""
    signature = inspect.signature(layer.backward)
    try:
        signature.bind(ctx, *grads)
    except TypeError:
        names = ", ".join(signature.parameters)
        return SignatureError(
            f"backward(self, {names}) must take the context and one gradient for each output "
            f"({len(grads)}): backward(self, ctx, grad)",
            layer,
        )
    return None
