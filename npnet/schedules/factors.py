"""Schedules that multiply the rate by a factor which is given, or by what a function returns."""

from __future__ import annotations

from collections.abc import Callable

from npnet.arguments import real_number, whole_number
from npnet.schedules.schedule import FactorSchedule, RecursiveSchedule, between


class ConstantLR(FactorSchedule):
    r"""Multiply the rate by `factor` until step `total_iters`, and by 1 from then on.

    .. math:: \eta_k = \mathrm{lr} \cdot
        \begin{cases} \mathrm{factor} & k < \mathrm{total\_iters} \\ 1 & \text{else} \end{cases}

    Parameters
    ----------
    lr : float
        The rate from step `total_iters` on, at least 0.
    factor : float
        The factor of the first steps, from 0 to 1.
    total_iters : int
        The step that first has the whole rate, at least 1.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range.

    References
    ----------
    ``torch.optim.lr_scheduler.ConstantLR``.

    Examples
    --------
    >>> schedule = ConstantLR(0.5, factor=0.5, total_iters=2)
    >>> [schedule(step) for step in range(4)]
    [0.25, 0.25, 0.5, 0.5]
    """

    def __init__(self, lr: float, factor: float = 1.0 / 3.0, total_iters: int = 5) -> None:
        self.lr = self._number("lr", lr)
        self.factor = self._number("factor", factor, 1)
        self.total_iters = whole_number(self, "total_iters", total_iters, 1)

    def _factor(self, step: int) -> float:
        return self.factor if step < self.total_iters else 1.0


class LinearLR(FactorSchedule):
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

    def _factor(self, step: int) -> float:
        weight = min(step, self.total_iters) / self.total_iters
        return between(self.start_factor, self.end_factor, weight)


class LambdaLR(FactorSchedule):
    r"""Multiply the rate by a function of the step.

    .. math:: \eta_k = \mathrm{lr} \cdot f(k)

    Parameters
    ----------
    lr : float
        The rate that the factors multiply, at least 0.
    lr_lambda : callable, int -> float
        The function :math:`f` of the step, counted from 0.

    Raises
    ------
    ArgumentError
        If a parameter is not that; on a call, if the function returns no finite number.

    References
    ----------
    ``torch.optim.lr_scheduler.LambdaLR``.

    Examples
    --------
    >>> schedule = LambdaLR(0.5, lambda step: 1 / (1 + step))
    >>> [schedule(step) for step in (0, 1, 4)]
    [0.5, 0.25, 0.1]
    """

    def __init__(self, lr: float, lr_lambda: Callable[[int], float]) -> None:
        self.lr = self._number("lr", lr)
        self.lr_lambda = self._function("lr_lambda", lr_lambda)

    def _factor(self, step: int) -> float:
        return real_number(self, f"lr_lambda({step})", self.lr_lambda(step))

    def _after(self, previous: float, step: int) -> float:
        return self._rate(step)  # PyTorch's sets the rate too


class MultiplicativeLR(RecursiveSchedule):
    r"""Multiply the rate of the step before by a function of the step.

    .. math:: \eta_k = \mathrm{lr} \prod_{i=1}^{k} f(i)

    Behind a warm-up, too, it starts from `lr`, where PyTorch's goes on from the rate of the last
    step before.

    Products are kept: the function is called once for each step, and the first call of a later
    step calls it for all those before.

    Parameters
    ----------
    lr : float
        The rate of the first step, at least 0.
    lr_lambda : callable, int -> float
        The function :math:`f` of the step; that of step 0 does not count.

    Raises
    ------
    ArgumentError
        If a parameter is not that; on a call, if the function returns no finite number.

    References
    ----------
    ``torch.optim.lr_scheduler.MultiplicativeLR``.

    Examples
    --------
    >>> schedule = MultiplicativeLR(0.5, lambda step: 0.5 if step % 2 else 1.0)
    >>> [schedule(step) for step in range(5)]
    [0.5, 0.25, 0.25, 0.125, 0.125]
    """

    def __init__(self, lr: float, lr_lambda: Callable[[int], float]) -> None:
        self.lr = self._number("lr", lr)
        self.lr_lambda = self._function("lr_lambda", lr_lambda)
        super().__init__()

    def _after(self, previous: float, step: int) -> float:
        if not step:
            return previous
        return previous * real_number(self, f"lr_lambda({step})", self.lr_lambda(step))
