"""Sequential, a chain of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.arguments import flag
from npnet.containers.fused import LinearRun, can_fuse, fused
from npnet.containers.lists import LayerList
from npnet.context import Context
from npnet.errors import ShapeError
from npnet.layer import Layer
from npnet.registry import structure

_ARRAYS = (np.ndarray, np.generic)


class Sequential(LayerList):
    """Feed each layer's output to the next: y = f_n(... f_2(f_1(x))).

    Parameters
    ----------
    *layers : Layer
        Named ``"0"``, ``"1"``, ... in order; or one mapping of names to layers.
    fuse : bool
        Whether neighbouring `Linear` and `ReLU` layers may run as one, which gives the same
        numbers to rounding, faster and with less memory.

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

    _plan: tuple[int, list[Layer | LinearRun]] = (-1, [])  # see `_parts`

    def __init__(self, *layers: Layer | Mapping[str, Layer], fuse: bool = True) -> None:
        super().__init__()
        self.fuse = flag(self, "fuse", fuse)
        first = layers[0] if len(layers) == 1 else None
        named = first if isinstance(first, Mapping) else {str(i): f for i, f in enumerate(layers)}
        for name, layer in named.items():
            self._hold(name, layer)

    def get_config(self) -> dict[str, Any]:
        """Return the layers by name, and whether they may be fused."""
        return {"layers": (dict(self._layers),), "fuse": self.fuse}

    def _parts(self, ctx: Context) -> list[Layer | LinearRun]:
        """Return what to run: the layers, or runs in the place of some."""
        if not (ctx.fuses and self.fuse and can_fuse()):
            return list(self._layers.values())
        changes, parts = self._plan
        if changes != structure.changes:  # since the parts were worked out
            # A subclass that writes `backward` itself needs a call for each layer.
            own = type(self).backward is not Sequential.backward
            parts = list(self._layers.values()) if own else fused(self._layers.values())
            object.__setattr__(self, "_plan", (structure.changes, parts))
        return parts

    def forward(self, ctx: Context, x: Any) -> Any:
        """Run the layers in order, some neighbours as one."""
        for part in self._parts(ctx):
            if type(part) is LinearRun:  # no layer: `ctx.child` never sees it
                call = Context(part, ctx.recording, ctx.training)
                x = part.forward(call, x)
                if ctx.recording:
                    ctx.calls.append(call)
            else:
                x = ctx._run_child(part, x)
        return x

    def backward(self, ctx: Context, grad: Any) -> Any:
        """Run them in reverse, as far as somebody needs the gradient."""
        calls, wanted = ctx.calls, ctx.needs_input_grad
        stop = 0
        while not wanted and stop < len(calls) - 1 and not calls[stop].layer.trainable:
            stop += 1  # nothing to learn before this one
        behind: Any = self
        while len(calls) > stop:
            call = calls.pop()
            if not isinstance(grad, _ARRAYS):
                text = f"backward must return its input's gradient, it gave {type(grad).__name__}"
                raise ShapeError(text, behind)
            behind, needed = call.layer, wanted or len(calls) > stop
            if type(behind) is LinearRun:
                call.needs_input_grad = needed
                grad = behind.backward(call, grad)
            else:
                grad = call.backward(grad, needs_input_grad=needed)
        return grad if wanted else None

    @property
    def takes_integers(self) -> bool | tuple[bool, ...]:  # type: ignore[override]
        """Whether the first layer takes indices."""
        return next((layer.takes_integers for layer in self._layers.values()), False)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Tell type checkers that named layers are attributes."""

    def __getitem__(self, index: int | slice) -> Any:
        """Return one layer, or a chain of the same layers, with their names, for a slice."""
        if isinstance(index, slice):
            return Sequential(dict(list(self._layers.items())[index]), fuse=self.fuse)
        return super().__getitem__(index)
