"""LossSpecimen, the loss under examination: fresh copies of it, its arguments, and calls."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import numpy as np

from npnet.gradcheck.contract.calls import Fault
from npnet.gradcheck.raised import describe
from npnet.gradcheck.subject import call_loss, unseal
from npnet.losses.loss import Loss
from npnet.typing import Array, DtypeLike


class LossSpecimen:
    """One loss under examination.

    Parameters
    ----------
    loss : Loss
    pred : ndarray
        In float64.
    target : ndarray
    weight : ndarray, optional
        Sample weights.
    """

    def __init__(self, loss: Loss, pred: Array, target: Array, weight: Array | None) -> None:
        self.loss = loss
        self.pred = pred
        self.target = target
        self.weight = weight

    def fresh(self, reduction: str | None = None) -> Loss:
        """Return a copy, with another reduction if one is given."""
        try:
            loss = copy.deepcopy(self.loss)
        except Exception as error:
            raise Fault(f"copy.deepcopy raised {describe(error)}") from error
        unseal(loss)
        if reduction is not None:
            loss.reduction = reduction
        return loss

    def arrays(self, dtype: DtypeLike = np.float64) -> tuple[Any, ...]:
        """Return copies of prediction, target and, if there are any, sample weights."""
        given = (self.target,) if self.weight is None else (self.target, self.weight)
        return (self.pred.astype(dtype), *(np.array(a) for a in given))

    def call(self, loss: Loss, *arrays: Any) -> tuple[Any, Array]:
        """Return value and gradient."""
        try:
            value, grad = call_loss(loss.value_and_grad, *(arrays or self.arrays()))
        except Exception as error:
            raise Fault(f"value_and_grad raised {describe(error)}") from error
        if not isinstance(grad, np.ndarray | np.generic) or grad.dtype.kind not in "fiub":
            raise Fault(f"value_and_grad returned {type(grad).__name__} as the gradient")
        return value, np.asarray(grad)

    def summed(self, *arrays: Any) -> tuple[float, Array]:
        """Return value and gradient of the sum of the terms."""
        value, grad = self.call(self.fresh("sum"), *arrays)
        return float(value), grad

    @cached_property
    def samples(self) -> int:
        """Number of samples along axis 0, 0 if the loss takes no other number of them."""
        terms = np.asarray(self.call(self.fresh("none"))[0])
        n = self.pred.shape[0] if self.pred.ndim else 0
        if any(a.shape[:1] != (n,) for a in (terms, *self.arrays())):
            return 0
        try:
            self.call(self.fresh("none"), *self.rows([*range(n), *range(n)]))
        except Fault:
            return 0
        return n

    def rows(self, rows: list[int]) -> tuple[Any, ...]:
        """Return prediction, target and weights of some samples."""
        chosen = np.array(rows, np.intp)
        return tuple(a[chosen] for a in self.arrays())
