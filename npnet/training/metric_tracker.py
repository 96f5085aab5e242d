"""MetricTracker, which joins the loss and the metrics of batches into those of the whole set."""

from __future__ import annotations

import copy
import inspect
import math
from typing import Any

import numpy as np

from npnet.arguments import function_name, instance, refusal, shown
from npnet.convert import is_sparse
from npnet.errors import ArgumentError, UnknownNameError
from npnet.losses import BCELoss, HuberLoss, L1Loss, Loss, MSELoss, SmoothL1Loss, SoftMarginLoss
from npnet.losses.binary import BinaryLoss
from npnet.losses.classification import ClassLoss
from npnet.losses.loss import LossValue
from npnet.training.metrics import (
    Accuracy,
    FunctionMetric,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    R2Score,
)
from npnet.training.names import suggest


class Results(dict[str, float]):
    """Loss and metrics by name; an unknown name is answered."""

    def __missing__(self, name: Any) -> float:
        hint = suggest(name, self) or f"there are {', '.join(self)}"
        raise UnknownNameError(f"the results have no {shown(name)}; {hint}")


class MetricTracker:
    """Loss and metrics of one pass over data, joined from its batches.

    Parameters
    ----------
    loss : Loss
        Its `reduction` says whether batches are averaged or added.
    metrics : list of Metric
        Copied.
    """

    __slots__ = ("_evaluate", "_joined", "_loss", "_mean", "_metrics", "_penalized", "_penalty",
                 "_plain", "batches", "weight")  # fmt: skip

    def __init__(self, loss: Loss, metrics: list[Metric]) -> None:
        self._loss = loss
        self._evaluate: Any = loss.evaluate
        self._plain = (loss.arguments, loss.predictions) == _PLAIN
        self._mean = loss.reduction in loss.means
        self._metrics = copy.deepcopy(metrics)
        self._joined = 0.0
        self._penalty = self._penalized = 0.0  # the mean penalty, and the weight it has
        self.weight = 0.0
        self.batches = 0

    def add(self, outputs: Any, target: Any, weight: Any, with_grad: bool = True) -> LossValue:
        """Compute the loss of a batch and count it.

        `outputs` are the model's, for several predictions a tuple in the loss's order; `target` has
        the loss's other arguments likewise.
        """
        self.batches += 1
        if self._plain and type(outputs) is not tuple and type(target) is not tuple:
            result = self._evaluate(outputs, target, sample_weight=weight, with_grad=with_grad)
        else:
            outputs = outputs if type(outputs) is tuple else (outputs,)
            target = target if type(target) is tuple else (target,)
            arrays = _in_order(self._loss, outputs, target)
            result = self._evaluate(*arrays, sample_weight=weight, with_grad=with_grad)
            outputs, target = outputs[0], target[0] if target else None
        if result.weight:  # a mean in which nothing counts is NaN, and joins nothing
            self.weight += result.weight
            if self._mean:  # a share, for a value times a tiny weight would lose digits
                share = result.weight / self.weight
                self._joined += (result.value - self._joined) * share
            else:
                self._joined += result.value
        if self._metrics:
            target = target.toarray() if is_sparse(target) else np.asarray(target)
            for metric in self._metrics:
                metric.update(outputs, target)
        found: LossValue = result
        return found

    def add_penalty(self, value: float, weight: float) -> None:
        """Count a penalty on parameters; of several the loss contains the weighted mean."""
        if weight:
            self._penalized += weight
            self._penalty += (value - self._penalty) * (weight / self._penalized)

    @property
    def loss(self) -> float:
        """The loss of the batches so far, with their penalties."""
        empty = self._mean and not self.weight
        return math.nan if empty else float(self._joined) + self._penalty

    def results(self) -> dict[str, float]:
        """Return loss and metrics by name."""
        return Results({"loss": self.loss, **{m.name: _number(m) for m in self._metrics}})


