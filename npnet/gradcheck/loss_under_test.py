"""LossUnderTest, the loss that is checked: copies of it, its arguments, and calls."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from npnet.gradcheck.attributes import protected, unseal
from npnet.gradcheck.comparison import Comparing, mismatch
from npnet.gradcheck.passes import Fault, Pass, attempt
from npnet.losses.loss import Loss
from npnet.typing import Array, DtypeLike


class LossUnderTest(Comparing):
    """One loss that is checked; only copies of it are called.

    `given` are the arrays in the order of `loss.arguments`, predictions in float64, and sample
    weights, if there are any; `names` are what sentences call them.
    """

    def __init__(self, loss: Loss, given: Sequence[Any], batch_independence: bool = True) -> None:
        self.loss, self.given = loss, list(given)
        self.batch_independence = batch_independence
        self.names = (*loss.arguments, "sample_weight")[: len(given)]
        self.weighted = len(given) > len(loss.arguments)
        self.broken: dict[str, set[str]] = {}  # by rule, the tensors

    def fresh(self, reduction: str | None = None) -> Loss:
        """Return a copy, with another reduction if one is given."""
        loss: Loss = attempt("copy.deepcopy", copy.deepcopy, self.loss)
        unseal(loss)
        if reduction is not None:
            loss.reduction = reduction
        return protected(loss, self.broken)

    def arrays(self, dtype: DtypeLike = np.float64) -> list[Any]:
        """Return contiguous copies of the arguments, predictions in another dtype."""
        predictions = self.loss.predictions
        pairs = zip(self.names, self.given, strict=True)
        return [np.array(a, dtype if name in predictions else None, order="C") for name, a in pairs]

    def predictions(self, arrays: Sequence[Any] | None = None) -> dict[str, Array]:
        """Return those of the arguments that have a gradient, by name."""
        named = dict(zip(self.names, self.given if arrays is None else arrays, strict=False))
        return {name: named[name] for name in self.loss.predictions}

    def call(self, method: Callable[..., Any], arrays: Sequence[Any] | None = None) -> Any:
        """Call the loss or a method of it, or raise a `Fault`."""
        arrays, count = self.arrays() if arrays is None else arrays, len(self.loss.arguments)
        name, weight = getattr(method, "__name__", "the call"), (*arrays[count:], None)[0]
        return attempt(name, method, *arrays[:count], sample_weight=weight)

    def run(self, loss: Loss | None = None, arrays: Sequence[Any] | None = None) -> Pass:
        """Return value and gradients."""
        value, grad = self.call((self.fresh() if loss is None else loss).value_and_grad, arrays)
        grads = grad if isinstance(grad, tuple) else (grad,)
        for g in grads:
            if not isinstance(g, np.ndarray | np.generic) or g.dtype.kind not in "fiub":
                raise Fault(f"value_and_grad returned {type(g).__name__} as the gradient")
        named = zip(self.loss.predictions, map(np.asarray, grads), strict=True)
        return Pass((np.asarray(value),), (), dict(named), "value")

    def reduced(self, reduction: str, arrays: Sequence[Any] | None = None) -> Pass:
        """Return value and gradients with another reduction."""
        return self.run(self.fresh(reduction), arrays)

    def arranged(self, arrange: Callable[[Array], Array]) -> dict[str, Callable[[], Pass]]:
        """Return calls with arrays in another memory layout, by what is in it."""
        return {"arguments": lambda: self.run(arrays=[arrange(a) for a in self.arrays()])}

    def shifted(self, shift: Callable[[Array], Array]) -> Pass:
        """Return terms and gradients where a shift of its own is added to each prediction."""
        arrays = self.arrays()
        for pred in self.predictions(arrays).values():
            pred += shift(pred)
        return self.reduced("none", arrays)

    @cached_property
    def reference(self) -> Pass:
        """Value and gradients, to which others are compared."""
        return self.run().copy()

    @cached_property
    def no_function(self) -> str:
        """Why the loss cannot be differentiated; empty if it can."""
        loss = self.fresh()
        one, two = (self.run(loss).outputs[0] for _ in range(2))
        return "two calls with the same arguments differ" if mismatch(two, one) else ""

    @cached_property
    def unsteady(self) -> set[str]:
        """The results that differ between identical calls, about which nothing else is said."""
        return set(self.compared(self.run(), self.reference, every=True))

    @cached_property
    def noise(self) -> dict[str, Array]:
        """The rounding error of a sum of the terms, which may cancel."""
        (terms,) = self.reduced("none").outputs
        none = dict.fromkeys(self.reference.named(), np.zeros(()))
        return none | {"value": np.asarray(np.finfo(np.float64).eps * np.abs(terms).sum())}

    @cached_property
    def samples(self) -> int:
        """Number of samples along axis 0; 0 if they are coupled, or their number is fixed."""
        arrays = (*self.reduced("none").outputs, *self.arrays())
        n = arrays[1].shape[0] if arrays[1].ndim else 0
        if not self.batch_independence or any(a.shape[:1] != (n,) for a in arrays):
            return 0
        try:
            self.reduced("none", self.rows([*range(n), *range(n)]))
        except Fault:
            return 0
        return n

    def rows(self, rows: list[int]) -> list[Any]:
        """Return the arguments for some samples."""
        return [a[np.array(rows, np.intp)] for a in self.arrays()]
