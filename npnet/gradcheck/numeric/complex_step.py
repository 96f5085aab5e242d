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


def confirmed(
    function: Function, variable: int, indices: Array, analytic: Array, judged: Judged
) -> tuple[int, int]:
    """Return how many right values of a variable complex steps confirm, of how many tried."""
    tried = np.flatnonzero(judged.verdicts == Verdict.OK)
    tried = tried[sample(tried.size, _CONFIRMED, np.random.default_rng(variable))]
    try:
        exact = np.array(_slopes(function, variable, indices[tried]))
    except Exception:  # whatever it is: this forward takes no complex numbers
        return 0, 0
    slopes = judged.slopes
    if not tried.size or (np.abs(exact - slopes.value[tried]) > slopes.error[tried]).any():
        return 0, 0
    fine = 256 * EPS * (slopes.size[tried] + np.abs(analytic[tried]))
    return int((np.abs(exact - analytic[tried]) <= fine).all(axis=1).sum()), tried.size


def _slopes(function: Function, variable: int, indices: Array) -> list[Array]:
    """Differentiate with respect to elements; raises where forward is not complex-safe."""
    layer, here = copy.deepcopy(function.checked), function.here
    for p in layer.parameters():
        p._data = p._data.astype(complex)  # Parameter itself refuses complex numbers
    inputs = [x.astype(complex if x.dtype.kind == "f" else x.dtype) for x in function.inputs]
    variables = [x for x in inputs if x.dtype.kind == "c"] + [p._data for p in layer.parameters()]
    step, flat = _STEP * typical_size(function.variables[variable]), variables[variable].reshape(-1)
    found = []
    for index in indices:
        ctx, start = function.context(), flat[index]
        ctx.layer = layer
        flat[index] += 1j * step
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = layer.forward(ctx, *[x.copy() for x in inputs])
        flat[index] = start
        outputs = result if isinstance(result, tuple) else (result,)
        y = np.concatenate([y.reshape(-1) for y in outputs])
        close = np.abs(y.real - here) <= 64 * EPS * (np.abs(here) + np.abs(here).max(initial=0))
        if not close.all() or any(y.dtype.kind != "c" for y in outputs):
            raise ValueError("the imaginary part is lost")
        found.append(function.upstream @ y.imag / step)
    return found