_PLAIN = (("pred", "target"), ("pred",))


def _in_order(loss: Loss, outputs: tuple[Any, ...], targets: tuple[Any, ...]) -> list[Any]:
    """Return the arrays that a loss of several predictions or targets takes, in its order."""
    arguments, predictions = loss.arguments, loss.predictions
    others = tuple(name for name in arguments if name not in predictions)
    named: dict[str, Any] = {}
    for kind, names, given, who in (
        ("prediction", predictions, outputs, "the model returns"),
        ("target", others, targets, "y holds"),
    ):
        if len(names) != len(given):
            raise ArgumentError(
                f"{type(loss).__name__} takes {len(names)} {kind}{'s' * (len(names) != 1)} "
                f"({', '.join(names)}), and {who} {len(given)}"
            )
        named |= dict(zip(names, given, strict=True))
    return [named[name] for name in arguments]


def _number(metric: Metric) -> float:
    value = metric.result()
    if np.ndim(value) or np.asarray(value).dtype.kind not in "biuf":
        kind = "one real number"
        raise refusal("Trainer", f"the metric {metric.name}", kind, value)
    return float(value)


_NAMED: dict[str, type[Metric]] = {
    metric.name: metric for metric in (Accuracy, MeanAbsoluteError, MeanSquaredError, R2Score)
}


def as_metrics(metrics: Any, loss: Loss) -> list[Metric]:
    """Turn the argument ``metrics`` of the Trainer into metric objects that suit the loss."""
    found = [_as_metric(metric, loss) for metric in metrics]
    names = [metric.name for metric in found]
    for name in names:
        if names.count(name) > 1 or name in ("epoch", "loss", "lr") or name.startswith("val_"):
            raise ArgumentError(f"the metric name {name!r} is taken; give each metric its own")
    return found


def _as_metric(metric: Any, loss: Loss) -> Metric:
    if isinstance(metric, str):
        named = _NAMED.get(metric.lower())
        if named is None:
            known = ", ".join(map(repr, _NAMED))
            hint = suggest(metric, _NAMED) or "pass a function f(y_pred, y_true) -> float"
            raise refusal("Trainer", "the name of a metric", f"one of {known}", metric, hint)
        if named is Accuracy:
            return _accuracy_for(loss)
        if isinstance(loss, BinaryLoss | ClassLoss) and not isinstance(loss, BCELoss):
            raise ArgumentError(
                f"{metric!r} measures distances from the targets, and the predictions of "
                f"{type(loss).__name__} are no values but logits of classes; use 'accuracy'"
            )
        return named()
    if isinstance(metric, Metric):
        if not isinstance(metric.name, str) or not metric.name:
            raise ArgumentError(f"{type(metric).__name__} needs a name to appear under")
        return metric
    if isinstance(metric, type):
        instance("Trainer", "a metric", metric, Metric)
    kind = "a name, a Metric or a function f(y_pred, y_true) -> float"
    name = function_name("Trainer", "metric", metric, kind, "y_pred", "y_true")
    try:
        takes = list(inspect.signature(metric).parameters)
    except ValueError:  # of some built-in functions nobody knows it
        takes = []
    if takes[:2] == ["y_true", "y_pred"]:
        raise ArgumentError(
            f"the metric {name} takes (y_true, y_pred), but is given the predictions first; "
            f"pass a function: def score(y_pred, y_true): return {name}(y_true, y_pred)"
        )
    return FunctionMetric(metric, name)


def _accuracy_for(loss: Loss) -> Accuracy:
    binary = isinstance(loss, BinaryLoss | SoftMarginLoss)
    threshold = 0.0 if binary else None
    if isinstance(loss, BCELoss | MSELoss | L1Loss | SmoothL1Loss | HuberLoss):
        threshold = 0.5
    return Accuracy(
        binary=binary or None,
        threshold=threshold,
        ignore_index=vars(loss).get("ignore_index"),
    )
