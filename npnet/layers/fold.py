"""Unfold, which makes columns of the windows of images, and Fold, which adds columns up again."""

from __future__ import annotations

import math

from npnet.arguments import tuple_of
from npnet.context import Context
from npnet.errors import ShapeError, shape_error
from npnet.layer import Layer
from npnet.ops import fold as ops
from npnet.ops.windows import output_size
from npnet.typing import Array

Size = int | tuple[int, int]


class _Windows(Layer):
    """Base of both: where the windows lie."""

    def __init__(self, kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> None:
        super().__init__()
        self.kernel_size = tuple_of(self, "kernel_size", kernel_size, 2, 1)
        self.dilation = tuple_of(self, "dilation", dilation, 2, 1)
        self.padding = tuple_of(self, "padding", padding, 2)
        self.stride = tuple_of(self, "stride", stride, 2, 1)

    def _count(self, size: tuple[int, ...]) -> int:
        """Return how many windows there are in images of a size."""
        twice = tuple(2 * p for p in self.padding)
        out = output_size(size, self.kernel_size, self.stride, twice, self.dilation)
        if min(out) < 1:
            raise ShapeError(f"no window fits into an image of size {size} with its padding", self)
        return math.prod(out)

    def _unfold(self, x: Array) -> Array:
        return ops.unfold(x, self.kernel_size, self.stride, self.padding, self.dilation)

    def _fold(self, columns: Array, size: tuple[int, ...]) -> Array:
        return ops.fold(columns, size, self.kernel_size, self.stride, self.padding, self.dilation)


class Unfold(_Windows):
    """Make a column of each window of an image: (n, c, height, width) to (n, c kh kw, windows).

    Windows are counted row by row; in a column come the channels, in each of them the window's
    rows. A convolution is a product of its weights with these columns.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height kh and width kw of a window.
    dilation : int or (int, int)
        The distance between neighbouring elements of a window.
    padding : int or (int, int)
        How many zeros are added on both sides of each axis.
    stride : int or (int, int)
        How far one window lies behind the other.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (n, c, height, width) nor (c, height, width), or
        smaller than a window.

    References
    ----------
    ``torch.nn.Unfold``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.Unfold(2)(np.arange(6.0).reshape(1, 1, 2, 3))[0].T
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.]])
    """

    def __init__(
        self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Copy the windows; keep nothing."""
        if x.ndim not in (3, 4):
            raise shape_error(self, "(n, channels, height, width)", x.shape)
        self._count(x.shape[-2:])
        ctx.size = x.shape[-2:]
        return self._unfold(x) if x.ndim == 4 else self._unfold(x[None])[0]

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Add up the gradients of all windows that an element is in."""
        return self._fold(grad, ctx.size) if grad.ndim == 3 else self._fold(grad[None], ctx.size)[0]


class Fold(_Windows):
    """Add columns up to images: (n, c kh kw, windows) to (n, c, height, width).

    Each column is put where `Unfold` would take it from, and what overlaps is added.

    Parameters
    ----------
    output_size : int or (int, int)
        Height and width of the images.
    kernel_size, dilation, padding, stride : int or (int, int)
        As for `Unfold`, of the windows in the output.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (n, c kh kw, windows) nor (c kh kw, windows), with as
        many windows as an image has.

    References
    ----------
    ``torch.nn.Fold``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.Fold((2, 3), 2)(np.ones((1, 4, 2)))[0, 0]
    array([[1., 2., 1.],
           [1., 2., 1.]])
    """

    def __init__(
        self,
        output_size: Size,
        kernel_size: Size,
        dilation: Size = 1,
        padding: Size = 0,
        stride: Size = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = tuple_of(self, "output_size", output_size, 2, 1)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Add up; keep nothing."""
        count, kernel = self._count(self.output_size), math.prod(self.kernel_size)
        if x.ndim not in (2, 3) or x.shape[-1] != count or x.shape[-2] % kernel:
            raise shape_error(self, f"(n, channels * {kernel}, {count})", x.shape)
        size = self.output_size
        return self._fold(x, size) if x.ndim == 3 else self._fold(x[None], size)[0]

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Copy the windows of grad."""
        return self._unfold(grad) if grad.ndim == 4 else self._unfold(grad[None])[0]
