"""PureSchedule, the base of all schedules: arguments that are set once, and a rate for each step.

A schedule is its arguments, its formula and their documentation. The formula is the rate of a step
(`_rate`), or a factor on the rate (`FactorSchedule`), or the rate that follows on the one of the
step before (`RecursiveSchedule`).
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, TypeAlias

from npnet.arguments import name_of, real_number, refusal, shown, whole_number, wrong_call
from npnet.configured import Configured
from npnet.errors import ArgumentError, NameTypoError

Schedule: TypeAlias = Callable[[int], float]
"""What an optimizer accepts in place of a rate: a function of the step, counted from 0."""


def as_schedule(
    owner: Any, name: str, value: Any, kind: str = "a function of the step", hint: str = ""
) -> Schedule:
    """Return a function of the step; `owner` and `name` are for the error.

    Parameters
    ----------
    owner, name, value, kind, hint
        As for the functions of `npnet.arguments`.

    Returns
    -------
    callable

    Raises
    ------
    ArgumentError
        If it cannot be called, or is called with something else, as classes, layers and losses.
    SignatureError
        If it takes other arguments.
    """
    other = isinstance(value, Configured) and not isinstance(value, PureSchedule)
    if callable(value) and not isinstance(value, type) and not other:
        told = f"{name_of(owner)}: {name}={shown(value)}, called with a step"
        if error := wrong_call(value, told, (0,), {}):
            raise error
        schedule: Schedule = value
        return schedule
    if isinstance(value, type):
        hint = f"make one: {value.__name__}(...)"
    raise refusal(owner, name, kind, value, hint or "a constant rate is `lambda step: rate`")


class PureSchedule(Configured):
    """What the schedules share: arguments are set once, and compared by value."""

    habits: ClassVar = {
        "step": "a schedule is a function of the step; the optimizer counts and calls it",
        "get_last_lr": "optimizer.lr is the rate of the next step",
        "get_lr": "optimizer.lr is the rate of the next step",
        "state_dict": "a schedule has no state; optimizer.state_dict() has the step",
        "load_state_dict": "a schedule has no state; optimizer.load_state_dict() brings the step",
        "last_epoch": "a schedule has no state; optimizer.step_count counts",
        "base_lrs": "each schedule has its lr",
        "optimizer": "the optimizer takes the schedule: Adam(params, lr=schedule)",
    }

    def __call__(self, step: int) -> float:
        """Return the rate of a step.

        Parameters
        ----------
        step : int
            Counted from 0.

        Returns
        -------
        float

        Raises
        ------
        ArgumentError
            If `step` is not a non-negative integer.
        """
        return self._rate(whole_number(self, "step", step, 0))

    def _rate(self, step: int) -> float:
        """Return the rate: the formula of the schedule."""
        raise NotImplementedError

    def _after(self, previous: float, step: int) -> float:
        """Return the rate of a step in a `ChainedScheduler`, where `previous` is the one so far.

        A schedule that is no factor sets the rate, whatever it was, as PyTorch's do.
        """
        return self._rate(step)

    def _base(self) -> float | None:
        """Return the rate that the schedule's factors multiply, None if it has no such rate."""
        return vars(self).get("lr")

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Return the schedule with the number filled in where it counts epochs."""
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        if not self._open:
            kind = type(self).__name__
            raise NameTypoError(f"a schedule cannot be changed; make a new {kind} to set {name!r}")
        object.__setattr__(self, name, value)

    def _arguments(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name[0] != "_"}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PureSchedule) or type(self) is not type(other):
            return False
        return self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().values()))

    def _number(self, name: str, value: Any, high: float = math.inf, **bounds: float) -> float:
        """Return a finite number that is not negative."""
        hint = self._instead(value)
        if hint:
            raise refusal(self, name, "a number", value, hint)
        return real_number(self, name, value, 0, high, **bounds)

    def _count(self, name: str, value: Any, low: int = 1) -> int | None:
        """Return a whole number, or None where None is given."""
        return None if value is None else whole_number(self, name, value, low)

    def _function(self, name: str, value: Any) -> Schedule:
        return as_schedule(self, name, value, hint=self._instead(value))

    def _sequence(self, name: str, value: Any) -> Sequence[Any]:
        if not isinstance(value, list | tuple):
            raise refusal(self, name, "a list", value, self._instead(value))
        return value

    def _functions(self, name: str, value: Any) -> tuple[Schedule, ...]:
        values = enumerate(self._sequence(name, value))
        return tuple(self._function(f"{name}[{i}]", schedule) for i, schedule in values)

    def _instead(self, value: Any) -> str:
        """Return what to tell those who pass the optimizer, or lists by group, as in PyTorch."""
        if isinstance(value, list | tuple):
            return "a parameter group takes its own schedule: {'params': ..., 'lr': schedule}"
        if not hasattr(value, "param_groups"):
            return ""
        return (
            "a schedule takes the rate first and is passed as lr: Adam(params, lr=StepLR(0.1, 30))"
        )


def after(schedule: Schedule, previous: float, step: int) -> float:
    """Return the rate of a step in a `ChainedScheduler`; a plain function sets it."""
    if isinstance(schedule, PureSchedule):
        return schedule._after(previous, step)
    return schedule(step)


def base_rate(schedule: Schedule) -> float | None:
    """Return the rate that a schedule's factors multiply, None if it has no such rate."""
    return schedule._base() if isinstance(schedule, PureSchedule) else None


class FactorSchedule(PureSchedule):
    """A rate `lr` times a factor that depends on the step: a subclass writes `_factor`."""

    lr: float

    def _factor(self, step: int) -> float:
        raise NotImplementedError

    def _rate(self, step: int) -> float:
        return self.lr * self._factor(step) if self.lr else 0.0

    def _after(self, previous: float, step: int) -> float:
        now, before = self._factor(step), self._factor(step - 1) if step else 1.0
        if now == before:  # 0 and infinity too, where a quotient would be NaN
            return previous
        if not before:
            raise ArgumentError(
                f"a product cannot rise from 0 as {self!r} does at step {step}; "
                "start from a small factor that is not 0"
            )
        return previous * (now / before)


class RecursiveSchedule(PureSchedule):
    """A rate that follows on the one of the step before: a subclass writes `_after`.

    The rates are kept, so that each is computed once; the first call of a later step computes
    all those before it.
    """

    def __init__(self) -> None:
        self._rates = array("d")

    def _rate(self, step: int) -> float:
        if step >= len(self._rates):
            with _extending:
                while (k := len(self._rates)) <= step:
                    self._rates.append(self._after(self._rates[-1] if k else self._first(), k))
        return self._rates[step]

    def _first(self) -> float:
        """Return the rate that `_after` is given for step 0."""
        return self._base() or 0.0


_extending = threading.RLock()
"""Held while rates are added: several threads may ask one schedule for them."""


def power(base: float, exponent: float) -> float:
    """Return a power of a number that is not negative, infinity where that is too large."""
    try:
        return float(base**exponent)
    except OverflowError:  # where a product would give infinity
        return math.inf


def between(low: float, high: float, weight: float) -> float:
    """Return the weighted mean, exact at both ends."""
    return low * (1.0 - weight) + high * weight
