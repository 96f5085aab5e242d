"""LossUnderTest, the loss that is checked: copies of it, its arguments, and calls."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from npnet.gradcheck.attributes import unseal
from npnet.gradcheck.comparison import mismatch
from npnet.gradcheck.error_text import describe
from npnet.gradcheck.passes import Fault
from npnet.losses.loss import Loss
from npnet.typing import Array, DtypeLike


class LossUnderTest:
    """One loss that is checked, with its arguments; `pred` is in float64."""

    def __init__(self, loss: Loss, pred: Array, target: Array, weight: Array | None = None) -> None:
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

    def reduced(self, reduction: str, *arrays: Any) -> tuple[Array, Array]:
        """Return value and gradient with another reduction."""
        value, grad = self.call(self.fresh(reduction), *arrays)
        return np.asarray(value), grad

    @cached_property
    def no_function(self) -> str:
        """Why the loss cannot be differentiated; empty if it can."""
        loss = self.fresh()
        one, two = (np.asarray(self.call(loss)[0]) for _ in range(2))
        return "two calls with the same arguments differ" if mismatch(two, one) else ""

    @cached_property
    def rounding(self) -> float:
        """The rounding error of a sum of the terms, which may cancel."""
        terms, _ = self.reduced("none")
        return float(64 * np.finfo(np.float64).eps * np.abs(terms).sum())

    @cached_property
    def samples(self) -> int:
        """Number of samples along axis 0, 0 if the loss takes no other number of them."""
        terms, _ = self.reduced("none")
        n = self.pred.shape[0] if self.pred.ndim else 0
        if any(a.shape[:1] != (n,) for a in (terms, *self.arrays())):
            return 0
        try:
            self.reduced("none", *self.rows([*range(n), *range(n)]))
        except Fault:
            return 0
        return n

    def rows(self, rows: list[int]) -> tuple[Any, ...]:
        """Return prediction, target and weights of some samples."""
        chosen = np.array(rows, np.intp)
        return tuple(a[chosen] for a in self.arrays())


def call_loss(
    function: Callable[..., Any], pred: Any, target: Any, sample_weight: Any = None
) -> Any:
    """Call a loss or a method of one."""
    return function(pred, target, sample_weight=sample_weight)
