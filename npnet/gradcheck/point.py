"""The point of a check: the subject there, its upstream gradients and its analytic gradients."""

from __future__ import annotations

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
        subject, upstream = self.reference, self.function.upstream
        still = self.stack([subject.gradients(subject.split(r)) for r in upstream])
        moved = [np.zeros_like(a) for a in still]
        kept = [v.copy() for v in subject.variables]
        for _ in range(_TRIES):
            for v, k in zip(subject.variables, kept, strict=True):
                v[...] = nudged(k, share, rng)
            jittered = self.stack(
                [subject.gradients(subject.split(nudged(r, share, rng))) for r in upstream]
            )
            for m, s, j in zip(moved, still, jittered, strict=True):
                np.maximum(m, np.nan_to_num(np.abs(j - s), nan=np.inf), out=m)
        for v, k in zip(subject.variables, kept, strict=True):
            v[...] = k
        return moved

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
        subject, variable = self.reference, self.reference.variables[i]
        kept, sizes = variable.copy(), []
        for power in (3, 6, 10, 15, 20, 25, 30, 35):
            variable[...] = kept * 2.0**-power
            try:
                gradients = [
                    subject.gradients(subject.split(r)) for r in self.function.upstream
                ]
            except Exception as error:  # outside the domain
                subject.refusals[:] = [error]
                break
            sizes.append(np.abs(self.stack(gradients)[i]))
        variable[...] = kept
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
        single, double, upstream = self.subject, self.reference, self.function.upstream
        apart = [np.zeros_like(a) for a in self.analytic]
        kept = [v.copy() for v in single.variables]
        for _ in range(_TRIES):
            for v, w, k in zip(single.variables, double.variables, kept, strict=True):
                v[...] = nudged(k, 1e-2, rng)
                w[...] = v
            a = self.stack([single.gradients(single.split(r)) for r in upstream])
            b = self.stack([double.gradients(double.split(r)) for r in upstream])
            for found, x, y in zip(apart, a, b, strict=True):
                np.maximum(found, np.nan_to_num(np.abs(x - y), nan=np.inf), out=found)
        for v, w, k in zip(single.variables, double.variables, kept, strict=True):
            v[...] = w[...] = k
        return apart
