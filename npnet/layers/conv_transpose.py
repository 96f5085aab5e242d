"""ConvTranspose1d, 2d and 3d, the transposed maps of convolutions, which enlarge their input."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from npnet.arguments import choice, refusal, tuple_of
from npnet.context import Context
from npnet.convolutional import Convolutional
from npnet.errors import ShapeError
from npnet.ops import conv as ops
from npnet.typing import Array, DtypeLike, Rng

Size = int | tuple[int, ...]


class _ConvTranspose(Convolutional):
    """A transposed convolution over `axes` axes."""

    takes_integers = (False, True)
    habits: ClassVar = {
        **Convolutional.habits,
        "same": "an axis of n elements becomes one of n stride with padding=(kernel_size - 1) // 2 "
        "and output_padding=stride - 1",
    }

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, groups, bias, dtype, rng,
            transposed=True,
        )  # fmt: skip
        self.padding = tuple_of(self, "padding", padding, self.axes)
        self.output_padding = tuple_of(self, "output_padding", output_padding, self.axes)
        for more, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if more >= max(s, d):
                kind = f"less than stride={self.stride} or dilation={self.dilation}"
                raise refusal(self, "output_padding", kind, self.output_padding)
        self.padding_mode = choice(self, "padding_mode", padding_mode, ("zeros",))

    def _out(self, size: tuple[int, ...], wanted: Array | None) -> tuple[int, ...]:
        """Return the output's size along each axis, `wanted` if that is possible."""
        least = tuple(
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, k, s, p, d in zip(
                size, self.kernel_size, self.stride, self.padding, self.dilation, strict=True
            )
        )
        out = tuple(a + b for a, b in zip(least, self.output_padding, strict=True))
        if wanted is not None:
            # The first axes of a whole shape say nothing that is not known.
            out = tuple(np.asarray(wanted).reshape(-1).tolist())
            out = out[2:] if len(out) == self.axes + 2 else out
            most = tuple(a + s - 1 for a, s in zip(least, self.stride, strict=True))
            fits = len(out) == self.axes and all(
                isinstance(b, int) and a <= b <= c for a, b, c in zip(least, out, most, strict=True)
            )
            if not fits:
                raise refusal(self, "output_size", f"from {least} to {most}", out)
        if min(out) < 1:
            raise ShapeError(f"the output of an input of size {size} would have size {out}", self)
        return out

    def forward(self, ctx: Context, x: Array, output_size: Array | None = None) -> Array:
        """Add up kernels, each times an element of x; keep x unless the weight is frozen."""
        batch = self.batch(x)
        size = batch.shape[2:]
        out = self._out(size, output_size)
        ctx.geometry = ops.Geometry(
            out, size, self.kernel_size, self.stride, self.padding, self.dilation, self.groups
        )
        ctx.save(batch if self.weight.requires_grad else None)
        ctx.batched, ctx.inputs = x.ndim == self.axes + 2, 1 if output_size is None else 2
        bias = None if self.bias is None else self.bias.data
        y = ops.input_grad(batch, self.weight.data, ctx.geometry, self.exact, bias)
        return y if ctx.batched else y[0]

    def backward(self, ctx: Context, grad: Array) -> Array | tuple[Array | None, None] | None:
        """Convolve grad for the input's gradient; correlate it with x for the weight's."""
        (x,) = ctx.saved
        grad = grad if ctx.batched else grad[np.newaxis]
        self.add_grads(ctx, grad, grad, x)
        dx = None
        if ctx.needs_input_grad:
            dx = ops.convolve(grad, self.weight.data, None, ctx.geometry, self.exact)
            dx = dx if ctx.batched else dx[0]
        return dx if ctx.inputs == 1 else (dx, None)

    def matmul_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return that of one product for each image."""
        channels = self.out_channels // self.groups * math.prod(self.kernel_size)
        product = math.prod(shapes[0][-self.axes :]), self.in_channels, channels
        return [product] * (shapes[0][0] if len(shapes[0]) == self.axes + 2 else 1)


class ConvTranspose1d(_ConvTranspose):
    """Apply the transposed map of a `Conv1d`, which enlarges signals.

    The input has the shape (n, in_channels, length), or (in_channels, length).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation
        As for `ConvTranspose2d`, with one axis.
    padding_mode : {"zeros"}
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ArgumentError, ShapeError
        As for `ConvTranspose2d`.

    References
    ----------
    ``torch.nn.ConvTranspose1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ConvTranspose1d(4, 2, 4, stride=2, padding=1)(np.zeros((3, 4, 10))).shape
    (3, 2, 20)
    """

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """Apply the transposed map of a `Conv2d`: y[n, k, o stride + i] += W[c, k, i] x[n, c, o].

    Each element of the input adds a kernel, times the element, to the output; `padding` is cut
    off its borders, and b[k] added. The input has the shape (n, in_channels, height, width), or
    (in_channels, height, width). An axis of n elements becomes one of (n - 1) stride - 2 padding
    + dilation (kernel_size - 1) + output_padding + 1. Called as ``layer(x, output_size)`` with
    integers (height, width), the output has that size in place of what `output_padding` says.

    Weights and biases start uniform in (-k, k), k = (out_channels / groups * height * width)^(-1/2)
    of the kernel.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size : int or (int, int)
        Height and width of the kernel.
    stride : int or (int, int)
        How far apart the kernels of neighbouring elements begin.
    padding : int or (int, int)
        How much is cut off on both sides of each axis: the padding of the convolution.
    output_padding : int or (int, int)
        How much longer the output is at the end of each axis, where the convolution would leave
        elements out; less than the stride or the dilation.
    groups : int
        Into how many groups the channels are divided, each convolved by itself.
    bias : bool
        False leaves b out.
    dilation : int or (int, int)
        The distance between neighbouring elements of the kernel.
    padding_mode : {"zeros"}
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or in a call `output_size`.
    ShapeError
        In a call, if the input has other channels or axes, or nothing is left of the output.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016;
    ``torch.nn.ConvTranspose2d``.

    Examples
    --------
    >>> import npnet
    >>> layer = npnet.ConvTranspose2d(8, 3, 3, stride=2, padding=1)
    >>> layer(np.zeros((5, 8, 4, 4))).shape, layer(np.zeros((5, 8, 4, 4)), [8, 7]).shape
    ((5, 3, 7, 7), (5, 3, 8, 7))
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """Apply the transposed map of a `Conv3d`, which enlarges volumes.

    The input has the shape (n, in_channels, depth, height, width), or the same without n.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation
        As for `ConvTranspose2d`, with three axes.
    padding_mode : {"zeros"}
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ArgumentError, ShapeError
        As for `ConvTranspose2d`.

    References
    ----------
    ``torch.nn.ConvTranspose3d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ConvTranspose3d(4, 1, 2, stride=2)(np.zeros((2, 4, 3, 5, 5))).shape
    (2, 1, 6, 10, 10)
    """

    axes = 3
