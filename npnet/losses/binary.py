"""Binary cross-entropies: BCEWithLogitsLoss, MultiLabelSoftMarginLoss and BCELoss."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npnet.errors import ArgumentError, TargetError, shape_error
from npnet.losses.checks import TINY, as_factors, as_weight, cast, element, first, require
from npnet.losses.loss import Loss, Terms
from npnet.ops.elementwise import sigmoid, zeros
from npnet.typing import Array, ArrayLike


def cross_entropy(
    x: Array, negative: Array, positive: Array, with_grad: bool
) -> tuple[Array, Array | None]:
    """Return -negative log(1 - s) - positive log s with s = sigmoid(x), and the derivative."""
    # -log(1 - s) = max(x, 0) + tail and -log s = max(-x, 0) + tail: no term cancels another
    tail = np.log1p(np.exp(-np.abs(x)))
    zero = zeros(x)
    values = (negative + positive) * tail
    values += negative * np.maximum(x, zero)
    values -= positive * np.minimum(x, zero)
    grad = None
    if with_grad:
        grad = negative * sigmoid(x, np.empty_like(x))
        grad -= positive * sigmoid(-x, np.empty_like(x))
    return values, grad


class BinaryLoss(Loss):
    """Base of losses of targets between 0 and 1, one for each element, and weights of elements."""

    checks: ClassVar = {**Loss.checks, "weight": as_factors, "pos_weight": as_weight}

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight: Any = weight

    def _shares(self, pred: Array, target: Array) -> Array:
        """Return targets after a check that they are between 0 and 1."""
        target = self._same_shape(pred, target)
        wrong = ~((target >= 0) & (target <= 1))
        if wrong.any():
            raise self._wrong_target(pred, target, first(wrong))
        return target

    def _wrong_target(self, pred: Array, target: Array, index: tuple[int, ...]) -> TargetError:
        value = target[index]
        text = f"expected targets from 0 to 1, got {value} at {element('target', index)}"
        if ((pred == 0) | (pred == 1)).all():
            text += "; pred and target look swapped: loss_fn(logits, target)"
        elif value == -1:
            text += "; (target + 1) / 2 makes 0 and 1 of -1 and 1"
        elif value == int(value if np.isfinite(value) else 0):
            text += "; class numbers need CrossEntropyLoss"
        return TargetError(text, self)

    def _weighted(
        self, pred: Array, values: Array, grad: Array | None
    ) -> tuple[Array, Array | None]:
        """Multiply terms and gradient by the weights of the elements, if there are any."""
        if self.weight is None:
            return values, grad
        weight = self._stretched(self.weight, "weight", pred)
        return values * weight, None if grad is None else grad * weight

    def _stretched(self, weight: Array, name: str, pred: Array) -> Array:
        try:
            return np.broadcast_to(cast(self, name, weight, pred.dtype), pred.shape)
        except ValueError:
            raise shape_error(
                self, f"that broadcasts to {pred.shape}", weight.shape, what=name
            ) from None


class BCEWithLogitsLoss(BinaryLoss):
    """Binary cross-entropy of logits, one term for each element.

    The terms are w * (-p t log s - (1 - t) log(1 - s)) with the target t, s = sigmoid(pred) and
    p = pos_weight, computed from the logits so that nothing overflows.

    Parameters
    ----------
    weight : array_like, optional
        Factors w of the terms; broadcast over the leading axes of the prediction. A mean divides
        by the number of elements all the same.
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.
    pos_weight : array_like, optional
        Non-negative factors p of the positive class; broadcast like `weight`.

    Raises
    ------
    TargetError
        In a call, if a target is not between 0 and 1.
    ShapeError
        In a call, if target and prediction differ in shape; targets are never broadcast.

    References
    ----------
    ``torch.nn.BCEWithLogitsLoss``.

    Examples
    --------
    >>> import npnet
    >>> round(npnet.BCEWithLogitsLoss()([0.0, 0.0], [0, 1]), 4)
    0.6931
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(weight, reduction)
        self.pos_weight: Any = pos_weight

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and w * ((1 - t) s - p t (1 - s))."""
        target = positive = self._shares(pred, target)
        if self.pos_weight is not None:
            positive = target * self._stretched(self.pos_weight, "pos_weight", pred)
        values, grad = cross_entropy(pred, 1 - target, positive, with_grad)
        values, grad = self._weighted(pred, values, grad)
        return Terms(values, None, grad)


class MultiLabelSoftMarginLoss(BinaryLoss):
    """Mean of the binary cross-entropies of several labels, one term for each sample.

    The terms are sum_c w_c (-t_c log s_c - (1 - t_c) log(1 - s_c)) / num_classes with the target t
    and s = sigmoid(pred), computed from the logits so that nothing overflows.

    Parameters
    ----------
    weight : array_like, optional
        Factors w of the classes; broadcast over the leading axes of the prediction.
    reduction : {"mean", "sum", "none"}
        The mean is over the samples.

    Raises
    ------
    TargetError
        In a call, if a target is not between 0 and 1.
    ShapeError
        In a call, if target and prediction differ in shape. The classes are the last axis:
        (n, num_classes) or (num_classes,).

    References
    ----------
    ``torch.nn.MultiLabelSoftMarginLoss``.

    Examples
    --------
    >>> import npnet
    >>> round(npnet.MultiLabelSoftMarginLoss()([[0.0, 0.0]], [[0, 1]]), 4)
    0.6931
    """

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and w * (s - t) / num_classes."""
        target = self._shares(pred, target)
        if pred.ndim == 0 or pred.shape[-1] == 0:
            raise shape_error(self, "(n, num_classes) or (num_classes,)", pred.shape)
        values, grad = cross_entropy(pred, 1 - target, target, with_grad)
        values, grad = self._weighted(pred, values, grad)
        classes = pred.shape[-1]
        return Terms(values.sum(-1) / classes, None, None if grad is None else grad / classes)


