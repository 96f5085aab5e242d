"""The contract of a layer, and of a loss: every rule once, the causes above their consequences."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from npnet.gradcheck.comparison import describe
from npnet.gradcheck.passes import Fault, Finding, Findings
from npnet.gradcheck.report import Diagnosis, Report, Violation
from npnet.gradcheck.rules import arrays, backward, losses, ownership, state
from npnet.gradcheck.rules.ownership import none_of
from npnet.gradcheck.under_test import UnderTest


class Rule(NamedTuple):
    """One rule; `check` takes the object under test and yields what violates it."""

    name: str
    check: Callable[[Any], Findings]
    kind: str = ""  # of diagnosis; without one, the first violation says enough
    cheap: bool = False  # whether `check_gradients` checks it too
    follows: tuple[str, ...] = ()  # rules of which a violation may be a consequence
    of: str = "layers"  # or losses, both, or layers and the terms of losses

    @property
    def sentence(self) -> str:
        """What the rule says: "The same input gives the same inference output."."""
        text = (self.check.__doc__ or "").strip().split("\n")[0].removeprefix("Check that ")
        return text[:1].upper() + text[1:]


# Whoever cannot work at all, or whose calls cannot be told apart, is asked nothing more.
_CALLS = Rule("calls", arrays.calls_work, "raised")

_CHILD = ("children through ctx.call", "children unchanged")
_MOVED = ("parameters unchanged", "buffers unchanged", "no state on self", "randomness")
_ADDED = ("no state on self", "gradients accumulate", "gradients not shared")
_KEPT = ("no state on self", "repeatable", "gradients not shared")
_SHAPES = ("shapes and dtypes", "precision", "batch of one", "batch independence")
_TAPE = ("no state on self", *_SHAPES, *_CHILD)
_APART = (*_SHAPES, "reductions")

_RULES = (
    Rule("input unchanged", none_of("input"), "mutation", True, (), "both"),
    Rule("upstream gradient unchanged", none_of("upstream gradient"), "mutation", True),
    Rule("output unchanged", none_of("output"), "mutation", True),
    Rule("parameters unchanged", none_of("parameter"), "mutation", True),
    Rule("buffers unchanged", none_of("buffer"), "mutation"),
    Rule("children through ctx.call", none_of("direct"), "child", True),
    Rule("children unchanged", none_of("child"), "mutation"),
    Rule("randomness", state.randomness, "non-deterministic", True, (), "both"),
    Rule("no state on self", state.no_state_on_self, "stale state", True, (), "both"),
    Rule("repeatable", backward.repeatable, "non-deterministic", True, _MOVED, "both"),
    Rule("one value", losses.value_agrees, "stale state", True, ("repeatable",), "losses"),
    Rule("gradients accumulate", backward.accumulation, "overwritten", True),
    Rule("gradients not shared", ownership.gradients_not_shared, "", False, (), "both"),
    Rule("calls do not disturb each other", backward.two_calls, "stale state", True, _ADDED),
    Rule("parameter gradients without input gradient", backward.input_gradient_on_demand, "zero",
         True),
    Rule("nothing kept alive", ownership.nothing_kept_alive, "", False, _KEPT[1:], "both"),
    Rule("output not reused", ownership.outputs_not_reused, "", False, _KEPT),
    Rule("shapes and dtypes", arrays.shapes_and_dtypes, "", False, (), "terms"),
    Rule("tape", backward.tape_agrees, "", False, _TAPE),
    Rule("recorded equals inference", backward.recording_equals_inference),
    Rule("zero gradient", backward.zero_gradient),
    Rule("precision", arrays.precision, "float32", True, (), "terms"),
    Rule("linear backward", backward.linear_backward, "", False, ("zero gradient", "precision")),
    Rule("unused outputs", backward.unused_outputs),
    Rule("memory layout", arrays.memory_layout, "", False, _CHILD, "both"),
    Rule("reductions", losses.reductions_agree, "", False, (), "losses"),
    Rule("batch of one", arrays.batch_of_one, "", False, _SHAPES),
    Rule("batch independence", arrays.batch_independence, "", False, _APART, "terms"),
    Rule("empty batch", arrays.empty_batch, "", False, _SHAPES, "terms"),
    Rule("batch sizes", arrays.batches_of_other_sizes, "", False, ("no state on self",)),
    Rule("sample weights", losses.sample_weights, "", False, ("batch independence",), "losses"),
    Rule("target shape", losses.target_not_broadcast, "", False, (), "losses"),
    Rule("state dict", state.state_dict),
    Rule("deep copy", state.deep_copy, "", False, ("repeatable",), "both"),
)  # fmt: skip
LAYER_RULES = {rule.name: rule for rule in _RULES if rule.of != "losses"}
LOSS_RULES = {rule.name: rule for rule in _RULES if rule.of != "layers"}


def check_calls(under_test: UnderTest, report: Report) -> bool:
    """Check what must hold before the rules can be checked; tell whether it does."""
    try:
        under_test.fresh(moved=False)
    except Fault as fault:
        _add(report, LAYER_RULES["deep copy"], Finding(str(fault)), under_test)
        return False
    _apply(_CALLS, under_test, report)
    return not report.violations


def check_rules(under_test: UnderTest, report: Report, names: Collection[str]) -> None:
    """Check the rules of these names, or the cheap ones; append what violates them."""
    rules = LOSS_RULES if under_test.is_loss else LAYER_RULES
    for name, rule in rules.items():
        if name in names if names else rule.cheap:
            _apply(rule, under_test, report)


def _apply(rule: Rule, under_test: UnderTest, report: Report) -> None:
    chosen = under_test
    try:
        if under_test.is_loss and rule.of == "terms":
            chosen = losses.reduced(under_test, "none")
        for found in rule.check(chosen):
            finding = found if isinstance(found, Finding) else Finding(found)
            if _add(report, rule, finding, under_test) and not rule.kind:
                break  # one says enough
    except Exception as error:  # a layer's code may raise whatever it likes, anywhere
        is_fault = isinstance(error, Fault)
        text = str(error) if is_fault else f"the check stopped at {describe(error)}"
        _add(report, rule, Finding(text, "", "raised"), under_test)
        cause = error.__cause__ if is_fault else error
        report.cause = report.cause or (cause if isinstance(cause, Exception) else None)


def _add(report: Report, rule: Rule, found: Finding, under_test: UnderTest) -> bool:
    """Add a finding to the report; tell whether it is more than a note."""
    message, tensor = (losses.worded(under_test, text) for text in found[:2])
    broken = under_test.broken
    if found.kind == "note":
        report.notes.append(message)
        return False
    causes = (
        name
        for name in rule.follows
        if name in broken and (tensor in broken[name] or "" in (tensor, *broken[name]))
    )
    violation = Violation(rule.name, message, next(causes, ""))
    broken.setdefault(rule.name, set()).add(tensor)
    if violation not in report.violations:
        report.violations.append(violation)
        kind = found.kind or rule.kind
        if kind and not violation.follows:
            report.diagnosis.append(Diagnosis(kind, tensor, message))
    return True
