"""Optimizer, the base of all optimizers: parameter groups, rates, flat state, state dictionaries.

A subclass names its state vectors and writes `update`, which works on flat vectors: a whole group
when every parameter in it has a gradient, stretches of it otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from npnet.configured import Configured
from npnet.errors import ArgumentError, TapeError
from npnet.optim.state import Group, Stretch, load_state, read_state
from npnet.parameter import Parameter
from npnet.schedules import Schedule
from npnet.store import FlatStore, as_list, unique

Params = Iterable[Parameter] | Iterable[dict[str, Any]]
"""What an optimizer is made for: parameters, or parameter groups."""

Rate = float | Schedule
"""A learning rate: a number, or a schedule, which is any function of the step."""


class Optimizer(Configured):
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

    def __init__(self, params: Params, defaults: Mapping[str, Any]) -> None:
        self.defaults = dict(defaults)
        self.groups: list[Group] = []
        self.step_count = 0
        given: list[Any] = [params] if isinstance(params, Parameter) else as_list(params)
        if not given:
            raise ArgumentError(f"{type(self).__name__} got no parameters")
        for options in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(options)

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
            known = ", ".join(self.defaults)
            raise ArgumentError(f"{name} has no option {sorted(unknown)}; it has {known}")
        parameters = unique(group["params"])
        if not parameters:
            raise ArgumentError(f"{name} got an empty parameter group")
        if set(self.parameters).intersection(parameters):
            raise ArgumentError(f"{name}: a parameter is in more than one group")
        options = {**self.defaults, **group, "params": parameters}
        self._validate(options)
        self.groups.append(Group(options, FlatStore.of(parameters)))

    # --- for subclasses

    def validate(self, options: Mapping[str, Any]) -> None:
        """Raise `ArgumentError` if an option of a group, other than its rate, is out of range.

        Parameters
        ----------
        options : mapping
        """

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the state vectors that a group with these options needs.

        Parameters
        ----------
        options : mapping

        Returns
        -------
        tuple of str
        """
        return ()

    def update(self, at: Stretch, options: Mapping[str, Any]) -> None:
        """Change the values and the state in place.

        Parameters
        ----------
        at : Stretch
            Values, gradients, state and rate.
        options : mapping
            The group's options.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update")

    # --- for users

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The options of each group, which may be changed between steps, and its ``"params"``."""
        return [group.options for group in self.groups]

    @property
    def parameters(self) -> list[Parameter]:
        """All parameters, group after group."""
        return [p for group in self.groups for p in group.options["params"]]

    @property
    def lr(self) -> float:
        """The learning rate of the next step (of the first group, if there are several)."""
        return self.rate(self.groups[0].options)

    @lr.setter
    def lr(self, value: Rate) -> None:
        for options in self.param_groups:
            self._validate({**options, "lr": value})
            options["lr"] = value

    def step(self) -> None:
        """Update every parameter that has a gradient.

        Raises
        ------
        TapeError
            If no parameter has one.
        """
        rates = [self.rate(group.options) for group in self.groups]
        for group in self.groups:
            group.prepare(self.state_names(group.options))
        found = False  # what can raise was above: all groups move or none
        for group, lr in zip(self.groups, rates, strict=True):
            for at in group.advance(lr):
                self.update(at, group.options)
                found = True
        if not found:
            raise TapeError(
                f"{type(self).__name__}.step found no gradient; call tape.backward(grad) first"
            )
        self.step_count += 1

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.groups:
            for p in group.store.parameters:
                p._grad = None

    def state_dict(self) -> dict[str, Any]:
        """Copy options, step counts and state into plain dictionaries, laid out like PyTorch's.

        Returns
        -------
        dict
            ``"state"`` maps a parameter's number to its ``"step"`` and state arrays,
            ``"param_groups"`` holds the options with the parameters' numbers, and
            ``"step_count"`` the steps done. A schedule is represented by its present rate.
        """
        rates = [self.rate(options) for options in self.param_groups]
        return {**read_state(self.groups, rates), "step_count": self.step_count}

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
        names = []
        for options in state_dict.get("param_groups", []):
            if set(options) == {*self.defaults, "params"}:  # else `load_state` will say so
                self._validate(options)
                names.append(self.state_names(options))
        self.step_count = load_state(type(self).__name__, self.groups, names, state_dict)

    def rate(self, options: Mapping[str, Any]) -> float:
        """Return the learning rate of a group's next step.

        Parameters
        ----------
        options : mapping

        Returns
        -------
        float
        """
        lr = options["lr"]
        rate = float(lr(self.step_count) if callable(lr) else lr)
        if not 0 <= rate < math.inf:
            raise ArgumentError(f"the rate {lr!r} is {rate} at step {self.step_count}")
        return rate

    def _validate(self, options: Mapping[str, Any]) -> None:
        if not callable(options["lr"]):
            in_range(self, "lr", options["lr"])
        self.validate(options)

    def __repr__(self) -> str:
        return "\n".join(f"{type(self).__name__}({group})" for group in self.groups)


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
