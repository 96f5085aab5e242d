"""GLU, whose one half opens and closes the other."""

from __future__ import annotations

import numpy as np

from npnet.arguments import axis_of, whole_number
from npnet.context import Context
from npnet.errors import ShapeError
from npnet.layer import Layer
from npnet.ops import elementwise as ops
from npnet.typing import Array


class GLU(Layer):
    """Gated linear unit: y = a * sigmoid(b), with the input's halves a and b along one axis.

    Parameters
    ----------
    dim : int
        The axis that is halved.

    Raises
    ------
    ShapeError
        In a call, if the input has no such axis, or the axis an odd size.

    References
    ----------
    Dauphin, Fan, Auli, Grangier, "Language modeling with gated convolutional networks",
    arXiv:1612.08083; ``torch.nn.GLU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.GLU()([[1.0, 2.0, 0.0, 100.0]])
    array([[0.5, 2. ]], dtype=float32)
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = whole_number(self, "dim", dim)

    def _halves(self, x: Array) -> tuple[Array, Array]:
        """Return views of the two halves."""
        half = x.shape[self.dim] // 2
        before = (slice(None),) * (self.dim % x.ndim)
        return x[(*before, slice(half))], x[(*before, slice(half, None))]

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep a and sigmoid(b)."""
        if x.shape[axis_of(self, self.dim, x.shape)] % 2:
            raise ShapeError(
                f"expected an even size of axis {self.dim}, to halve it, got the shape {x.shape}",
                self,
            )
        a, b = self._halves(x)
        gate = ops.sigmoid(b, np.empty(b.shape, x.dtype))
        ctx.save(a, gate)
        ctx.shape = x.shape
        y: Array = a * gate
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * s for a, and grad * a * s * (1 - s) for b, with s = sigmoid(b)."""
        a, gate = ctx.saved
        dx = np.empty(ctx.shape, gate.dtype)
        da, db = self._halves(dx)
        np.multiply(grad, gate, out=da)
        np.subtract(1, gate, out=db)
        db *= a
        db *= da
        return dx
