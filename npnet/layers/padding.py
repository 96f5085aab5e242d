"""Layers that add elements around the last one, two or three axes, or cut them off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from npnet.arguments import real_number, refusal, whole_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.ops import padding as ops
from npnet.typing import Array

_SIDES = ("left", "right", "top", "bottom", "front", "back")


class _Pad(Layer):
    """Pad the last `axes` axes; a subclass says how many they are, and the mode of `ops`."""

    axes: ClassVar[int]
    mode: ClassVar[str]
    value = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        if not isinstance(padding, tuple | list):
            padding = (whole_number(self, "padding", padding),) * (2 * self.axes)
        elif len(padding) != 2 * self.axes:
            sides = ", ".join(_SIDES[: 2 * self.axes])
            raise refusal(self, "padding", f"an integer, or one for each of ({sides})", padding)
        sizes = zip(_SIDES, padding, strict=False)
        self.padding = tuple(whole_number(self, f"padding {side}", n) for side, n in sizes)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Pad; keep nothing."""
        if self.mode == "constant":
            fits, expected = x.ndim >= self.axes, "(..., {0})"
        else:
            fits, expected = self.axes < x.ndim <= self.axes + 2, "(n, channels, {0})"
            expected += " or (channels, {0})"
        if not fits:
            sizes = ", ".join(("depth", "height", "width")[-self.axes :])
            raise shape_error(self, expected.format(sizes), x.shape)
        ops.check(self, x.shape, self._widths, self.mode)
        return ops.pad(x, self._widths, self.mode, self.value)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Add the gradient of each added element to that of the one it repeats."""
        return ops.pad_grad(grad, self._widths, self.mode)

    @property
    def _widths(self) -> list[tuple[int, int]]:
        """Before and after of each axis, in the axes' order; `padding` begins with the last."""
        return list(zip(self.padding[::2], self.padding[1::2], strict=True))[::-1]


class _ZeroPad(_Pad):
    mode = "constant"


class ZeroPad1d(_ZeroPad):
    """Put zeros around the last axis.

    Parameters
    ----------
    padding : int or sequence of 2 int
        Elements to add at (left, right), or one number for both; a negative one cuts off.

    Raises
    ------
    ArgumentError
        If `padding` is not an integer or as many as there are sides.
    ShapeError
        In a call, if the input lacks the axis, or more is cut off than there is.

    References
    ----------
    ``torch.nn.ZeroPad1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ZeroPad1d((2, 1))([[1.0, 2.0]])
    array([[0., 0., 1., 2., 0.]], dtype=float32)
    """

    axes = 1


class ZeroPad2d(_ZeroPad):
    """Put zeros around the last two axes.

    As `ZeroPad1d`, with (left, right, top, bottom); ``torch.nn.ZeroPad2d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.ZeroPad2d(1)(np.ones((5, 3, 28, 28))).shape
    (5, 3, 30, 30)
    """

    axes = 2


class ZeroPad3d(_ZeroPad):
    """Put zeros around the last three axes.

    As `ZeroPad1d`, with (left, right, top, bottom, front, back); ``torch.nn.ZeroPad3d``.
    """

    axes = 3


class _ConstantPad(_ZeroPad):
    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        infinite = isinstance(value, float) and not math.isfinite(value)  # a maximum ignores -inf
        self.value = value if infinite else real_number(self, "value", value)


class ConstantPad1d(_ConstantPad):
    """Put a value around the last axis.

    Parameters
    ----------
    padding : int or sequence of 2 int
        Elements to add at (left, right), or one number for both; a negative one cuts off.
    value : float
        What the added elements are.

    Raises
    ------
    ArgumentError
        If `padding` is not an integer or as many as there are sides, or `value` not a number.
    ShapeError
        In a call, if the input lacks the axis, or more is cut off than there is.

    References
    ----------
    ``torch.nn.ConstantPad1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ConstantPad1d((1, -1), 9.0)([[1.0, 2.0, 3.0]])
    array([[9., 1., 2.]], dtype=float32)
    """

    axes = 1


class ConstantPad2d(_ConstantPad):
    """Put a value around the last two axes.

    As `ConstantPad1d`, with (left, right, top, bottom); ``torch.nn.ConstantPad2d``.
    """

    axes = 2


