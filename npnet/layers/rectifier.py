"""Rectifiers: activations that are linear above 0 and bent below."""

from __future__ import annotations

import numpy as np

from npnet.arguments import float_dtype, real_number, whole_number
from npnet.context import Context
from npnet.elementwise import Elementwise
from npnet.errors import shape_error
from npnet.layer import Layer
from npnet.ops import activation
from npnet.ops import elementwise as ops
from npnet.parameter import Parameter
from npnet.typing import Array, DtypeLike


class ReLU(Elementwise):
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

    keeps_output = True

    def function(self, x: Array, out: Array) -> None:
        """Write max(x, 0)."""
        ops.relu(x, out)

    def gradient(self, grad: Array, y: Array, out: Array) -> None:
        """Write grad where y > 0, else 0."""
        ops.relu_grad(grad, y, out)


class LeakyReLU(Elementwise):
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

    def function(self, x: Array, out: Array) -> None:
        """Write x where x > 0, else negative_slope * x."""
        activation.leaky_relu(x, self.negative_slope, out)

    def gradient(self, grad: Array, x: Array, out: Array) -> None:
        """Write grad where x > 0, else negative_slope * grad."""
        activation.leaky_relu_grad(grad, x, self.negative_slope, out)


class RReLU(Layer):
    """Rectifier with random slopes: y = x for x > 0, else a * x.

    In a recorded pass in training mode each element has an a of its own, uniform from `lower` to
    `upper`; otherwise a is their mean. The random numbers come from the pass:
    ``model.record(x, rng=generator)``, or npnet's default generator.

    Parameters
    ----------
    lower, upper : float
        The slopes between which a is drawn.

    Raises
    ------
    ArgumentError
        If `lower` is above `upper`.

    References
    ----------
    Xu, Wang, Chen, Li, "Empirical evaluation of rectified activations in convolutional network",
    arXiv:1505.00853; ``torch.nn.RReLU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.RReLU(0.1, 0.3)([-1.0, 0.0, 2.0]).round(4)
    array([-0.2,  0. ,  2. ], dtype=float32)
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3) -> None:
        super().__init__()
        self.upper = real_number(self, "upper", upper)
        self.lower = real_number(self, "lower", lower, high=self.upper)

    def forward(self, ctx: Context, x: Array) -> Array:
        """Multiply by the slopes; keep them."""
        slope = np.empty_like(x)
        if ctx.training:
            low = x <= 0
            a = ctx.rng.random(x.shape, np.float32 if x.dtype == np.float32 else np.float64)
            a *= self.upper - self.lower
            a += self.lower
            ops.keep_where(low, a, slope)
            slope += ~low
        else:
            ops.choose(x > 0, 1.0, (self.lower + self.upper) / 2, slope)
        ctx.save(slope)
        y: Array = np.multiply(x, slope, out=np.empty_like(x))
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Multiply by the same slopes."""
        (slope,) = ctx.saved
        dx: Array = np.multiply(grad, slope, out=np.empty_like(slope))
        return dx


class PReLU(Layer):
    """Rectifier with learned slopes: y = x for x > 0, else a * x.

    Leave weight decay off for the slopes: it would draw them to those of ReLU.

    Parameters
    ----------
    num_parameters : int
        1 for one slope, or the size of axis 1 for one slope for each channel.
    init : float
        The slopes before training.
    dtype : dtype
        Of the slopes, and so of the output.

    Attributes
    ----------
    weight : Parameter, shape (num_parameters,)
        The slopes a.

    Raises
    ------
    ArgumentError
        If `num_parameters` is not a positive integer.
    ShapeError
        In a call, if there are several slopes and axis 1 has another size.

    References
    ----------
    He, Zhang, Ren, Sun, "Delving deep into rectifiers", arXiv:1502.01852; ``torch.nn.PReLU``.

    Examples
    --------
    >>> import npnet
    >>> npnet.PReLU()([-1.0, 0.0, 2.0])
    array([-0.25,  0.  ,  2.  ], dtype=float32)
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, *, dtype: DtypeLike = np.float32
    ) -> None:
        super().__init__()
        self.num_parameters = whole_number(self, "num_parameters", num_parameters, 1)
        self.init = real_number(self, "init", init)
        dtype = float_dtype(self, "dtype", dtype)
        self.weight = Parameter(np.full(self.num_parameters, self.init, dtype))

    def _slopes(self, x: Array) -> Array:
        """Return the slopes in a shape that broadcasts."""
        n = self.num_parameters
        if n > 1 and (x.ndim < 2 or x.shape[1] != n):
            raise shape_error(self, f"(m, {n}, ...)", x.shape)
        return self.weight.data.reshape((n,) + (1,) * (x.ndim - 2) if x.ndim > 1 else x.shape[:0])

    def forward(self, ctx: Context, x: Array) -> Array:
        """Compute y; keep x."""
        slopes = self._slopes(x)
        x = x.astype(slopes.dtype, copy=False)
        ctx.save(x)
        if self.num_parameters == 1:
            return activation.leaky_relu(x, float(slopes.item()), np.empty_like(x))
        y: Array = np.minimum(x, 0) * slopes
        y += np.maximum(x, 0)
        return y

    def backward(self, ctx: Context, grad: Array) -> Array:
        """Add grad * x where x is not positive to the slopes' gradients; return grad * dy/dx."""
        (x,) = ctx.saved
        positive = x > 0
        below = ops.keep_where(~positive, grad, np.empty_like(x))
        dx = ops.keep_where(positive, grad, np.empty_like(x))
        dx += below * self._slopes(x)
        below *= x
        channels = () if self.num_parameters == 1 else (1,)
        axes = tuple(axis for axis in range(x.ndim) if axis not in channels)
        ctx.add_grad(self.weight, below.sum(axis=axes, dtype=np.float64).reshape(-1))
        return dx
