"""Activations: layers that apply one function to every element."""

from __future__ import annotations

import numpy as np

from npnet.arguments import choice, real_number
from npnet.context import Context
from npnet.layer import Layer
from npnet.ops import elementwise as ops
from npnet.typing import Array


class ReLU(Layer):
    """Rectifier: y = max(x, 0). The derivative at 0 is taken as 0.

    References
    ----------
    ``torch.nn.ReLU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.ReLU()([-1.0, 0.0, 2.0]).round(4)
    array([0., 0., 2.], dtype=float32)
    """

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep y."""
        y = ops.relu(x, np.empty_like(x))
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (y,) = ctx.saved
        return ops.relu_grad(grad, y, np.empty_like(y))


class LeakyReLU(Layer):
    """Rectifier with a slope: y = x for x > 0, else negative_slope * x.

    Parameters
    ----------
    negative_slope : float
        The slope for x <= 0.

    References
    ----------
    Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models",
    ICML 2013; ``torch.nn.LeakyReLU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.LeakyReLU(0.1)([-1.0, 0.0, 2.0])
    array([-0.1,  0. ,  2. ], dtype=float32)
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = real_number(self, "negative_slope", negative_slope)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x."""
        ctx.save(x)
        return ops.leaky_relu(x, self.negative_slope, np.empty_like(x))

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (x,) = ctx.saved
        return ops.leaky_relu_grad(grad, x, self.negative_slope, np.empty_like(x))


class ELU(Layer):
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

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x."""
        ctx.save(x)
        return ops.elu(x, self.alpha, np.empty_like(x))

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (x,) = ctx.saved
        return ops.elu_grad(grad, x, self.alpha, np.empty_like(x))


class GELU(Layer):
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

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x."""
        ctx.save(x)
        value = ops.gelu if self.approximate == "none" else ops.gelu_tanh
        return value(x, np.empty_like(x))

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (x,) = ctx.saved
        derivative = ops.gelu_grad if self.approximate == "none" else ops.gelu_tanh_grad
        return derivative(grad, x, np.empty_like(x))


class SiLU(Layer):
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

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x."""
        y = ops.silu(x, np.empty_like(x))
        ctx.save(x)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (x,) = ctx.saved
        return ops.silu_grad(grad, x, np.empty_like(x))


class Sigmoid(Layer):
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

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep y."""
        y = ops.sigmoid(x, np.empty_like(x))
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (y,) = ctx.saved
        return ops.sigmoid_grad(grad, y, np.empty_like(y))


class Tanh(Layer):
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

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep y."""
        y = ops.tanh(x, np.empty_like(x))
        ctx.save(y)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (y,) = ctx.saved
        return ops.tanh_grad(grad, y, np.empty_like(y))


class Softplus(Layer):
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

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x."""
        ctx.save(x)
        return ops.softplus(x, self.beta, self.threshold, np.empty_like(x))

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (x,) = ctx.saved
        return ops.softplus_grad(grad, x, self.beta, self.threshold, np.empty_like(x))


class Softsign(Layer):
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

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x."""
        y = ops.softsign(x, np.empty_like(x))
        ctx.save(x)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Return grad * dy/dx."""
        (x,) = ctx.saved
        return ops.softsign_grad(grad, x, np.empty_like(x))
