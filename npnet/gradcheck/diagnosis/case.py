"""One tensor with a wrong gradient, and how experiments change what is checked."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.context import Context
from npnet.gradcheck.diagnosis.matrices import Budget, Jacobians, jacobians
from npnet.gradcheck.numeric.function import Function
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

Change = Callable[[Any], object]
_STEP = 2.0**-12
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
        """The two matrices at the point that was checked; of a loss, for a larger batch."""
        for p in (self._with_batch, self.plain):
            if p is not None and p.wrong.any():
                return p
        raise LookupError("nothing is wrong in the elements and outputs that were chosen")

    @functools.cached_property
    def plain(self) -> Jacobians:
        """The same for the batch as it is."""
        return jacobians(self.subject, self.number, self.indices, self.budget, self.wrong)

    @functools.cached_property
    def _with_batch(self) -> Jacobians | None:
        try:
            larger = remade(self.subject, inputs=repeated_batch(self.subject))
            count = larger.variables[self.number].size
            return jacobians(larger, self.number, np.arange(count), self.budget)
        except Exception:  # no loss, or one that takes no other batch
            return None

    @property
    def elsewhere(self) -> Jacobians | None:
        """The same at another point; None if the layer refuses it or the fault is not there."""
        return self.moved(5)

    @functools.cache  # noqa: B019 - as long as the case
    def moved(self, seed: int, signs: bool = False) -> Jacobians | None:
        """The same at other numbers; on demand in another order, with other signs."""
        rng, here = np.random.default_rng(seed), self.here
        try:
            subject = self.subject
            if here is self._with_batch:
                subject = remade(subject, inputs=repeated_batch(subject))
            held = [p.data for p in subject.parameters.values()]
            with subject.restored():
                for v in subject.variables:
                    zero = float(any(v is h for h in held))  # parameters that begin as zeros
                    size = (np.abs(v).mean() if v.size else 0) or zero
                    v *= 1 + _NEARBY * rng.uniform(-1, 1, v.shape)
                    v += _NEARBY * size * rng.uniform(-1, 1, v.shape)
                    if signs:
                        v[...] = rng.permuted(v) * rng.choice([-1, 1], v.shape)
                suspects = here.wrong.any(axis=1)
                found = jacobians(subject, self.number, here.indices, self.budget, suspects)
        except Exception:  # outside the layer's domain
            return None
        return found if found.wrong.any() else None

    def slopes(self, change: Change = unchanged, inputs: Any = None) -> tuple[Array, Array]:
        """Return slopes in this tensor along random directions: backward's, and the true ones.

        They are those of a changed layer or other inputs, each of another sum of outputs.
        """
        subject, rng, found = remade(self.subject, change, inputs), np.random.default_rng(3), []
        number = subject.names.index(self.name)
        variable = subject.variables[number]
        typical = np.abs(variable).mean() or 1.0
        for _ in range(3):
            self.budget.take(5)
            r = np.ones(1) if self.is_loss else rng.normal(size=subject.here.size)
            move = rng.normal(size=variable.shape) * typical
            grad = subject.gradients(subject.split(r))[number]
            values = []
            with subject.restored():
                start = variable.copy()
                for step in (1, -1, 0.5, -0.5):
                    variable[...] = start + step * _STEP * move
                    values.append(subject.here_now() @ r)
            wide, half = (values[0] - values[1]) / 2, values[2] - values[3]
            a = 0.0 if grad is None else float((grad * move).sum())
            found.append((a, float(4 * half - wide) / 3 / _STEP))
        a, t = np.array(found).T
        return a, t

    def factor(self, change: Change = unchanged, inputs: Any = None) -> float:
        """Return by what backward's values are multiplied in a changed layer; NaN if by nothing."""
        try:
            a, t = self.slopes(change, inputs)
        except Exception:  # a layer need not take what it was not given
            return np.nan
        c = float(a @ t / (t @ t)) if t.any() else np.nan
        enough = np.abs(t).max() > 1e-3 * np.abs(self._true_slopes).max()
        return c if enough and np.allclose(a, c * t, 1e-6, 1e-7 * np.abs(a).max()) else np.nan

    @functools.cached_property
    def _true_slopes(self) -> Array:
        return self.slopes()[1]


def repeated_batch(subject: Function) -> tuple[Any, ...]:
    """Return a loss's arguments with every sample six times, predicted differently each time."""
    if not subject.is_loss or subject.variables[0].ndim == 0:
        raise TypeError("expected a loss of several predictions")
    rng = np.random.default_rng(6)
    pred = subject.variables[0]
    preds = [pred, *(np.roll(pred, k, 0) * rng.uniform(0.8, 1.2, pred.shape) for k in range(5))]
    others = [np.concatenate([o] * 6) if np.ndim(o) else o for o in subject.given[1:]]
    return (np.concatenate(preds), *others)


def remade(subject: Function, change: Change = unchanged, inputs: Any = None) -> Function:
    """Make a function of a copy of the layer, changed, and of other inputs."""
    layer = copy.deepcopy(subject.layer)
    change(layer.loss if subject.is_loss else layer)
    given = subject.given if inputs is None else inputs
    return Function(layer, given, subject.dtype, training=subject.training)
