"""Losses that compare predictions: MarginRankingLoss, CosineEmbeddingLoss and TripletMarginLoss."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

import numpy as np

from npnet.arguments import flag, real_number
from npnet.errors import shape_error
from npnet.losses.checks import TINY, as_signs
from npnet.losses.loss import Loss, Terms
from npnet.ops.norms import vector_norm, vector_norm_grad
from npnet.typing import Array


class MarginRankingLoss(Loss):
    """Two scores of which one shall exceed the other by the margin, one term for each pair.

    The terms are max(0, -target (input1 - input2) + margin). Called as
    ``loss(input1, input2, target)``; both scores have a gradient.

    Parameters
    ----------
    margin : float
        In the unit of the scores.
    reduction : {"mean", "sum", "none"}
        The mean is over all elements.

    Raises
    ------
    TargetError
        In a call, if a target is not 1 (the first shall be larger), -1 (the second) or 0 (no
        order).
    ShapeError
        In a call, if the three arrays differ in shape; nothing is broadcast.

    Notes
    -----
    At the margin, where the derivative jumps, it is that of the positive side, as in PyTorch.

    References
    ----------
    ``torch.nn.MarginRankingLoss``.

    Examples
    --------
    >>> import npnet
    >>> loss = npnet.MarginRankingLoss(margin=0.5)
    >>> value, (dinput1, dinput2) = loss.value_and_grad([1.0], [2.0], [1])
    >>> value, dinput1.tolist(), dinput2.tolist()
    (1.5, [-1.0], [1.0])
    """

    arguments: ClassVar = ("input1", "input2", "target")
    predictions: ClassVar = ("input1", "input2")
    checks: ClassVar = {**Loss.checks, "margin": real_number}

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def terms(self, input1: Array, input2: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms, and -target and target where they are positive."""
        input2 = self._same_shape(input1, input2, "input2")
        sign = as_signs(self, input1, self._same_shape(input1, target), zero=True)
        values = sign * (input2 - input1) + self.margin
        slope = sign * (values >= 0)
        return Terms(np.maximum(values, 0), None, (-slope, slope))


class CosineEmbeddingLoss(Loss):
    """Vectors that shall point the same way, or not: one term for each pair.

    With c the cosine of the angle between the two, the terms are 1 - c where the target is 1, and
    max(0, c - margin) where it is -1. Called as ``loss(input1, input2, target)``; both vectors
    have a gradient.

    Parameters
    ----------
    margin : float
        A cosine.
    reduction : {"mean", "sum", "none"}
        The mean is over the pairs.

    Raises
    ------
    TargetError
        In a call, if a target is neither -1 nor 1.
    ShapeError
        In a call, unless both inputs have shape (n, d) and the target (n,), or (d,) and ().

    Notes
    -----
    At the margin, where the derivative jumps, it is the one above, as in PyTorch. The cosine with a
    vector of zeros is 0.

    References
    ----------
    ``torch.nn.CosineEmbeddingLoss``.

    Examples
    --------
    >>> import npnet
    >>> npnet.CosineEmbeddingLoss(reduction="none")([[3.0, 4.0]] * 2, [[3.0, 4.0]] * 2, [1, -1])
    array([0., 1.], dtype=float32)
    """

    arguments: ClassVar = ("input1", "input2", "target")
    predictions: ClassVar = ("input1", "input2")
    checks: ClassVar = {**Loss.checks, "margin": real_number}

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def terms(self, input1: Array, input2: Array, target: Array, with_grad: bool) -> Terms:
        """Compute the terms, and the gradients of -c or c."""
        if not 1 <= input1.ndim <= 2:
            raise shape_error(self, "(n, d) or (d,)", input1.shape, what="input1")
        a, b = input1, self._same_shape(input1, input2, "input2")
        if target.shape != a.shape[:-1]:
            raise shape_error(self, str(a.shape[:-1]), target.shape, what="target")
        same = as_signs(self, a, target)[..., np.newaxis] == 1
        aa, bb, ab = ((x * y).sum(-1, keepdims=True) for x, y in ((a, a), (b, b), (a, b)))
        aa, bb = aa + TINY, bb + TINY  # the cosine with a vector of zeros is 0
        lengths = np.sqrt(aa * bb)
        cosine = ab / lengths
        excess = cosine - self.margin
        values = np.where(same, 1 - cosine, np.maximum(excess, 0))[..., 0]
        if not with_grad:
            return Terms(values, None, None)
        slope = np.where(same, -1, excess >= 0).astype(a.dtype)
        grad = b / lengths - cosine * a / aa, a / lengths - cosine * b / bb
        return Terms(values, None, (slope * grad[0], slope * grad[1]))


