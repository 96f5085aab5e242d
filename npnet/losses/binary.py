"""BCEWithLogitsLoss, the binary cross-entropy of logits."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from npnet.errors import TargetError, shape_error
from npnet.losses.checks import as_weight, cast, element, first
from npnet.losses.loss import Loss, Terms
from npnet.ops.elementwise import sigmoid, zeros
from npnet.typing import Array, ArrayLike


class BCEWithLogitsLoss(Loss):
    """Binary cross-entropy of logits, one term for each element.

    The terms are w * (-p t log s - (1 - t) log(1 - s)) with the target t, s = sigmoid(pred) and
    p = pos_weight, computed from the logits so that nothing overflows.

    Parameters
    ----------
    weight : array_like, optional
        Non-negative factors w of the terms; broadcast over the leading axes of the prediction. A
        mean divides by the number of elements all the same.
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

    checks: ClassVar = {**Loss.checks, "weight": as_weight, "pos_weight": as_weight}

    def __init__(
        self,
        weight: ArrayLike | None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(reduction)
        self.weight: Any = weight
        self.pos_weight: Any = pos_weight

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and w * ((1 - t) s - p t (1 - s))."""
        target = self._same_shape(pred, target)
        wrong = ~((target >= 0) & (target <= 1))
        if wrong.any():
            raise self._wrong_target(pred, target, first(wrong))
        negative = 1 - target
        positive = target
        if self.pos_weight is not None:
            positive = target * self._stretched(self.pos_weight, "pos_weight", pred)
        # -log(1 - s) = max(x, 0) + tail and -log s = max(-x, 0) + tail: no term cancels another
        tail = np.log1p(np.exp(-np.abs(pred)))
        zero = zeros(pred)
        values = (negative + positive) * tail
        values += negative * np.maximum(pred, zero)
        values -= positive * np.minimum(pred, zero)
        grad = None
        if with_grad:
            grad = negative * sigmoid(pred, np.empty_like(pred))
            grad -= positive * sigmoid(-pred, np.empty_like(pred))
        if self.weight is not None:
            weight = self._stretched(self.weight, "weight", pred)
            values = values * weight
            grad = None if grad is None else grad * weight
        return Terms(values, None, grad)

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

    def _stretched(self, weight: Array, name: str, pred: Array) -> Array:
        try:
            return np.broadcast_to(cast(self, name, weight, pred.dtype), pred.shape)
        except ValueError:
            raise shape_error(
                self, f"that broadcasts to {pred.shape}", weight.shape, what=name
            ) from None
