"""The point of a check: the subject there, its upstream gradients and its analytic gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from npnet.gradcheck.lines import ElementLines
from npnet.gradcheck.numeric import Function
from npnet.gradcheck.sampling import nudged
from npnet.gradcheck.subject import Subject
from npnet.gradcheck.verdict import Judged
from npnet.typing import Array

_TRIES = 4


class Evidence(NamedTuple):
    """What is known about some elements of one variable.

    Attributes
    ----------
    variable : int
        Its number among the subject's variables.
    indices : ndarray of int, shape (m,)
    lines : ElementLines
        Along which they were differentiated.
    judged : Judged
    """

    variable: int
    indices: Array
    lines: ElementLines
    judged: Judged


class Point:
    """A subject, the upstream gradients it is given, and what its backward returns for them.

    Parameters
    ----------
    subject : Subject
        Whose backward is checked.
    reference : Subject
        Whose forward is differentiated: the same one, or its float64 twin.
    function : Function
        Of the reference.
    gradients : list
        For each upstream gradient, one gradient for each variable, None where backward set none.
    rng : numpy.random.Generator

    Attributes
    ----------
    upstream : ndarray, shape (k, n)
    analytic : list of ndarray, each (size, k)
        The gradients with respect to each variable, flattened, for k upstream gradients; zero
        where backward set none.
    """

    def __init__(
        self,
        subject: Subject,
        reference: Subject,
        function: Function,
        gradients: list[list[Array | None]],
        rng: np.random.Generator,
    ) -> None:
        self.subject = subject
        self.reference = reference
        self.function = function
        self.upstream = function.upstream
        self.gradients = gradients
        self.rng = rng
        self.analytic = self.stack(gradients)

    def stack(self, gradients: list[list[Array | None]]) -> list[Array]:
        """Put gradients for several upstream gradients side by side.

        Parameters
        ----------
        gradients : list
            As the attribute.

        Returns
        -------
        list of ndarray, each (size, k)
        """
        found = []
        for i, v in enumerate(self.reference.variables):
            columns = [g[i] for g in gradients]
            flat = [np.zeros(v.size) if c is None else c.reshape(-1) for c in columns]
            found.append(np.stack(flat, axis=1).astype(np.float64))
        return found

    def here(self) -> list[Array] | None:
        """Compute the analytic gradients at the reference's present values.

        Returns
        -------
        list of ndarray, each (size, k), or None
            None if the layer raises there.
        """
        return self._at(self.reference)

    def wobble(self, share: float) -> list[Array]:
        """Measure how far the analytic gradients move when everything is jittered.

        Parameters
        ----------
        share : float
            The relative change of each variable and upstream gradient: a rounding error.

        Returns
        -------
        list of ndarray, each (size, k)
            The largest change seen.
        """
        rng = np.random.default_rng(0)
        moved = [np.zeros_like(a) for a in self.analytic]
        with self.reference.restored() as kept:
            still = self._at(self.reference)
            for _ in range(_TRIES):
                for v, k in zip(self.reference.variables, kept, strict=True):
                    v[...] = nudged(k, share, rng)
                jittered = self._at(self.reference, lambda r: nudged(r, share, rng))
                if still is None or jittered is None:
                    break
                _widen(moved, still, jittered)
        return moved

    def _at(
        self, subject: Subject, change: Callable[[Array], Array] = lambda r: r
    ) -> list[Array] | None:
        """Return the analytic gradients at the variables' present values, None if it raises."""
        try:
            gradients = [subject.gradients(subject.split(change(r))) for r in self.upstream]
        except Exception as error:  # outside the layer's domain
            self.reference.refusals[:] = [error]
            return None
        return self.stack(gradients)

    def unsaturated(self, i: int) -> Array:
        """Measure how large a gradient is when its own variable shrinks towards zero.

        Where a function saturates, softmax of (0, 1000) for example, its gradient is the tiny
        difference of terms whose size shows only there, and rounding is relative to those.

        Parameters
        ----------
        i : int
            Number of the variable.

        Returns
        -------
        ndarray, shape (size, k)
            The largest size met; zero where it grows without bound.
        """
        sizes = []
        with self.reference.restored() as kept:
            for power in (3, 6, 10, 15, 20, 25, 30, 35):
                self.reference.variables[i][...] = kept[i] * 2.0**-power
                found = self._at(self.reference)
                if found is None:
                    break
                sizes.append(np.abs(found[i]))
        if len(sizes) < 2:
            return np.zeros_like(self.analytic[i])
        largest = np.nan_to_num(np.max(sizes, axis=0), nan=0.0, posinf=0.0)
        return np.where(sizes[-1] > 30 * sizes[-2], 0.0, largest)

    def float32_errors(self) -> list[Array]:
        """Measure how far float32 and float64 gradients are apart at points nearby.

        Returns
        -------
        list of ndarray, each (size, k)
            The largest distance seen.
        """
        rng = np.random.default_rng(0)
        single, double = self.subject, self.reference
        apart = [np.zeros_like(a) for a in self.analytic]
        with single.restored() as kept, double.restored():
            for _ in range(_TRIES):
                for v, w, k in zip(single.variables, double.variables, kept, strict=True):
                    v[...] = nudged(k, 1e-2, rng)
                    w[...] = v
                a, b = self._at(single), self._at(double)
                if a is None or b is None:
                    break
                _widen(apart, a, b)
        return apart


def _widen(largest: list[Array], a: list[Array], b: list[Array]) -> None:
    for found, x, y in zip(largest, a, b, strict=True):
        np.maximum(found, np.nan_to_num(np.abs(x - y), nan=np.inf), out=found)
