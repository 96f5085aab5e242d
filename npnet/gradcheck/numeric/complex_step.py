"""Derivatives by an imaginary step, exact to rounding where forward is an analytic function.

f(x + ih) = f(x) + ih f'(x) - ..., so Im f(x + ih) / h has no difference and hence no cancellation.
Code that takes absolute values, compares, or writes into real buffers loses the imaginary part, in
the worst case only some of it. This oracle therefore only confirms what differences say.

References
----------
W. Squire, G. Trapp, "Using complex variables to estimate derivatives of real functions", SIAM
Review 40 (1998).
"""

from __future__ import annotations

import copy
import warnings

import numpy as np

from npnet.gradcheck.numeric.differences import Judged
from npnet.gradcheck.numeric.function import EPS, Function
from npnet.gradcheck.numeric.lines import sample, typical_size
from npnet.gradcheck.report import Verdict
from npnet.typing import Array

_STEP = 2.0**-80  # relative; its square vanishes beside 1
_CONFIRMED = 16  # elements of each tensor on which it is tried


class ComplexStep:
    """A complex copy of a layer."""

    def __init__(self, function: Function) -> None:
        self._function, self._copy = function, copy.deepcopy(function.checked)
        for p in self._copy.parameters():
            p._data = p._data.astype(complex)  # Parameter itself refuses complex numbers
        self._inputs = [x.astype(complex if x.dtype.kind == "f" else x.dtype)
                        for x in function.inputs]  # fmt: skip
        self._variables = [x for x in self._inputs if x.dtype.kind == "c"]
        self._variables += [p._data for p in self._copy.parameters()]

    def confirm(
        self, variable: int, indices: Array, analytic: Array, allowed: Array, judged: Judged
    ) -> tuple[int, int]:
        """Return how many analytic values it confirms, and of how many it tried."""
        slopes = judged.slopes
        clear = (judged.verdicts == Verdict.OK) | (judged.verdicts == Verdict.WRONG)
        tried = np.flatnonzero(clear & np.isfinite(judged.numeric))
        tried = tried[sample(tried.size, _CONFIRMED, np.random.default_rng(variable))]
        try:
            exact = np.array([self._slope(variable, j) for j in indices[tried]])
        except Exception:  # whatever it is: this forward takes no complex numbers
            return 0, 0
        if not tried.size or (np.abs(exact - slopes.value[tried]) > slopes.error[tried]).any():
            return 0, 0
        fine = 256 * EPS * (slopes.size[tried] + np.abs(analytic[tried])) + allowed[tried]
        agrees = (np.abs(exact - analytic[tried]) <= fine).all(axis=1)
        return int(agrees.sum()), tried.size

    def _slope(self, variable: int, index: int) -> Array:
        """Differentiate with respect to an element; raises where forward is not complex-safe."""
        function, flat = self._function, self._variables[variable].reshape(-1)
        step, start = _STEP * typical_size(function.variables[variable]), flat[index]
        ctx, here = function.context(), function.here
        ctx.layer = self._copy
        flat[index] += 1j * step
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result = self._copy.forward(ctx, *[x.copy() for x in self._inputs])
        finally:
            flat[index] = start
        outputs = result if isinstance(result, tuple) else (result,)
        y = np.concatenate([y.reshape(-1) for y in outputs])
        close = np.abs(y.real - here) <= 64 * EPS * (np.abs(here) + np.abs(here).max(initial=0))
        if not close.all() or any(y.dtype.kind != "c" for y in outputs):
            raise ValueError("the imaginary part is lost")
        return np.asarray(function.upstream @ y.imag / step)
