"""The two matrices that a diagnosis compares: what backward says, and what is true.

Backward is linear in the upstream gradient, so unit upstream gradients show its whole matrix
(elements of a tensor x outputs). Differences of forward give the true one.
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np

from npnet.gradcheck.numeric.function import Function, element_lines, located
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

Found = tuple[str, str] | None  # a kind, and a text: after "the gradient of x ", or with {} for it
_ROWS, _COLUMNS = 320, 160  # elements and outputs that are looked at; a choice of them beyond
_NUMBERS = 4_000_000  # of a matrix
_EXPRESSIONS = 100  # that may be computed for each pass that may be run
_STEP = 2.0**-12
_NEARBY = 0.3  # how far the second point is, relative to the values


class Budget:
    """Passes, forward or backward, that a diagnosis may take: a count, so that it is repeatable."""

    def __init__(self, passes: int) -> None:
        self.refill(passes)

    def refill(self, passes: int) -> None:
        """Allow so many passes, and expressions that are computed."""
        self.left = {"passes": passes, "expressions": _EXPRESSIONS * passes}

    def take(self, count: int, of: str = "passes") -> None:
        """Count passes that are about to be run, or expressions that are computed."""
        self.left[of] -= count
        if self.left[of] < 0:
            raise RuntimeError(f"the {of} of a diagnosis are used up")


class Jacobians:
    """Matrices over the elements of a tensor (m) and outputs (n), and the arrays at hand.

    `a` is backward's, `t` the true one, NaN at kinks; `indices` numbers the elements and `columns`
    the outputs. A loss has one output, its value.
    """

    def __init__(
        self, subject: Function, number: int, indices: Array, columns: Array, a: Array, t: Array
    ) -> None:
        self.a, self.t, self.indices, self.columns = a, t, indices, columns
        self.name = subject.names[number]
        self.x = subject.variables[number].copy()
        self.shape = self.x.shape
        self.outputs = subject.split(subject.here_now(), np.float64)
        self.complete = indices.size == self.x.size
        self.is_loss = subject.is_loss
        self.is_input = any(subject.variables[number] is v for v in subject.inputs)
        lengths = {x.shape[:1] for x in subject.inputs}
        self.batch = (*lengths.pop(), None)[0] if len(lengths) == 1 else None
        pairs = list(zip(subject.names, subject.variables, strict=True))
        self.inputs = {n: v.copy() for n, v in pairs if any(v is x for x in subject.inputs)}
        self.parameters = {n: v.copy() for n, v in pairs if n not in self.inputs}
        fixed = [(i, o) for i, o in enumerate(subject.given) if isinstance(o, np.ndarray)
                 and not any(o is v for v in subject.variables)]  # fmt: skip
        self.others = [o for _, o in fixed]
        self.masks = {f"input {i}": o for i, o in fixed if o.dtype == bool}
        self.constants = constants(subject.checked)
        sizes = np.maximum(np.abs(a), np.nan_to_num(np.abs(t)))
        column = sizes.max(axis=0, initial=0.0)
        self.allowed = 1e-8 * sizes + 1e-9 * column + 1e-11 * column.max(initial=0.0)
        self.known = np.isfinite(t)
        self.relevant = self.known & (sizes > self.allowed)
        self.wrong = self.known & ~(np.abs(a - t) <= self.allowed)
        self.right = self.relevant & ~self.wrong

    @functools.cached_property
    def places(self) -> list[Array]:
        """Indices of the elements along each axis of the tensor, (m,) each."""
        return list(np.unravel_index(self.indices, self.shape)) if self.shape else []

    @functools.cached_property
    def output_number(self) -> Array:
        """The output of each column, (n,)."""
        ends = np.cumsum([y.size for y in self.outputs])
        return np.asarray(np.searchsorted(ends, self.columns, side="right"))

    @functools.cached_property
    def output_places(self) -> list[Array] | None:
        """Indices of the columns along each axis, if all outputs have the same shape."""
        shapes = {self.outputs[k].shape for k in np.unique(self.output_number)}
        if self.is_loss or len(shapes) != 1 or shapes == {()}:
            return None
        shape = shapes.pop()
        starts = np.cumsum([0, *(y.size for y in self.outputs)])
        return list(np.unravel_index(self.columns - starts[self.output_number], shape))

    @functools.cached_property
    def own(self) -> Array | None:
        """For an output of the tensor's shape: which column is each element's own, (m, n)."""
        if self.is_loss or len(self.outputs) != 1 or self.outputs[0].shape != self.shape:
            return None
        return np.asarray(self.indices[:, None] == self.columns[None])

    @functools.cached_property
    def lost(self) -> bool:
        """Whether backward gives nothing where it is wrong."""
        at = self.wrong & self.relevant
        return bool(at.any() and (np.abs(self.a[at]) <= self.allowed[at]).all())

    @property
    def exact(self) -> bool:
        """Whether all elements are there, and no kinks."""
        return self.complete and bool(self.known.all())

    def ratio(self, at: Array) -> float | None:
        """Return c if backward's values are c times the true ones where `at` says."""
        a, t = self.a[at], self.t[at]
        size = float(t @ t) if t.size else 0.0
        if not size or not np.isfinite(a).all():
            return None
        c = float(a @ t) / size
        allowed = 1e-7 * np.abs(c * t) + 10 * self.allowed[at] * max(abs(c), 1)
        return c if c != 0 and (np.abs(a - c * t) <= allowed).all() else None


