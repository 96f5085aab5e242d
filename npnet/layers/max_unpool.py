"""The way back from max pooling: values at their indices."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from npnet.context import Context
from npnet.errors import DtypeError, ShapeError, UnknownIndexError, shape_error
from npnet.ops import pool
from npnet.pooling import Planes, Size
from npnet.typing import Array


class _MaxUnpool(Planes):
    """Max unpooling over any number of axes."""

    takes_integers = (False, True, True)

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        self.kernel_size = self.sizes("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else self.sizes("stride", stride, 1)
        self.padding = self.sizes("padding", padding, 0)

    def _sizes(self, x: Array, wanted: Array | None) -> tuple[int, ...]:
        """Return the output's sizes, the default or those asked for, along the last axes."""
        count = self.spatial_axes
        arguments = map(self.each, (self.kernel_size, self.stride, self.padding))
        terms = zip(x.shape[x.ndim - count :], *arguments, strict=True)
        sizes = tuple((n - 1) * s + k - 2 * p for n, k, s, p in terms)
        if wanted is not None:
            if wanted.dtype.kind not in "iu" or wanted.shape not in ((count,), (count + 2,)):
                raise ShapeError(
                    f"output_size expects {count} integers, or {count + 2} with the batch and the "
                    f"channels, got {wanted.tolist()}",
                    self,
                )
            asked = tuple(wanted.tolist()[-count:])
            stride = self.each(self.stride)
            if any(abs(a - n) >= s for a, n, s in zip(asked, sizes, stride, strict=True)):
                raise ShapeError(
                    f"output_size expects less than the stride {self.stride} more or less than "
                    f"{sizes}, got {asked}",
                    self,
                )
            sizes = asked
        if min(sizes) < 1:
            raise ShapeError(f"an input of shape {x.shape} gives an output of sizes {sizes}", self)
        return sizes

    def forward(
        self, ctx: Context, x: Array, indices: Array, output_size: Array | None = None
    ) -> Array:
        """Write x at the indices, 0 elsewhere; keep the indices."""
        planes = self.planes(x)
        planes = planes.reshape(len(planes), math.prod(planes.shape[1:]))
        if indices.dtype.kind not in "iu":
            raise DtypeError(f"indices expects integers, got {indices.dtype}", self)
        if indices.shape != x.shape:
            raise shape_error(self, f"{x.shape}, that of the values", indices.shape, what="indices")
        sizes = self._sizes(x, output_size)
        if indices.size and (indices.min() < 0 or indices.max() >= math.prod(sizes)):
            raise UnknownIndexError(
                f"indices expects integers from 0 to {math.prod(sizes) - 1}, for an output of "
                f"sizes {sizes}, got {indices.min()} to {indices.max()}",
                self,
            )
        index = indices.astype(np.int64).reshape(planes.shape)
        ctx.save(index)
        ctx.shape, ctx.others = x.shape, (None,) * (1 if output_size is None else 2)
        y = pool.max_unpool(planes, index, math.prod(sizes))
        return y.reshape(*x.shape[: x.ndim - self.spatial_axes], *sizes)

    def backward(self, ctx: Context, grad: Array) -> tuple[Array | None, ...]:
        """Return grad at the indices."""
        (index,) = ctx.saved
        planes = grad.reshape(len(index), math.prod(grad.shape[grad.ndim - self.spatial_axes :]))
        return pool.max_unpool_grad(planes, index).reshape(ctx.shape), *ctx.others


class MaxUnpool2d(_MaxUnpool):
    """Write maxima back to where they were, and 0 elsewhere: the way back from `MaxPool2d`.

    Called as ``unpool(values, indices)`` with what `MaxPool2d` gave with `return_indices`, and
    ``unpool(values, indices, output_size=(H, W))`` where several sizes give the same. Of values at
    the same index, as windows that overlap have, the last one is written and has the gradient.
    (PyTorch 2.13 gives each of them the gradient.)

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of a window.
    stride : int or (int, int), optional
        From one window to the next; `kernel_size` if left out.
    padding : int or (int, int)
        What was added on both sides.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    DtypeError
        In a call, if the indices are not integers.
    ShapeError
        In a call, if values and indices are not both (N, C, H, W) or (C, H, W), or
        `output_size` is a stride or more away from ``(n - 1) stride - 2 padding + kernel_size``.
    UnknownIndexError
        In a call, if an index is outside the output.

    References
    ----------
    ``torch.nn.MaxUnpool2d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.MaxUnpool2d(2)([[[5.0]]], [[[3]]]).tolist()
    [[[0.0, 0.0], [0.0, 5.0]]]
    """

    spatial_axes: ClassVar[int] = 2


class MaxUnpool1d(_MaxUnpool):
    """Write maxima back to where they were, and 0 elsewhere: the way back from `MaxPool1d`.

    Called as ``unpool(values, indices)`` or ``unpool(values, indices, output_size=(L,))``. Values
    at the same index are as for `MaxUnpool2d`.

    Parameters
    ----------
    kernel_size : int
        Length of a window.
    stride : int, optional
        From one window to the next; `kernel_size` if left out.
    padding : int
        What was added on both sides.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    DtypeError
        In a call, if the indices are not integers.
    ShapeError
        In a call, if values and indices are not both (N, C, L) or (C, L), or `output_size` is a
        stride or more away from ``(n - 1) stride - 2 padding + kernel_size``.
    UnknownIndexError
        In a call, if an index is outside the output.

    References
    ----------
    ``torch.nn.MaxUnpool1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.MaxUnpool1d(2)([[5.0, 2.0]], [[1, 2]])
    array([[0., 5., 2., 0.]], dtype=float32)
    """

    spatial_axes: ClassVar[int] = 1


class MaxUnpool3d(_MaxUnpool):
    """Write maxima back to where they were, and 0 elsewhere: the way back from `MaxPool3d`.

    Called as ``unpool(values, indices)`` or ``unpool(values, indices, output_size=(D, H, W))``.
    Values at the same index are as for `MaxUnpool2d`.

    Parameters
    ----------
    kernel_size, stride, padding
        As for `MaxUnpool2d`, for depth, height and width.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    DtypeError
        In a call, if the indices are not integers.
    ShapeError
        In a call, if values and indices are not both (N, C, D, H, W) or (C, D, H, W), or
        `output_size` is a stride or more away from ``(n - 1) stride - 2 padding + kernel_size``.
    UnknownIndexError
        In a call, if an index is outside the output.

    References
    ----------
    ``torch.nn.MaxUnpool3d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.MaxUnpool3d(1)([[[[5.0]]]], [[[[0]]]]).tolist()
    [[[[5.0]]]]
    """

    spatial_axes: ClassVar[int] = 3
