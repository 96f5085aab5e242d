"""RMSprop, Adagrad and Adadelta, which divide by the root of accumulated squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from npnet.arguments import flag
from npnet.ops import accumulate
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.optimizer import Optimizer, Params
from npnet.optim.options import Common, Rate, number


class RMSprop(Optimizer):
    """RMSprop: x <- x - lr g / (sqrt(s) + eps).

    With gradient g (negated if `maximize`, plus `weight_decay` times x): s <- a s + (1 - a) g^2.
    With `centered`, the root is of s - m^2 with m <- a m + (1 - a) g. With a momentum the step is
    lr times v <- momentum v + g / (sqrt(s) + eps).

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Learning rate, not negative.
    alpha : float
        a, from 0 to 1.
    eps : float
        Keeps the divisor away from 0.
    weight_decay : float
        Factor of the L2 penalty's gradient.
    momentum : float or schedule
        Factor of the last step's velocity.
    centered : bool
        Divide by an estimate of the standard deviation.
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
    Tieleman, Hinton, Coursera lecture 6.5, 2012; Graves, arXiv:1308.0850, for the centered form;
    ``torch.optim.RMSprop``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.RMSprop([p], lr=0.05)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data.round(6)
    array([0.5], dtype=float32)
    """

    state_spec: ClassVar = {
        "square_avg": StateSpec(non_negative=True),
        "grad_avg": StateSpec(when="centered"),
        "momentum_buffer": StateSpec(when="momentum"),
    }
    checks: ClassVar = {"alpha": number(0, 1), "centered": flag}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: Rate = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        accumulate.rmsprop(
            at.data,
            at.gradient(options),
            at.state["square_avg"],
            at.state["grad_avg"] if options["centered"] else None,
            at.state["momentum_buffer"] if options["momentum"] else None,
            lr=at.lr,
            keep=options["alpha"],
            gain=1 - options["alpha"],
            eps=options["eps"],
            momentum=options["momentum"],
            weight_decay=options["weight_decay"],
        )


class Adagrad(Optimizer):
    """Adagrad: x <- x - lr g / ((1 + (t - 1) lr_decay) (sqrt(s) + eps)).

    With gradient g (negated if `maximize`, plus `weight_decay` times x) at step t: s <- s + g^2.
    With sparse gradients (``Embedding(sparse=True)``) only rows that occurred are stepped.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Learning rate, not negative.
    lr_decay : float
        Decay of the rate.
    weight_decay : float
        Factor of the L2 penalty's gradient.
    initial_accumulator_value : float
        s before the first step.
    eps : float
        Keeps the divisor away from 0.
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
    Duchi, Hazan, Singer, JMLR 12 (2011); ``torch.optim.Adagrad``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.Adagrad([p], lr=0.5)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data
    array([0.5], dtype=float32)
    """

    takes_rows: ClassVar[bool] = True
    state_spec: ClassVar = {"sum": StateSpec("initial_accumulator_value", non_negative=True)}
    checks: ClassVar = {"lr_decay": number(0), "initial_accumulator_value": number(0)}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        accumulate.rmsprop(
            at.data,
            at.gradient(options),
            at.state["sum"],
            None,
            None,
            lr=at.lr / (1 + (at.step - 1) * options["lr_decay"]),
            keep=1.0,
            gain=1.0,
            eps=options["eps"],
            momentum=0.0,
            weight_decay=options["weight_decay"],
        )


class Adadelta(Optimizer):
    """Adadelta: x <- x - lr d, with d = g sqrt(u + eps) / sqrt(s + eps).

    With gradient g (negated if `maximize`, plus `weight_decay` times x): first
    s <- rho s + (1 - rho) g^2, and after d is known u <- rho u + (1 - rho) d^2.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Factor of the steps, not negative.
    rho : float
        Decay of both averages, from 0 to 1.
    eps : float
        Keeps the divisor away from 0, and the first steps.
    weight_decay : float
        Factor of the L2 penalty's gradient.
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
    Zeiler, arXiv:1212.5701; ``torch.optim.Adadelta``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.Adadelta([p])
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data.round(4)
    array([0.9968], dtype=float32)
    """

    state_spec: ClassVar = {
        "square_avg": StateSpec(non_negative=True),
        "acc_delta": StateSpec(non_negative=True),
    }
    checks: ClassVar = {"rho": number(0, 1)}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        accumulate.adadelta(
            at.data,
            at.gradient(options),
            at.state["square_avg"],
            at.state["acc_delta"],
            lr=at.lr,
            rho=options["rho"],
            eps=options["eps"],
            weight_decay=options["weight_decay"],
        )
