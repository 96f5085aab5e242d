"""Losses as in PyTorch that the tests define: several predictions, a reduction of their own."""

import math

import numpy as np

from npnet.losses import Loss, Terms


class GaussianNLLLoss(Loss):
    arguments, predictions = ("mean", "target", "var"), ("mean", "var")

    def __init__(self, full=False, eps=1e-6, reduction="mean"):
        super().__init__(reduction)
        self.full = full
        self.eps = eps

    def terms(self, mean, target, var, with_grad):
        error = mean - self._same_shape(mean, target)
        var = np.maximum(var, self.eps).reshape(var.shape + (1,) * (mean.ndim - var.ndim))
        values = 0.5 * (np.log(var) + error**2 / var)
        if self.full:
            values += 0.5 * math.log(2 * math.pi)
        # That of var has the shape of the terms, also where var is broadcast over them.
        return Terms(values, None, (error / var, 0.5 * (1 - error**2 / var) / var))


class TripletMarginLoss(Loss):
    arguments = predictions = ("anchor", "positive", "negative")

    def __init__(self, margin=1.0, eps=1e-6, reduction="mean"):
        super().__init__(reduction)
        self.margin = margin
        self.eps = eps

    def terms(self, anchor, positive, negative, with_grad):
        near, far = anchor - positive + self.eps, anchor - negative + self.eps
        d_near, d_far = (np.sqrt((e**2).sum(-1, keepdims=True)) for e in (near, far))
        values = d_near - d_far + self.margin
        counts = values > 0
        near, far = counts * near / d_near, counts * far / d_far
        return Terms(np.maximum(values, 0)[..., 0], None, (near - far, -near, far))


class CosineEmbeddingLoss(Loss):
    arguments, predictions = ("input1", "input2", "target"), ("input1", "input2")

    def __init__(self, margin=0.0, reduction="mean"):
        super().__init__(reduction)
        self.margin = margin

    def terms(self, a, b, target, with_grad):
        aa, bb, ab = ((x * y).sum(1, keepdims=True) for x, y in ((a, a), (b, b), (a, b)))
        norm = np.sqrt(aa * bb)
        cosine = ab / norm
        same = target[:, np.newaxis] == 1
        values = np.where(same, 1 - cosine, np.maximum(cosine - self.margin, 0))
        slope = np.where(same, -1, cosine > self.margin).astype(a.dtype)
        grad = slope * (b / norm - cosine * a / aa), slope * (a / norm - cosine * b / bb)
        return Terms(values[:, 0], None, grad)


class MarginRankingLoss(Loss):
    arguments, predictions = ("input1", "input2", "target"), ("input1", "input2")

    def __init__(self, margin=0.0, reduction="mean"):
        super().__init__(reduction)
        self.margin = margin

    def terms(self, a, b, target, with_grad):
        values = np.maximum(target.astype(a.dtype) * (b - a) + self.margin, 0)
        slope = target * (values > 0)  # integers, where the target holds integers
        return Terms(values, None, (-slope, slope))


class KLDivLoss(Loss):
    means = {**Loss.means, "batchmean": lambda shape: math.prod(shape[1:])}  # noqa: RUF012

    def __init__(self, reduction="mean", log_target=False):
        super().__init__(reduction)
        self.log_target = log_target

    def terms(self, pred, target, with_grad):
        target = self._same_shape(pred, target)
        p = np.exp(target) if self.log_target else target
        log_p = target if self.log_target else np.log(np.where(p > 0, p, 1))
        return Terms(p * (log_p - pred), None, -p)
