"""Lamb, Adafactor and Muon, which look at each parameter as a whole: its norm or its matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Unpack

import numpy as np

from npnet.arguments import choice
from npnet.errors import ArgumentError
from npnet.ops import update
from npnet.ops.orthogonal import newton_schulz
from npnet.optim.adam import MOMENTS
from npnet.optim.clip import joint_norm
from npnet.optim.group import ParamSlice, Shape, StateSpec
from npnet.optim.optimizer import Optimizer, Params
from npnet.optim.options import Betas, Common, Rate, number, several, whole
from npnet.typing import Array


class Lamb(Optimizer):
    """Adam with a rate for each parameter: x <- x - lr |x| / |u| u.

    u = m' / (sqrt(v') + eps) + weight_decay x with Adam's m' and v'; the factor |x| / |u|, of
    2-norms over the whole parameter, is 1 where one of them is 0.

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
        As in the paper, where it is part of u; Keras takes it off apart.
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
    You et al., arXiv:1904.00962; ``keras.optimizers.Lamb``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([2.0])
    >>> optimizer = npnet.optim.Lamb([p], lr=0.5)
    >>> p.grad = np.array([3.0])
    >>> optimizer.step()
    >>> p.data.round(6)
    array([1.], dtype=float32)
    """

    state_spec: ClassVar = MOMENTS

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        betas: Betas = (0.9, 0.999),
        eps: float = 1e-7,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        (beta1, beta2), decay = options["betas"], options["weight_decay"]
        root = math.sqrt(1 - beta2**at.step)
        step = np.zeros_like(at.data)
        update.adam(
            step, at.gradient(options), at.state["exp_avg"], at.state["exp_avg_sq"], None,
            beta1=beta1, beta2=beta2, rate=-root / (1 - beta1**at.step), gain=0.0,
            eps=options["eps"] * root, keep=1.0, weight_decay=0.0,
        )  # fmt: skip
        if decay:
            step += at.data * decay
        for x, u in zip(at.split(at.data), at.split(step), strict=True):
            size, length = _norm(x), _norm(u)
            u *= at.lr * (size / length if size > 0 and length > 0 else 1.0)
        at.data -= step


def _norm(x: Array) -> float:
    return joint_norm([x.reshape(-1)])


def _rms(x: Array) -> float:
    return _norm(x) / math.sqrt(x.size)


def _rows(shape: Shape) -> Shape | None:
    return (*shape[:-1], 1) if len(shape) > 1 else None


def _columns(shape: Shape) -> Shape | None:
    return (*shape[:-2], 1, shape[-1]) if len(shape) > 1 else None


def _whole(shape: Shape) -> Shape | None:
    return shape if len(shape) <= 1 else None


def _average(old: Array, new: Array, share: float) -> None:
    """Give the new values a share; a sum of two positive numbers, in which no digit is lost."""
    old *= 1 - share
    old += share * new


class Adafactor(Optimizer):
    """Adafactor, which keeps the second moments of a matrix as a row and a column.

    With gradient g (negated if `maximize`) at step t, and share c = t^beta2_decay of what is new:
    r <- r + c (mean of g^2 over columns - r), s the same over rows, and v = r s / mean(r), the
    divisor being at least eps[0]; a parameter with fewer than two axes has v <- v + c (g^2 - v).
    u = g / sqrt(max(v, eps[0]^2)), and
    x <- (1 - lr weight_decay) x - max(eps[1], rms(x)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d).

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters or parameter groups.
    lr : float or schedule
        Largest relative step, not negative.
    beta2_decay : float
        Power of t, not positive.
    eps : (float or None, float)
        None is the spacing of the parameters' numbers at 1.
    d : float
        Where clipping of u begins, at least 1.
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
    Shazeer, Stern, arXiv:1804.04235; ``torch.optim.Adafactor``, whose use of lr and eps differs
    from the paper's and is followed here.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([[2.0]])
    >>> optimizer = npnet.optim.Adafactor([p], lr=0.5)
    >>> p.grad = np.array([[3.0]])
    >>> optimizer.step()
    >>> p.data.round(6)
    array([[1.]], dtype=float32)
    """

    state_spec: ClassVar = {
        "row_var": StateSpec(non_negative=True, shape=_rows),
        "col_var": StateSpec(non_negative=True, shape=_columns),
        "variance": StateSpec(non_negative=True, shape=_whole),
    }
    checks: ClassVar = {
        "beta2_decay": number(high=0),
        "eps": several(
            "two numbers, of which the first may be None",
            lambda owner, name, value: None if value is None else number(0)(owner, name, value),
            number(0),
        ),
        "d": number(1),
    }

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        least, smallest = options["eps"]
        if least is None:
            least = float(np.finfo(at.data.dtype).eps)
        share = at.step ** options["beta2_decay"]
        relative = min(at.lr, at.step**-0.5)
        parts = zip(
            at.split(at.data),
            at.split(at.gradient(options)),
            at.split(np.empty_like(at.data)),
            *(at.views(name) for name in self.state_spec),
            strict=True,
        )
        for x, g, u, rows, columns, variance in parts:
            if not x.size:
                continue
            rate = relative * max(smallest, _rms(x))
            np.multiply(g, g, out=u)
            if variance is None:
                _average(rows, u.mean(axis=-1, keepdims=True), share)
                _average(columns, u.mean(axis=-2, keepdims=True), share)
                scale = np.maximum(rows.mean(axis=-2, keepdims=True), least)
                np.multiply(rows / scale, columns, out=u)
            else:
                _average(variance, u, share)
                u[...] = variance
            np.maximum(u, least * least, out=u)
            np.sqrt(u, out=u)
            np.divide(g, u, out=u)
            u *= rate / max(1.0, _rms(u) / options["d"])
            if options["weight_decay"]:
                x *= 1 - at.lr * options["weight_decay"]
            x -= u


class Muon(Optimizer):
    """Momentum made orthogonal, for matrices: x <- (1 - lr weight_decay) x - lr a O.

    With gradient g: m <- momentum m + (1 - momentum) g, and b = (1 - momentum) g + momentum m with
    `nesterov`, else b = m. O has the singular vectors of b and singular values near 1: b / |b|,
    then `ns_steps` times b <- c0 b + (c1 B + c2 B^2) b with B = b b^T. For a parameter of shape
    (n, k), a is sqrt(max(1, n / k)), or 0.2 sqrt(max(n, k)).

    PyTorch computes O in bfloat16, npnet in the parameters' dtype.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        Parameters with two axes, or parameter groups. Biases and embeddings are for another
        optimizer, such as `AdamW`.
    lr : float or schedule
        Learning rate, not negative.
    weight_decay : float
        Share of x that is taken off, times the learning rate.
    momentum : float or schedule
        From 0 to 1.
    nesterov : bool
        Nesterov's momentum.
    ns_coefficients : (float, float, float)
        c0, c1 and c2.
    eps : float
        The least |b| that is divided by.
    ns_steps : int
        From 0 to 99.
    adjust_lr_fn : {None, "original", "match_rms_adamw"}
        Which a; None is the original one, the second makes steps as large as AdamW's.
    **common
        `clip_norm`, `clip_value` and `constraints`, see `Optimizer`.

    Raises
    ------
    ArgumentError
        If an option is out of range, or a parameter does not have two axes.

    References
    ----------
    Jordan, https://kellerjordan.github.io/posts/muon/, 2024; Liu et al., arXiv:2502.16982, for
    ``"match_rms_adamw"``; ``torch.optim.Muon``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([[1.0, 0.0]])
    >>> once = (1.5, -0.5, 0.0)
    >>> optimizer = npnet.optim.Muon([p], lr=0.5, weight_decay=0.0, ns_coefficients=once)
    >>> p.grad = np.array([[3.0, 4.0]])
    >>> optimizer.step()
    >>> p.data.round(6)
    array([[ 0.7, -0.4]], dtype=float32)
    """

    state_spec: ClassVar = {"momentum_buffer": StateSpec()}
    checks: ClassVar = {
        "ns_coefficients": several("three numbers", number(), number(), number()),
        "ns_steps": whole(0, 99),
        "adjust_lr_fn": lambda owner, name, value: (
            None if value is None else choice(owner, name, value, ("original", "match_rms_adamw"))
        ),
    }

    def __init__(
        self,
        params: Params,
        lr: Rate = 1e-3,
        weight_decay: float = 0.1,
        momentum: Rate = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        **common: Unpack[Common],
    ) -> None:
        super().__init__(params, locals())

    def validate(self, options: dict[str, Any]) -> None:
        """Check that all parameters are matrices."""
        others = [p.shape for p in options["params"] if len(p.shape) != 2]
        if others:
            raise ArgumentError(
                f"Muon expects parameters with two axes, got one of shape {others[0]}; give the "
                "others to another optimizer, such as AdamW"
            )

    def update(self, at: ParamSlice, options: Mapping[str, Any]) -> None:
        """Do one step."""
        momentum, buffer = options["momentum"], at.state["momentum_buffer"]
        buffer *= momentum
        buffer += at.grad * (1 - momentum)
        if options["nesterov"]:
            step = buffer * momentum
            step += at.grad * (1 - momentum)
        else:
            step = buffer
        at.data *= 1 - at.lr * options["weight_decay"]
        for x, b in zip(at.split(at.data), at.split(step), strict=True):
            n, k = x.shape
            if options["adjust_lr_fn"] == "match_rms_adamw":
                factor = 0.2 * math.sqrt(max(n, k))
            else:
                factor = math.sqrt(max(1.0, n / k)) if k else 1.0
            norm = x.dtype.type(max(_norm(b), options["eps"]))
            o = newton_schulz(b / norm, options["ns_coefficients"], options["ns_steps"])
            o *= at.lr * factor
            x -= o
