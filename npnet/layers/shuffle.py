"""Layers that only move elements: between channels and pixels, and among channels."""

from __future__ import annotations

from npnet.arguments import whole_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.typing import Array


def _to_pixels(x: Array, r: int) -> Array:
    """Move channels into blocks of r x r pixels, (..., c r r, h, w) to (..., c, h r, w r)."""
    *batch, channels, h, w = x.shape
    c = channels // (r * r)
    blocks = x.reshape(*batch, c, r, r, h, w)
    n = len(batch)
    return blocks.transpose(*range(n + 1), n + 3, n + 1, n + 4, n + 2).reshape(
        *batch, c, h * r, w * r
    )


def _to_channels(x: Array, r: int) -> Array:
    """Move blocks of r x r pixels into channels, (..., c, h r, w r) to (..., c r r, h, w)."""
    *batch, c, height, width = x.shape
    h, w = height // r, width // r
    blocks = x.reshape(*batch, c, h, r, w, r)
    n = len(batch)
    return blocks.transpose(*range(n + 1), n + 2, n + 4, n + 1, n + 3).reshape(
        *batch, c * r * r, h, w
    )


class PixelShuffle(Layer):
    """Turn r^2 channels into r x r pixels: (..., c r^2, h, w) becomes (..., c, h r, w r).

    Channel c r^2 + i r + j is row i and column j of each block in channel c.

    Parameters
    ----------
    upscale_factor : int
        r, how much larger the image becomes.

    Raises
    ------
    ArgumentError
        If the factor is not a positive integer.
    ShapeError
        In a call, if the input has no three axes, or the channels are no multiple of r^2.

    References
    ----------
    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", 2016; ``torch.nn.PixelShuffle``.

    Examples
    --------
    >>> import npnet
    >>> npnet.PixelShuffle(2)([[[1.0]], [[2.0]], [[3.0]], [[4.0]]])
    array([[[1., 2.],
            [3., 4.]]], dtype=float32)
    """

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.upscale_factor = whole_number(self, "upscale_factor", upscale_factor, 1)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Move the elements; keep nothing."""
        square = self.upscale_factor**2
        if x.ndim < 3 or x.shape[-3] % square:
            expected = f"(..., channels, height, width) with a multiple of {square} channels"
            raise shape_error(self, expected, x.shape)
        return _to_pixels(x, self.upscale_factor)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Move the elements back."""
        return _to_channels(grad, self.upscale_factor)


class PixelUnshuffle(Layer):
    """Turn r x r pixels into r^2 channels: (..., c, h r, w r) becomes (..., c r^2, h, w).

    It undoes `PixelShuffle`.

    Parameters
    ----------
    downscale_factor : int
        r, how much smaller the image becomes.

    Raises
    ------
    ArgumentError
        If the factor is not a positive integer.
    ShapeError
        In a call, if the input has no three axes, or height and width are no multiples of r.

    References
    ----------
    ``torch.nn.PixelUnshuffle``.

    Examples
    --------
    >>> import npnet
    >>> npnet.PixelUnshuffle(2)([[[1.0, 2.0], [3.0, 4.0]]]).ravel()
    array([1., 2., 3., 4.], dtype=float32)
    """

    def __init__(self, downscale_factor: int) -> None:
        super().__init__()
        self.downscale_factor = whole_number(self, "downscale_factor", downscale_factor, 1)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Move the elements; keep nothing."""
        r = self.downscale_factor
        if x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
            expected = f"(..., channels, height, width) with multiples of {r} as height and width"
            raise shape_error(self, expected, x.shape)
        return _to_channels(x, r)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Move the elements back."""
        return _to_pixels(grad, self.downscale_factor)


class ChannelShuffle(Layer):
    """Interleave groups of channels: of g groups of k channels, i k + j becomes j g + i.

    Parameters
    ----------
    groups : int
        g, into how many groups the channels are divided.

    Raises
    ------
    ArgumentError
        If `groups` is not a positive integer.
    ShapeError
        In a call, if the input is not (n, channels, ...) with at least three axes, or the channels
        are no multiple of the groups.

    References
    ----------
    Zhang et al., "ShuffleNet", 2018; ``torch.nn.ChannelShuffle``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ChannelShuffle(2)([[[1.0], [2.0], [3.0], [4.0]]]).ravel()
    array([1., 3., 2., 4.], dtype=float32)
    """

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = whole_number(self, "groups", groups, 1)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Move the channels; keep nothing."""
        if x.ndim < 3 or x.shape[1] % self.groups:
            expected = f"(n, channels, ..., width) with a multiple of {self.groups} channels"
            raise shape_error(self, expected, x.shape)
        return _transposed(x, self.groups)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Move the channels back."""
        return _transposed(grad, grad.shape[1] // self.groups)


def _transposed(x: Array, rows: int) -> Array:
    """Transpose the axis of channels, seen as a table with some rows."""
    columns = x.shape[1] // rows if rows else 0
    return x.reshape(len(x), rows, columns, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)
