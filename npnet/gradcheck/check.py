"""check_gradients: compare a backward pass with differences of the forward pass."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np

from npnet.arguments import choice, flag, float_dtype, real_number, refusal, shown, whole_number
from npnet.errors import ArgumentError
from npnet.gradcheck.functions import MODES, Functions, Options
from npnet.gradcheck.gradients import GradientCheck
from npnet.gradcheck.inputs import as_inputs
from npnet.gradcheck.loss_under_test import under_test_of
from npnet.gradcheck.other_points import OtherPoints
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Report, subject_of
from npnet.gradcheck.rules import check_rules
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.random import as_seed
from npnet.typing import ArrayLike, DtypeLike, Rng

_NUMBERS = (int, float, np.integer, np.floating)


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

    With random upstream gradients r, backward must return the gradient of
    :math:`s = \sum_k r_k y_k` with respect to every floating input and every parameter. An
    element fails outside the error bar of the differences of forward; at kinks, limits of
    gradients nearby and what lies between them are right. float32 is compared with float64, and
    gradients are checked in evaluation mode and after the parameters have moved. Rules of the
    contract that cost little are checked too. All of it happens on a copy.

    Parameters
    ----------
    layer : Layer or Loss
    *inputs : array_like
        The inputs of a layer; integer ones (indices) are not differentiated. Of a loss, its
        arguments and, if wanted, sample weights; only predictions are differentiated.
    mode : {"full", "sample", "directional"}
        ``"full"`` looks at every element, ``"sample"`` at `samples` random ones of every tensor;
        the report says how probably that misses a fault. ``"directional"`` moves all inputs and
        parameters at once along a random direction, in some ten passes whatever the size, and
        every faulty element shows; if that fails, halving what moves finds them.
    samples : int
    dtype : dtype
        float64 checks the formulas, float32 what the layer computes in float32 against
        differences in float64, with the tolerance of float32.
    training : bool
        Whether the passes train (dropout drops, with the same mask in each pass).
    rng : numpy.random.Generator or int
        Draws upstream gradients, samples and directions. The default repeats itself.
    allow_kinks, max_noise : bool, float
        Whether a valid subgradient at a kink passes, and the share of a tensor's elements that
        may be too rough, or not finite nearby, to judge.
    complex_step : bool
        Whether to confirm the gradients by complex steps where forward takes complex numbers.
    probe : bool
        Whether to check at other inputs as well: zeros, ties, whole numbers, sizes from 1e-3 to
        1000, both sides of the values at which forward takes another branch. Where forward is not
        finite or raises, nothing is checked; the report says where.
    domain : (float, float), optional
        The least and the largest number that the layer takes: ``(0.1, np.inf)``.
    raises : bool
        False returns a failing report instead of raising it.

    Raises
    ------
    GradientMismatch
        An AssertionError with the report as its text, if something is wrong.
    ArgumentError, DtypeError
        If an argument is of the wrong kind, an input not finite, or one holds integers that the
        layer does not take.

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
    >>> print(report.diagnosis[0])
    the gradient of input is 2/3 of the true one
    """
    __tracebackhide__ = True  # pytest then shows the report, not this code
    seed, flags = as_seed(rng), {"allow_kinks": allow_kinks, "raises": raises}
    options = Options(mode, samples, dtype, training, seed, complex_step, probe, domain=domain)
    options = checked_options("check_gradients", MODES, options, **flags)
    max_noise = real_number("check_gradients", "max_noise", max_noise, 0, 1)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow and the like are looked for
        under_test = _under_test(layer, inputs, options)
        report = Report(subject_of(layer), allow_kinks=allow_kinks, max_noise=max_noise)
        functions = Functions(under_test, options)
        check = GradientCheck(report, functions)
        if check.start():
            check_rules(under_test, report)
            if not under_test.no_function and check.judge():
                OtherPoints(report, functions).check()
    if raises:
        report.raise_if_failed()
    return report


def checked_options(owner: str, modes: Collection[str], given: Options, **flags: Any) -> Options:
    """Return the options of a check, or raise `ArgumentError` or `DtypeError`."""
    choice(owner, "mode", given.mode, modes)
    whole_number(owner, "seed", given.seed, 0)
    whole_number(owner, "samples", given.samples, 1)
    flags |= {name: getattr(given, name) for name in ("training", "complex_step", "probe")}
    for name, value in flags.items():
        flag(owner, name, value)
    dtype, domain = float_dtype(owner, "dtype", given.dtype), given.domain
    if dtype not in (np.float32, np.float64):
        raise refusal(owner, "dtype", "float32 or float64", given.dtype)
    if domain is not None:
        ends = domain if isinstance(domain, tuple | list) else ()
        numbers = [float(e) for e in ends if isinstance(e, _NUMBERS) and not isinstance(e, bool)]
        if not len(ends) == len(numbers) == 2 or not numbers[0] < numbers[1]:
            raise refusal(owner, "domain", "two numbers, the lesser one first", domain)
        domain = (numbers[0], numbers[1])
    return given._replace(dtype=dtype, domain=domain)


def _under_test(layer: Any, inputs: tuple[Any, ...], options: Options) -> LayerUnderTest:
    """Return what is checked, a layer or a loss with its arguments."""
    if not isinstance(layer, Layer | Loss):
        hint = "; call it first, or use check_layer, which does" if callable(layer) else ""
        if isinstance(layer, type) and issubclass(layer, Layer | Loss):
            hint = f"; create one: {layer.__name__}(...)"
        raise ArgumentError(f"check_gradients expects a Layer or a Loss, got {shown(layer)}{hint}")
    if not inputs and isinstance(layer, Layer):
        raise ArgumentError(f"check_gradients needs an input for {type(layer).__name__}")
    arrays = as_inputs(layer, inputs, options.seed, shapes=isinstance(layer, Loss))
    try:
        under_test = under_test_of(layer, arrays, seed=options.seed, training=options.training)
        under_test.fresh()
    except Fault as fault:
        raise ArgumentError(f"{type(layer).__name__} cannot be checked: {fault}") from fault
    return under_test
