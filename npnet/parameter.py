"""Parameter, the array that a layer learns, with its gradient.

A parameter owns its arrays until an optimizer gathers it into a `FlatStore`; from then on both are
views into the store's vectors.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np

from npnet.arguments import flag, float_dtype
from npnet.convert import owned_floats, real_array
from npnet.errors import ArgumentError, ShapeError
from npnet.ops import scatter
from npnet.typing import Array, ArrayLike, DtypeLike


class Parameter:
    """An array that a layer learns, with its gradient.

    Parameters
    ----------
    data : array_like, any shape
        The initial value; copied. A floating array keeps its dtype; Python numbers and arrays
        of integers or booleans become float32.
    dtype : dtype, optional
        A floating dtype to convert to.

    Attributes
    ----------
    data : ndarray
        The value. Assigning copies into the array that is there, after a check of the shape.
    grad : ndarray or None
        The gradient accumulated since the last `zero_grad`, None before the first. After an
        optimizer has gathered the parameter, both arrays are live views into its flat vectors.
    grad_rows : ndarray of int or None
        The rows that a sparse gradient is about, sorted; see `add_rows`.

    Raises
    ------
    DtypeError
        If `data` is complex, of objects or of strings.

    Examples
    --------
    >>> p = Parameter([1.0, 2.0])
    >>> p.add_grad(np.array([0.5, 0.5]))
    >>> p.add_grad(np.array([0.5, 0.5]))
    >>> p.grad
    array([1., 1.], dtype=float32)
    """

    __slots__ = (
        "_data", "_grad", "_grad_slice", "_requires_grad", "_rows", "_shown", "_store"
    )  # fmt: skip

    def __init__(self, data: ArrayLike, dtype: DtypeLike | None = None) -> None:
        self._data: Array = owned_floats(data, dtype)
        self._grad: Array | None = None
        self._grad_slice: Array | None = None  # where the store wants the gradient
        self._store: Any = None  # the store that holds it
        # The rows of the gradient, or of its slice where that is unused, that may not be zero;
        # None for all of them.
        self._rows: Array | None = None
        self._shown = False  # whether somebody saw a sparse gradient, and may have written to it
        self._requires_grad = True

    @property
    def data(self) -> Array:
        """The value."""
        return self._data

    @data.setter
    def data(self, value: ArrayLike) -> None:
        if value is not self._data:  # ``p.data -= step`` has changed the array already
            self._data[...] = self._checked(value, "value")

    @property
    def grad(self) -> Array | None:
        """The gradient accumulated so far, or None."""
        self._shown = True
        return self._grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        checked = None if value is None else self._checked(value, "gradient")
        if checked is not None and not self._requires_grad:
            raise ArgumentError("the parameter is frozen; requires_grad_(True) lets it train again")
        self._grad = None
        if checked is not None:
            self.add_grad(checked)

    @property
    def grad_rows(self) -> Array | None:
        """The rows outside which the gradient is 0 and optimizers leave all as it is.

        None for a gradient of all rows, or none; see `add_rows`.
        """
        return None if self._grad is None else self._rows

    @property
    def requires_grad(self) -> bool:
        """Whether backward passes fill the gradient; see `requires_grad_`."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Freeze the parameter, or let it train again.

        Parameters
        ----------
        requires_grad : bool
            False freezes: the gradient is forgotten and stays None, so optimizers pass over it.

        Returns
        -------
        Parameter
            Itself.
        """
        requires_grad = flag(self, "requires_grad", requires_grad)
        if requires_grad != self._requires_grad:
            self._requires_grad = requires_grad
            self._grad = None
            if self._store is not None:  # which has room for the gradients of others only
                self._store.complete = False
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self._data.shape

    @property
    def size(self) -> int:
        """Number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Floating dtype of value and gradient."""
        return self._data.dtype

    def add_grad(self, value: Array) -> None:
        """Add `value` to the gradient: a copy the first time, in place from then on.

        Nothing happens to a frozen parameter.

        Parameters
        ----------
        value : ndarray, the parameter's shape
            Never kept and never changed.

        Raises
        ------
        ShapeError
            If the shape differs: a gradient is never broadcast.
        """
        if value.shape != self._data.shape:
            raise ShapeError(f"expected a gradient of shape {self.shape}, got {value.shape}")
        if not self._requires_grad:
            return
        if self._grad is None:
            self._grad = self._fresh_grad()
            self._grad[...] = value
        else:
            self._grad += value
        self._rows = None

    def add_rows(self, index: Array, values: Array, sparse: bool = True) -> None:
        """Add values[i] to the gradient's row index[i], however often an index occurs.

        Where all that a gradient consists of was added by sparse calls, only the rows that
        occurred are written, cleared again and stepped; `grad_rows` lists them. Nothing happens to
        a frozen parameter.

        Parameters
        ----------
        index : ndarray of intp, shape (m,)
            Rows of the parameter, not negative.
        values : ndarray, shape (m, ...)
            One row each; never kept and never changed.
        sparse : bool
            False makes it the gradient of all rows, those that do not occur with 0.

        Raises
        ------
        ShapeError
            If the rows have another shape than the parameter's.

        Examples
        --------
        >>> p = Parameter(np.zeros((4, 2)))
        >>> p.add_rows(np.array([3, 1, 3]), np.ones((3, 2)))
        >>> p.grad_rows, p.grad[:, 0]
        (array([1, 3]), array([0., 1., 0., 2.]))
        """
        if not self._requires_grad:
            return
        if self._data.ndim == 0 or values.shape != (len(index), *self.shape[1:]):
            expected = f"({len(index)}, {', '.join(map(str, self.shape[1:]))})"
            raise ShapeError(f"expected rows of shape {expected}, got {values.shape}")
        rows = scatter.unique(index) if sparse else None
        grad = self._cleared_grad() if self._grad is None else self._grad
        if self._grad is not None and rows is not None:
            rows = None if self._rows is None else np.union1d(self._rows, rows)
        values = values.reshape(len(index), math.prod(self.shape[1:]))
        scatter.add_at(grad.reshape(len(grad), values.shape[1]), index, values)
        self._grad, self._rows = grad, rows

    def add_product(self, a: Array, b: Array | None) -> None:
        """Add the matrix product ``a @ b`` to the gradient, writing it in place the first time.

        For a frozen parameter it is not computed.

        Parameters
        ----------
        a, b : ndarray
            With ``(a @ b).shape`` equal to the parameter's shape; `b` may be None while the
            parameter is frozen.

        Raises
        ------
        ShapeError
            If the product has another shape.
        ArgumentError
            If `b` is missing.
        """
        if not self._requires_grad:
            return
        if b is None:
            raise ArgumentError("it was frozen when the pass was recorded; record the pass again")
        if self._grad is not None:
            self.add_grad(a @ b)
            return
        grad = self._fresh_grad() if self._grad_slice is None else self._grad_slice
        try:
            a.dot(b, grad)
        except ValueError:  # another shape, or another dtype
            if a.shape[:-1] + b.shape[1:] != grad.shape:
                raise ShapeError(
                    f"expected a gradient of shape {self.shape}, got {a.shape} @ {b.shape}"
                ) from None
            np.matmul(a, b, out=grad)
        self._grad, self._rows = grad, None

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self._grad = None

    def astype(self, dtype: DtypeLike) -> None:
        """Convert value and gradient in place; the parameter leaves its store.

        Parameters
        ----------
        dtype : dtype
            A floating dtype.
        """
        grad, rows = self._grad, self.grad_rows
        self._data = owned_floats(self._data, float_dtype(self, "dtype", dtype))
        self.leave_store()
        self._grad = self._grad_slice = self._rows = None
        self._put_back(grad, rows)

    def leave_store(self) -> None:
        """Tell the store that holds the parameter, if there is one, that it no longer does."""
        if self._store is not None:
            self._store.complete = False
            self._store = None

    def _fresh_grad(self) -> Array:
        """Return the store's slice or, outside a store, a new array that nobody holds."""
        return np.empty_like(self._data) if self._grad_slice is None else self._grad_slice

    def _cleared_grad(self) -> Array:
        """Return what `_fresh_grad` does with zeros in it; clear only what may differ."""
        grad = self._grad_slice
        if grad is None:
            return np.zeros_like(self._data)
        grad[... if self._rows is None or self._shown else self._rows] = 0
        self._shown = False
        return grad

    def _put_back(self, grad: Array | None, rows: Array | None) -> None:
        """Make a gradient that another parameter had, or this one before, this one's."""
        if grad is not None and rows is not None:
            self.add_rows(rows, grad[rows].astype(self.dtype, copy=False))
        elif grad is not None:
            self.add_grad(grad)

    def _checked(self, value: ArrayLike, what: str) -> Array:
        array = real_array(value, what)
        if array.shape != self.shape:
            raise ShapeError(f"expected a {what} of shape {self.shape}, got {array.shape}")
        return array

    def __array__(self, dtype: DtypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self._data, dtype=dtype, copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy stands alone: it belongs to no store.
        grad = None if self._grad is None else self._grad.copy()
        return _restore, (self._data.copy(), grad, self._requires_grad, self.grad_rows)

    def __repr__(self) -> str:
        frozen = "" if self._requires_grad else ", requires_grad=False"
        return f"Parameter(shape={self.shape}, dtype={self.dtype}{frozen})"


def _restore(
    data: Array, grad: Array | None, requires_grad: bool, rows: Array | None = None
) -> Parameter:
    p = Parameter(data).requires_grad_(requires_grad)
    p._put_back(grad, rows)
    return p
