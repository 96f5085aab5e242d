"""check_layer: every rule of the contract, gradients included, in one call."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np

from npnet.arguments import choice, flag, refusal, shown, whole_number
from npnet.errors import ArgumentError
from npnet.gradcheck.check import gradient_report
from npnet.gradcheck.inputs import as_inputs, as_loss_arguments, made
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Report, Violation, subject_of
from npnet.gradcheck.rules import LAYER_RULES, LOSS_RULES, check_calls, check_rules
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.layer import Layer
from npnet.losses.loss import Loss
from npnet.typing import Array, DtypeLike

_MODES = ("auto", "full", "sample", "directional")
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
        For a loss: a prediction (or its shape), a target and, optionally, sample weights.
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
    _refuse(mode, seed, batch_axis, domain)
    batch_independence = flag("check_layer", "batch_independence", batch_independence)
    raises = flag("check_layer", "raises", raises)
    if probe is not None:
        probe = flag("check_layer", "probe", probe)
    options = {"mode": mode, "dtype": dtype, "rng": seed, "probe": probe, "domain": domain}
    report = Report(subject_of(checked), check="check_layer")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow and the like are looked for
        if isinstance(checked, Loss):
            arguments = as_loss_arguments(checked, inputs, seed, domain)
            under_test: LayerUnderTest | LossUnderTest = LossUnderTest(checked, *arguments)
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
    options: dict[str, Any],
    skipped: Collection[str],
) -> None:
    if options["mode"] == "auto":
        options["mode"] = "full" if _size(under_test) <= _MANY else "directional"
    reason = under_test.no_function
    if reason:
        causes = [v.rule for v in report.violations if not v.follows]
        message = f"not checked, because {reason}"
        report.violations.append(Violation("gradients", message, causes[0] if causes else ""))
        return
    if isinstance(under_test, LossUnderTest):
        found = gradient_report(under_test.loss, under_test.arrays(), **options)
    else:
        found = _of_layer(under_test, options)
    broken = {v.rule for v in report.violations} | set(skipped)
    report.violations += [v for v in found.violations if _SAME.get(v.rule) not in broken]
    report.tensors, report.notes = found.tensors, report.notes + found.notes
    report.diagnosis += found.diagnosis
    report.allow_kinks, report.max_noise = found.allow_kinks, found.max_noise
    report.cause = report.cause or found.cause
    if isinstance(under_test, LayerUnderTest) and _has_modes(under_test):
        _add_evaluation(report, gradient_report(
            under_test.plain(), under_test.arrays(), training=False, **options
        ))  # fmt: skip


def _of_layer(under_test: LayerUnderTest, options: dict[str, Any]) -> Report:
    """Check at the layer's own parameters; if all is well, where ones and zeros hide nothing."""
    given = under_test.arrays()
    found = gradient_report(under_test.plain(), given, **options)
    if found.ok and under_test.has_moved:
        moved = gradient_report(under_test.fresh(), given, **options | {"mode": "directional"})
        moved.notes.append("constant parameters were moved; with them as they are, all is well")
        found = found if moved.ok else moved
    repeated = under_test.repeated()
    if found.ok and repeated is not None:
        twice = gradient_report(under_test.plain(), repeated, **options)
        twice.notes.append("indices were repeated; where each occurs once, all is well")
        found = found if twice.ok else twice
    return found


def _has_modes(under_test: LayerUnderTest) -> bool:
    """Tell whether evaluation mode is another function, or has other gradients."""
    if under_test.is_random:
        return True
    for inputs in (under_test.arrays(), under_test.others()):
        try:
            trained, evaluated = (
                under_test.run(inputs=[x.copy() for x in inputs], training=t) for t in (True, False)
            )
        except Fault:
            return True
        if under_test.compared(evaluated, trained):
            return True
    return False


def _add_evaluation(report: Report, found: Report) -> None:
    rule = "gradients in evaluation mode"
    for violation in found.violations:
        report.violate(rule, violation.message)
    for tensor in found.failing:
        worst = tensor.worst(1)[0]
        report.violate(
            rule,
            f"the gradient of {tensor.name} is {worst.analytic:.6g} instead of "
            f"{worst.numeric:.6g} at {list(worst.index)}",
        )


def _size(under_test: LayerUnderTest | LossUnderTest) -> int:
    if isinstance(under_test, LossUnderTest):
        return under_test.pred.size
    arrays: list[Array] = [*under_test.inputs, *(p.data for p in under_test.layer.parameters())]
    return sum(x.size for x in arrays)


# --- the options


def _refuse(
    mode: str, seed: int, batch_axis: int | None, domain: tuple[float, float] | None
) -> None:
    choice("check_layer", "mode", mode, _MODES)
    whole_number("check_layer", "seed", seed, 0)
    if batch_axis is not None:
        whole_number("check_layer", "batch_axis", batch_axis, 0)
    if domain is None:
        return
    ends = domain if isinstance(domain, tuple | list) and len(domain) == 2 else (0, 0)
    if any(not isinstance(end, int | float) for end in ends) or not ends[0] < ends[1]:
        raise refusal("check_layer", "domain", "two numbers, the lower one first", domain)


def _chosen(names: list[str], skip: Collection[str], only: Collection[str] | None) -> set[str]:
    for argument, given in (("skip", skip), ("only", () if only is None else only)):
        if isinstance(given, str) or not isinstance(given, Collection):
            raise ArgumentError(f"{argument} expects a list of rule names, got {shown(given)}")
        for name in given:
            if not isinstance(name, str) or name not in names:
                raise ArgumentError(f"no rule is named {shown(name)}; there are {', '.join(names)}")
    return {n for n in names if n not in skip and (only is None or n in only)}
