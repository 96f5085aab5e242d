"""per_epoch, which lets a schedule count epochs in place of steps."""

from __future__ import annotations

from typing import Self

from npnet.arguments import refusal, whole_number
from npnet.errors import ArgumentError
from npnet.schedules.schedule import PureSchedule, Schedule, after, as_schedule, base_rate


class per_epoch(PureSchedule):
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
    >>> from npnet.schedules import ExponentialLR
    >>> schedule = per_epoch(ExponentialLR(1.0, gamma=0.5), steps_per_epoch=2)
    >>> [schedule(step) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    def __init__(self, schedule: Schedule, steps_per_epoch: int | None = None) -> None:
        self.schedule = self._function("schedule", schedule)
        if isinstance(schedule, per_epoch):
            raise refusal(self, "schedule", "a function of the epoch", schedule, "once is enough")
        self.steps_per_epoch = self._count("steps_per_epoch", steps_per_epoch)

    def _rate(self, step: int) -> float:
        return self.schedule(step // known_steps(self, self.steps_per_epoch))

    def _after(self, previous: float, step: int) -> float:
        epoch, rest = divmod(step, known_steps(self, self.steps_per_epoch))
        return previous if rest else after(self.schedule, previous, epoch)

    def _base(self) -> float | None:
        return base_rate(self.schedule)

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Fill in the number unless there is one."""
        filled = self.steps_per_epoch is not None
        return self if filled else type(self)(self.schedule, steps_per_epoch)


def known_steps(schedule: PureSchedule, steps_per_epoch: int | None) -> int:
    """Return the number of steps of an epoch that a schedule was told."""
    if steps_per_epoch is None:
        raise ArgumentError(
            f"{type(schedule).__name__} does not know how many steps an epoch has: "
            "steps_per_epoch=100 among its arguments says it; Trainer.fit knows it of arrays "
            "and of what has a len(), not of a generator"
        )
    return steps_per_epoch


def with_steps_per_epoch(schedule: Schedule, steps_per_epoch: int) -> Schedule:
    """Return a schedule with the number filled in where it counts epochs and lacks one.

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
    >>> from npnet.schedules import StepLR
    >>> with_steps_per_epoch(per_epoch(StepLR(0.5, 30)), 100)
    per_epoch(schedule=StepLR(lr=0.5, step_size=30, gamma=0.1), steps_per_epoch=100)
    """
    schedule = as_schedule("with_steps_per_epoch", "schedule", schedule)
    steps_per_epoch = whole_number("with_steps_per_epoch", "steps_per_epoch", steps_per_epoch, 1)
    fill = getattr(schedule, "with_steps_per_epoch", None)
    filled: Schedule = fill(steps_per_epoch) if fill else schedule
    return filled
