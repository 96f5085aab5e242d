"""The contract of a layer, and of a loss: every rule once, the causes above their consequences."""

from __future__ import annotations

from collections.abc import Collection

from npnet.gradcheck.error_text import describe
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Diagnosis, Report, Violation
from npnet.gradcheck.rules import arrays, backward, batch, calls, losses, ownership, state
from npnet.gradcheck.rules.rule import Finding, Rule
from npnet.gradcheck.under_test import LayerUnderTest

_CHANGED = ("input unchanged", "upstream gradient unchanged", "output unchanged",
            "parameters unchanged", "buffers unchanged", "children unchanged")  # fmt: skip
_STATE = ("children through ctx.call", "no state on self", "randomness", "repeatable")
_CAUSES = (*_CHANGED, *_STATE)
_ADDED = (*_CAUSES, "gradients accumulate", "gradients not shared")
_SHAPES = (*_CAUSES, "shapes and dtypes")

# Whoever cannot work at all, or whose calls cannot be told apart, is asked nothing more.
LAYER_CALLS = Rule("calls", calls.calls_work, "raised")
LOSS_CALLS = Rule("calls", losses.calls_work, "raised")

LAYER_RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("input unchanged", ownership.inputs_unchanged, "mutation", True),
        Rule("upstream gradient unchanged", ownership.upstream_unchanged, "mutation", True),
        Rule("output unchanged", ownership.outputs_unchanged, "mutation", True),
        Rule("parameters unchanged", ownership.parameters_unchanged, "mutation", True),
        Rule("buffers unchanged", ownership.buffers_unchanged, "mutation"),
        Rule("children through ctx.call", ownership.children_called, "child", True),
        Rule("children unchanged", ownership.children_unchanged, "mutation"),
        Rule("no state on self", state.no_state_on_self, "stale state", True),
        Rule("randomness", state.randomness, "non-deterministic"),
        Rule("repeatable", backward.passes_repeat, "non-deterministic", True, _CAUSES),
        Rule("inference repeatable", backward.inference_repeats, "", False, _CAUSES),
        Rule("gradients accumulate", backward.accumulation, "overwritten", True, _CAUSES),
        Rule("gradients not shared", ownership.gradients_not_shared, "", False,
             ("gradients accumulate",)),
        Rule("calls do not disturb each other", backward.two_calls, "stale state", True, _ADDED),
        Rule("parameter gradients without input gradient", backward.input_gradient_on_demand,
             "zero", True, _CAUSES),
        Rule("nothing kept alive", ownership.nothing_kept_alive, "", False, _ADDED),
        Rule("output not reused", ownership.outputs_not_reused, "", False, _ADDED),
        Rule("output writable", ownership.outputs_writable, "", False, _CAUSES),
        Rule("shapes and dtypes", arrays.shapes_and_dtypes),
        Rule("tape", backward.tape_agrees, "", False, _SHAPES),
        Rule("recorded equals inference", backward.recording_equals_inference, "", False, _CAUSES),
        Rule("zero gradient", backward.zero_gradient, "", False, _CAUSES),
        Rule("precision", arrays.precision, "float32", True, ("zero gradient",)),
        Rule("linear backward", backward.linear_backward, "", False,
             (*_CAUSES, "zero gradient", "precision")),
        Rule("used twice", backward.used_twice, "", False,
             (*_ADDED, "calls do not disturb each other")),
        Rule("flat store", backward.flat_store, "", False, _ADDED),
        Rule("unused outputs", backward.unused_outputs, "", False, _CAUSES),
        Rule("memory layout", arrays.memory_layout, "", False, _CAUSES),
        Rule("batch of one", batch.batch_of_one, "", False, _SHAPES),
        Rule("batch independence", batch.batch_independence, "", False,
             (*_SHAPES, "precision", "batch of one")),
        Rule("empty batch", batch.empty_batch, "", False,
             (*_SHAPES, "batch of one", "batch independence")),
        Rule("batch sizes", batch.batches_of_other_sizes, "", False,
             (*_CAUSES, "calls do not disturb each other")),
        Rule("state dict", state.state_dict, "", False, _CAUSES),
        Rule("deep copy", state.deep_copy, "", False, _CAUSES),
    )
}  # fmt: skip

