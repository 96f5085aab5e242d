"""The two matrices that a diagnosis compares: what backward says, and what is true."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.gradcheck.numeric.function import Function, LossFunction
from npnet.typing import Array

if TYPE_CHECKING:
    from npnet.gradcheck.diagnosis.evidence import Case

_MOST_OUTPUTS = 160  # whose unit upstream gradients are tried; a random choice beyond
_SECONDS = 1.0  # for one matrix of differences
_PATIENCE = 2.0  # seconds for one tensor
_MOST_NUMBERS = 4_000_000
_STEP = 2.0**-12
_NEARBY = 0.3  # how far the second point is, relative to the values


class Jacobians:
    """Matrices over the elements of a tensor (m) and outputs (n), and the arrays at hand.

    `a` is backward's, `t` the true one, NaN at kinks. `columns` numbers the outputs; None says
    that the columns are sums over all outputs, weighted by upstream gradients or, for a loss, 1.
    """

    def __init__(
        self, subject: Function, number: int, indices: Array, columns: Array | None,
        a: Array, t: Array, outputs: list[Array],
    ) -> None:  # fmt: skip
        self.a, self.t, self.indices, self.columns = a, t, indices, columns
        self.name = subject.names[number]
        self.x = subject.variables[number].copy()
        self.outputs = outputs
        self.complete = indices.size == self.x.size
        self.is_loss = isinstance(subject, LossFunction)
        self.is_input = any(subject.variables[number] is v for v in subject.inputs)
        self.batch = subject.batch_size
        pairs = list(zip(subject.names, subject.variables, strict=True))
        self.inputs = {n: v.copy() for n, v in pairs if any(v is x for x in subject.inputs)}
        self.parameters = {n: v.copy() for n, v in pairs if n not in self.inputs}
        given = subject.given
        fixed = [(i, o) for i, o in enumerate(given) if isinstance(o, np.ndarray)
                 and not any(o is v for v in subject.variables)]  # fmt: skip
        self.others = [o for _, o in fixed]
        self.masks = {f"input {i}": o for i, o in fixed if o.dtype == bool}
        self.constants = constants(subject.checked)
        sizes = np.maximum(np.abs(a), np.nan_to_num(np.abs(t)))
        column = sizes.max(axis=0, initial=0.0)
        self.allowed = 1e-8 * sizes + 1e-9 * column + 1e-11 * column.max(initial=0.0)
        self.sizes = sizes
        self.known = np.isfinite(t)
        self.allow(np.zeros_like(a))

    def allow(self, bar: Array) -> None:
        """Take error bars into account."""
        self.allowed = self.allowed + np.where(np.isfinite(bar), bar, 0.0)
        self.relevant = self.known & (self.sizes > self.allowed)
        self.wrong = self.known & ~(np.abs(self.a - self.t) <= self.allowed)
        self.right = self.relevant & ~self.wrong

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the tensor."""
        return self.x.shape

    @functools.cached_property
    def places(self) -> list[Array]:
        """Indices of the elements along each axis of the tensor, (m,) each."""
        return list(np.unravel_index(self.indices, self.shape)) if self.shape else []

    @functools.cached_property
    def output_number(self) -> Array:
        """The output of each column, (n,)."""
        ends = np.cumsum([y.size for y in self.outputs])
        assert self.columns is not None
        return np.asarray(np.searchsorted(ends, self.columns, side="right"))

    @functools.cached_property
    def output_places(self) -> list[Array] | None:
        """Indices of the columns along each axis, if all outputs have the same shape."""
        shapes = {y.shape for y in self.outputs}
        if self.columns is None or shapes == {()}:
            return None
        if len(shapes) != 1:
            if np.unique(self.output_number).size != 1:
                return None
            shapes = {self.outputs[self.output_number[0]].shape}
        shape = shapes.pop()
        return list(np.unravel_index(self.columns % int(np.prod(shape)), shape))

    @functools.cached_property
    def output(self) -> Array | None:
        """The output at each column, (n,)."""
        if self.columns is None:
            return None
        return np.concatenate([y.reshape(-1) for y in self.outputs])[self.columns]

    @functools.cached_property
    def own(self) -> Array | None:
        """For an output of the tensor's shape: which column is each element's own, (m, n)."""
        if self.columns is None or len(self.outputs) != 1 or self.outputs[0].shape != self.shape:
            return None
        return np.asarray(self.indices[:, None] == self.columns[None])

    def part(self, rows: Array, columns: Array) -> Jacobians:
        """Return some elements and some outputs alone."""
        found = copy.copy(self)
        for cached in ("places", "output_number", "output_places", "output", "own"):
            found.__dict__.pop(cached, None)
        found.indices = self.indices[rows]
        found.complete = bool(rows.all()) and self.complete
        if self.columns is not None:
            found.columns = self.columns[columns]
        for name in ("a", "t", "allowed", "known", "relevant", "wrong", "right"):
            setattr(found, name, getattr(self, name)[np.ix_(rows, columns)])
        return found

    def agree(self, a: Array, b: Array, where: Array | None = None) -> bool:
        """Tell whether two matrices agree where the true one is known, and are not all zero."""
        chosen = self.known if where is None else self.known & where
        p, q = a[chosen], b[chosen]
        if not p.size or not np.isfinite(p).all() or not np.isfinite(q).all() or not q.any():
            return False
        allowed = 10 * self.allowed[chosen] + 1e-7 * np.maximum(np.abs(p), np.abs(q))
        return bool((np.abs(p - q) <= allowed).all())

    def grid(self, matrix: Array) -> Array:
        """Give complete values the tensor's shape, outputs last."""
        return matrix.reshape(*self.shape, -1)


