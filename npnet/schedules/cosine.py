"""Schedules that follow a cosine."""

from __future__ import annotations

import math

from npnet.arguments import whole_number
from npnet.schedules.schedule import PureSchedule, between


class CosineAnnealingLR(PureSchedule):
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
        return between(self.eta_min, self.lr, half_cosine(step / self.T_max))

    def _after(self, previous: float, step: int) -> float:
        if not step:
            return previous
        now, before = (half_cosine(k / self.T_max) for k in (step, step - 1))
        if (step - 1 - self.T_max) % (2 * self.T_max) == 0:  # PyTorch's rule after the lowest rate
            return previous + (self.lr - self.eta_min) * now
        return (previous - self.eta_min) * (now / before) + self.eta_min


class CosineAnnealingWarmRestarts(PureSchedule):
    r"""Follow half a cosine from `lr` down to `eta_min`, again and again, each time more slowly.

    .. math:: \eta_k = \mathrm{eta\_min} + \frac{1}{2} (\mathrm{lr} - \mathrm{eta\_min})
        \left(1 + \cos\left(\pi \frac{T_\mathrm{cur}}{T_i}\right)\right)

    with :math:`T_\mathrm{cur}` the steps since the last restart. The first period
    :math:`T_0` is `T_0` steps, and :math:`T_{i+1} = T_i \cdot \mathrm{T\_mult}`.

    Parameters
    ----------
    lr : float
        The rate after each restart, at least 0.
    T_0 : int
        How many steps the first period has, at least 1.
    T_mult : int
        By what a period is longer than the one before, at least 1.
    eta_min : float
        The rate that each period approaches, at least 0.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017.
    https://arxiv.org/abs/1608.03983; ``torch.optim.lr_scheduler.CosineAnnealingWarmRestarts``.

    Examples
    --------
    >>> schedule = CosineAnnealingWarmRestarts(1.0, T_0=2, T_mult=2)
    >>> [round(schedule(step), 3) for step in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """

    def __init__(self, lr: float, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> None:
        self.lr = self._number("lr", lr)
        self.T_0 = whole_number(self, "T_0", T_0, 1)
        self.T_mult = whole_number(self, "T_mult", T_mult, 1)
        self.eta_min = self._number("eta_min", eta_min)

    def _rate(self, step: int) -> float:
        period = self.T_0
        if self.T_mult == 1:
            step %= period
        while step >= period:
            step -= period
            period *= self.T_mult
        return between(self.eta_min, self.lr, half_cosine(step / period))


def half_cosine(part: float) -> float:
    """Return 1 at 0, falling to 0 at 1."""
    return (1.0 + math.cos(math.pi * part)) / 2.0
