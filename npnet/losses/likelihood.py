"""Losses of distributions: ChiSquareLoss, GaussianNLLLoss, PoissonNLLLoss and KLDivLoss."""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar

import numpy as np

from npnet.arguments import flag, real_number
from npnet.errors import ArgumentError, shape_error
from npnet.losses.checks import cast, require
from npnet.losses.loss import Loss, Terms
from npnet.typing import Array


class ChiSquareLoss(Loss):
    """Squared error in units of the known error: terms ((pred - target) / error)^2.

    With ``reduction="sum"`` this is the chi-square of a fit. Called as
    ``loss(pred, target, error)``.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    TargetError
        In a call, if an error is not positive.
    ShapeError
        In a call, if the target has another shape than the prediction, or the errors have neither
        that shape nor one error for each sample, shape (n,).

    References
    ----------
    Bevington and Robinson, Data Reduction and Error Analysis for the Physical Sciences, ch. 6.

    Examples
    --------
    >>> import npnet
    >>> npnet.ChiSquareLoss("sum")([1.0, 2.0], [2.0, 5.0], [0.5, 3.0])
    5.0
    """

    arguments: ClassVar = ("pred", "target", "error")

    def terms(self, pred: Array, target: Array, error: Array, with_grad: bool) -> Terms:
        """Compute the squares and 2 * (pred - target) / error^2."""
        target = self._same_shape(pred, target)
        if error.shape == pred.shape[:1]:
            error = error.reshape(error.shape + (1,) * (pred.ndim - error.ndim))
        elif error.shape != pred.shape:
            expected = f"{pred.shape[:1]} or {pred.shape}"
            raise shape_error(self, expected, error.shape, what="error")
        error = cast(self, "error", error, pred.dtype)
        require(self, "error", error, error > 0, "positive errors")
        pull = (pred - target) / error
        return Terms(pull * pull, None, 2 * pull / error if with_grad else None)


class GaussianNLLLoss(Loss):
    """Negative log-likelihood of normal distributions, of which mean and variance are predicted.

    The terms are (log v + (pred - target)^2 / v) / 2 with v = max(var, eps), one for each element.
    Called as ``loss(pred, target, var)``; mean and variance both have a gradient. That of the
    variance is, as in PyTorch, not the derivative where var < eps: the maximum is passed over, so
    that a variance that became too small can grow again.

    Parameters
    ----------
    full : bool
        Whether to add the constant log(2 pi) / 2.
    eps : float
        The smallest variance, above 0.
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    ArgumentError
        In a call, if a variance is negative.
    ShapeError
        In a call, if the target has another shape than the prediction. The variance has that
        shape, or lacks its last axis, or has 1 in place of one size, or is a single number.

    References
    ----------
    ``torch.nn.GaussianNLLLoss``; Nix and Weigend, Proc. IEEE ICNN (1994) 55.

    Examples
    --------
    >>> import npnet
    >>> value, (dpred, dvar) = npnet.GaussianNLLLoss().value_and_grad([3.0], [1.0], [1.0])
    >>> value, dpred.tolist(), dvar.tolist()
    (2.0, [2.0], [-1.5])
    """

    arguments: ClassVar = ("pred", "target", "var")
    predictions: ClassVar = ("pred", "var")
    checks: ClassVar = {**Loss.checks, "full": flag, "eps": partial(real_number, above=0)}

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def terms(self, pred: Array, target: Array, var: Array, with_grad: bool) -> Terms:
        """Compute the terms, and (pred - target) / v and (1 - (pred - target)^2 / v) / (2 v)."""
        target, var = self._same_shape(pred, target), self._variance(pred, var)
        error, v = pred - target, np.maximum(var, self.eps)
        square = error * error / v
        values = 0.5 * (np.log(v) + square)
        if self.full:
            values += 0.5 * math.log(2 * math.pi)
        # That of the variance has the shape of the terms, also where it is broadcast over them.
        return Terms(values, None, (error / v, 0.5 * (1 - square) / v) if with_grad else None)

    def _variance(self, pred: Array, var: Array) -> Array:
        """Return the variances in a shape that broadcasts over the terms."""
        require(self, "var", var, ~(var < 0), "variances of at least 0", ArgumentError)
        other = [m for n, m in zip(pred.shape, var.shape, strict=False) if n != m]
        if var.shape == pred.shape[:-1]:
            var = var[..., np.newaxis]
        elif var.ndim and (var.ndim != pred.ndim or other not in ([], [1])):
            expected = f"{pred.shape} or {pred.shape[:-1]}, or with 1 in place of one size"
            raise shape_error(self, expected, var.shape, what="var")
        return cast(self, "var", var, pred.dtype)


