"""The contract of a layer, and of a loss: every rule once, the causes above their consequences."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from npnet.gradcheck.error_text import describe
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.passes import Fault, Finding, Findings
from npnet.gradcheck.report import Diagnosis, Report, Violation
from npnet.gradcheck.rules import arrays, backward, batch, losses, ownership, state
from npnet.gradcheck.rules.watching import none_of
from npnet.gradcheck.under_test import LayerUnderTest


@dataclass(frozen=True)
class Rule:
    """One rule; `check` takes the object under test and yields what violates it.

    Without a `kind` of diagnosis, the first violation says enough. A violation of this rule is a
    consequence of one of the rules that it `follows`, if both are about the same tensor, or one
    about none.
    """

    name: str
    check: Callable[[Any], Findings]
    kind: str = ""
    cheap: bool = False  # whether `check_gradients` checks it too
    follows: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What the rule says: "The same input gives the same inference output."."""
        text = (self.check.__doc__ or "").strip().split("\n")[0].removeprefix("Check that ")
        return text[:1].upper() + text[1:]


# Whoever cannot work at all, or whose calls cannot be told apart, is asked nothing more.
_CALLS = Rule("calls", arrays.calls_work, "raised")

_STATE = ("no state on self",)
_CHILD = ("children through ctx.call", "children unchanged")
_MOVED = ("parameters unchanged", "buffers unchanged", "no state on self", "randomness")
_ADDED = ("no state on self", "gradients accumulate", "gradients not shared")
_KEPT = ("no state on self", "gradients not shared")
_PRECISION = ("zero gradient", "precision")
_SHAPES = ("shapes and dtypes", "precision", "batch of one", "batch independence")

LAYER_RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("input unchanged", none_of("input"), "mutation", True),
        Rule("upstream gradient unchanged", none_of("upstream gradient"), "mutation", True),
        Rule("output unchanged", none_of("output"), "mutation", True),
        Rule("parameters unchanged", none_of("parameter"), "mutation", True),
        Rule("buffers unchanged", none_of("buffer"), "mutation"),
        Rule("children through ctx.call", none_of("direct"), "child", True),
        Rule("children unchanged", none_of("child"), "mutation"),
        Rule("no state on self", state.no_state_on_self, "stale state", True),
        Rule("randomness", state.randomness, "non-deterministic"),
        Rule("repeatable", backward.passes_repeat, "non-deterministic", True, _MOVED),
        Rule("inference repeatable", backward.inference_repeats, "", False, _MOVED),
        Rule("gradients accumulate", backward.accumulation, "overwritten", True),
        Rule("gradients not shared", ownership.gradients_not_shared),
        Rule("calls do not disturb each other", backward.two_calls, "stale state", True, _ADDED),
        Rule("parameter gradients without input gradient", backward.input_gradient_on_demand,
             "zero", True),
        Rule("nothing kept alive", ownership.nothing_kept_alive, "", False, _KEPT[1:]),
        Rule("output not reused", ownership.outputs_not_reused, "", False, _KEPT),
        Rule("output writable", backward.outputs_writable, "", False, _STATE + _CHILD),
        Rule("shapes and dtypes", arrays.shapes_and_dtypes),
        Rule("tape", backward.tape_agrees, "", False, _SHAPES + _CHILD),
        Rule("recorded equals inference", backward.recording_equals_inference),
        Rule("zero gradient", backward.zero_gradient),
        Rule("precision", arrays.precision, "float32", True),
        Rule("linear backward", backward.linear_backward, "", False, _PRECISION),
        Rule("used twice", backward.used_twice, "", False, _ADDED),
        Rule("flat store", backward.flat_store, "", False, _KEPT),
        Rule("unused outputs", backward.unused_outputs),
        Rule("memory layout", arrays.memory_layout, "", False, _CHILD),
        Rule("batch of one", batch.batch_of_one, "", False, _SHAPES),
        Rule("batch independence", batch.batch_independence, "", False, _SHAPES),
        Rule("empty batch", batch.empty_batch, "", False, _SHAPES),
        Rule("batch sizes", batch.batches_of_other_sizes, "", False, _STATE),
        Rule("state dict", state.state_dict),
        Rule("deep copy", state.deep_copy),
    )
}  # fmt: skip


