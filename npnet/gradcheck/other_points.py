"""Checks at other points than the given one, which find what does not show there."""

from __future__ import annotations

from typing import Any

import numpy as np

from npnet.gradcheck.error_text import describe
from npnet.gradcheck.functions import Functions
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.numeric.elsewhere import Elsewhere, judge_point
from npnet.gradcheck.numeric.lines import random_direction
from npnet.gradcheck.numeric.places import batches, places
from npnet.gradcheck.report import Diagnosis, Report
from npnet.gradcheck.reporting import add_finding, add_mismatch


class OtherPoints:
    """The checks in float32, in evaluation mode, with other parameters and at other inputs."""

    def __init__(self, report: Report, functions: Functions) -> None:
        self.report, self.functions, self.options = report, functions, functions.options
        self.rng = np.random.default_rng((self.options.seed, 19))

    def check(self) -> None:
        """Do them all; at the given point all must be right."""
        self._in_float32()
        under_test, options = self.functions.under_test, self.options
        if not isinstance(under_test, LossUnderTest):
            if options.training:
                self._at("in evaluation mode", training=False, moved=options.moves)
            if options.moves and under_test.has_moved:
                self._at("with other parameters", moved=True)
            repeated = under_test.repeated() if options.moves else None
            if repeated is not None:
                self._at("with indices that occur twice", inputs=repeated)
            if not self.report.violations:
                self._after_a_step()
        if options.probe or options.moves:
            self._elsewhere()

    def _at(self, place: str, **options: Any) -> None:
        function = self.functions.quietly(**options)
        if function is not None and function.finite:
            add_finding(self.report, judge_point(function, self.rng, place))

    def _in_float32(self) -> None:
        """Compare outputs and gradients in float32 with those in float64."""
        if self.options.dtype == np.float32:
            return
        try:
            both = self.functions.pair()
        except Exception as error:
            self.report.violate("float32", f"in float32 the layer raised {describe(error)}")
            return
        for mismatch in both.mismatches():
            add_mismatch(self.report, mismatch)

    def _after_a_step(self) -> None:
        """Check that gradients follow when the parameters move, as an optimizer moves them."""
        place, rng = "with other parameters", self.rng
        function = self.functions.quietly()
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
            text = (
                "gradients are right at first, but not after the parameters have moved, as an "
                "optimizer moves them: something of an earlier call is kept on the layer"
            )
            self.report.violate("parameters change between calls", text)
            self.report.diagnosis.append(Diagnosis("stale state", "", text))

    def _elsewhere(self) -> None:
        """Visit batches of other sizes; if asked for, other inputs and branches of forward."""
        functions, options, moving = self.functions, self.options, self.functions.moving
        under_test, inputs = functions.under_test, functions.inputs
        search = Elsewhere(functions.make, functions.pair, self.rng)
        if not isinstance(under_test, LossUnderTest) and under_test.has_batches:
            for place in batches(inputs, under_test.batch_axis or 0):
                search.visit([place])
        if options.probe:
            for several in places(inputs, moving, self.rng, options.domain):
                search.visit(several)
            search.visit_branches(inputs, moving)
        self._say_findings(search)

    def _say_findings(self, search: Elsewhere) -> None:
        report, inputs = self.report, self.functions.inputs
        wrong = [f for f in search.findings if f.point is not None]
        if wrong:
            add_finding(report, wrong[0], search.region(inputs))
        for finding in search.findings:
            if finding.error is not None:
                add_finding(report, finding)
                break
        for finding in search.findings:
            if finding.float32 is not None:
                add_mismatch(report, finding.float32, finding.place)
                break
        if search.visited:
            text = f"gradients were also checked at {search.visited} other places"
            report.notes.append(text)
        if search.left_out and self.options.probe:
            where, why = ", ".join(search.left_out), next(iter(search.left_out.values()))
            text = f"left out, because forward cannot be computed there: {where} ({why})"
            report.notes.append(text)
