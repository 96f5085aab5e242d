"""Constants, and numbers drawn from a distribution that the caller names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npnet.arguments import real_number
from npnet.errors import ArgumentError
from npnet.init.arrays import Shape, made
from npnet.random import as_generator
from npnet.typing import Array, DtypeLike, Rng


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
    return draw_uniform("init.uniform", shape, a, b, rng, dtype)


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
    return draw_normal("init.normal", shape, mean, std, rng, dtype)


def trunc_normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    *,
    rng: Rng = None,
    dtype: DtypeLike = np.float32,
) -> Array:
    r"""Draw from the normal distribution between two bounds.

    .. math:: p(x) \propto \exp\left(-\frac{(x - \mathrm{mean})^2}{2 \, \mathrm{std}^2}\right),
        \quad a \le x \le b

    The bounds are values, not numbers of standard deviations. Wherever they lie, the distribution
    is this one (PyTorch's is when the mean is near them), but that what is less likely than
    :math:`e^{-40}` of the most likely value does not occur.

    Parameters
    ----------
    shape : int or sequence of int
        Shape of the result.
    mean, std : float
        Of the whole normal distribution, ``std > 0``.
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
        If a number is not finite, `std` is not positive, `a` is greater than `b`, or `shape` is
        not a shape.
    DtypeError
        If `dtype` is not a floating dtype.

    References
    ----------
    ``torch.nn.init.trunc_normal_``.

    Examples
    --------
    >>> x = trunc_normal((200, 500), std=0.5, a=-1.0, b=1.0, rng=0)
    >>> round(float(x.std()), 2), bool(abs(x).max() <= 1.0)
    (0.44, True)
    """
    owner = "init.trunc_normal"
    mean = real_number(owner, "mean", mean)
    std = real_number(owner, "std", std, above=0)
    a = real_number(owner, "a", a)
    b = real_number(owner, "b", b, low=a)
    generator = as_generator(rng)
    array = made(owner, shape, dtype, lambda n: _truncated(generator, mean, std, a, b, n))
    low, high = (array.dtype.type(bound) for bound in (a, b))
    low = np.nextafter(low, array.dtype.type(np.inf)) if float(low) < a else low
    high = np.nextafter(high, array.dtype.type(-np.inf)) if float(high) > b else high
    return np.clip(array, low, high, out=array)  # rounding may have crossed a bound


def _truncated(
    generator: np.random.Generator, mean: float, std: float, a: float, b: float, shape: Any
) -> Array:
    """Draw distances from the most likely value evenly; keep each with its likelihood."""
    mode = min(max(mean, a), b)
    t = abs(mode - mean) / std
    farthest = 80.0 / (t + math.hypot(t, math.sqrt(80.0)))  # where the likelihood is exp(-40)
    low, high = max((a - mode) / std, -farthest), min((b - mode) / std, farthest)
    x = np.zeros(math.prod(shape))
    pending = np.arange(x.size)
    while pending.size:
        d = generator.uniform(low, high, pending.size)
        x[pending] = mode + std * d
        with np.errstate(invalid="ignore"):  # d is 0 where t is infinite
            cost = np.abs(d) * (0.5 * np.abs(d) + t)
        pending = pending[generator.standard_exponential(pending.size) < cost]
    return np.clip(x.reshape(shape), a, b)


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
    return _filled("init.constant", shape, value, dtype)


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
    return _filled("init.zeros", shape, 0.0, dtype)


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
    return _filled("init.ones", shape, 1.0, dtype)


def draw_uniform(owner: str, shape: Any, a: float, b: float, rng: Rng, dtype: DtypeLike) -> Array:
    """Return numbers between two bounds that were checked."""
    generator = as_generator(rng)
    if not math.isfinite(b - a):
        raise ArgumentError(f"{owner} expects bounds of finite distance, got {a} and {b}")
    return made(owner, shape, dtype, lambda n: generator.uniform(a, b, n))


def draw_normal(
    owner: str, shape: Any, mean: float, std: float, rng: Rng, dtype: DtypeLike
) -> Array:
    """Return normal numbers, of a mean and a deviation that were checked."""
    generator = as_generator(rng)
    return made(owner, shape, dtype, lambda n: generator.normal(mean, std, n))


def _filled(owner: str, shape: Any, value: Any, dtype: DtypeLike) -> Array:
    value = real_number(owner, "value", value)
    return made(owner, shape, dtype, lambda n: np.full(n, value, dtype))
