"""Group: the parameters behind one set of options, with an optimizer's state as flat vectors."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from npnet.constraints import Constraint
from npnet.optim.options import UNSAVED
from npnet.parameter import Parameter
from npnet.schedules import Schedule
from npnet.store import FlatStore
from npnet.typing import Array

Shape = tuple[int, ...]


class StateSpec(NamedTuple):
    """What an optimizer keeps for every parameter under one name.

    Parameters
    ----------
    initial : float or str
        The value before a parameter's first step, or the option that gives it (``"lr"``: the rate
        of that step).
    when : str, optional
        The option that switches it on; without one it is always kept.
    scalar : bool
        One number for each parameter, in place of an array of the parameter's shape.
    non_negative : bool
        Whether a negative number in a loaded state is an error.
    shape : callable, optional
        The array's shape for a parameter's shape, None for parameters that have none; without it
        the shape is the parameter's.
    """

    initial: float | str = 0.0
    when: str | None = None
    scalar: bool = False
    non_negative: bool = False
    shape: Callable[[Shape], Shape | None] | None = None

    def of(self, shape: Shape) -> Shape | None:
        """Return the shape of a parameter's array, None if it has none."""
        return shape if self.shape is None else self.shape(shape)


class ParamSlice:
    """Neighbouring parameters with the same history, as flat vectors, at one step.

    Attributes
    ----------
    data, grad : ndarray, shape (size,)
        Values, to be changed in place, and gradients.
    state : dict of str to ndarray, shape (size,)
        The optimizer's vectors, to be changed in place; see `views` for those of other shapes.
    scalars : dict of str to float
        The optimizer's numbers, to be assigned to.
    fresh : collection of str
        The names in `state` and `scalars` that no step has seen yet: they hold initial values.
    lr : float
        The rate.
    step : int
        The number of the step for these parameters, from 1.
    parameters : list of Parameter
        What lies in the vectors.
    rows : ndarray of int or None
        The rows of the one parameter that a sparse gradient is about; None for all rows.
    """

    __slots__ = (
        "data", "fresh", "grad", "lr", "parameters", "rows", "scalars", "spec", "state", "step",
        "wanted"
    )  # fmt: skip

    def __init__(
        self,
        store: FlatStore,
        among: slice,
        place: slice,
        spec: Mapping[str, StateSpec] = MappingProxyType({}),
    ) -> None:
        self.parameters = store.parameters[among]
        self.spec = spec
        self.data, self.grad = store.data[place], store.grad[place]
        self.state: dict[str, Array] = {}
        self.scalars: dict[str, float] = {}
        self.fresh: Collection[str] = ()
        self.lr, self.step = 0.0, 0
        self.rows: Array | None = None
        self.wanted: Sequence[str] = ()  # `Group.wanted` when the state was made

    def split(self, vector: Array) -> list[Array]:
        """Return views of a vector: one for each parameter, in its shape.

        Parameters
        ----------
        vector : ndarray, shape (size,)
            `data`, `grad`, one of `state`, or one laid out like them.

        Returns
        -------
        list of ndarray

        Examples
        --------
        >>> import numpy as np
        >>> store = FlatStore([Parameter([1.0, 2.0]), Parameter([[3.0]])])
        >>> at = ParamSlice(store, slice(0, 2), slice(0, 3))
        >>> [view.tolist() for view in at.split(at.data)]
        [[1.0, 2.0], [[3.0]]]
        """
        views, start = [], 0
        for p in self.parameters:
            views.append(vector[start : start + p.size].reshape(p.shape))
            start += p.size
        return views

    def gather(self) -> ParamSlice:
        """Return copies of the values, gradients and state of the rows alone, as vectors.

        Returns
        -------
        ParamSlice
            To be stepped, and given to `scatter`.
        """
        part = copy.copy(self)
        part.data, part.grad = self._taken(self.data), self._taken(self.grad)
        part.state = {name: self._taken(vector) for name, vector in self.state.items()}
        return part

    def _taken(self, vector: Array) -> Array:
        (rows,) = self.split(vector)
        taken: Array = rows[self.rows]
        return taken.reshape(-1)

    def scatter(self, part: ParamSlice) -> None:
        """Write values and state of the rows back.

        Parameters
        ----------
        part : ParamSlice
            What `gather` returned.
        """
        pairs = [(self.data, part.data)]
        pairs += [(vector, part.state[name]) for name, vector in self.state.items()]
        for vector, changed in pairs:
            (rows,) = self.split(vector)
            rows[self.rows] = changed.reshape(-1, *rows.shape[1:])

    def views(self, name: str) -> list[Array | None]:
        """Return views of a state vector: one for each parameter, None where it has none.

        Parameters
        ----------
        name : str
            One of those in `state`.

        Returns
        -------
        list of ndarray or None
        """
        views: list[Array | None] = []
        start = 0
        for p in self.parameters:
            shape = self.spec[name].of(p.shape)
            stop = start + (0 if shape is None else math.prod(shape))
            views.append(None if shape is None else self.state[name][start:stop].reshape(shape))
            start = stop
        return views

    def gradient(self, options: Mapping[str, Any]) -> Array:
        """Return the gradient to descend along: with the option `maximize`, it is negated.

        Parameters
        ----------
        options : mapping
            What `Optimizer.update` was given.

        Returns
        -------
        ndarray, shape (size,)
        """
        return -self.grad if options["maximize"] else self.grad

    def constrain(self, constraints: Sequence[Constraint]) -> None:
        """Apply constraints to the values of each parameter."""
        for constraint in constraints:
            for values in self.split(self.data):
                constraint.apply(values)


