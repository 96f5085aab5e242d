"""One tensor with a wrong gradient, and how experiments change what is checked."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.diagnosis.matrices import Budget, Jacobians, jacobians
from npnet.gradcheck.diagnosis.naming import ratio
from npnet.gradcheck.numeric.function import Function
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

Change = Callable[[Any], object]
_NEARBY = 0.3  # how far the second point is, relative to the values


def unchanged(layer: Any) -> None:
    """Change nothing."""


def set_option(layer: Any, name: str, value: Any) -> None:
    """Change an attribute."""
    object.__setattr__(layer, name, value)


class Case:
    """One tensor with a wrong gradient; `subject` is a copy that experiments may change."""

    def __init__(self, point: Point, evidence: Evidence, subject: Any, budget: Budget) -> None:
        judged = evidence.judged
        self.subject, self.budget = subject, budget
        self.double = subject.dtype == point.checked.dtype == np.float64
        self.number, self.indices = evidence.variable, evidence.indices
        self.upstream = subject.upstream
        self.full = point.analytic[self.number]
        self.analytic, self.numeric = self.full[self.indices], judged.slopes.value
        self.wrong = judged.verdicts == Verdict.WRONG
        self.usable = judged.verdicts != Verdict.NOISE
        self.usable &= ~np.isfinite(judged.slopes.lower).any(axis=1)
        self.missing = all(g[self.number] is None for g in point.gradients)
        self.name = subject.names[self.number]
        self.variable = subject.variables[self.number]
        self.size, self.is_loss = self.variable.size, subject.is_loss
        self.others: list[Case] = []  # all tensors, this one too

    def gradient(self, upstream: Array, between: Callable[[], None] | None = None) -> Array:
        """Run backward, and something between the passes; zero where it sets none."""
        self.budget.take(1)
        more = () if between is None else (Context, between)
        found = self.subject.gradients(self.subject.split(upstream), *more)[self.number]
        return np.zeros(self.size) if found is None else found.reshape(-1).astype(float)

    @functools.cached_property
    def here(self) -> Jacobians:
        """The two matrices at the point that was checked."""
        return jacobians(self.subject, self.number, self.indices, self.budget, self.wrong)

    @property
    def elsewhere(self) -> Jacobians | None:
        """The same at another point; None if the layer refuses it or the fault is not there."""
        return self.moved(5)

    @functools.cache  # noqa: B019 - as long as the case
    def moved(self, seed: int) -> Jacobians | None:
        """The same at other numbers."""
        rng, here = np.random.default_rng(seed), self.here
        try:
            subject = self.subject
            held = [p.data for p in subject.parameters.values()]
            with subject.restored():
                for v in subject.variables:
                    zero = float(any(v is h for h in held))  # parameters that begin as zeros
                    size = (np.abs(v).mean() if v.size else 0) or zero
                    v *= 1 + _NEARBY * rng.uniform(-1, 1, v.shape)
                    v += _NEARBY * size * rng.uniform(-1, 1, v.shape)
                suspects = here.wrong.any(axis=1)
                found = jacobians(subject, self.number, here.indices, self.budget, suspects)
        except Exception:  # outside the layer's domain
            return None
        return found if found.wrong.any() else None

    def factor(self, change: Change = unchanged, inputs: Any = None) -> float:
        """Return by what backward's values are multiplied in a changed layer; NaN if by nothing."""
        try:
            subject = remade(self.subject, change, inputs)
            number = subject.names.index(self.name)
            some = np.arange(min(subject.variables[number].size, 32))
            p = jacobians(subject, number, some, self.budget)
            return ratio(p, p.known) or np.nan
        except Exception:  # a layer need not take what it was not given
            return np.nan


def remade(subject: Function, change: Change = unchanged, inputs: Any = None) -> Function:
    """Make a function of a copy of the layer, changed, and of other inputs."""
    layer = copy.deepcopy(subject.layer)
    change(layer.loss if subject.is_loss else layer)
    given = subject.given if inputs is None else inputs
    return Function(layer, given, subject.dtype, training=subject.training)
