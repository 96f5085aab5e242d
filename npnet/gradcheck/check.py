"""The two entrances: check_gradients, and check_layer for the whole contract."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Iterator
from numbers import Real
from typing import Any

import numpy as np

from npnet import arguments
from npnet.arguments import shown, whole_number
from npnet.errors import ArgumentError
from npnet.gradcheck.gradients import MODES, GradientCheck, Options
from npnet.gradcheck.inputs import as_inputs, is_shape, made
from npnet.gradcheck.other_points import OtherPoints
from npnet.gradcheck.passes import LossLayer
from npnet.gradcheck.report import Report
from npnet.gradcheck.rules.contract import LAYER_RULES, LOSS_RULES, check_calls, check_rules
from npnet.gradcheck.rules.losses import worded
from npnet.gradcheck.under_test import UnderTest
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.random import as_seed
from npnet.typing import ArrayLike, DtypeLike, Rng

_MANY = 2000  # elements, above which gradients are checked along a direction


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
    options = Options(
        mode, samples, dtype, training, as_seed(rng), complex_step, probe, domain=domain
    )
    flags = {"allow_kinks": allow_kinks, "raises": raises}
    options = _checked("check_gradients", MODES, options, **flags)
    max_noise = arguments.real_number("check_gradients", "max_noise", max_noise, 0, 1)
    if not isinstance(layer, Loss):
        hint = "call it first, or use check_layer, which does" if callable(layer) else ""
        arguments.instance("check_gradients", "layer", layer, Layer, hint)
    if not inputs and isinstance(layer, Layer):
        raise ArgumentError(f"check_gradients needs an input for {type(layer).__name__}")
    report = Report(_subject(layer), allow_kinks=allow_kinks, max_noise=max_noise)
    with _quiet():
        arrays = as_inputs(layer, inputs, options, shapes=isinstance(layer, Loss))
        _check(report, layer, arrays, options)
    if raises:
        report.raise_if_failed()
    return report


def check_layer(
    layer_or_factory: Any,
    *inputs: Any,
    batch_axis: int | None = 0,
    batch_independence: bool = True,
    skip: Collection[str] = (),
    only: Collection[str] | None = None,
    mode: str = "auto",
    dtype: DtypeLike = np.float64,
    seed: int = 0,
    raises: bool = True,
    probe: bool | None = None,
    domain: tuple[float, float] | None = None,
) -> Report:
    """Check that a layer or loss keeps the whole contract, gradients included.

    Every rule is tried and every violation reported. Nothing that is passed is changed. Constant
    parameters (gains of one, biases of zero), behind which mistakes hide, are moved in the copy
    that is checked. What is not described here is as in `check_gradients`.

    Parameters
    ----------
    layer_or_factory : Layer, Loss, or callable
        A class or function is called without arguments; with one, the rule about state
        dictionaries can compare two layers that start from different values.
    *inputs : array_like or tuple of int
        Inputs of a layer and predictions of a loss may be given by the shape, which is filled
        with random numbers between 0.2 and 1.5 of either sign (indices for a layer with
        `takes_integers`).
    batch_axis : int or None
        The axis of inputs and outputs that counts the samples. None if there is none.
    batch_independence : bool
        False for a layer that couples samples, as batch normalisation does, or such a loss. A
        class declares it, for containers around it too, by ``batch_independent = False``. One
        whose formula depends on the dtype declares ``depends_on_dtype = True``: float32 is then
        not compared with float64.
    skip, only : collection of str
        Names of rules to leave out, and of those to try; ``"gradients"`` is one.
    mode : {"auto", "full", "sample", "directional"}
        ``"auto"`` is ``"full"`` up to 2,000 elements and ``"directional"`` above.
    seed : int
        Of everything random in the check.
    dtype, raises, domain
    probe : bool, optional
        By default if an input is given by its shape.

    Examples
    --------
    >>> import npnet
    >>> from npnet.gradcheck import check_layer
    >>> check_layer(npnet.Linear(3, 2), (4, 3)).ok
    True
    >>> check_layer(npnet.Softmax(), (4, 3), only=["tape", "repeatable"], probe=False)
    Report('Softmax(dim=-1)', check='check_layer', ok=True, tensors=0, failing=0, violations=0)
    """
    __tracebackhide__ = True  # pytest then shows the report, not this code
    checked, make = made(layer_or_factory)
    chosen = rule_names(checked, skip, only)
    if not chosen:
        raise ArgumentError("check_layer has no rule to check: `only` and `skip` leave none")
    if batch_axis is not None:
        whole_number("check_layer", "batch_axis", batch_axis, 0)
    probe = any(map(is_shape, inputs)) if probe is None else probe
    flags = {"batch_independence": batch_independence, "raises": raises}
    options = Options(mode, dtype=dtype, seed=seed, probe=probe, moves=True, domain=domain)
    options = _checked("check_layer", ("auto", *MODES), options, **flags)
    report = Report(_subject(checked), check="check_layer")
    batches = {"batch_axis": batch_axis, "batch_independence": batch_independence}
    with _quiet():
        arrays = as_inputs(checked, inputs, options, shapes=True)
        _check(report, checked, arrays, options, chosen, make=make, **batches)
    if raises:
        report.raise_if_failed()
    return report


def _check(
    report: Report, checked: Any, arrays: Any, options: Any, names: Any = (), **given: Any
) -> None:
    """Check the rules of these names, or the cheap ones, then gradients."""
    given |= {"seed": options.seed, "training": options.training}
    if isinstance(checked, Loss):
        checked, given["batch_axis"] = LossLayer(checked), 0
    under_test = UnderTest(checked, arrays, **given)
    if not check_calls(under_test, report):
        report.notes.append("no other rule was checked")
        return
    check_rules(under_test, report, names)
    if names and "gradients" not in names:
        return
    if under_test.no_function:
        cause = next((v.rule for v in report.violations if not v.follows), "")
        why = worded(under_test, f"not checked, because {under_test.no_function}")
        return report.violate("gradients", why, cause)
    if options.mode == "auto":
        arrays = [*under_test.inputs, *(p.data for p in under_test.layer.parameters())]
        many = sum(x.size for x in arrays) > _MANY
        options = options._replace(mode="directional" if many else "full")
    if GradientCheck(report, under_test, options).check():
        OtherPoints(report, under_test, options).check()


def rule_names(
    layer_or_factory: Any, skip: Collection[str] = (), only: Collection[str] | None = None
) -> dict[str, str]:
    """Return the rules that `check_layer` tries, with what each says."""
    rules = LOSS_RULES if isinstance(made(layer_or_factory)[0], Loss) else LAYER_RULES
    says = {"gradients": "The gradients are those of the function."}
    says |= {name: rule.sentence for name, rule in rules.items()}
    for argument, given in (("skip", skip), ("only", () if only is None else only)):
        if isinstance(given, str) or not isinstance(given, Collection):
            raise ArgumentError(f"{argument} expects a list of rule names, got {shown(given)}")
        for name in given:
            if not isinstance(name, str) or name not in says:
                raise ArgumentError(f"no rule is named {shown(name)}; there are {', '.join(says)}")
    return {n: text for n, text in says.items() if n not in skip and (only is None or n in only)}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let overflow and the like pass without a warning, since a check looks for them."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _subject(checked: Layer | Loss) -> str:
    """Represent what is checked; a class whose `repr` fails is named instead."""
    try:
        return repr(checked)
    except Exception:  # a user's __repr__ must not hide the report
        return type(checked).__name__


def _checked(owner: str, modes: Collection[str], given: Options, **flags: Any) -> Options:
    """Return the options of a check, or raise `ArgumentError` or `DtypeError`."""
    arguments.choice(owner, "mode", given.mode, modes)
    whole_number(owner, "seed", given.seed, 0)
    whole_number(owner, "samples", given.samples, 1)
    flags |= {name: getattr(given, name) for name in ("training", "complex_step", "probe")}
    for name, value in flags.items():
        arguments.flag(owner, name, value)
    dtype, domain = arguments.float_dtype(owner, "dtype", given.dtype), given.domain
    if dtype not in (np.float32, np.float64):
        raise arguments.refusal(owner, "dtype", "float32 or float64", given.dtype)
    if domain is not None:
        ends: Any = domain if isinstance(domain, tuple | list) else ()
        real = all(isinstance(end, Real) and not isinstance(end, bool) for end in ends)
        if len(ends) != 2 or not real or not ends[0] < ends[1]:
            raise arguments.refusal(owner, "domain", "two numbers, the lesser one first", domain)
        domain = (float(ends[0]), float(ends[1]))
    return given._replace(dtype=dtype, domain=domain)
