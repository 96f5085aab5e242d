"""ChannelNorm, the base of layers that normalise channels, and TrackedNorm, of those that track.

The mathematics is in `ops.normalize`; a subclass decides which numbers share a mean.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import flag, float_dtype, real_number, whole_number
from npnet.context import Context
from npnet.errors import ShapeError, shape_error
from npnet.layer import Layer
from npnet.ops import normalize as ops
from npnet.parameter import Parameter
from npnet.registry import Buffer
from npnet.typing import Array, DtypeLike


class ChannelNorm(Layer):
    """Base of layers that normalise channels, with a weight and a bias for each channel.

    Parameters
    ----------
    num_channels : int
        Checked.
    eps : float
        Added to the variance.
    affine, bias : bool
        Whether there are a weight and a bias, and whether there is a bias among them.
    dtype : dtype
        Of the parameters.
    """

    _one_value = "with one value there is no variance"

    def __init__(
        self, num_channels: int, eps: float, affine: bool, bias: bool, dtype: DtypeLike
    ) -> None:
        super().__init__()
        self.eps = real_number(self, "eps", eps, 0)
        self.affine = flag(self, "affine", affine)
        bias, dtype = flag(self, "bias", bias), float_dtype(self, "dtype", dtype)
        self.weight = Parameter(np.ones(num_channels, dtype)) if self.affine else None
        self.bias = Parameter(np.zeros(num_channels, dtype)) if self.affine and bias else None

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; `bias` is a flag there."""
        if name == "bias":
            return self.bias is not None or not self.affine
        return self.dtype or np.float32 if name == "dtype" else super()._argument(name)

    def _normalize(
        self, ctx: Context, x: Array, channels: Array, statistics: tuple[Array, Array, Array]
    ) -> Array:
        """Return x, seen as channels, normalised; keep the channels and the statistics."""
        shift, rest, var = statistics
        inverse = 1 / np.sqrt(var + self.eps)
        ctx.save(channels, shift, rest, inverse)
        weight, bias = (None if p is None else p.data for p in (self.weight, self.bias))
        y = ops.normalize(channels, shift, rest, inverse, weight, bias)
        return y.reshape(x.shape).astype(x.dtype, copy=False)

    def backward(self, ctx: Context, grad: Array) -> Array | None:
        """Differentiate through the statistics too, unless they were fixed (``ctx.fixed``)."""
        channels, shift, rest, inverse = ctx.saved
        dx, dweight, dbias = ops.normalize_grad(
            ops.channels(grad, *channels.shape), channels, shift, rest, inverse,
            None if self.weight is None else self.weight.data, ctx.fixed, ctx.needs_input_grad,
        )  # fmt: skip
        for p, value in ((self.weight, dweight), (self.bias, dbias)):
            if p is not None and value is not None:
                ctx.add_grad(p, value)
        return None if dx is None else dx.reshape(grad.shape).astype(grad.dtype, copy=False)

    def _refuse_one_value(self, what: str, x: Array) -> ShapeError:
        """Return the error for a mean of one number, of which nothing but 0 would be left."""
        text = f"expected more than 1 value per {what}, got input of shape {x.shape}"
        return ShapeError(f"{text}; {self._one_value}", self)


class TrackedNorm(ChannelNorm):
    """Base of layers that may track mean and variance; the parameters are `BatchNorm1d`'s."""

    _inputs: ClassVar[tuple[str, ...]]  # shapes that it takes
    _axes_of_sample: ClassVar[int] = 0  # the number of axes of an input without a batch axis
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        bias: bool,
        dtype: DtypeLike,
    ) -> None:
        c = whole_number(self, "num_features", num_features, 1)
        dtype = float_dtype(self, "dtype", dtype)
        super().__init__(c, eps, affine, bias, dtype)
        self.num_features = c
        self.momentum = None if momentum is None else real_number(self, "momentum", momentum, 0, 1)
        self.track_running_stats = tracks = flag(self, "track_running_stats", track_running_stats)
        self.running_mean = Buffer(np.zeros(c, dtype)) if tracks else None
        self.running_var = Buffer(np.ones(c, dtype)) if tracks else None
        self.num_batches_tracked = Buffer(np.array(0)) if tracks else None

    def _argument(self, name: str) -> Any:
        """Return an argument of the constructor; without parameters the dtype is the buffers'."""
        if name == "dtype" and self.dtype is None and self.running_mean is not None:
            return self.running_mean.dtype
        return super()._argument(name)

    def _sizes(self, x: Array) -> tuple[int, int, int]:
        """Return how many samples there are, channels, and numbers in a channel of a sample."""
        shape = (1, *x.shape) if x.ndim == self._axes_of_sample else x.shape
        fits = any(x.ndim == text.count(",") + 1 for text in self._inputs)
        if not fits or shape[1] != self.num_features:
            expected = " or ".join(self._inputs).format(self.num_features)
            raise shape_error(self, expected, x.shape)
        return shape[0], shape[1], math.prod(shape[2:])

    def _sets(self, n: int, c: int, numbers: int) -> tuple[int, int, int]:
        """Return the sizes of an array whose second axis numbers what has statistics of its own."""
        raise NotImplementedError

    def _track(self, mean: Array, var: Array, count: int) -> None:
        """Move the running statistics towards the batch's, of `count` numbers each."""
        raise NotImplementedError

    def forward(self, ctx: Context, x: Array) -> Array:
        """Normalise by the statistics of x, or by the running ones; keep x and them."""
        sizes = self._sizes(x)
        ctx.fixed = not ctx.training and self.running_mean is not None
        if ctx.fixed:
            channels = ops.channels(x, *sizes)
            return self._normalize(
                ctx, x, channels, ops.known(self.running_mean, self.running_var, channels.dtype)
            )
        channels = ops.channels(x, *self._sets(*sizes))
        count = channels.shape[0] * channels.shape[2]
        if count == 1:
            raise self._refuse_one_value("channel when training", x)
        shift, rest, var = ops.statistics(channels)
        if ctx.training and ctx.recording and self.running_mean is not None:
            self._track(shift + rest, var, count)
        return self._normalize(ctx, x, channels, (shift, rest, var))

    def _move(self, mean: Array, var: Array, share: float) -> None:
        """Move the running statistics in place."""
        for running, batch in ((self.running_mean, mean), (self.running_var, var)):
            running *= 1 - share
            running += (share * batch).astype(running.dtype)
