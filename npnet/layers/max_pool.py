"""Max pooling over windows that slide."""

from __future__ import annotations

from typing import ClassVar

from npnet.arguments import flag
from npnet.pooling import Maxima, Size, Sliding


class _MaxPool(Sliding, Maxima):
    """Max pooling over any number of axes."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)
        self.return_indices = flag(self, "return_indices", return_indices)


class MaxPool2d(_MaxPool):
    """Largest elements of windows: y_ij = max of x_(s i - p + d a, s j - p + d b) over a, b.

    With stride s, padding p and dilation d for each axis; 0 <= a, b < kernel size. Of equal
    elements the first one, in C order, has the gradient. If there is a NaN in a window, its
    maximum is NaN; the last one has the gradient.

    Parameters
    ----------
    kernel_size : int or (int, int)
        Height and width of a window.
    stride : int or (int, int), optional
        From one window to the next; `kernel_size` if left out.
    padding : int or (int, int)
        Elements on both sides that never are the maximum, at most half the kernel size.
    dilation : int or (int, int)
        From one element of a window to the next.
    return_indices : bool
        Return also where the maxima are, int64, counted in C order over height and width.
        `MaxUnpool2d` takes them.
    ceil_mode : bool
        Whether the last window may reach beyond the padding, if it starts before it.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, H, W) nor (C, H, W), or a window does not fit.

    References
    ----------
    ``torch.nn.MaxPool2d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> npnet.MaxPool2d(2)(x).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    spatial_axes: ClassVar[int] = 2


class MaxPool1d(_MaxPool):
    """Largest elements of windows along the last axis: y_i = max of x_(s i - p + d a) over a.

    Ties and NaN are as for `MaxPool2d`.

    Parameters
    ----------
    kernel_size : int
        Length of a window.
    stride : int, optional
        From one window to the next; `kernel_size` if left out.
    padding : int
        Elements on both sides that never are the maximum, at most half the kernel size.
    dilation : int
        From one element of a window to the next.
    return_indices : bool
        Return also where the maxima are along the axis, int64. `MaxUnpool1d` takes them.
    ceil_mode : bool
        Whether the last window may reach beyond the padding, if it starts before it.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, L) nor (C, L), or a window does not fit.

    References
    ----------
    ``torch.nn.MaxPool1d``.

    Examples
    --------
    >>> import npnet
    >>> y, indices = npnet.MaxPool1d(2, return_indices=True)([[3.0, 1.0, 2.0, 4.0]])
    >>> y.tolist(), indices.tolist()
    ([[3.0, 4.0]], [[0, 3]])
    """

    spatial_axes: ClassVar[int] = 1


class MaxPool3d(_MaxPool):
    """Largest elements of windows along the last three axes.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode
        As for `MaxPool2d`, for depth, height and width.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is neither (N, C, D, H, W) nor (C, D, H, W), or a window does not
        fit.

    References
    ----------
    ``torch.nn.MaxPool3d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.MaxPool3d(2)(np.zeros((1, 3, 4, 4, 4))).shape
    (1, 3, 2, 2, 2)
    """

    spatial_axes: ClassVar[int] = 3
