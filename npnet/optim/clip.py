"""Gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from npnet.arguments import checked_call, flag, real_number
from npnet.errors import ArgumentError
from npnet.parameter import Parameter
from npnet.store import flat_grads, unique
from npnet.typing import Array

_HABITS = {"foreach": "leave it out: there is one form, over all gradients at once"}


@checked_call("clip_grad_norm", _HABITS)
def clip_grad_norm(
    parameters: Parameter | Iterable[Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients in place so that their joint norm is at most `max_norm`.

    The factor is min(1, max_norm / (norm + 1e-6)). For gradients in an optimizer's flat vector the
    norm is one dot product.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Those without a gradient are passed over.
    max_norm : float
        Not negative; ``math.inf`` measures only.
    norm_type : float
        p of the p-norm; ``math.inf`` for the largest magnitude.
    error_if_nonfinite : bool
        Whether a norm that is NaN or infinite is an error.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or the norm is not finite and that was to be an error.

    References
    ----------
    Pascanu, Mikolov, Bengio, ICML 2013; ``torch.nn.utils.clip_grad_norm_``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([0.0, 0.0])
    >>> p.grad = np.array([3.0, 4.0])
    >>> npnet.optim.clip_grad_norm([p], 1.0)
    5.0
    >>> p.grad.round(4)
    array([0.6, 0.8], dtype=float32)
    """
    max_norm = _real_or_inf("max_norm", max_norm)
    norm_type = _real_or_inf("norm_type", norm_type, above=0)
    fail = flag("clip_grad_norm", "error_if_nonfinite", error_if_nonfinite)
    grads = _grads("clip_grad_norm", parameters)
    norm = joint_norm(grads, norm_type)
    if fail and not math.isfinite(norm):
        raise ArgumentError(f"clip_grad_norm: the gradients' norm is {norm}")
    factor = max_norm / (norm + 1e-6) if max_norm < math.inf else 1.0
    if not factor >= 1:  # also for NaN
        with np.errstate(invalid="ignore"):  # infinity times 0
            for grad in grads:
                grad *= factor
    return norm


@checked_call("clip_grad_value", _HABITS)
def clip_grad_value(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Put every number of the gradients into [-clip_value, clip_value], in place.

    Parameters
    ----------
    parameters : Parameter or iterable of Parameter
        Those without a gradient are passed over.
    clip_value : float
        Not negative.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    References
    ----------
    ``torch.nn.utils.clip_grad_value_``.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> p = npnet.Parameter([0.0, 0.0])
    >>> p.grad = np.array([3.0, -0.5])
    >>> npnet.optim.clip_grad_value([p], 1.0)
    >>> p.grad
    array([ 1. , -0.5], dtype=float32)
    """
    limit = real_number("clip_grad_value", "clip_value", clip_value, 0)
    for grad in _grads("clip_grad_value", parameters):
        np.clip(grad, -limit, limit, out=grad)


def _grads(owner: str, parameters: Any) -> list[Array]:
    parameters = unique(parameters, owner)
    if not parameters:
        raise ArgumentError(
            f"{owner} got no parameters; a generator can be looped over once, so pass "
            "model.parameters() anew"
        )
    return flat_grads(parameters, owner)


def _real_or_inf(name: str, value: float, above: float | None = None) -> float:
    if isinstance(value, float) and value == math.inf:
        return value
    return real_number("clip_grad_norm", name, value, 0, above=above)


def joint_norm(grads: list[Array], p: float = 2) -> float:
    """Return the p-norm of vectors taken as one, which neither overflows nor vanishes."""
    with np.errstate(over="ignore"):
        if p == 2:
            total = sum(float(np.dot(g, g)) for g in grads)
            if 1e-30 < total < 1e30:
                return math.sqrt(total)
        # `np.max` keeps a NaN, which `max` loses.
        peak = float(np.max([np.abs(g).max() for g in grads if g.size], initial=0.0))
        if p == math.inf or peak == 0 or not math.isfinite(peak):
            return peak
        # Scaled by the largest, so that no power overflows or vanishes.
        total = sum(float(np.sum(np.abs(g.astype(np.float64) / peak) ** p)) for g in grads)
        return float(peak * np.float64(total) ** (1 / p))