_LOSS_CAUSES = ("input unchanged", "repeatable", "randomness")

LOSS_RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("input unchanged", losses.arguments_unchanged, "mutation", True),
        Rule("randomness", losses.randomness, "non-deterministic", True),
        Rule("repeatable", losses.calls_repeat, "stale state", True,
             ("input unchanged", "randomness")),
        Rule("one value", losses.value_agrees, "stale state", True, _LOSS_CAUSES),
        Rule("reductions", losses.reductions_agree, "", False, _LOSS_CAUSES),
        Rule("sample independence", losses.samples_independent, "", False,
             (*_LOSS_CAUSES, "reductions")),
        Rule("sample weights", losses.sample_weights, "", False,
             (*_LOSS_CAUSES, "reductions", "sample independence")),
        Rule("empty batch", losses.empty_batch, "", False, _LOSS_CAUSES),
        Rule("shapes and dtypes", losses.shapes_and_dtypes),
        Rule("precision", losses.precision, "float32", True),
        Rule("gradient not shared", losses.gradient_of_its_own, "", False, _LOSS_CAUSES),
        Rule("memory layout", losses.memory_layout, "", False, _LOSS_CAUSES),
        Rule("target shape", losses.target_not_broadcast),
        Rule("nothing kept alive", losses.nothing_kept_alive, "", False, _LOSS_CAUSES),
        Rule("deep copy", losses.deep_copy, "", False, _LOSS_CAUSES),
    )
}  # fmt: skip

CHEAP_LAYER_RULES = tuple(name for name, rule in LAYER_RULES.items() if rule.cheap)
CHEAP_LOSS_RULES = tuple(name for name, rule in LOSS_RULES.items() if rule.cheap)


def rules_of(under_test: LayerUnderTest | LossUnderTest) -> dict[str, Rule]:
    """Return all rules for a layer, or for a loss."""
    return LOSS_RULES if isinstance(under_test, LossUnderTest) else LAYER_RULES


def check_calls(under_test: LayerUnderTest | LossUnderTest, report: Report) -> bool:
    """Check what must hold before the rules can be checked; tell whether it does."""
    if isinstance(under_test, LossUnderTest):
        _apply(LOSS_CALLS, under_test, report)
        return not report.violations
    try:
        under_test.plain()
    except Fault as fault:
        _add(report, LAYER_RULES["deep copy"], Finding(str(fault)), "")
        return False
    _apply(LAYER_CALLS, under_test, report)
    return not report.violations


def check_rules(
    under_test: LayerUnderTest | LossUnderTest, report: Report, names: Collection[str]
) -> None:
    """Check the rules of these names; append violations and diagnoses to the report."""
    for name, rule in rules_of(under_test).items():
        if name in names:
            _apply(rule, under_test, report)


def _apply(rule: Rule, under_test: LayerUnderTest | LossUnderTest, report: Report) -> None:
    broken = {v.rule for v in report.violations}
    cause = next((name for name in rule.follows if name in broken), "")
    try:
        for found in rule.check(under_test):
            _add(report, rule, found if isinstance(found, Finding) else Finding(found), cause)
            if cause:
                break  # one consequence of each kind says enough
    except Fault as fault:
        _add(report, rule, Finding(str(fault), "", "raised"), cause)
        raised = fault.__cause__
        report.cause = report.cause or (raised if isinstance(raised, Exception) else None)
    except Exception as error:  # whatever a layer's code raises where no rule expects it
        _add(report, rule, Finding(f"the check stopped at {describe(error)}", "", "raised"), cause)
        report.cause = report.cause or error


def _add(report: Report, rule: Rule, found: Finding, cause: str) -> None:
    if found.kind == "note":
        report.notes.append(found.message)
        return
    violation = Violation(rule.name, found.message, cause)
    if violation in report.violations:
        return
    report.violations.append(violation)
    kind = found.kind or rule.kind
    if kind and not cause:
        report.diagnosis.append(Diagnosis(kind, found.tensor, found.message))
