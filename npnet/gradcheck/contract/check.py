"""check_layer: every rule of the contract in one call."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from npnet.arguments import choice, flag, shown, whole_number
from npnet.errors import ArgumentError, ShapeError
from npnet.gradcheck.contract import arrays, batch, ownership, passes, state
from npnet.gradcheck.contract.calls import Fault, name_of
from npnet.gradcheck.contract.gradients import add_gradients, diagnosis
from npnet.gradcheck.contract.loss_specimen import LossSpecimen
from npnet.gradcheck.contract.losses import LOSS_RULES, basic_call
from npnet.gradcheck.contract.resolve import as_inputs, as_loss_arguments, made
from npnet.gradcheck.contract.specimen import Specimen
from npnet.gradcheck.raised import describe
from npnet.gradcheck.report import Report, Violation, subject_of
from npnet.losses.loss import Loss
from npnet.typing import DtypeLike

_MODES = ("auto", "full", "sample", "directional")

LAYER_RULES: dict[str, Callable[[Specimen], Iterator[str]]] = {
    "input unchanged": ownership.inputs_unchanged,
    "upstream gradient unchanged": ownership.upstream_unchanged,
    "output unchanged": ownership.outputs_unchanged,
    "parameters unchanged": ownership.parameters_unchanged,
    "buffers unchanged": ownership.buffers_unchanged,
    "children unchanged": ownership.children_unchanged,
    "no state on self": ownership.no_state_on_self,
    "nothing kept alive": ownership.nothing_kept_alive,
    "output not reused": ownership.outputs_not_reused,
    "output writable": ownership.outputs_writable,
    "gradients not shared": ownership.gradients_not_shared,
    "tape": passes.tape_agrees,
    "inference repeatable": passes.inference_repeats,
    "repeatable": passes.recording_repeats,
    "recorded equals inference": passes.recording_equals_inference,
    "zero gradient": passes.zero_gradient,
    "linear backward": passes.linear_backward,
    "calls do not disturb each other": passes.two_calls,
    "used twice": passes.used_twice,
    "gradients accumulate": passes.accumulation,
    "flat store": passes.flat_store,
    "parameter gradients without input gradient": passes.input_gradient_on_demand,
    "unused outputs": passes.unused_outputs,
    "shapes and dtypes": arrays.shapes_and_dtypes,
    "precision": arrays.precision,
    "memory layout": arrays.memory_layout,
    "batch of one": batch.batch_of_one,
    "empty batch": batch.empty_batch,
    "batch independence": batch.batch_independence,
    "batch sizes": batch.batches_of_other_sizes,
    "state dict": state.state_dict,
    "deep copy": state.deep_copy,
    "randomness": state.randomness,
}


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
    batch_independence = flag("check_layer", "batch_independence", batch_independence)
    raises = flag("check_layer", "raises", raises)
    report = Report(subject_of(checked), check="check_layer")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow and the like are looked for
        if isinstance(checked, Loss):
            arguments = as_loss_arguments(checked, inputs, seed)
            specimen: Any = LossSpecimen(checked, *arguments)
            given = specimen.arrays()
            first: Callable[[Any], Iterator[str]] = basic_call
        else:
            given = as_inputs(checked, inputs, seed)
            declared = all(getattr(c, "batch_independent", True) for _, c in checked.named_layers())
            specimen = Specimen(
                checked,
                given,
                make,
                batch_axis=batch_axis,
                batch_independence=batch_independence and declared,
                seed=seed,
            )
            first = basic_calls
        _apply("calls", first, specimen, report)
        if report.violations:
            report.notes.append("no other rule was checked")
            if isinstance(report.cause, ShapeError):
                report.diagnosis += diagnosis(specimen, given, seed)
        else:
            for name, rule in rules.items():
                if name in chosen:
                    _apply(name, rule, specimen, report)
            if "gradients" in chosen:
                options = {"dtype": dtype, "rng": seed, "raises": False}
                add_gradients(report, specimen, given, mode, options, set(rules) - chosen)
            if isinstance(specimen, Specimen):
                report.notes += _notes(specimen, chosen)
    if raises:
        report.raise_if_failed()
    return report


def rule_names(layer_or_factory: Any, skip: Collection[str] = ()) -> dict[str, str]:
    """List the rules that `check_layer` tries, with what each says.

    Parameters
    ----------
    layer_or_factory : Layer, Loss, or callable
    skip : collection of str
        Names to leave out.

    Returns
    -------
    dict of str to str
    """
    rules = LOSS_RULES if isinstance(made(layer_or_factory)[0], Loss) else LAYER_RULES
    chosen = _chosen(["gradients", *rules], skip, None)
    says = {"gradients": "The gradients are those of the function."}
    for name, rule in rules.items():
        text = (rule.__doc__ or "").strip().split("\n")[0].removeprefix("Check that ")
        says[name] = text[:1].upper() + text[1:]
    return {name: text for name, text in says.items() if name in chosen}


def basic_calls(specimen: Specimen) -> Iterator[str]:
    """Check that a call and a backward pass work and give finite real arrays."""
    layer = specimen.fresh()
    outputs = specimen.infer(layer)
    again = specimen.infer(layer)
    if [y.shape for y in again] != [y.shape for y in outputs]:
        shapes = [", ".join(str(y.shape) for y in ys) for ys in (outputs, again)]
        yield (
            f"forward returned shape {shapes[0]} in a first call and {shapes[1]} in a second "
            "with the same input"
        )
        return
    one = specimen.run(layer)
    for mode, ys in (("inference", outputs), ("a recorded pass", one.outputs)):
        for i, y in enumerate(ys):
            if not np.isfinite(y).all():
                yield (
                    f"{mode} returned {_first_odd(y)} in {name_of('output', i, ys)} for finite "
                    "inputs; if the layer takes only some numbers, pass arrays of such"
                )
                return
    for name, array in one.named().items():
        if not np.isfinite(array).all():
            yield f"the {name} is {_first_odd(array)} for finite inputs"


def _first_odd(array: Any) -> str:
    index = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
    return f"{array[tuple(index)]}" + (f" at {index}" if index else "")


def _apply(name: str, rule: Callable[[Any], Iterator[str]], specimen: Any, report: Report) -> None:
    try:
        for message in rule(specimen):
            if Violation(name, message) not in report.violations:
                report.violate(name, message)
    except Fault as fault:
        report.violate(name, str(fault))
        cause = fault.__cause__
        report.cause = report.cause or (cause if isinstance(cause, Exception) else None)
    except Exception as error:  # whatever a layer's code raises where no rule expects it
        report.violate(name, f"the check stopped at {describe(error)}")
        report.cause = report.cause or error


def _notes(specimen: Specimen, chosen: Collection[str]) -> Iterator[str]:
    if any(name.startswith("batch ") for name in chosen) and not batch.has_batches(specimen):
        yield "rules about batches do not apply: inputs and outputs have no common batch axis"
    for i, run in enumerate(passes.runs_without(specimen) if "unused outputs" in chosen else ()):
        if isinstance(run, Fault):
            yield f"with None as the gradient of output {i}, which nobody may have used, {run}"


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
