"""LayerNorm."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.context import Context
from npnet.layer import Layer
from npnet.parameter import Parameter
from npnet.typing import Array, DtypeLike


class LayerNorm(Layer):
    """Normalise the last axis: y = (x - mean) / sqrt(var + eps) * weight + bias."""

    def __init__(
        self,
        normalized_shape: int,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DtypeLike = np.float32,
    ) -> None:
        super().__init__()
        self.normalized_shape, self.eps = normalized_shape, eps
        self.elementwise_affine = elementwise_affine
        self.weight = Parameter(np.ones(normalized_shape, dtype))
        self.bias = Parameter(np.zeros(normalized_shape, dtype)) if bias else None

    def forward(self, ctx: Context, x: Array) -> Array:
        """Normalise."""
        d = x - x.mean(axis=-1, keepdims=True)
        s = 1 / np.sqrt((d * d).mean(axis=-1, keepdims=True) + self.eps)
        h = d * s
        ctx.save(h, s)
        y: Array = h * self.weight.data
        return y if self.bias is None else y + self.bias.data

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Differentiate."""
        h, s = ctx.saved
        axes = tuple(range(grad.ndim - 1))
        ctx.add_grad(self.weight, (grad * h).sum(axis=axes))
        if self.bias is not None:
            ctx.add_grad(self.bias, grad.sum(axis=axes))
        g = grad * self.weight.data
        g -= g.mean(axis=-1, keepdims=True) + h * (g * h).mean(axis=-1, keepdims=True)
        g *= s
        return np.asarray(g)

    def _argument(self, name: str) -> Any:
        return self.bias is not None if name == "bias" else super()._argument(name)
