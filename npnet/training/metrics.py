"""Metrics, what is measured beside the loss.

Whatever the batch size, a metric is that of the whole set: the built-in ones keep sums in
float64, and a plain function is given all predictions and targets at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from npnet.arguments import flag, real_number, whole_number
from npnet.configured import Configured
from npnet.convert import real_array
from npnet.errors import ArgumentError, MissingMethod, ShapeError, TargetError, shape_error
from npnet.typing import Array

_REAL = frozenset("?bBhHiIlLqQefdg")
"""The characters of the real dtypes."""


class Metric:
    """Base of all metrics: a subclass has a `name` and writes `update` and `result`.

    An object is never asked to start anew: every pass over data counts on a copy of it.

    Examples
    --------
    >>> class Worst(Metric):
    ...     name = "worst"
    ...     def __init__(self):
    ...         self.value = 0.0
    ...     def update(self, pred, target):
    ...         self.value = max(self.value, abs(pred - target).max())
    ...     def result(self):
    ...         return self.value
    >>> worst = Worst()
    >>> worst.update(np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    >>> float(worst.result())
    0.5
    """

    name: str = ""

    def update(self, pred: Array, target: Array) -> None:
        """Count a batch.

        Parameters
        ----------
        pred : ndarray, shape (n, ...)
            The model's output; not to be changed.
        target : ndarray, shape (n, ...)
            What it should have been.
        """
        raise MissingMethod(f"{type(self).__name__} has no update(self, pred, target)")

    def result(self) -> float:
        """Return the metric of all batches so far.

        Returns
        -------
        float
        """
        raise MissingMethod(f"{type(self).__name__} has no result(self)")


class _Quotient(Configured, Metric):
    """A metric that is one sum divided by another."""

    def __init__(self) -> None:
        self._sums = [0.0, 0]

    def _add(self, value: float, count: int) -> None:
        self._sums[0] += value
        self._sums[1] += count

    def result(self) -> float:
        """Return the quotient, NaN where nothing was counted."""
        value, count = self._sums
        return value / count if count else math.nan


class Accuracy(_Quotient):
    """Share of right decisions.

    Predictions (n, C) or (n, C, d1, ...) decide for the largest of the C entries of a sample. The
    targets are labels of shape (n, d1, ...), or one-hot or probability rows of the predictions'
    shape, which stand for their largest entry. Predictions (n,) or (n, 1, d1, ...) with targets of
    the same shape are binary: yes above the threshold, where the target is 1.

    The name ``"accuracy"`` chooses by the loss: with `BCEWithLogitsLoss` and other losses of
    targets between 0 and 1 every entry is a binary decision, as several labels at once need; with
    `BCELoss`, `MSELoss`, `L1Loss` and the like the threshold is 0.5; labels that a loss ignores are
    not counted.

    Parameters
    ----------
    binary : bool or None
        Whether every entry is a decision of its own, whose target may be a probability; None
        decides by shape as said above.
    threshold : float or None
        Of binary predictions: 0 for logits, 0.5 for probabilities. With 0 the targets may also
        be -1 and 1. None refuses them.
    ignore_index : int or None
        A label that is not counted.

    Raises
    ------
    TargetError
        In `update`, for targets that are no decisions, as in a regression.
    ShapeError
        In `update`, if the shapes do not belong together.

    Examples
    --------
    >>> accuracy = Accuracy()
    >>> accuracy.update(np.array([[0.1, 2.0], [3.0, 1.0]]), np.array([1, 1]))
    >>> accuracy.result()
    0.5
    """

    name = "accuracy"

    def __init__(
        self,
        binary: bool | None = None,
        threshold: float | None = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        self.binary = binary if binary is None else flag(self, "binary", binary)
        self.threshold = None if threshold is None else real_number(self, "threshold", threshold)
        whole = ignore_index is None
        self.ignore_index = None if whole else whole_number(self, "ignore_index", ignore_index)

    def update(self, pred: Array, target: Array) -> None:
        """Count a batch."""
        pred, target = _pair(self, pred, target)
        axis = min(1, pred.ndim - 1)
        labels = pred.shape[:axis] + pred.shape[axis + 1 :]
        binary, counted = self.binary, None
        if target.shape == pred.shape:
            single = pred.ndim < 2 or pred.shape[1] == 1
            if single if binary is None else binary:
                right = self._binary(pred, target)
            else:
                _refuse_rows(target, axis)
                right = pred.argmax(axis) == target.argmax(axis)
        elif binary or target.shape != labels or pred.shape[axis] < 2:
            expected = str(pred.shape)
            if not binary and pred.shape[axis : axis + 1] != (1,):
                expected = f"{labels} or {expected}"
            raise shape_error(None, expected, target.shape, what="target of the accuracy")
        else:
            if target.dtype.kind == "f" and (fraction := target % 1 != 0).any():
                raise TargetError(f"accuracy expects whole labels, got {target[fraction][0]}")
            right = pred.argmax(axis) == target
            ignored = self.ignore_index
            if ignored is not None:
                counted = target != ignored
                if ignored >= 0:  # which a prediction can be
                    right &= counted
        sums = self._sums
        sums[0] += int(np.count_nonzero(right))
        sums[1] += right.size if counted is None else int(np.count_nonzero(counted))

    def _binary(self, pred: Array, target: Array) -> Array:
        """Return which binary decisions are right."""
        if self.threshold is None:
            raise ArgumentError(
                "accuracy does not know whether these predictions are logits or probabilities; "
                "pass npnet.training.Accuracy(threshold=0.0) or Accuracy(threshold=0.5)"
            )
        yes = target > 0.5
        if not (target == yes).all():
            signs = np.abs(target) == 1
            share = (target >= 0) & (target <= 1)
            if not (self.threshold == 0 and signs.all()) and not (self.binary and share.all()):
                wrong = target[target != yes][0]
                if wrong == -1:
                    fix = "for targets -1 and 1 pass npnet.training.Accuracy(threshold=0.0)"
                else:
                    fix = "for other numbers use 'mae', 'mse' or 'r2'"
                raise TargetError(f"accuracy expects targets that are 0 or 1, got {wrong}; {fix}")
        decisions: Array = (pred > self.threshold) == yes
        return decisions


def _refuse_rows(target: Array, axis: int) -> None:
    """Refuse rows that stand for no class: several at once, or the values of a regression."""
    if (np.count_nonzero(target == 1, axis=axis) > 1).any():
        raise TargetError(
            "accuracy found a target with several classes set to 1; for several labels at once "
            "use npnet.training.Accuracy(binary=True) or BCEWithLogitsLoss"
        )
    # Rows of +1 and -1, one of them positive, are one-hot too.
    rows = (target + 1) / 2 if target.size and target.min() == -1 else target
    if not ((rows >= 0).all() and (np.abs(rows.sum(axis, dtype=np.float64) - 1) < 0.01).all()):
        raise TargetError(
            "accuracy expects labels, one-hot rows or probabilities as targets, got rows that do "
            "not sum to 1; for other numbers use 'mae', 'mse' or 'r2'"
        )


class MeanAbsoluteError(_Quotient):
    """Mean of abs(pred - target) over all entries.

    Examples
    --------
    >>> mae = MeanAbsoluteError()
    >>> mae.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> mae.result()
    1.0
    """

    name = "mae"

    def update(self, pred: Array, target: Array) -> None:
        """Count a batch."""
        error = _difference(self, pred, target)
        self._add(float(np.abs(error, out=error).sum()), error.size)


class MeanSquaredError(_Quotient):
    """Mean of (pred - target)**2 over all entries.

    Examples
    --------
    >>> mse = MeanSquaredError()
    >>> mse.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> mse.result()
    2.0
    """

    name = "mse"

    def update(self, pred: Array, target: Array) -> None:
        """Count a batch."""
        error = _difference(self, pred, target).reshape(-1)
        with np.errstate(over="ignore"):
            self._add(float(error @ error), error.size)


class R2Score(Configured, Metric):
    """Coefficient of determination, 1 - sum((target - pred)^2) / sum((target - mean)^2).

    Several outputs have one each, and the result is their mean. As in scikit-learn, an output
    whose target is constant gives 1 if every prediction is right and 0 otherwise, and fewer than
    two samples give NaN.

    References
    ----------
    Joining means and sums of squares: Chan, Golub, LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances", 1979. ``sklearn.metrics.r2_score``.

    Examples
    --------
    >>> r2 = R2Score()
    >>> r2.update(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 3.0]))
    >>> r2.result()
    0.5
    """

    name = "r2"

    def __init__(self) -> None:
        self._count = 0
        self._origin: Any = None  # the first target; means are counted from there
        self._mean: Any = 0.0
        self._spread: Any = 0.0  # sum of squared distances from the mean, by output
        self._residual: Any = 0.0

    @np.errstate(over="ignore", invalid="ignore")
    def update(self, pred: Array, target: Array) -> None:
        """Count a batch."""
        error = _difference(self, pred, target)
        rows = len(error)
        if not rows:
            return
        error = error.reshape(rows, -1)
        y = np.asarray(target).reshape(rows, -1).astype(np.float64)
        if self._origin is None:
            self._origin = y[0].copy()
        y -= self._origin
        mean = y.mean(axis=0)
        centred = y - mean
        shift = mean - self._mean
        total = self._count + rows
        self._residual = self._residual + np.einsum("ij,ij->j", error, error)
        self._spread = (
            self._spread
            + np.einsum("ij,ij->j", centred, centred)
            + shift * shift * (self._count * rows / total)
        )
        self._mean = self._mean + shift * (rows / total)
        self._count = total

    @np.errstate(invalid="ignore")
    def result(self) -> float:
        """Return the mean of all outputs' coefficients."""
        if self._count < 2:
            return math.nan
        constant = self._spread == 0
        ratio = self._residual / np.where(constant, 1.0, self._spread)
        ratio[constant & (self._residual != 0)] = 1.0
        return float(1 - ratio.mean())


