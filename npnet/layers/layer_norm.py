"""LayerNorm and RMSNorm, which normalise the last axes of each sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npnet.arguments import flag, float_dtype, real_number, refusal, shape
from npnet.context import Context
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.ops import layer_norm as ops
from npnet.parameter import Parameter
from npnet.typing import Array, DtypeLike


class _LastAxesNorm(Layer):
    """What both share: the axes, the parameters, and both passes."""

    _centered = True  # whether the mean is subtracted
    bias: Parameter | None

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None,
        elementwise_affine: bool,
        bias: bool,
        dtype: DtypeLike,
    ) -> None:
        super().__init__()
        self.normalized_shape = axes = shape(self, "normalized_shape", normalized_shape)
        if not axes:
            raise refusal(self, "normalized_shape", "one size at least", normalized_shape)
        self.eps = None if eps is None else real_number(self, "eps", eps, 0)
        self.elementwise_affine = flag(self, "elementwise_affine", elementwise_affine)
        bias, dtype = flag(self, "bias", bias), float_dtype(self, "dtype", dtype)
        self.weight = Parameter(np.ones(axes, dtype)) if self.elementwise_affine else None
        self.bias = Parameter(np.zeros(axes, dtype)) if self.elementwise_affine and bias else None

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; `bias` is a flag there."""
        if name == "bias":
            return self.bias is not None or not self.elementwise_affine
        return self.dtype or np.float32 if name == "dtype" else super()._argument(name)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Normalise; keep x and the statistics."""
        axes = self.normalized_shape
        if x.shape[max(0, x.ndim - len(axes)) :] != axes:
            raise shape_error(self, f"(..., {', '.join(map(str, axes))})", x.shape)
        rows = ops.rows(x, math.prod(axes))
        m, d = rows.shape
        shift, rest, inverse = np.empty((3, m), rows.dtype)
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        weight = ops.vector(self.weight, 1.0, d, rows.dtype)
        bias = ops.vector(self.bias, 0.0, d, rows.dtype)
        y = ops.layer_norm(
            rows, weight, bias, eps, self._centered, shift, rest, inverse, np.empty_like(rows)
        )
        ctx.save(rows, shift, rest, inverse)
        return y.reshape(x.shape).astype(x.dtype, copy=False)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Differentiate through the statistics too."""
        rows, shift, rest, inverse = ctx.saved
        d = rows.shape[1]
        weight = ops.vector(self.weight, 1.0, d, rows.dtype)
        dweight, dbias = np.empty((2, d))
        dx = ops.layer_norm_grad(
            ops.rows(grad, d), rows, weight, self._centered, shift, rest, inverse, dweight, dbias,
            np.empty_like(rows),
        )  # fmt: skip
        if self.weight is not None:
            ctx.add_grad(self.weight, dweight.reshape(self.weight.shape))
        if self.bias is not None:
            ctx.add_grad(self.bias, dbias.reshape(self.bias.shape))
        return dx.reshape(grad.shape).astype(grad.dtype, copy=False)


class LayerNorm(_LastAxesNorm):
    """Normalise the last axes of each sample: y = (x - mean) / sqrt(var + eps) * weight + bias.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of the last axes, over which mean and variance are taken.
    eps : float
        Added to the variance, not negative.
    elementwise_affine : bool
        Whether there are a weight and a bias.
    bias : bool
        False leaves the bias out.
    dtype : dtype
        Of the parameters, and so of the output.

    Attributes
    ----------
    weight, bias : Parameter, shape `normalized_shape`, or None
        They start at 1 and 0.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input's last axes have other sizes.

    References
    ----------
    Ba, Kiros, Hinton, "Layer normalization", 2016; ``torch.nn.LayerNorm``.

    Examples
    --------
    >>> import npnet
    >>> npnet.LayerNorm(2)([[1.0, 3.0], [7.0, 5.0]]).round(3).tolist()
    [[-1.0, 1.0], [1.0, -1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: DtypeLike = np.float32,
    ) -> None:
        eps = real_number(self, "eps", eps, 0)
        super().__init__(normalized_shape, eps, elementwise_affine, bias, dtype)


class RMSNorm(_LastAxesNorm):
    """Divide the last axes of each sample by their root mean square.

    y = x / sqrt(mean(x^2) + eps) * weight.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        Sizes of the last axes, over which the mean is taken.
    eps : float, optional
        Added to the mean square, not negative; None stands for the rounding unit of the input's
        dtype, such as 1.2e-7 for float32.
    elementwise_affine : bool
        Whether there is a weight.
    dtype : dtype
        Of the weight, and so of the output.

    Attributes
    ----------
    weight : Parameter, shape `normalized_shape`, or None
        It starts at 1.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input's last axes have other sizes.

    References
    ----------
    Zhang, Sennrich, "Root mean square layer normalization", NeurIPS 2019; ``torch.nn.RMSNorm``.

    Examples
    --------
    >>> import npnet
    >>> npnet.RMSNorm(2)([[1.0, 7.0]]).round(3)
    array([[0.2, 1.4]], dtype=float32)
    """

    _centered = False

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: DtypeLike = np.float32,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, False, dtype)

    @property
    def depends_on_dtype(self) -> bool:
        """Whether `eps` is the dtype's rounding unit, which `check_layer` asks."""
        return self.eps is None
