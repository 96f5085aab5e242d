"""check_layer: every rule of the contract, gradients included, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np

from npnet.arguments import choice, flag, shown, whole_number
from npnet.errors import ArgumentError
from npnet.gradcheck.check import as_domain, checked_dtype
from npnet.gradcheck.functions import MODES, Functions, Options
from npnet.gradcheck.gradients import GradientCheck
from npnet.gradcheck.inputs import as_inputs, as_loss_arguments, is_shape, made
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.other_points import OtherPoints
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Report, Violation, subject_of
from npnet.gradcheck.rules import LAYER_RULES, LOSS_RULES, check_calls, check_rules
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.typing import Array, DtypeLike

_MODES = ("auto", *MODES)
_MANY = 2000  # elements, above which gradients are checked along a direction

# What the check of gradients says again in other words when a rule was broken.
_SAME = {"gradient": "shapes and dtypes", "dtype": "precision"}


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

    Every rule is tried and every violation reported, not only the first. Nothing that is passed
    is changed. Parameters that are constant (gains of one, biases of zero) are moved in the copy
    that is checked, because mistakes hide behind them.

    Parameters
    ----------
    layer_or_factory : Layer, Loss, or callable
        A class or function is called without arguments; with one, the rule about state
        dictionaries can compare two layers that start from different values.
    *inputs : array_like or tuple of int
        One for each input of the layer: an array, or a shape, which is filled with random
        numbers between 0.2 and 1.5 of either sign (indices for a layer with `takes_integers`).
        For a loss: its arguments (predictions may be shapes) and, optionally, sample weights.
    batch_axis : int or None
        The axis of inputs and outputs that counts the samples. None if there is none.
    batch_independence : bool
        False for a layer that couples samples, as batch normalisation does. A layer declares it
        for itself, and for containers around it, by ``batch_independent = False`` in its class.
    skip : collection of str
        Names of rules to leave out; ``"gradients"`` is one.
    only : collection of str, optional
        The rules to try; all by default.
    mode : {"auto", "full", "sample", "directional"}
        How gradients are checked, see `check_gradients`. ``"auto"`` looks at every element if
        there are at most 2,000, and along a direction otherwise.
    dtype : dtype
        In which gradients are computed: float64 checks the formulas, float32 what the layer
        makes of them in float32. The other rules look at both.
    seed : int
        Of everything random in the check.
    raises : bool
        Whether to raise a report that is not ok.
    probe : bool, optional
        Whether gradients are also checked at other inputs: zeros, ties, large and small numbers,
        other batches. By default if an input is given by its shape.
    domain : (float, float), optional
        The numbers that the layer takes, the least and the largest; probes stay inside.

    Returns
    -------
    Report

    Raises
    ------
    GradientMismatch
        With ``raises=True``, listing every violation.
    ArgumentError, DtypeError
        If what is passed cannot be checked.

    See Also
    --------
    check_gradients : The gradients alone.

    Examples
    --------
    >>> import npnet
    >>> from npnet.gradcheck import check_layer
    >>> check_layer(npnet.Linear(3, 2), (4, 3)).ok
    True
    >>> class Forgetful(npnet.Layer):
    ...     def forward(self, ctx, x):
    ...         x *= 2
    ...         return x
    ...     def backward(self, ctx, grad):
    ...         return 2 * grad
    >>> report = check_layer(Forgetful, (4, 3), raises=False, only=["input unchanged"])
    >>> report.ok, report.violations[0].rule
    (False, 'input unchanged')
    """
    __tracebackhide__ = True  # pytest then shows the report, not this code
    checked, make = made(layer_or_factory)
    rules = LOSS_RULES if isinstance(checked, Loss) else LAYER_RULES
    chosen = _chosen(["gradients", *rules], skip, only)
    if not chosen:
        raise ArgumentError("check_layer has no rule to check: `only` and `skip` leave none")
    _refuse(mode, seed, batch_axis)
    dtype = checked_dtype("check_layer", dtype)
    batch_independence = flag("check_layer", "batch_independence", batch_independence)
    raises = flag("check_layer", "raises", raises)
    domain = as_domain("check_layer", domain)
    probe = any(map(is_shape, inputs)) if probe is None else flag("check_layer", "probe", probe)
    report = Report(subject_of(checked), check="check_layer")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow and the like are looked for
        if isinstance(checked, Loss):
            arguments = as_loss_arguments(checked, inputs, seed, domain)
            under_test: LayerUnderTest | LossUnderTest = LossUnderTest(checked, arguments)
        else:
            under_test = LayerUnderTest(
                checked,
                as_inputs(checked, inputs, seed, domain),
                make,
                batch_axis=batch_axis,
                batch_independence=batch_independence and _declares_independence(checked),
                seed=seed,
            )
        if check_calls(under_test, report):
            check_rules(under_test, report, chosen)
            if "gradients" in chosen:
                options = Options(
                    mode, 100, dtype, True, seed, probe=probe, moves=True, domain=domain
                )
                _check_gradients(report, under_test, options, set(rules) - chosen)
        else:
            report.notes.append("no other rule was checked")
    if raises:
        report.raise_if_failed()
    return report


