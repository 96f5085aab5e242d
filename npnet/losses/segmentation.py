"""Losses for rare positives, from logits: FocalLoss and DiceLoss."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import real_number
from npnet.losses.binary import BinaryLoss, cross_entropy
from npnet.losses.loss import Terms
from npnet.ops.elementwise import sigmoid
from npnet.typing import Array


def _as_alpha(loss: Any, name: str, value: Any) -> float | None:
    return None if value is None else real_number(loss, name, value, 0, 1)


class FocalLoss(BinaryLoss):
    """Binary cross-entropy of logits with less weight for what is easy, one term for each element.

    The terms are a u^gamma (-t log s - (1 - t) log(1 - s)) with the target t, s = sigmoid(pred),
    the probability u = t (1 - s) + (1 - t) s of what is not so, and
    a = alpha t + (1 - alpha) (1 - t). Nothing overflows.

    Parameters
    ----------
    gamma : float
        How much less the easy ones count, at least 0; with 0 all count alike.
    alpha : float or None
        Weight of the positive class, from 0 to 1, 1 - alpha that of the negative one; None for no
        such weights.
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    TargetError
        In a call, if a target is not between 0 and 1.
    ShapeError
        In a call, if target and prediction differ in shape; targets are never broadcast.

    References
    ----------
    Lin et al., arXiv:1708.02002; ``torchvision.ops.sigmoid_focal_loss``;
    ``keras.losses.BinaryFocalCrossentropy``.

    Examples
    --------
    >>> import npnet
    >>> round(npnet.FocalLoss(gamma=1, alpha=None)([0.0], [1]), 4)
    0.3466
    """

    checks: ClassVar = {
        **BinaryLoss.checks,
        "gamma": partial(real_number, low=0),
        "alpha": _as_alpha,
    }

    def __init__(
        self, gamma: float = 2.0, alpha: float | None = 0.25, reduction: str = "mean"
    ) -> None:
        super().__init__(None, reduction)
        self.gamma = gamma
        self.alpha: float | None = alpha

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and a u^gamma (s - t + gamma u' / u * cross-entropy)."""
        target = self._shares(pred, target)
        other = 1 - target
        entropy, grad = cross_entropy(pred, other, target, with_grad)
        s, rest = (sigmoid(x, np.empty_like(x)) for x in (pred, -pred))
        wrong = target * rest + other * s
        factor = wrong**self.gamma
        if self.alpha is not None:
            factor = factor * (self.alpha * target + (1 - self.alpha) * other)
        if grad is not None:
            # u' / u with u' = (1 - 2 t) s (1 - s); where u is 0, so is its power
            slope = np.divide(s * rest, wrong, out=np.zeros_like(s), where=wrong > 0)
            grad = factor * (grad + self.gamma * (other - target) * slope * entropy)
        return Terms(factor * entropy, None, grad)


class DiceLoss(BinaryLoss):
    """One minus the Dice coefficient of probabilities and target, one term for each sample.

    The terms are 1 - (2 sum(s t) + smooth) / (sum(s) + sum(t) + smooth) with the target t and
    s = sigmoid(pred), summed over all axes but the first, which counts the samples.

    Parameters
    ----------
    smooth : float
        At least 0. The larger it is, the less a sample without positives matters. With 0 a sample
        in which neither has any has the loss 0.
    reduction : {"mean", "sum", "none"}
        The mean is over the samples.

    Raises
    ------
    TargetError
        In a call, if a target is not between 0 and 1.
    ShapeError
        In a call, if target and prediction differ in shape; targets are never broadcast.

    References
    ----------
    Milletari et al., arXiv:1606.04797, without the squares; ``keras.losses.Dice``, which joins all
    samples.

    Examples
    --------
    >>> import npnet
    >>> round(npnet.DiceLoss()([[20.0, -20.0, 0.0, 0.0]], [[1, 0, 1, 0]]), 4)
    0.2
    """

    checks: ClassVar = {**BinaryLoss.checks, "smooth": partial(real_number, low=0)}

    def __init__(self, smooth: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(None, reduction)
        self.smooth = smooth

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms L and (1 - L - 2 t) s (1 - s) / (sum(s) + sum(t) + smooth)."""
        target = self._shares(pred, target)
        s, rest = (sigmoid(x, np.empty_like(x)) for x in (pred, -pred))
        axes = tuple(range(1, pred.ndim))
        top = (s * (1 - target) + target * rest).sum(axes, keepdims=True)  # nothing cancels
        bottom = (s + target).sum(axes, keepdims=True) + self.smooth
        bottom = np.where(bottom == 0, 1, bottom)
        values, grad = top / bottom, None
        if with_grad:
            grad = (1 - values - 2 * target) * s * rest / bottom
        return Terms(values.reshape(pred.shape[:1]), None, grad)
