"""What is done to copies of a layer: parameters moved, attributes allowed, arrays protected."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from types import MethodType
from typing import Any

import numpy as np

from npnet.gradcheck.passes import LossLayer
from npnet.layer import Layer
from npnet.typing import Array

# By the rule that is broken, the method that copies what it is given, or what it returns.
_PROTECTIONS = {
    "input unchanged": ("forward", True),
    "upstream gradient unchanged": ("backward", True),
    "output unchanged": ("forward", False),
}


def move_constants(layer: Layer) -> bool:
    """Replace what is constant in parameters and buffers by random numbers near it; tell if any."""
    rng, moved = np.random.default_rng(5), False
    for p in layer.parameters():
        if _hides_bugs(p.data):
            p.data, moved = _near(p.data, rng, rng.choice([-1.0, 1.0], p.shape)), True
    for _, part in layer.named_layers():
        for name, value in list(part._buffers.items()):
            if value.dtype.kind == "f" and value.ndim and _hides_bugs(value):
                setattr(part, name, _near(value, rng, 1.0))
                moved = True
    return moved


def _hides_bugs(values: Array) -> bool:
    one = np.unique(values)
    return one.size == 1 and (values.size > 1 or one[0] in (-1, 0, 1))


def _near(values: Array, rng: np.random.Generator, sign: Array | float) -> Array:
    factor, shift = rng.uniform(0.7, 1.3, values.shape), rng.uniform(0.1, 0.5, values.shape)
    return np.asarray(np.where(values == 0, sign * shift, values * factor), values.dtype)


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
