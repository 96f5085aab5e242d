"""Checks at other points than the given one, which find what does not show there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from npnet.gradcheck.error_text import describe
from npnet.gradcheck.functions import Functions
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.numeric.function import Function
from npnet.gradcheck.numeric.lines import random_direction
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
from npnet.gradcheck.report import Diagnosis, Report
from npnet.gradcheck.reporting import add_finding, add_mismatch
from npnet.typing import Array

_NOT_FINITE = "the output is not finite"
_STALE = """gradients are right at first, but not after the parameters have moved, as an \
optimizer moves them: something of an earlier call is kept on the layer"""
_ENOUGH = 6  # places at which something is wrong, after which no others are visited


class OtherPoints:
    """The checks in float32, in evaluation mode, with other parameters and at other inputs."""

    def __init__(self, report: Report, functions: Functions) -> None:
        self.report, self.functions, self.options = report, functions, functions.options
        self.rng = np.random.default_rng((self.options.seed, 19))
        self.findings: list[Finding | tuple[Mismatch, str]] = []
        self.right: list[Array] = []  # numbers in the inputs of places where gradients are right
        self.left_out: dict[str, str] = {}  # why forward could not be computed, by place
        self.visited = 0

    def check(self) -> None:
        """Do them all; at the given point all must be right."""
        report, options, under_test = self.report, self.options, self.functions.under_test
        if options.dtype != np.float32:
            try:
                for mismatch in self.functions.pair().mismatches():
                    add_mismatch(report, mismatch)
            except Exception as error:
                report.violate("float32", f"in float32 the layer raised {describe(error)}")
        is_loss = isinstance(under_test, LossUnderTest)
        if not is_loss:
            if options.training:
                self._at("in evaluation mode", training=False, moved=options.moves)
            if options.moves and under_test.has_moved:
                self._at("with other parameters", moved=True)
            repeated = under_test.repeated() if options.moves else None
            if repeated is not None:
                self._at("with indices that occur twice", inputs=repeated)
            if not report.violations:
                self._after_a_step()
        several = (options.moves or options.probe) and not is_loss and under_test.has_batches
        if several:
            self._visit([p] for p in batches(self.functions.inputs, under_test.batch_axis or 0))
        if options.probe:
            inputs, moving = self.functions.inputs, self.functions.moving
            self._visit(places(inputs, moving, self.rng, options.domain))
            function = self.functions.make()
            self._visit([p] for p in beside_branches(function, moving, self.rng))
        self._say_findings()

    def _at(self, place: str, **options: Any) -> None:
        function = self.functions.quietly(**options)
        if function is not None and function.finite:
            add_finding(self.report, judge_point(function, self.rng, place))

    def _after_a_step(self) -> None:
        """Check that gradients follow when the parameters move, as an optimizer moves them."""
        place, rng, function = "with other parameters", self.rng, self.functions.quietly()
        if function is None or not function.parameters:
            return
        try:
            function.gradients(function.split(function.upstream[0]))
            for p in function.parameters.values():
                p.data[...] += 0.1 * random_direction(p.data, 1.0, rng)
            values = [p.data.copy() for p in function.parameters.values()]
            function.here = function.here_now()
            if judge_point(function, rng, place) is None:
                return
            also = judge_point(self.functions.make(values=values), rng, place)
        except Exception as error:
            self.report.notes.append(f"with other parameters the layer raised {describe(error)}")
            return
        add_finding(self.report, also)
        if also is None:
            self.report.violate("parameters change between calls", _STALE)
            self.report.diagnosis.append(Diagnosis("stale state", "", _STALE))

    # --- other inputs

    def _visit(self, groups: Iterable[Sequence[Place]]) -> None:
        """Check, of each group of places, the first at which forward can be computed."""
        for several in groups:
            for place in several if len(self.findings) < _ENOUGH else ():
                try:
                    function = self.functions.make(place.inputs)
                    why = "" if function.finite else _NOT_FINITE
                except Exception as error:  # whatever it is: forward does not take these numbers
                    why = f"{type(error).__name__}: {error}"
                if not why:
                    self._check_at(place, function)
                    break
                self.left_out[place.says] = why

    def _check_at(self, place: Place, function: Function) -> None:
        self.visited += 1
        finding = judge_point(function, self.rng, place.says)
        if finding is not None:
            self.findings.append(finding)
            return
        self.right += [x.reshape(-1) for x in place.inputs if x.dtype.kind == "f"]
        single = f"{place.says}, in float32"
        try:
            both = self.functions.pair(place.inputs)
            if both.single.finite or _overflows(both.single):
                self.findings += [(m, place.says) for m in both.mismatches()[:1]]
            else:
                self.left_out[single] = _NOT_FINITE
        except Exception as error:
            self.left_out[single] = f"{type(error).__name__}: {error}"

    def _is_right(self, i: int, number: float) -> bool:
        """Tell whether the gradient is right where a number fills an input."""
        inputs = list(self.functions.inputs)
        inputs[i] = np.full(inputs[i].shape, number)
        function = self.functions.quietly(inputs)
        if function is None or not function.finite:
            return True
        return judge_point(function, self.rng) is None

    def _say_findings(self) -> None:
        """Say the first of each kind."""
        notes = self.report.notes
        found = [f for f in self.findings if isinstance(f, Finding)]
        wrong = [f for f in found if f.point is not None]
        if wrong:
            add_finding(self.report, wrong[0], region(wrong, self.right, self._is_right))
        for finding in [f for f in found if f.error is not None][:1]:
            add_finding(self.report, finding)
        for mismatch in [f for f in self.findings if not isinstance(f, Finding)][:1]:
            add_mismatch(self.report, *mismatch)
        if self.visited:
            notes.append(f"gradients were also checked at {self.visited} other places")
        if self.left_out and self.options.probe:
            where, why = ", ".join(self.left_out), next(iter(self.left_out.values()))
            notes.append(f"left out, because forward cannot be computed there: {where} ({why})")


def _overflows(function: Function) -> bool:
    """Tell whether a number in the forward pass becomes too large, which no domain explains."""
    try:
        with np.errstate(over="raise"):
            function.run()
    except Fault as fault:
        return isinstance(fault.__cause__, FloatingPointError)
    return False
