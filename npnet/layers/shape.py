"""Layers that compute nothing: Identity, Flatten, which joins axes, and Unflatten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from npnet.arguments import axis_of, refusal, whole_number
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


class Unflatten(Layer):
    """Split one axis into several.

    Parameters
    ----------
    dim : int
        The axis to split, counted from the end if negative.
    unflattened_size : sequence of int
        Sizes of the new axes; one of them may be -1 and is worked out.

    Raises
    ------
    ArgumentError
        If the sizes are not integers, or more than one is -1.
    ShapeError
        In a call, if the input has no such axis or its length is not the product of the sizes.

    References
    ----------
    ``torch.nn.Unflatten``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> npnet.Unflatten(1, (3, -1))(np.zeros((2, 12))).shape
    (2, 3, 4)
    """

    habits: ClassVar = {"target_shape": "it is unflattened_size, and dim=1 says which axis"}

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        name = "unflattened_size"
        self.dim = whole_number(self, "dim", dim)
        if not isinstance(unflattened_size, tuple | list) or not unflattened_size:
            raise refusal(self, name, "sizes of axes, such as (3, -1)", unflattened_size)
        sizes = enumerate(unflattened_size)
        self.unflattened_size = tuple(whole_number(self, f"{name}[{i}]", n, -1) for i, n in sizes)
        if self.unflattened_size.count(-1) > 1:
            raise refusal(self, name, "sizes with at most one -1", unflattened_size)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Return a view of x where the memory order allows it; keep the shape."""
        ctx.shape = x.shape
        axis, sizes = axis_of(self, self.dim, x.shape), self.unflattened_size
        known = abs(math.prod(sizes))  # a -1 stands for any number
        rest, left = divmod(x.shape[axis], known) if known else (1, x.shape[axis])
        if -1 in sizes and known and not left:
            sizes = tuple([rest if n == -1 else n for n in sizes])
        elif -1 in sizes or left or rest != 1:
            times = "a multiple of " if -1 in sizes else ""
            raise shape_error(self, f"with {times}{known} along axis {self.dim}", x.shape)
        return x.reshape(*x.shape[:axis], *sizes, *x.shape[axis + 1 :])

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad in the input's shape."""
        return grad.reshape(ctx.shape)
