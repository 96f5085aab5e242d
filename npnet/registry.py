"""Registry, which finds parameters, buffers and layers that are assigned to attributes by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from npnet.arguments import flag, refusal
from npnet.configured import Configured
from npnet.convert import real_array
from npnet.errors import ArgumentError
from npnet.parameter import Parameter
from npnet.typing import Array, ArrayLike

_REGISTRIES = ("_parameters", "_buffers", "_layers")
_CACHES = ("_inside", "_plan")
_HIDDEN = frozenset({*_REGISTRIES, *_CACHES})


class Buffer:
    """Mark an array as state of a layer that no optimizer touches, as running statistics are.

    ``self.running_mean = npnet.Buffer(np.zeros(3))`` registers the array; from then on
    ``self.running_mean`` is the array itself and may be assigned to.

    Parameters
    ----------
    data : array_like
        Numbers, also complex ones, or booleans; copied.

    Raises
    ------
    DtypeError
        If it holds something else.
    """

    def __init__(self, data: ArrayLike) -> None:
        self.data: Array = _numbers(data).copy()


def _numbers(value: ArrayLike) -> Array:
    if isinstance(value, np.ndarray) and value.dtype.kind == "c":
        return value
    return real_array(value, "buffer")


class _Structure:
    """The structure of all layers: who is registered where, and whose passes were replaced.

    What is worked out from it is worked out again when `changes` has changed.
    """

    changes = 0


structure = _Structure()


class Registry(Configured):
    """Parameters, buffers and layers, registered by assignment to attributes."""

    _parameters: dict[str, Parameter]
    _buffers: dict[str, Array]
    _layers: dict[str, Any]
    _inside: tuple[int, frozenset[int]] = (-1, frozenset())  # see `contains`

    def _prepare(self) -> None:
        for name in _REGISTRIES:
            object.__setattr__(self, name, {})

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes for a copy, whose registries are its own."""
        state = {k: dict(v) if k in _REGISTRIES else v for k, v in vars(self).items()}
        for name in _CACHES:  # which hold for the layers of the original
            state.pop(name, None)
        return state

    def __setattr__(self, name: str, value: Any) -> None:
        plain = not (self._parameters or self._layers or name in self._buffers)
        if plain and type(self).__module__.startswith("npnet."):  # made again at no cost
            value = self._checked_argument(name, value)
        super().__setattr__(name, value)  # refuses typos
        self._register(name, value)

    def _register(self, name: str, value: Any) -> None:
        where = f"{type(self).__name__}.{name}"
        if isinstance(value, np.ndarray) and name in self._parameters:
            raise ArgumentError(f"{where} is a Parameter; assign to {name}.data instead")
        home: dict[str, Any] | None = None
        if isinstance(value, Parameter):
            home = self._parameters
        elif isinstance(value, Registry):
            if value.contains(self):
                raise ArgumentError(f"{where}: a layer cannot be a part of itself")
            home = self._layers
        elif isinstance(value, Buffer):
            home, value = self._buffers, value.data
        elif isinstance(value, np.ndarray | np.number) and name in self._buffers:
            home, value = self._buffers, _numbers(value)
        else:
            _refuse_hidden(where, value)
        changes = home is self._layers or name in self._layers or callable(value)
        for registry in (self._parameters, self._buffers, self._layers):
            if registry is not home:
                registry.pop(name, None)
        if home is not None:
            home[name] = value
        object.__setattr__(self, name, value)
        if changes:  # at last: who looks meanwhile looks again
            structure.changes += 1

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._layers):
            registry.pop(name, None)
        object.__delattr__(self, name)
        structure.changes += 1

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The dtype of the first parameter, or None without parameters."""
        for p in self._parameters.values():
            return p._data.dtype
        for layer in self._layers.values():
            dtype: np.dtype[Any] | None = layer.dtype
            if dtype is not None:
                return dtype
        return None

    @property
    def trainable(self) -> bool:
        """Whether any parameter here or below wants a gradient."""
        for p in self._parameters.values():
            if p._requires_grad:
                return True
        return any(layer.trainable for layer in self._layers.values())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self.requires_grad_(value)

    def contains(self, layer: Any) -> bool:
        """Tell whether a layer is this one or registered below it.

        Parameters
        ----------
        layer : Layer

        Returns
        -------
        bool
        """
        (known, inside), changes = self._inside, structure.changes
        if known != changes:
            inside = frozenset(id(one) for _, one in self.named_layers())
            object.__setattr__(self, "_inside", (changes, inside))
        return id(layer) in inside

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
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
        if not isinstance(prefix, str):
            raise refusal("named_layers", "prefix", "text", prefix)
        yield prefix, self
        for name, layer in self._layers.items():
            yield from layer.named_layers(f"{prefix}.{name}" if prefix else name)

    def unregistered(self) -> Iterator[tuple[str, Any]]:
        """Yield name and value of the attributes but for registries and what follows from them."""
        return ((k, v) for k, v in vars(self).items() if k not in _HIDDEN)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield every parameter once, under its first dotted name.

        Yields
        ------
        name : str
        parameter : Parameter

        Raises
        ------
        ArgumentError
            If a list or dictionary holds layers or parameters, which would be left out.
        """
        seen: set[Parameter] = set()
        for prefix, layer in self.named_layers():
            for name, value in layer.unregistered():
                if type(value) not in _PLAIN:
                    _refuse_hidden(f"{type(layer).__name__}.{name}", value)
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
        for p in self._parameters.values():
            p.zero_grad()
        for layer in self._layers.values():
            layer.zero_grad()

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze all parameters here and below, or let them train again.

        What is frozen costs no product in the backward pass, keeps nothing for it, and is not
        changed by an optimizer.

        Parameters
        ----------
        requires_grad : bool
            False freezes.

        Returns
        -------
        Layer
            Itself.
        """
        requires_grad = flag(self, "requires_grad", requires_grad)
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def __repr__(self) -> str:
        lines = [f"({name}): {layer!r}" for name, layer in self._layers.items()]
        if not lines:
            return super().__repr__()
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def holds_hidden(value: Any) -> bool:
    """Tell whether a list, tuple, set or dictionary holds layers or parameters, at any depth."""
    if not isinstance(value, list | tuple | dict | set | frozenset):
        return False
    pending, seen = [value], set()
    while pending:
        holder = pending.pop()
        seen.add(id(holder))
        for item in holder.values() if isinstance(holder, dict) else holder:
            if isinstance(item, Registry | Parameter):
                return True
            if isinstance(item, list | tuple | dict | set | frozenset) and id(item) not in seen:
                pending.append(item)
    return False


def _refuse_hidden(where: str, value: Any) -> None:
    if not holds_hidden(value):
        return
    raise ArgumentError(
        f"{where}: layers and parameters in a {type(value).__name__} would not be found, trained "
        "or saved; use npnet.LayerList, npnet.LayerDict or npnet.Sequential, or an attribute for "
        "each"
    )


_PLAIN = frozenset({int, float, bool, str, type(None), np.ndarray})