def jacobians(
    subject: Function, number: int, indices: Array, budget: Budget, suspects: Any = False
) -> Jacobians:
    """Compute both matrices; of large tensors for a choice that has the `suspects` (m,) in it."""
    count, rng = subject.here.size, np.random.default_rng(0)
    most = min(_ROWS, _NUMBERS // count)
    if indices.size > most:
        first = rng.permutation(np.flatnonzero(suspects))[: most // 2]
        rest = rng.permutation(np.setdiff1d(np.arange(indices.size), first))[: most - first.size]
        chosen = np.union1d(first, rest)
        indices, suspects = indices[chosen], np.isin(chosen, first)
    budget.take(4 * indices.size)
    t = true_matrix(subject, subject.variables[number], indices, count)
    columns = np.arange(count)
    if count > _COLUMNS:
        at = np.broadcast_to(suspects, indices.shape)
        largest = np.nan_to_num(np.abs(t)).argmax(axis=1)
        several = (_faulty(subject, number, indices[at], t[at], budget), largest[at], largest,
                   rng.permutation(count))  # fmt: skip
        parts = [rng.permutation(np.unique(c))[: _COLUMNS // 4] for c in several]
        columns = np.unique(np.concatenate(parts))
    budget.take(columns.size)
    a = np.zeros((indices.size, columns.size))
    for k, j in enumerate(columns):
        grad = subject.gradients(subject.split(np.eye(1, count, int(j))[0]))[number]
        if grad is not None:
            a[:, k] = grad.reshape(-1)[indices]
    return Jacobians(subject, number, indices, columns, a, t[:, columns])


def _faulty(subject: Function, number: int, rows: Array, t: Array, budget: Budget) -> Array:
    r = np.asarray(np.random.default_rng(1).uniform(0.5, 1.5, t.shape[1]))
    true = np.nan_to_num(t)

    def is_wrong(part: Array) -> bool:
        upstream = np.zeros(r.size)
        upstream[part] = r[part]
        budget.take(1)
        grad = subject.gradients(subject.split(upstream))[number]
        off = 0.0 if grad is None else np.abs(grad.reshape(-1)[rows] - true @ upstream)
        allowed = 1e-7 * (np.abs(true) @ upstream) + 1e-9 * np.abs(true).max()
        return not (off <= allowed).all()

    return located(r.size if rows.size else 0, is_wrong)


def true_matrix(subject: Function, variable: Array, indices: Array, count: int) -> Array:
    """Differentiate all outputs by elements of a variable; NaN at kinks."""
    found, here = np.empty((indices.size, count)), subject.here_now()
    for i, line in enumerate(element_lines(variable, indices)):
        steps = _STEP * line.scale * np.array([[1, -1, 0.5, -0.5]])
        (rows,), (taken,) = subject.rows([line], steps)
        wide = (rows[0] - rows[1]) / (taken[0] - taken[1])
        half = (rows[2] - rows[3]) / (taken[2] - taken[3])
        size = np.abs(half).max(initial=0.0)
        smooth = np.abs(wide - half) <= 1e-4 * np.abs(half) + 1e-6 * size
        # At a kink slopes differ from side to side, by as much for a shorter step.
        slopes = (rows - here) / taken[:, None]
        jumps, of_half = np.abs(slopes[0] - slopes[1]), np.abs(slopes[2] - slopes[3])
        smooth &= (of_half <= 0.75 * jumps) | (of_half <= 1e-6 * size)
        found[i] = np.where(smooth, (4 * half - wide) / 3, np.nan)
    return found


def constants(checked: Any) -> dict[str, float]:
    """Return the numbers that a layer, or a loss, was made with, of it and the user's classes."""
    own = [k for k in type(checked).__mro__ if not k.__module__.startswith("npnet.")]
    found = {n: v for k in reversed(own) if k is not object for n, v in vars(k).items()}
    found |= vars(checked)
    return {n: float(v) for n, v in found.items() if isinstance(v, int | float)
            and not isinstance(v, bool) and np.isfinite(v) and n[0] != "_"}  # fmt: skip


class Case:
    """One tensor with a wrong gradient; `subject` is a copy that experiments may change."""

    def __init__(self, point: Point, evidence: Evidence, subject: Any, budget: Budget) -> None:
        judged = evidence.judged
        self.subject, self.budget = subject, budget
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

    def gradient(self, upstream: Array) -> Array:
        """Run backward; zero where it sets none."""
        self.budget.take(1)
        found = self.subject.gradients(self.subject.split(upstream))[self.number]
        return np.zeros(self.size) if found is None else found.reshape(-1).astype(float)

    @functools.cached_property
    def here(self) -> Jacobians:
        """The two matrices at the point that was checked."""
        return jacobians(self.subject, self.number, self.indices, self.budget, self.wrong)

    @property
    def elsewhere(self) -> Jacobians:
        """The same at another point; here if the layer refuses it or the fault is not there."""
        return self.moved(5) or self.here

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

    def factor(self, options: dict[str, Any], inputs: Any) -> float:
        """Return by what backward's values are multiplied in a changed layer; NaN if by nothing."""
        try:
            subject = remade(self.subject, options, inputs)
            number = subject.names.index(self.name)
            some = np.arange(min(subject.variables[number].size, 32))
            p = jacobians(subject, number, some, self.budget)
            return p.ratio(p.known) or np.nan
        except Exception:  # a layer need not take what it was not given
            return np.nan


def remade(subject: Function, options: Any = None, inputs: Any = None) -> Function:
    """Make a function of a copy of the layer, with other options, and of other inputs."""
    layer = copy.deepcopy(subject.layer)
    for name, value in (options or {}).items():
        object.__setattr__(layer.loss if subject.is_loss else layer, name, value)
    given = subject.given if inputs is None else inputs
    return Function(layer, given, subject.dtype, training=subject.training)
