"""Honest losses, and losses of several predictions written as layers."""

from __future__ import annotations

import math

import numpy as np

import npnet
from npnet.errors import ArgumentError, ShapeError, TargetError
from npnet.losses.loss import Terms
from zoo.honest_base import KINKS, TIES, Honest, normal, op


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


class SquaredHinge(npnet.Loss):
    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        miss = np.maximum(1 - pred * target, 0)
        return Terms(miss * miss, None, -2 * target * miss if with_grad else None)


class OfError(npnet.Loss):
    """f(pred - target), from a function and its derivative."""

    def __init__(self, value, slope, reduction="mean"):
        super().__init__(reduction)
        self.value, self.slope = value, slope

    def terms(self, pred, target, with_grad):
        error = pred - self._same_shape(pred, target)
        grad = self.slope(error).astype(pred.dtype) if with_grad else None
        return Terms(self.value(error), None, grad)


class OfMargin(OfError):
    """f(pred * target) of targets -1 and 1."""

    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        if (np.abs(target) != 1).any():
            raise TargetError("targets are -1 or 1")
        margin = pred * target
        grad = target * self.slope(margin).astype(pred.dtype) if with_grad else None
        return Terms(self.value(margin), None, grad)


class OfBoth(OfError):
    """f(pred, target)."""

    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        grad = self.slope(pred, target).astype(pred.dtype) if with_grad else None
        return Terms(self.value(pred, target), None, grad)


def of(base, value, slope, reduction="mean"):
    return lambda: base(value, slope, reduction)


def one_each(loss, pred, target):
    if target.shape != pred.shape[:1]:
        raise ShapeError(f"one target for each row of {pred.shape}, got {target.shape}", loss)
    return target


def huber(e, at=1.0):
    size = np.abs(e)
    return np.where(size <= at, 0.5 * e * e, at * (size - 0.5 * at))


def focal(x, t):
    """(1 - p)^2 of the binary cross-entropy, p the probability of what is so."""
    z = np.where(t > 0, x, -x)
    return sigmoid(-z) ** 2 * softplus(-z)


def focal_slope(x, t):
    z = np.where(t > 0, x, -x)
    q = sigmoid(-z)
    return np.where(t > 0, 1, -1) * -(q * q) * (2 * (1 - q) * softplus(-z) + q)


class Gaussian(npnet.Loss):
    """Negative log-likelihood of (n,) targets; a prediction (n, 2) is a mean and a log-variance."""

    def terms(self, pred, target, with_grad):
        mean, log_var = pred[:, 0], pred[:, 1]
        error = mean - one_each(self, pred, target).astype(pred.dtype)
        shrink = np.exp(-log_var)
        values = 0.5 * (log_var + error * error * shrink)
        grad = np.stack([error * shrink, 0.5 * (1 - error * error * shrink)], 1)
        return Terms(values, None, grad if with_grad else None)


class Dice(npnet.Loss):
    """1 - (2 p.t + 1) / (sum p + sum t + 1) for each sample, p = sigmoid(pred)."""

    def terms(self, pred, target, with_grad):
        t, p = self._same_shape(pred, target), sigmoid(pred)
        axes = tuple(range(1, pred.ndim))
        top, bottom = 2 * (p * t).sum(axes) + 1, (p + t).sum(axes) + 1
        grad = None
        if with_grad:
            around = (-1,) + (1,) * (pred.ndim - 1)
            share, bottom_ = (top / bottom).reshape(around), bottom.reshape(around)
            grad = -(2 * t - share) / bottom_ * p * (1 - p)
        return Terms(1 - top / bottom, None, grad)


