"""Learning-rate schedules: pure functions of the step.

``schedule(k)`` is the rate of optimizer step `k`, counted from 0; the optimizer owns the count.
Any callable from an int to a float will do; the classes here bear PyTorch's names and arguments,
take the base rate first and give the rates that PyTorch's schedulers give when they are stepped
after every optimizer step.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, TypeAlias

from npnet.errors import ArgumentError, NameTypoError

Schedule: TypeAlias = Callable[[int], float]
"""What an optimizer accepts in place of a rate: a function of the step, counted from 0."""


class _PureSchedule:
    """What the schedules share: arguments are set once, and shown and compared by value.

    This is what a frozen dataclass does, without the milliseconds that it costs at import.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

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
        if not _is_integer(step) or step < 0:
            raise ArgumentError(
                f"{type(self).__name__}: step must be a non-negative integer, got {step!r}"
            )
        return self._rate(int(step))

    def _rate(self, step: int) -> float:
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__match_args__ or hasattr(self, name):
            kind = type(self).__name__
            raise NameTypoError(f"a schedule cannot be changed; make a new {kind} to set {name!r}")
        object.__setattr__(self, name, value)

    def _arguments(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _PureSchedule):
            return NotImplemented
        return type(self) is type(other) and self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self), self._arguments()))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments()  # copies and pickles are made anew

    def __repr__(self) -> str:
        pairs = zip(self.__match_args__, self._arguments(), strict=True)
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"


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

    __slots__ = __match_args__ = ("lr", "step_size", "gamma")

    def __init__(self, lr: float, step_size: int, gamma: float = 0.1) -> None:
        self.lr = _real(self, "lr", lr)
        self.step_size = _count(self, "step_size", step_size)
        self.gamma = _real(self, "gamma", gamma)

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

    __slots__ = __match_args__ = ("lr", "gamma")

    def __init__(self, lr: float, gamma: float) -> None:
        self.lr = _real(self, "lr", lr)
        self.gamma = _real(self, "gamma", gamma)

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

    __slots__ = __match_args__ = ("lr", "T_max", "eta_min")

    def __init__(self, lr: float, T_max: int, eta_min: float = 0.0) -> None:
        self.lr = _real(self, "lr", lr)
        self.T_max = _count(self, "T_max", T_max)
        self.eta_min = _real(self, "eta_min", eta_min)

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

    __slots__ = __match_args__ = ("lr", "start_factor", "end_factor", "total_iters")

    def __init__(
        self,
        lr: float,
        start_factor: float = 1.0 / 3.0,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        self.lr = _real(self, "lr", lr)
        self.start_factor = _real(self, "start_factor", start_factor, above_zero=True, most=1.0)
        self.end_factor = _real(self, "end_factor", end_factor, most=1.0)
        self.total_iters = _count(self, "total_iters", total_iters)

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

    __slots__ = __match_args__ = ("schedules", "milestones")

    def __init__(self, schedules: Sequence[Schedule], milestones: Sequence[int]) -> None:
        self.schedules: tuple[Schedule, ...] = _items(self, "schedules", schedules)
        for schedule in self.schedules:
            if not callable(schedule):
                raise ArgumentError(
                    "SequentialLR: schedules must be functions of the step (for a constant rate "
                    f"use `lambda step: rate`), got {schedule!r} among them"
                )
        steps = _items(self, "milestones", milestones)
        if len(steps) != len(self.schedules) - 1:
            raise ArgumentError(
                "SequentialLR: milestones must be one fewer than schedules, "
                f"got {len(steps)} milestones for {len(self.schedules)} schedules"
            )
        for before, step in zip((-1, *steps), steps, strict=False):
            if not _is_integer(step) or step <= before:
                raise ArgumentError(
                    "SequentialLR: milestones must be non-negative integers, each greater than "
                    f"the one before, got {steps!r}"
                )
        self.milestones: tuple[int, ...] = tuple(map(int, steps))

    def _rate(self, step: int) -> float:
        i = bisect_right(self.milestones, step)
        return self.schedules[i](step - self.milestones[i - 1] if i else step)


def _decayed(lr: float, gamma: float, times: int) -> float:
    try:
        return lr * gamma**times
    except OverflowError:  # a float power raises where a product gives infinity
        return math.inf if lr > 0.0 else 0.0


def _between(low: float, high: float, weight: float) -> float:
    """Return the weighted mean, exact at both ends."""
    return low * (1.0 - weight) + high * weight


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _real(
    schedule: Any, name: str, value: Any, *, above_zero: bool = False, most: float = math.inf
) -> float:
    """Return a finite number from 0 to `most` as a Python float."""
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not (math.isfinite(number) and 0.0 <= number <= most) or (above_zero and number == 0.0):
        least = "above 0" if above_zero else "at least 0"
        bounds = least if most == math.inf else f"{least} and at most {most:g}"
        raise ArgumentError(
            f"{type(schedule).__name__}: {name} must be a finite number {bounds}, got {value!r}"
        )
    return number


def _count(schedule: Any, name: str, value: Any) -> int:
    """Return a positive integer as a Python int."""
    if not _is_integer(value) or value < 1:
        raise ArgumentError(
            f"{type(schedule).__name__}: {name} must be a positive integer, got {value!r}"
        )
    return int(value)


def _items(schedule: Any, name: str, value: Any) -> tuple[Any, ...]:
    """Return what is in a sequence, or in any other iterable, as a tuple."""
    if not isinstance(value, Iterable):
        raise ArgumentError(f"{type(schedule).__name__}: {name} must be a sequence, got {value!r}")
    return tuple(value)
