"""Average pooling over windows that slide."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npnet.arguments import flag, refusal, whole_number
from npnet.ops import pool_windows
from npnet.pooling import Means, Size, Sliding
from npnet.typing import Array


class _AvgPool(Sliding, Means):
    """Average pooling over any number of axes."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, ceil_mode)
        self.count_include_pad = flag(self, "count_include_pad", count_include_pad)
        name, self.divisor_override = "divisor_override", divisor_override
        if divisor_override is not None and not whole_number(self, name, divisor_override):
            raise refusal(self, name, "another integer than 0, or None", 0)

    def divisor(self, axes: pool_windows.Axes, dtype: np.dtype[Any]) -> Array:
        """Return by what the sum of each window is divided."""
        padding = self.each(self.padding) if self.count_include_pad else ()
        count = pool_windows.elements(axes, padding, dtype)
        wanted = self.divisor_override
        return count if wanted is None else np.full_like(count, wanted)


class AvgPool2d(_AvgPool):
    """Means of windows: y_ij = mean of x_(s i - p + a, s j - p + b) over a and b.

    With stride s and padding p for each axis; 0 <= a, b < kernel size.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of a window.
    stride : int or (int, int), optional
        From one window to the next; `kernel_size` if left out.
    padding : int or (int, int)
        Zeros on both sides, at most half the kernel size.
    ceil_mode : bool
        Whether the last window may reach beyond the padding, if it starts before it. What lies
        beyond is not counted.
    count_include_pad : bool
        Whether the zeros of the padding are counted.
    divisor_override : int, optional
        Divides the sums instead of the number of elements; not 0.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, H, W) nor (C, H, W), or a window does not fit.

    References
    ----------
    ``torch.nn.AvgPool2d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> npnet.AvgPool2d(2)(x).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    spatial_axes: ClassVar[int] = 2


class AvgPool1d(_AvgPool):
    """Means of windows along the last axis: y_i = mean of x_(s i - p + a) over a.

    Parameters
    ----------
    kernel_size : int
        Length of a window.
    stride : int, optional
        From one window to the next; `kernel_size` if left out.
    padding : int
        Zeros on both sides, at most half the kernel size.
    ceil_mode : bool
        Whether the last window may reach beyond the padding, if it starts before it. What lies
        beyond is not counted.
    count_include_pad : bool
        Whether the zeros of the padding are counted.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, L) nor (C, L), or a window does not fit.

    References
    ----------
    ``torch.nn.AvgPool1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.AvgPool1d(2, 1)([[1.0, 3.0, 7.0]])
    array([[2., 5.]], dtype=float32)
    """

    spatial_axes: ClassVar[int] = 1

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)


class AvgPool3d(_AvgPool):
    """Means of windows along the last three axes.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As for `AvgPool2d`, for depth, height and width.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, D, H, W) nor (C, D, H, W), or a window does not
        fit.

    References
    ----------
    ``torch.nn.AvgPool3d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.AvgPool3d(2)(np.zeros((1, 3, 4, 4, 4))).shape
    (1, 3, 2, 2, 2)
    """

    spatial_axes: ClassVar[int] = 3
