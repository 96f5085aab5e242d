"""Losses for real-valued targets: MSELoss and L1Loss."""

from __future__ import annotations

import numpy as np

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
