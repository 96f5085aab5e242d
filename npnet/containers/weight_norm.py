"""WeightNorm, around a layer, learns length and direction of a weight apart."""

from __future__ import annotations

import copy
from typing import Any

from npnet.arguments import instance, refusal, whole_number
from npnet.calls import wrong_inputs
from npnet.containers.lists import LayerDict
from npnet.context import Context
from npnet.layer import Layer
from npnet.ops import weight_norm as ops
from npnet.parameter import Parameter
from npnet.typing import Array


class _Parts(Layer):
    """Length and direction of a weight, under PyTorch's names."""

    def __init__(self, length: Array, direction: Array) -> None:
        super().__init__()
        self.original0 = Parameter(length)
        self.original1 = Parameter(direction)


class WeightNorm(Layer):
    """Let a layer learn length and direction of a weight apart: W = g * v / |v|.

    It computes what the layer does, with that weight. The state dictionary has PyTorch's keys:
    ``parametrizations.weight.original0`` is g, ``parametrizations.weight.original1`` is v, and the
    layer's other parameters keep their names. PyTorch's older function named the two ``weight_g``
    and ``weight_v``: rename these keys to load such a state.

    Parameters
    ----------
    layer : Layer
        With a parameter of that name; its other parameters are shared, the weight is copied.
    name : str
        Of the parameter.
    dim : int or None
        The axis of the weight for each index of which there is a length; None for one length, and
        so does -1, as in PyTorch.

    Attributes
    ----------
    parametrizations : LayerDict
        Under `name` the parameters ``original0``, g, and ``original1``, v.

    Raises
    ------
    ArgumentError
        If the layer has no such parameter or axis, or has layers or buffers of its own.

    References
    ----------
    Salimans, Kingma, "Weight normalization", NeurIPS 2016;
    ``torch.nn.utils.parametrizations.weight_norm``.

    Examples
    --------
    >>> import npnet
    >>> layer = npnet.WeightNorm(npnet.Linear(3, 2))
    >>> [(name, p.shape) for name, p in layer.named_parameters()]  # doctest: +NORMALIZE_WHITESPACE
    [('bias', (2,)), ('parametrizations.weight.original0', (2, 1)),
     ('parametrizations.weight.original1', (2, 3))]
    >>> layer.remove()
    Linear(in_features=3, out_features=2, bias=True)
    """

    _plain: Layer  # the layer without that weight; not registered, for its parameters are here

    def __init__(self, layer: Layer, name: str = "weight", dim: int | None = 0) -> None:
        super().__init__()
        layer = instance(self, "layer", layer, Layer)
        parameters = layer._parameters
        if not isinstance(name, str) or name not in parameters:
            kind = f"the name of a parameter of {type(layer).__name__}"
            raise refusal(self, "name", kind, name, f"it has {', '.join(parameters) or 'none'}")
        if layer._layers or layer._buffers:
            hint = "wrap the layers inside it"
            raise refusal(self, "layer", "one without layers or buffers of its own", layer, hint)
        value = parameters[name].data
        self.name, axes = name, value.ndim
        self.dim = None if dim is None else whole_number(self, "dim", dim, -axes, axes - 1)
        for other, p in parameters.items():
            if other != name:
                setattr(self, other, p)
        parts = _Parts(ops.norms(value, self._axis), value)
        self.parametrizations = LayerDict({name: parts})
        plain = copy.copy(layer)
        setattr(plain, name, None)
        object.__setattr__(self, "_plain", plain)

    @property
    def _axis(self) -> int | None:
        """The axis of the lengths, from 0."""
        if self.dim is None or self.dim == -1:
            return None
        return self.dim % self._parts.original1.data.ndim if self.dim < 0 else self.dim

    @property
    def _parts(self) -> Any:
        return self.parametrizations[self.name]

    def _with_weight(self) -> tuple[Layer, Parameter]:
        """Return a layer that has the weight as it is now, and the parameter that holds it."""
        parts, layer = self._parts, copy.copy(self._plain)
        g, v = parts.original0, parts.original1
        weight = Parameter(ops.weight(g.data, v.data, self._axis))
        weight.requires_grad_(g.requires_grad or v.requires_grad)
        for name, p in {**self._parameters, self.name: weight}.items():
            layer._parameters[name] = p
            object.__setattr__(layer, name, p)
        return layer, weight

    def remove(self) -> Layer:
        """Return the layer with the weight as it is now, as a parameter like others.

        Returns
        -------
        Layer
            A copy, which shares nothing with this one.
        """
        return copy.deepcopy(self._with_weight()[0])

    def forward(self, ctx: Context, *inputs: Any) -> Any:
        """Run the layer with its weight; keep what it keeps, and the weight."""
        ctx.layer_with_weight = layer, _ = self._with_weight()
        try:
            return layer.forward(ctx, *inputs)
        except (TypeError, AttributeError) as error:
            raise wrong_inputs(layer, ctx, inputs) or error from None

    def backward(self, ctx: Context, *grads: Any) -> Any:
        """Run the layer's backward pass; turn its weight's gradient into those of g and v."""
        layer, weight = ctx.layer_with_weight
        inputs = layer.backward(ctx, *grads)
        if weight.grad is not None:
            parts = self._parts
            g, v = parts.original0, parts.original1
            dg, dv = ops.weight_grad(weight.grad, g.data, v.data, self._axis)
            ctx.add_grad(g, dg)
            ctx.add_grad(v, dv)
        return inputs

    def matmul_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return those of the layer's products."""
        return self._with_weight()[0].matmul_shapes(*shapes)

    @property
    def takes_integers(self) -> bool | tuple[bool, ...]:  # type: ignore[override]
        """Whether the layer takes indices."""
        return self._plain.takes_integers

    @property
    def takes_sparse(self) -> bool:  # type: ignore[override]
        """Whether the layer takes sparse matrices."""
        return self._plain.takes_sparse

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; the layer is made again from its parts."""
        return self.remove() if name == "layer" else super()._argument(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"
