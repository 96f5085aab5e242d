"""Initial values for parameters: pure functions from a shape to a new array.

Names and formulas are PyTorch's, without the trailing underscore, for nothing is filled in place:
``layer.weight.data = npnet.init.xavier_normal(layer.weight.shape)``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from npnet import arguments
from npnet.arguments import choice, float_dtype, real_number
from npnet.errors import ArgumentError, ShapeError
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng

Shape: TypeAlias = int | Sequence[int]
"""The shape of an array; an int is the length of a vector."""

_MOST_AXES = 64  # NumPy's limit

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


def uniform(
    shape: Shape, a: float = 0.0, b: float = 1.0, *, rng: Rng = None, dtype: DtypeLike = np.float32
) -> Array:
    """Draw from the uniform distribution on [a, b).

    Numbers are drawn in float64 and then rounded to `dtype` (which may reach `b`), so that a seed
    gives the same numbers in every precision. All random functions of this module do so.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    a, b : float
        The bounds, ``a <= b``.
    rng : numpy.random.Generator, int or None
        Where the numbers come from; None is npnet's default generator.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `a` or `b` is not finite, `a` is greater than `b`, or `shape` is not a shape or larger
        than memory.
    DtypeError
        If `dtype` is not a floating dtype.

    Examples
    --------
    >>> x = uniform((2, 3), -0.1, 0.1, rng=0)
    >>> x.shape, x.dtype, bool(abs(x).max() <= 0.1)
    ((2, 3), dtype('float32'), True)
    """
    a = real_number("init.uniform", "a", a)
    b = real_number("init.uniform", "b", b, low=a)
    return _uniform("init.uniform", shape, a, b, rng, dtype)


def normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    rng: Rng = None,
    dtype: DtypeLike = np.float32,
) -> Array:
    """Draw from the normal distribution.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    mean : float
        Mean of the distribution.
    std : float
        Its standard deviation, at least 0.
    rng : numpy.random.Generator, int or None
        Where the numbers come from; None is npnet's default generator.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `mean` or `std` is not finite, `std` is negative, or `shape` is not a shape.
    DtypeError
        If `dtype` is not a floating dtype.

    Examples
    --------
    >>> x = normal((200, 500), mean=2.0, std=0.5, rng=0)
    >>> round(float(x.mean()), 2), round(float(x.std()), 2)
    (2.0, 0.5)
    """
    mean = real_number("init.normal", "mean", mean)
    std = real_number("init.normal", "std", std, low=0)
    return _normal("init.normal", shape, mean, std, rng, dtype)


def constant(shape: Shape, value: float, *, dtype: DtypeLike = np.float32) -> Array:
    """Fill with one value.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    value : float
        The value of every element.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `value` is not a finite number that `dtype` can hold, or `shape` is not a shape.
    DtypeError
        If `dtype` is not a floating dtype.

    Examples
    --------
    >>> constant(3, 0.1)
    array([0.1, 0.1, 0.1], dtype=float32)
    """
    return _constant("init.constant", shape, value, dtype)


def zeros(shape: Shape, *, dtype: DtypeLike = np.float32) -> Array:
    """Fill with zeros.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `shape` is not a shape.
    DtypeError
        If `dtype` is not a floating dtype.

    Examples
    --------
    >>> zeros((1, 2))
    array([[0., 0.]], dtype=float32)
    """
    return _constant("init.zeros", shape, 0.0, dtype)


def ones(shape: Shape, *, dtype: DtypeLike = np.float32) -> Array:
    """Fill with ones.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `shape` is not a shape.
    DtypeError
        If `dtype` is not a floating dtype.

    Examples
    --------
    >>> ones((1, 2))
    array([[1., 1.]], dtype=float32)
    """
    return _constant("init.ones", shape, 1.0, dtype)


def xavier_uniform(
    shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: DtypeLike = np.float32
) -> Array:
    r"""Draw weights by Xavier's (Glorot's) rule from a uniform distribution.

    .. math:: \mathcal{U}(-b, b), \quad
        b = \mathrm{gain} \sqrt{\frac{6}{\mathrm{fan\_in} + \mathrm{fan\_out}}}

    Parameters
    ----------
    shape : sequence of int, (out, in, *kernel)
        Shape of the result.
    gain : float
        A factor on the standard deviation, at least 0; see `calculate_gain`.
    rng : numpy.random.Generator, int or None
        Where the numbers come from; None is npnet's default generator.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `gain` is negative or not finite.
    ShapeError
        If `shape` has fewer than two dimensions.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.

    Examples
    --------
    >>> w = xavier_uniform((3, 3), rng=0)
    >>> bool(abs(w).max() <= 1.0)
    True
    """
    bound = math.sqrt(3.0) * _xavier_std(shape, gain)
    return _uniform("init.xavier_uniform", shape, -bound, bound, rng, dtype)


def xavier_normal(
    shape: Shape, gain: float = 1.0, *, rng: Rng = None, dtype: DtypeLike = np.float32
) -> Array:
    r"""Draw weights by Xavier's (Glorot's) rule from a normal distribution.

    .. math:: \mathcal{N}(0, \sigma^2), \quad
        \sigma = \mathrm{gain} \sqrt{\frac{2}{\mathrm{fan\_in} + \mathrm{fan\_out}}}

    Parameters
    ----------
    shape : sequence of int, (out, in, *kernel)
        Shape of the result.
    gain : float
        A factor on the standard deviation, at least 0; see `calculate_gain`.
    rng : numpy.random.Generator, int or None
        Where the numbers come from; None is npnet's default generator.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `gain` is negative or not finite.
    ShapeError
        If `shape` has fewer than two dimensions.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.

    Examples
    --------
    >>> w = xavier_normal((300, 500), rng=0)
    >>> round(float(w.std()), 2)
    0.05
    """
    return _normal("init.xavier_normal", shape, 0.0, _xavier_std(shape, gain), rng, dtype)


def kaiming_uniform(
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: Rng = None,
    dtype: DtypeLike = np.float32,
) -> Array:
    r"""Draw weights by Kaiming's (He's) rule from a uniform distribution.

    .. math:: \mathcal{U}(-b, b), \quad b = \mathrm{gain} \sqrt{\frac{3}{\mathrm{fan}}}

    With ``a=math.sqrt(5)`` this is PyTorch's default for the weights of linear and convolutional
    layers, :math:`b = 1 / \sqrt{\mathrm{fan\_in}}`.

    Parameters
    ----------
    shape : sequence of int, (out, in, *kernel)
        Shape of the result.
    a : float
        The negative slope of the ``"leaky_relu"`` behind the layer; other nonlinearities have none.
    mode : str
        Which fan: ``"fan_in"`` keeps the variance in the forward pass, ``"fan_out"`` backward.
    nonlinearity : str
        What gives the gain; see `calculate_gain`.
    rng : numpy.random.Generator, int or None
        Where the numbers come from; None is npnet's default generator.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `mode` or `nonlinearity` is unknown or `a` is not finite.
    ShapeError
        If `shape` has fewer than two dimensions.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    He et al., "Delving deep into rectifiers: Surpassing human-level performance on ImageNet
    classification", 2015. https://arxiv.org/abs/1502.01852

    Examples
    --------
    >>> w = kaiming_uniform((10, 6), nonlinearity="relu", rng=0)
    >>> bool(abs(w).max() <= 1.0)
    True
    """
    bound = math.sqrt(3.0) * _kaiming_std(shape, a, mode, nonlinearity)
    return _uniform("init.kaiming_uniform", shape, -bound, bound, rng, dtype)


def kaiming_normal(
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    *,
    rng: Rng = None,
    dtype: DtypeLike = np.float32,
) -> Array:
    r"""Draw weights by Kaiming's (He's) rule from a normal distribution.

    .. math:: \mathcal{N}(0, \sigma^2), \quad
        \sigma = \frac{\mathrm{gain}}{\sqrt{\mathrm{fan}}}

    Parameters
    ----------
    shape : sequence of int, (out, in, *kernel)
        Shape of the result.
    a : float
        The negative slope of the ``"leaky_relu"`` behind the layer; other nonlinearities have none.
    mode : str
        Which fan: ``"fan_in"`` keeps the variance in the forward pass, ``"fan_out"`` backward.
    nonlinearity : str
        What gives the gain; see `calculate_gain`.
    rng : numpy.random.Generator, int or None
        Where the numbers come from; None is npnet's default generator.
    dtype : dtype
        Floating dtype of the result.

    Returns
    -------
    ndarray, shape `shape`

    Raises
    ------
    ArgumentError
        If `mode` or `nonlinearity` is unknown or `a` is not finite.
    ShapeError
        If `shape` has fewer than two dimensions.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    He et al., "Delving deep into rectifiers: Surpassing human-level performance on ImageNet
    classification", 2015. https://arxiv.org/abs/1502.01852

    Examples
    --------
    >>> w = kaiming_normal((300, 800), nonlinearity="relu", rng=0)
    >>> round(float(w.std()), 2)
    0.05
    """
    std = _kaiming_std(shape, a, mode, nonlinearity)
    return _normal("init.kaiming_normal", shape, 0.0, std, rng, dtype)


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
    dims = _checked_shape("init", shape)
    if len(dims) < 2:
        raise ShapeError(
            f"fan_in and fan_out need a shape (out, in, *kernel), got {dims}; "
            "for a vector such as a bias use init.zeros, init.uniform or init.normal"
        )
    out_features, in_features, *kernel = dims
    return in_features * math.prod(kernel), out_features * math.prod(kernel)


# Where a fan below is 0, so is the size of the array: 1 then stands in for it as a divisor.


def _xavier_std(shape: Shape, gain: float) -> float:
    fan_in, fan_out = fan_in_and_fan_out(shape)
    return real_number("init", "gain", gain, 0) * math.sqrt(2.0 / max(fan_in + fan_out, 1))


def _kaiming_std(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    a = real_number("init", "a, the negative slope,", a)
    mode = choice("init", "mode", mode, ("fan_in", "fan_out"))
    fan = fan_in_and_fan_out(shape)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def _checked_shape(owner: str, shape: Any) -> tuple[int, ...]:
    """Return a shape that an address can be computed for."""
    if isinstance(shape, np.ndarray) and shape.ndim == 1 and shape.dtype.kind in "iu":
        shape = list(shape)
    dims = arguments.shape(owner, "shape", shape)
    if len(dims) > _MOST_AXES:
        raise ArgumentError(f"{owner}: arrays have at most {_MOST_AXES} axes, got {len(dims)}")
    if 8 * math.prod(max(n, 1) for n in dims) > sys.maxsize:  # NumPy looks at empty arrays so too
        raise _too_large(owner, dims)
    return dims


def _too_large(owner: str, dims: tuple[int, ...]) -> ArgumentError:
    return ArgumentError(f"{owner}: an array of shape {dims} is larger than the memory")


def _uniform(owner: str, shape: Any, a: float, b: float, rng: Rng, dtype: DtypeLike) -> Array:
    generator = as_generator(rng)
    if not math.isfinite(b - a):
        raise ArgumentError(f"{owner} expects bounds of finite distance, got {a} and {b}")
    return _made(owner, shape, dtype, lambda n: generator.uniform(a, b, n))


def _normal(owner: str, shape: Any, mean: float, std: float, rng: Rng, dtype: DtypeLike) -> Array:
    generator = as_generator(rng)
    return _made(owner, shape, dtype, lambda n: generator.normal(mean, std, n))


def _constant(owner: str, shape: Any, value: Any, dtype: DtypeLike) -> Array:
    value = real_number(owner, "value", value)
    return _made(owner, shape, dtype, lambda n: np.full(n, value, dtype))


def _made(
    owner: str, shape: Any, dtype: DtypeLike, make: Callable[[tuple[int, ...]], Any]
) -> Array:
    """Return what `make` makes of a checked shape, in the dtype."""
    dims, dtype = _checked_shape(owner, shape), float_dtype(owner, "dtype", dtype)
    try:
        with np.errstate(over="ignore"):
            array: Array = np.asarray(make(dims)).astype(dtype, copy=False)
    except (MemoryError, ValueError):  # NumPy raises one or the other
        raise _too_large(owner, dims) from None
    if not np.isfinite(array).all():
        raise ArgumentError(f"{owner}: {dtype} cannot hold numbers as large as these")
    return array
