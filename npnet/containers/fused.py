"""LinearRun, which a chain runs in place of neighbouring Linear and ReLU layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.errors import NpnetError, shape_error
from npnet.layer import Layer
from npnet.layers.linear import Linear
from npnet.layers.rectifier import ReLU
from npnet.ops import elementwise as ops
from npnet.typing import Array

_ROWS = 256
"""Rows of a block at least; products with fewer are slow."""

_LINEAR, _LINEAR_BACK = Linear.forward, Linear.backward
_RELU, _RELU_BACK = ReLU.forward, ReLU.backward
_FUNCTION, _GRADIENT = ReLU.function, ReLU.gradient


class LinearRun:
    """Compute x <- x W^T + b, and max(x, 0) where a ReLU follows, for one Linear after the other.

    The results are those of the layers one by one. A ReLU overwrites what its Linear layer made,
    and in the backward pass its gradient overwrites its output: nobody else holds these arrays.

    Parameters
    ----------
    steps : tuple of (Linear, bool)
        Each layer, and whether a ReLU follows it.
    """

    def __init__(self, steps: tuple[tuple[Linear, bool], ...]) -> None:
        self.steps = steps

    @property
    def trainable(self) -> bool:
        """Whether any parameter wants a gradient."""
        return self._first_trainable() < len(self.steps)

    def _first_trainable(self) -> int:
        for i, (linear, _) in enumerate(self.steps):
            if linear.trainable:
                return i
        return len(self.steps)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute the output; keep the input of each Linear layer, and a last ReLU's output.

        A frozen layer's input is kept only if it is a ReLU's output.
        """
        shape = x.shape
        kept: list[Any] = [len(x) if len(shape) == 2 else shape]
        if len(shape) != 2 or shape[1] != self.steps[0][0].in_features:
            x = self.steps[0][0].rows(x)
        rectify = False
        for linear, next_rectify in self.steps:
            weight, bias = linear.weight, linear.bias
            w = weight._data  # not by the property, which takes longer
            if x.dtype is not w.dtype:
                x = x.astype(w.dtype, copy=False)
            kept.append(x if rectify or weight._requires_grad else None)
            rectify = next_rectify
            x = x.dot(w.T)
            if bias is None:
                x = ops.relu(x, np.empty_like(x)) if rectify else x
            elif rectify:
                ops.add_bias_relu(x, bias._data)
            else:
                ops.add_bias(x, bias._data)
        if rectify:
            kept.append(x)
        ctx.save(*kept)
        return x if len(shape) == 2 else x.reshape(*shape[:-1], x.shape[1])

    def backward(self, ctx: Context, grad: Any) -> Array | None:
        """Add to the parameters' gradients; return that of the input, None if nobody wants it."""
        (in_shape, *kept), ctx.saved = ctx.saved, ()  # each is let go when it is used
        last, rectified = self.steps[-1]
        y = kept.pop() if rectified else grad
        two_axes = type(in_shape) is int
        shape = (in_shape,) if two_axes else in_shape[:-1]
        shape = (*shape, last.out_features)
        if grad.shape != shape:
            raise shape_error(last, str(shape), grad.shape, what="gradient")
        if len(shape) != 2:
            grad = grad.reshape(-1, last.out_features)
        ones = ops.constant(1.0, (len(grad),), grad.dtype)
        if rectified:  # this gradient is somebody else's
            grad = ops.relu_grad(grad, y, np.empty_like(y))
        # Nobody wants what lies before the first layer that has something to learn.
        learns = ctx.needs_input_grad or self.steps[0][0].weight._requires_grad
        stop = 0 if learns else self._first_trainable()
        for i in range(len(self.steps) - 1, stop - 1, -1):
            linear, y = self.steps[i][0], kept.pop()
            weight, bias = linear.weight, linear.bias
            try:
                weight.add_product(grad.T, y)
                if bias is not None:
                    bias.add_product(ones, grad)
            except NpnetError as error:
                error.layer = linear
                raise
            if i == stop and not ctx.needs_input_grad:
                break
            if i and self.steps[i - 1][1]:  # y is a ReLU's, and nobody needs it any more
                if len(y) > _ROWS:
                    grad = _product_over(y, grad, weight._data)
                else:
                    ops.relu_grad_in_place(grad.dot(weight._data), y)
                    grad = y
            else:
                del y
                grad = grad.dot(weight._data)
        if not ctx.needs_input_grad:
            return None
        dx: Array = grad if len(shape) == 2 else grad.reshape(in_shape)
        return dx


def _product_over(y: Array, grad: Array, weight: Array) -> Array:
    """Write grad W over y where y > 0, and 0 elsewhere, in blocks that need little memory."""
    rows = max(_ROWS, ops.BLOCK // y.shape[1])
    for start in range(0, len(y), rows):
        part = y[start : start + rows]
        ops.relu_grad_in_place(grad[start : start + rows].dot(weight), part)
    return y


def fused(layers: Iterable[Layer]) -> list[Layer | LinearRun]:
    """Put one run in the place of neighbours wherever there is one for them.

    Subclasses, and layers with a pass of their own, stay as they are.
    """
    chain: list[Layer | LinearRun] = []
    for layer in layers:
        last = chain[-1] if chain else None
        run = last.steps if isinstance(last, LinearRun) else ()
        own = "forward" in vars(layer) or "backward" in vars(layer)
        if type(layer) is Linear and not own:
            if run and run[-1][0].out_features != layer.in_features:
                run = ()  # the layer itself will say so
            chain[len(chain) - bool(run) :] = [LinearRun((*run, (layer, False)))]
        elif type(layer) is ReLU and not own and run and not run[-1][1]:
            chain[-1] = LinearRun((*run[:-1], (run[-1][0], True)))
        else:
            chain.append(layer)
    return chain


def can_fuse() -> bool:
    """Tell whether the passes of Linear and ReLU are npnet's: nobody has replaced one."""
    return (
        Linear.forward is _LINEAR
        and Linear.backward is _LINEAR_BACK
        and ReLU.forward is _RELU
        and ReLU.backward is _RELU_BACK
        and ReLU.function is _FUNCTION
        and ReLU.gradient is _GRADIENT
    )
