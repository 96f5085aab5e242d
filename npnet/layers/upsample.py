"""Upsample, which resizes signals, images and volumes, and two short forms of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from npnet.arguments import choice, flag, real_number, refusal, whole_number
from npnet.context import Context
from npnet.errors import ArgumentError, shape_error
from npnet.layer import Layer
from npnet.ops import resample as ops
from npnet.typing import Array

_AXES = {
    "nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "linear": (1,), "bilinear": (2,),
    "bicubic": (2,), "trilinear": (3,),
}  # fmt: skip
_SIZES = ("", "width", "height, width", "depth, height, width")


class Upsample(Layer):
    """Resize all axes behind the first two, (n, channels, ...), to `size` or by `scale_factor`.

    Element i of an axis of the output lies at (i + 1/2) / s - 1/2 of the input, with the factor s
    or the ratio of the sizes, and is interpolated between the elements there. With the mode
    "nearest" it is the one at floor(i / s), with "nearest-exact" that at floor((i + 1/2) / s), both
    in float32. (There PyTorch 2.13 rounds in some cases in float64, not in its gradient.)

    Parameters
    ----------
    size : int or sequence of int, optional
        Of the output, for all axes or each.
    scale_factor : float or sequence of float, optional
        How many times larger the output is, rounded down, for all axes or each. One of the two
        has to be given.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"}
        "linear" is for one axis, "bilinear" and "bicubic" for two, "trilinear" for three.
    align_corners : bool, optional
        True lets the first and the last elements of input and output be at the same places, so
        that i is at i (n_in - 1) / (n_out - 1). Not for the nearest.
    recompute_scale_factor : bool, optional
        True takes the ratio of the sizes, where rounding makes that another one, and not
        `scale_factor`.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or does not go with the others.
    ShapeError
        In a call, if the input has not as many axes as the mode or the sizes say, or an axis,
        of input or output, has no elements.

    References
    ----------
    ``torch.nn.Upsample``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Upsample(scale_factor=2)([[[1.0, 2.0]]])
    array([[[1., 1., 2., 2.]]], dtype=float32)
    >>> npnet.Upsample(3, mode="linear", align_corners=True)([[[1.0, 2.0]]])
    array([[[1. , 1.5, 2. ]]], dtype=float32)
    """

    habits: ClassVar = {
        "interpolation": "it is called mode", "antialias": "there is none; blur the input first",
    }  # fmt: skip

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = self._one_or_each("size", size, partial(whole_number, low=1))
        self.scale_factor = self._one_or_each(
            "scale_factor", scale_factor, partial(real_number, above=0)
        )
        if (size is None) == (scale_factor is None):
            raise refusal(self, "size or scale_factor", "one of the two", (size, scale_factor))
        self.mode = choice(self, "mode", mode, (*_AXES, "area"))
        if mode == "area":
            raise ArgumentError("the mode 'area' is AdaptiveAvgPool1d, 2d or 3d", self)
        for name, given in (("size", self.size), ("scale_factor", self.scale_factor)):
            if isinstance(given, tuple) and len(given) not in _AXES[mode]:
                kind = f"one number, or {_AXES[mode][0]} of them for the mode {mode!r}"
                raise refusal(self, name, kind, given)
        self.align_corners = self._flag_or_none("align_corners", align_corners)
        if align_corners is not None and mode.startswith("nearest"):
            raise ArgumentError(f"align_corners is not for the mode {mode!r}; leave it out", self)
        self.recompute_scale_factor = self._flag_or_none(
            "recompute_scale_factor", recompute_scale_factor
        )
        if recompute_scale_factor and size is not None:
            raise ArgumentError("recompute_scale_factor is not for a size; leave it out", self)

    def _flag_or_none(self, name: str, value: Any) -> bool | None:
        return None if value is None else flag(self, name, value)

    def _one_or_each(self, name: str, value: Any, check: Callable[..., Any]) -> Any:
        """Return an argument that is one number for all axes, or a tuple of one for each."""
        if value is None:
            return None
        if isinstance(value, tuple | list):
            if not 1 <= len(value) <= 3:
                raise refusal(self, name, "one number, or one for each of 1 to 3 axes", value)
            return tuple(check(self, f"{name}[{i}]", n) for i, n in enumerate(value))
        return check(self, name, value)

    def _taps(self, shape: tuple[int, ...]) -> list[ops.Taps]:
        """Return what `ops.resample` needs for inputs of a shape."""
        given = self.scale_factor if self.size is None else self.size
        axes = _AXES[self.mode]
        if isinstance(given, tuple):
            axes = tuple(n for n in axes if n == len(given))
        if len(shape) - 2 not in axes or 0 in shape[2:]:
            expected = " or ".join(f"(n, channels, {_SIZES[n]})" for n in axes)
            raise shape_error(self, f"{expected}, with elements along each axis", shape)
        each = given if isinstance(given, tuple) else (given,) * (len(shape) - 2)
        taps = []
        for n, number in zip(shape[2:], each, strict=True):
            size = number if self.size is not None else math.floor(n * number)
            if size < 1:
                raise shape_error(self, "whose axes give at least one element", shape)
            scale = None if self.size is not None or self.recompute_scale_factor else number
            align = bool(self.align_corners)
            if self.mode.startswith("nearest"):
                exact = self.mode == "nearest-exact"
                taps.append(ops.nearest(n, size, scale, exact, image=len(each) == 2))
            else:
                form = ops.cubic if self.mode == "bicubic" else ops.linear
                taps.append(form(n, size, scale, align))
        return taps

    def forward(self, ctx: Context, x: Array) -> Array:
        """Resample; keep from where."""
        ctx.taps = self._taps(x.shape)
        return ops.resample(x, ctx.taps)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Add each element's gradient to those that it was made of."""
        return ops.resample_grad(grad, ctx.taps)


class UpsamplingNearest2d(Upsample):
    """Resize images to the nearest pixels: `Upsample` with the mode "nearest".

    Parameters
    ----------
    size : int or sequence of 2 int, optional
        Height and width of the output.
    scale_factor : float or sequence of 2 float, optional
        How many times larger they are; one of the two has to be given.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or not one of them is given.
    ShapeError
        In a call, if the input is not (n, channels, height, width).

    References
    ----------
    ``torch.nn.UpsamplingNearest2d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.UpsamplingNearest2d(scale_factor=(1, 2))([[[[1.0, 2.0]]]])
    array([[[[1., 1., 2., 2.]]]], dtype=float32)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Resize images with fixed corners: `Upsample`, "bilinear", with `align_corners`.

    Parameters
    ----------
    size : int or sequence of 2 int, optional
        Height and width of the output.
    scale_factor : float or sequence of 2 float, optional
        How many times larger they are; one of the two has to be given.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or not one of them is given.
    ShapeError
        In a call, if the input is not (n, channels, height, width).

    References
    ----------
    ``torch.nn.UpsamplingBilinear2d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.UpsamplingBilinear2d(size=(1, 3))([[[[1.0, 2.0]]]])
    array([[[[1. , 1.5, 2. ]]]], dtype=float32)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(size, scale_factor, "bilinear", True)