class FunctionMetric(Metric):
    """A plain function ``f(y_pred, y_true) -> float``, called once with everything.

    Parameters
    ----------
    function : callable
    name : str
    """

    def __init__(self, function: Callable[[Array, Array], float], name: str) -> None:
        self.function = function
        self.name = name
        self._preds: list[Array] = []
        self._targets: list[Array] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(self.function, self.name)  # whatever the function holds stays shared

    def update(self, pred: Array, target: Array) -> None:
        """Keep a batch; a copy, since a loader may fill the same arrays again."""
        self._preds.append(np.array(pred))
        self._targets.append(np.array(target))

    def result(self) -> float:
        """Call the function."""
        if not self._preds:
            return math.nan
        return self.function(np.concatenate(self._preds), np.concatenate(self._targets))


def _pair(metric: Metric, pred: Any, target: Any) -> tuple[Array, Array]:
    """Return what a metric is given as real arrays."""
    if (
        type(pred) is type(target) is np.ndarray
        and pred.ndim
        and _REAL.issuperset((pred.dtype.char, target.dtype.char))
    ):  # as almost always
        return pred, target
    pred, target = real_array(pred, "prediction"), real_array(target, "target")
    if pred.ndim == 0:
        raise ShapeError(f"the metric {metric.name} expects predictions (n, ...), got a scalar")
    return pred, target


def _difference(metric: Metric, pred: Any, target: Any) -> Array:
    pred, target = _pair(metric, pred, target)
    if pred.shape != target.shape:
        what = f"target of the metric {metric.name}"
        raise shape_error(None, str(pred.shape), target.shape, "nothing is broadcast", what=what)
    with np.errstate(invalid="ignore"):  # infinity - infinity is NaN
        error: Array = np.subtract(pred, target, dtype=np.float64)
    return error
