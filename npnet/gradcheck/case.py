"""One tensor whose gradient is wrong, with all that a diagnosis may compare it with."""

from __future__ import annotations

import numpy as np

from npnet.gradcheck.point import Evidence, Point
from npnet.gradcheck.report import Verdict
from npnet.gradcheck.subject import LossSubject
from npnet.typing import Array

_LARGE = 4_000_000  # numbers that a Jacobian may have


class Case:
    """The evidence on one tensor, for the upstream gradient that shows the fault best.

    Parameters
    ----------
    point : Point
    evidence : Evidence

    Attributes
    ----------
    name : str
    variable : ndarray
        The tensor itself.
    analytic, numeric, bar : ndarray, shape (m,)
        Of the checked elements, at `indices` of the flattened tensor.
    wrong : ndarray of bool, shape (m,)
    usable : ndarray of bool, shape (m,)
        Where the numerical value is a plain derivative.
    complete : bool
        Whether all elements were checked, so that arrays can be compared as a whole.
    upstream, outputs : list of ndarray
    only_loud : bool
        Whether the fault shows only with the larger upstream gradient.
    """

    def __init__(self, point: Point, evidence: Evidence) -> None:
        self.point, self.evidence = point, evidence
        subject, judged = point.reference, evidence.judged
        slopes = judged.slopes
        self.indices = evidence.indices
        self.name = subject.names[evidence.variable]
        self.variable = subject.variables[evidence.variable]
        everything = point.analytic[evidence.variable]
        off = np.abs(everything[self.indices] - slopes.value) > slopes.error
        k = off.shape[1]
        self.which = 0 if off[:, 0].any() or k == 1 else 1
        self.only_loud = self.which == 1 and bool((judged.verdicts == Verdict.WRONG).any())
        self.analytic = everything[self.indices, self.which]
        self.numeric = slopes.value[:, self.which]
        self.size = slopes.size[:, self.which]
        self.bar = slopes.error[:, self.which]
        self.wrong = judged.verdicts == Verdict.WRONG
        self.usable = (
            np.isfinite(self.numeric)
            & np.isfinite(self.bar)
            & np.isfinite(self.analytic)
            & (judged.verdicts != Verdict.NOISE)
            & ~np.isfinite(slopes.lower[:, self.which])
        )
        self.complete = self.indices.size == self.variable.size
        self.missing = point.gradients[self.which][evidence.variable] is None
        self.upstream = subject.split(point.function.upstream[self.which])
        self.outputs = subject.split(point.function.here)

    @property
    def is_input(self) -> bool:
        """Whether the tensor is an input and not a parameter."""
        return any(self.variable is x for x in self.point.reference.inputs)

    @property
    def is_loss(self) -> bool:
        """Whether a loss is checked."""
        return isinstance(self.point.reference, LossSubject)

    @property
    def batch(self) -> int | None:
        """The batch size, if all inputs share their first axis."""
        return self.point.reference.batch_size

    def inputs(self) -> dict[str, Array]:
        """Return the floating inputs by name."""
        subject = self.point.reference
        pairs = zip(subject.names, subject.variables, strict=True)
        return {n: v for n, v in pairs if any(v is x for x in subject.inputs)}

    def parameters(self) -> dict[str, Array]:
        """Return the parameters by name."""
        subject = self.point.reference
        pairs = zip(subject.names, subject.variables, strict=True)
        return {n: v for n, v in pairs if not any(v is x for x in subject.inputs)}

    def close(self, a: Array, b: Array, share: float = 1e-6) -> bool:
        """Tell whether two arrays over the checked elements agree where they can be compared.

        Parameters
        ----------
        a, b : ndarray, shape (m,)
        share : float
            Of their size.

        Returns
        -------
        bool
            False if there is nothing to compare but zeros.
        """
        chosen = self.usable
        if not chosen.any():
            return False
        p, q = a[chosen], b[chosen]
        with np.errstate(all="ignore"):
            allowed = 4 * self.bar[chosen] + share * np.maximum(np.abs(p), np.abs(q))
            allowed += 1e-12 * np.abs(self.numeric[chosen]).max()
            return bool((np.abs(p - q) <= allowed).all() and np.abs(q).max() > allowed.max())

    def pick(self, array: Array) -> Array | None:
        """Take the checked elements of an array that has, or sums up to, the tensor's shape.

        Parameters
        ----------
        array : ndarray

        Returns
        -------
        ndarray, shape (m,), or None
        """
        shape = self.variable.shape
        lead = array.ndim - len(shape)
        if lead > 0 and array.shape[lead:] == shape:
            array = array.sum(axis=tuple(range(lead)))
        elif lead < 0 and shape[-array.ndim :] == array.shape and array.ndim:
            array = np.broadcast_to(array, shape)
        if array.shape != shape:
            return None
        return array.reshape(-1)[self.indices]

    def whole(self, values: Array) -> Array:
        """Give complete values the tensor's shape."""
        return values.reshape(self.variable.shape)

    def contributions(self) -> Array | None:
        """Compute what every output contributes to every checked element.

        Returns
        -------
        ndarray, shape (m, n), or None
            None if that would be too large.
        """
        function, lines = self.point.function, self.evidence.lines
        if self.indices.size * function.here.size * 2 > _LARGE:
            return None
        steps = lines.scale[:, None] * 2.0**-12 * np.array([1.0, -1.0])
        y, t = function.rows(lines, 0, len(lines), steps)
        found = (y[:, 0] - y[:, 1]) / (t[:, 0] - t[:, 1])[:, None]
        return np.asarray(found * function.upstream[self.which])

    def row_of_output(self) -> Array | None:
        """Number the sample to which each output belongs.

        Returns
        -------
        ndarray of int, shape (n,), or None
            None if an output has no batch axis.
        """
        batch = self.batch
        if not batch or any(y.shape[:1] != (batch,) for y in self.outputs):
            return None
        rows = [np.repeat(np.arange(batch), y.size // batch) for y in self.outputs]
        return np.concatenate(rows)
