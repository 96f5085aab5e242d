"""Metrics, what is measured beside the loss.

Whatever the batch size, a metric is that of the whole set: the built-in ones keep sums in
float64, and a plain function is given all predictions and targets at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from npnet.errors import ArgumentError, TargetError, shape_error
from npnet.typing import Array


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
        raise NotImplementedError(f"{type(self).__name__} has no update(self, pred, target)")

    def result(self) -> float:
        """Return the metric of all batches so far.

        Returns
        -------
        float
        """
        raise NotImplementedError(f"{type(self).__name__} has no result(self)")


class Accuracy(Metric):
    """Share of right decisions.

    Predictions (n, C) or (n, C, d1, ...) decide for the largest of the C entries of a sample. The
    targets are labels of shape (n, d1, ...), or one-hot or probability rows of the predictions'
    shape, which stand for their largest entry. Predictions (n,) or (n, 1, d1, ...) with targets of
    the same shape are binary: yes above the threshold, where the target is above 0.5.

    The name ``"accuracy"`` chooses by the loss: with `BCEWithLogitsLoss` every entry is a binary
    decision, as several labels at once need; with `MSELoss` and `L1Loss` the threshold is 0.5;
    labels that a loss ignores are not counted.

    Parameters
    ----------
    binary : bool or None
        Whether every entry is a decision of its own; None decides by shape as said above.
    threshold : float
        Of binary predictions: 0 for logits, 0.5 for probabilities.
    ignore_index : int or None
        A label that is not counted.

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
        threshold: float = 0.0,
        ignore_index: int | None = None,
    ) -> None:
        self.binary = binary
        self.threshold = threshold
        self.ignore_index = ignore_index
        self._right = 0
        self._total = 0

    def update(self, pred: Array, target: Array) -> None:
        """Count a batch."""
        axis = min(1, pred.ndim - 1)
        labels = pred.shape[:axis] + pred.shape[axis + 1 :]
        counted = None
        if target.shape == pred.shape:
            single = pred.ndim < 2 or pred.shape[1] == 1
            if single if self.binary is None else self.binary:
                right = (pred > self.threshold) == (target > 0.5)
            else:
                _refuse_several(target, axis)
                right = pred.argmax(axis) == target.argmax(axis)
        elif self.binary or target.shape != labels or pred.shape[axis] < 2:
            expected = str(pred.shape)
            if not self.binary and pred.shape[axis : axis + 1] != (1,):
                expected = f"{labels} or {expected}"
            raise shape_error(None, expected, target.shape, what="target of the accuracy")
        else:
            right = pred.argmax(axis) == target
            if self.ignore_index is not None:
                counted = target != self.ignore_index
                right &= counted
        self._right += int(np.count_nonzero(right))
        self._total += right.size if counted is None else int(np.count_nonzero(counted))

    def result(self) -> float:
        """Return right decisions / decisions."""
        return self._right / self._total if self._total else math.nan


def _refuse_several(target: Array, axis: int) -> None:
    if (np.count_nonzero(target == 1, axis=axis) > 1).any():
        raise TargetError(
            "accuracy found a target with several classes set to 1; for several labels at once "
            "use npnet.training.Accuracy(binary=True) or BCEWithLogitsLoss"
        )


class MeanAbsoluteError(Metric):
    """Mean of abs(pred - target) over all entries.

    Examples
    --------
    >>> mae = MeanAbsoluteError()
    >>> mae.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> mae.result()
    1.0
    """

    name = "mae"

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0

    def update(self, pred: Array, target: Array) -> None:
        """Count a batch."""
        error = _difference(self, pred, target)
        self._total += float(np.abs(error, out=error).sum())
        self._count += error.size

    def result(self) -> float:
        """Return the mean."""
        return self._total / self._count if self._count else math.nan


class MeanSquaredError(Metric):
    """Mean of (pred - target)**2 over all entries.

    Examples
    --------
    >>> mse = MeanSquaredError()
    >>> mse.update(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    >>> mse.result()
    2.0
    """

    name = "mse"

    def __init__(self) -> None:
        self._total = 0.0
        self._count = 0

    def update(self, pred: Array, target: Array) -> None:
        """Count a batch."""
        error = _difference(self, pred, target).reshape(-1)
        self._total += float(error @ error)
        self._count += error.size

    def result(self) -> float:
        """Return the mean."""
        return self._total / self._count if self._count else math.nan


class R2Score(Metric):
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

    def update(self, pred: Array, target: Array) -> None:
        """Count a batch."""
        error = _difference(self, pred, target)
        rows = len(error)
        if not rows:
            return
        error = error.reshape(rows, -1)
        y = target.reshape(rows, -1).astype(np.float64)
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
        value = self.function(np.concatenate(self._preds), np.concatenate(self._targets))
        if np.ndim(value) or np.asarray(value).dtype.kind not in "biuf":
            raise ArgumentError(
                f"the metric {self.name} must return one real number, got {value!r}"
            )
        return float(value)


def _difference(metric: Metric, pred: Array, target: Array) -> Array:
    if pred.shape != target.shape:
        what = f"target of the metric {metric.name}"
        raise shape_error(None, str(pred.shape), target.shape, "nothing is broadcast", what=what)
    return np.subtract(pred, target, dtype=np.float64)
