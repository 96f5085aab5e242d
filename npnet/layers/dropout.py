"""Dropout, which zeroes random elements while training."""

from __future__ import annotations

import numpy as np

from npnet.arguments import real_number
from npnet.context import Context
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
