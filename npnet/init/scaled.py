"""Weights whose size follows from the number of inputs and outputs of their layer."""

from __future__ import annotations

import math

import numpy as np

from npnet.arguments import choice, real_number
from npnet.init.arrays import Shape
from npnet.init.basic import draw_normal, draw_uniform
from npnet.init.fans import calculate_gain, fan_in_and_fan_out
from npnet.typing import Array, DtypeLike, Rng


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
    return draw_uniform("init.xavier_uniform", shape, -bound, bound, rng, dtype)


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
    return draw_normal("init.xavier_normal", shape, 0.0, _xavier_std(shape, gain), rng, dtype)


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
    return draw_uniform("init.kaiming_uniform", shape, -bound, bound, rng, dtype)


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
    return draw_normal("init.kaiming_normal", shape, 0.0, std, rng, dtype)


# Where a fan below is 0, so is the size of the array: 1 then stands in for it as a divisor.


def _xavier_std(shape: Shape, gain: float) -> float:
    fan_in, fan_out = fan_in_and_fan_out(shape)
    return real_number("init", "gain", gain, 0) * math.sqrt(2.0 / max(fan_in + fan_out, 1))


def _kaiming_std(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    a = real_number("init", "a, the negative slope,", a)
    mode = choice("init", "mode", mode, ("fan_in", "fan_out"))
    fan = fan_in_and_fan_out(shape)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))
