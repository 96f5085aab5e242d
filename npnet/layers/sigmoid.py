"""The logistic function, the hyperbolic tangent, and what is made of them."""

from __future__ import annotations

import numpy as np

from npnet.arguments import real_number
from npnet.elementwise import Elementwise
from npnet.ops import activation
from npnet.ops import elementwise as ops
from npnet.typing import Array


class Sigmoid(Elementwise):
    """Logistic function: y = 1 / (1 + exp(-x)).

    References
    ----------
    ``torch.nn.Sigmoid``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Sigmoid()([-1.0, 0.0, 2.0]).round(4)
    array([0.2689, 0.5   , 0.8808], dtype=float32)
    """

    keeps_output = True

    def function(self, x: Array, out: Array) -> None:
        """Write 1 / (1 + exp(-x))."""
        ops.sigmoid(x, out)

    def gradient(self, grad: Array, y: Array, out: Array) -> None:
        """Write grad * (1 - y) * y."""
        activation.sigmoid_grad(grad, y, out)


class LogSigmoid(Elementwise):
    """Logarithm of the logistic function: y = -log(1 + exp(-x)).

    References
    ----------
    ``torch.nn.LogSigmoid``.

    Examples
    --------
    >>> import npnet
    >>> npnet.LogSigmoid()([-1.0, 0.0, 2.0]).round(4)
    array([-1.3133, -0.6931, -0.1269], dtype=float32)
    """

    keeps_output = True

    def function(self, x: Array, out: Array) -> None:
        """Write min(x, 0) - log(1 + exp(-|x|))."""
        np.abs(x, out=out)
        np.negative(out, out=out)
        np.exp(out, out=out)
        np.log1p(out, out=out)
        np.subtract(np.minimum(x, ops.zeros(x)), out, out=out)

    def gradient(self, grad: Array, y: Array, out: Array) -> None:
        """Write grad * (1 - exp(y))."""
        np.expm1(y, out=out)
        out *= grad
        np.negative(out, out=out)


class Tanh(Elementwise):
    """Hyperbolic tangent: y = tanh(x).

    References
    ----------
    ``torch.nn.Tanh``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Tanh()([-1.0, 0.0, 2.0]).round(4)
    array([-0.7616,  0.    ,  0.964 ], dtype=float32)
    """

    keeps_output = True

    def function(self, x: Array, out: Array) -> None:
        """Write tanh(x)."""
        np.tanh(x, out=out)

    def gradient(self, grad: Array, y: Array, out: Array) -> None:
        """Write grad * (1 - y^2)."""
        activation.tanh_grad(grad, y, out)


class Tanhshrink(Elementwise):
    """What the hyperbolic tangent takes off: y = x - tanh(x).

    References
    ----------
    ``torch.nn.Tanhshrink``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Tanhshrink()([-1.0, 0.0, 2.0]).round(4)
    array([-0.2384,  0.    ,  1.036 ], dtype=float32)
    """

    def function(self, x: Array, out: Array) -> None:
        """Write x - tanh(x)."""
        np.subtract(x, np.tanh(x, out=out), out=out)

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad * tanh(x)^2."""
        np.square(np.tanh(x, out=out), out=out)
        out *= grad


class Softplus(Elementwise):
    """Smooth rectifier: y = log(1 + exp(beta * x)) / beta, and x where beta * x > threshold.

    Parameters
    ----------
    beta : float
        Sharpness of the bend; positive.
    threshold : float
        Where the function is replaced by its asymptote.

    Raises
    ------
    ArgumentError
        If `beta` is not positive.

    References
    ----------
    ``torch.nn.Softplus``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Softplus()([-1.0, 0.0, 2.0]).round(4)
    array([0.3133, 0.6931, 2.1269], dtype=float32)
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = real_number(self, "beta", beta, above=0)
        self.threshold = real_number(self, "threshold", threshold)

    def function(self, x: Array, out: Array) -> None:
        """Write (max(z, 0) + log(1 + exp(-|z|))) / beta with z = beta * x."""
        z = x if self.beta == 1 else x * x.dtype.type(self.beta)
        np.abs(z, out=out)
        np.negative(out, out=out)
        np.exp(out, out=out)
        np.log1p(out, out=out)
        out += np.maximum(z, ops.zeros(z))
        if self.beta != 1:
            out /= self.beta
        far = z > self.threshold
        if far.any():
            np.copyto(out, x, where=far)

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad * sigmoid(beta * x)."""
        z = x if self.beta == 1 else x * x.dtype.type(self.beta)
        ops.sigmoid(z, out)
        out *= grad
        far = z > self.threshold
        if far.any():
            np.copyto(out, grad, where=far)


class Softsign(Elementwise):
    """Rational sigmoid: y = x / (1 + |x|).

    References
    ----------
    ``torch.nn.Softsign``.

    Examples
    --------
    >>> import npnet
    >>> npnet.Softsign()([-1.0, 0.0, 2.0]).round(4)
    array([-0.5   ,  0.    ,  0.6667], dtype=float32)
    """

    def function(self, x: Array, out: Array) -> None:
        """Write x / (1 + |x|)."""
        np.abs(x, out=out)
        out += 1
        np.divide(x, out, out=out)

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad / (1 + |x|)^2."""
        np.abs(x, out=out)
        out += 1
        np.square(out, out=out)
        np.divide(grad, out, out=out)
