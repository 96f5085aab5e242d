"""Penalties on parameters, which a training adds to its loss: L1, L2 and ElasticNet.

A new penalty is its value and its derivative for one array, and its documentation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from npnet.arguments import real_number
from npnet.configured import Configured
from npnet.errors import ArgumentError, MissingMethod
from npnet.parameter import Parameter
from npnet.store import unique
from npnet.typing import Array

__all__ = ["L1", "L2", "ElasticNet", "Penalty"]


class Penalty(Configured):
    """Base of all penalties: strength times a sum over the elements of parameters.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those that are penalized, each once; usually the weights, not the biases.
    strength : float
        At least 0. May be changed between steps.

    Raises
    ------
    ArgumentError
        If there are no parameters, or something else among them.

    Examples
    --------
    >>> import numpy as np
    >>> import npnet
    >>> class Cubic(npnet.penalties.Penalty):
    ...     def value(self, w):
    ...         return (np.abs(w) ** 3).sum()
    ...     def slope(self, w):
    ...         return 3 * w * np.abs(w)
    >>> p = npnet.Parameter([1.0, -2.0])
    >>> Cubic([p], 0.5)()
    4.5
    """

    def __init__(self, parameters: Iterable[Parameter], strength: float) -> None:
        self.parameters = unique(parameters, self)
        if not self.parameters:
            raise ArgumentError(
                f"{type(self).__name__} got no parameters; a generator gives them only once"
            )
        self.strength = strength

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "strength":
            value = real_number(self, name, value, 0)
        super().__setattr__(name, value)

    @np.errstate(all="ignore")
    def __call__(self) -> float:
        """Compute the penalty.

        Returns
        -------
        float
        """
        return self.strength * sum(float(self.value(p.data)) for p in self.parameters)

    @np.errstate(all="ignore")
    def backward(self) -> None:
        """Add the gradient of the penalty to that of each parameter; frozen ones have none."""
        for p in self.parameters:
            p.add_grad(self.strength * self.slope(p.data))

    def value(self, w: Array) -> float:
        """Compute the penalty of one array with strength 1.

        Parameters
        ----------
        w : ndarray, any shape

        Returns
        -------
        float
        """
        raise MissingMethod("it has no value(self, w)")

    def slope(self, w: Array) -> Array:
        """Compute the derivative of `value`.

        Parameters
        ----------
        w : ndarray, any shape

        Returns
        -------
        ndarray, shape of w
        """
        raise MissingMethod("it has no slope(self, w)")


class L1(Penalty):
    """Penalty strength * sum(abs(w)), which makes weights exactly 0. The derivative at 0 is 0.

    Parameters
    ----------
    parameters : iterable of Parameter
    strength : float
        At least 0.

    References
    ----------
    ``keras.regularizers.L1``; Tibshirani, J. R. Statist. Soc. B 58 (1996) 267.

    Examples
    --------
    >>> import npnet
    >>> p = npnet.Parameter([1.0, -2.0])
    >>> penalty = npnet.penalties.L1([p], 0.5)
    >>> penalty.backward()
    >>> penalty(), p.grad.tolist()
    (1.5, [0.5, -0.5])
    """

    def value(self, w: Array) -> float:
        """Compute the sum of the absolute values."""
        return float(np.abs(w).sum(dtype=np.float64))

    def slope(self, w: Array) -> Array:
        """Compute the signs."""
        return np.sign(w)


class L2(Penalty):
    """Penalty strength * sum(w^2), which makes weights small.

    The gradient is 2 * strength * w, so that ``weight_decay=2 * strength`` of `npnet.optim.SGD`
    does the same.

    Parameters
    ----------
    parameters : iterable of Parameter
    strength : float
        At least 0.

    References
    ----------
    ``keras.regularizers.L2``; Hoerl and Kennard, Technometrics 12 (1970) 55.

    Examples
    --------
    >>> import npnet
    >>> p = npnet.Parameter([1.0, -2.0])
    >>> penalty = npnet.penalties.L2([p], 0.5)
    >>> penalty.backward()
    >>> penalty(), p.grad.tolist()
    (2.5, [1.0, -2.0])
    """

    def value(self, w: Array) -> float:
        """Compute the sum of the squares."""
        return float(np.square(w, dtype=np.float64).sum())

    def slope(self, w: Array) -> Array:
        """Compute 2 w."""
        return 2 * w


class ElasticNet(Penalty):
    """Penalty strength * (l1_ratio * sum(abs(w)) + (1 - l1_ratio) * sum(w^2)), `L1` beside `L2`.

    Parameters
    ----------
    parameters : iterable of Parameter
    strength : float
        At least 0.
    l1_ratio : float
        From 0, which is `L2`, to 1, which is `L1`.

    References
    ----------
    Zou and Hastie, J. R. Statist. Soc. B 67 (2005) 301. ``sklearn.linear_model.ElasticNet`` has
    half the squares.

    Examples
    --------
    >>> import npnet
    >>> npnet.penalties.ElasticNet([npnet.Parameter([1.0, -2.0])], 0.5)()
    2.0
    """

    def __init__(
        self, parameters: Iterable[Parameter], strength: float, l1_ratio: float = 0.5
    ) -> None:
        super().__init__(parameters, strength)
        self.l1_ratio = l1_ratio

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "l1_ratio":
            value = real_number(self, name, value, 0, 1)
        super().__setattr__(name, value)

    def value(self, w: Array) -> float:
        """Compute the sum of both."""
        w = w.astype(np.float64)
        return float(self.l1_ratio * np.abs(w).sum() + (1 - self.l1_ratio) * (w * w).sum())

    def slope(self, w: Array) -> Array:
        """Compute l1_ratio * sign(w) + 2 (1 - l1_ratio) w."""
        return self.l1_ratio * np.sign(w) + 2 * (1 - self.l1_ratio) * w