def jacobians(subject: Function, number: int, indices: Array, case: Case | None) -> Jacobians:
    """Compute both matrices; from `case` come the vectors if they would be too large."""
    outputs = subject.outputs()
    count = sum(y.size for y in outputs)
    start = time.perf_counter()
    subject.outputs()
    forward = time.perf_counter() - start
    large = 4 * indices.size * forward > _SECONDS or indices.size * count > _MOST_NUMBERS
    if large and case is not None:
        where = case.usable[:, None]
        true = np.where(where, case.numeric, np.nan)
        found = Jacobians(subject, number, indices, None, case.analytic, true, outputs)
        found.allow(case.bar)
        return found
    if large:
        raise ValueError("too large to be differentiated element by element")
    true = true_matrix(subject, subject.variables[number], indices, count)
    if isinstance(subject, LossFunction):
        gradient = subject.gradients([])[number]
        assert gradient is not None
        a = gradient.reshape(-1, 1)[indices].astype(float)
        return Jacobians(
            subject, number, indices, None, a, true.sum(axis=1, keepdims=True), outputs
        )
    columns = np.arange(count)
    if count > _MOST_OUTPUTS:
        columns = np.sort(np.random.default_rng(0).choice(count, _MOST_OUTPUTS, replace=False))
    a = np.zeros((indices.size, columns.size))
    for k, j in enumerate(columns):
        grad = subject.gradients(subject.split(np.eye(1, count, int(j))[0]))[number]
        if grad is not None:
            a[:, k] = grad.reshape(-1)[indices]
    return Jacobians(subject, number, indices, columns, a, true[:, columns], outputs)


def nearby(subject: Function, number: int, indices: Array) -> Jacobians:
    """Compute both matrices at another point."""
    rng = np.random.default_rng(5)
    with subject.restored():
        for v in subject.variables:
            v *= 1 + _NEARBY * rng.uniform(-1, 1, v.shape)
            v += _NEARBY * (np.abs(v).mean() if v.size else 0) * rng.uniform(-1, 1, v.shape)
        return jacobians(subject, number, indices, None)


def true_matrix(subject: Function, variable: Array, indices: Array, count: int) -> Array:
    """Differentiate all outputs by elements of a variable; NaN at kinks."""
    flat = variable.reshape(-1)
    sizes = np.abs(flat[flat != 0])
    typical = float(np.median(sizes)) if sizes.size else 1.0
    found = np.empty((indices.size, count))
    rows = np.empty((4, count))
    for i, k in enumerate(indices.tolist()):
        start = flat[k]
        h = _STEP * max(abs(start), typical)
        taken = np.empty(4)
        for j, step in enumerate((h, -h, h / 2, -h / 2)):
            flat[k] = start + step
            taken[j] = flat[k] - start
            subject.write_outputs(rows[j])
        flat[k] = start
        wide = (rows[0] - rows[1]) / (taken[0] - taken[1])
        half = (rows[2] - rows[3]) / (taken[2] - taken[3])
        size = np.abs(half).max(initial=0.0)
        smooth = np.abs(wide - half) <= 1e-4 * np.abs(half) + 1e-6 * size
        found[i] = np.where(smooth, (4 * half - wide) / 3, np.nan)
    return found


def options(checked: Any) -> Iterator[tuple[str, Any]]:
    """Name what a layer, or a loss, was made with: attributes of it and of the user's classes."""
    own = [k for k in type(checked).__mro__ if not k.__module__.startswith("npnet.")]
    found = {n: v for k in reversed(own) if k is not object for n, v in vars(k).items()}
    found |= vars(checked)
    for name, value in found.items():
        plain = isinstance(value, int | float | tuple | np.ndarray) and not isinstance(value, str)
        if plain and not name.startswith("_") and name not in ("takes_integers", "arguments"):
            yield name, value


def constants(checked: Any) -> dict[str, float]:
    """Return those that are single numbers."""
    return {
        n: float(v) for n, v in options(checked)
        if isinstance(v, int | float) and not isinstance(v, bool) and np.isfinite(v)
    }  # fmt: skip
