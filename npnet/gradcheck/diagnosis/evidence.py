"""What is known about a wrong gradient: for every element and every output, what backward says.

Backward is linear in the upstream gradient, so unit upstream gradients show its whole matrix.
Differences of forward give the true one. A pattern compares the two.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis.matrices import Jacobians, jacobians, nearby
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Verdict
from npnet.gradcheck.numeric.function import Function, LayerFunction, LossFunction
from npnet.typing import Array

_MOST_OUTPUTS = 160  # whose unit upstream gradients are tried; a random choice beyond
_SECONDS = 1.0  # for one matrix of differences
_PATIENCE = 2.0  # seconds for one tensor
_MOST_NUMBERS = 4_000_000
_STEP = 2.0**-12
_NEARBY = 0.3  # how far the second point is, relative to the values


class Case:
    """One tensor with a wrong gradient; all access to what is under test goes through here."""

    def __init__(self, point: Point, evidence: Evidence) -> None:
        judged = evidence.judged
        slopes = judged.slopes
        self.subject: Any = point.function
        self.tested: Any = point.checked
        self.number = evidence.variable
        self.indices = evidence.indices
        self.upstream = point.function.upstream
        self.full = point.analytic[self.number]
        self.analytic = self.full[self.indices]
        self.numeric, self.bar = slopes.value, slopes.error
        self.wrong = judged.verdicts == Verdict.WRONG
        self.usable = judged.verdicts != Verdict.NOISE
        self.usable &= ~np.isfinite(slopes.lower).any(axis=1)
        self.missing = all(g[self.number] is None for g in point.gradients)
        self.name = self.subject.names[self.number]
        self.size = self.subject.variables[self.number].size
        self.started, self.patience = time.perf_counter(), _PATIENCE

    @property
    def is_loss(self) -> bool:
        """Whether a loss is checked."""
        return self.subject.is_loss

    @property
    def layer(self) -> Any:
        """The copy that is checked."""
        return self.subject.checked

    def gradient(self, upstream: Array) -> Array:
        """Run backward; zero where it sets none."""
        found = self.subject.gradients(self.subject.split(upstream))[self.number]
        return np.zeros(self.size) if found is None else found.reshape(-1).astype(float)

    def tired(self) -> bool:
        """Whether so much time has gone by that no further experiment is worth it."""
        return time.perf_counter() - self.started > self.patience

    @functools.cached_property
    def here(self) -> Jacobians:
        """The two matrices at the point that was checked; of a loss, for a larger batch."""
        larger = self.variant(inputs=repeated_batch(self.subject)) if self.is_loss else None
        return larger if larger is not None and larger.wrong.any() else self.plain

    @functools.cached_property
    def plain(self) -> Jacobians:
        """The same for the batch as it is."""
        return jacobians(self.subject, self.number, self.indices, self)

    @functools.cached_property
    def elsewhere(self) -> Jacobians | None:
        """The same at another point; None if the layer refuses it or the fault is not there."""
        try:
            subject, indices = self.subject, self.indices
            if self.here.x.size != self.size:
                subject = remade(self.subject, lambda layer: None, repeated_batch(self.subject))
                indices = self.here.indices
            found = nearby(subject, self.number, indices)
        except Exception as error:  # outside the layer's domain
            self.subject.refusals[:] = [error]
            return None
        return found if found.wrong.any() else None

    def variant(
        self, change: Callable[[Any], None] = lambda layer: None, inputs: Any = None
    ) -> Jacobians | None:
        """Return the matrices for a changed layer or other inputs; None where it refuses them."""
        try:
            subject = remade(self.subject, change, inputs)
            number = subject.names.index(self.name)
            indices = self.indices
            if self.indices.size == self.size or inputs is not None:
                indices = np.arange(subject.variables[number].size)
            found = jacobians(subject, number, indices, None)
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


def extended(subject: Function, axis: int, length: int) -> tuple[Any, ...]:
    """Return the inputs with one more position, a copy of the first, on axes of this length."""
    given = subject.given
    return tuple(
        np.concatenate([x, np.take(x, [0], axis)], axis)
        if np.ndim(x) > axis and np.shape(x)[axis] == length else x for x in given
    )  # fmt: skip


def remade(subject: Function, change: Callable[[Any], None], inputs: Any = None) -> Function:
    """Make a subject of a copy of the layer, changed, and of other inputs."""
    checked = copy.deepcopy(subject.checked)
    change(checked)
    given = inputs or subject.given
    if isinstance(subject, LossFunction):
        return LossFunction(checked, given, subject.dtype)
    assert isinstance(subject, LayerFunction)
    return LayerFunction(checked, given, subject.dtype, training=subject.training)
