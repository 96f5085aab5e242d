"""Layers that are random while training: Dropout, its relatives that keep moments, and noise."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from npnet.arguments import real_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.ops import elementwise as ops
from npnet.typing import Array


class Dropout(Layer):
    """Zero each element with probability p and scale the rest by 1 / (1 - p).

    Only a recorded pass in training mode drops; otherwise y = x. The random numbers come from
    the pass: ``model.record(x, rng=generator)``, or npnet's default generator.

    Parameters
    ----------
    p : float
        Probability of dropping, from 0 to 1.

    Raises
    ------
    ArgumentError
        If `p` is not a probability.

    References
    ----------
    Srivastava et al., "Dropout", JMLR 15, 2014; ``torch.nn.Dropout``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> y, tape = npnet.Dropout(0.5).record(np.ones(1000), rng=0)
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = real_number(self, "p", p, 0, 1)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Multiply by a mask of zeros and 1 / (1 - p); keep the mask."""
        if not ctx.training or self.p == 0:
            return x
        scale = 0.0 if self.p == 1 else 1 / (1 - self.p)
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        mask = ctx.rng.random(x.shape, dtype)
        y: Array = ops.dropout(x, mask, self.p, scale, np.empty_like(x))
        ctx.save(mask)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Multiply by the same mask."""
        if not ctx.saved:
            return grad
        (mask,) = ctx.saved
        dx: Array = np.multiply(grad, mask, out=np.empty_like(mask))
        return dx


