"""The gradients of a layer or loss at a point, and at others like it: what is wrong, and where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from npnet.gradcheck.diagnosis import diagnose
from npnet.gradcheck.loss_under_test import LossUnderTest
from npnet.gradcheck.numeric.draws import Draws
from npnet.gradcheck.numeric.elsewhere import Elsewhere, Finding, judge_point, region, suspects
from npnet.gradcheck.numeric.function import BadResult, Function, LayerFunction, LossFunction
from npnet.gradcheck.numeric.lines import random_direction
from npnet.gradcheck.numeric.places import batches, places
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.numeric.rounding import EPS32, Float32, Mismatch
from npnet.gradcheck.numeric.sampling import detection_probability, sample
from npnet.gradcheck.numeric.verdict import Judged
from npnet.gradcheck.error_text import describe
from npnet.gradcheck.report import Diagnosis, Report, TensorReport, Verdict
from npnet.gradcheck.rules.batch import has_batches
from npnet.gradcheck.under_test import LayerUnderTest
from npnet.typing import Array

MODES = ("full", "sample", "directional")


class Options(NamedTuple):
    """How gradients are checked; see `check_gradients`."""

    mode: str = "full"
    samples: int = 100
    dtype: Any = np.float64
    training: bool = True
    seed: int = 0
    complex_step: bool = True
    probe: bool = False
    moves: bool = False
    domain: tuple[float, float] | None = None


class GradientCheck:
    """One check of all gradients; it fills a report.

    Parameters
    ----------
    report : Report
    under_test : LayerUnderTest or LossUnderTest
    options : Options
    """

    def __init__(
        self, report: Report, under_test: LayerUnderTest | LossUnderTest, options: Options
    ) -> None:
        self.report, self.under_test, self.options = report, under_test, options
        self.inputs: Sequence[Any] = under_test.arrays()
        self.rng = np.random.default_rng((options.seed, 17))

    def finish(self) -> None:
        """Judge what `start` has found; if all is right, go on with other points."""
        if self.under_test.no_function or not self.judge():
            return
        self.in_float32()
        if isinstance(self.under_test, LayerUnderTest):
            if self.options.training:
                self.in_evaluation_mode()
            if self.options.moves:
                self.with_moved_parameters()
                self.with_repeated_indices()
            if not self.report.violations:
                self.after_a_step()
        if self.options.probe or self.options.moves:
            self.elsewhere()

    def _make(
        self, inputs: Sequence[Any], dtype: Any, training: bool, moved: bool, **given: Any
    ) -> Function:
        """Return a function of a new copy at some inputs."""
        under_test = self.under_test
        if isinstance(under_test, LossUnderTest):
            arrays, weight = (inputs, None) if len(inputs) == 2 else (inputs[:2], inputs[2])
            return LossFunction(under_test.fresh(), arrays, dtype, weight)
        layer = under_test.fresh(dtype) if moved else under_test.plain(dtype)
        given.setdefault("upstream", np.random.default_rng((self.options.seed, 5)))
        return LayerFunction(layer, inputs, dtype, training=training, **given)

    # --- at the given point

    def start(self) -> bool:
        """Run forward and backward at the given point; tell whether there is something to judge."""
        options = self.options
        checked = self._function(self.inputs, options.dtype, options.training)
        gradients = None if checked is None else self._gradients(checked)
        if checked is None or gradients is None:
            return False
        self._checked, self._raw = checked, gradients
        return True

    def judge(self) -> bool:
        """Judge the gradients at the given point; tell whether all are right."""
        options, report, checked = self.options, self.report, self._checked
        function, allowed = checked, None
        if checked.dtype == np.float32:
            pair = self._pair(self.inputs, options.training, checked)
            function, allowed = pair.double, pair.allowances()
        elif computes_in_float32(checked):
            function.eps = EPS32
            text = "forward computes in float32 although everything it is given is float64"
            report.violate("dtype", text)
            report.diagnosis.append(Diagnosis("float32", "", text))
        point = Point(checked, function, self._raw, self.rng, allowed, options.complex_step)
        try:
            if options.mode == "directional":
                self._along_direction(point)
            else:
                count = options.samples if options.mode == "sample" else None
                self._by_elements(point, self._chosen(point, count))
        except BadResult as error:
            self._end("fixed shape", str(error))
            return False
        for refusal in function.refusals[-1:]:
            report.notes.append(
                "the layer raised at some of the points around this one, which were left out: "
                f"{type(refusal).__name__}: {refusal}"
            )
        return not report.failing

    def _function(self, inputs: Sequence[Array], dtype: Any, training: bool) -> Function | None:
        try:
            function = self._make(inputs, dtype, training, False)
        except BadResult as error:
            return self._end("output", str(error))
        except Exception as error:
            return self._end("forward", f"forward raised {describe(error)}", error)
        bad = np.flatnonzero(~np.isfinite(function.here))
        if bad.size:
            value = function.here[bad[0]]
            return self._end(
                "finite output",
                f"forward returned {value} at element {int(bad[0])} of its outputs ({bad.size} of "
                f"{function.here.size} elements are not finite); a gradient can be checked where "
                "the output is finite",
            )
        return function

    def _gradients(self, function: Function) -> list[list[Array | None]] | None:
        try:
            return function.at(function.upstream)
        except BadResult as error:
            return self._end("gradient", str(error))
        except Exception as error:
            return self._end("backward", f"backward raised {describe(error)}", error)

    def _end(self, rule: str, message: str, cause: Exception | None = None) -> None:
        self.report.violate(rule, message)
        self.report.diagnosis.append(Diagnosis("raised", "", message))
        self.report.cause = cause

    def _chosen(self, point: Point, count: int | None) -> dict[int, Array]:
        sizes = [v.size for v in point.function.variables]
        return {
            i: np.arange(n) if count is None else sample(n, count, self.rng)
            for i, n in enumerate(sizes)
        }

    def _by_elements(self, point: Point, chosen: dict[int, Array]) -> None:
        from tqdm import tqdm

        report, total = self.report, sum(c.size for c in chosen.values())
        with tqdm(total=total, desc=report.check, unit=" elements", delay=2, leave=False) as bar:
            evidence = point.elements(chosen, bar.update)
        for e in evidence:
            self._report_tensor(point, e)
        if point.confirmed:
            report.notes.append(
                f"complex steps confirm {point.confirmed} of {point.tried} elements tried"
            )
        if report.failing:
            self._diagnose(point, evidence)

    def _report_tensor(self, point: Point, e: Evidence) -> None:
        variable, name = point.function.variables[e.variable], point.function.names[e.variable]
        judged, size = e.judged, variable.size
        self.report.tensors.append(
            TensorReport(
                name, variable.shape, e.indices, judged.analytic, judged.numeric, judged.error,
                judged.verdicts,
            )
        )  # fmt: skip
        if e.indices.size < size:
            several = max(2, size // 20)
            one, many = (
                1 - detection_probability(size, e.indices.size, n) for n in (1, several)
            )
            self.report.notes.append(
                f"{e.indices.size} of {size} elements of {name} were sampled: a fault in one "
                f"element is missed with probability {one:.2g}, one in {several} with {many:.2g}"
            )

    def _along_direction(self, point: Point) -> None:
        report, total = self.report, sum(v.size for v in point.function.variables)
        judged, moves = point.everything()
        verdict = judged.verdicts[0]
        if verdict == Verdict.OK:
            report.tensors.append(_along(judged))
            report.notes.append(_what_shows(point, judged, moves, total))
            return
        chosen = suspects(point, self.rng) if verdict == Verdict.WRONG else self._chosen(
            point, self.options.samples
        )
        self._by_elements(point, chosen)
        if verdict == Verdict.WRONG and report.ok:
            report.tensors.insert(0, _along(judged))
            if not any(t.count(Verdict.KINK) for t in report.tensors):
                text = "a derivative along a random direction is wrong; mode='full' finds where"
                report.diagnosis.append(Diagnosis("unknown", "", text))
            else:
                report.tensors.pop(0)
        elif report.ok:
            report.notes.append("along a direction the function is too rough; elements were checked")

    def _diagnose(
        self, point: Point, evidence: list[Evidence], prefix: str = "", known: bool = False
    ) -> None:
        """Add what the patterns say; if something is `known` already, only what is definite."""
        changing = {d.tensor for d in self.report.diagnosis if d.kind in _CHANGING}
        for d in diagnose(point, evidence, changing):
            if not known or d.kind not in _VAGUE:
                self.report.diagnosis.append(d._replace(message=prefix + d.message))

    # --- in float32, in evaluation mode, with other parameters

    def in_float32(self) -> None:
        """Compare outputs and gradients in float32 with those in float64."""
        if self.options.dtype == np.float32:
            return
        try:
            both = self._pair(self.inputs, self.options.training)
        except Exception as error:
            self.report.violate("float32", f"in float32 the layer raised {describe(error)}")
            return
        for mismatch in both.mismatches():
            self._say_mismatch(mismatch, "")

    def _pair(
        self, inputs: Sequence[Array], training: bool, single: Function | None = None
    ) -> Float32:
        """Make two functions of the same numbers, one in each dtype."""
        if single is None:
            single = self._make(inputs, np.float32, training, False)
        draws = single.draws_asked if isinstance(single, LayerFunction) else ()
        given = single.given if isinstance(single, LossFunction) else single.inputs
        double = self._make(
            given, np.float64, training, False, draws=Draws(draws), upstream=single.upstream
        )
        return Float32(single, double)

    def _say_mismatch(self, found: Mismatch, place: str) -> None:
        where = f" at {list(found.index)}" if found.index else ""
        start = f"{place}: " if place else ""
        text = f"{start}in float32 the {found.name} is "
        if not np.isfinite(found.single):
            text += (
                f"{found.single}{where}, in float64 {found.double:.6g}: something overflows on the "
                "way, or is divided by what has become zero"
            )
        elif found.factor is not None:
            text += f"{found.factor:.7g} times that in float64: does the code depend on the dtype?"
        else:
            text += (
                f"{found.single:.9g}{where}, in float64 {found.double:.9g}: more than rounding "
                "explains"
            )
        self.report.violate("float32", text)
        name = found.name.removeprefix("gradient of ")
        self.report.diagnosis.append(Diagnosis("float32", name, text))

    def in_evaluation_mode(self) -> None:
        """Check the gradients of ``record(training=False)``."""
        if isinstance(function := self._quiet(self.inputs, False), LayerFunction):
            self._say(judge_point(function, self.rng, "in evaluation mode"), "in evaluation mode")

    def with_moved_parameters(self) -> None:
        """Check where constant parameters, gains of one and biases of zero, hide nothing."""
        under_test = self.under_test
        if not isinstance(under_test, LayerUnderTest) or not under_test.has_moved:
            return
        function = self._quiet(self.inputs, self.options.training, moved=True)
        if function is not None and function.finite:
            place = "with other parameters"
            self._say(judge_point(function, self.rng, place), place)

    def after_a_step(self) -> None:
        """Check that gradients follow when the parameters move, as an optimizer moves them."""
        function = self._quiet(self.inputs, self.options.training)
        if not isinstance(function, LayerFunction) or not function.parameters:
            return
        try:
            function.gradients(function.split(function.upstream[0]))
            for p in function.parameters.values():
                p.data[...] = p.data * (1 + 0.1 * self.rng.uniform(-1, 1, p.shape))
            moved = {name: p.data.copy() for name, p in function.parameters.items()}
            function.here = function.here_now()
            found = judge_point(function, self.rng)
            fresh = self._quiet(self.inputs, self.options.training)
            if found is None or not isinstance(fresh, LayerFunction):
                return
            for name, value in moved.items():
                fresh.parameters[name].data[...] = value
            fresh.here = fresh.here_now()
            also = judge_point(fresh, self.rng, "with other parameters")
        except Exception as error:
            self.report.notes.append(f"with other parameters the layer raised {describe(error)}")
            return
        if also is not None:
            self._say(also, "with other parameters")
            return
        text = (
            "gradients are right at first, but not after the parameters have moved, as an "
            "optimizer moves them: something of an earlier call is kept on the layer"
        )
        self.report.violate("parameters change between calls", text)
        self.report.diagnosis.append(Diagnosis("stale state", "", text))

    def _quiet(
        self, inputs: Sequence[Array], training: bool, moved: bool = False
    ) -> Function | None:
        try:
            return self._make(inputs, np.float64, training, moved)
        except Exception:  # said by other rules
            return None

    # --- at other places

    def with_repeated_indices(self) -> None:
        """Check with indices that occur twice, if each occurs once."""
        under_test = self.under_test
        repeated = under_test.repeated() if isinstance(under_test, LayerUnderTest) else None
        function = None if repeated is None else self._quiet(repeated, self.options.training)
        if function is not None:
            place = "with indices that occur twice"
            self._say(judge_point(function, self.rng, place), place)

    def elsewhere(self) -> None:
        """Visit batches of other sizes; if asked for, other inputs and branches of forward."""
        options, under_test, moving = self.options, self.under_test, self._moving()
        training = options.training
        search = Elsewhere(
            lambda inputs: self._make(inputs, np.float64, training, False),
            lambda inputs: self._pair(inputs, training),
            self.rng,
        )
        if isinstance(under_test, LayerUnderTest) and has_batches(under_test):
            for place in batches(self.inputs, under_test.batch_axis or 0):
                search.visit([place])
        if options.probe:
            for several in places(self.inputs, moving, self.rng, options.domain):
                search.visit(several)
            search.visit_branches(self.inputs, moving)
        self._say_findings(search)

    def _moving(self) -> list[int]:
        """Return which of the inputs are differentiated."""
        function = self._quiet(self.inputs, self.options.training)
        if isinstance(function, LossFunction):
            names = function.checked.arguments
            return [i for i, name in enumerate(names) if name in function.checked.predictions]
        return [i for i, x in enumerate(self.inputs) if x is not None and x.dtype.kind == "f"]

    def _say_findings(self, search: Elsewhere) -> None:
        report = self.report
        wrong = [f for f in search.findings if f.point is not None]
        if wrong:
            self._say(wrong[0], wrong[0].place, region(wrong, search.right))
        for finding in search.findings:
            if finding.error is not None:
                self._say(finding, finding.place)
                break
        for finding in search.findings:
            if finding.float32 is not None:
                self._say_mismatch(finding.float32, finding.place)
                break
        if search.visited:
            text = f"gradients were also checked at {search.visited} other places"
            report.notes.append(text)
        if search.left_out and self.options.probe:
            places = ", ".join(search.left_out)
            why = next(iter(search.left_out.values()))
            report.notes.append(f"left out, because forward cannot be computed there: {places} ({why})")

    def _say(
        self, found: Finding | None, place: str, where: str = ""
    ) -> None:
        """Add what was found elsewhere to the report."""
        if found is None:
            return
        rule = "gradients in evaluation mode" if "evaluation" in place else "gradients elsewhere"
        if found.error is not None:
            text = f"{place} backward raised {describe(found.error)}"
            self.report.violate(rule, text)
            self.report.diagnosis.append(Diagnosis("raised", "", text))
            self.report.cause = self.report.cause or found.error
            return
        point = found.point
        assert point is not None
        for e in found.evidence:
            name, shape = point.function.names[e.variable], point.function.variables[e.variable].shape
            tensor = TensorReport(
                name, shape, e.indices, e.judged.analytic, e.judged.numeric, e.judged.error,
                e.judged.verdicts,
            )  # fmt: skip
            if tensor.count(Verdict.WRONG):
                worst = tensor.worst(1)[0]
                self.report.violate(
                    rule,
                    f"{place} the gradient of {name} is {worst.analytic:.6g} instead of "
                    f"{worst.numeric:.6g} at {list(worst.index)}",
                )
        if where:
            name = point.function.names[found.evidence[0].variable]
            self.report.diagnosis.append(Diagnosis("region", name, where))
        self._diagnose(point, found.evidence, f"{place}: ", known=bool(where))


_CHANGING = ("stale state", "non-deterministic")
_VAGUE = ("formula", "unknown", "elements", "rows")


def _along(judged: Judged) -> TensorReport:
    name = "everything along one direction"
    return TensorReport(
        name, (), np.zeros(1, int), judged.analytic, judged.numeric, judged.error, judged.verdicts
    )


def _what_shows(point: Point, judged: Judged, moves: list[Array], total: int) -> str:
    """Say what relative error a direction shows."""
    pairs = zip(moves, point.analytic, strict=True)
    size = sum(float(np.abs(v.reshape(-1)) @ np.abs(a[:, 0])) for v, a in pairs)
    error = float(judged.error[0])
    whole = error / size if size else 0.0
    return (
        f"all {total} elements were moved at once; an error shows if it is more than {whole:.1g} of "
        f"all of them together, {min(whole * total, 1):.1g} of one of typical size"
    )


def computes_in_float32(function: Function) -> bool:
    """Tell whether all outputs are float32 numbers at several points, and move in their steps."""
    with function.restored() as kept:
        rng = np.random.default_rng(2)
        rows = []
        for _ in range(2):
            for v, k in zip(function.variables, kept, strict=True):
                v[...] = k + 1e-3 * random_direction(k, 1.0, rng)
            rows.append(function.here_now())
        for v in function.variables:  # far less than a step of float32, far more than of float64
            v *= 1 + 1e-11
        finer = function.here_now()
    values = np.concatenate([row[row != function.here] for row in rows])
    values = values[np.isfinite(values) & (values != 0)]
    if values.size <= 2 or not (values == values.astype(np.float32)).all():
        return False
    # Differences of larger numbers, 1 - cos(x), have few digits as well; but with more digits
    # inside, those change.
    return bool(np.mean(finer == rows[-1]) > 0.5)
