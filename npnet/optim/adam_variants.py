"""NAdam, RAdam and Adamax, which differ from Adam in the first moment, the start, or the norm."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from npnet.ops import accumulate
from npnet.optim.adam import MOMENTS, adam_step
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.optimizer import Optimizer, Params
from npnet.optim.options import Betas, Common, Rate, number


class NAdam(Optimizer):
    """Adam with Nesterov's momentum.

    With gradient g (negated if `maximize`) and Adam's moments m, and v' = v / (1 - b2^t):
    mu_t = b1 (1 - 0.96^(t momentum_decay) / 2), P_t the product of all mu so far, and
    x <- x - lr ((1 - mu_t) g / (1 - P_t) + mu_(t+1) m / (1 - P_t mu_(t+1))) / (sqrt(v') + eps).

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Learning rate, not negative.
    betas : (float, float)
        b1 and b2, each from 0 to below 1; b1 may be a schedule.
    eps : float
        Keeps the divisor away from 0.
    weight_decay : float
        Factor of the L2 penalty's gradient.
    momentum_decay : float
        How fast mu grows to b1.
    decoupled_weight_decay : bool
        Take lr `weight_decay` x off, as `AdamW` does, instead of changing the gradient.
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
    Dozat, "Incorporating Nesterov Momentum into Adam", 2016; ``torch.optim.NAdam``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.NAdam([p], lr=0.5, momentum_decay=0.0)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data.round(4)
    array([0.4718], dtype=float32)
    """

    state_spec: ClassVar = {"mu_product": StateSpec(1.0, scalar=True), **MOMENTS}
    checks: ClassVar = {"momentum_decay": number(0)}

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        (beta1, beta2), decay = options["betas"], options["momentum_decay"]
        mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (t * decay)) for t in (at.step, at.step + 1))
        product = at.scalars["mu_product"] = at.scalars["mu_product"] * mu
        root = math.sqrt(1 - beta2**at.step)
        adam_step(
            at,
            options,
            rate=at.lr * root * mu_next / (1 - product * mu_next),
            gain=at.lr * root * (1 - mu) / (1 - product),
            eps=options["eps"] * root,
            decoupled=options["decoupled_weight_decay"],
        )


class RAdam(Optimizer):
    """Adam whose first steps, when the second moment is of few gradients, do without it.

    With Adam's m' and v', r_inf = 2 / (1 - b2) - 1 and r = r_inf - 2 t b2^t / (1 - b2^t): while
    r <= 5, x <- x - lr m'; then x <- x - lr m' l sqrt(1 - b2^t) / (sqrt(v) + eps), where
    l^2 = (r - 4) (r - 2) r_inf / ((r_inf - 4) (r_inf - 2) r).

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Learning rate, not negative.
    betas : (float, float)
        b1 and b2, each from 0 to below 1; b1 may be a schedule.
    eps : float
        Keeps the divisor away from 0.
    weight_decay : float
        Factor of the L2 penalty's gradient.
    decoupled_weight_decay : bool
        Take lr `weight_decay` x off, as `AdamW` does, instead of changing the gradient.
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
    Liu et al., arXiv:1908.03265; ``torch.optim.RAdam``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.RAdam([p], lr=0.5)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data
    array([-0.5], dtype=float32)
    """

    state_spec: ClassVar = MOMENTS

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        (beta1, beta2), t = options["betas"], at.step
        rate, left = at.lr / (1 - beta1**t), 1 - beta2**t
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / left
        decoupled = options["decoupled_weight_decay"]
        if length > 5:
            part = (length - 4) * (length - 2) * longest
            whole = (longest - 4) * (longest - 2) * length
            rate *= math.sqrt(left * part / whole)
            adam_step(at, options, rate=rate, eps=options["eps"], decoupled=decoupled)
            return
        x, g, decay = at.data, at.gradient(options), options["weight_decay"]
        if decay and not decoupled:
            g = g + x * decay
        for moment, new, beta in (("exp_avg", g, beta1), ("exp_avg_sq", g * g, beta2)):
            at.state[moment] *= beta
            at.state[moment] += new * (1 - beta)
        if decoupled:
            x *= 1 - at.lr * decay
        x -= at.state["exp_avg"] * rate


class Adamax(Optimizer):
    """Adam with the infinity norm: x <- x - lr m / ((1 - b1^t) u).

    With gradient g (negated if `maximize`, plus `weight_decay` times x) at step t:
    m <- b1 m + (1 - b1) g and u <- max(b2 u, |g| + eps).

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Learning rate, not negative.
    betas : (float, float)
        b1 and b2, each from 0 to below 1; b1 may be a schedule.
    eps : float
        Keeps the divisor away from 0.
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
    Kingma, Ba, arXiv:1412.6980, section 7.1; ``torch.optim.Adamax``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.Adamax([p], lr=0.5)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data.round(6)
    array([0.5], dtype=float32)
    """

    state_spec: ClassVar = {"exp_avg": StateSpec(), "exp_inf": StateSpec(non_negative=True)}

    def __init__(
        self,
        params: Params,
        lr: Rate = 2e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        beta1, beta2 = options["betas"]
        accumulate.adamax(
            at.data,
            at.gradient(options),
            at.state["exp_avg"],
            at.state["exp_inf"],
            beta1=beta1,
            beta2=beta2,
            rate=at.lr / (1 - beta1**at.step),
            eps=options["eps"],
            weight_decay=options["weight_decay"],
        )
