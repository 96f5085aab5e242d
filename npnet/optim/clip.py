"""Gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from npnet.errors import ArgumentError
from npnet.parameter import Parameter
from npnet.store import flat_grads
from npnet.typing import Array


def clip_grad_norm(
    parameters: Iterable[Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients in place so that their joint norm is at most `max_norm`.

    The factor is min(1, max_norm / (norm + 1e-6)). For gradients in an optimizer's flat vector the
    norm is one dot product.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those without a gradient are passed over.
    max_norm : float
        Not negative.
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
    if not max_norm >= 0 or not norm_type > 0:
        raise ArgumentError(
            "clip_grad_norm expects max_norm >= 0 and norm_type > 0, "
            f"got {max_norm!r} and {norm_type!r}"
        )
    grads = flat_grads(parameters)
    norm = _joint_norm(grads, norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise ArgumentError(f"the gradients' norm is {norm}")
    factor = max_norm / (norm + 1e-6)
    if not factor >= 1:  # also for NaN
        for grad in grads:
            grad *= factor
    return norm


def _joint_norm(grads: list[Array], p: float) -> float:
    if p == 2:
        with np.errstate(over="ignore"):
            total = sum(float(np.dot(g, g)) for g in grads)
        if 1e-30 < total < 1e30:
            return math.sqrt(total)
    peak = max((float(np.abs(g).max()) for g in grads if g.size), default=0.0)
    if p == math.inf or peak == 0 or not math.isfinite(peak):
        return peak
    # Scaled by the largest, so that no power overflows or vanishes.
    total = sum(float(np.sum(np.abs(g / peak) ** p)) for g in grads)
    return float(peak * total ** (1 / p))
