"""The attributes of layers and losses: what a call keeps on them, and copies that are protected."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import MethodType
from typing import Any

import numpy as np

from npnet.gradcheck.passes import LossLayer
from npnet.layer import Layer
from npnet.parameter import Parameter

# By the rule that is broken, the method that copies what it is given, or what it returns.
_PROTECTIONS = {
    "input unchanged": ("forward", True),
    "upstream gradient unchanged": ("backward", True),
    "output unchanged": ("forward", False),
}


def unseal(checked: Layer) -> None:
    """Let passes make new attributes, so that a layer which does can be checked to the end."""
    for _, part in _parts(checked):
        object.__setattr__(part, "_open", True)


def protected(checked: Layer, broken: Collection[str]) -> Layer:
    """Give a layer copies of what by a broken rule it changes; return it."""
    for name, given in (_PROTECTIONS[rule] for rule in broken if rule in _PROTECTIONS):
        method: Any = getattr(checked, name)  # bound, so that a deep copy has its own
        object.__setattr__(checked, name, MethodType(_copying(method.__func__, given), checked))
    return checked


def _copying(method: Callable[..., Any], given: bool) -> Callable[..., Any]:
    def copied(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(copied, value))
        return np.array(value) if isinstance(value, np.ndarray) else value

    def copying(self: Any, *arguments: Any) -> Any:
        return method(self, *map(copied, arguments)) if given else copied(method(self, *arguments))

    return copying


def attributes(checked: Layer) -> dict[str, Any]:
    """Describe by value every attribute of a loss, or of a layer, its children and classes."""
    found = {}
    for prefix, part in _parts(checked):
        buffers = part._buffers if isinstance(part, Layer) else ()
        own = part.unregistered() if isinstance(part, Layer) else vars(part).items()
        for name, value in own:
            if name not in buffers:
                found[f"{prefix}.{name}" if prefix else name] = by_value(value)
        for name, value in vars(type(part)).items():
            if isinstance(value, np.ndarray | list | dict | set | int | float):
                found[f"{type(part).__name__}.{name}"] = by_value(value)
    return found


def by_value(value: Any, depth: int = 0) -> Any:
    """Return something that compares equal as long as `value` stays the same."""
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, np.random.Generator):
        return ("generator", str(value.bit_generator.state))
    if isinstance(value, Layer | Parameter | type) or callable(value) or depth > 4:
        return id(value)
    if isinstance(value, dict):
        return [(str(k), by_value(v, depth + 1)) for k, v in value.items()]
    if isinstance(value, list | tuple):
        return [by_value(v, depth + 1) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if hasattr(value, "__dict__"):
        return (id(value), by_value(vars(value), depth + 1))
    return repr(value)


def _parts(checked: Layer) -> list[tuple[str, Any]]:
    if isinstance(checked, LossLayer):
        return [("", checked.loss)]
    return list(checked.named_layers())
