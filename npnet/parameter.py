"""Parameter, the array a layer learns, and FlatStore, which lays many of them end to end.

A parameter owns its arrays until an optimizer gathers it into a store; from then on its value and
its gradient are views into the store's two vectors, and one pass over those updates everything.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from npnet.errors import ArgumentError, DtypeError, ShapeError
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

    __slots__ = ("_data", "_grad", "_grad_slice", "_store")

    def __init__(self, data: ArrayLike, dtype: DtypeLike | None = None) -> None:
        self._data: Array = _owned_floats(data, dtype)
        self._grad: Array | None = None
        self._grad_slice: Array | None = None  # where the store wants the gradient
        self._store: FlatStore | None = None

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
        return self._grad

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        if value is None:
            self._grad = None
        elif value is not self._grad:
            checked = self._checked(value, "gradient")
            self._grad = None
            self.add_grad(checked)

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
        if self._grad is None:
            self._grad = self._fresh_grad()
            self._grad[...] = value
        else:
            self._grad += value

    def add_product(self, a: Array, b: Array) -> None:
        """Add the matrix product ``a @ b`` to the gradient, writing it in place the first time.

        Parameters
        ----------
        a, b : ndarray
            With ``(a @ b).shape`` equal to the parameter's shape.

        Raises
        ------
        ShapeError
            If the product has another shape.
        """
        if self._grad is not None:
            self.add_grad(a @ b)
            return
        grad = self._fresh_grad()
        if a.shape[:-1] + b.shape[1:] != grad.shape:
            raise ShapeError(
                f"expected a gradient of shape {self.shape}, got {a.shape} @ {b.shape}"
            )
        if a.dtype == b.dtype == grad.dtype:
            np.dot(a, b, out=grad)
        else:
            np.matmul(a, b, out=grad)
        self._grad = grad

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
        grad = self._grad
        self._data = _owned_floats(self._data, dtype)
        self._grad = self._grad_slice = self._store = None
        if grad is not None:
            self.add_grad(grad)

    def _fresh_grad(self) -> Array:
        """Return the store's slice or, outside a store, a new array that nobody holds."""
        return np.empty_like(self._data) if self._grad_slice is None else self._grad_slice

    def _checked(self, value: ArrayLike, what: str) -> Array:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise DtypeError(f"expected a real {what}, got dtype {array.dtype}")
        if array.shape != self.shape:
            raise ShapeError(f"expected a {what} of shape {self.shape}, got {array.shape}")
        return array

    def __array__(self, dtype: DtypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self._data, dtype=dtype, copy=copy)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy stands alone: it belongs to no store.
        return _restore, (self._data.copy(), None if self._grad is None else self._grad.copy())

    def __repr__(self) -> str:
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"