def _declares_independence(layer: Layer) -> bool:
    return all(getattr(part, "batch_independent", True) for _, part in layer.named_layers())


def rule_names(layer_or_factory: Any, skip: Collection[str] = ()) -> dict[str, str]:
    """List the rules that `check_layer` tries, with what each says."""
    rules = LOSS_RULES if isinstance(made(layer_or_factory)[0], Loss) else LAYER_RULES
    chosen = _chosen(["gradients", *rules], skip, None)
    says = {"gradients": "The gradients are those of the function."}
    says |= {name: rule.sentence for name, rule in rules.items()}
    return {name: text for name, text in says.items() if name in chosen}


# --- the rule about gradients: at the places where mistakes show


def _check_gradients(
    report: Report,
    under_test: LayerUnderTest | LossUnderTest,
    options: Options,
    skipped: Collection[str],
) -> None:
    if options.mode == "auto":
        mode = "full" if _size(under_test) <= _MANY else "directional"
        options = options._replace(mode=mode)
    if under_test.no_function:
        causes = [v.rule for v in report.violations if not v.follows]
        message = f"not checked, because {under_test.no_function}"
        report.violations.append(Violation("gradients", message, causes[0] if causes else ""))
        return
    broken = {v.rule for v in report.violations} | set(skipped)
    before = len(report.violations)
    functions = Functions(under_test, options)
    check = GradientCheck(report, functions)
    if check.start() and check.judge():
        OtherPoints(report, functions).check()
    new = report.violations[before:]
    report.violations[before:] = [v for v in new if _SAME.get(v.rule) not in broken]


def _size(under_test: LayerUnderTest | LossUnderTest) -> int:
    if isinstance(under_test, LossUnderTest):
        return sum(pred.size for pred in under_test.predictions().values())
    arrays: list[Array] = [*under_test.inputs, *(p.data for p in under_test.layer.parameters())]
    return sum(x.size for x in arrays)


# --- the options


def _refuse(mode: str, seed: int, batch_axis: int | None) -> None:
    choice("check_layer", "mode", mode, _MODES)
    whole_number("check_layer", "seed", seed, 0)
    if batch_axis is not None:
        whole_number("check_layer", "batch_axis", batch_axis, 0)


def _chosen(names: list[str], skip: Collection[str], only: Collection[str] | None) -> set[str]:
    for argument, given in (("skip", skip), ("only", () if only is None else only)):
        if isinstance(given, str) or not isinstance(given, Collection):
            raise ArgumentError(f"{argument} expects a list of rule names, got {shown(given)}")
        for name in given:
            if not isinstance(name, str) or name not in names:
                raise ArgumentError(f"no rule is named {shown(name)}; there are {', '.join(names)}")
    return {n for n in names if n not in skip and (only is None or n in only)}
