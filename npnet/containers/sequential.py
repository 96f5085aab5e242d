"""Sequential, a chain of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from npnet.containers.fused import LinearRun, fused
from npnet.context import Context
from npnet.errors import ArgumentError, ShapeError
from npnet.layer import Layer

_ARRAYS = (np.ndarray, np.generic)


class Sequential(Layer):
    """Feed each layer's output to the next: y = f_n(... f_2(f_1(x))).

    Parameters
    ----------
    *layers : Layer
        Named ``"0"``, ``"1"``, ... in order; or one mapping of names to layers.

    Raises
    ------
    ArgumentError
        If something is not a layer, or a name is not usable.

    References
    ----------
    ``torch.nn.Sequential``.

    Examples
    --------
    >>> import npnet
    >>> model = npnet.Sequential(npnet.Linear(4, 8), npnet.ReLU()).append(npnet.Linear(8, 2))
    >>> len(model), model[-1].out_features, [name for name, _ in model.named_parameters()]
    (3, 2, ['0.weight', '0.bias', '2.weight', '2.bias'])
    >>> npnet.Sequential({"hidden": npnet.Linear(4, 8), "act": npnet.ReLU()}).hidden.out_features
    8
    """

    _chain: Sequence[Layer] = ()  # as it runs

    def __init__(self, *layers: Layer | Mapping[str, Layer]) -> None:
        super().__init__()
        first = layers[0] if len(layers) == 1 else None
        named = first if isinstance(first, Mapping) else {str(i): f for i, f in enumerate(layers)}
        for name, layer in named.items():
            self._append(name, layer)

    def _append(self, name: str, layer: Any) -> None:
        if not isinstance(layer, Layer):
            hint = "; add parentheses to create it" if isinstance(layer, type) else ""
            hint = "; unpack it with *" if isinstance(layer, list | tuple) else hint
            raise ArgumentError(f"Sequential expects layers, got {layer!r} at {name!r}{hint}")
        if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
            raise ArgumentError(f"Sequential cannot name a layer {name!r}")
        self._register(name, layer)

    def _register(self, name: str, value: Any) -> None:
        super()._register(name, value)
        self._rebuild()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._rebuild()

    def _rebuild(self) -> None:
        # A subclass with passes of its own finds a call for each layer.
        cls = type(self)
        own = (cls.forward, cls.backward) != (Sequential.forward, Sequential.backward)
        object.__setattr__(self, "_chain", list(self) if own else fused(self))

    def append(self, layer: Layer) -> Self:
        """Add a layer at the end.

        Parameters
        ----------
        layer : Layer

        Returns
        -------
        Sequential
            Itself.
        """
        number = len(self)
        while str(number) in self._layers:  # a slice keeps the names of the whole
            number += 1
        self._append(str(number), layer)
        return self

    def forward(self, ctx: Context, x: Any) -> Any:
        """Run the layers in order, some neighbours as one."""
        chain = self._chain if ctx.fuses else list(self)
        run = ctx.run = chain[0] if len(chain) == 1 and type(chain[0]) is LinearRun else None
        if run is not None:  # which needs no context of its own
            return run.forward(ctx, x)
        for layer in chain:
            x = ctx.call(layer, x)
        return x

    def backward(self, ctx: Context, grad: Any) -> Any:
        """Run them in reverse, as far as somebody needs the gradient."""
        run = getattr(ctx, "run", None)  # a subclass may have a forward of its own
        if run is not None:
            return run.backward(ctx, grad)
        calls, wanted = ctx.calls, ctx.needs_input_grad
        stop = 0
        while not wanted and stop < len(calls) and calls[stop].layer.dtype is None:
            stop += 1  # nothing to learn before this one
        behind: Layer = self
        while len(calls) > stop:
            call = calls.pop()
            is_array = isinstance(grad, _ARRAYS)
            if not is_array:
                text = f"backward must return its input's gradient, it gave {type(grad).__name__}"
                raise ShapeError(text, behind)
            behind = call.layer
            grad = call.backward(grad, needs_input_grad=wanted or len(calls) > stop)
        return grad if wanted else None

    @property
    def takes_integers(self) -> bool:  # type: ignore[override]
        """Whether the first layer takes indices."""
        return any(layer.takes_integers for layer in list(self)[:1])

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Tell type checkers that named layers are attributes."""

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers.values())

    def __getitem__(self, index: int | slice) -> Any:
        """Return one layer, or a chain of the same layers for a slice."""
        named = list(self._layers.items())
        if isinstance(index, slice):
            return Sequential(dict(named[index]))
        return named[index][1]
