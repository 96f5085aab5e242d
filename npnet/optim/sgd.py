"""SGD, stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from npnet.arguments import real_number
from npnet.errors import ArgumentError
from npnet.ops import update
from npnet.optim.optimizer import Optimizer, Params, Rate, in_range
from npnet.optim.state import Stretch


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    With gradient g (negated if `maximize`) and weight decay w: g <- g + w x; without momentum
    x <- x - lr g. With momentum m and dampening d the velocity is v = g in the first step, then
    v <- m v + (1 - d) g, and x <- x - lr v, or x <- x - lr (g + m v) with `nesterov`.

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

    def validate(self, options: Mapping[str, Any]) -> None:
        """Check the ranges."""
        for name in ("momentum", "weight_decay"):
            in_range(self, name, options[name])
        real_number(self, "dampening", options["dampening"])
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ArgumentError(
                "SGD expects a momentum and no dampening with nesterov=True, got "
                f"momentum={options['momentum']!r}, dampening={options['dampening']!r}"
            )

    def state_names(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the velocity's name if there is a momentum."""
        return ("momentum_buffer",) if options["momentum"] else ()

    def update(self, at: Stretch, options: Mapping[str, Any]) -> None:
        """Do one step."""
        velocity = at.state["momentum_buffer"] if options["momentum"] else None
        grad = -at.grad if options["maximize"] else at.grad
        hyper = {k: v for k, v in options.items() if k not in ("params", "lr", "maximize")}
        update.sgd(at.data, grad, velocity, lr=at.lr, first=at.step == 1, **hyper)
