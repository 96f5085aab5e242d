"""Activations that weigh their input by a smooth step: GELU, SiLU, Mish."""

from __future__ import annotations

import numpy as np

from npnet.arguments import choice
from npnet.elementwise import Elementwise
from npnet.ops import activation as ops
from npnet.ops import gelu
from npnet.typing import Array


class GELU(Elementwise):
    """Gaussian error linear unit: y = x * Phi(x), Phi the normal distribution function.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        ``"tanh"`` computes x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) instead.

    Raises
    ------
    ArgumentError
        If `approximate` is something else.

    References
    ----------
    Hendrycks, Gimpel, arXiv:1606.08415; ``torch.nn.GELU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.GELU()([-1.0, 0.0, 2.0]).round(4)
    array([-0.1587,  0.    ,  1.9545], dtype=float32)
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = choice(self, "approximate", approximate, ("none", "tanh"))

    def function(self, x: Array, out: Array) -> None:
        """Write x * Phi(x)."""
        (gelu.gelu if self.approximate == "none" else gelu.gelu_tanh)(x, out)

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad * (Phi(x) + x * phi(x))."""
        derivative = gelu.gelu_grad if self.approximate == "none" else gelu.gelu_tanh_grad
        derivative(grad, x, out)


class SiLU(Elementwise):
    """Sigmoid linear unit, also called swish: y = x / (1 + exp(-x)).

    References
    ----------
    Ramachandran, Zoph, Le, arXiv:1710.05941; ``torch.nn.SiLU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.SiLU()([-1.0, 0.0, 2.0]).round(4)
    array([-0.2689,  0.    ,  1.7616], dtype=float32)
    """

    def function(self, x: Array, out: Array) -> None:
        """Write x / (1 + exp(-x))."""
        ops.silu(x, out)

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad * s * (1 + x * (1 - s)) with s = sigmoid(x)."""
        ops.silu_grad(grad, x, out)


class Mish(Elementwise):
    """Self-regularized activation: y = x * tanh(log(1 + exp(x))).

    References
    ----------
    Misra, "Mish: A self regularized non-monotonic activation function", arXiv:1908.08681;
    ``torch.nn.Mish``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Mish()([-1.0, 0.0, 2.0]).round(4)
    array([-0.3034,  0.    ,  1.944 ], dtype=float32)
    """

    # With e = exp(x) and w = e * (e + 2), tanh(log(1 + e)) = w / (w + 2). Beyond x = 20 that is 1
    # to the last bit, so x is cut there and nothing overflows.

    def function(self, x: Array, out: Array) -> None:
        """Write x * w / (w + 2)."""
        np.exp(np.minimum(x, 20, out=out), out=out)
        w = out + 2
        w *= out
        np.add(w, 2, out=out)
        np.divide(w, out, out=out)
        out *= x

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad * (w + 4 * x * e * (1 + e) / (w + 2)) / (w + 2)."""
        low = np.minimum(x, 20)
        e = np.exp(low)
        w = e + 2
        w *= e
        np.add(e, 1, out=out)
        out *= e
        out *= low
        out *= 4
        np.add(w, 2, out=e)
        out /= e
        out += w
        out /= e
        out *= grad