def _as_power(loss: Any, name: str, value: Any) -> float:
    """Return the p of a norm."""
    if isinstance(value, float) and value == math.inf:
        return math.inf
    return real_number(loss, name, value, above=0)


class TripletMarginLoss(Loss):
    """An anchor that shall be nearer to the positive than to the negative, by the margin.

    The terms are max(0, d(anchor, positive) - d(anchor, negative) + margin), one for each triplet,
    with the distance d(a, b) = (sum (a - b + eps)^p)^(1/p) of absolute values over the last axis.
    Called as ``loss(anchor, positive, negative)``; all three have a gradient.

    Parameters
    ----------
    margin : float
        Above 0, in the unit of the distance.
    p : float
        The norm, above 0; infinity takes the largest difference.
    eps : float
        What keeps the distance of equals differentiable.
    swap : bool
        Whether to take the distance of positive and negative where that is smaller than the one
        of anchor and negative.
    reduction : {"mean", "sum", "none"}
        The mean is over the triplets.

    Raises
    ------
    ShapeError
        In a call, unless all three have one shape (..., d); nothing is broadcast.

    Notes
    -----
    At the margin, where the derivative jumps, it is that of the positive side, and where `swap`
    finds two equal distances each has half of it, as in PyTorch.

    References
    ----------
    ``torch.nn.TripletMarginLoss``; Balntas et al., BMVC (2016) 119.

    Examples
    --------
    >>> import npnet
    >>> round(npnet.TripletMarginLoss()([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 2.0]]), 3)
    4.0
    """

    arguments: ClassVar = ("anchor", "positive", "negative")
    predictions: ClassVar = ("anchor", "positive", "negative")
    checks: ClassVar = {
        **Loss.checks, "margin": partial(real_number, above=0), "p": _as_power,
        "eps": real_number, "swap": flag,
    }  # fmt: skip

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def terms(self, anchor: Array, positive: Array, negative: Array, with_grad: bool) -> Terms:
        """Compute the terms, and the gradients of the distances where they are positive."""
        if anchor.ndim == 0 or anchor.shape[-1] == 0:
            raise shape_error(self, "(..., d)", anchor.shape, what="anchor")
        positive = self._same_shape(anchor, positive, "positive")
        negative = self._same_shape(anchor, negative, "negative")
        near, far = anchor - positive + self.eps, anchor - negative + self.eps
        d_near, d_far = vector_norm(near, self.p, -1), vector_norm(far, self.p, -1)
        values, share = d_near - d_far + self.margin, np.ones((), anchor.dtype)
        if self.swap:
            other = positive - negative + self.eps
            d_other = vector_norm(other, self.p, -1)
            values = d_near - np.minimum(d_far, d_other) + self.margin
            share = np.where(d_far == d_other, 0.5, d_far < d_other).astype(anchor.dtype)
        found = np.maximum(values, 0)[..., 0]
        if not with_grad:
            return Terms(found, None, None)
        on = (values >= 0).astype(anchor.dtype)
        of_near = vector_norm_grad(on, near, d_near, self.p, -1)
        of_far = vector_norm_grad(on * share, far, d_far, self.p, -1)
        grad = of_near - of_far, -of_near, of_far
        if self.swap:
            of_other = vector_norm_grad(on * (1 - share), other, d_other, self.p, -1)
            grad = grad[0], grad[1] - of_other, grad[2] + of_other
        return Terms(found, None, grad)
