"""FlatStore, which lays parameters end to end: one pass over two vectors updates them all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from npnet.errors import ArgumentError, DtypeError
from npnet.parameter import Parameter
from npnet.typing import Array


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
        self.complete = True  # until a parameter leaves
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
        store: FlatStore | None = parameters[0]._store if parameters else None
        if store is not None and store.parameters == parameters and store.is_current():
            return store
        return cls(parameters)

    def _adopt(self, p: Parameter, place: slice) -> None:
        p.leave_store()
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
        # The parameters of a copied store live nowhere.
        return self.complete and self.parameters[0]._store is self

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
    found = [parameters] if isinstance(parameters, Parameter) else as_list(parameters)
    for p in found:
        if not isinstance(p, Parameter):
            raise ArgumentError(f"expected npnet.Parameter objects, got {type(p).__name__}")
    return list(dict.fromkeys(found))


def as_list(parameters: Any) -> list[Any]:
    """List what an argument ``parameters`` holds, with a hint for frequent mistakes."""
    if isinstance(parameters, Iterable):
        return list(parameters)
    hint = ""
    if callable(parameters):
        holder = hasattr(parameters, "parameters")
        hint = "; pass model.parameters()" if holder else "; call it: model.parameters()"
    raise ArgumentError(f"expected parameters, got {type(parameters).__name__}{hint}")


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
