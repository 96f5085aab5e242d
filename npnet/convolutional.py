"""Convolutional, the base of convolutions and of transposed ones over any number of axes."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import flag, float_dtype, refusal, tuple_of, whole_number
from npnet.context import Context
from npnet.errors import ShapeError, shape_error
from npnet.init import uniform
from npnet.layer import Layer
from npnet.ops import conv as ops
from npnet.parameter import Parameter
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng

AXES = {1: "length", 2: "height, width", 3: "depth, height, width"}
"""What the axes are called in errors."""


class Convolutional(Layer):
    """Base of layers whose weight is a kernel that moves over the input.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, dilation, groups, bias, dtype, rng
        As for `npnet.Conv2d`.
    transposed : bool
        Whether the weight has the input's channels first.

    Attributes
    ----------
    axes : int
        Class attribute: over how many axes the kernel moves.
    exact : bool
        Whether ways to compute are ruled out whose rounding errors are larger than a product's.
    weight : Parameter
        (out_channels, in_channels / groups, *kernel_size), or with the first two exchanged.
    bias : Parameter, shape (out_channels,), or None
    """

    axes: ClassVar[int]
    exact: bool = True
    _shows_defaults = False
    habits: ClassVar = {
        "filters": "it is called out_channels", "strides": "it is called stride",
        "dilation_rate": "it is called dilation", "use_bias": "it is called bias",
        "data_format": "channels are the second axis: x.transpose(0, 3, 1, 2) brings them there",
        "activation": "it is a layer behind this one, such as npnet.ReLU()",
    }  # fmt: skip

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...],
        dilation: int | tuple[int, ...],
        groups: int,
        bias: bool,
        dtype: DtypeLike,
        rng: Rng,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = whole_number(self, "in_channels", in_channels, 1)
        self.out_channels = whole_number(self, "out_channels", out_channels, 1)
        self.kernel_size = tuple_of(self, "kernel_size", kernel_size, self.axes, 1)
        self.stride = tuple_of(self, "stride", stride, self.axes, 1)
        self.dilation = tuple_of(self, "dilation", dilation, self.axes, 1)
        self.groups = whole_number(self, "groups", groups, 1)
        bias = flag(self, "bias", bias)
        dtype = float_dtype(self, "dtype", dtype)
        first, second = self.out_channels, self.in_channels
        if first % self.groups or second % self.groups:
            kind = f"a divisor of in_channels={second} and out_channels={first}"
            raise refusal(self, "groups", kind, self.groups)
        if transposed:
            first, second = second, first
        shape = (first, second // self.groups, *self.kernel_size)
        k = 1 / math.sqrt(math.prod(shape[1:]))
        rng = as_generator(rng)
        self.weight = Parameter(uniform(shape, -k, k, rng=rng, dtype=dtype))
        shape = (self.out_channels,)
        self.bias = Parameter(uniform(shape, -k, k, rng=rng, dtype=dtype)) if bias else None

    def batch(self, x: Array) -> Array:
        """Return the input as a batch, (n, in_channels, ...), in the parameters' dtype."""
        if x.ndim not in (self.axes + 1, self.axes + 2) or x.shape[-1 - self.axes] != (
            self.in_channels
        ):
            hint = ""
            if x.ndim == self.axes + 2 and x.shape[-1] == self.in_channels:
                hint = f"np.moveaxis(x, -1, 1) brings the {self.in_channels} channels there"
            elif x.ndim == self.axes + 1 and self.in_channels == 1:
                hint = "x[:, np.newaxis] adds the axis of channels"
            expected = f"(n, {self.in_channels}, {AXES[self.axes]})"
            raise shape_error(self, expected, x.shape, hint)
        if 0 in x.shape[-self.axes :]:
            raise ShapeError(f"there is nothing to convolve in an input of shape {x.shape}", self)
        if x.ndim == self.axes + 1:
            x = x[np.newaxis]
        return x.astype(self.weight.dtype, copy=False)

    def add_grads(
        self,
        ctx: Context,
        grad: Array,
        x: Array | None,
        y: Array | None,
        dw: Array | None = None,
    ) -> None:
        """Add to the parameters' gradients.

        `grad` is the output's; the weight's is that of a convolution of x with the output's
        gradient y, if it is not given as dw. The one of the two that the pass kept is None if the
        weight was frozen.
        """
        if x is None or y is None:
            ctx.add_product(self.weight, grad, None)  # raises if it no longer is
        elif self.weight.requires_grad:
            if dw is None:
                dw = ops.weight_grad(x, y, ctx.geometry, self.exact)
            ctx.add_grad(self.weight, dw)
        if self.bias is not None and self.bias.requires_grad:
            ctx.add_grad(self.bias, ops.bias_grad(grad))

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor: `bias` is a flag, equal numbers are one."""
        if name == "bias":
            return self.bias is not None
        value = super()._argument(name)
        return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value
