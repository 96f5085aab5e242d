"""Derivatives by an imaginary step, exact to rounding where forward is an analytic function.

f(x + ih) = f(x) + ih f'(x) - ..., so Im f(x + ih) / h has no difference and hence no cancellation.
Code that takes absolute values, compares, or writes into real buffers loses the imaginary part, in
the worst case only some of it. This oracle therefore never overrules the differences: it confirms
them, and decides only where they cannot, on tensors where both agree otherwise.

References
----------
W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM
Review 40 (1998).
"""

from __future__ import annotations

import copy
import warnings

import numpy as np

from npnet.context import Context
from npnet.gradcheck.lines import typical_size
from npnet.gradcheck.numeric import EPS, Function
from npnet.gradcheck.subject import LayerSubject
from npnet.typing import Array

_STEP = 2.0**-80  # relative; its square vanishes beside 1


class ComplexStep:
    """The complex twin of a layer.

    Parameters
    ----------
    function : Function
        Of a `LayerSubject`.
    """

    def __init__(self, function: Function) -> None:
        subject = function.subject
        assert isinstance(subject, LayerSubject)
        self._function = function
        self._subject = subject
        self._twin = copy.deepcopy(subject.checked)
        for p in self._twin.parameters():
            p._data = p._data.astype(complex)  # Parameter itself refuses complex numbers
        self._inputs = [
            x.astype(complex) if x.dtype.kind == "f" else x.copy() for x in subject.inputs
        ]
        self._variables = [x for x in self._inputs if x.dtype.kind == "c"]
        self._variables += [p._data for p in self._twin.parameters()]

    def slopes(self, variable: int, indices: Array) -> Array | None:
        """Differentiate with respect to some elements of a variable.

        Parameters
        ----------
        variable : int
            Its number among the subject's variables.
        indices : ndarray of int, shape (m,)

        Returns
        -------
        ndarray, shape (m, k), or None
            None if forward is not complex-safe: it raises or warns, returns real numbers, or
            changes the real part.
        """
        flat = self._variables[variable].reshape(-1)
        step = _STEP * typical_size(self._subject.variables[variable])
        found = np.empty((indices.size, len(self._function.upstream)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for i, j in enumerate(indices.tolist()):
                start = flat[j]
                flat[j] = start + 1j * step
                try:
                    slope = self._slope()
                except Exception:  # whatever it is: this forward takes no complex numbers
                    slope = None
                flat[j] = start
                if slope is None:
                    return None
                found[i] = slope / step
        return found

    def _slope(self) -> Array | None:
        rng = self._subject.rewind()
        ctx = Context(self._twin, recording=True, training=self._subject.training, rng=rng)
        result = self._twin.forward(ctx, *[x.copy() for x in self._inputs])
        outputs = result if isinstance(result, tuple) else (result,)
        if any(not isinstance(y, np.ndarray) or y.dtype.kind != "c" for y in outputs):
            return None
        y = np.concatenate([y.reshape(-1) for y in outputs])
        here = self._function.here
        close = np.abs(y.real - here) <= 64 * EPS * (np.abs(here) + np.abs(here).max(initial=0))
        if not close.all():
            return None
        return np.asarray(self._function.upstream @ y.imag)
