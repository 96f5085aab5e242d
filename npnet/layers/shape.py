"""Layers that compute nothing: Identity, and Flatten, which joins axes."""

from __future__ import annotations

import math

from npnet.arguments import whole_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.typing import Array


class Identity(Layer):
    """Return the input: y = x.

    References
    ----------
    ``torch.nn.Identity``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Identity()([1.0, 2.0])
    array([1., 2.], dtype=float32)
    """

    def forward(self, ctx: Context, x: Array) -> Array:
        """Return x; keep nothing."""
        return x

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad."""
        return grad


class Flatten(Layer):
    """Join the axes from `start_dim` to `end_dim` into one.

    Parameters
    ----------
    start_dim, end_dim : int
        First and last axis to join, counted from the end if negative. The defaults keep the
        batch axis: (n, c, h, w) becomes (n, c * h * w).

    Raises
    ------
    ShapeError
        In a call, if the input has no such axes.

    References
    ----------
    ``torch.nn.Flatten``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = whole_number(self, "start_dim", start_dim)
        self.end_dim = whole_number(self, "end_dim", end_dim)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Return a view of x where the memory order allows it; keep the shape."""
        ctx.shape = x.shape
        axes = max(x.ndim, 1)  # a scalar flattens to one element
        first, last = (d + axes if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= first <= last < axes:
            expected = f"with axes {self.start_dim} to {self.end_dim}"
            raise shape_error(self, expected, x.shape, "the first axis counts the samples")
        sizes = x.shape or (1,)
        joined = math.prod(sizes[first : last + 1])
        return x.reshape(*sizes[:first], joined, *sizes[last + 1 :])

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad in the input's shape."""
        return grad.reshape(ctx.shape)
