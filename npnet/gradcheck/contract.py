"""check_layer: every rule of the contract, gradients included, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np

from npnet.arguments import shown, whole_number
from npnet.errors import ArgumentError
from npnet.gradcheck.check import checked_options
from npnet.gradcheck.functions import MODES, Functions, Options
from npnet.gradcheck.gradients import GradientCheck
from npnet.gradcheck.inputs import as_inputs, is_shape, made
from npnet.gradcheck.loss_under_test import under_test_of
from npnet.gradcheck.other_points import OtherPoints
from npnet.gradcheck.report import Report, subject_of
from npnet.gradcheck.rules import LAYER_RULES, LOSS_RULES, check_calls, check_rules
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.losses.loss import Loss
from npnet.typing import DtypeLike

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
        class declares it, for containers around it too, by ``batch_independent = False``.
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
    options = checked_options("check_layer", ("auto", *MODES), options, **flags)
    report = Report(subject_of(checked), check="check_layer")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow and the like are looked for
        parts = [checked] if isinstance(checked, Loss) else [p for _, p in checked.named_layers()]
        batch_independence &= all(getattr(part, "batch_independent", True) for part in parts)
        under_test = under_test_of(
            checked,
            as_inputs(checked, inputs, seed, options.domain, shapes=True),
            make=make,
            batch_axis=batch_axis,
            batch_independence=batch_independence,
            seed=seed,
        )
        if check_calls(under_test, report):
            check_rules(under_test, report, chosen)
            if "gradients" in chosen:
                _check_gradients(report, under_test, options, chosen)
        else:
            report.notes.append("no other rule was checked")
    if raises:
        report.raise_if_failed()
    return report


def _check_gradients(
    report: Report,
    under_test: LayerUnderTest,
    options: Options,
    chosen: Collection[str],
) -> None:
    broken = [v.rule for v in report.violations]
    if under_test.no_function:
        why = under_test.worded(under_test.no_function)
        cause = next((v.rule for v in report.violations if not v.follows), "")
        return report.violate("gradients", f"not checked, because {why}", cause)
    if options.mode == "auto":
        arrays = [*under_test.inputs, *(p.data for p in under_test.layer.parameters())]
        many = sum(x.size for x in arrays) > _MANY
        options = options._replace(mode="directional" if many else "full")
    functions = Functions(under_test, options)
    check = GradientCheck(report, functions)
    if check.start() and check.judge():
        OtherPoints(report, functions).check()
    said = {name for name, rule in _SAME.items() if rule in broken or rule not in chosen}
    new = [v for v in report.violations[len(broken) :] if v.rule not in said]
    report.violations[len(broken) :] = new


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