class _ChannelDropout(Dropout):
    """Drop all of a channel or nothing of it; a subclass says how many axes a channel has."""

    axes: ClassVar[int]
    inputs: ClassVar[str]
    without_batch = True

    def forward(self, ctx: Context, x: Array) -> Array:
        """Multiply by zeros and 1 / (1 - p); keep these factors, one for each channel."""
        if x.ndim not in (self.axes + 1, self.axes + 2):
            raise shape_error(self, self.inputs, x.shape, "Dropout takes any, and drops elements")
        if not ctx.training or self.p == 0:
            return x
        leading = 1 if self.without_batch and x.ndim == self.axes + 1 else 2
        shape = (*x.shape[:leading], *(1,) * (x.ndim - leading))
        scale = 0.0 if self.p == 1 else 1 / (1 - self.p)
        kept = ctx.rng.random(shape, np.float32 if x.dtype == np.float32 else np.float64) >= self.p
        factor = kept * x.dtype.type(scale)
        ctx.save(factor)
        return np.asarray(x * factor)

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Multiply by the same factors."""
        if not ctx.saved:
            return grad
        (factor,) = ctx.saved
        return np.asarray(grad * factor)


class Dropout1d(_ChannelDropout):
    """Do what `Dropout` does with whole channels: all of x[i, j] or nothing of it.

    Parameters
    ----------
    p : float
        Probability of dropping a channel, from 0 to 1.

    Raises
    ------
    ArgumentError
        If `p` is not a probability.
    ShapeError
        In a call, if the input is neither (n, channels, width) nor (channels, width).

    References
    ----------
    Tompson et al., "Efficient Object Localization Using Convolutional Networks", 2015;
    ``torch.nn.Dropout1d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> y, tape = npnet.Dropout1d(0.5).record(np.ones((2, 3, 4)), rng=0)
    >>> bool((y == y[:, :, :1]).all())
    True
    """

    axes, inputs = 1, "(n, channels, width) or (channels, width)"


class Dropout2d(_ChannelDropout):
    """Do what `Dropout` does with whole channels of images: all of x[i, j] or nothing of it.

    As `Dropout1d`, with inputs (n, channels, height, width); as in ``torch.nn.Dropout2d``, three
    axes are (n, channels, width), and not an image without n.
    """

    axes, inputs = 2, "(n, channels, height, width) or (n, channels, width)"
    without_batch = False


class Dropout3d(_ChannelDropout):
    """Do what `Dropout` does with whole channels of volumes: all of x[i, j] or nothing of it.

    As `Dropout1d`, with inputs (n, channels, depth, height, width) or without n;
    ``torch.nn.Dropout3d``.
    """

    axes, inputs = 3, "(n, channels, depth, height, width) or without n"


_ALPHA = 1.7580993408473766
"""The limit of SELU for inputs to minus infinity, negated."""


class AlphaDropout(Layer):
    """Set elements to SELU's limit -1.758 with probability p, so that mean 0, variance 1 stay.

    With alpha' = -1.758..., kept elements become a x + b and the others a alpha' + b, where
    a = ((1 - p) (1 + p alpha'^2))^(-1/2) and b = -a p alpha'. Only a recorded pass in training mode
    does so; otherwise y = x.

    Parameters
    ----------
    p : float
        Probability of dropping, from 0 to 1; with 1 all becomes 0.

    Raises
    ------
    ArgumentError
        If `p` is not a probability.

    References
    ----------
    Klambauer et al., "Self-Normalizing Neural Networks", 2017; ``torch.nn.AlphaDropout``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> y, tape = npnet.AlphaDropout(0.5).record(np.zeros(1000), rng=0)
    >>> np.unique(y.round(3)).tolist()
    [-0.779, 0.779]
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = real_number(self, "p", p, 0, 1)

    def _dropped_together(self, x: Array) -> tuple[int, ...]:
        """Return the shape of the mask, which is broadcast over x."""
        return x.shape

    def forward(self, ctx: Context, x: Array) -> Array:
        """Drop and rescale; keep the mask times a."""
        shape = self._dropped_together(x)
        if not ctx.training or self.p == 0:
            return x
        p = self.p
        a = 0.0 if p == 1 else ((1 - p) * (1 + p * _ALPHA**2)) ** -0.5
        kept = ctx.rng.random(shape, np.float32 if x.dtype == np.float32 else np.float64) >= p
        slope = kept * x.dtype.type(a)
        ctx.save(slope)
        y: Array = x * slope
        y += np.where(kept, a * p * _ALPHA, a * (p - 1) * _ALPHA).astype(x.dtype)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Multiply by the same mask."""
        if not ctx.saved:
            return grad
        (slope,) = ctx.saved
        return np.asarray(grad * slope)


class FeatureAlphaDropout(AlphaDropout):
    """Do what `AlphaDropout` does with whole channels: all of x[i, j] or nothing of it.

    Parameters
    ----------
    p : float
        Probability of dropping a channel, from 0 to 1; with 1 all becomes 0.

    Raises
    ------
    ArgumentError
        If `p` is not a probability.
    ShapeError
        In a call, if the input has no axis of channels.

    References
    ----------
    Klambauer et al., "Self-Normalizing Neural Networks", 2017; ``torch.nn.FeatureAlphaDropout``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> y, tape = npnet.FeatureAlphaDropout().record(np.zeros((2, 3, 4, 4)), rng=0)
    >>> bool((y == y[:, :, :1, :1]).all())
    True
    """

    def _dropped_together(self, x: Array) -> tuple[int, ...]:
        if x.ndim < 2:
            raise shape_error(self, "(n, channels, ...)", x.shape)
        return (*x.shape[:2], *(1,) * (x.ndim - 2))


class GaussianNoise(Layer):
    """Add normal noise of mean 0 while training: y = x + stddev * noise.

    Only a recorded pass in training mode does so; otherwise y = x.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, not negative.

    Raises
    ------
    ArgumentError
        If `stddev` is negative.

    References
    ----------
    ``keras.layers.GaussianNoise``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> y, tape = npnet.GaussianNoise(0.1).record(np.zeros(10000), rng=0)
    >>> round(float(y.std()), 2)
    0.1
    """

    habits: ClassVar = {"seed": "the pass has the random numbers: layer.record(x, rng=seed)"}

    def __init__(self, stddev: float) -> None:
        super().__init__()
        self.stddev = real_number(self, "stddev", stddev, 0)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Add noise; keep nothing."""
        if not ctx.training or self.stddev == 0:
            return x
        dtype = np.float32 if x.dtype == np.float32 else np.float64
        y: Array = ctx.rng.standard_normal(x.shape, dtype).astype(x.dtype, copy=False)
        y *= x.dtype.type(self.stddev)
        y += x
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad."""
        return grad
