"""GroupNorm, which normalises groups of channels of each sample."""

from __future__ import annotations

import math

import numpy as np

from npnet.arguments import refusal, whole_number
from npnet.channel_norm import ChannelNorm
from npnet.context import Context
from npnet.errors import shape_error
from npnet.ops import normalize as ops
from npnet.typing import Array, DtypeLike


class GroupNorm(ChannelNorm):
    """Normalise groups of channels of each sample.

    y = (x - mean) / sqrt(var + eps) * weight + bias. Mean and variance are those of
    num_channels / num_groups channels in a row of one sample; weight and bias belong to channels.

    Parameters
    ----------
    num_groups : int
        A divisor of `num_channels`.
    num_channels : int
        Size of the second axis, c.
    eps : float
        Added to the variance, not negative.
    affine : bool
        Whether there are a weight and a bias.
    bias : bool
        False leaves the bias out.
    dtype : dtype
        Of the parameters, and so of the output.

    Attributes
    ----------
    weight, bias : Parameter, shape (c,), or None
        They start at 1 and 0.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is not (n, c, ...), or is a single sample with one value in a group.

    References
    ----------
    Wu, He, "Group normalization", ECCV 2018; ``torch.nn.GroupNorm``.

    Examples
    --------
    >>> import npnet
    >>> npnet.GroupNorm(1, 2)([[[1.0, 3.0], [5.0, 7.0]]])[0].round(2)
    array([[-1.34, -0.45],
           [ 0.45,  1.34]], dtype=float32)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: DtypeLike = np.float32,
    ) -> None:
        groups = whole_number(self, "num_groups", num_groups, 1)
        c = whole_number(self, "num_channels", num_channels, 1)
        if c % groups:
            raise refusal(self, "num_channels", f"a multiple of num_groups, {groups}", num_channels)
        super().__init__(c, eps, affine, bias, dtype)
        self.num_groups, self.num_channels = groups, c

    def forward(self, ctx: Context, x: Array) -> Array:
        """Normalise; keep x and the statistics."""
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise shape_error(self, f"(n, {self.num_channels}, ...)", x.shape)
        n, c, numbers = *x.shape[:2], math.prod(x.shape[2:])
        size = c // self.num_groups
        if n * size * numbers == 1:
            raise self._refuse_one_value("group", x)
        ctx.fixed = False
        channels = ops.channels(x, 1, n * c, numbers)
        return self._normalize(ctx, x, channels, ops.statistics(channels, size))