class Classes(npnet.Loss):
    """Cross-entropy written by hand: class weights, smoothing, an ignored number."""

    def __init__(self, weight, smoothing=0.0, ignored=-1, reduction="mean"):
        super().__init__(reduction)
        self.weight, self.smoothing, self.ignored = weight, smoothing, ignored

    def terms(self, pred, target, with_grad):
        counts, k = one_each(self, pred, target) != self.ignored, pred.shape[1]
        label = np.where(counts, target, 0)
        shifted = pred - pred.max(1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        wanted = np.full(pred.shape, self.smoothing / k, pred.dtype)
        wanted[np.arange(len(pred)), label] += 1 - self.smoothing
        weights = np.asarray(self.weight, pred.dtype)[label] * counts
        values = -(wanted * log_p).sum(1) * weights
        grad = (np.exp(log_p) - wanted) * weights[:, None]
        return Terms(values, weights, grad if with_grad else None)


class Margins(npnet.Loss):
    """The mean of max(0, 1 - x_label + x_j) over the other classes j."""

    def terms(self, pred, target, with_grad):
        rows, target = np.arange(len(pred)), one_each(self, pred, target)
        miss = 1 - pred[rows, target][:, None] + pred
        miss[rows, target] = 0
        on = (miss > 0).astype(pred.dtype) / pred.shape[1]
        values = (miss * on).sum(1)
        on[rows, target] = -on.sum(1)
        return Terms(values, None, on if with_grad else None)


class Divergence(npnet.Loss):
    """KL divergence of probabilities, which may be zero, from log-probabilities; batchmean too."""

    means = {**npnet.Loss.means, "batchmean": lambda shape: math.prod(shape[1:])}  # noqa: RUF012

    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        log = np.log(np.where(target > 0, target, 1))
        return Terms(target * (log - pred), None, -target if with_grad else None)


class Masked(npnet.Loss):
    """Squared error where the target is a number; a missing one is NaN and does not count."""

    def terms(self, pred, target, with_grad):
        if target.shape != pred.shape:
            raise ShapeError(f"a target of {pred.shape}, got {target.shape}", self)
        known = ~np.isnan(target)
        error = np.where(known, pred - np.where(known, target, 0).astype(pred.dtype), 0)
        return Terms(error * error, known.astype(pred.dtype), 2 * error if with_grad else None)


def _probabilities(x, t):
    if not ((x > 0) & (x < 1)).all():
        raise ArgumentError("probabilities are between 0 and 1")
    return -t * np.log(x) - (1 - t) * np.log(1 - x)


def _triplet(a, p, n):
    """max(0, |a - p|^2 - |a - n|^2 + 1) for each row."""
    miss = ((a - p) ** 2).sum(-1) - ((a - n) ** 2).sum(-1) + 1
    return np.maximum(miss, 0), a, p, n, miss > 0


def _triplet_grad(grad, a, p, n, on):
    grad = 2 * (grad * on)[:, None]
    return grad * (n - p), grad * (p - a), grad * (a - n)


def _contrast(a, b):
    """The mean cross-entropy of the matrix of a b^T with the diagonal for labels."""
    z = a @ b.T
    shifted = z - z.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return -np.diagonal(log_p).mean(), a, b, np.exp(log_p)


def _contrast_grad(grad, a, b, p):
    dz = grad * (p - np.eye(len(p), dtype=p.dtype)) / len(p)
    return dz @ b, dz.T @ a


def _expectile(e):
    return np.where(e > 0, 0.8, 0.2)


_PRED = normal(4, 3)
_TARGET = normal(4, 3) + 1
_WHOLE = np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 1.0]])
_SIGNS = np.where(_PRED > 0.2, 1.0, -1.0)
_BITS = (_TARGET > 1) * 1.0
_COUNTS = np.array([[0.0, 1.0, 4.0], [2.0, 0.0, 1.0], [7.0, 3.0, 0.0], [1.0, 1.0, 1.0]])
_LABELS = np.array([0, 2, 1, 2])
_SHARES = np.array([[0.2, 0.8, 0.0], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5]])
_HOLES = np.where(_PRED > 0.5, np.nan, _TARGET)
POISSON = (lambda x, t: np.exp(x) - t * x), (lambda x, t: np.exp(x) - t)
PINBALL = (lambda e: np.maximum(-0.9 * e, 0.1 * e)), (lambda e: np.where(e > 0, 0.1, -0.9))
UNSURE = (lambda e: np.maximum(np.abs(e) - 1, 0)), (lambda e: np.sign(e) * (np.abs(e) > 1))
HINGE = (lambda m: np.maximum(1 - m, 0)), (lambda m: np.where(m < 1, -1.0, 0.0))

