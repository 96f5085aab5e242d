"""Losses whose best predictions are quantiles and expectiles: QuantileLoss and ExpectileLoss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from npnet.errors import shape_error
from npnet.losses.checks import as_levels, cast, reshaped
from npnet.losses.loss import Loss, Terms
from npnet.typing import Array


class _LevelLoss(Loss):
    """What both share: the error, and its factor where the prediction is too low or too high."""

    checks: ClassVar = {**Loss.checks, "q": as_levels}

    def __init__(self, q: float | Sequence[float] = 0.5, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.q: Any = q

    def _error(self, pred: Array, target: Array) -> tuple[Array, Array]:
        """Return pred - target, and -q where it is negative, 1 - q where it is positive."""
        q = np.asarray(self.q, pred.dtype)
        if q.ndim:
            if pred.shape[-1:] != q.shape:
                raise shape_error(self, f"(..., {q.size})", pred.shape, what="prediction")
            if target.shape != pred.shape[:-1]:
                hint = "several quantiles have one target"
                if target.size * q.size == pred.size:
                    hint += f"; did you mean {reshaped('target', pred.shape[:-1])}?"
                raise shape_error(self, str(pred.shape[:-1]), target.shape, hint, what="target")
            error = pred - cast(self, "target", target, pred.dtype)[..., np.newaxis]
        else:
            error = pred - self._same_shape(pred, target)
        return error, (error > 0) * (1 - q) - (error < 0) * q


class QuantileLoss(_LevelLoss):
    """Quantile (pinball) loss: terms q (target - pred) or (1 - q) (pred - target), if positive.

    Its mean is smallest where the prediction is the quantile q of the target. Several quantiles
    are predicted at once, by one output each. The derivative where both are equal is taken as 0.

    Parameters
    ----------
    q : float or sequence of float
        The quantile, or several, between 0 and 1. For a number, target and prediction have the
        same shape. For Q numbers the prediction has shape (..., Q), the target (...).
    reduction : {"mean", "sum", "none"}
        The mean is over all elements of the prediction.

    Raises
    ------
    ShapeError
        In a call, if target and prediction do not fit; nothing is broadcast but over quantiles.

    References
    ----------
    Koenker and Bassett, Econometrica 46 (1978) 33; ``sklearn.metrics.mean_pinball_loss``.

    Examples
    --------
    >>> import npnet
    >>> loss = npnet.QuantileLoss([0.25, 0.5, 0.75], reduction="none")
    >>> loss([[1.0, 2.0, 4.0]], [2.0]).tolist()
    [[0.25, 0.0, 0.5]]
    """

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms; the gradient is 1 - q above the target, -q below."""
        error, slope = self._error(pred, target)
        return Terms(slope * error, None, slope if with_grad else None)


class ExpectileLoss(_LevelLoss):
    """Asymmetric squared error: terms q e^2 where e = target - pred > 0, and (1 - q) e^2 elsewhere.

    Its mean is smallest where the prediction is the expectile q of the target; for 0.5 that is
    the mean. Several are predicted at once, by one output each.

    Parameters
    ----------
    q : float or sequence of float
        The expectile, or several, between 0 and 1. For a number, target and prediction have the
        same shape. For Q numbers the prediction has shape (..., Q), the target (...).
    reduction : {"mean", "sum", "none"}
        The mean is over all elements of the prediction.

    Raises
    ------
    ShapeError
        In a call, if target and prediction do not fit; nothing is broadcast but over expectiles.

    References
    ----------
    Newey and Powell, Econometrica 55 (1987) 819.

    Examples
    --------
    >>> import npnet
    >>> npnet.ExpectileLoss(0.75, reduction="none")([1.0, 2.0], [3.0, 0.0]).tolist()
    [3.0, 1.0]
    """

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and -2 q e or -2 (1 - q) e."""
        error, slope = self._error(pred, target)
        size = np.abs(slope) * error
        return Terms(size * error, None, 2 * size if with_grad else None)
