"""Linear, the fully connected layer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npnet.arguments import flag, float_dtype, whole_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.init import uniform
from npnet.layer import Layer
from npnet.ops import elementwise as ops
from npnet.parameter import Parameter
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng


class Linear(Layer):
    """Apply an affine map to the last axis: y = x W^T + b.

    Weights and biases start uniform in (-k, k) with k = in_features^(-1/2).

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis before and after.
    bias : bool
        False leaves b out.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    ArgumentError
        If a size is not a positive integer.
    ShapeError
        In a call, if the input's last axis is not `in_features`.

    References
    ----------
    ``torch.nn.Linear``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Linear(3, 2)(np.zeros((5, 4, 3))).shape
    (5, 4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__()
        self.in_features = whole_number(self, "in_features", in_features, 1)
        self.out_features = whole_number(self, "out_features", out_features, 1)
        bias = flag(self, "bias", bias)
        dtype = float_dtype(self, "dtype", dtype)
        k = 1 / math.sqrt(self.in_features)
        rng = as_generator(rng)
        shape = (self.out_features, self.in_features)
        self.weight = Parameter(uniform(shape, -k, k, rng=rng, dtype=dtype))
        self.bias = Parameter(uniform(shape[:1], -k, k, rng=rng, dtype=dtype)) if bias else None

    def rows(self, x: Array) -> Array:
        """Return the input as rows, (m, in_features), in the parameters' dtype."""
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise shape_error(self, f"(..., {self.in_features})", x.shape)
        return x.reshape(-1, self.in_features).astype(self.weight.dtype, copy=False)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute x W^T + b; keep x, unless W is frozen."""
        rows = self.rows(x)
        y: Array = rows.dot(self.weight.data.T)
        if self.bias is not None:
            ops.add_bias(y, self.bias.data)
        ctx.save(rows if self.weight.requires_grad else None)
        ctx.shape = x.shape
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features)

    def backward(self, ctx: Context, grad: Array) -> Array | None:
        """Add grad^T x to W's gradient and the column sums to b's; return grad W."""
        (rows,) = ctx.saved
        if len(ctx.shape) != 2:
            grad = grad.reshape(-1, self.out_features)
        ctx.add_product(self.weight, grad.T, rows)
        if self.bias is not None:
            # A product with ones is the fastest sum over rows.
            ctx.add_product(self.bias, ops.constant(1.0, (len(grad),), grad.dtype), grad)
        if not ctx.needs_input_grad:
            return None
        dx: Array = grad.dot(self.weight.data)
        return dx if len(ctx.shape) == 2 else dx.reshape(ctx.shape)

    def matmul_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return that of the one product of a forward pass."""
        return [(math.prod(shapes[0][:-1]), self.in_features, self.out_features)]

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; `bias` is a flag there."""
        return self.bias is not None if name == "bias" else super()._argument(name)
