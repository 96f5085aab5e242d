"""Exponential units: linear above 0, an exponential that levels off below."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npnet.arguments import real_number, refusal
from npnet.elementwise import Elementwise
from npnet.ops import elementwise as ops
from npnet.typing import Array


class _Exponential(Elementwise):
    """y = scale * x for x > 0, else low * (exp(rate * x) - 1)."""

    def _numbers(self) -> tuple[float, float, float]:
        """Return scale, low and rate."""
        raise NotImplementedError

    def function(self, x: Array, out: Array) -> None:
        """Write scale * max(x, 0) + low * (exp(rate * min(x, 0)) - 1)."""
        scale, low, rate = self._numbers()
        np.minimum(x, ops.zeros(x), out=out)
        if rate != 1:
            out *= rate
        np.expm1(out, out=out)
        if low != 1:
            out *= low
        above = np.maximum(x, ops.zeros(x))
        if scale != 1:
            above *= scale
        out += above

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad * scale where x > 0, else grad * low * rate * exp(rate * x)."""
        scale, low, rate = self._numbers()
        np.fmin(x, ops.zeros(x), out=out)  # 0 for NaN, as in PyTorch: the gradient passes
        if rate != 1:
            out *= rate
        np.exp(out, out=out)
        if math.isclose(low * rate, scale, rel_tol=1e-15):
            factor: Any = scale
        else:
            factor = ops.choose(x <= 0, low * rate, scale, np.empty_like(x))
        out *= factor
        out *= grad


class ELU(_Exponential):
    """Exponential linear unit: y = x for x > 0, else alpha * (exp(x) - 1).

    Parameters
    ----------
    alpha : float
        Minus the limit for x to minus infinity.

    References
    ----------
    Clevert, Unterthiner, Hochreiter, arXiv:1511.07289; ``torch.nn.ELU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ELU()([-1.0, 0.0, 2.0]).round(4)
    array([-0.6321,  0.    ,  2.    ], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = real_number(self, "alpha", alpha)

    def _numbers(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, 1.0


class CELU(_Exponential):
    """Exponential unit with a continuous slope: y = x for x > 0, else alpha * (exp(x / alpha) - 1).

    In float64 the gradient is more exact than PyTorch's, which has 1 / alpha in single precision.

    Parameters
    ----------
    alpha : float
        Minus the limit for x to minus infinity; not 0.

    Raises
    ------
    ArgumentError
        If `alpha` is 0.

    References
    ----------
    Barron, "Continuously differentiable exponential linear units", arXiv:1704.07483;
    ``torch.nn.CELU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.CELU(2.0)([-1.0, 0.0, 2.0]).round(4)
    array([-0.7869,  0.    ,  2.    ], dtype=float32)
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = real_number(self, "alpha", alpha)
        if self.alpha == 0:
            raise refusal(self, "alpha", "a number other than 0", alpha, "ReLU is the limit")

    def _numbers(self) -> tuple[float, float, float]:
        return 1.0, self.alpha, 1 / self.alpha


class SELU(_Exponential):
    """Self-normalizing unit: y = scale * x for x > 0, else scale * alpha * (exp(x) - 1).

    With alpha = 1.6732632423543772 and scale = 1.0507009873554805, mean 0 and variance 1 of the
    inputs are a stable fixed point of layers with weights of variance 1 / in_features.

    References
    ----------
    Klambauer, Unterthiner, Mayr, Hochreiter, "Self-normalizing neural networks",
    arXiv:1706.02515; ``torch.nn.SELU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.SELU()([-1.0, 0.0, 2.0]).round(4)
    array([-1.1113,  0.    ,  2.1014], dtype=float32)
    """

    def _numbers(self) -> tuple[float, float, float]:
        scale = 1.0507009873554804934193349852946
        return scale, scale * 1.6732632423543772848170429916717, 1.0
