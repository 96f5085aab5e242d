"""Losses of the error pred - target: MSELoss, L1Loss, SmoothL1Loss and HuberLoss."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from npnet.arguments import real_number
from npnet.losses.loss import Loss, Terms
from npnet.typing import Array


class MSELoss(Loss):
    """Squared error: terms (pred - target)^2, one for each element.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    ShapeError
        In a call, if target and prediction differ in shape; nothing is broadcast.

    References
    ----------
    ``torch.nn.MSELoss``.

    Examples
    --------
    >>> import npnet
    >>> npnet.MSELoss()([1.0, 2.0], [1.0, 4.0])
    2.0
    """

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the squares and 2 * (pred - target)."""
        error = pred - self._same_shape(pred, target)
        return Terms(error * error, None, 2 * error if with_grad else None)


class L1Loss(Loss):
    """Absolute error: terms |pred - target|, one for each element.

    The derivative where both are equal is taken as 0.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    ShapeError
        In a call, if target and prediction differ in shape; nothing is broadcast.

    References
    ----------
    ``torch.nn.L1Loss``.

    Examples
    --------
    >>> import npnet
    >>> npnet.L1Loss()([1.0, 2.0], [1.0, 4.0])
    1.0
    """

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the absolute values and sign(pred - target)."""
        error = pred - self._same_shape(pred, target)
        return Terms(np.abs(error), None, np.sign(error) if with_grad else None)


class HuberLoss(Loss):
    """Squared error near the target, absolute error far away, one term for each element.

    With e = pred - target the terms are e^2 / 2 where abs(e) <= delta, and
    delta * (abs(e) - delta / 2) elsewhere.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.
    delta : float
        Where one goes over into the other, above 0; in the unit of the target.

    Raises
    ------
    ShapeError
        In a call, if target and prediction differ in shape; nothing is broadcast.

    References
    ----------
    ``torch.nn.HuberLoss``; Huber, Ann. Math. Statist. 35 (1964) 73.

    Examples
    --------
    >>> import npnet
    >>> npnet.HuberLoss(reduction="none")([1.0, 4.0], [0.0, 0.0]).tolist()
    [0.5, 3.5]
    """

    checks: ClassVar = {**Loss.checks, "delta": partial(real_number, above=0)}

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and e, cut off at -delta and delta."""
        error = pred - self._same_shape(pred, target)
        size = np.abs(error)
        near = np.minimum(size, self.delta)  # its square cannot overflow
        grad = np.clip(error, -self.delta, self.delta) if with_grad else None
        return Terms(near * (size - 0.5 * near), None, grad)


class SmoothL1Loss(Loss):
    """Absolute error, rounded off near the target, one term for each element.

    With e = pred - target the terms are e^2 / (2 beta) where abs(e) < beta, and abs(e) - beta / 2
    elsewhere: those of `HuberLoss`, divided by beta.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.
    beta : float
        Where one goes over into the other, at least 0; in the unit of the target. With 0 this is
        `L1Loss`.

    Raises
    ------
    ShapeError
        In a call, if target and prediction differ in shape; nothing is broadcast.

    References
    ----------
    ``torch.nn.SmoothL1Loss``; Girshick, arXiv:1504.08083.

    Examples
    --------
    >>> import npnet
    >>> npnet.SmoothL1Loss(reduction="none", beta=2.0)([1.0, 4.0], [0.0, 0.0]).tolist()
    [0.25, 3.0]
    """

    checks: ClassVar = {**Loss.checks, "beta": partial(real_number, low=0)}

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and e / beta, cut off at -1 and 1."""
        error = pred - self._same_shape(pred, target)
        size, beta = np.abs(error), pred.dtype.type(self.beta)
        if beta == 0:
            return Terms(size, None, np.sign(error) if with_grad else None)
        near = np.minimum(size, beta)
        grad = np.clip(error, -beta, beta) / beta if with_grad else None
        return Terms(near / beta * (size - near / 2), None, grad)
