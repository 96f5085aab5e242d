"""Learning-rate schedules: pure functions of the step.

``schedule(k)`` is the rate of optimizer step `k`, counted from 0; the optimizer owns the count.
Any callable from an int to a float will do; the classes here bear PyTorch's names and arguments,
take the base rate first and give the rates that PyTorch's schedulers give when they are stepped
after every optimizer step. All counts are steps; `per_epoch` makes them epochs.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self, TypeAlias

from npnet.arguments import real_number, refusal, whole_number
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
    """
    other = isinstance(value, Configured) and not isinstance(value, _PureSchedule)
    if callable(value) and not isinstance(value, type) and not other:
        schedule: Schedule = value
        return schedule
    if isinstance(value, type):
        hint = f"make one: {value.__name__}(...)"
    raise refusal(owner, name, kind, value, hint or "a constant rate is `lambda step: rate`")


class _PureSchedule(Configured):
    """What the schedules share: arguments are set once, and compared by value."""

    habits: ClassVar = {
        "step": "a schedule is a function of the step; the optimizer counts and calls it",
        "get_last_lr": "optimizer.lr is the rate of the next step",
        "get_lr": "optimizer.lr is the rate of the next step",
        "state_dict": "a schedule has no state; optimizer.state_dict() has the step",
        "load_state_dict": "a schedule has no state; optimizer.load_state_dict() brings the step",
        "last_epoch": "a schedule has no state; optimizer.step_count counts",
        "base_lrs": "each schedule has its lr",
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
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        if not self._open:
            kind = type(self).__name__
            raise NameTypoError(f"a schedule cannot be changed; make a new {kind} to set {name!r}")
        object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def _number(self, name: str, value: Any, high: float = math.inf, **bounds: float) -> float:
        """Return a finite number that is not negative."""
        hint = self._optimizer_hint(value)
        if hint:
            raise refusal(self, name, "a number", value, hint)
        return real_number(self, name, value, 0, high, **bounds)

    def _function(self, name: str, value: Any) -> Schedule:
        return as_schedule(self, name, value, hint=self._optimizer_hint(value))

    def _optimizer_hint(self, value: Any) -> str:
        """Return what to tell those who pass the optimizer, as PyTorch does."""
        if not hasattr(value, "param_groups"):
            return ""
        return (
            "a schedule takes the rate first and is passed as lr: Adam(params, lr=StepLR(0.1, 30))"
        )


class StepLR(_PureSchedule):
    r"""Multiply the rate by `gamma` every `step_size` steps.

    .. math:: \eta_k = \mathrm{lr} \cdot \gamma^{\lfloor k / \mathrm{step\_size} \rfloor}

    Parameters
    ----------
    lr : float
        The rate of the first steps, at least 0.
    step_size : int
        How many steps have the same rate, at least 1.
    gamma : float
        The factor, at least 0.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range.

    Examples
    --------
    >>> schedule = StepLR(0.5, step_size=30, gamma=0.1)
    >>> schedule
    StepLR(lr=0.5, step_size=30, gamma=0.1)
    >>> [schedule(step) for step in (0, 29, 30)]
    [0.5, 0.5, 0.05]
    """

    def __init__(self, lr: float, step_size: int, gamma: float = 0.1) -> None:
        self.lr = self._number("lr", lr)
        self.step_size = whole_number(self, "step_size", step_size, 1)
        self.gamma = self._number("gamma", gamma)

    def _rate(self, step: int) -> float:
        return _decayed(self.lr, self.gamma, step // self.step_size)


class ExponentialLR(_PureSchedule):
    r"""Multiply the rate by `gamma` every step.

    .. math:: \eta_k = \mathrm{lr} \cdot \gamma^k

    Parameters
    ----------
    lr : float
        The rate of the first step, at least 0.
    gamma : float
        The factor, at least 0.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range.

    Examples
    --------
    >>> schedule = ExponentialLR(0.5, gamma=0.5)
    >>> [schedule(step) for step in range(4)]
    [0.5, 0.25, 0.125, 0.0625]
    """

    def __init__(self, lr: float, gamma: float) -> None:
        self.lr = self._number("lr", lr)
        self.gamma = self._number("gamma", gamma)

    def _rate(self, step: int) -> float:
        return _decayed(self.lr, self.gamma, step)


class CosineAnnealingLR(_PureSchedule):
    r"""Follow half a cosine from `lr` down to `eta_min`, and back up beyond `T_max`.

    .. math:: \eta_k = \mathrm{eta\_min}
        + \frac{1}{2} (\mathrm{lr} - \mathrm{eta\_min}) (1 + \cos(\pi k / \mathrm{T\_max}))

    The period is ``2 * T_max``. To stay at the bottom, let the steps end there or put a
    constant behind: ``SequentialLR([cosine, lambda step: eta_min], [T_max])``.

    Parameters
    ----------
    lr : float
        The rate of the first step, at least 0.
    T_max : int
        The step of the lowest rate, at least 1.
    eta_min : float
        The lowest rate, at least 0.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without
    the restarts. https://arxiv.org/abs/1608.03983

    Examples
    --------
    >>> schedule = CosineAnnealingLR(1.0, T_max=100)
    >>> [round(schedule(step), 3) for step in (0, 25, 50, 100, 150)]
    [1.0, 0.854, 0.5, 0.0, 0.5]
    """

    def __init__(self, lr: float, T_max: int, eta_min: float = 0.0) -> None:
        self.lr = self._number("lr", lr)
        self.T_max = whole_number(self, "T_max", T_max, 1)
        self.eta_min = self._number("eta_min", eta_min)

    def _rate(self, step: int) -> float:
        weight = (1.0 + math.cos(math.pi * step / self.T_max)) / 2.0
        return _between(self.eta_min, self.lr, weight)


class LinearLR(_PureSchedule):
    r"""Change a factor on the rate linearly for `total_iters` steps, then keep it: a warm-up.

    .. math:: \eta_k = \mathrm{lr} \cdot ((1 - t) \, \mathrm{start\_factor}
        + t \, \mathrm{end\_factor}), \quad t = \min(1, k / \mathrm{total\_iters})

    Parameters
    ----------
    lr : float
        The rate that the factors multiply, at least 0.
    start_factor : float
        The factor of the first step, above 0 and at most 1.
    end_factor : float
        The factor from step `total_iters` on, from 0 to 1.
    total_iters : int
        The step that first has the whole `end_factor`, at least 1.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range.

    Examples
    --------
    >>> schedule = LinearLR(0.5, start_factor=0.5, total_iters=4)
    >>> [schedule(step) for step in range(6)]
    [0.25, 0.3125, 0.375, 0.4375, 0.5, 0.5]
    """

    def __init__(
        self,
        lr: float,
        start_factor: float = 1.0 / 3.0,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        self.lr = self._number("lr", lr)
        self.start_factor = self._number("start_factor", start_factor, 1, above=0)
        self.end_factor = self._number("end_factor", end_factor, 1)
        self.total_iters = whole_number(self, "total_iters", total_iters, 1)

    def _rate(self, step: int) -> float:
        weight = min(step, self.total_iters) / self.total_iters
        return self.lr * _between(self.start_factor, self.end_factor, weight)


class SequentialLR(_PureSchedule):
    """Run several schedules one after the other, each counting its own steps from 0.

    Each keeps the base rate it was made with. A `SequentialLR` may be one of the schedules.

    Parameters
    ----------
    schedules : sequence of callables, int -> float
        At least one.
    milestones : sequence of int
        The steps at which the second, third, ... schedule takes over: one fewer than schedules,
        none negative, each greater than the one before.

    Raises
    ------
    ArgumentError
        If the arguments are not that.

    Examples
    --------
    >>> warmup = LinearLR(1.0, start_factor=0.25, total_iters=3)
    >>> schedule = SequentialLR([warmup, ExponentialLR(1.0, gamma=0.5)], milestones=[3])
    >>> [schedule(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(self, schedules: Sequence[Schedule], milestones: Sequence[int]) -> None:
        arguments: dict[str, Any] = {"schedules": schedules, "milestones": milestones}
        for name, value in arguments.items():
            if not isinstance(value, list | tuple):
                raise refusal(self, name, "a list", value, self._optimizer_hint(value))
        self.schedules = tuple(
            self._function(f"schedules[{i}]", s) for i, s in enumerate(schedules)
        )
        if len(milestones) != len(schedules) - 1:
            raise ArgumentError(
                "SequentialLR expects milestones to be one fewer than schedules, "
                f"got {len(milestones)} milestones for {len(schedules)} schedules"
            )
        self.milestones: tuple[int, ...] = ()
        for i, step in enumerate(milestones):
            low = max(self.milestones, default=-1) + 1
            self.milestones += (whole_number(self, f"milestones[{i}]", step, low),)

    def _rate(self, step: int) -> float:
        i = bisect_right(self.milestones, step)
        return self.schedules[i](step - self.milestones[i - 1] if i else step)

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Fill in every part, see `per_epoch`."""
        parts = [with_steps_per_epoch(schedule, steps_per_epoch) for schedule in self.schedules]
        return type(self)(parts, self.milestones)


class per_epoch(_PureSchedule):
    """Let a schedule count epochs: its argument is the step divided by the steps of an epoch.

    The counts of all other schedules are optimizer steps, so that ``StepLR(0.1, 30)`` lowers the
    rate every 30 batches; ``per_epoch(StepLR(0.1, 30))`` lowers it every 30 epochs.

    Parameters
    ----------
    schedule : callable, int -> float
        A function of the epoch, counted from 0.
    steps_per_epoch : int, optional
        How many steps an epoch has: ``len(loader)``. `Trainer.fit` knows it and fills it in.

    Raises
    ------
    ArgumentError
        If an argument is not that; on a call, if nobody filled in `steps_per_epoch`.

    Examples
    --------
    >>> schedule = per_epoch(ExponentialLR(1.0, gamma=0.5), steps_per_epoch=2)
    >>> [schedule(step) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(self, schedule: Schedule, steps_per_epoch: int | None = None) -> None:
        self.schedule = self._function("schedule", schedule)
        if isinstance(schedule, per_epoch):
            raise refusal(self, "schedule", "a function of the epoch", schedule, "once is enough")
        self.steps_per_epoch = steps_per_epoch
        if steps_per_epoch is not None:
            self.steps_per_epoch = whole_number(self, "steps_per_epoch", steps_per_epoch, 1)

    def _rate(self, step: int) -> float:
        if self.steps_per_epoch is None:
            raise ArgumentError(
                "per_epoch does not know how many steps an epoch has: "
                "per_epoch(schedule, steps_per_epoch=100) says it; Trainer.fit knows it of arrays "
                "and of what has a len(), not of a generator"
            )
        return self.schedule(step // self.steps_per_epoch)

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Fill in the number unless there is one."""
        filled = self.steps_per_epoch is not None
        return self if filled else type(self)(self.schedule, steps_per_epoch)


def with_steps_per_epoch(schedule: Schedule, steps_per_epoch: int) -> Schedule:
    """Return a schedule with a number for every `per_epoch` in it that lacks one.

    Parameters
    ----------
    schedule : callable, int -> float
        Any function; npnet's are looked into.
    steps_per_epoch : int
        How many steps an epoch has.

    Returns
    -------
    callable
        A copy, or the schedule itself.

    Examples
    --------
    >>> with_steps_per_epoch(per_epoch(StepLR(0.5, 30)), 100)
    per_epoch(schedule=StepLR(lr=0.5, step_size=30, gamma=0.1), steps_per_epoch=100)
    """
    schedule = as_schedule("with_steps_per_epoch", "schedule", schedule)
    steps_per_epoch = whole_number("with_steps_per_epoch", "steps_per_epoch", steps_per_epoch, 1)
    fill = getattr(schedule, "with_steps_per_epoch", None)
    filled: Schedule = fill(steps_per_epoch) if fill else schedule
    return filled


def _decayed(lr: float, gamma: float, times: int) -> float:
    try:
        return lr * gamma**times
    except OverflowError:  # a float power raises where a product gives infinity
        return math.inf if lr > 0.0 else 0.0


def _between(low: float, high: float, weight: float) -> float:
    """Return the weighted mean, exact at both ends."""
    return low * (1.0 - weight) + high * weight