class Group:
    """Parameters that are stepped with the same options.

    Attributes
    ----------
    options : dict
        The options, and the parameters under ``"params"``; users may change it.
    checked : dict
        The options as they were checked last, see `Optimizer.validate`.
    parameters : list of Parameter
        All of them, the frozen ones too.
    slices : list of ParamSlice
        Those that are not frozen, where neighbours have the same history.
    frozen : dict of Parameter to dict
        State of parameters that were frozen after they had been stepped.
    """

    def __init__(self, options: dict[str, Any], spec: Mapping[str, StateSpec]) -> None:
        self.options = options
        self.spec = spec
        self.checked: dict[str, Any] = {}
        self._types: list[type[Any]] = []
        self.parameters: list[Parameter] = list(options["params"])
        self.wanted: list[str] = []
        self.schedules: dict[str, Schedule] = {}
        self.lay_out({})

    def accept(self, schedules: dict[str, Schedule]) -> None:
        """Take note that the present options are in order, and of the schedules among them."""
        self.schedules = schedules
        self.checked = dict(self.options)
        self._types = [*map(type, self.options.values())]
        self.want(self.checked)

    def want(self, options: Mapping[str, Any]) -> None:
        """Work out which state a step with these options needs."""
        wanted = [n for n, s in self.spec.items() if s.when is None or options[s.when]]
        if wanted != self.wanted:  # slices that have the present list need no look at theirs
            self.wanted = wanted

    def is_checked(self) -> bool:
        """Tell whether no option has changed since `accept`."""
        try:
            return (
                self.options == self.checked
                and [*map(type, self.options.values())] == self._types  # True equals 1
                and self.options["params"] == self.parameters
            )
        except Exception:  # something that cannot be compared, such as an array, is among them
            return False

    def due(self, lr: float) -> list[ParamSlice]:
        """Return the slices with gradients, ready for a step; none of them has moved yet.

        It is one, unless some parameters lack a gradient or missed earlier steps. A parameter with
        a sparse gradient has one of its own.
        """
        if not self.store.is_current():
            self.lay_out(self.read())
        found = []
        for at in self.slices:
            has_grad, is_sparse = [], False
            for p in at.parameters:  # faster than two comprehensions
                has_grad.append(p._grad is not None)
                is_sparse = is_sparse or p._rows is not None
            if False not in has_grad:
                if is_sparse and len(at.parameters) > 1:
                    self.lay_out(self.read())
                    return self.due(lr)
                at.rows = at.parameters[0]._rows if is_sparse else None
                at.lr = lr
                if at.wanted is not self.wanted or at.fresh:
                    self._begin(at)
                found.append(at)
            elif True in has_grad:  # make slices of those that have one and of the others
                self.lay_out(self.read())
                return self.due(lr)
        return found

    def _begin(self, at: ParamSlice) -> None:
        """Make the state that a slice lacks, with its initial values."""
        at.wanted = self.wanted
        at.fresh = [n for n in at.wanted if n in at.fresh or n not in {**at.state, **at.scalars}]
        for name in at.fresh:
            spec = self.spec[name]
            initial = spec.initial
            if isinstance(initial, str):
                initial = at.lr if initial == "lr" else self.checked[initial]
            if spec.scalar:
                at.scalars[name] = initial
            else:
                shapes = [shape for p in at.parameters if (shape := spec.of(p.shape)) is not None]
                size = sum(map(math.prod, shapes))
                at.state[name] = np.full(size, initial, at.data.dtype)

    def read(self) -> dict[Parameter, dict[str, Any]]:
        """Return views of the state of each parameter that was stepped, named as PyTorch does."""
        entries = dict(self.frozen)
        for at in self.slices:
            scalars = {n: v for n, v in at.scalars.items() if n not in at.fresh}
            views = {n: at.views(n) for n in at.state if n not in at.fresh}
            for k, p in enumerate(at.parameters if at.step else ()):
                arrays = {name: each[k] for name, each in views.items() if each[k] is not None}
                entries[p] = {"step": at.step, **arrays, **scalars}
        return entries

    def lay_out(self, entries: Mapping[Parameter, dict[str, Any]]) -> None:
        """Gather the parameters and lay their state out anew; `entries` are what `read` returns."""
        self.store = FlatStore.of(self.parameters)
        frozen = (p for p in self.parameters if p in entries and not p.requires_grad)
        self.frozen = {p: copy.deepcopy(entries[p]) for p in frozen}
        history = [entries.get(p, {}) for p in self.store.parameters]
        kept = [
            [n for n, s in self.spec.items() if n in e or (e and s.of(p.shape) is None)]
            for p, e in zip(self.store.parameters, history, strict=True)
        ]
        numbers = [
            {n: v for n, v in e.items() if n == "step" or self.spec[n].scalar} for e in history
        ]
        keys = [
            (p._grad is None, p.grad_rows is not None and id(p), *past)
            for p, *past in zip(self.store.parameters, kept, numbers, strict=True)
        ]
        self.slices = []
        for among, place in self.store.runs(keys):
            at = ParamSlice(self.store, among, place, self.spec)
            at.scalars = dict(numbers[among.start])
            at.step = int(at.scalars.pop("step", 0))
            for name in kept[among.start]:
                if name not in at.scalars:
                    parts = [np.ravel(entry[name]) for entry in history[among] if name in entry]
                    parts.append(np.empty(0, at.data.dtype))
                    at.state[name] = np.concatenate(parts, dtype=at.data.dtype)
            self.slices.append(at)

    def __repr__(self) -> str:
        options = {k: v for k, v in self.options.items() if k not in UNSAVED}
        if self.options.get("constraints"):
            options["constraints"] = self.options["constraints"]
        text = ", ".join(f"{k}={v!r}" for k, v in options.items())
        return f"<{self.store.data.size:,} numbers>, {text}"