class FlatStore:
    """Parameters laid end to end: one vector of values, one of gradients.

    Parameters
    ----------
    parameters : iterable of Parameter
        Of one dtype. A parameter named twice is stored once. Those that belonged to another
        store leave it.

    Attributes
    ----------
    data, grad : ndarray, shape (size,)
        Every parameter's `data` and `grad` is a view into these. Of `grad`, only the parts of
        parameters whose ``grad`` is not None mean anything.

    Raises
    ------
    DtypeError
        If the dtypes differ.

    Examples
    --------
    >>> p, q = Parameter([1.0, 2.0]), Parameter([[3.0]])
    >>> store = FlatStore([p, q])
    >>> store.data[:] = 0.0
    >>> q.data
    array([[0.]], dtype=float32)
    """

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = unique(parameters)
        dtypes = {p.dtype for p in self.parameters}
        if len(dtypes) != 1:
            names = ", ".join(sorted(map(str, dtypes))) or "no parameters"
            raise DtypeError(
                f"parameters stored together must have one dtype, got {names}; "
                "use model.astype(...) or a parameter group for each dtype"
            )
        size = sum(p.size for p in self.parameters)
        self.data: Array = np.empty(size, dtypes.pop())
        self.grad: Array = np.zeros_like(self.data)
        self.slices: list[slice] = []
        start = 0
        for p in self.parameters:
            self.slices.append(slice(start, start + p.size))
            start += p.size
            self._adopt(p, self.slices[-1])

    @classmethod
    def of(cls, parameters: Iterable[Parameter]) -> FlatStore:
        """Return the store that holds exactly these parameters, making it if there is none."""
        parameters = unique(parameters)
        store = parameters[0]._store if parameters else None
        if store is not None and store.parameters == parameters and store.is_current():
            return store
        return cls(parameters)

    def _adopt(self, p: Parameter, place: slice) -> None:
        old_grad = p._grad
        data = self.data[place].reshape(p.shape)
        data[...] = p._data
        p._data = data
        p._store = self
        p._grad_slice = self.grad[place].reshape(p.shape)
        if old_grad is not None:
            p._grad_slice[...] = old_grad
            p._grad = p._grad_slice

    def is_current(self) -> bool:
        """Tell whether every parameter still lives here."""
        return all(p._store is self for p in self.parameters)

    def runs(self, keys: Sequence[Hashable]) -> Iterator[tuple[slice, Any]]:
        """Yield the longest stretches of neighbouring parameters with an equal key.

        Parameters
        ----------
        keys : sequence
            One for each parameter; None leaves the parameter out.

        Yields
        ------
        place : slice
            Of the flat vectors.
        key : hashable
            What the parameters in it share.
        """
        first = 0
        for i in range(1, len(keys) + 1):
            if i == len(keys) or keys[i] != keys[first]:
                if keys[first] is not None:
                    yield slice(self.slices[first].start, self.slices[i - 1].stop), keys[first]
                first = i


def unique(parameters: Iterable[Parameter]) -> list[Parameter]:
    """List the parameters in order, each once.

    Parameters
    ----------
    parameters : iterable of Parameter

    Returns
    -------
    list of Parameter

    Raises
    ------
    ArgumentError
        If something else than a Parameter is among them.
    """
    if isinstance(parameters, Parameter):
        parameters = [parameters]
    found = list(parameters)
    for p in found:
        if not isinstance(p, Parameter):
            raise ArgumentError(f"expected npnet.Parameter objects, got {type(p).__name__}")
    return list(dict.fromkeys(found))


def flat_grads(parameters: Iterable[Parameter]) -> list[Array]:
    """List the gradients as vectors, those of neighbours in a store as one.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those without a gradient are passed over.

    Returns
    -------
    list of ndarray, each 1-D
        Live views: writing into them changes ``Parameter.grad``.
    """
    alone: list[Array] = []
    stored: dict[FlatStore, set[Parameter]] = {}
    for p in unique(parameters):
        if p._grad is not None and p._store is not None:
            stored.setdefault(p._store, set()).add(p)
        elif p._grad is not None:
            alone.append(p._grad.reshape(-1))
    for store, chosen in stored.items():
        keys = [True if p in chosen else None for p in store.parameters]
        alone += [store.grad[place] for place, _ in store.runs(keys)]
    return alone


def floating_dtype(value: ArrayLike) -> np.dtype[Any]:
    """Return the dtype in which npnet holds `value`: its own if that is floating, else float32.

    Parameters
    ----------
    value : array_like

    Returns
    -------
    dtype
    """
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return dtype
    return np.dtype(np.float32)


def _owned_floats(data: ArrayLike, dtype: DtypeLike | None) -> Array:
    array = np.asarray(data)
    dtype = floating_dtype(data) if dtype is None else dtype
    if array.dtype.kind not in "fiub" or np.dtype(dtype).kind != "f":
        raise DtypeError(
            f"a parameter holds floating-point numbers, got dtype {array.dtype}"
            + ("" if np.dtype(dtype).kind == "f" else f" to be stored as {np.dtype(dtype)}")
        )
    return np.array(array, dtype=dtype, order="C")


def _restore(data: Array, grad: Array | None) -> Parameter:
    p = Parameter(data)
    p.grad = grad
    return p
