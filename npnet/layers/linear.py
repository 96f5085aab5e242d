"""Linear, the fully connected layer, and Bilinear, which has two inputs."""

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
from npnet.ops import sparse
from npnet.parameter import Parameter
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng


class Linear(Layer):
    """Apply an affine map to the last axis: y = x W^T + b.

    Weights and biases start uniform in (-k, k) with k = in_features^(-1/2). The input may be a
    sparse matrix of SciPy's format CSR, of which no dense copy is made; it has no gradient.

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

    takes_sparse = True

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
        rows = x.reshape(-1, self.in_features) if x.ndim != 2 else x  # which may be sparse
        return rows.astype(self.weight.dtype, copy=False)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute x W^T + b; keep x, unless W is frozen."""
        rows = self.rows(x)
        y: Array = rows.dot(self.weight.data.T)  # a sparse matrix has the method too
        if self.bias is not None:
            ops.add_bias(y, self.bias.data)
        ctx.save(rows if self.weight.requires_grad else None)
        ctx.shape, ctx.is_sparse = x.shape, not isinstance(x, np.ndarray)
        return y if x.ndim == 2 else y.reshape(*x.shape[:-1], self.out_features)

    def backward(self, ctx: Context, grad: Array) -> Array | None:
        """Add grad^T x to W's gradient and the column sums to b's; return grad W."""
        (rows,) = ctx.saved
        if len(ctx.shape) != 2:
            grad = grad.reshape(-1, self.out_features)
        if ctx.is_sparse and rows is not None:
            ctx.add_grad(self.weight, sparse.transposed_product(grad, rows))
        else:
            ctx.add_product(self.weight, grad.T, rows)
        if self.bias is not None:
            # A product with ones is the fastest sum over rows.
            ctx.add_product(self.bias, ops.constant(1.0, (len(grad),), grad.dtype), grad)
        if not ctx.needs_input_grad or ctx.is_sparse:
            return None
        dx: Array = grad.dot(self.weight.data)
        return dx if len(ctx.shape) == 2 else dx.reshape(ctx.shape)

    def matmul_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return that of the one product of a forward pass."""
        return [(math.prod(shapes[0][:-1]), self.in_features, self.out_features)]

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; `bias` is a flag there."""
        return self.bias is not None if name == "bias" else super()._argument(name)


class Bilinear(Layer):
    """Apply a form that is linear in each of two inputs: y_k = x1^T W_k x2 + b_k.

    Weights and biases start uniform in (-k, k) with k = in1_features^(-1/2).

    Parameters
    ----------
    in1_features, in2_features, out_features : int
        Sizes of the last axis of the two inputs and of the output.
    bias : bool
        False leaves b out.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in1_features, in2_features)
    bias : Parameter, shape (out_features,), or None

    Raises
    ------
    ArgumentError
        If a size is not a positive integer.
    ShapeError
        In a call, if a last axis has another size, or the other axes of the inputs differ.

    References
    ----------
    ``torch.nn.Bilinear``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Bilinear(2, 3, 4)(np.zeros((5, 2)), np.zeros((5, 3))).shape
    (5, 4)
    """

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__()
        self.in1_features = whole_number(self, "in1_features", in1_features, 1)
        self.in2_features = whole_number(self, "in2_features", in2_features, 1)
        self.out_features = whole_number(self, "out_features", out_features, 1)
        bias = flag(self, "bias", bias)
        dtype = float_dtype(self, "dtype", dtype)
        k = 1 / math.sqrt(self.in1_features)
        rng = as_generator(rng)
        shape = (self.out_features, self.in1_features, self.in2_features)
        self.weight = Parameter(uniform(shape, -k, k, rng=rng, dtype=dtype))
        self.bias = Parameter(uniform(shape[:1], -k, k, rng=rng, dtype=dtype)) if bias else None

    def forward(self, ctx: Context, x1: Array, x2: Array) -> Array:
        """Multiply the outer products of the inputs' rows by W; keep the inputs."""
        axes = x1.shape[:-1]
        for x, size in ((x1, self.in1_features), (x2, self.in2_features)):
            if x.ndim == 0 or x.shape != (*axes, size):
                expected = f"(..., {self.in1_features}), and (..., {self.in2_features})"
                raise shape_error(self, expected, x.shape, f"the others are {axes}", what="inputs")
        dtype = self.weight.dtype
        x1 = x1.reshape(-1, self.in1_features).astype(dtype, copy=False)
        x2 = x2.reshape(-1, self.in2_features).astype(dtype, copy=False)
        ctx.save(x1, x2)
        y: Array = _outer(x1, x2).dot(self.weight.data.reshape(self.out_features, -1).T)
        if self.bias is not None:
            ops.add_bias(y, self.bias.data)
        return y.reshape(*axes, self.out_features)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, Array | None]:
        """Add grad^T times the outer products to W's gradient; contract W for the inputs'."""
        x1, x2 = ctx.saved
        axes, grad = grad.shape[:-1], grad.reshape(-1, self.out_features)
        ctx.add_grad(self.weight, grad.T.dot(_outer(x1, x2)).reshape(self.weight.shape))
        if self.bias is not None:
            ctx.add_grad(self.bias, grad.sum(axis=0))
        if not ctx.needs_input_grad:
            return None, None
        form = grad.dot(self.weight.data.reshape(self.out_features, -1))
        form = form.reshape(-1, self.in1_features, self.in2_features)
        dx1, dx2 = np.matmul(form, x2[:, :, np.newaxis]), np.matmul(x1[:, np.newaxis], form)
        return dx1.reshape(*axes, self.in1_features), dx2.reshape(*axes, self.in2_features)

    def matmul_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return that of the one product of a forward pass."""
        products = self.in1_features * self.in2_features
        return [(math.prod(shapes[0][:-1]), products, self.out_features)]

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; `bias` is a flag there."""
        return self.bias is not None if name == "bias" else super()._argument(name)


def _outer(x1: Array, x2: Array) -> Array:
    """Return the products of all pairs of a row of each: (m, n1 * n2)."""
    return (x1[:, :, np.newaxis] * x2[:, np.newaxis]).reshape(len(x1), x1.shape[1] * x2.shape[1])
