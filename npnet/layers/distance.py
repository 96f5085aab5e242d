"""CosineSimilarity and PairwiseDistance, which compare the vectors of two inputs."""

from __future__ import annotations

import numpy as np

from npnet.arguments import axis_of, flag, norm_order, real_number, whole_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.ops import norms
from npnet.typing import Array


def _axis(layer: Layer, x1: Array, x2: Array, dim: int) -> int:
    """Return the number of an axis after broadcasting."""
    try:
        shape = np.broadcast_shapes(x1.shape, x2.shape) or (1,)  # two numbers are vectors of one
    except ValueError:
        raise shape_error(layer, f"{x1.shape}, or one that broadcasts", x2.shape) from None
    return axis_of(layer, dim, shape)


class CosineSimilarity(Layer):
    """Compute the cosine of the angle between vectors: y = x1 . x2 / (|x1| |x2|).

    Norms below `eps` count as `eps`; the gradient is that of the norms themselves, as in PyTorch.

    Parameters
    ----------
    dim : int
        The axis of the vectors, after broadcasting.
    eps : float
        The least norm, not negative.

    Raises
    ------
    ShapeError
        In a call, if the two inputs do not broadcast or lack the axis.

    References
    ----------
    ``torch.nn.CosineSimilarity``.

    Examples
    --------
    >>> import npnet
    >>> npnet.CosineSimilarity()([[1.0, 0.0], [3.0, 4.0]], [[0.0, 2.0], [6.0, 8.0]])
    array([0., 1.], dtype=float32)
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = whole_number(self, "dim", dim)
        self.eps = real_number(self, "eps", eps, 0)

    def forward(self, ctx: Context, x1: Array, x2: Array) -> Array:
        """Multiply unit vectors; keep the inputs and their norms."""
        ctx.axis = axis = _axis(self, x1, x2, self.dim)
        ctx.shapes = x1.shape, x2.shape
        x1, x2 = np.broadcast_arrays(np.atleast_1d(x1), x2)
        n1, n2 = (norms.vector_norm(x, 2.0, axis) for x in (x1, x2))
        ctx.save(x1, x2, n1, n2)
        units = x1 / np.maximum(n1, self.eps) * (x2 / np.maximum(n2, self.eps))
        return np.asarray(units.sum(axis))

    def backward(self, ctx: Context, grad: Array) -> tuple[Array, Array]:
        """Return grad * (unit of the other - cosine * own unit) / own norm for each input."""
        x1, x2, n1, n2 = ctx.saved
        grad = np.expand_dims(grad, ctx.axis)
        m1, m2 = np.maximum(n1, self.eps), np.maximum(n2, self.eps)
        u1, u2 = x1 / m1, x2 / m2
        cosine = (u1 * u2).sum(ctx.axis, keepdims=True)
        along1 = np.where(n1 == 0, 0, x1 / n1)  # the gradient of the norm
        along2 = np.where(n2 == 0, 0, x2 / n2)
        dx1 = grad * (u2 - cosine * along1) / m1
        dx2 = grad * (u1 - cosine * along2) / m2
        return norms.sum_to(dx1, ctx.shapes[0]), norms.sum_to(dx2, ctx.shapes[1])


class PairwiseDistance(Layer):
    """Compute the p-norm of differences along the last axis: y = |x1 - x2 + eps|_p.

    Where the norm has no derivative, PyTorch's is taken: 0 at 0, and equal shares for those that
    are the largest.

    Parameters
    ----------
    p : float
        The order of the norm; may be infinite.
    eps : float
        Added to each difference.
    keepdim : bool
        Whether the last axis stays, with length 1.

    Raises
    ------
    ShapeError
        In a call, if the two inputs do not broadcast.

    References
    ----------
    ``torch.nn.PairwiseDistance``.

    Examples
    --------
    >>> import npnet
    >>> npnet.PairwiseDistance(eps=0.0)([[3.0, 0.0], [1.0, 1.0]], [0.0, 4.0]).tolist()
    [5.0, 3.1622776985168457]
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.p = norm_order(self, "p", p)
        self.eps = real_number(self, "eps", eps)
        self.keepdim = flag(self, "keepdim", keepdim)

    def forward(self, ctx: Context, x1: Array, x2: Array) -> Array:
        """Compute the norms; keep them and the differences."""
        _axis(self, x1, x2, -1)
        difference = np.atleast_1d(x1 - x2)
        difference += difference.dtype.type(self.eps)
        if difference.shape[-1] == 0 and abs(self.p) == np.inf:
            raise shape_error(self, "(..., 1) at least", x1.shape)
        norm = norms.vector_norm(difference, self.p, -1)
        ctx.shapes = x1.shape, x2.shape
        ctx.save(difference, norm)
        return norm if self.keepdim else norm[..., 0]

    def backward(self, ctx: Context, grad: Array) -> tuple[Array, Array]:
        """Return the gradient of the norm for x1, and its negative for x2."""
        difference, norm = ctx.saved
        grad = grad if self.keepdim else grad[..., np.newaxis]
        dx = norms.vector_norm_grad(grad, difference, norm, self.p, -1)
        return norms.sum_to(dx, ctx.shapes[0]), norms.sum_to(-dx, ctx.shapes[1])
