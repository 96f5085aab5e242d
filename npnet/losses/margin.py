"""Losses of margins: of a target -1 or 1, and of classes."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from npnet.arguments import real_number, whole_number
from npnet.errors import shape_error
from npnet.losses.binary import cross_entropy
from npnet.losses.checks import as_factors, as_signs, cast, require
from npnet.losses.classification import ClassLoss
from npnet.losses.loss import Loss, Terms
from npnet.typing import Array, ArrayLike


class HingeEmbeddingLoss(Loss):
    """Distances that shall be small, or at least the margin: one term for each element.

    The terms are pred where the target is 1, and max(0, margin - pred) where it is -1.

    Parameters
    ----------
    margin : float
        In the unit of the prediction.
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    TargetError
        In a call, if a target is neither -1 nor 1.
    ShapeError
        In a call, if target and prediction differ in shape; nothing is broadcast.

    Notes
    -----
    At the margin, where the derivative jumps, it is the one below, as in PyTorch.

    References
    ----------
    ``torch.nn.HingeEmbeddingLoss``.

    Examples
    --------
    >>> import npnet
    >>> npnet.HingeEmbeddingLoss(reduction="none")([0.25, 0.25], [1, -1]).tolist()
    [0.25, 0.75]
    """

    checks: ClassVar = {**Loss.checks, "margin": real_number}

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms; the gradient is 1, or -1 up to the margin."""
        sign = as_signs(self, pred, self._same_shape(pred, target))
        miss = self.margin - pred
        values = np.where(sign == 1, pred, np.maximum(miss, 0))
        grad = np.where((sign == 1) | (miss >= 0), sign, 0) if with_grad else None
        return Terms(values, None, grad)


class SoftMarginLoss(Loss):
    """Logistic loss of targets -1 and 1: terms log(1 + exp(-target pred)), one for each element.

    Computed so that nothing overflows.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    TargetError
        In a call, if a target is neither -1 nor 1.
    ShapeError
        In a call, if target and prediction differ in shape; nothing is broadcast.

    References
    ----------
    ``torch.nn.SoftMarginLoss``.

    Examples
    --------
    >>> import npnet
    >>> npnet.SoftMarginLoss(reduction="none")([900.0, 800.0], [1, -1]).tolist()
    [0.0, 800.0]
    """

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and -target * sigmoid(-target * pred)."""
        sign = as_signs(self, pred, self._same_shape(pred, target))
        values, grad = cross_entropy(pred, (1 - sign) / 2, (1 + sign) / 2, with_grad)
        return Terms(values, None, grad)


class MultiMarginLoss(ClassLoss):
    """Multi-class hinge loss: the label's score shall exceed the others by the margin.

    The terms are w_y sum_c max(0, margin - pred_y + pred_c)^p / num_classes with y the label,
    summed over the other classes. The derivative at the margin is taken as 0.

    Parameters
    ----------
    p : {1, 2}
        The power.
    margin : float
        In the unit of the prediction.
    weight : array_like, shape (num_classes,), optional
        Factors w of the classes. A mean divides by the number of samples all the same.
    reduction : {"mean", "sum", "none"}
        The mean is over the samples.

    Raises
    ------
    TargetError
        In a call, if a label is out of range or fractional.
    ShapeError
        In a call. For predictions (n, num_classes) labels have shape (n,); for (num_classes,) the
        label is a scalar.

    References
    ----------
    ``torch.nn.MultiMarginLoss``; Crammer and Singer, JMLR 2 (2001) 265.

    Examples
    --------
    >>> import npnet
    >>> npnet.MultiMarginLoss()([[0.0, 0.5, -0.25, 3.0]], [3])
    0.0
    >>> npnet.MultiMarginLoss()([[0.0, 0.5, -0.25, 3.0]], [1])
    1.0625
    """

    checks: ClassVar = {
        **ClassLoss.checks, "p": partial(whole_number, low=1, high=2), "margin": real_number,
        "weight": as_factors,
    }  # fmt: skip

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: ArrayLike | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        self.p = p
        self.margin = margin

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms, and the gradient: w_y / num_classes for each class in the way."""
        axis = self._class_axis(pred)
        if pred.ndim > 2:
            raise shape_error(self, "(n, num_classes) or (num_classes,)", pred.shape)
        labels, _ = self._labels(pred, target, axis)
        where = labels.reshape(*target.shape, 1)
        miss = self.margin - np.take_along_axis(pred, where, -1) + pred
        np.put_along_axis(miss, where, 0, -1)
        miss = np.maximum(miss, 0)
        factor = np.full(where.shape, 1 / pred.shape[axis], pred.dtype)
        if self.weight is not None:
            factor *= cast(self, "weight", self.weight, pred.dtype)[where]
        values = (factor * (miss if self.p == 1 else miss * miss)).sum(-1)
        grad = None
        if with_grad:
            grad = factor * ((miss > 0) if self.p == 1 else 2 * miss)
            np.put_along_axis(grad, where, -grad.sum(-1, keepdims=True), -1)
        return Terms(values, None, grad)


class MultiLabelMarginLoss(Loss):
    """Multi-class hinge loss of several labels: their scores shall exceed the others by 1.

    The terms are sum_y sum_c max(0, 1 - pred_y + pred_c) / num_classes with y the labels and c the
    classes that are none of them. The derivative at the margin is taken as 0.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        The mean is over the samples.

    Raises
    ------
    TargetError
        In a call, if a label is out of range or fractional.
    ShapeError
        In a call, if target and prediction differ in shape, which is (n, num_classes) or
        (num_classes,). A sample's labels stand first in its row, the first negative number ends
        them: ``[2, 0, -1, -1]``.

    References
    ----------
    ``torch.nn.MultiLabelMarginLoss``.

    Examples
    --------
    >>> import npnet
    >>> round(npnet.MultiLabelMarginLoss()([[0.1, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]]), 4)
    0.85
    """

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms, and the gradient: 1 / num_classes for each pair in the way."""
        if not 1 <= pred.ndim <= 2 or pred.shape[-1] == 0:
            raise shape_error(self, "(n, num_classes) or (num_classes,)", pred.shape)
        self._same_shape(pred, target)
        classes = pred.shape[-1]
        right = (target >= -1) & (target < classes) & (np.floor(target) == target)
        require(self, "target", target, right, f"labels from 0 to {classes - 1}, or -1")
        scores, labels = pred.reshape(-1, classes), target.reshape(-1, classes).astype(np.intp)
        listed = np.logical_and.accumulate(labels >= 0, -1)
        rows, places = np.nonzero(listed)
        others = np.ones(scores.shape, bool)
        others[rows, labels[rows, places]] = False
        values, grad = np.zeros(len(scores), pred.dtype), np.zeros_like(scores)
        for j in range(places.max(initial=-1) + 1):  # all pairs at once may not fit into memory
            (rows,) = np.nonzero(listed[:, j])
            label = labels[rows, j]
            miss = 1 - scores[rows, label, np.newaxis] + scores[rows]
            on = (miss > 0) & others[rows]
            values[rows] += np.where(on, miss, 0).sum(-1)
            grad[rows] += on
            grad[rows, label] -= on.sum(-1)
        values, grad = values / classes, grad / classes
        return Terms(values.reshape(pred.shape[:-1]), None, grad.reshape(pred.shape))
