"""LossUnderTest, the loss that is checked, which runs as a layer does."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np

from npnet.gradcheck.passes import LossLayer, attempt
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.losses.loss import Loss
from npnet.typing import Array, DtypeLike

# What rules about layers say, in the words of losses.
_WORDS = (
    (r"(forward|backward) of LossLayer|inference|a (recorded|finished backward) pass", "a call"),
    (r"recorded pass", "call"),
    (r"two passes", "two calls"),
    (r"the same input and the same generator", "the same arguments"),
    (r"\boutput\b", "value"),
    (r"keep what backward needs in ctx", "keep nothing on self"),
    (r"[:;] (random numbers must|what backward|use ctx).*| with a generator given", ""),
)


class LossUnderTest(LayerUnderTest):
    """One loss that is checked: a layer whose inputs are the arguments, some of them predictions.

    `given` are the arrays in the order of `loss.arguments`, predictions in float64, and sample
    weights, if there are any.
    """

    def __init__(self, loss: Loss, given: Sequence[Any], **options: Any) -> None:
        super().__init__(LossLayer(loss), list(given), **options | {"batch_axis": 0})
        self.loss, self.weighted = loss, len(given) > len(loss.arguments)

    def reduced(self, reduction: str) -> LossUnderTest:
        """Return the loss with another reduction."""
        if reduction not in self.cache:
            loss = attempt("copy.deepcopy", copy.deepcopy, self.loss)
            loss.reduction = reduction
            options = {"batch_independence": self.batch_independence, "broken": self.broken}
            self.cache[reduction] = LossUnderTest(loss, self.inputs, **options)
        return cast(LossUnderTest, self.cache[reduction])

    @cached_property
    def samples(self) -> int:
        """The number of samples; 0 if they are coupled, or their number is fixed."""
        apart = self.batch_independence and self.reduced("none").has_batches
        return len(self.inputs[0]) if apart else 0

    def rows(self, rows: list[int]) -> list[Array]:
        """Return the arguments for some samples."""
        return [x[np.array(rows, np.intp)] for x in self.arrays()]

    def ask(self, name: str, dtype: DtypeLike = np.float64) -> Any:
        """Call a method of the loss itself."""
        layer: Any = self.fresh()
        return layer.ask(name, self.arrays(dtype))

    def worded(self, text: str) -> str:
        """Say what a rule found in the words of losses, but for what the loss raised."""
        said, *raised = text.partition(" raised ")
        for pattern, word in _WORDS:
            said = re.sub(pattern, word, said)
        names = (*self.loss.arguments, "sample_weight")
        return re.sub(r"\binput (\d+)", lambda m: names[int(m[1])], said) + "".join(raised)
