"""How many inputs and outputs a layer's weight joins, and the gains of nonlinearities."""

from __future__ import annotations

import math

from npnet.arguments import choice, real_number
from npnet.errors import ShapeError
from npnet.init.arrays import Shape, checked_shape

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4.0,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    r"""Return the factor on the standard deviation that PyTorch recommends for a nonlinearity.

    It is 1 for linear and convolutional layers and ``"sigmoid"``, 5/3 for ``"tanh"``,
    :math:`\sqrt{2}` for ``"relu"``, :math:`\sqrt{2 / (1 + \mathrm{slope}^2)}` for
    ``"leaky_relu"`` and 3/4 for ``"selu"``.

    Parameters
    ----------
    nonlinearity : str
        The function's name in ``torch.nn.functional``.
    param : float, optional
        The negative slope of ``"leaky_relu"``, 0.01 if not given; the others have no parameter.

    Returns
    -------
    float

    Raises
    ------
    ArgumentError
        If `nonlinearity` is unknown or `param` is not a finite number.

    Examples
    --------
    >>> calculate_gain("leaky_relu", 1.0)
    1.0
    """
    owner, known = "init.calculate_gain", sorted([*_GAINS, "leaky_relu"])
    slope = real_number(owner, "the negative slope", 0.01 if param is None else param)
    if choice(owner, "nonlinearity", nonlinearity, known) == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + slope * slope))
    return _GAINS[nonlinearity]


def fan_in_and_fan_out(shape: Shape) -> tuple[int, int]:
    """Count the inputs that reach one output of a layer, and the outputs that one input reaches.

    Parameters
    ----------
    shape : sequence of int, (out, in, *kernel)
        Shape of the layer's weight.

    Returns
    -------
    fan_in, fan_out : int
        ``in`` and ``out``, each times the number of elements of the kernel.

    Raises
    ------
    ShapeError
        If `shape` has fewer than two dimensions.

    Examples
    --------
    >>> fan_in_and_fan_out((32, 16, 3, 3))
    (144, 288)
    """
    dims = checked_shape("init", shape)
    if len(dims) < 2:
        raise ShapeError(
            f"fan_in and fan_out need a shape (out, in, *kernel), got {dims}; "
            "for a vector such as a bias use init.zeros, init.uniform or init.normal"
        )
    out_features, in_features, *kernel = dims
    return in_features * math.prod(kernel), out_features * math.prod(kernel)
