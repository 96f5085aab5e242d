"""Tally, which joins the loss and the metrics of batches into those of the whole set."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from npnet.errors import ArgumentError
from npnet.losses import BCEWithLogitsLoss, L1Loss, Loss, MSELoss
from npnet.losses.loss import LossValue
from npnet.training.metrics import (
    Accuracy,
    FunctionMetric,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    R2Score,
)
from npnet.typing import Array


class Tally:
    """Loss and metrics of one pass over data, joined from its batches.

    Parameters
    ----------
    loss : Loss
        Its `reduction` says whether batches are averaged or added.
    metrics : list of Metric
        Copied.
    """

    __slots__ = ("_mean", "_metrics", "_total", "_weight", "batches")

    def __init__(self, loss: Loss, metrics: list[Metric]) -> None:
        self._mean = loss.reduction == "mean"
        self._metrics = copy.deepcopy(metrics)
        self._total = 0.0
        self._weight = 0.0
        self.batches = 0

    def add(self, result: LossValue, pred: Array, target: Any) -> None:
        """Count a batch."""
        self.batches += 1
        if result.weight:  # a mean in which nothing counts is NaN, and joins nothing
            self._total += result.value * result.weight if self._mean else result.value
            self._weight += result.weight
        if self._metrics:
            target = np.asarray(target)
            for metric in self._metrics:
                metric.update(pred, target)

    @property
    def loss(self) -> float:
        """The loss of the batches so far."""
        if not self._mean:
            return float(self._total)
        return float(self._total / self._weight) if self._weight else math.nan

    def results(self) -> dict[str, float]:
        """Return loss and metrics by name."""
        return {"loss": self.loss, **{m.name: float(m.result()) for m in self._metrics}}


_BUILT_IN: dict[str, type[Metric]] = {
    metric.name: metric for metric in (Accuracy, MeanAbsoluteError, MeanSquaredError, R2Score)
}


def as_metrics(metrics: Any, loss: Loss) -> list[Metric]:
    """Turn the argument ``metrics`` of the Trainer into metric objects.

    Parameters
    ----------
    metrics : iterable of str, Metric or callable; or one of them
    loss : Loss
        What the name ``"accuracy"`` means depends on it.

    Returns
    -------
    list of Metric

    Raises
    ------
    ArgumentError
        If a name is unknown, given twice or that of another column of the history.
    """
    if isinstance(metrics, str | Metric) or callable(metrics):
        metrics = [metrics]
    if not isinstance(metrics, Iterable):
        raise ArgumentError(f"metrics must be a list of names, functions or Metrics, got {metrics}")
    found = [_as_metric(metric, loss) for metric in metrics]
    names = [metric.name for metric in found]
    for name in names:
        if names.count(name) > 1 or name in ("epoch", "loss", "lr") or name.startswith("val_"):
            raise ArgumentError(f"the metric name {name!r} is taken; give each metric its own")
    return found


def _as_metric(metric: Any, loss: Loss) -> Metric:
    if isinstance(metric, str):
        kind = _BUILT_IN.get(metric.lower())
        if kind is None:
            known = ", ".join(map(repr, _BUILT_IN))
            raise ArgumentError(
                f"unknown metric {metric!r}; known are {known}, or pass a function "
                "f(y_pred, y_true) -> float"
            )
        return _accuracy_for(loss) if kind is Accuracy else kind()
    if isinstance(metric, type) and issubclass(metric, Metric):
        raise ArgumentError(f"{metric.__name__} is a class; pass {metric.__name__}()")
    if isinstance(metric, Metric):
        if not metric.name:
            raise ArgumentError(f"{type(metric).__name__} needs a name to appear under")
        return metric
    if callable(metric):
        return FunctionMetric(metric, getattr(metric, "__name__", type(metric).__name__))
    raise ArgumentError(f"a metric must be a name, a function or a Metric, got {metric!r}")


def _accuracy_for(loss: Loss) -> Accuracy:
    return Accuracy(
        binary=True if isinstance(loss, BCEWithLogitsLoss) else None,
        threshold=0.5 if isinstance(loss, MSELoss | L1Loss) else 0.0,
        ignore_index=getattr(loss, "ignore_index", None),
    )