class PoissonNLLLoss(Loss):
    """Negative log-likelihood of Poisson distributions, of which the logarithm is predicted.

    The terms are exp(pred) - target * pred, or pred - target * log(pred + eps) if the rate itself
    is predicted, one for each element.

    Parameters
    ----------
    log_input : bool
        Whether predictions are logarithms of rates. A negative rate has the loss NaN.
    full : bool
        Whether to add Stirling's approximation of log(target!), which is
        target log(target) - target + log(2 pi target) / 2 for targets above 1, and 0 for others.
    eps : float
        What keeps the logarithm of a rate of 0 finite, above 0.
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    TargetError
        In a call, if a target is negative.
    ShapeError
        In a call, if target and prediction differ in shape; nothing is broadcast.

    References
    ----------
    ``torch.nn.PoissonNLLLoss``.

    Examples
    --------
    >>> import npnet
    >>> npnet.PoissonNLLLoss(reduction="none")([0.0, 0.0], [3, 0]).tolist()
    [1.0, 1.0]
    """

    checks: ClassVar = {
        **Loss.checks, "log_input": flag, "full": flag, "eps": partial(real_number, above=0)
    }  # fmt: skip

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms, and exp(pred) - target or 1 - target / (pred + eps)."""
        target = self._same_shape(pred, target)
        require(self, "target", target, ~(target < 0), "counts of at least 0")
        if self.log_input:
            rate = np.exp(pred)
            values, grad = rate - target * pred, rate - target
        else:
            rate = pred + self.eps
            values, grad = pred - target * np.log(rate), 1 - target / rate
        if self.full:
            t = np.where(target <= 1, 1, target)
            stirling = t * np.log(t) - t + 0.5 * np.log(2 * math.pi * t)
            values += np.where(target <= 1, 0, stirling)
        return Terms(values, None, grad if with_grad else None)


class KLDivLoss(Loss):
    """Kullback-Leibler divergence: terms t * (log t - pred), one for each element.

    The prediction is a logarithm of probabilities, as `LogSoftmax` returns it, and the target t
    the true probabilities. A term is 0 where t is 0, and NaN where t is negative.

    Parameters
    ----------
    reduction : {"mean", "batchmean", "sum", "none"}
        ``"batchmean"`` divides the sum by the number of samples, as the divergence is defined;
        ``"mean"`` by that of all elements.
    log_target : bool
        Whether the target is log t.

    Raises
    ------
    ShapeError
        In a call, if target and prediction differ in shape; nothing is broadcast.

    References
    ----------
    ``torch.nn.KLDivLoss``; Kullback and Leibler, Ann. Math. Statist. 22 (1951) 79.

    Examples
    --------
    >>> import numpy as np
    >>> import npnet
    >>> pred = np.log([[0.5, 0.25, 0.25]])
    >>> round(npnet.KLDivLoss("batchmean")(pred, [[0.5, 0.5, 0.0]]), 4)
    0.3466
    """

    means: ClassVar = {**Loss.means, "batchmean": lambda shape: math.prod(shape[1:])}
    checks: ClassVar = {**Loss.checks, "log_target": flag}

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def terms(self, pred: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms and -t."""
        target = self._same_shape(pred, target)
        t = np.exp(target) if self.log_target else target
        log_t = target if self.log_target else np.log(t)
        values = t * log_t - t * pred
        return Terms(np.where((t == 0) & ~np.isnan(pred), 0, values), None, -t)
