"""Schedules that go up and down, with the momentum that goes down and up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from npnet.arguments import choice, flag, real_number, whole_number
from npnet.errors import ArgumentError
from npnet.schedules.cosine import half_cosine
from npnet.schedules.epochs import known_steps
from npnet.schedules.schedule import PureSchedule, between, power


class Cycle(PureSchedule):
    """A rate and a momentum that go opposite ways: a subclass says how."""

    cycle_momentum: bool
    base_momentum: float
    max_momentum: float

    def _set_momentum(self, cycle: bool, base: float, highest: float) -> None:
        """Check and keep the arguments about the momentum."""
        self.cycle_momentum = flag(self, "cycle_momentum", cycle)
        self.base_momentum = self._number("base_momentum", base)
        self.max_momentum = self._number("max_momentum", highest)

    def _momentum(self, step: int) -> float:
        """Return the momentum of a step."""
        raise NotImplementedError

    @property
    def momentum(self) -> CycleMomentum:
        """The momentum that belongs to the rate: a function of the step, like the rate itself."""
        return CycleMomentum(self)


class CycleMomentum(PureSchedule):
    """The momentum that belongs to a `CyclicLR` or a `OneCycleLR`."""

    def __init__(self, cycle: Cycle) -> None:
        if not cycle.cycle_momentum:
            raise ArgumentError(f"{cycle!r} has no momentum; cycle_momentum=True gives it one")
        self.cycle = cycle

    def _rate(self, step: int) -> float:
        return self.cycle._momentum(step)

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Fill in the cycle, see `per_epoch`."""
        return type(self)(self.cycle.with_steps_per_epoch(steps_per_epoch))

    def __repr__(self) -> str:
        return f"{self.cycle!r}.momentum"


