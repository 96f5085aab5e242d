"""The attributes of layers and losses, by name and by value, to see what a call keeps on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.parameter import Parameter


def unseal(checked: Layer | Loss) -> None:
    """Let passes make new attributes, so that a layer which does can be checked to the end."""
    for _, part in _parts(checked):
        object.__setattr__(part, "_open", True)


def attributes(checked: Layer | Loss) -> dict[str, Any]:
    """Describe by value every attribute of a loss, or of a layer, its children and classes."""
    found = {}
    for prefix, part in _parts(checked):
        for name, value in _own(part):
            found[f"{prefix}.{name}" if prefix else name] = by_value(value)
        for name, value in vars(type(part)).items():
            if isinstance(value, np.ndarray | list | dict | set | int | float):
                found[f"{type(part).__name__}.{name}"] = by_value(value)
    return found


def new_attribute(name: str) -> str:
    """Say that a pass made an attribute."""
    return (
        f"a call makes the attribute {name} (outside of this check that raises NameTypoError); "
        "keep nothing on self, so that two calls do not mix; what backward needs goes into ctx"
    )


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


def _parts(checked: Layer | Loss) -> list[tuple[str, Any]]:
    return list(checked.named_layers()) if isinstance(checked, Layer) else [("", checked)]


def _own(part: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(part, Layer):
        yield from vars(part).items()
        return
    for name, value in part.unregistered():
        if name not in part._buffers:
            yield name, value