def _as_layer(*names: str, reduction: str = "") -> Callable[[LossUnderTest], Findings]:
    """Return the check that a loss keeps rules of layers; the first that is broken says enough."""

    def check(under_test: LossUnderTest) -> Findings:
        chosen = under_test.reduced(reduction) if reduction else under_test
        for rule in map(LAYER_RULES.__getitem__, names):
            broken = False
            for found in map(_finding, rule.check(chosen)):
                broken = True
                yield found._replace(kind=found.kind or rule.kind)
            if broken:
                return

    check.__doc__ = LAYER_RULES[names[0]].check.__doc__
    return check


LOSS_RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule("input unchanged", _as_layer("input unchanged"), "mutation", True),
        Rule("randomness", losses.randomness, "non-deterministic", True),
        Rule("repeatable", _as_layer("no state on self", "repeatable", "output not reused",
             "inference repeatable"), "stale state", True, ("randomness",)),
        Rule("one value", losses.value_agrees, "stale state", True),
        Rule("reductions", losses.reductions_agree),
        Rule("sample independence", _as_layer("batch independence", reduction="none"),
             "", False, ("reductions",)),
        Rule("sample weights", losses.sample_weights, "", False, ("sample independence",)),
        Rule("empty batch", _as_layer("empty batch", reduction="none")),
        Rule("shapes and dtypes", losses.shapes_and_dtypes),
        Rule("precision", _as_layer("precision", reduction="none"), "float32", True),
        Rule("gradient not shared", _as_layer("gradients not shared")),
        Rule("memory layout", arrays.memory_layout),
        Rule("target shape", losses.target_not_broadcast),
        Rule("nothing kept alive", _as_layer("nothing kept alive"), "", False, ("repeatable",)),
        Rule("deep copy", losses.deep_copy, "", False, ("repeatable",)),
    )
}  # fmt: skip


def check_calls(under_test: LayerUnderTest, report: Report) -> bool:
    """Check what must hold before the rules can be checked; tell whether it does."""
    try:
        under_test.plain()
    except Fault as fault:
        _add(report, LAYER_RULES["deep copy"], Finding(str(fault)), under_test)
        return False
    _apply(_CALLS, under_test, report)
    return not report.violations


def check_rules(
    under_test: LayerUnderTest, report: Report, names: Collection[str] | None = None
) -> None:
    """Check the rules of these names, or the cheap ones; append what violates them."""
    rules = LOSS_RULES if isinstance(under_test, LossUnderTest) else LAYER_RULES
    for name, rule in rules.items():
        if rule.cheap if names is None else name in names:
            _apply(rule, under_test, report)


def _apply(rule: Rule, under_test: LayerUnderTest, report: Report) -> None:
    error: BaseException | None = None
    try:
        for found in map(_finding, rule.check(under_test)):
            if _add(report, rule, found, under_test) and not rule.kind:
                break  # one says enough
    except Fault as fault:
        error = fault.__cause__
        _add(report, rule, Finding(str(fault), "", "raised"), under_test)
    except Exception as raised:  # whatever a layer's code raises where no rule expects it
        error, text = raised, f"the check stopped at {describe(raised)}"
        _add(report, rule, Finding(text, "", "raised"), under_test)
    if isinstance(error, Exception):
        report.cause = report.cause or error


def _finding(found: str | Finding) -> Finding:
    return found if isinstance(found, Finding) else Finding(found)


def _add(report: Report, rule: Rule, found: Finding, under_test: LayerUnderTest) -> bool:
    """Add a finding to the report; tell whether it is more than a note."""
    found = found._replace(
        message=under_test.worded(found.message), tensor=under_test.worded(found.tensor)
    )
    if found.kind == "note":
        report.notes.append(found.message)
        return False
    broken, kind = under_test.broken, found.kind or rule.kind
    causes = (
        name
        for name in rule.follows
        if name in broken and (found.tensor in broken[name] or "" in (found.tensor, *broken[name]))
    )
    violation = Violation(rule.name, found.message, next(causes, ""))
    broken.setdefault(rule.name, set()).add(found.tensor)
    if violation not in report.violations:
        report.violations.append(violation)
        if kind and not violation.follows:
            report.diagnosis.append(Diagnosis(kind, found.tensor, found.message))
    return True
