"""Adaptive pooling: the mean or maximum of as many windows as the output is to have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeAlias

from npnet.arguments import flag, refusal, whole_number
from npnet.errors import ShapeError
from npnet.ops import pool_windows
from npnet.pooling import LARGEST, Maxima, Means, Planes
from npnet.typing import Array

Size: TypeAlias = int | Sequence[int | None] | None


class _Adaptive(Planes):
    """Base of adaptive pooling: its argument, and where the windows are."""

    def __init__(self, output_size: Size) -> None:
        super().__init__()
        name, count = "output_size", self.spatial_axes
        if not isinstance(output_size, tuple | list):
            self.output_size: Any = self._size(name, output_size)
        elif len(output_size) == count:
            sizes = enumerate(output_size)
            self.output_size = tuple(self._size(f"{name}[{i}]", n) for i, n in sizes)
        else:
            raise refusal(self, name, f"an integer, or {count} of them or None", output_size)

    def _size(self, name: str, value: Any) -> int | None:
        return None if value is None else whole_number(self, name, value, 0, LARGEST)

    def windows(self, x: Array) -> pool_windows.Axes:
        """Return the windows over an input."""
        sizes = x.shape[x.ndim - self.spatial_axes :]
        if 0 in sizes:
            raise ShapeError(f"there is nothing to pool in an input of shape {x.shape}", self)
        wanted = self.output_size
        each = wanted if isinstance(wanted, tuple) else (wanted,) * self.spatial_axes
        pairs = zip(sizes, each, strict=True)
        return pool_windows.adaptive(sizes, tuple(s if n is None else n for s, n in pairs))


class _AdaptiveMax(_Adaptive, Maxima):
    """Adaptive max pooling over any number of axes."""

    def __init__(self, output_size: Size, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = flag(self, "return_indices", return_indices)


class AdaptiveAvgPool2d(_Adaptive, Means):
    """Means of windows that cover the input: so many along each axis as the output is to have.

    Along an axis of size n, the window i of m begins at i n / m, rounded down, and ends before
    (i + 1) n / m, rounded up.

    Parameters
    ----------
    output_size : int, or (int or None, int or None)
        Height and width of the output; None keeps that of the input.

    Raises
    ------
    ArgumentError
        If the output size is neither None nor an integer of at least 0.
    ShapeError
        In a call, if the input is neither (N, C, H, W) nor (C, H, W), or has no height or width.

    References
    ----------
    ``torch.nn.AdaptiveAvgPool2d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.AdaptiveAvgPool2d((1, 2))([[[1.0, 2.0, 6.0]]])
    array([[[1.5, 4. ]]], dtype=float32)
    """

    spatial_axes: ClassVar[int] = 2


class AdaptiveAvgPool1d(_Adaptive, Means):
    """Means of windows that cover the last axis: so many as the output is to have.

    Windows are as for `AdaptiveAvgPool2d`.

    Parameters
    ----------
    output_size : int
        Length of the output; None keeps that of the input.

    Raises
    ------
    ArgumentError
        If the output size is neither None nor an integer of at least 0.
    ShapeError
        In a call, if the input is neither (N, C, L) nor (C, L), or has the length 0.

    References
    ----------
    ``torch.nn.AdaptiveAvgPool1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.AdaptiveAvgPool1d(2)([[1.0, 2.0, 6.0]])
    array([[1.5, 4. ]], dtype=float32)
    """

    spatial_axes: ClassVar[int] = 1


class AdaptiveAvgPool3d(_Adaptive, Means):
    """Means of windows that cover the last three axes.

    Parameters
    ----------
    output_size : int, or three of them or None
        As for `AdaptiveAvgPool2d`, for depth, height and width.

    Raises
    ------
    ArgumentError
        If the output size is neither None nor an integer of at least 0.
    ShapeError
        In a call, if the input is neither (N, C, D, H, W) nor (C, D, H, W), or one of these is 0.

    References
    ----------
    ``torch.nn.AdaptiveAvgPool3d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.AdaptiveAvgPool3d(1)(np.zeros((2, 3, 4, 4, 4))).shape
    (2, 3, 1, 1, 1)
    """

    spatial_axes: ClassVar[int] = 3


class AdaptiveMaxPool2d(_AdaptiveMax):
    """Largest elements of windows that cover the input, as many as the output is to have.

    Windows are as for `AdaptiveAvgPool2d`, ties and NaN as for `MaxPool2d`.

    Parameters
    ----------
    output_size : int, or (int or None, int or None)
        Height and width of the output; None keeps that of the input.
    return_indices : bool
        Return also where the maxima are, int64, counted in C order over height and width.

    Raises
    ------
    ArgumentError
        If the output size is neither None nor an integer of at least 0.
    ShapeError
        In a call, if the input is neither (N, C, H, W) nor (C, H, W), or has no height or width.

    References
    ----------
    ``torch.nn.AdaptiveMaxPool2d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.AdaptiveMaxPool2d((1, 2))([[[1.0, 2.0, 6.0]]])
    array([[[2., 6.]]], dtype=float32)
    """

    spatial_axes: ClassVar[int] = 2


class AdaptiveMaxPool1d(_AdaptiveMax):
    """Largest elements of windows that cover the last axis, as many as the output is to have.

    Windows are as for `AdaptiveAvgPool2d`, ties and NaN as for `MaxPool2d`.

    Parameters
    ----------
    output_size : int
        Length of the output; None keeps that of the input.
    return_indices : bool
        Return also where the maxima are along the axis, int64.

    Raises
    ------
    ArgumentError
        If the output size is neither None nor an integer of at least 0.
    ShapeError
        In a call, if the input is neither (N, C, L) nor (C, L), or has the length 0.

    References
    ----------
    ``torch.nn.AdaptiveMaxPool1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.AdaptiveMaxPool1d(1)([[1.0, 2.0, 6.0]])
    array([[6.]], dtype=float32)
    """

    spatial_axes: ClassVar[int] = 1


class AdaptiveMaxPool3d(_AdaptiveMax):
    """Largest elements of windows that cover the last three axes.

    Parameters
    ----------
    output_size : int, or three of them or None
        As for `AdaptiveMaxPool2d`, for depth, height and width.
    return_indices : bool
        Return also where the maxima are, int64, counted in C order over the three axes.

    Raises
    ------
    ArgumentError
        If the output size is neither None nor an integer of at least 0.
    ShapeError
        In a call, if the input is neither (N, C, D, H, W) nor (C, D, H, W), or one of these is 0.

    References
    ----------
    ``torch.nn.AdaptiveMaxPool3d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.AdaptiveMaxPool3d(1)(np.zeros((2, 3, 4, 4, 4))).shape
    (2, 3, 1, 1, 1)
    """

    spatial_axes: ClassVar[int] = 3
