"""Loss, the base of all losses: reduction, sample weights and the checks they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from npnet.arguments import choice
from npnet.configured import Configured
from npnet.convert import floating_dtype, real_array
from npnet.errors import ArgumentError, ShapeError, shape_error
from npnet.losses.weights import as_factor
from npnet.typing import Array, ArrayLike


class Terms(NamedTuple):
    """What a loss computes before it is reduced.

    ``values`` are the terms of the loss; ``weights`` of the same shape are what the mean divides
    by the sum of, None for all ones; ``grad`` is the gradient of the terms' sum with respect to
    the prediction, None if nobody asked, and belongs to whoever receives it. ``axes`` are the
    axes of the prediction that one term stands for (the class axis), so that a term's factor can
    be stretched over them.
    """

    values: Array
    weights: Array | None
    grad: Array | None
    axes: tuple[int, ...] = ()


class LossValue(NamedTuple):
    """A reduced loss.

    ``value`` is the loss, ``grad`` its gradient or None, and ``weight`` what a mean was divided
    by, so that the means of batches can be joined exactly.
    """

    value: Any
    grad: Array | None
    weight: float


class Loss(Configured):
    """Base of all losses.

    A subclass writes ``terms(pred, target, with_grad)``.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides the sum of the terms by the sum of their weights (their number,
        unless there are class or sample weights).
    """

    _shows_defaults = False

    habits: ClassVar[Mapping[str, str]] = {
        "backward": "loss, grad = loss_fn.value_and_grad(pred, target); tape.backward(grad)",
        "forward": "call the loss: loss_fn(pred, target)",
    }

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = choice(self, "reduction", reduction, ("mean", "sum", "none"))

    def __call__(
        self, pred: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Any:
        """Compute the loss.

        Parameters
        ----------
        pred : array_like
            The model's output.
        target : array_like
            What it should have been; see the class for its shape.
        sample_weight : array_like, shape (n,) or that of the terms, optional
            Non-negative factors of the samples' terms. A mean divides by their sum, so that a
            weight of 2 equals the sample given twice.

        Returns
        -------
        float, or ndarray with ``reduction="none"``
        """
        return self.evaluate(pred, target, sample_weight, with_grad=False).value

    def value_and_grad(
        self, pred: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[Any, Array]:
        """Compute the loss and its gradient with respect to `pred`.

        Parameters
        ----------
        pred, target, sample_weight
            As for a call.

        Returns
        -------
        value : float, or ndarray with ``reduction="none"``
        grad : ndarray, shape of `pred`
            Of the sum of the terms with ``reduction="none"``.
        """
        value, grad, _ = self.evaluate(pred, target, sample_weight)
        if grad is None:
            raise ArgumentError(f"{type(self).__name__}.terms returned no gradient")
        return value, grad

    def evaluate(
        self,
        pred: ArrayLike,
        target: ArrayLike,
        sample_weight: ArrayLike | None = None,
        with_grad: bool = True,
    ) -> LossValue:
        """Compute value, gradient and the weight of the mean in one go.

        Parameters
        ----------
        pred, target, sample_weight
            As for a call.
        with_grad : bool
            Whether to compute the gradient.

        Returns
        -------
        LossValue
        """
        pred = real_array(pred, "prediction", self).astype(floating_dtype(pred), copy=False)
        terms = self.terms(pred, real_array(target, "target", self), with_grad)
        if not isinstance(terms, Terms):
            raise ArgumentError(
                f"{type(self).__name__}.terms must return npnet.losses.loss.Terms(values, weights, "
                f"grad, axes), it returned {type(terms).__name__}"
            )
        values, weights, grad, axes = terms
        if sample_weight is not None:
            factor = as_factor(self, sample_weight, values)
            values = values * factor
            weights = factor if weights is None else weights * factor
            if grad is not None:
                grad *= np.expand_dims(factor, axes)
        if self.reduction == "mean" and values.size == 0:
            raise ShapeError(
                f"the mean over an empty batch is undefined (predictions of shape {pred.shape})",
                self,
            )
        weight = float(values.size if weights is None else weights.sum(dtype=np.float64))
        if self.reduction == "none":
            return LossValue(values, grad, weight)
        total = float(np.add.reduce(values, axis=None, dtype=np.float64))
        if self.reduction == "sum":
            return LossValue(total, grad, weight)
        if weight == 0:  # as in PyTorch: nothing counts, so the mean is undefined
            if grad is not None:
                grad[grad != 0] = np.nan
            return LossValue(float("nan"), grad, weight)
        if grad is not None:
            grad *= 1 / weight
        return LossValue(total / weight, grad, weight)

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms of the loss, their weights and the gradient of their sum.

        Parameters
        ----------
        pred : ndarray
            Of a floating dtype.
        target : ndarray
            Unchecked.
        with_grad : bool
            Whether the gradient is wanted.

        Returns
        -------
        Terms
        """
        raise NotImplementedError(f"{type(self).__name__} has no terms(self, pred, ...)")

    def _same_shape(self, pred: Array, target: Array) -> Array:
        """Check a target that must look like the prediction; never broadcast."""
        if target.shape != pred.shape:
            hint = "targets are never broadcast"
            if target.size == pred.size:
                hint += f"; did you mean target.reshape{pred.shape}?"
            raise shape_error(self, str(pred.shape), target.shape, hint, what="target")
        return target if target.dtype == pred.dtype else target.astype(pred.dtype)
