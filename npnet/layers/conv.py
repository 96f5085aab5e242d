"""Conv1d, Conv2d and Conv3d, which move kernels over their input."""

from __future__ import annotations

import math

import numpy as np

from npnet.arguments import choice, flag, refusal, tuple_of
from npnet.context import Context
from npnet.convolutional import Convolutional
from npnet.errors import ShapeError
from npnet.ops import conv as ops
from npnet.ops import padding as borders
from npnet.typing import Array, DtypeLike, Rng

_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate",
          "circular": "circular"}  # fmt: skip
Size = int | tuple[int, ...]


class _Conv(Convolutional):
    """A convolution over `axes` axes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, dilation, groups, bias, dtype, rng
        )
        self.padding: str | tuple[int, ...]
        if isinstance(padding, str):
            self.padding = choice(self, "padding", padding, ("valid", "same"))
        else:
            self.padding = tuple_of(self, "padding", padding, self.axes)
        if self.padding == "same" and set(self.stride) != {1}:
            raise refusal(self, "stride", "1 where padding='same'", self.stride)
        self.padding_mode = choice(self, "padding_mode", padding_mode, _MODES)

    def _widths(self) -> tuple[tuple[int, int], ...]:
        """Return how much is padded before and behind each axis."""
        if self.padding == "same":
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return tuple((r // 2, r - r // 2) for r in reach)
        given = self.padding if isinstance(self.padding, tuple) else (0,) * self.axes
        return tuple((p, p) for p in given)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Convolve; keep x, padded unless with zeros; nothing if the weight is frozen."""
        batch, widths = self.batch(x), self._widths()
        ctx.borders = self.padding_mode != "zeros" and any(map(any, widths))
        if ctx.borders:
            mode = _MODES[self.padding_mode]
            borders.check(self, batch.shape, widths, mode)
            batch, widths = borders.pad(batch, widths, mode), ((0, 0),) * self.axes
        size = batch.shape[2:]
        g = ops.geometry(size, self.kernel_size, self.stride, widths, self.dilation, self.groups)
        if min(g.out) < 1:
            reach = [(k - 1) * d + 1 for k, d in zip(self.kernel_size, self.dilation, strict=True)]
            padded = [n + sum(w) for n, w in zip(size, widths, strict=True)]
            raise ShapeError(
                f"the kernel reaches over {tuple(reach)} elements, and the input of shape "
                f"{x.shape} has {tuple(padded)} with its padding",
                self,
            )
        ctx.save(batch if self.weight.requires_grad else None)
        ctx.geometry, ctx.batched = g, x.ndim == self.axes + 2
        bias = None if self.bias is None else self.bias.data
        y = ops.convolve(batch, self.weight.data, bias, g, self.exact)
        return y if ctx.batched else y[0]

    def backward(self, ctx: Context, grad: Array) -> Array | None:
        """Correlate x with grad for the weight; move the transposed kernels over grad for x."""
        (x,) = ctx.saved
        grad = grad if ctx.batched else grad[np.newaxis]
        dw, dx, weight = None, None, self.weight
        if x is not None and weight.requires_grad and ctx.needs_input_grad:
            dw, dx = ops.both_grads(x, grad, weight.data, ctx.geometry, self.exact)
        self.add_grads(ctx, grad, x, grad, dw)
        if not ctx.needs_input_grad:
            return None
        if dx is None:
            dx = ops.input_grad(grad, weight.data, ctx.geometry, self.exact)
        if ctx.borders:
            dx = borders.pad_grad(dx, self._widths(), _MODES[self.padding_mode])
        return dx if ctx.batched else dx[0]

    def matmul_shapes(self, *shapes: tuple[int, ...]) -> list[tuple[int, int, int]]:
        """Return that of one product for each image."""
        size = shapes[0][-self.axes :]
        g = ops.geometry(size, self.kernel_size, self.stride, self._widths(), self.dilation, 1)
        product = math.prod(g.out), math.prod(self.weight.shape[1:]), self.out_channels
        return [product] * (shapes[0][0] if len(shapes[0]) == self.axes + 2 else 1)


class Conv1d(_Conv):
    """Convolve signals: y[n, k, t] = b[k] + sum over c, i of W[k, c, i] x[n, c, t stride + i].

    The input has the shape (n, in_channels, length), or (in_channels, length).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `Conv2d`, with one axis.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ArgumentError, ShapeError
        As for `Conv2d`.

    References
    ----------
    ``torch.nn.Conv1d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Conv1d(2, 4, 5, stride=2, padding=2)(np.zeros((3, 2, 20))).shape
    (3, 4, 10)
    """

    axes = 1


class Conv2d(_Conv):
    """Convolve images: y[n, k, o] = b[k] + sum over c, i of W[k, c, i] x[n, c, o stride + i].

    Here o and i are positions (row, column) in the output and in the kernel; with a dilation, i
    is multiplied by it, and padding shifts the input. What is computed is a correlation, as
    everywhere in deep learning. The input has the shape (n, in_channels, height, width), or
    (in_channels, height, width) for one image. An axis of n elements becomes one of
    (n + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1.

    Weights and biases start uniform in (-k, k), k = (in_channels / groups * height * width)^(-1/2)
    of the kernel.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after.
    kernel_size : int or (int, int)
        Height and width of the kernel.
    stride : int or (int, int)
        How far the kernel moves from one position to the next.
    padding : int, (int, int), "valid" or "same"
        How much is added on both sides of each axis; "same", for stride 1, keeps the size, with
        the odd element behind; "valid" adds nothing.
    dilation : int or (int, int)
        The distance between neighbouring elements of the kernel.
    groups : int
        Into how many groups the channels are divided, each convolved by itself; a divisor of
        both numbers of channels. ``groups=in_channels`` is a depthwise convolution.
    bias : bool
        False leaves b out.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What is added: zeros, the elements mirrored at the outermost one, the outermost one, or
        the elements from the other end.
    exact : bool
        True rules out Winograd's algorithm, which float32 layers take for kernels of 3x3 and 5x5
        with stride 1 and at least 16 channels (8 with Numba): its rounding errors, below 1e-5 (5x5:
        2e-5) of the largest output or gradient for up to 64 channels, are some ten times those of
        products. With it an element that is not finite, or above 1e36, spoils all of the tiles of
        outputs that it reaches.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or `groups` no divisor of both numbers of channels.
    ShapeError
        In a call, if the input has other channels or axes, or is smaller than the kernel.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016;
    ``torch.nn.Conv2d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Conv2d(3, 8, 3, stride=2, padding=1)(np.zeros((5, 3, 32, 32))).shape
    (5, 8, 16, 16)
    """

    axes = 2

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        exact: bool = False,
        dtype: DtypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias,
            padding_mode, dtype=dtype, rng=rng,
        )  # fmt: skip
        self.exact = flag(self, "exact", exact)


class Conv3d(_Conv):
    """Convolve volumes: what `Conv2d` does with one more axis.

    The input has the shape (n, in_channels, depth, height, width), or the same without n.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `Conv2d`, with three axes.
    dtype : dtype
        Of the parameters, and so of the output.
    rng : numpy.random.Generator or int, optional
        Where the initial values come from.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ArgumentError, ShapeError
        As for `Conv2d`.

    References
    ----------
    ``torch.nn.Conv3d``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Conv3d(1, 4, (3, 5, 5), padding="same")(np.zeros((2, 1, 6, 8, 8))).shape
    (2, 4, 6, 8, 8)
    """

    axes = 3
