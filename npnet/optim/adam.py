"""Adam and AdamW, which scale each step by running moments of the gradient, and SparseAdam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

from npnet.ops import update
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.optimizer import Optimizer, Params
from npnet.optim.options import Betas, Common, Rate, number

MOMENTS = {"exp_avg": StateSpec(), "exp_avg_sq": StateSpec(non_negative=True)}
"""State of the optimizers whose names end with Adam."""


def adam_step(
    at: ParamSlice,
    options: Mapping[str, Any],
    *,
    rate: float,
    eps: float,
    gain: float = 0.0,
    peak: str | None = None,
    decoupled: bool = False,
) -> None:
    """Renew both moments and step by (rate m + gain g) / (sqrt(v) + eps), see `npnet.ops.update`.

    Parameters
    ----------
    at, options
        What `Optimizer.update` was given.
    rate, eps, gain : float
        With the corrections for the first steps in them.
    peak : str, optional
        Name of the state that keeps the largest v, for AMSGrad.
    decoupled : bool
        Whether `weight_decay` shrinks the parameters instead of changing the gradient.
    """
    beta1, beta2 = options["betas"]
    decay = options.get("weight_decay", 0.0)
    update.adam(
        at.data,
        at.gradient(options),
        at.state["exp_avg"],
        at.state["exp_avg_sq"],
        None if peak is None else at.state[peak],
        beta1=beta1,
        beta2=beta2,
        rate=rate,
        gain=gain,
        eps=eps,
        keep=1 - at.lr * decay if decoupled else 1.0,
        weight_decay=0.0 if decoupled else decay,
    )


class Adam(Optimizer):
    """Adam: x <- x - lr m' / (sqrt(v') + eps).

    With gradient g (negated if `maximize`, plus `weight_decay` times x) at step t:
    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, m' = m / (1 - b1^t), v' = v / (1 - b2^t). With
    `amsgrad`, v' uses the largest v so far.

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
    amsgrad : bool
        Use the largest second moment so far.
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
    Kingma, Ba, arXiv:1412.6980; Reddi, Kale, Kumar, ICLR 2018, for AMSGrad; ``torch.optim.Adam``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.Adam([p], lr=0.5)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data.round(6)
    array([0.5], dtype=float32)
    """

    decoupled = False
    state_spec: ClassVar = {
        **MOMENTS, "max_exp_avg_sq": StateSpec(when="amsgrad", non_negative=True),
    }  # fmt: skip

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        beta1, beta2 = options["betas"]
        root = math.sqrt(1 - beta2**at.step)
        adam_step(
            at,
            options,
            rate=at.lr * root / (1 - beta1**at.step),
            eps=options["eps"] * root,
            peak="max_exp_avg_sq" if options["amsgrad"] else None,
            decoupled=self.decoupled,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: x <- x - lr weight_decay x before Adam's step.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize, **common
        As for `Adam`.
    weight_decay : float
        Share of x that is taken off, times the learning rate.

    References
    ----------
    Loshchilov, Hutter, arXiv:1711.05101; ``torch.optim.AdamW``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.AdamW([p], lr=0.5, weight_decay=0.1)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data.round(6)
    array([0.45], dtype=float32)
    """

    decoupled = True

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        Optimizer.__init__(self, params, locals())


class SparseAdam(Optimizer):
    """Adam for gradients of a few rows: moments and values of the other rows stay as they are.

    The rule is Adam's but for eps: x <- x - lr m' / (sqrt(v') + eps / sqrt(1 - b2^t)). The steps t
    are counted for the whole parameter. A gradient of all rows is taken as it is.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups, such as those of ``Embedding(sparse=True)``.
    lr : float or schedule
        Learning rate, not negative.
    betas : (float, float)
        b1 and b2, each from 0 to below 1; b1 may be a schedule.
    eps : float
        Keeps the divisor away from 0; positive.
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
    ``torch.optim.SparseAdam``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([1.0])
    >>> optimizer = npnet.optim.SparseAdam([p], lr=0.5)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data.round(6)
    array([0.5], dtype=float32)
    """

    takes_rows: ClassVar[bool] = True
    state_spec: ClassVar = MOMENTS
    checks: ClassVar = {"eps": number(above=0)}

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        beta1, beta2 = options["betas"]
        root = math.sqrt(1 - beta2**at.step)
        adam_step(at, options, rate=at.lr * root / (1 - beta1**at.step), eps=options["eps"])