class ConstantPad3d(_ConstantPad):
    """Put a value around the last three axes.

    As `ConstantPad1d`, with (left, right, top, bottom, front, back); ``torch.nn.ConstantPad3d``.
    """

    axes = 3


class _ReflectionPad(_Pad):
    mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """Put the elements of the last axis around it, mirrored at its ends, which are not repeated.

    Parameters
    ----------
    padding : int or sequence of 2 int
        Elements to add at (left, right), or one number for both; a negative one cuts off.

    Raises
    ------
    ArgumentError
        If `padding` is not an integer or as many as there are sides.
    ShapeError
        In a call, if the input is not (n, channels, width) or (channels, width), or its width is
        not above the padding.

    References
    ----------
    ``torch.nn.ReflectionPad1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ReflectionPad1d((2, 1))([[1.0, 2.0, 3.0]])
    array([[3., 2., 1., 2., 3., 2.]], dtype=float32)
    """

    axes = 1


class ReflectionPad2d(_ReflectionPad):
    """Put the elements of the last two axes around them, mirrored.

    As `ReflectionPad1d`, with (left, right, top, bottom), and inputs (n, channels, height, width)
    or without n; ``torch.nn.ReflectionPad2d``.
    """

    axes = 2


class ReflectionPad3d(_ReflectionPad):
    """Put the elements of the last three axes around them, mirrored.

    As `ReflectionPad1d`, with (left, right, top, bottom, front, back), and inputs (n, channels,
    depth, height, width) or without n; ``torch.nn.ReflectionPad3d``.
    """

    axes = 3


class _ReplicationPad(_Pad):
    mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """Repeat the first and the last element of the last axis.

    Parameters
    ----------
    padding : int or sequence of 2 int
        Elements to add at (left, right), or one number for both; a negative one cuts off.

    Raises
    ------
    ArgumentError
        If `padding` is not an integer or as many as there are sides.
    ShapeError
        In a call, if the input is not (n, channels, width) or (channels, width), or nothing is
        left of the width.

    References
    ----------
    ``torch.nn.ReplicationPad1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ReplicationPad1d((2, 1))([[1.0, 2.0, 3.0]])
    array([[1., 1., 1., 2., 3., 3.]], dtype=float32)
    """

    axes = 1


class ReplicationPad2d(_ReplicationPad):
    """Repeat the outermost elements of the last two axes.

    As `ReplicationPad1d`, with (left, right, top, bottom), and inputs (n, channels, height, width)
    or without n; ``torch.nn.ReplicationPad2d``.
    """

    axes = 2


class ReplicationPad3d(_ReplicationPad):
    """Repeat the outermost elements of the last three axes.

    As `ReplicationPad1d`, with (left, right, top, bottom, front, back), and inputs (n, channels,
    depth, height, width) or without n; ``torch.nn.ReplicationPad3d``.
    """

    axes = 3


class _CircularPad(_Pad):
    mode = "circular"


class CircularPad1d(_CircularPad):
    """Put elements from the other end at each end of the last axis.

    Parameters
    ----------
    padding : int or sequence of 2 int
        Elements to add at (left, right), or one number for both; a negative one cuts off first.

    Raises
    ------
    ArgumentError
        If `padding` is not an integer or as many as there are sides.
    ShapeError
        In a call, if the input is not (n, channels, width) or (channels, width), or its width is
        below the padding. (PyTorch 2.13 returns memory as it is where both are cut off and
        added, and too few are left.)

    References
    ----------
    ``torch.nn.CircularPad1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.CircularPad1d((2, 1))([[1.0, 2.0, 3.0]])
    array([[2., 3., 1., 2., 3., 1.]], dtype=float32)
    """

    axes = 1


class CircularPad2d(_CircularPad):
    """Put elements from the other end at each end of the last two axes.

    As `CircularPad1d`, with (left, right, top, bottom), and inputs (n, channels, height, width)
    or without n; ``torch.nn.CircularPad2d``.
    """

    axes = 2


class CircularPad3d(_CircularPad):
    """Put elements from the other end at each end of the last three axes.

    As `CircularPad1d`, with (left, right, top, bottom, front, back), and inputs (n, channels,
    depth, height, width) or without n; ``torch.nn.CircularPad3d``.
    """

    axes = 3
