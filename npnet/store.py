"""FlatStore, which lays parameters end to end: one pass over two vectors updates them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from npnet.arguments import items, refusal
from npnet.errors import DtypeError
from npnet.parameter import Parameter
from npnet.typing import Array


class FlatStore:
    """Parameters laid end to end: one vector of values, one of gradients.

    Frozen parameters belong to the store, so that it learns when they thaw, but have no place in
    its vectors.

    Parameters
    ----------
    members : iterable of Parameter
        Those that are not frozen, of one dtype. A parameter named twice is stored once. Those that
        belonged to another store leave it.

    Attributes
    ----------
    parameters : list of Parameter
        The members that are not frozen.
    slices : list of slice
        Their places in the vectors.
    data, grad : ndarray, shape (size,)
        The `data` and `grad` of these parameters are views into the vectors. Of `grad`, only the
        parts of parameters whose ``grad`` is not None mean anything.

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

    def __init__(self, members: Iterable[Parameter]) -> None:
        self.members = unique(members)
        self.parameters = [p for p in self.members if p.requires_grad]
        dtypes = {p.dtype for p in self.parameters or self.members}
        if len(dtypes) != 1:
            names = ", ".join(sorted(map(str, dtypes))) or "no parameters"
            raise DtypeError(
                f"parameters stored together must have one dtype, got {names}; "
                "use model.astype(...) or a parameter group for each dtype"
            )
        self.complete = True  # until a parameter leaves, is frozen or thaws
        self.data: Array = np.empty(sum(p.size for p in self.parameters), dtypes.pop())
        self.grad: Array = np.zeros_like(self.data)
        self.slices: list[slice] = []
        start = 0
        for p in self.members:
            stop = start + p.size * p.requires_grad
            self._adopt(p, slice(start, stop))
            start = stop

    @classmethod
    def of(cls, members: Iterable[Parameter]) -> FlatStore:
        """Return the store that holds exactly these parameters, making it if there is none."""
        members = unique(members)
        store: FlatStore | None = members[0]._store if members else None
        if store is not None and store.members == members and store.is_current():
            return store
        return cls(members)

    def _adopt(self, p: Parameter, place: slice) -> None:
        p.leave_store()
        p._store = self
        if not p.requires_grad:
            if p._grad_slice is not None:  # a view, which would keep the vectors of another store
                p._data, p._grad_slice = p._data.copy(), None
            return
        self.slices.append(place)
        old_grad, rows = p._grad, p.grad_rows
        data = self.data[place].reshape(p.shape)
        data[...] = p._data
        p._data = data
        p._grad_slice = self.grad[place].reshape(p.shape)
        if old_grad is not None:
            p._grad = None
            p._put_back(old_grad, rows)

    def is_current(self) -> bool:
        """Tell whether every parameter still lives here, frozen or not as it was."""
        # The parameters of a copied store live nowhere.
        return self.complete and self.members[0]._store is self

    def runs(self, keys: Sequence[Any]) -> Iterator[tuple[slice, slice]]:
        """Yield the longest runs of neighbouring parameters with an equal key.

        There is a key for each of `parameters`; None leaves one out. A run is a slice of
        `parameters` and a slice of the flat vectors.
        """
        first = 0
        for i in range(1, len(keys) + 1):
            if i == len(keys) or keys[i] != keys[first]:
                if keys[first] is not None:
                    yield slice(first, i), slice(self.slices[first].start, self.slices[i - 1].stop)
                first = i


def unique(parameters: Any, owner: Any = "npnet") -> list[Parameter]:
    """List the parameters in order, each once; `owner` opens the error about anything else."""
    return list(dict.fromkeys(as_list(parameters, owner, (Parameter,))))


def as_list(parameters: Any, owner: Any, kinds: tuple[type[Any], ...]) -> list[Any]:
    """List what an argument ``params`` holds, things of these kinds; see `unique`."""
    if isinstance(parameters, Parameter):
        return [parameters]
    kind, hint = "npnet.Parameter objects", _hint(parameters)
    if isinstance(parameters, str | Mapping):
        raise refusal(owner, "params", kind, parameters, hint)
    found = items(owner, "params", parameters, kind, hint)
    for p in found:
        if not isinstance(p, kinds):
            raise refusal(owner, "params", kind, p, hint)
    return found


def _hint(parameters: Any) -> str:
    if isinstance(parameters, Mapping) and "params" in parameters:
        return "put the group into a list: [{'params': ...}]"
    if hasattr(parameters, "parameters") or isinstance(parameters, str | Mapping | Iterator):
        return "pass model.parameters()"
    return "call it: model.parameters()" if callable(parameters) else ""


def flat_grads(parameters: Any, owner: Any = "npnet") -> list[Array]:
    """List the gradients as vectors, those of neighbours in a store as one.

    They are live views; parameters without a gradient are passed over.
    """
    alone: list[Array] = []
    stored: dict[FlatStore, set[Parameter]] = {}
    for p in unique(parameters, owner):
        p._shown = True  # a sparse gradient may now be written to outside its rows
        if p._grad is not None and p._grad is p._grad_slice:
            stored.setdefault(p._store, set()).add(p)
        elif p._grad is not None:
            alone.append(p._grad.reshape(-1))
    for store, chosen in stored.items():
        keys = [True if p in chosen else None for p in store.parameters]
        alone += [store.grad[place] for _, place in store.runs(keys)]
    return alone
