"""Power-average pooling: p-norms of windows."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from npnet.arguments import norm_order, refusal
from npnet.context import Context
from npnet.ops import pool
from npnet.pooling import Size, Sliding
from npnet.typing import Array


class _LPPool(Sliding):
    """Power-average pooling over any number of axes."""

    def __init__(
        self,
        norm_type: float,
        kernel_size: Size,
        stride: Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, ceil_mode=ceil_mode)
        self.norm_type = norm_order(self, "norm_type", norm_type)
        if self.norm_type == 0:
            raise refusal(self, "norm_type", "another number than 0", norm_type)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute the norms; keep x, and the means of its powers or where its extremes are."""
        planes, axes, norm = self.planes(x), self.windows(x), self.norm_type
        ctx.axes, ctx.shape = axes, x.shape
        if math.isinf(norm):
            sign = math.copysign(1, norm)
            y, places = pool.max_pool(np.abs(planes) * sign, axes, ctx.recording)
            ctx.save(planes, places)
            return self.like(y * sign, x)
        y, mean = pool.lp_pool(planes, axes, norm, math.prod(self.each(self.kernel_size)))
        ctx.save(planes, mean)
        return self.like(y, x)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad times the derivative of the norms."""
        planes, kept = ctx.saved
        grad, norm = self.planes(grad), self.norm_type
        if math.isinf(norm):
            dx = pool.max_pool_grad(grad, kept, ctx.axes)
            dx *= np.sign(planes)
            dx[planes != planes] = 0  # as in PyTorch
        else:
            size = math.prod(self.each(self.kernel_size))
            dx = pool.lp_pool_grad(grad, planes, kept, ctx.axes, norm, size)
        return dx.reshape(ctx.shape)


class LPPool2d(_LPPool):
    """Norms of windows, without absolute values: y = (sum of x^p)^(1/p).

    Windows are as for `MaxPool2d`. A sum that is negative, as with an odd p, or a power of a
    negative number that is not real, gives NaN. A sum of 0 has the gradient 0. With p infinite,
    y is the largest (or smallest) absolute value.

    Parameters
    ----------
    norm_type : float
        The exponent p, not 0.
    kernel_size : int or (int, int)
        Height and width of a window.
    stride : int or (int, int), optional
        From one window to the next; `kernel_size` if left out.
    ceil_mode : bool
        Whether the last window may reach beyond the input; its sum then counts as if it were as
        large as the others: it is multiplied by their number of elements and divided by its own.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, H, W) nor (C, H, W), or a window does not fit.

    References
    ----------
    ``torch.nn.LPPool2d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.LPPool2d(2, (1, 2))([[[3.0, 4.0]]])
    array([[[5.]]], dtype=float32)
    """

    spatial_axes: ClassVar[int] = 2


class LPPool1d(_LPPool):
    """Norms of windows along the last axis, without absolute values: y = (sum of x^p)^(1/p).

    What is not real, and sums of 0, are as for `LPPool2d`.

    Parameters
    ----------
    norm_type : float
        The exponent p, not 0.
    kernel_size : int
        Length of a window.
    stride : int, optional
        From one window to the next; `kernel_size` if left out.
    ceil_mode : bool
        Whether the last window may reach beyond the input, as for `LPPool2d`.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, L) nor (C, L), or a window does not fit.

    References
    ----------
    ``torch.nn.LPPool1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.LPPool1d(2, 2)([[3.0, 4.0, 0.0, 2.0]])
    array([[5., 2.]], dtype=float32)
    """

    spatial_axes: ClassVar[int] = 1


class LPPool3d(_LPPool):
    """Norms of windows along the last three axes, without absolute values.

    Parameters
    ----------
    norm_type, kernel_size, stride, ceil_mode
        As for `LPPool2d`, for depth, height and width.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, D, H, W) nor (C, D, H, W), or a window does not
        fit.

    References
    ----------
    ``torch.nn.LPPool3d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.LPPool3d(2, 2)(np.zeros((1, 3, 4, 4, 4))).shape
    (1, 3, 2, 2, 2)
    """

    spatial_axes: ClassVar[int] = 3
