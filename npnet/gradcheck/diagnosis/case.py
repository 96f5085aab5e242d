"""One tensor with a wrong gradient, and variants of what is checked: the experiments."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Budget, Jacobians, jacobians, nearby
from npnet.gradcheck.numeric.function import Function, LayerFunction, LossFunction
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Verdict
from npnet.typing import Array


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

    def gradient(self, upstream: Array) -> Array:
        """Run backward; zero where it sets none."""
        self.budget.take(1)
        found = self.subject.gradients(self.subject.split(upstream))[self.number]
        return np.zeros(self.size) if found is None else found.reshape(-1).astype(float)

    @functools.cached_property
    def here(self) -> Jacobians:
        """The two matrices at the point that was checked; of a loss, for a larger batch."""
        larger = self.variant(inputs=repeated_batch(self.subject)) if self.is_loss else None
        if larger is not None and larger.wrong.any():
            return larger
        if not self.plain.wrong.any():
            raise LookupError("nothing is wrong in the elements and outputs that were chosen")
        return self.plain

    @functools.cached_property
    def plain(self) -> Jacobians:
        """The same for the batch as it is."""
        return jacobians(self.subject, self.number, self.indices, self.budget, self.wrong)

    @functools.cached_property
    def elsewhere(self) -> Jacobians | None:
        """The same at another point; None if the layer refuses it or the fault is not there."""
        try:
            subject = self.subject
            if self.here.x.size != self.size:
                subject = remade(subject, inputs=repeated_batch(subject))
            found = nearby(subject, self.number, self.here.indices, self.budget)
        except Exception:  # outside the layer's domain
            return None
        return found if found.wrong.any() else None

    def variant(
        self, change: Callable[[Any], None] = lambda layer: None, inputs: Any = None
    ) -> Jacobians | None:
        """Return the matrices for a changed layer or other inputs; None where it refuses them."""
        try:
            subject = remade(self.subject, change, inputs)
            number = subject.names.index(self.name)
            same = subject.variables[number].shape == self.variable.shape
            indices = self.indices if same else np.arange(subject.variables[number].size)
            wrong = self.wrong if same else None
            found = jacobians(subject, number, indices, self.budget, wrong)
        except Exception:  # a layer need not take what it was not given
            return None
        return found if np.isfinite(found.a).all() else None

    def cured(self, found: Jacobians | None) -> bool:
        """Whether a variant is right, though there is as much to be wrong about."""
        if found is None or found.wrong.any():
            return False
        sizes = [np.abs(x[np.isfinite(x)]).max(initial=0) for x in (found.t, self.here.t)]
        return bool(found.known.mean() > 0.5 and sizes[0] > 1e-3 * sizes[1] > 0)


def repeated_batch(subject: Function) -> tuple[Any, ...] | None:
    """Return a loss's arguments with every sample six times, predicted differently each time."""
    if not isinstance(subject, LossFunction) or subject.variables[0].ndim == 0:
        return None
    rng = np.random.default_rng(6)
    pred = subject.variables[0]
    preds = [pred, *(np.roll(pred, k, 0) * rng.uniform(0.8, 1.2, pred.shape) for k in range(5))]
    others = [np.concatenate([o] * 6) if np.ndim(o) else o for o in subject.given[1:]]
    return (np.concatenate(preds), *others)


def cut(subject: Function, axis: int, position: int = 0) -> tuple[Array, ...]:
    """Return the inputs at one position along an axis."""
    return tuple(
        np.take(x, [position], axis) if x.ndim > axis and x.shape[axis] > 1 else x
        for x in subject.inputs
    )


def remade(
    subject: Function, change: Callable[[Any], None] = lambda layer: None, inputs: Any = None
) -> Function:
    """Make a function of a copy of the layer, changed, and of other inputs."""
    checked = copy.deepcopy(subject.checked)
    change(checked)
    given = subject.given if inputs is None else inputs
    if isinstance(subject, LossFunction):
        return LossFunction(checked, given, subject.dtype)
    assert isinstance(subject, LayerFunction)
    return LayerFunction(checked, given, subject.dtype, training=subject.training)
