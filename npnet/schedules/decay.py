"""Schedules that lower the rate: by a factor at certain steps, or along a power."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from npnet.arguments import items, refusal, whole_number
from npnet.schedules.schedule import FactorSchedule, power


class StepLR(FactorSchedule):
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

    def _factor(self, step: int) -> float:
        return power(self.gamma, step // self.step_size)


class MultiStepLR(FactorSchedule):
    r"""Multiply the rate by `gamma` at each of some steps.

    .. math:: \eta_k = \mathrm{lr} \cdot \gamma^{\,\#\{m \in \mathrm{milestones} : m \le k\}}

    Parameters
    ----------
    lr : float
        The rate of the first steps, at least 0.
    milestones : iterable of int
        The steps that first have a new rate, none negative; kept in ascending order. A step that
        occurs twice multiplies twice.
    gamma : float
        The factor, at least 0.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range.

    References
    ----------
    ``torch.optim.lr_scheduler.MultiStepLR``.

    Examples
    --------
    >>> schedule = MultiStepLR(0.5, milestones=[30, 80], gamma=0.1)
    >>> [round(schedule(step), 6) for step in (0, 29, 30, 79, 80)]
    [0.5, 0.5, 0.05, 0.05, 0.005]
    """

    def __init__(self, lr: float, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.lr = self._number("lr", lr)
        if isinstance(milestones, dict | str | bytes):
            raise refusal(self, "milestones", "a list", milestones)
        steps = items(self, "milestones", milestones)
        checked = (whole_number(self, f"milestones[{i}]", m, 0) for i, m in enumerate(steps))
        self.milestones: tuple[int, ...] = tuple(sorted(checked))
        self.gamma = self._number("gamma", gamma)

    def _factor(self, step: int) -> float:
        return power(self.gamma, bisect_right(self.milestones, step))


class ExponentialLR(FactorSchedule):
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

    def _factor(self, step: int) -> float:
        return power(self.gamma, step)


class PolynomialLR(FactorSchedule):
    r"""Lower the rate to 0 along a power, within `total_iters` steps, and leave it there.

    .. math:: \eta_k = \mathrm{lr} \left(1 -
        \frac{\min(k, \mathrm{total\_iters})}{\mathrm{total\_iters}}\right)^{\mathrm{power}}

    Parameters
    ----------
    lr : float
        The rate of the first step, at least 0.
    total_iters : int
        The step that first has the rate 0, at least 1.
    power : float
        At least 0; 1 is a straight line.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range.

    References
    ----------
    ``torch.optim.lr_scheduler.PolynomialLR``.

    Examples
    --------
    >>> schedule = PolynomialLR(0.5, total_iters=4, power=2.0)
    >>> [schedule(step) for step in range(6)]
    [0.5, 0.28125, 0.125, 0.03125, 0.0, 0.0]
    """

    def __init__(self, lr: float, total_iters: int = 5, power: float = 1.0) -> None:
        self.lr = self._number("lr", lr)
        self.total_iters = whole_number(self, "total_iters", total_iters, 1)
        self.power = self._number("power", power)

    def _factor(self, step: int) -> float:
        left = self.total_iters - min(step, self.total_iters)
        return power(left / self.total_iters, self.power)
