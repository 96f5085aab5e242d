"""Losses over a class axis: CrossEntropyLoss and NLLLoss.

The class axis is axis 1, or axis 0 for a single sample without a batch axis. Inside, it is moved to
the end and the others are joined, so that the arithmetic sees rows of shape (m, num_classes).
"""

from __future__ import annotations

import numpy as np

from npnet.arguments import real_number, whole_number
from npnet.errors import ShapeError, TargetError, shape_error
from npnet.losses.loss import Loss, LossValue, Terms
from npnet.losses.weights import as_weight
from npnet.ops import softmax as ops
from npnet.typing import Array, ArrayLike, DtypeLike

_INTP, _FLOAT32, _FLOAT64 = map(np.dtype, (np.intp, np.float32, np.float64))


class _ClassLoss(Loss):
    """What both share: class weights, labels that are checked, labels that are ignored."""

    def __init__(self, weight: ArrayLike | None, ignore_index: int, reduction: str) -> None:
        super().__init__(reduction)
        self.weight = None if weight is None else as_weight(self, weight, "weight")
        if self.weight is not None and self.weight.ndim != 1:
            shape = self.weight.shape
            raise ShapeError(f"expected class weights of shape (num_classes,), got {shape}")
        self.ignore_index = whole_number(self, "ignore_index", ignore_index)

    def _class_axis(self, pred: Array) -> int:
        axis = min(1, pred.ndim - 1)
        if pred.ndim == 0 or pred.shape[axis] == 0:
            raise shape_error(self, "(n, num_classes, ...) or (num_classes,)", pred.shape)
        if self.weight is not None and self.weight.size != pred.shape[axis]:
            expected = f"({pred.shape[axis]},)"
            raise shape_error(self, expected, self.weight.shape, what="weight")
        return axis

    def _labels(self, pred: Array, target: Array, axis: int) -> tuple[Array, Array | None]:
        """Return labels of shape (m,), all in range, and which count (None: all of them)."""
        classes = pred.shape[axis]
        expected = pred.shape[:axis] + pred.shape[axis + 1 :]
        if target.shape != expected:
            hint = "labels are class numbers, one for each row of logits"
            raise shape_error(self, str(expected), target.shape, hint, what="target")
        labels = target.reshape(-1)
        if labels.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                fractional = ~(np.floor(labels) == labels) | np.isinf(labels)
            if fractional.any():
                raise TargetError(f"expected whole labels, got {labels[fractional][0]}", self)
        if labels.dtype == np.uint64:  # would wrap around to negative numbers
            labels = np.minimum(labels, np.uint64(classes))
        labels = labels.astype(np.intp, copy=False)
        wrong = (labels < 0) | (labels >= classes)
        if not wrong.any() and self.ignore_index < 0:
            return labels, None
        counts = labels != self.ignore_index
        if (wrong & counts).any():
            raise TargetError(
                f"expected labels from 0 to {classes - 1} for {classes} classes, "
                f"got {labels[wrong & counts][0]}",
                self,
            )
        return np.where(counts, labels, 0), counts

    def _label_weights(self, labels: Array, counts: Array | None, dtype: DtypeLike) -> Array | None:
        """Return each row's share in the mean's divisor, None where all have 1."""
        if self.weight is None:
            return None if counts is None else counts.astype(dtype)
        weights = self.weight.astype(dtype)[labels]
        return weights if counts is None else np.where(counts, weights, 0)


