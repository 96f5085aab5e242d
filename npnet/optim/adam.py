"""Adam and AdamW, which scale each step by running moments of the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from npnet.arguments import flag, real_number, refusal
from npnet.ops import update
from npnet.optim.group import ParamSlice, StateSpec
from npnet.optim.optimizer import Optimizer, Params, Rate


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
        b1 and b2, each from 0 to below 1.
    eps : float
        Keeps the divisor away from 0.
    weight_decay : float
        Factor of the L2 penalty's gradient.
    amsgrad : bool
        Use the largest second moment so far.
    maximize : bool
        Climb instead of descend.

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
        "exp_avg": StateSpec(),
        "exp_avg_sq": StateSpec(non_negative=True),
        "max_exp_avg_sq": StateSpec(when="amsgrad", non_negative=True),
    }

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "amsgrad": amsgrad, "maximize": maximize,
        }  # fmt: skip
        super().__init__(params, defaults)

    def validate(self, options: dict[str, Any]) -> None:
        """Check the ranges."""
        for name in ("eps", "weight_decay"):
            options[name] = real_number(self, name, options[name], 0)
        betas = options["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise refusal(self, "betas", "two numbers", betas)
        options["betas"] = tuple(
            real_number(self, f"betas[{i}]", beta, 0, below=1) for i, beta in enumerate(betas)
        )
        for name in ("amsgrad", "maximize"):
            options[name] = flag(self, name, options[name])

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        beta1, beta2 = options["betas"]
        update.adam(
            at.data,
            -at.grad if options["maximize"] else at.grad,
            at.state["exp_avg"],
            at.state["exp_avg_sq"],
            at.state["max_exp_avg_sq"] if options["amsgrad"] else None,
            lr=at.lr,
            beta1=beta1,
            beta2=beta2,
            eps=options["eps"],
            weight_decay=options["weight_decay"],
            decoupled=self.decoupled,
            step=at.step,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: x <- x - lr weight_decay x before Adam's step.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize
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
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
