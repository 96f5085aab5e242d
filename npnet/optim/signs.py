"""Rprop and Lion, which look at the signs of gradients and not at their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from npnet.arguments import refusal
from npnet.ops import signs
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.optimizer import Optimizer, Params
from npnet.optim.options import Betas, Common, Rate, number, several


class Rprop(Optimizer):
    """Resilient backpropagation, for full batches: x <- x - sign(g) s, each number with its own s.

    Where the gradient g (negated if `maximize`) has the sign of the last step's, s is multiplied by
    the larger of `etas`; where the sign changed, by the smaller one, and g counts as 0 in this step
    and as the last one in the next; s stays within `step_sizes`.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        s before the first step.
    etas : (float, float)
        One factor between 0 and 1, and one above 1.
    step_sizes : (float, float)
        The least and the largest s.
    maximize : bool
        Climb instead of descend.
    **common
        `clip_norm`, `clip_value` and `constraints`, see `Optimizer`.

    Raises
    ------
    ArgumentError
        If an option is out of range.

    References
    ----------
    Riedmiller, Braun, ICNN 1993; Igel, Huesken, 2000, for this variant; ``torch.optim.Rprop``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.Rprop([p], lr=0.5)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data
    array([0.5], dtype=float32)
    """

    state_spec: ClassVar = {"prev": StateSpec(), "step_size": StateSpec("lr", non_negative=True)}
    checks: ClassVar = {
        "etas": several("two numbers", number(above=0, below=1), number(above=1)),
        "step_sizes": several("two numbers", number(0), number(0)),
    }

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def validate(self, options: dict[str, Any]) -> None:
        """Check the order of the limits."""
        least, most = options["step_sizes"]
        if least > most:
            raise refusal(self, "step_sizes", "the smaller one first", options["step_sizes"])

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        (minus, plus), (least, most) = options["etas"], options["step_sizes"]
        signs.rprop(
            at.data,
            at.gradient(options),
            at.state["prev"],
            at.state["step_size"],
            minus=minus,
            plus=plus,
            least=least,
            most=most,
        )


class Lion(Optimizer):
    """Lion: x <- x - lr (sign(b1 m + (1 - b1) g) + weight_decay x), m <- b2 m + (1 - b2) g.

    g is the gradient, negated if `maximize`. A rate 3 to 10 times smaller than Adam's suits it, and
    a weight decay that many times larger.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Learning rate, not negative.
    betas : (float, float)
        b1 and b2, each from 0 to below 1; b1 may be a schedule.
    weight_decay : float
        Share of x that is taken off, times the learning rate.
    maximize : bool
        Climb instead of descend.
    **common
        `clip_norm`, `clip_value` and `constraints`, see `Optimizer`.

    Raises
    ------
    ArgumentError
        If an option is out of range.

    References
    ----------
    Chen et al., arXiv:2302.06675; ``keras.optimizers.Lion``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.Lion([p], lr=0.5)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data
    array([0.5], dtype=float32)
    """

    state_spec: ClassVar = {"exp_avg": StateSpec()}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        beta1, beta2 = options["betas"]
        signs.lion(
            at.data,
            at.gradient(options),
            at.state["exp_avg"],
            lr=at.lr,
            beta1=beta1,
            beta2=beta2,
            keep=1 - at.lr * options["weight_decay"],
        )