class BCELoss(BinaryLoss):
    """Binary cross-entropy of probabilities, one term for each element.

    The terms are -w * (t log pred + (1 - t) log(1 - pred)) with the target t and logarithms of at
    least -100, so that a wrong certainty has a finite loss. The gradient is, as in PyTorch,
    w (pred - t) / max(pred (1 - pred), 1e-12): not the derivative of what was limited, so that
    such a prediction can move. `BCEWithLogitsLoss` is more exact.

    Parameters
    ----------
    weight : array_like, optional
        Factors w of the terms; broadcast over the leading axes of the prediction. A mean divides
        by the number of elements all the same.
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    ArgumentError
        In a call, if a prediction is not between 0 and 1.
    TargetError
        In a call, if a target is not between 0 and 1.
    ShapeError
        In a call, if target and prediction differ in shape; targets are never broadcast.

    References
    ----------
    ``torch.nn.BCELoss``.

    Examples
    --------
    >>> import numpy as np
    >>> import npnet
    >>> npnet.BCELoss(reduction="none")(np.array([0.5, 0.0]), [1, 1]).round(4).tolist()
    [0.6931, 100.0]
    """

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and w * (pred - t) / max(pred * (1 - pred), 1e-12)."""
        hint = "logits need BCEWithLogitsLoss"
        right = (pred >= 0) & (pred <= 1)
        require(self, "pred", pred, right, "probabilities from 0 to 1", ArgumentError, hint)
        target = self._shares(pred, target)
        positive, negative = np.log(pred), np.log1p(-pred)
        values = (target - 1) * np.maximum(negative, -100) - target * np.maximum(positive, -100)
        grad = (pred - target) / np.maximum(pred * (1 - pred), TINY) if with_grad else None
        values, grad = self._weighted(pred, values, grad)
        return Terms(values, None, grad)
