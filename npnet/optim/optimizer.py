"""Optimizer, the base of all optimizers: parameter groups, rates, flat state, state dictionaries.

A subclass names its state vectors and writes `update`, which works on flat vectors: a whole group
when every parameter in it has a gradient, stretches of it otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from npnet.errors import ArgumentError, StateError, TapeError
from npnet.parameter import FlatStore, Parameter, unique
from npnet.schedules import Schedule
from npnet.typing import Array

Rate = float | Schedule
"""A learning rate: a number, or a schedule, which is any function of the step."""


class Optimizer:
    """Base of all optimizers.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        A dictionary is a parameter group: its parameters under ``"params"``, and options that
        differ from the defaults.
    defaults : mapping
        Every option of the optimizer with its default.

    Attributes
    ----------
    param_groups : list of dict
        The options of each group, which may be changed between steps, and its ``"params"``.
    step_count : int
        Number of steps done: the argument of learning-rate schedules.

    Raises
    ------
    ArgumentError
        If there is no parameter, a parameter is in two groups, or an option is unknown or out of
        range.
    """

    state_names: tuple[str, ...] = ()

    def __init__(
        self, params: Iterable[Parameter] | Iterable[dict[str, Any]], defaults: Mapping[str, Any]
    ) -> None:
        self.defaults = dict(defaults)
        self.param_groups: list[dict[str, Any]] = []
        self.step_count = 0
        self._stores: list[FlatStore] = []
        self._states: list[dict[str, Array]] = []
        self._steps: list[list[int]] = []
        given: list[Any] = [params] if isinstance(params, Parameter) else list(params)
        if not given:
            raise ArgumentError(f"{type(self).__name__} got no parameters")
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add a group of parameters with options of its own.

        Parameters
        ----------
        group : mapping
            ``"params"`` and options.
        """
        name = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise ArgumentError(f"{name}: a parameter group is a dict with a 'params' key")
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise ArgumentError(
                f"{name} has no option {', '.join(sorted(map(repr, unknown)))}; "
                f"it has {', '.join(self.defaults)}"
            )
        parameters = unique(group["params"])
        if not parameters:
            raise ArgumentError(f"{name} got an empty parameter group")
        taken = {p for old in self.param_groups for p in old["params"]}
        if taken.intersection(parameters):
            raise ArgumentError(f"{name}: a parameter is in more than one group")
        merged = {**self.defaults, **group, "params": parameters}
        self._validate(merged)
        self.param_groups.append(merged)
        self._stores.append(FlatStore.of(parameters))
        self._states.append({})
        self._steps.append([0] * len(parameters))

    # --- for subclasses

    def validate(self, options: Mapping[str, Any]) -> None:
        """Raise `ArgumentError` if an option of a group is out of range.

        Parameters
        ----------
        options : mapping
        """

    def update(
        self,
        data: Array,
        grad: Array,
        state: Mapping[str, Array],
        options: Mapping[str, Any],
        lr: float,
        step: int,
    ) -> None:
        """Change `data` and the state in place.

        Parameters
        ----------
        data, grad : ndarray, 1-D
            Values and gradients of neighbouring parameters.
        state : mapping of str to ndarray, 1-D
            The state vectors, zero at first.
        options : mapping
            The group's options.
        lr : float
            The rate of this step.
        step : int
            Number of this step for these parameters, from 1.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def names_of_state(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the state vectors that a group with these options needs.

        Parameters
        ----------
        options : mapping

        Returns
        -------
        tuple of str
        """
        return self.state_names

    # --- for users

    @property
    def lr(self) -> float:
        """The learning rate of the next step (of the first group, if there are several)."""
        return self._rate(self.param_groups[0])

    @lr.setter
    def lr(self, value: Rate) -> None:
        for group in self.param_groups:
            self._validate({**group, "lr": value})
            group["lr"] = value

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, group after group."""
        return [p for group in self.param_groups for p in group["params"]]

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises
        ------
        TapeError
            If no parameter has one.
        """
        updates = [
            (i, place, step)
            for i, store in enumerate(self._stores)
            for place, step in self._due(i, store)
        ]
        if not updates:
            raise TapeError(
                f"{type(self).__name__}.step found no gradient; call tape.backward(grad) first"
            )
        rates = [self._rate(group) for group in self.param_groups]
        for i, place, step in updates:
            store, group, state = self._stores[i], self.param_groups[i], self._state(i)
            here = {name: vector[place] for name, vector in state.items()}
            self.update(store.data[place], store.grad[place], here, group, rates[i], step)
        self.step_count += 1

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    # --- state

    def state_dict(self) -> dict[str, Any]:
        """Copy options, step counts and state into plain dictionaries, laid out like PyTorch's.

        Returns
        -------
        dict
            ``"state"`` maps a parameter's number to its ``"step"`` and state arrays,
            ``"param_groups"`` holds the options with the parameters' numbers, and
            ``"step_count"`` the steps done. A schedule is represented by its present rate.
        """
        state: dict[int, dict[str, Any]] = {}
        groups = []
        number = 0
        for i, group in enumerate(self.param_groups):
            numbers = list(range(number, number + len(group["params"])))
            number += len(numbers)
            for k, p, place, step in zip(
                numbers, group["params"], self._stores[i].slices, self._steps[i], strict=True
            ):
                if step:
                    arrays = {
                        name: vector[place].reshape(p.shape).copy()
                        for name, vector in self._states[i].items()
                    }
                    state[k] = {"step": step, **arrays}
            groups.append({**group, "lr": self._rate(group), "params": numbers})
        return {"state": state, "param_groups": groups, "step_count": self.step_count}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Put back what `state_dict` returned, for the same parameters in the same order.

        A group whose rate is a schedule keeps it; the step count says where it goes on.

        Parameters
        ----------
        state_dict : mapping

        Raises
        ------
        StateError
            If groups, options, names or shapes do not fit; nothing is changed then.
        """
        groups, problems = self._read_groups(state_dict)
        numbers = [k for group in groups for k in group["params"]]
        parameters = self.parameters
        entries = dict(state_dict.get("state", {}))
        if not problems and (len(numbers) != len(parameters) or not set(entries) <= set(numbers)):
            problems.append(f"{len(parameters)} parameters here, {len(numbers)} in the state")
        if not problems:
            for k, p in zip(numbers, parameters, strict=True):
                for name, value in entries.get(k, {}).items():
                    if name != "step" and np.shape(value) != p.shape:
                        problems.append(
                            f"{name} of parameter {k} is {p.shape}, got {np.shape(value)}"
                        )
        if problems:
            raise StateError(
                f"the state does not fit {type(self).__name__}:\n  " + "\n  ".join(problems)
            )
        self.step_count = int(state_dict["step_count"])
        for i, (group, saved) in enumerate(zip(self.param_groups, groups, strict=True)):
            keep = {"params": group["params"]}
            if callable(group["lr"]):
                keep["lr"] = group["lr"]
            group.update({**saved, **keep})
            self._states[i] = {}
            mine = [entries.get(k, {}) for k in saved["params"]]
            self._steps[i] = [int(entry.get("step", 0)) for entry in mine]
            state = self._state(i)
            for entry, place in zip(mine, self._stores[i].slices, strict=True):
                for name, vector in state.items():
                    if name in entry:
                        vector[place] = np.ravel(entry[name])

    def _read_groups(self, state_dict: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
        groups = [dict(group) for group in state_dict.get("param_groups", [])]
        if "step_count" not in state_dict or len(groups) != len(self.param_groups):
            return [], [f"{len(self.param_groups)} groups here, {len(groups)} in the state"]
        problems = []
        for mine, saved in zip(self.param_groups, groups, strict=True):
            if set(mine) != set(saved):
                problems.append(f"options {sorted(mine)} here, {sorted(saved)} in the state")
            elif len(mine["params"]) != len(saved["params"]):
                problems.append(
                    f"a group of {len(mine['params'])} parameters here, "
                    f"of {len(saved['params'])} in the state"
                )
            else:
                self._validate(saved)
        return groups, problems

    def __repr__(self) -> str:
        lines = []
        for group in self.param_groups:
            options = {k: v for k, v in group.items() if k != "params"}
            text = ", ".join(f"{k}={v!r}" for k, v in options.items())
            count = sum(p.size for p in group["params"])
            lines.append(f"{type(self).__name__}({text}) of {count:,} numbers")
        return "\n".join(lines)

    # --- within

    def _validate(self, options: Mapping[str, Any]) -> None:
        lr = options["lr"]
        if not callable(lr):
            in_range(self, "lr", lr)
        self.validate(options)

    def _rate(self, group: Mapping[str, Any]) -> float:
        lr = group["lr"]
        if not callable(lr):
            return float(lr)
        rate = float(lr(self.step_count))
        if not 0 <= rate < math.inf:
            raise ArgumentError(f"the schedule {lr!r} gave the rate {rate} at {self.step_count}")
        return rate

    def _due(self, i: int, store: FlatStore) -> list[tuple[slice, int]]:
        """Count this step for the parameters with a gradient; return the stretches they form."""
        if not store.is_current():
            store = self._stores[i] = FlatStore.of(self.param_groups[i]["params"])
        steps = self._steps[i]
        keys: list[int | None] = []
        for k, p in enumerate(store.parameters):
            if p.grad is None:
                keys.append(None)
            else:
                steps[k] += 1
                keys.append(steps[k])
        return list(store.runs(keys))

    def _state(self, i: int) -> dict[str, Array]:
        """Return the group's state vectors, made when first needed, in the parameters' dtype."""
        state, data = self._states[i], self._stores[i].data
        for name in self.names_of_state(self.param_groups[i]):
            if name not in state:
                state[name] = np.zeros_like(data)
            elif state[name].dtype != data.dtype:
                state[name] = state[name].astype(data.dtype)
        return state


def in_range(
    optimizer: Optimizer, name: str, value: Any, low: float = 0.0, below: float = math.inf
) -> None:
    """Raise `ArgumentError` unless `value` is a real number, low <= value < below."""
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool) or not low <= value < below:
        upper = "" if below == math.inf else f" and below {below:g}"
        raise ArgumentError(
            f"{type(optimizer).__name__} expects {name} of at least {low:g}{upper}, got {value!r}"
        )
