"""Losses over a class axis: CrossEntropyLoss and NLLLoss.

The class axis is axis 1, or axis 0 for a single sample without a batch axis. Inside, it is moved to
the end and the others are joined, so that the arithmetic sees rows of shape (m, num_classes).
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import real_number, whole_number
from npnet.convert import is_sparse
from npnet.errors import TargetError, shape_error
from npnet.losses.checks import as_class_weight, cast, element, first, reshaped
from npnet.losses.loss import Loss, LossValue, Terms, without_axis
from npnet.ops import softmax as ops
from npnet.typing import Array, ArrayLike

_FLOATS = np.dtype(np.float32), np.dtype(np.float64)
_LABELS = (np.dtype(np.intp),)
_ONE = 1.001
"""What a probability is at most, with some rounding."""


class ClassLoss(Loss):
    """Base of losses of labels: class weights, labels that are checked, labels that are ignored."""

    checks: ClassVar = {
        **Loss.checks,
        "weight": as_class_weight,
        "ignore_index": whole_number,
        "label_smoothing": partial(real_number, low=0, high=1),
    }

    ignore_index: int | None = None

    def __init__(self, weight: ArrayLike | None, reduction: str) -> None:
        super().__init__(reduction)
        self.weight: Any = weight

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
        classes, expected = pred.shape[axis], without_axis(pred.shape)
        if target.shape != expected:
            hint = "labels are class numbers, one for each row of logits"
            if without_axis(target.shape) == pred.shape:
                hint = "pred and target look swapped: loss_fn(logits, labels)"
            elif target.size == math.prod(expected):
                hint = f"did you mean {reshaped('target', expected)}?"
            elif target.ndim == pred.ndim:
                hint = f"one-hot rows become labels with target.argmax({axis})"
            raise shape_error(self, str(expected), target.shape, hint, what="target")
        right = (target >= 0) & (target < classes)
        if target.dtype.kind == "f":
            right &= np.floor(target) == target
        if target.dtype.kind == "b" and classes > 2:
            raise TargetError(f"expected labels of {classes} classes, got booleans", self)
        ignored = -1 if self.ignore_index is None else self.ignore_index
        if ignored < 0 and right.all():
            return target.reshape(-1).astype(np.intp, copy=False), None
        counts = (target != ignored) | (self.ignore_index is None)
        wrong = counts & ~right
        if wrong.any():
            raise self._wrong_label(target, first(wrong), classes)
        return np.where(counts, target, 0).astype(np.intp).reshape(-1), counts.reshape(-1)

    def _wrong_label(self, target: Array, index: tuple[int, ...], classes: int) -> TargetError:
        label = target[index]
        got = f"got {label} at {element('target', index)}"
        if np.floor(label) != label:  # NaN too
            return TargetError(f"expected whole labels, {got}", self)
        if classes == 1:
            got += "; for a single output use BCEWithLogitsLoss"
        elif label == classes == target.max() and target.min() > 0:
            got += "; labels count from 0: target - 1"
        return TargetError(
            f"expected labels from 0 to {classes - 1} for {classes} classes, {got}", self
        )

    def _label_weights(self, labels: Array, counts: Array | None, dtype: Any) -> Array | None:
        """Return each row's share in the mean's divisor, None where all have 1."""
        if self.weight is None:
            return None if counts is None else counts.astype(dtype)
        weights = cast(self, "weight", self.weight, dtype)[labels]
        return weights if counts is None else np.where(counts, weights, 0)


class CrossEntropyLoss(ClassLoss):
    """Cross-entropy of logits: terms -sum_c w_c q_c log softmax(pred)_c.

    The target distribution q is 1 at the label, or it is given; one-hot rows may be a sparse matrix
    of SciPy's format CSR. Label smoothing with e replaces
    it by (1 - e) q + e / num_classes. With labels, a mean divides by the sum of the labels' class
    weights; with probabilities, by the number of samples.

    Parameters
    ----------
    weight : array_like, shape (num_classes,), optional
        Class weights w. Negative ones are taken as PyTorch takes them; a mean divides by their sum.
    ignore_index : int
        A label whose terms are 0 and do not count.
    reduction : {"mean", "sum", "none"}
        A mean in which nothing counts is NaN, and its gradient 0.
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

    takes_sparse = ("target",)

    def __init__(
        self,
        weight: ArrayLike | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, reduction)
        self.ignore_index: int = ignore_index
        self.label_smoothing = label_smoothing

    def evaluate(
        self,
        *arrays: ArrayLike,
        sample_weight: ArrayLike | None = None,
        with_grad: bool = True,
    ) -> LossValue:
        """Compute value, gradient and the weight of the mean in one go."""
        # The case of almost every training step, without the general one's detours.
        pred, target = arrays if len(arrays) == 2 else (None, None)
        if (
            type(pred) is type(target) is np.ndarray
            and pred.ndim == 2
            and target.ndim == 1
            and 0 < (n := len(pred)) == len(target)
            and (dtype := pred.dtype) in _FLOATS
            and target.dtype in _LABELS
            and self.reduction == "mean"
            and self.weight is sample_weight is None
            and self.ignore_index < 0
            and self.label_smoothing == 0
            and type(self).terms is CrossEntropyLoss.terms
        ):
            values, grad = np.empty(n, dtype), np.empty(pred.shape, dtype)
            in_range, total = ops.cross_entropy(pred, target, values, grad, 1 / n)
            if in_range and (with_grad is True or with_grad is False):
                return LossValue(total / n, grad if with_grad else None, n * 1.0)
        return super().evaluate(*arrays, sample_weight=sample_weight, with_grad=with_grad)

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and softmax(pred) * sum_c w_c q_c - w q."""
        axis = self._class_axis(pred)
        moved = np.moveaxis(pred, axis, -1) if pred.ndim > 2 else pred
        logits = moved.reshape(-1, moved.shape[-1]) if pred.ndim != 2 else pred
        if target.shape == pred.shape and not is_sparse(target):
            weights = None
            self._check_probabilities(target, axis)
            q = np.moveaxis(self._same_shape(pred, target), axis, -1).reshape(logits.shape)
            values, grad = ops.cross_entropy_dense(logits, self._smooth(q), with_grad)
        else:
            one_hot = is_sparse(target)
            found = self._one_hot_labels if one_hot else self._labels
            labels, counts = found(pred, target, axis)
            factor = self._label_weights(labels, counts, pred.dtype)
            weights = None if one_hot else factor  # a mean divides as with probabilities
            if self.label_smoothing:
                onehot = np.zeros_like(logits)
                onehot[np.arange(len(labels)), labels] = 1
                values, grad = ops.cross_entropy_dense(logits, self._smooth(onehot), with_grad)
            else:
                values, grad = np.empty(len(logits), pred.dtype), np.empty(logits.shape, pred.dtype)
                if len(logits):
                    ops.cross_entropy(logits, labels, values, grad, 1.0)
                if self.weight is not None and factor is not None:
                    values *= factor
                    grad *= factor[:, np.newaxis]
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

    def _one_hot_labels(self, pred: Array, target: Any, axis: int) -> tuple[Array, None]:
        """Return the labels that sparse one-hot rows stand for; all of them count."""
        if target.shape != pred.shape:
            raise shape_error(self, str(pred.shape), target.shape, what="target")
        rows = len(pred)
        if target.nnz != rows or not target.data.all():
            target = target.copy()
            target.sum_duplicates()
            target.eliminate_zeros()
        counts = np.diff(target.indptr)
        wrong = counts != 1
        if wrong.any():
            row = first(wrong)[0]
            raise TargetError(
                f"expected one-hot rows, got {counts[row]} entries in row {row} of target", self
            )
        if (target.data != 1).any():
            row = first(target.data != 1)[0]
            raise TargetError(
                f"expected one-hot rows, got {target.data[row]} in row {row} of target; "
                "probabilities are an array, target.toarray()",
                self,
            )
        return np.asarray(target.indices, np.intp), None

    def _check_probabilities(self, target: Array, axis: int) -> None:
        wrong = ~((target >= 0) & (target <= _ONE))
        if wrong.any():
            index = first(wrong)
            raise TargetError(
                f"expected probabilities from 0 to 1, got {target[index]} at "
                f"{element('target', index)}; labels have shape {without_axis(target.shape)}",
                self,
            )
        if target.dtype.kind in "iub" and (np.count_nonzero(target, axis) > 1).any():
            raise TargetError(
                "expected one class for each row, got several ones; for several labels at once "
                "use BCEWithLogitsLoss",
                self,
            )

    def _smooth(self, q: Array) -> Array:
        """Return w * ((1 - e) q + e / num_classes)."""
        if self.label_smoothing:
            q = q * q.dtype.type(1 - self.label_smoothing) + q.dtype.type(
                self.label_smoothing / q.shape[1]
            )
        return q if self.weight is None else q * cast(self, "weight", self.weight, q.dtype)


class NLLLoss(ClassLoss):
    """Negative log-likelihood of log-probabilities: terms -w_y pred_y with y the label.

    A mean divides by the sum of the labels' class weights.

    Parameters
    ----------
    weight : array_like, shape (num_classes,), optional
        Class weights w. Negative ones are taken as PyTorch takes them; a mean divides by their sum.
    ignore_index : int
        A label whose terms are 0 and do not count.
    reduction : {"mean", "sum", "none"}
        A mean in which nothing counts is NaN, and its gradient 0.

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
        super().__init__(weight, reduction)
        self.ignore_index: int = ignore_index

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
