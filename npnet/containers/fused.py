"""LinearReLU, which a chain runs in place of a Linear layer and the ReLU behind it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from npnet.context import Context
from npnet.layer import Layer
from npnet.layers.activation import ReLU
from npnet.layers.linear import Linear
from npnet.ops import elementwise as ops
from npnet.typing import Array


class LinearReLU(Layer):
    """Compute y = max(x W^T + b, 0) in one array, as the two layers do in two.

    Parameters
    ----------
    linear : Linear
        Whose parameters are used.
    """

    def __init__(self, linear: Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x and y."""
        linear, weight, bias = self.linear, self.linear.weight.data, self.linear.bias
        if x.ndim == 2 and x.shape[1] == linear.in_features and x.dtype == weight.dtype and bias:
            y: Array = x.dot(weight.T)
            ops.add_bias_relu(y, bias.data)
        else:
            z = linear.forward(ctx, x)
            y = ops.relu(z, np.empty_like(z))
        ctx.save(x, y)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array | None:
        """Return the gradient with respect to x, None if nobody wants it."""
        x, y = ctx.saved
        mine = ctx.owns_grad and grad.dtype == y.dtype
        grad = ops.relu_grad(grad, y, grad if mine else np.empty_like(y))
        ctx.saved = (x,)
        del y  # memory is needed most here
        return self.linear.backward(ctx, grad)


MAKE_GRADIENTS = (Linear, LinearReLU)
"""Layers whose backward returns an array that nobody else holds, a product."""


def fused(layers: Iterable[Layer]) -> list[Layer]:
    """Put one layer in the place of two neighbours wherever there is one for them.

    Parameters
    ----------
    layers : iterable of Layer
        A chain.

    Returns
    -------
    list of Layer
        A chain that computes the same. Subclasses stay as they are.
    """
    chain: list[Layer] = []
    for layer in layers:
        if type(layer) is ReLU and chain and type(chain[-1]) is Linear:
            chain[-1] = LinearReLU(chain[-1])
        else:
            chain.append(layer)
    return chain