class CrossEntropyLoss(_ClassLoss):
    """Cross-entropy of logits: terms -sum_c w_c q_c log softmax(pred)_c.

    The target distribution q is 1 at the label, or it is given. Label smoothing with e replaces
    it by (1 - e) q + e / num_classes. With labels, a mean divides by the sum of the labels' class
    weights; with probabilities, by the number of samples.

    Parameters
    ----------
    weight : array_like, shape (num_classes,), optional
        Non-negative class weights w.
    ignore_index : int
        A label whose terms are 0 and do not count.
    reduction : {"mean", "sum", "none"}
        A mean in which nothing counts is NaN.
    label_smoothing : float
        e, from 0 to 1.

    Raises
    ------
    TargetError
        In a call, if a label is out of range or fractional, or a probability negative.
    ShapeError
        In a call. For predictions (n, num_classes, d1, ...) labels have shape (n, d1, ...),
        probabilities that of the prediction; for (num_classes,) the label is a scalar.

    References
    ----------
    ``torch.nn.CrossEntropyLoss``; label smoothing: Szegedy et al., arXiv:1512.00567.

    Examples
    --------
    >>> import npnet
    >>> loss, grad = npnet.CrossEntropyLoss().value_and_grad([[0.0, 0.0]], [1])
    >>> round(loss, 4), grad.tolist()
    (0.6931, [[0.5, -0.5]])
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = real_number(self, "label_smoothing", label_smoothing, 0, 1)

    def evaluate(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
        with_grad: bool = True,
    ) -> LossValue:
        """Compute value, gradient and the weight of the mean in one go."""
        # The case of almost every training step, without the general one's detours.
        if (
            type(pred) is type(target) is np.ndarray
            and pred.ndim == 2
            and target.ndim == 1
            and 0 < len(pred) == len(target)
            and (pred.dtype == _FLOAT32 or pred.dtype == _FLOAT64)
            and target.dtype == _INTP
            and self.reduction == "mean"
            and self.weight is sample_weight is None
            and self.ignore_index < 0
            and self.label_smoothing == 0
        ):
            n = len(pred)
            values, grad = np.empty(n, pred.dtype), np.empty(pred.shape, pred.dtype)
            in_range, total = ops.cross_entropy(pred, target, values, grad, 1 / n)
            if in_range:
                return LossValue(total / n, grad if with_grad else None, float(n))
        return super().evaluate(pred, target, sample_weight, with_grad)

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and softmax(pred) * sum_c w_c q_c - w q."""
        axis = self._class_axis(pred)
        moved = np.moveaxis(pred, axis, -1) if pred.ndim > 2 else pred
        logits = moved.reshape(-1, moved.shape[-1]) if pred.ndim != 2 else pred
        if target.shape == pred.shape:
            weights = None
            q = np.moveaxis(self._same_shape(pred, target), axis, -1).reshape(logits.shape)
            if not (q >= 0).all():
                raise TargetError("expected probabilities, got a negative or NaN target", self)
            values, grad = ops.cross_entropy_dense(logits, self._smooth(q), with_grad)
        else:
            labels, counts = self._labels(pred, target, axis)
            weights = self._label_weights(labels, counts, pred.dtype)
            if self.label_smoothing:
                onehot = np.zeros_like(logits)
                onehot[np.arange(len(labels)), labels] = 1
                values, grad = ops.cross_entropy_dense(logits, self._smooth(onehot), with_grad)
            else:
                values, grad = np.empty(len(logits), pred.dtype), np.empty(logits.shape, pred.dtype)
                if len(logits):
                    ops.cross_entropy(logits, labels, values, grad, 1.0)
                if self.weight is not None and weights is not None:
                    values *= weights
                    grad *= weights[:, np.newaxis]
            if counts is not None:  # also where an ignored row's logits are not finite
                values[~counts] = 0
                if grad is not None:
                    grad[~counts] = 0
        if pred.ndim == 2:
            return Terms(values, weights, grad, (axis,))
        return Terms(
            values.reshape(moved.shape[:-1]),
            None if weights is None else weights.reshape(moved.shape[:-1]),
            None if grad is None else np.moveaxis(grad.reshape(moved.shape), -1, axis),
            (axis,),
        )

    def _smooth(self, q: Array) -> Array:
        """Return w * ((1 - e) q + e / num_classes)."""
        if self.label_smoothing:
            q = q * q.dtype.type(1 - self.label_smoothing) + q.dtype.type(
                self.label_smoothing / q.shape[1]
            )
        return q if self.weight is None else q * self.weight.astype(q.dtype)


class NLLLoss(_ClassLoss):
    """Negative log-likelihood of log-probabilities: terms -w_y pred_y with y the label.

    A mean divides by the sum of the labels' class weights.

    Parameters
    ----------
    weight : array_like, shape (num_classes,), optional
        Non-negative class weights w.
    ignore_index : int
        A label whose terms are 0 and do not count.
    reduction : {"mean", "sum", "none"}
        A mean in which nothing counts is NaN.

    Raises
    ------
    TargetError
        In a call, if a label is out of range or fractional.
    ShapeError
        In a call. For predictions (n, num_classes, d1, ...) labels have shape (n, d1, ...); for
        (num_classes,) the label is a scalar.

    References
    ----------
    ``torch.nn.NLLLoss``.

    Examples
    --------
    >>> import npnet
    >>> npnet.NLLLoss()([[-0.5, -1.0]], [1])
    1.0
    """

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, ignore_index, reduction)

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms; the gradient is -w_y at the label and 0 elsewhere."""
        axis = self._class_axis(pred)
        labels, counts = self._labels(pred, target, axis)
        weights = self._label_weights(labels, counts, pred.dtype)
        shape = target.shape
        where = np.expand_dims(labels.reshape(shape), axis)
        factor = np.ones(shape, pred.dtype) if weights is None else weights.reshape(shape)
        values = -np.take_along_axis(pred, where, axis).reshape(shape) * factor
        if counts is not None:
            values = np.where(counts.reshape(shape), values, 0)
        grad = None
        if with_grad:
            grad = np.zeros_like(pred)
            np.put_along_axis(grad, where, np.expand_dims(-factor, axis), axis)
        return Terms(values, None if weights is None else factor, grad, (axis,))
