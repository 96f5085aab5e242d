"""LocalResponseNorm, which divides by the sizes of neighbouring channels."""

from __future__ import annotations

import numpy as np

from npnet.arguments import real_number, whole_number
from npnet.context import Context
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.ops import response as ops
from npnet.typing import Array


class LocalResponseNorm(Layer):
    """Divide by the sizes of neighbouring channels: y = x / (k + alpha * mean(x^2))^beta.

    The mean is over `size` channels of the same sample and place, of which size // 2 lie before the
    one in question; outside there is 0.

    Parameters
    ----------
    size : int
        Number of neighbouring channels.
    alpha, beta, k : float
        Factor, exponent and what is added.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.
    ShapeError
        In a call, if the input is not (n, c, ...) with three axes at least.

    References
    ----------
    Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
    networks", NIPS 2012; ``torch.nn.LocalResponseNorm``.

    Examples
    --------
    >>> import npnet
    >>> npnet.LocalResponseNorm(2, alpha=2.0, beta=0.5)([[[3.0], [4.0]]])[0].round(3)
    array([[0.949],
           [0.784]], dtype=float32)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = whole_number(self, "size", size, 1)
        self.alpha = real_number(self, "alpha", alpha)
        self.beta = real_number(self, "beta", beta)
        self.k = real_number(self, "k", k)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Divide; keep x and what is raised to the power."""
        if x.ndim < 3:
            raise shape_error(self, "(n, c, ...) with three axes at least", x.shape)
        y, base = ops.local_response(x, self.size, self.alpha, self.beta, self.k)
        ctx.save(x, base)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Add what comes back from the channels in whose windows a channel stands."""
        x, base = ctx.saved
        dx = ops.local_response_grad(grad, x, base, self.size, self.alpha, self.beta)
        return np.asarray(dx)
