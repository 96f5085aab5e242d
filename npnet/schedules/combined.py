"""Schedules made of others: one after the other, each on the rate of the last, after a warm-up."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Self

from npnet.arguments import whole_number
from npnet.errors import ArgumentError
from npnet.schedules.epochs import with_steps_per_epoch
from npnet.schedules.schedule import (
    PureSchedule,
    RecursiveSchedule,
    Schedule,
    after,
    base_rate,
    between,
)


class SequentialLR(PureSchedule):
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
    >>> from npnet.schedules import ExponentialLR, LinearLR
    >>> first = LinearLR(1.0, start_factor=0.25, total_iters=3)
    >>> schedule = SequentialLR([first, ExponentialLR(1.0, gamma=0.5)], milestones=[3])
    >>> [schedule(step) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(self, schedules: Sequence[Schedule], milestones: Sequence[int]) -> None:
        self.schedules = self._functions("schedules", schedules)
        milestones = self._sequence("milestones", milestones)
        if len(milestones) != len(schedules) - 1:
            raise ArgumentError(
                "SequentialLR expects milestones to be one fewer than schedules, "
                f"got {len(milestones)} milestones for {len(schedules)} schedules"
            )
        self.milestones: tuple[int, ...] = ()
        for i, step in enumerate(milestones):
            low = max(self.milestones, default=-1) + 1
            self.milestones += (whole_number(self, f"milestones[{i}]", step, low),)

    def _at(self, step: int) -> tuple[Schedule, int]:
        """Return the schedule of a step, and the step as that one counts."""
        i = bisect_right(self.milestones, step)
        return self.schedules[i], step - self.milestones[i - 1] if i else step

    def _rate(self, step: int) -> float:
        schedule, own = self._at(step)
        return schedule(own)

    def _after(self, previous: float, step: int) -> float:
        schedule, own = self._at(step)
        return after(schedule, previous, own) if own or not step else schedule(own)

    def _base(self) -> float | None:
        return base_rate(self.schedules[0])

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Fill in every part, see `per_epoch`."""
        return type(self)(filled(self.schedules, steps_per_epoch), self.milestones)


class ChainedScheduler(RecursiveSchedule):
    r"""Let several schedules act at every step, each on the rate that the one before it leaves.

    Factors multiply: of `StepLR`, `MultiStepLR`, `ExponentialLR`, `PolynomialLR`, `ConstantLR`,
    `LinearLR`, `MultiplicativeLR` and `CosineAnnealingLR` with ``eta_min=0`` (until its lowest
    rate) the rate is

    .. math:: \eta_k = \mathrm{lr} \prod_i \frac{\eta_k^{(i)}}{\mathrm{lr}}

    As in PyTorch the others set the rate and so undo what stands before them: `LambdaLR`,
    `CosineAnnealingWarmRestarts`, `CyclicLR`, `OneCycleLR` and plain functions. A product of any
    functions is ``lambda step: f(step) * g(step)``.

    Parameters
    ----------
    schedules : sequence of callables, int -> float
        At least one; all of the same base rate.

    Raises
    ------
    ArgumentError
        If the arguments are not that; on a call, if a factor rises from 0.

    References
    ----------
    ``torch.optim.lr_scheduler.ChainedScheduler``.

    Examples
    --------
    >>> from npnet.schedules import ConstantLR, ExponentialLR
    >>> first = ConstantLR(1.0, factor=0.125, total_iters=2)
    >>> schedule = ChainedScheduler([first, ExponentialLR(1.0, gamma=0.5)])
    >>> [schedule(step) for step in range(4)]
    [0.125, 0.0625, 0.25, 0.125]
    """

    def __init__(self, schedules: Sequence[Schedule]) -> None:
        self.schedules = self._functions("schedules", schedules)
        if not self.schedules:
            raise ArgumentError("ChainedScheduler expects at least one schedule, got none")
        found = (base_rate(schedule) for schedule in self.schedules)
        bases = dict.fromkeys(lr for lr in found if lr is not None)
        if len(bases) > 1:
            raise ArgumentError(
                "ChainedScheduler expects schedules of the same lr, got "
                f"{', '.join(map(str, bases))}; in a product one rate is enough"
            )
        super().__init__()

    def _after(self, previous: float, step: int) -> float:
        for schedule in self.schedules:
            previous = after(schedule, previous, step)
        return previous

    def _base(self) -> float | None:
        return next((lr for lr in map(base_rate, self.schedules) if lr is not None), None)

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Fill in every part, see `per_epoch`."""
        return type(self)(filled(self.schedules, steps_per_epoch))


class warmup(PureSchedule):
    r"""Put a rate that rises linearly in front of a schedule.

    .. math:: \eta_k = \begin{cases} \eta_0' \cdot ((1 - t) \, \mathrm{start\_factor} + t),
        \quad t = k / \mathrm{total\_iters} & k < \mathrm{total\_iters} \\
        \eta_{k - \mathrm{total\_iters}}' & \text{else} \end{cases}

    with :math:`\eta'` the schedule. It is a `LinearLR` and the schedule in a `SequentialLR`.

    Parameters
    ----------
    schedule : callable, int -> float
        What follows the warm-up, counting its own steps from 0.
    total_iters : int
        How many steps the warm-up has, at least 1.
    start_factor : float
        By what the schedule's first rate is multiplied at step 0, from 0 to 1.

    Raises
    ------
    ArgumentError
        If an argument is not that.

    References
    ----------
    Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017.
    https://arxiv.org/abs/1706.02677

    Examples
    --------
    >>> from npnet.schedules import ExponentialLR
    >>> schedule = warmup(ExponentialLR(1.0, gamma=0.5), total_iters=4, start_factor=0.0)
    >>> [schedule(step) for step in range(7)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, schedule: Schedule, total_iters: int = 5, start_factor: float = 1.0 / 3.0
    ) -> None:
        self.schedule = self._function("schedule", schedule)
        self.total_iters = whole_number(self, "total_iters", total_iters, 1)
        self.start_factor = self._number("start_factor", start_factor, 1)

    def _rate(self, step: int) -> float:
        if step >= self.total_iters:
            return self.schedule(step - self.total_iters)
        return self.schedule(0) * between(self.start_factor, 1.0, step / self.total_iters)

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Fill in what follows, see `per_epoch`."""
        schedule = with_steps_per_epoch(self.schedule, steps_per_epoch)
        return type(self)(schedule, self.total_iters, self.start_factor)


def filled(schedules: Sequence[Schedule], steps_per_epoch: int) -> list[Schedule]:
    """Return schedules that know how many steps an epoch has."""
    return [with_steps_per_epoch(schedule, steps_per_epoch) for schedule in schedules]