CASES: dict[str, Honest] = {
    # Kink._offsets: all errors on one side, which few random points are
    "pinball where every prediction is right": Honest(
        lambda: OfError(*PINBALL, reduction="sum"), (normal(8, 5), normal(8, 5))
    ),
    "mean squared error": Honest(npnet.MSELoss, (normal(4, 3), normal(4, 3) + 1)),
    "squared error of 1e9": Honest(npnet.MSELoss, (normal(4, 3, scale=1e9), normal(4, 3))),
    "squared error of 1e-9": Honest(
        npnet.MSELoss, (normal(4, 3, scale=1e-9), normal(4, 3, scale=1e-9) * 0.5)
    ),
    "absolute error at its kink": Honest(npnet.L1Loss, (KINKS, np.zeros((3, 4)))),
    "squared hinge at its margin": Honest(
        SquaredHinge, (np.array([[1.0, -1.0, 0.0, 2.0]]), np.array([[1.0, -1.0, 1.0, 1.0]]))
    ),
    "cross-entropy": Honest(npnet.CrossEntropyLoss, (normal(4, 3), np.array([0, 2, 1, 2]))),
    "cross-entropy of shifted logits": Honest(
        npnet.CrossEntropyLoss, (normal(4, 3) + 1e4, np.array([0, 2, 1, 2]))
    ),
    "cross-entropy, saturated": Honest(
        npnet.CrossEntropyLoss, (normal(4, 3, scale=50.0), np.array([0, 2, 1, 2]))
    ),
    "cross-entropy of tied logits": Honest(npnet.CrossEntropyLoss, (TIES, np.array([0, 1, 2]))),
    "cross-entropy with everything": Honest(
        lambda: npnet.CrossEntropyLoss([1.0, 2.0, 0.5], ignore_index=1, label_smoothing=0.1),
        (normal(4, 3), np.array([0, 2, 1, 2])),
    ),
    "cross-entropy with sample weights": Honest(
        npnet.CrossEntropyLoss, (normal(3, 3), np.array([0, 2, 1]), np.array([1.0, 0.0, 2.5]))
    ),
    "negative log-likelihood": Honest(npnet.NLLLoss, (normal(4, 3), np.array([0, 2, 1, 2]))),
    "binary cross-entropy": Honest(
        lambda: npnet.BCEWithLogitsLoss(pos_weight=[3.0]),
        (normal(4, 3), np.tanh(normal(4, 3)) ** 2),
    ),
    "binary cross-entropy, saturated": Honest(
        npnet.BCEWithLogitsLoss, (normal(4, 3, scale=40.0), (normal(4, 3) > 0) * 1.0)
    ),
    "terms": Honest(lambda: npnet.MSELoss("none"), (normal(4, 3), normal(4, 3) + 1)),
    "sum of absolutes": Honest(lambda: npnet.L1Loss("sum"), (normal(4, 3), normal(4, 3) + 1)),
    "huber": Honest(of(OfError, huber, lambda e: np.clip(e, -1, 1)), ((4, 3), _TARGET)),
    "huber at its knees": Honest(
        of(OfError, huber, lambda e: np.clip(e, -1, 1)), (_WHOLE, np.zeros((2, 3)))
    ),
    "absolute error with ties, summed": Honest(
        of(OfError, np.abs, np.sign, "sum"), (_WHOLE, np.zeros((2, 3)))
    ),
    "quantile": Honest(of(OfError, *PINBALL), ((4, 3), _TARGET)),
    "quantile at its kink": Honest(of(OfError, *PINBALL), (_WHOLE, _WHOLE)),
    "insensitive to small errors": Honest(of(OfError, *UNSURE), (_WHOLE, np.zeros((2, 3)))),
    "log-cosh of errors": Honest(
        of(OfError, lambda e: np.abs(e) + np.log1p(np.exp(-2 * np.abs(e))), np.tanh, "sum"),
        ((4, 3), _TARGET),
    ),
    "expectile": Honest(
        of(
            OfError,
            lambda e: (_expectile(e) * e * e).astype(e.dtype),
            lambda e: 2 * _expectile(e) * e,
        ),
        (_WHOLE, np.zeros((2, 3))),
    ),
    "charbonnier": Honest(
        of(OfError, lambda e: np.sqrt(e * e + 1e-6), lambda e: e / np.sqrt(e * e + 1e-6)),
        (_PRED, _TARGET),
    ),
    "hinge at its margin": Honest(of(OfMargin, *HINGE), (2 * _WHOLE - 1, np.ones((2, 3)))),
    "hinge": Honest(of(OfMargin, *HINGE, "sum"), ((4, 3), _SIGNS)),
    "soft margin": Honest(
        of(OfMargin, lambda m: softplus(-m), lambda m: -sigmoid(-m)), ((4, 3), _SIGNS)
    ),
    "exponential margin": Honest(
        of(OfMargin, lambda m: np.exp(-m), lambda m: -np.exp(-m)), (_PRED, _SIGNS)
    ),
    "poisson": Honest(of(OfBoth, *POISSON), (_PRED, _COUNTS)),
    "poisson, weighted": Honest(
        of(OfBoth, *POISSON), (_PRED, _COUNTS, np.array([1.0, 0.0, 2.0, 0.5]))
    ),
    "focal": Honest(of(OfBoth, focal, focal_slope), ((4, 3), _BITS)),
    "focal, terms": Honest(of(OfBoth, focal, focal_slope, "none"), (3 * _PRED, _BITS)),
    "binary cross-entropy of probabilities": Honest(
        of(OfBoth, _probabilities, lambda x, t: (x - t) / (x * (1 - x))),
        (np.clip(np.tanh(_PRED) ** 2, 0.01, 0.99), _BITS),
    ),
    "gaussian": Honest(Gaussian, (normal(4, 2), normal(4) + 1)),
    "dice": Honest(Dice, ((4, 3), _BITS)),
    "dice of images": Honest(lambda: Dice("sum"), (normal(2, 3, 2), normal(2, 3, 2) > 0)),
    "class weights": Honest(lambda: Classes([1.0, 0.0, 2.5]), ((4, 3), _LABELS)),
    "smoothed labels, one ignored": Honest(
        lambda: Classes([1.0, 2.0, 0.5], 0.2, ignored=1), ((4, 3), _LABELS)
    ),
    "cross-entropy by hand, far apart": Honest(
        lambda: Classes([1.0, 1.0, 1.0]), (100 * _PRED, _LABELS)
    ),
    "margins of classes": Honest(Margins, ((4, 3), _LABELS)),
    "margins of classes, tied": Honest(Margins, (np.zeros((4, 3)), _LABELS)),
    "divergence": Honest(lambda: Divergence("batchmean"), (_PRED, _SHARES)),
    "divergence, weighted": Honest(Divergence, (_PRED, _SHARES, np.array([1.0, 2.0, 0.0, 1.0]))),
    "missing targets": Honest(Masked, (_PRED, _HOLES)),
    "triplets": Honest(
        op(_triplet, _triplet_grad), (normal(4, 3), normal(4, 3) * 0.5, normal(4, 3) + 0.3)
    ),
    "triplets of zeros": Honest(op(_triplet, _triplet_grad), (np.zeros((2, 3)),) * 3),
    "contrast in the batch": Honest(
        op(_contrast, _contrast_grad), (normal(4, 3), normal(4, 3) + 0.3), {"batch_axis": None}
    ),
}
