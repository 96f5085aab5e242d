"""LayerList and LayerDict, which hold layers for a layer that calls them itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from npnet.arguments import instance, items, shown, whole_number
from npnet.errors import ArgumentError, UnknownIndexError, UnknownNameError
from npnet.layer import Layer


class _Holder(Layer):
    """What lists and dictionaries of layers share: children by name, and no passes."""

    def _hold(self, name: Any, layer: Any) -> None:
        owner = type(self).__name__
        hint = "unpack it with *" if isinstance(layer, list | tuple) else ""
        hint = "npnet.Identity() does nothing" if layer is None else hint
        instance(owner, f"what is at {shown(name)}", layer, Layer, hint)
        named = isinstance(name, str) and name and "." not in name
        if not named or (name not in self._layers and hasattr(self, name)):
            raise ArgumentError(f"{owner} cannot name a layer {shown(name)}")
        self._register(name, layer)

    def __len__(self) -> int:
        return len(self._layers)

    def __contains__(self, layer: Any) -> bool:
        return any(layer is one for one in self._layers.values())

    def forward(self, ctx: Any, *inputs: Any) -> Any:
        """Raise: a list is no layer."""
        raise ArgumentError(
            f"{type(self).__name__} holds layers and computes nothing; call those in it: "
            "ctx.call(self.layers[0], x)",
            self,
        )


class LayerList(_Holder):
    """Layers in order, for a layer that calls them itself; they are found, trained and saved.

    Parameters
    ----------
    layers : iterable of Layer
        Named ``"0"``, ``"1"``, ... in order.

    Raises
    ------
    ArgumentError
        If something is not a layer.

    References
    ----------
    ``torch.nn.ModuleList``.

    Examples
    --------
    >>> import npnet
    >>> class Stack(npnet.Layer):
    ...     def __init__(self, depth):
    ...         super().__init__()
    ...         self.blocks = npnet.LayerList(npnet.Linear(3, 3) for _ in range(depth))
    ...     def forward(self, ctx, x):
    ...         for block in self.blocks:
    ...             x = ctx.call(block, x)
    ...         return x
    ...     def backward(self, ctx, grad):
    ...         while ctx.calls:
    ...             grad = ctx.calls.pop().backward(grad)
    ...         return grad
    >>> [name for name, _ in Stack(2).named_parameters()]
    ['blocks.0.weight', 'blocks.0.bias', 'blocks.1.weight', 'blocks.1.bias']
    """

    def __init__(self, layers: Iterable[Layer] = ()) -> None:
        super().__init__()
        self.extend(layers)

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor: the layers, or an attribute."""
        return list(self) if name == "layers" else super()._argument(name)

    def append(self, layer: Layer) -> Self:
        """Add a layer at the end.

        Parameters
        ----------
        layer : Layer

        Returns
        -------
        Layer
            Itself.
        """
        number = len(self)
        while str(number) in self._layers:  # a slice keeps the names of the whole
            number += 1
        self._hold(str(number), layer)
        return self

    def extend(self, layers: Iterable[Layer]) -> Self:
        """Add layers at the end.

        Parameters
        ----------
        layers : iterable of Layer

        Returns
        -------
        Layer
            Itself.
        """
        for layer in items(self, "layers", layers, "a list of layers"):
            self.append(layer)
        return self

    def _name_at(self, index: Any) -> str:
        names: list[str] = list(self._layers)
        index = whole_number(self, "an index", index)
        if not -len(names) <= index < len(names):
            raise UnknownIndexError(f"it has {len(names)} layers, and no number {index}", self)
        return str(names[index])

    def __iter__(self) -> Iterator[Layer]:
        return iter(list(self._layers.values()))

    def __getitem__(self, index: int | slice) -> Any:
        """Return one layer, or the same layers in a new list for a slice."""
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._layers[self._name_at(index)]

    def __setitem__(self, index: int, layer: Layer) -> None:
        self._hold(self._name_at(index), layer)

    def __delitem__(self, index: int) -> None:
        delattr(self, self._name_at(index))
        rest = list(self)
        for name in list(self._layers):
            delattr(self, name)
        self.extend(rest)


class LayerDict(_Holder):
    """Layers by name, for a layer that calls them itself; they are found, trained and saved.

    Parameters
    ----------
    layers : mapping of str to Layer

    Raises
    ------
    ArgumentError
        If something is not a layer, or a name is not usable.

    References
    ----------
    ``torch.nn.ModuleDict``.

    Examples
    --------
    >>> import npnet
    >>> heads = npnet.LayerDict({"mean": npnet.Linear(3, 1), "deviation": npnet.Linear(3, 1)})
    >>> list(heads), heads["mean"].in_features
    (['mean', 'deviation'], 3)
    """

    def __init__(self, layers: Mapping[str, Layer] | None = None) -> None:
        super().__init__()
        self.update({} if layers is None else layers)

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor: the layers by name, or an attribute."""
        return dict(self._layers) if name == "layers" else super()._argument(name)

    def update(self, layers: Mapping[str, Layer]) -> None:
        """Add layers, or put others in their place.

        Parameters
        ----------
        layers : mapping of str to Layer
        """
        for name, layer in instance(self, "layers", layers, Mapping).items():
            self._hold(name, layer)

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return list(self._layers)

    def values(self) -> Iterable[Layer]:
        """Return the layers."""
        return list(self._layers.values())

    def items(self) -> Iterable[tuple[str, Layer]]:
        """Return names and layers."""
        return list(self._layers.items())

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._layers))

    def __contains__(self, name: Any) -> bool:
        return isinstance(name, str) and name in self._layers

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            hint = f"it has {', '.join(self._layers)}"
            raise UnknownNameError(f"LayerDict has no layer {shown(name)}; {hint}")
        return self._layers[name]

    def __setitem__(self, name: str, layer: Layer) -> None:
        self._hold(name, layer)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)
