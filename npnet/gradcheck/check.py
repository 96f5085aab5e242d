"""check_gradients: compare a backward pass with differences of the forward pass."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from npnet.arguments import choice, flag, float_dtype, real_number, refusal, shown, whole_number
from npnet.errors import ArgumentError
from npnet.gradcheck.functions import MODES, Functions, Options
from npnet.gradcheck.gradients import GradientCheck
from npnet.gradcheck.inputs import as_input, as_loss_arguments, check_count
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.other_points import OtherPoints
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Report, subject_of
from npnet.gradcheck.rules import CHEAP_LAYER_RULES, CHEAP_LOSS_RULES, check_rules
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.random import as_generator
from npnet.typing import ArrayLike, DtypeLike, Rng


def check_gradients(
    layer: Layer | Loss,
    *inputs: ArrayLike,
    mode: str = "full",
    samples: int = 100,
    dtype: DtypeLike = np.float64,
    training: bool = True,
    rng: Rng = 0,
    allow_kinks: bool = True,
    max_noise: float = 0.05,
    complex_step: bool = True,
    probe: bool = False,
    domain: tuple[float, float] | None = None,
    raises: bool = True,
) -> Report:
    r"""Check the gradients of a layer, container, model or loss with respect to everything.

    With fixed random upstream gradients r, backward must return the gradient of
    :math:`s = \sum_k r_k y_k` with respect to every floating input and every parameter. It is
    compared with differences of forward, whose error bars come from the function itself; an
    element fails when the analytic value lies outside its bar. At kinks, limits of gradients
    nearby and what lies between them are right. Values and gradients in float32 are compared with
    those in float64, and gradients are checked in evaluation mode and after the parameters have
    moved. The check also runs passes twice, in other orders and without clearing gradients, and
    watches the arrays it hands out.

    Everything happens on a copy: the layer, its gradients and its generators stay as they are.

    Parameters
    ----------
    layer : Layer or Loss
    *inputs : array_like
        Of a layer, its inputs: floating arrays, or integer ones (indices), which are not
        differentiated. Of a loss, its arguments and, if wanted, sample weights; only predictions
        are differentiated.
    mode : {"full", "sample", "directional"}
        ``"full"`` looks at every element. ``"sample"`` looks at `samples` random elements of
        every tensor; the report says how probably that misses a fault. ``"directional"`` takes
        the derivative along one random direction in which all inputs and parameters move at
        once: the cost of some ten passes whatever the size, and every faulty element shows. If it
        fails, faulty elements are found by halving what moves.
    samples : int
        Elements of each tensor in a sample.
    dtype : dtype
        float64 checks the formulas. float32 checks what the layer computes in float32 against
        differences in float64, with the tolerance of float32.
    training : bool
        Whether the passes train (dropout drops, with the same mask in each pass).
    rng : numpy.random.Generator or int
        Draws upstream gradients, samples and directions. The default repeats itself.
    allow_kinks : bool
        Whether a valid subgradient at a kink passes.
    max_noise : float
        The share of a tensor's elements about which nothing can be said, because forward is too
        rough or not finite nearby, that still passes.
    complex_step : bool
        Whether to confirm the gradients by complex steps where forward takes complex numbers.
    probe : bool
        Whether to check at other inputs as well: zeros, ties, whole numbers, sizes from 1e-3 to
        1000, both sides of the values at which forward takes another branch. Where forward is not
        finite or raises, nothing is checked; the report says where.
    domain : (float, float), optional
        The least and the largest number that the layer takes; probes stay inside.
    raises : bool
        False returns a failing report instead of raising it.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch
        An AssertionError with the report as its text, if something is wrong.
    ArgumentError
        If `layer` or an option is of the wrong kind, or an input is not finite.
    DtypeError
        If an input that should be differentiated holds integers or no real numbers.

    Examples
    --------
    >>> import numpy as np, npnet
    >>> from npnet.gradcheck import check_gradients
    >>> class Cube(npnet.Layer):
    ...     def forward(self, ctx, x):
    ...         ctx.save(x)
    ...         return x**3
    ...     def backward(self, ctx, grad):
    ...         (x,) = ctx.saved
    ...         return grad * 2 * x**2  # a bug
    >>> report = check_gradients(Cube(), np.array([0.5, 1.0, -2.0]), raises=False)
    >>> report.ok
    False
    >>> print(report.diagnosis[0])
    the gradient of input is 2/3 of the true one
    """
    __tracebackhide__ = True  # pytest then shows the report, not this code
    _refuse_layer(layer)
    choice("check_gradients", "mode", mode, MODES)
    whole_number("check_gradients", "samples", samples, 1)
    real_number("check_gradients", "max_noise", max_noise, 0, 1)
    dtype = checked_dtype("check_gradients", dtype)
    flags = {"training": training, "allow_kinks": allow_kinks, "raises": raises}
    for name, value in (flags | {"complex_step": complex_step, "probe": probe}).items():
        flag("check_gradients", name, value)
    domain = as_domain("check_gradients", domain)
    seed = rng if isinstance(rng, int) else int(as_generator(rng).integers(2**32))
    report = Report(subject_of(layer), allow_kinks=allow_kinks, max_noise=max_noise)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow and the like are looked for
        under_test = _under_test(layer, inputs, training, seed)
        try:
            under_test.fresh()
        except Fault as fault:
            raise ArgumentError(f"{type(layer).__name__} cannot be checked: {fault}") from fault
        options = Options(mode, samples, dtype, training, seed, complex_step, probe, domain=domain)
        functions = Functions(under_test, options)
        check = GradientCheck(report, functions)
        if check.start():
            is_loss = isinstance(under_test, LossUnderTest)
            check_rules(under_test, report, CHEAP_LOSS_RULES if is_loss else CHEAP_LAYER_RULES)
            if not under_test.no_function and check.judge():
                OtherPoints(report, functions).check()
    if raises:
        report.raise_if_failed()
    return report


def _refuse_layer(layer: Any) -> None:
    if isinstance(layer, type) and issubclass(layer, Layer | Loss):
        raise ArgumentError(
            f"check_gradients expects a layer, got the class {layer.__name__}; "
            f"create one: {layer.__name__}(...)"
        )
    if not isinstance(layer, Layer | Loss):
        hint = "; call it first, or use check_layer, which does" if callable(layer) else ""
        raise ArgumentError(f"check_gradients expects a Layer or a Loss, got {shown(layer)}{hint}")


def checked_dtype(owner: str, dtype: DtypeLike) -> np.dtype[Any]:
    """Return float32 or float64, or raise `ArgumentError`."""
    found = float_dtype(owner, "dtype", dtype)
    if found not in (np.float32, np.float64):
        raise refusal(owner, "dtype", "float32 or float64", dtype)
    return found


def as_domain(owner: str, domain: Any) -> tuple[float, float] | None:
    """Return the ends of a domain as floats, or raise `ArgumentError`."""
    if domain is None:
        return None
    if not isinstance(domain, tuple | list) or len(domain) != 2:
        raise refusal(owner, "domain", "two numbers, the least and the largest", domain)
    low, high = (real_number(owner, "domain", end) for end in domain)
    if not low < high:
        raise refusal(owner, "domain", "two numbers, the lesser one first", domain)
    return low, high


def _under_test(
    layer: Layer | Loss, inputs: tuple[Any, ...], training: bool, seed: int
) -> LayerUnderTest | LossUnderTest:
    if isinstance(layer, Loss):
        return LossUnderTest(layer, as_loss_arguments(layer, inputs, seed))
    if not inputs:
        raise ArgumentError(f"check_gradients needs an input for {type(layer).__name__}")
    check_count(layer, len(inputs))
    arrays = [as_input(layer, x, i) for i, x in enumerate(inputs)]
    arrays = [x.astype(np.float64) if x.dtype.kind == "f" else x.copy() for x in arrays]
    return LayerUnderTest(layer, arrays, seed=seed, training=training)
