"""Checks at other points than the given one, which find what does not show there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from npnet.gradcheck.comparison import describe
from npnet.gradcheck.gradients import Options, add_diagnoses, tensor_report
from npnet.gradcheck.numeric.function import Function, random_direction
from npnet.gradcheck.numeric.places import (
    Finding,
    Place,
    batches,
    beside_branches,
    judge_point,
    places,
    region,
)
from npnet.gradcheck.numeric.rounding import Mismatch
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Diagnosis, Report, Verdict
from npnet.gradcheck.under_test import UnderTest
from npnet.typing import Array

_STALE = """gradients are right at first, but not after the parameters have moved, as an \
optimizer moves them: something of an earlier call is kept on the layer"""
_ENOUGH = 6  # places at which something is wrong, after which no others are visited


class OtherPoints:
    """The checks in float32, in evaluation mode, with other parameters and at other inputs."""

    def __init__(self, report: Report, under_test: UnderTest, options: Options) -> None:
        self.report, self.under_test, self.options = report, under_test, options
        self.rng = np.random.default_rng((options.seed, 19))
        self.findings: list[Finding] = []
        self.mismatches: list[tuple[Mismatch, str]] = []
        self.right: list[Array] = []  # numbers in the inputs of places where gradients are right
        self.left_out: dict[str, str] = {}  # why forward could not be computed, by place
        self.visited = 0

    def check(self) -> None:
        """Do them all; at the given point all must be right."""
        options, under_test, inputs = self.options, self.under_test, self.under_test.arrays()
        if options.dtype != np.float32 and not under_test.depends_on_dtype:
            try:
                for mismatch in under_test.pair().mismatches():
                    self._add_mismatch(mismatch)
            except Exception as error:
                self.report.violate("float32", f"in float32 the layer raised {describe(error)}")
        if not under_test.is_loss:
            if options.training:
                self._at("in evaluation mode", training=False, moved=options.moves)
            if options.moves and under_test.has_moved:
                self._at("with other parameters", moved=True)
            if not self.report.violations:
                self._after_a_step()
            if (options.moves or options.probe) and under_test.has_batches:
                self._visit([p] for p in batches(inputs, under_test.batch_axis or 0))
        if options.probe:
            moving = np.flatnonzero(under_test.moving).tolist()
            self._visit(places(inputs, moving, self.rng, options.domain))
            self._visit([p] for p in beside_branches(under_test.function(), moving, self.rng))
        self._say_findings()

    def _function(self, *arguments: Any, **options: Any) -> Function | None:
        """Return a function if it is finite; None if that raises, which rules say."""
        try:
            function = self.under_test.function(*arguments, **options)
        except Exception:
            return None
        return function if function.finite else None

    def _at(self, place: str, **options: Any) -> None:
        if function := self._function(**options):
            self._add_finding(judge_point(function, self.rng, place))

    def _after_a_step(self) -> None:
        """Check that gradients follow when the parameters move, as an optimizer moves them."""
        place, rng, function = "with other parameters", self.rng, self._function()
        if function is None or not function.parameters:
            return
        try:
            function.gradients(function.split(function.upstream[0]))
            for p in function.parameters.values():
                p.data[...] += 0.1 * random_direction(p.data, rng)
            values = [p.data.copy() for p in function.parameters.values()]
            function.here = function.here_now()
            if judge_point(function, rng, place) is None:
                return
            also = judge_point(self.under_test.function(values=values), rng, place)
        except Exception as error:
            self.report.notes.append(f"with other parameters the layer raised {describe(error)}")
            return
        self._add_finding(also)
        if also is None:
            self._violate("parameters change between calls", _STALE, "stale state")

    # --- other inputs

    def _visit(self, groups: Iterable[Sequence[Place]]) -> None:
        """Check, of each group of places, the first at which forward can be computed."""
        for several in groups:
            enough = len(self.findings) + len(self.mismatches) >= _ENOUGH
            for place in () if enough else several:
                if self._possible(place.says, place.inputs):
                    break

    def _possible(self, says: str, inputs: list[Array]) -> bool:
        """Check at a place; tell whether forward can be computed there."""
        try:
            function = self.under_test.function(inputs)
            if not function.finite:
                raise Fault("the output is not finite")
        except Exception as error:  # whatever it is: forward does not take these numbers
            self.left_out[says] = f"{type(error).__name__}: {error}".removeprefix("Fault: ")
            return False
        self.visited += 1
        finding = judge_point(function, self.rng, says)
        if finding is not None:
            self.findings.append(finding)
            return True
        self.right += [x.reshape(-1) for x in inputs if x.dtype.kind == "f"]
        if self.under_test.depends_on_dtype:
            return True
        try:
            both = self.under_test.pair(inputs)
            if both.single.finite or _overflows(both.single):
                self.mismatches += [(m, f"{says}: ") for m in both.mismatches()[:1]]
        except Exception as error:
            self.left_out[f"{says}, in float32"] = f"{type(error).__name__}: {error}"
        return True

    def _is_right(self, i: int, number: float) -> bool:
        """Tell whether the gradient is right where a number fills an input."""
        inputs = self.under_test.arrays()
        inputs[i] = np.full(inputs[i].shape, number)
        function = self._function(inputs)
        return function is None or judge_point(function, self.rng) is None

    # --- what is said

    def _say_findings(self) -> None:
        notes, wrong = self.report.notes, [f for f in self.findings if f.point is not None]
        if wrong:
            self._add_finding(wrong[0], region(wrong, self.right, self._is_right))
        for finding in [f for f in self.findings if f.error is not None][:1]:
            self._add_finding(finding)
        for mismatch, place in self.mismatches[:1]:
            self._add_mismatch(mismatch, place)
        if self.visited:
            notes.append(f"gradients were also checked at {self.visited} other places")
        if self.left_out and self.options.probe:
            where, why = ", ".join(self.left_out), next(iter(self.left_out.values()))
            notes.append(f"left out, because forward cannot be computed there: {where} ({why})")

    def _violate(self, rule: str, text: str, kind: str, tensor: str = "") -> None:
        self.report.violate(rule, text)
        self.report.diagnosis.append(Diagnosis(kind, tensor, text))

    def _add_mismatch(self, found: Mismatch, place: str = "") -> None:
        where = f" at {list(found.at)}" if found.at else ""
        text = f"{place}in float32 the {found.name} is "
        if not np.isfinite(found.single):
            text += f"{found.single}{where}, in float64 {found.double:.6g}: something overflows on "
            text += "the way, or is divided by what has become zero"
        elif found.factor is not None:
            text += f"{found.factor:.7g} times that in float64: does the code depend on the dtype?"
        else:
            text += f"{found.single:.9g}{where}, in float64 {found.double:.9g}: more than rounding "
            text += "explains"
        self._violate("float32", text, "float32", found.name.removeprefix("gradient of "))

    def _add_finding(self, found: Finding | None, where: str = "") -> None:
        """Say what is wrong at another point; `where` describes the numbers at which it is."""
        if found is None:
            return
        report, place, point = self.report, found.place, found.point
        rule = "gradients in evaluation mode" if "evaluation" in place else "gradients elsewhere"
        if found.error is not None:
            self._violate(rule, f"{place} backward raised {describe(found.error)}", "raised")
            report.cause = report.cause or found.error
            return
        assert point is not None
        for tensor in (tensor_report(point, e) for e in found.evidence):
            if tensor.count(Verdict.WRONG):
                worst = tensor.worst(1)[0]
                text = f"{worst.analytic:.6g} instead of {worst.numeric:.6g} at {list(worst.index)}"
                report.violate(rule, f"{place} the gradient of {tensor.name} is {text}")
        if where:
            name = point.function.names[found.evidence[0].variable]
            report.diagnosis.append(Diagnosis("region", name, where))
        add_diagnoses(report, point, found.evidence, f"{place}: ", known=bool(where))


def _overflows(function: Function) -> bool:
    """Tell whether a number in the forward pass becomes too large, which no domain explains."""
    try:
        with np.errstate(over="raise"):
            function.run()
    except Fault as fault:
        return isinstance(fault.__cause__, FloatingPointError)
    return False
