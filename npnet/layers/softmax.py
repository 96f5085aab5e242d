"""Softmax and its relatives, which normalise along one axis."""

from __future__ import annotations

import numpy as np

from npnet.arguments import axis_of, whole_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.ops import softmax as ops
from npnet.typing import Array


class _AlongAxis(Layer):
    """What all have in common: the axis."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = whole_number(self, "dim", dim)

    def _check(self, x: Array) -> None:
        axis_of(self, self.dim, x.shape or (1,))  # a scalar is a distribution over one class


class Softmax(_AlongAxis):
    """Turn logits into probabilities: y_i = exp(x_i) / sum_j exp(x_j).

    For training, leave it out and use `CrossEntropyLoss`, which takes logits.

    Parameters
    ----------
    dim : int
        The axis along which the probabilities sum to 1.

    Raises
    ------
    ShapeError
        In a call, if the input has no such axis.

    References
    ----------
    ``torch.nn.Softmax``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.Softmax()([2.0, -1.0, 3.0]).round(4)
    array([0.2654, 0.0132, 0.7214], dtype=float32)
    """

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute the probabilities; keep them."""
        self._check(x)
        y = ops.softmax(x, self.dim, np.empty_like(x))
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return y * (grad - sum(grad * y))."""
        (y,) = ctx.saved
        return ops.softmax_grad(grad, y, self.dim, np.empty_like(y))


class Softmin(Softmax):
    """Turn costs into probabilities: y_i = exp(-x_i) / sum_j exp(-x_j).

    Parameters
    ----------
    dim : int
        The axis along which the probabilities sum to 1.

    Raises
    ------
    ShapeError
        In a call, if the input has no such axis.

    References
    ----------
    ``torch.nn.Softmin``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Softmin()([2.0, -1.0, 3.0]).round(4)
    array([0.0466, 0.9362, 0.0171], dtype=float32)
    """

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute the softmax of -x; keep it."""
        return super().forward(ctx, np.negative(x, out=np.empty_like(x)))

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return y * (sum(grad * y) - grad)."""
        dx = super().backward(ctx, grad)
        return np.negative(dx, out=dx)


class Softmax2d(Softmax):
    """Softmax over the channels at each place of images.

    The input has the shape (n, channels, height, width), or that of one image, without n.

    Raises
    ------
    ShapeError
        In a call, if the input has neither three nor four axes.

    References
    ----------
    ``torch.nn.Softmax2d``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.Softmax2d()(np.zeros((1, 4, 1, 2)))[0, :, 0, 0]
    array([0.25, 0.25, 0.25, 0.25])
    """

    def __init__(self) -> None:
        super().__init__(-3)

    def _check(self, x: Array) -> None:
        if x.ndim not in (3, 4):
            raise shape_error(self, "(n, channels, height, width)", x.shape)


class LogSoftmax(_AlongAxis):
    """Logarithm of softmax: y_i = x_i - log(sum_j exp(x_j)).

    Parameters
    ----------
    dim : int
        The axis along which exp(y) sums to 1.

    Raises
    ------
    ShapeError
        In a call, if the input has no such axis.

    References
    ----------
    ``torch.nn.LogSoftmax``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> float(np.exp(npnet.LogSoftmax()([2.0, -1.0, 3.0])).sum().round(6))
    1.0
    """

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute the log-probabilities; keep them."""
        self._check(x)
        y = ops.log_softmax(x, self.dim, np.empty_like(x))
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad - exp(y) * sum(grad)."""
        (y,) = ctx.saved
        return ops.log_softmax_grad(grad, y, self.dim, np.empty_like(y))