class CyclicLR(Cycle):
    r"""Go from `base_lr` up to `max_lr` and down again, in straight lines, again and again.

    .. math:: \eta_k = \mathrm{base\_lr} + (\mathrm{max\_lr} - \mathrm{base\_lr}) \, h_k s_k,
        \quad m_k = \mathrm{max\_momentum}
        - (\mathrm{max\_momentum} - \mathrm{base\_momentum}) \, h_k s_k

    The height :math:`h` rises from 0 to 1 within `step_size_up` steps and falls to 0 within
    `step_size_down`. The scale :math:`s` is 1 for ``"triangular"``, :math:`2^{1 - c}` in cycle
    :math:`c = 1, 2, ...` for ``"triangular2"``, :math:`\gamma^k` for ``"exp_range"``.

    Parameters
    ----------
    base_lr, max_lr : float
        The rates at the bottom and at the top, at least 0.
    step_size_up : int
        How many steps lead up, at least 1.
    step_size_down : int, optional
        How many lead down; `step_size_up` unless given.
    mode : {"triangular", "triangular2", "exp_range"}
        The scale; without effect where `scale_fn` is given.
    gamma : float
        The factor of ``"exp_range"``, at least 0.
    scale_fn : callable, float -> float, optional
        A scale of one's own.
    scale_mode : {"cycle", "iterations"}
        Whether `scale_fn` takes the number of the cycle, from 1, or that of the step, from 0.
    cycle_momentum : bool
        Whether there is a momentum.
    base_momentum, max_momentum : float
        The momentum at the highest and at the lowest rate, at least 0.

    Attributes
    ----------
    momentum : callable, int -> float
        The momentum :math:`m`, for the optimizer: ``SGD(params, lr=cycle,
        momentum=cycle.momentum)``.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range; on a call, if `scale_fn` returns no finite number.

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.
    https://arxiv.org/abs/1506.01186; ``torch.optim.lr_scheduler.CyclicLR``.

    Examples
    --------
    >>> cycle = CyclicLR(0.0, 1.0, step_size_up=2, mode="triangular2")
    >>> [cycle(step) for step in range(8)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25]
    >>> [round(cycle.momentum(step), 3) for step in range(4)]
    [0.9, 0.85, 0.8, 0.85]
    """

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
    ) -> None:
        self.base_lr = self._number("base_lr", base_lr)
        self.max_lr = self._number("max_lr", max_lr)
        self.step_size_up = whole_number(self, "step_size_up", step_size_up, 1)
        self.step_size_down = self._count("step_size_down", step_size_down, 0)
        self.mode = choice(self, "mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = self._number("gamma", gamma)
        self.scale_fn = None if scale_fn is None else self._function("scale_fn", scale_fn)
        self.scale_mode = choice(self, "scale_mode", scale_mode, ("cycle", "iterations"))
        self._set_momentum(cycle_momentum, base_momentum, max_momentum)

    def _rate(self, step: int) -> float:
        return between(self.base_lr, self.max_lr, self._height(step))

    def _momentum(self, step: int) -> float:
        return between(self.max_momentum, self.base_momentum, self._height(step))

    def _height(self, step: int) -> float:
        """Return the part of the way from the bottom to the top, with its scale."""
        up, down = self.step_size_up, self.step_size_down
        down = up if down is None else down
        cycle, place = divmod(step, up + down)
        height = place / up if place <= up else (up + down - place) / down
        return height * self._scale(step, cycle + 1)

    def _scale(self, step: int, cycle: int) -> float:
        if self.scale_fn is not None:
            at = cycle if self.scale_mode == "cycle" else step
            return real_number(self, f"scale_fn({at})", self.scale_fn(at))
        if self.mode == "triangular2":
            return power(0.5, cycle - 1)
        return power(self.gamma, step) if self.mode == "exp_range" else 1.0


class OneCycleLR(Cycle):
    r"""Go up to `max_lr` once and then down far below the first rate: the 1cycle policy.

    The rate begins with ``max_lr / div_factor``, reaches `max_lr` after the part `pct_start` of
    all steps and ends with ``max_lr / div_factor / final_div_factor`` at the last one. With
    `three_phase` it first comes down as it went up. The momentum goes from `max_momentum` to
    `base_momentum` and back meanwhile. From the start :math:`a` to the end :math:`b` of a phase,

    .. math:: \eta = b + \frac{a - b}{2} (1 + \cos \pi t)
        \quad\text{or}\quad \eta = a + (b - a) \, t,
        \quad t = \frac{k - k_a}{k_b - k_a}

    Parameters
    ----------
    max_lr : float
        The highest rate, at least 0.
    total_steps : int, optional
        How many steps the cycle has, at least 1; unless given, `epochs` times `steps_per_epoch`.
    epochs : int, optional
        How many epochs the cycle has, at least 1.
    steps_per_epoch : int, optional
        How many steps an epoch has: ``len(loader)``. `Trainer.fit` knows it and fills it in.
    pct_start : float
        The part of the steps that leads up, from 0 to 1.
    anneal_strategy : {"cos", "linear"}
        The shape of each phase.
    cycle_momentum : bool
        Whether there is a momentum.
    base_momentum, max_momentum : float
        The momentum at the highest rate and at both ends, at least 0.
    div_factor : float
        By what the first rate is lower than the highest, above 0.
    final_div_factor : float
        By what the last rate is lower than the first, above 0.
    three_phase : bool
        Whether a phase of its own leads from the first rate to the last.

    Attributes
    ----------
    momentum : callable, int -> float
        The momentum, for the optimizer: ``SGD(params, lr=cycle, momentum=cycle.momentum)``.

    Raises
    ------
    ArgumentError
        If a parameter is out of its range; on a call, if the step is beyond the cycle.

    References
    ----------
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2019. https://arxiv.org/abs/1708.07120;
    ``torch.optim.lr_scheduler.OneCycleLR``.

    Examples
    --------
    >>> cycle = OneCycleLR(1.0, total_steps=10, pct_start=0.5, anneal_strategy="linear")
    >>> [round(cycle(step), 3) for step in range(10)]
    [0.04, 0.28, 0.52, 0.76, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    >>> [round(cycle.momentum(step), 3) for step in (0, 2, 4, 9)]
    [0.95, 0.9, 0.85, 0.95]
    """

    def __init__(
        self,
        max_lr: float,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        self.max_lr = self._number("max_lr", max_lr)
        self.total_steps = self._count("total_steps", total_steps)
        self.epochs = self._count("epochs", epochs)
        self.steps_per_epoch = self._count("steps_per_epoch", steps_per_epoch)
        if total_steps is None and epochs is None:
            raise ArgumentError("OneCycleLR expects total_steps or epochs, got neither")
        self.pct_start = self._number("pct_start", pct_start, 1)
        self.anneal_strategy = choice(self, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self._set_momentum(cycle_momentum, base_momentum, max_momentum)
        self.div_factor = self._number("div_factor", div_factor, above=0)
        self.final_div_factor = self._number("final_div_factor", final_div_factor, above=0)
        self.three_phase = flag(self, "three_phase", three_phase)

    def _rate(self, step: int) -> float:
        first = self.max_lr / self.div_factor
        return self._anneal(step, first, self.max_lr, first / self.final_div_factor)

    def _momentum(self, step: int) -> float:
        return self._anneal(step, self.max_momentum, self.base_momentum, self.max_momentum)

    def _anneal(self, step: int, first: float, top: float, last: float) -> float:
        """Return the value of a step on the way from the first by the top to the last value."""
        total = self._total()
        if step > total:
            raise ArgumentError(
                f"OneCycleLR has {total} steps, and this is step {step}; "
                "make its total_steps those of the whole training"
            )
        step = min(step, total - 1)  # behind the last step the optimizer's rate may be read
        ends = [self.pct_start * total - 1]
        values = [first, top, last]
        if self.three_phase:
            ends.append(2 * self.pct_start * total - 2)
            values.insert(2, first)
        ends.append(total - 1)
        phase = next((i for i, end in enumerate(ends) if step <= end), len(ends) - 1)
        start, end = ends[phase - 1] if phase else 0.0, ends[phase]
        part = (step - start) / (end - start) if end != start else 1.0
        a, b = values[phase : phase + 2]
        if self.anneal_strategy == "linear":
            return a + (b - a) * part
        return b + (a - b) * half_cosine(part)

    def _total(self) -> int:
        if self.total_steps is not None:
            return self.total_steps
        return (self.epochs or 0) * known_steps(self, self.steps_per_epoch)

    def with_steps_per_epoch(self, steps_per_epoch: int) -> Self:
        """Fill in the number unless it is known or not needed."""
        if self.total_steps is not None or self.steps_per_epoch is not None:
            return self
        return self.from_config({**self.get_config(), "steps_per_epoch": steps_per_epoch})
