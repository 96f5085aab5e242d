"""Maxout, the largest of several features."""

from __future__ import annotations

import numpy as np

from npnet.arguments import axis_of, whole_number
from npnet.context import Context
from npnet.errors import ShapeError
from npnet.layer import Layer
from npnet.typing import Array


class Maxout(Layer):
    """Largest of k features: y_i = max(x_i, x_(i + u), x_(i + 2u), ...), with u = num_units.

    Behind ``Linear(n, k * u)`` each output is a convex function of its inputs that is learned, made
    of k straight pieces. Of equal features the first has the gradient.

    Parameters
    ----------
    num_units : int
        Features that remain, u.
    axis : int
        The axis of the features; its size k * u is a multiple of `num_units`.

    Raises
    ------
    ArgumentError
        If `num_units` is not a positive integer.
    ShapeError
        In a call, if the input has no such axis, or its size is no multiple of `num_units`.

    References
    ----------
    Goodfellow, Warde-Farley, Mirza, Courville, Bengio, "Maxout networks", arXiv:1302.4389;
    ``tfa.layers.Maxout`` of TensorFlow Addons.

    Examples
    --------
    >>> import npnet
    >>> npnet.Maxout(2)([[1.0, 5.0, 3.0, 4.0]])
    array([[3., 5.]], dtype=float32)
    """

    def __init__(self, num_units: int, axis: int = -1) -> None:
        super().__init__()
        self.num_units = whole_number(self, "num_units", num_units, 1)
        self.axis = whole_number(self, "axis", axis)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute the maxima; keep where they are."""
        axis, units = axis_of(self, self.axis, x.shape), self.num_units
        pieces, rest = divmod(x.shape[axis], units)
        if rest or not pieces:
            raise ShapeError(
                f"expected a multiple of {units} as the size of axis {self.axis}, "
                f"got the shape {x.shape}",
                self,
            )
        groups = x.reshape(*x.shape[:axis], pieces, units, *x.shape[axis + 1 :])
        where = np.expand_dims(groups.argmax(axis=axis), axis)
        ctx.save(where)
        ctx.axis, ctx.shape, ctx.groups = axis, x.shape, groups.shape
        y: Array = np.take_along_axis(groups, where, axis).squeeze(axis)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad where the maxima were, else 0."""
        (where,) = ctx.saved
        dx = np.zeros(ctx.groups, grad.dtype)
        np.put_along_axis(dx, where, np.expand_dims(grad, ctx.axis), ctx.axis)
        return dx.reshape(ctx.shape)
