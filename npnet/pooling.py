"""The bases of pooling layers: where their windows are, and the passes of maxima and means."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from npnet.arguments import flag, refusal, tuple_of
from npnet.context import Context
from npnet.errors import MissingMethod, ShapeError, shape_error
from npnet.layer import Layer
from npnet.ops import pool, pool_windows
from npnet.ops.pool_windows import Axes
from npnet.typing import Array

Size: TypeAlias = int | Sequence[int]
"""One integer for all axes, or one for each."""

LARGEST = 2**20
"""Of a kernel along an axis, so that the elements of a window can be counted."""


class Planes(Layer):
    """Base of layers whose input is (N, C, ...) or (C, ...), with one, two or three axes more.

    Attributes
    ----------
    spatial_axes : int
        Class attribute; how many axes follow the channels.
    """

    spatial_axes: ClassVar[int]
    habits: ClassVar[Mapping[str, str]] = {
        "pool_size": "it is kernel_size", "strides": "it is stride",
        "data_format": "leave it out; the channels are in front: (N, C, H, W)",
    }  # fmt: skip

    def sizes(self, name: str, value: Any, low: int, high: int = sys.maxsize) -> Any:
        """Return an argument as it is kept: an integer, or a tuple with one for each axis."""
        found = tuple_of(self, name, value, self.spatial_axes, low, high)
        return found if isinstance(value, tuple | list) else found[0]

    def each(self, value: Any) -> tuple[int, ...]:
        """Return what `sizes` returned as a tuple with one integer for each axis."""
        return value if isinstance(value, tuple) else (value,) * self.spatial_axes

    def planes(self, x: Array) -> Array:
        """Return an array as (planes, depth, height, width), contiguous."""
        lead = x.ndim - self.spatial_axes
        if lead not in (1, 2):
            axes = ("L", "H, W", "D, H, W")[self.spatial_axes - 1]
            raise shape_error(self, f"(N, C, {axes}) or (C, {axes})", x.shape)
        missing = (1,) * (3 - self.spatial_axes)
        return np.ascontiguousarray(x).reshape(math.prod(x.shape[:lead]), *missing, *x.shape[lead:])

    def like(self, y: Array, x: Array) -> Array:
        """Return planes with the leading axes of the input they were computed from."""
        lead = x.ndim - self.spatial_axes
        return y.reshape(*x.shape[:lead], *y.shape[y.ndim - self.spatial_axes :])

    def windows(self, x: Array) -> Axes:
        """Return the windows over an input."""
        raise MissingMethod("it has no windows(self, x)", self)


class Maxima(Planes):
    """The two passes of max pooling; a subclass says where the windows are.

    Attributes
    ----------
    return_indices : bool
        Whether the output is a tuple of the maxima and where they are.
    """

    return_indices: bool

    def forward(self, ctx: Context, x: Array) -> Array | tuple[Array, Array]:
        """Compute the maxima; keep where in its window each is, in a byte if that is enough."""
        planes, ctx.axes, ctx.shape = self.planes(x), self.windows(x), x.shape
        y, places = pool.max_pool(planes, ctx.axes, ctx.recording or self.return_indices)
        ctx.save(places)
        if places is None or not self.return_indices:
            return self.like(y, x)
        return self.like(y, x), self.like(pool.indices(places, ctx.axes), x)

    def backward(self, ctx: Context, grad: Array | None, _: Array | None = None) -> Array:
        """Return grad where the maxima were, else 0."""
        (places,) = ctx.saved
        if grad is None:  # nobody used the maxima
            return np.zeros(ctx.shape)
        return pool.max_pool_grad(self.planes(grad), places, ctx.axes).reshape(ctx.shape)


class Means(Planes):
    """The two passes of average pooling; a subclass says where the windows are."""

    def divisor(self, axes: Axes, dtype: np.dtype[Any]) -> Array:
        """Return by what the sum of each window is divided."""
        return pool_windows.elements(axes, (), dtype)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute the means; keep nothing of x."""
        planes, ctx.axes, ctx.shape = self.planes(x), self.windows(x), x.shape
        return self.like(pool.avg_pool(planes, ctx.axes, self.divisor(ctx.axes, x.dtype)), x)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return for each element its share of the gradients of its windows."""
        divisor = self.divisor(ctx.axes, grad.dtype)
        return pool.avg_pool_grad(self.planes(grad), ctx.axes, divisor).reshape(ctx.shape)


class Sliding(Planes):
    """Base of layers whose windows slide: their arguments, and where the windows are.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, ceil_mode
        As for `npnet.MaxPool2d`.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None,
        padding: Size = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = self.sizes("kernel_size", kernel_size, 1, LARGEST)
        self.stride = self.kernel_size if stride is None else self.sizes("stride", stride, 1)
        self.padding = self.sizes("padding", padding, 0)
        for k, p in zip(self.each(self.kernel_size), self.each(self.padding), strict=True):
            if p > k // 2:
                raise refusal(self, "padding", f"at most half the kernel size {k}", padding)
        self.dilation = self.sizes("dilation", dilation, 1)
        self.ceil_mode = flag(self, "ceil_mode", ceil_mode)

    def windows(self, x: Array) -> Axes:
        """Return the windows over an input."""
        axes = pool_windows.sliding(
            x.shape[x.ndim - self.spatial_axes :],
            self.each(self.kernel_size),
            self.each(self.stride),
            self.each(self.padding),
            self.each(self.dilation),
            self.ceil_mode,
        )
        for each in axes:
            if not each.count:
                raise ShapeError(
                    f"no window of size {self.kernel_size} fits into the input of shape {x.shape}; "
                    "make kernel_size or dilation smaller, or padding larger",
                    self,
                )
            if each.has_empty:
                raise ShapeError(
                    f"a window has no element of the input of shape {x.shape}, only padding and "
                    "what dilation leaves out; make one of the two smaller",
                    self,
                )
        return axes
