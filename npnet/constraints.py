"""Constraints, which put parameters back into a set after each step of an optimizer.

They are an option of every optimizer, ``SGD(params, constraints=NonNegative())``, and of every
parameter group: ``SGD([{"params": [layer.weight], "constraints": MaxNorm(3, axis=1)}, ...])``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.arguments import absent, instance, real_number, several, shown, whole_number
from npnet.configured import Configured
from npnet.errors import ArgumentError, MissingMethod, ShapeError
from npnet.typing import Array

__all__ = ["Constraint", "MaxNorm", "NonNegative"]

__getattr__ = absent("npnet.constraints", __all__, {"NonNeg": "it is NonNegative"})

_EPSILON = 1e-7
"""Keras's, which makes the norm of every vector that little smaller."""


class Constraint(Configured):
    """Base of all constraints: a subclass writes ``__call__``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> class AtMostOne(npnet.constraints.Constraint):
    ...     def __call__(self, w):
    ...         return np.minimum(w, 1)
    >>> p = npnet.Parameter([0.5, 2.0])
    >>> p.grad = [0.0, 0.0]
    >>> npnet.optim.SGD([p], constraints=AtMostOne()).step()
    >>> p.data
    array([0.5, 1. ], dtype=float32)
    """

    def __call__(self, w: Array) -> Array:
        """Return the values that a parameter is given.

        Parameters
        ----------
        w : ndarray
            The parameter's values after a step.

        Returns
        -------
        ndarray, shape of `w`
        """
        raise MissingMethod(f"{type(self).__name__} has no __call__(self, w)")

    def apply(self, values: Array) -> None:
        """Put the values that `__call__` returns in the place of a parameter's.

        Parameters
        ----------
        values : ndarray
            Changed in place.

        Raises
        ------
        ShapeError
            If `__call__` returns something else than an array of their shape.
        """
        new = self(values)
        if np.shape(new) != values.shape or np.asarray(new).dtype.kind not in "fiub":
            raise ShapeError(
                f"{type(self).__name__} was given a parameter of shape {values.shape} and has to "
                f"return an array of this shape, got {shown(new)}"
            )
        values[...] = new

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise an error if parameters of a shape cannot be constrained.

        Parameters
        ----------
        shape : tuple of int
            Of a parameter.

        Raises
        ------
        ArgumentError
        """


class NonNegative(Constraint):
    """Put 0 in the place of negative numbers.

    References
    ----------
    ``keras.constraints.NonNeg``.

    Examples
    --------
    >>> import numpy as np
    >>> NonNegative()(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    def __call__(self, w: Array) -> Array:
        """Return max(w, 0)."""
        return np.maximum(w, 0)


class MaxNorm(Constraint):
    """Scale vectors with a norm above `max_value` down to it.

    w <- w min(norm, max_value) / (norm + 1e-7), with the 2-norm along `axis`, as Keras has it.

    Parameters
    ----------
    max_value : float
        The largest norm, at least 0.
    axis : int or tuple of int
        The axes that a vector extends over. The weights that come into one unit are ``axis=1`` of
        `Linear`'s (out, in), where Keras has the axes in the other order and ``axis=0``.

    Raises
    ------
    ArgumentError
        If an argument is out of range; from the optimizer, if a parameter lacks the axis.

    References
    ----------
    Srivastava et al., JMLR 15 (2014), for its use with dropout; ``keras.constraints.MaxNorm``.

    Examples
    --------
    >>> import numpy as np
    >>> MaxNorm(1.0, axis=1)(np.array([[3.0, 4.0], [0.3, 0.4]])).round(6)
    array([[0.6, 0.8],
           [0.3, 0.4]])
    """

    def __init__(self, max_value: float = 2.0, axis: int | tuple[int, ...] = 0) -> None:
        self.max_value = real_number(self, "max_value", max_value, 0)
        if isinstance(axis, tuple | list):
            self.axis: Any = tuple(
                whole_number(self, f"axis[{i}]", each) for i, each in enumerate(axis)
            )
        else:
            self.axis = whole_number(self, "axis", axis)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise an error if parameters of a shape lack an axis."""
        axes = self.axis if isinstance(self.axis, tuple) else (self.axis,)
        n = len(shape)
        inside = all(-n <= axis < n for axis in axes)
        if not inside or len({axis % n for axis in axes}) < len(axes):
            raise ArgumentError(
                f"MaxNorm(axis={self.axis}) does not fit a parameter of shape {shape}; a parameter "
                "group may have constraints of its own: [{'params': ..., 'constraints': ...}, ...]"
            )

    def __call__(self, w: Array) -> Array:
        """Return the scaled vectors."""
        peak = np.abs(w).max(axis=self.axis, keepdims=True, initial=0.0)
        scale = np.where((peak > 0) & np.isfinite(peak), peak, 1)  # lest a square overflows
        norm = scale * np.sqrt(np.square(w / scale).sum(axis=self.axis, keepdims=True))
        with np.errstate(invalid="ignore"):  # infinity times 0
            scaled: Array = w * (np.minimum(norm, self.max_value) / (norm + _EPSILON))
        return scaled


def as_constraints(owner: Any, name: str, value: Any) -> tuple[Constraint, ...]:
    """Return one constraint, or several, as a tuple; `owner` and `name` are for the error."""
    found = several(owner, name, value, Constraint, "a constraint, or a list of them")
    return tuple(instance(owner, f"{name}[{i}]", each, Constraint) for i, each in enumerate(found))
