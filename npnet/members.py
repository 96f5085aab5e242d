"""Members, which registers what is assigned to a layer's attributes and finds it again by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from npnet.errors import ArgumentError
from npnet.parameter import Parameter
from npnet.sealed import Sealed
from npnet.typing import Array, ArrayLike

if TYPE_CHECKING:
    from npnet.layer import Layer


class Buffer:
    """Mark an array as state of a layer that no optimizer touches, as running statistics are.

    ``self.running_mean = npnet.Buffer(np.zeros(3))`` registers the array; from then on
    ``self.running_mean`` is the array itself and may be assigned to.

    Parameters
    ----------
    data : array_like
        Copied.
    """

    def __init__(self, data: ArrayLike) -> None:
        self.data: Array = np.array(data)


class Members(Sealed):
    """Parameters, buffers and layers, registered by assignment to attributes."""

    _parameters: dict[str, Parameter]
    _buffers: dict[str, Array]
    _layers: dict[str, Layer]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make the registries, so that a constructor can assign at once."""
        layer = super().__new__(cls)
        for name in ("_parameters", "_buffers", "_layers"):
            object.__setattr__(layer, name, {})
        return layer

    def __init__(self) -> None:
        """Take no arguments; a subclass's constructor names its own."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)  # refuses typos
        self._register(name, value)

    def _register(self, name: str, value: Any) -> None:
        where = f"{type(self).__name__}.{name}"
        _refuse_unregistered(where, value)
        if isinstance(value, np.ndarray) and name in self._parameters:
            raise ArgumentError(f"{where} is a Parameter; assign to {name}.data instead")
        home: dict[str, Any] | None = None
        if isinstance(value, Parameter):
            home = self._parameters
        elif isinstance(value, Members):
            home = self._layers
        elif isinstance(value, Buffer):
            home, value = self._buffers, value.data
        elif isinstance(value, np.ndarray | np.number) and name in self._buffers:
            home, value = self._buffers, np.asarray(value)
        for registry in (self._parameters, self._buffers, self._layers):
            if registry is not home:
                registry.pop(name, None)
        if home is not None:
            home[name] = value
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._layers):
            registry.pop(name, None)
        object.__delattr__(self, name)

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The dtype of the first parameter, or None without parameters."""
        for p in self._parameters.values():
            return p.dtype
        for layer in self._layers.values():
            dtype = layer.dtype
            if dtype is not None:
                return dtype
        return None

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield the layer itself as ``""`` and every layer below it under its dotted name.

        Parameters
        ----------
        prefix : str
            Put before every name.

        Yields
        ------
        name : str
        layer : Layer
        """
        yield prefix, self  # type: ignore[misc]
        for name, layer in self._layers.items():
            yield from layer.named_layers(f"{prefix}.{name}" if prefix else name)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter once, under its first dotted name.

        Yields
        ------
        name : str
        parameter : Parameter
        """
        seen: set[Parameter] = set()
        for prefix, layer in self.named_layers():
            for name, p in layer._parameters.items():
                if p not in seen:
                    seen.add(p)
                    yield f"{prefix}.{name}" if prefix else name, p

    def parameters(self) -> Iterator[Parameter]:
        """Yield every parameter once.

        Yields
        ------
        parameter : Parameter
        """
        return (p for _, p in self.named_parameters())

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.zero_grad()

    def extra_repr(self) -> str:
        """Return the constructor arguments as `repr` shows them.

        Returns
        -------
        str
        """
        return ""

    def __repr__(self) -> str:
        lines = [f"({name}): {layer!r}" for name, layer in self._layers.items()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def _refuse_unregistered(name: str, value: Any) -> None:
    """Refuse layers and parameters inside a list, where nobody would find them."""
    if not isinstance(value, list | tuple | dict):
        return
    items = value.values() if isinstance(value, dict) else value
    if any(isinstance(item, Members | Parameter) for item in items):
        raise ArgumentError(
            f"{name}: layers and parameters in a {type(value).__name__} would not be found; "
            "use npnet.Sequential or an attribute for each"
        )
