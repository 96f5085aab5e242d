"""Sequential, a chain of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.arguments import flag
from npnet.containers.fused import LinearRun, can_fuse, fused
from npnet.containers.lists import LayerList
from npnet.context import Context
from npnet.errors import ShapeError
from npnet.layer import Layer
from npnet.registry import structure

_GRADS = (np.ndarray, np.generic)


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

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor: the layers by name, or an attribute."""
        return (dict(self._layers),) if name == "layers" else super()._argument(name)

    def _parts(self, ctx: Context) -> list[Layer | LinearRun]:
        """Return what to run: the layers, or runs in the place of some."""
        own = type(self).backward is not _BACKWARD or "backward" in vars(self)
        if own or not (ctx.fuses and self.fuse and can_fuse()):
            return list(self._layers.values())  # an own backward pass finds a call for each
        changes = structure.changes  # before looking at the layers: others may change them
        parts = fused(self._layers.values())
        object.__setattr__(self, "_plan", (changes, parts))
        return parts

    def forward(self, ctx: Context, *xs: Any) -> Any:
        """Run the layers in order, some neighbours as one."""
        changes, plan = self._plan
        known = changes == structure.changes and type(self).backward is _BACKWARD
        parts: Iterable[Layer | LinearRun] = plan
        if not (known and ctx.fuses and self.fuse and can_fuse()):
            parts = self._parts(ctx)
        x: Any = xs[0] if len(xs) == 1 else xs
        if type(x) is not np.ndarray:  # the layers themselves say what they take
            parts = self._layers.values()
        for part in parts:
            if type(part) is LinearRun:  # no layer: `ctx.child` never sees it
                if type(x) is tuple:
                    ctx._run_child(part.steps[0][0], *x)  # which raises
                call = Context(part, ctx.recording, ctx.training)
                x = part.forward(call, x)
                if ctx.recording:
                    ctx.calls.append(call)
            elif type(x) is tuple:
                x = ctx._run_child(part, *x)
            else:
                x = ctx._run_child(part, x)
        return x

    def backward(self, ctx: Context, *grads: Any) -> Any:
        """Run them in reverse, as far as somebody needs the gradient."""
        calls, wanted = ctx.calls, ctx.needs_input_grad
        stop = 0
        while not wanted and stop < len(calls) - 1 and not calls[stop].layer.trainable:
            stop += 1  # nothing to learn before this one
        behind: Any = self
        while len(calls) > stop:
            call = calls.pop()
            for grad in grads:
                if not isinstance(grad, _GRADS) and (grad is not None or len(grads) == 1):
                    got = type(grad).__name__
                    text = f"backward must return its input's gradient, it gave {got}"
                    raise ShapeError(text, behind)
            behind, needed = call.layer, wanted or len(calls) > stop
            result: Any
            if type(behind) is LinearRun:
                call.needs_input_grad = needed
                result = behind.backward(call, grads[0])
            else:
                result = call.backward(*grads, needs_input_grad=needed)
            grads = result if type(result) is tuple else (result,)
        if not wanted:
            return None
        return grads[0] if len(grads) == 1 else grads

    @property
    def takes_integers(self) -> bool | tuple[bool, ...]:  # type: ignore[override]
        """Whether the first layer takes indices."""
        return next((layer.takes_integers for layer in self._layers.values()), False)

    @property
    def takes_sparse(self) -> bool:  # type: ignore[override]
        """Whether the first layer takes sparse matrices."""
        return next((layer.takes_sparse for layer in self._layers.values()), False)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Tell type checkers that named layers are attributes."""

    def __getitem__(self, index: int | slice) -> Any:
        """Return one layer, or a chain of the same layers, with their names, for a slice."""
        if isinstance(index, slice):
            return Sequential(dict(list(self._layers.items())[index]), fuse=self.fuse)
        return super().__getitem__(index)


_BACKWARD = Sequential.backward
