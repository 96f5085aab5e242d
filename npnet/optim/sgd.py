"""SGD, stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from npnet.arguments import flag, real_number
from npnet.errors import ArgumentError
from npnet.ops import update
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.optimizer import Optimizer, Params, Rate


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
    momentum, dampening, weight_decay : float
        m, d and w.
    nesterov : bool
        Nesterov's momentum; needs a momentum and no dampening.
    maximize : bool
        Climb instead of descend.

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

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "momentum": momentum, "dampening": dampening,
            "weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def validate(self, options: dict[str, Any]) -> None:
        """Check the ranges."""
        for name in ("momentum", "weight_decay"):
            options[name] = real_number(self, name, options[name], 0)
        options["dampening"] = real_number(self, "dampening", options["dampening"])
        for name in ("nesterov", "maximize"):
            options[name] = flag(self, name, options[name])
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
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
            -at.grad if options["maximize"] else at.grad,
            at.state["momentum_buffer"] if options["momentum"] else None,
            lr=at.lr,
            momentum=options["momentum"],
            dampening=options["dampening"],
            nesterov=options["nesterov"],
            weight_decay=options["weight_decay"],
            first="momentum_buffer" in at.fresh,
        )
