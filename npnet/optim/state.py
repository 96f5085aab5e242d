"""Group, the parameters and state vectors behind one set of options, and its state dictionary."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.errors import StateError
from npnet.store import FlatStore
from npnet.typing import Array


class Stretch(NamedTuple):
    """Neighbouring parameters as vectors, at one step.

    ``data`` and ``grad`` are their values and gradients, ``state`` the optimizer's vectors, zero
    at first, ``lr`` the rate and ``step`` the number of the step for these parameters, from 1.
    """

    data: Array
    grad: Array
    state: Mapping[str, Array]
    lr: float
    step: int


class Group:
    """Parameters that are stepped with the same options.

    Parameters
    ----------
    options : dict
        The options, and the parameters under ``"params"``.
    store : FlatStore
        Where the parameters live.

    Attributes
    ----------
    steps : list of int
        How often each parameter was stepped.
    state : dict of str to ndarray, each 1-D
        Vectors laid out as the store's.
    """

    def __init__(self, options: dict[str, Any], store: FlatStore) -> None:
        self.options = options
        self.store = store
        self.steps = [0] * len(options["params"])
        self.state: dict[str, Array] = {}

    def prepare(self, names: Sequence[str]) -> None:
        """Gather the parameters if they were moved; make the state vectors that are missing.

        Parameters
        ----------
        names : sequence of str
            Of the state vectors wanted, in the parameters' dtype.
        """
        if not self.store.is_current():
            self.store = FlatStore.of(self.options["params"])
            dtype = self.store.data.dtype
            self.state = {name: v.astype(dtype, copy=False) for name, v in self.state.items()}
        for name in names:
            if name not in self.state:
                self.state[name] = np.zeros_like(self.store.data)

    def advance(self, lr: float) -> list[Stretch]:
        """Count a step for every parameter with a gradient; return the stretches they form.

        Parameters
        ----------
        lr : float
            The rate.

        Returns
        -------
        list of Stretch
            One, unless some parameters lack a gradient or missed earlier steps.
        """
        store, steps = self.store, self.steps
        has_grad = [p._grad is not None for p in store.parameters]
        if False not in has_grad and steps.count(steps[0]) == len(steps):
            step = steps[0] + 1
            self.steps = [step] * len(steps)
            return [Stretch(store.data, store.grad, self.state, lr, step)]
        self.steps = [step + due for step, due in zip(steps, has_grad, strict=True)]
        keys = [step if due else None for step, due in zip(self.steps, has_grad, strict=True)]
        return [
            Stretch(store.data[at], store.grad[at], self._state_at(at), lr, step)
            for at, step in store.runs(keys)
        ]

    def _state_at(self, place: slice) -> dict[str, Array]:
        return {name: vector[place] for name, vector in self.state.items()}

    def __repr__(self) -> str:
        options = {k: v for k, v in self.options.items() if k != "params"}
        text = ", ".join(f"{k}={v!r}" for k, v in options.items())
        return f"<{self.store.data.size:,} numbers>, {text}"


def read_state(groups: Sequence[Group], rates: Sequence[float]) -> dict[str, Any]:
    """Copy steps, state and options, see `Optimizer.state_dict`."""
    state: dict[int, dict[str, Any]] = {}
    saved: list[dict[str, Any]] = []
    number = 0
    for group, rate in zip(groups, rates, strict=True):
        numbers = list(range(number, number + len(group.steps)))
        number += len(numbers)
        places = zip(numbers, group.options["params"], group.store.slices, group.steps, strict=True)
        for k, p, place, step in places:
            if step:
                vectors = group.state.items()
                arrays = {name: v[place].reshape(p.shape).copy() for name, v in vectors}
                state[k] = {"step": step, **arrays}
        options = {k: v for k, v in group.options.items() if k not in ("params", "lr")}
        saved.append({**copy.deepcopy(options), "lr": rate, "params": numbers})
    return {"state": state, "param_groups": saved}


def load_state(
    name: str,
    groups: Sequence[Group],
    state_names: Sequence[Sequence[str]],
    state_dict: Mapping[str, Any],
) -> int:
    """Put back what `read_state` returned, all or nothing; return the steps done."""
    problems = _problems(groups, state_dict)
    if problems:
        raise StateError("\n  ".join([f"the state does not fit {name}:", *problems]))
    for group, saved, names in zip(groups, state_dict["param_groups"], state_names, strict=True):
        keep = {"params": group.options["params"]}
        if callable(group.options["lr"]):
            keep["lr"] = group.options["lr"]
        group.options.update({**copy.deepcopy(dict(saved)), **keep})
        group.prepare(())
        entries = [state_dict["state"].get(k, {}) for k in saved["params"]]
        group.steps = [int(entry.get("step", 0)) for entry in entries]
        group.state = {key: np.zeros_like(group.store.data) for key in names}
        for key, vector in group.state.items():
            for entry, place in zip(entries, group.store.slices, strict=True):
                if key in entry:
                    vector[place] = np.ravel(entry[key])
    return int(state_dict["step_count"])


def _problems(groups: Sequence[Group], state_dict: Mapping[str, Any]) -> list[str]:
    absent = {"state", "param_groups", "step_count"} - set(state_dict)
    if absent:
        return [f"missing: {key}" for key in sorted(absent)]
    saved = state_dict["param_groups"]
    if len(saved) != len(groups):
        return [f"{len(groups)} groups here, {len(saved)} in the state"]
    found = []
    for group, theirs in zip(groups, saved, strict=True):
        mine = group.options
        if set(mine) != set(theirs):
            found.append(f"options {sorted(mine)} here, {sorted(theirs)} in the state")
        elif len(mine["params"]) != len(theirs["params"]):
            here, there = len(mine["params"]), len(theirs["params"])
            found.append(f"a group of {here} parameters here, of {there} in the state")
        else:
            for k, p in zip(theirs["params"], mine["params"], strict=True):
                for key, value in state_dict["state"].get(k, {}).items():
                    if key != "step" and np.shape(value) != p.shape:
                        found.append(f"{key} of parameter {k} is {p.shape}, got {np.shape(value)}")
    return found
