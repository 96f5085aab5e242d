"""Gradient descent with one rate for all parameters: SGD, and ASGD, which averages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from npnet.errors import ArgumentError
from npnet.ops import signs, update
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.optimizer import Optimizer, Params
from npnet.optim.options import Common, Rate, number


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    With gradient g (negated if `maximize`) and weight decay w: g <- g + w x; without momentum
    x <- x - lr g. With momentum m and dampening d the velocity is v = g in its first step, then
    v <- m v + (1 - d) g, and x <- x - lr v, or x <- x - lr (g + m v) with `nesterov`.

    With sparse gradients (``Embedding(sparse=True)``) only rows that occurred are stepped; with a
    momentum all are, for the velocities of the others go on.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Learning rate, not negative.
    momentum : float or schedule
        m.
    dampening, weight_decay : float
        d and w.
    nesterov : bool
        Nesterov's momentum; needs a momentum and no dampening.
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
    ``torch.optim.SGD``; Sutskever et al., ICML 2013, for the momentum.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.SGD([p], lr=0.5)
    >>> p.grad = np.array([1.0])
    >>> optimizer.step()
    >>> p.data
    array([0.5], dtype=float32)
    """

    takes_rows = True
    state_spec: ClassVar = {"momentum_buffer": StateSpec(when="momentum")}
    checks: ClassVar = {"dampening": number()}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: Rate = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def validate(self, options: dict[str, Any]) -> None:
        """Check what Nesterov's momentum needs."""
        if options["nesterov"] and (not options["momentum"] or options["dampening"] != 0):
            raise ArgumentError(
                "SGD expects a momentum and no dampening with nesterov=True, got "
                f"momentum={options['momentum']!r}, dampening={options['dampening']!r}"
            )

    def _by_rows(self, at: ParamSlice, options: Mapping[str, Any]) -> bool:
        return super()._by_rows(at, options) and not options["momentum"]

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        update.sgd(
            at.data,
            at.gradient(options),
            at.state["momentum_buffer"] if options["momentum"] else None,
            lr=at.lr,
            momentum=options["momentum"],
            dampening=options["dampening"],
            nesterov=options["nesterov"],
            weight_decay=options["weight_decay"],
            first="momentum_buffer" in at.fresh,
        )


class ASGD(Optimizer):
    """Averaged stochastic gradient descent.

    With gradient g (negated if `maximize`) and weight decay w:
    x <- (1 - lambd eta) x - eta (g + w x). The average a <- a + mu (x - a) is kept in the state
    as ``"ax"``. After step t, eta = lr / (1 + lambd lr t)^alpha and mu = 1 / max(1, t - t0); in the
    first step eta = lr and mu = 1.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Learning rate, not negative.
    lambd : float
        Decay of the parameters and of eta.
    alpha : float
        Power of eta's decay.
    t0 : float
        The step after which the average is more than the present value.
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
    Polyak, Juditsky, SIAM Journal on Control and Optimization 30 (1992); ``torch.optim.ASGD``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.ASGD([p], lr=0.5, lambd=0.0)
    >>> p.grad = np.array([1.0])
    >>> optimizer.step()
    >>> p.data
    array([0.5], dtype=float32)
    """

    state_spec: ClassVar = {
        "eta": StateSpec("lr", scalar=True),
        "mu": StateSpec(1.0, scalar=True),
        "ax": StateSpec(),
    }
    checks: ClassVar = {"lambd": number(0), "alpha": number(0), "t0": number()}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        lambd, eta = options["lambd"], at.scalars["eta"]
        signs.asgd(
            at.data,
            at.gradient(options),
            at.state["ax"],
            lr=eta,
            share=at.scalars["mu"],
            keep=1 - lambd * eta,
            weight_decay=options["weight_decay"],
        )
        at.scalars["eta"] = at.lr / (1 + lambd * at.lr * at.step) ** options["alpha"]
        at.scalars["mu"] = 1 / max(1.0, at.step - options["t0"])
