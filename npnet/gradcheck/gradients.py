"""The gradients of a layer or loss at the given point: by element, by sample, along a direction."""

from __future__ import annotations

import math

import numpy as np

from npnet.gradcheck.functions import Functions, Options
from npnet.gradcheck.numeric.differences import Judged
from npnet.gradcheck.numeric.function import Function
from npnet.gradcheck.numeric.lines import sample
from npnet.gradcheck.numeric.places import suspects
from npnet.gradcheck.numeric.point import Point
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Diagnosis, Report, TensorReport, Verdict
from npnet.gradcheck.reporting import add_diagnoses, tensor_report
from npnet.typing import Array


class GradientCheck:
    """The check at the given point; it fills a report."""

    def __init__(self, report: Report, functions: Functions) -> None:
        self.report, self.functions = report, functions
        self.options: Options = functions.options
        self.rng = np.random.default_rng((self.options.seed, 17))

    def start(self) -> bool:
        """Run forward and backward at the given point; tell whether there is something to judge."""
        functions, options = self.functions, self.options
        rules = "forward", "output"  # broken by what raises, and by what is no gradient
        try:
            checked = function = functions.make(dtype=options.dtype)
            if not checked.finite:
                return self._end("finite output", _not_finite(checked))
            rules, allowed = ("backward", "gradient"), None
            if checked.dtype == np.float32:
                pair = functions.pair(single=checked)
                function, allowed = pair.double, pair.allowances()
            self._point = Point(checked, self.rng, function, allowed, options.complex_step)
            rules = "backward", "fixed shape"
            checked.here_now()
        except Fault as error:
            return self._end(rules[error.__cause__ is None], str(error), error.__cause__)
        return True

    def judge(self) -> bool:
        """Judge the gradients at the given point; tell whether all are right."""
        options, point = self.options, self._point
        try:
            if options.mode == "directional":
                self._along_direction(point)
            else:
                largest = max((v.size for v in point.function.variables), default=0)
                count = options.samples if options.mode == "sample" else largest
                self._by_elements(point, self._sampled(point, count))
        except Fault as error:
            return self._end("fixed shape", str(error))
        return not self.report.failing

    def _end(self, rule: str, message: str, cause: BaseException | None = None) -> bool:
        self.report.violate(rule, message)
        self.report.diagnosis.append(Diagnosis("raised", "", message))
        self.report.cause = cause if isinstance(cause, Exception) else None
        return False

    def _by_elements(self, point: Point, chosen: dict[int, Array]) -> None:
        from tqdm import tqdm

        report, total = self.report, sum(c.size for c in chosen.values())
        with tqdm(total=total, desc=report.check, unit=" elements", delay=2, leave=False) as bar:
            evidence = point.elements(chosen, bar.update)
        report.tensors += [tensor_report(point, e) for e in evidence]
        if point.confirmed:
            report.notes.append(
                f"complex steps confirm {point.confirmed} of {point.tried} elements tried"
            )
        refusal = point.function.refusal
        if refusal is not None:
            report.notes.append(
                "the layer raised at some of the points around this one, which were left out: "
                f"{type(refusal).__name__}: {refusal}"
            )
        if report.failing:
            add_diagnoses(report, point, evidence)

    def _along_direction(self, point: Point) -> None:
        report = self.report
        judged, moves = point.everything()
        name = "everything along one direction"
        along = TensorReport(name, (), np.zeros(1, int), *judged[1:4], judged.verdicts)
        if judged.verdicts[0] == Verdict.OK:
            report.tensors.append(along)
            report.notes.append(_what_shows(point, judged, moves))
            return
        wrong = judged.verdicts[0] == Verdict.WRONG
        chosen = suspects(point, self.rng) if wrong else self._sampled(point, self.options.samples)
        self._by_elements(point, chosen)
        if report.failing:
            return
        if wrong and not any(t.count(Verdict.KINK) for t in report.tensors):
            report.tensors.insert(0, along)
            text = "a derivative along a random direction is wrong; mode='full' finds where"
            report.diagnosis.append(Diagnosis("unknown", "", text))
        else:
            text = "along a direction the function is too rough; elements were checked"
            report.notes.append(text)

    def _sampled(self, point: Point, count: int) -> dict[int, Array]:
        """Choose elements of each variable; note what they may miss."""
        chosen, function = {}, point.function
        for i, (name, v) in enumerate(zip(function.names, function.variables, strict=True)):
            chosen[i] = sample(v.size, count, self.rng)
            if count < v.size:
                several = max(2, v.size // 20)
                one, many = (1 - detection_probability(v.size, count, n) for n in (1, several))
                self.report.notes.append(
                    f"{count} of {v.size} elements of {name} were sampled: a fault in one element "
                    f"is missed with probability {one:.4g}, one in {several} with {many:.2g}"
                )
        return chosen


def _not_finite(function: Function) -> str:
    bad = np.flatnonzero(~np.isfinite(function.here))
    i = int(np.searchsorted(function.ends, bad[0], side="right"))
    index = [int(k) for k in np.argwhere(~np.isfinite(function.outputs()[i]))[0]]
    which = f"output {i}" if len(function.shapes) > 1 else "the output"
    return (
        f"forward returned {function.here[bad[0]]} at {index} of {which} ({bad.size} of "
        f"{function.here.size} elements are not finite); a gradient can be checked where the "
        "output is finite"
    )


def _what_shows(point: Point, judged: Judged, moves: list[Array]) -> str:
    """Say what relative error a direction shows."""
    pairs = zip(moves, point.analytic, strict=True)
    size = sum(float(np.abs(v.reshape(-1)) @ np.abs(a[:, 0])) for v, a in pairs)
    total, whole = sum(v.size for v in moves), float(judged.error[0]) / size if size else 0.0
    return (
        f"all {total} elements were moved at once; an error shows if it is more than {whole:.1g} "
        f"of all of them together, {min(whole * total, 1):.1g} of one of typical size"
    )


def detection_probability(size: int, count: int, faulty: int) -> float:
    """Compute how probably a sample of `count` of `size` meets one of the faulty elements.

    That is 1 - C(size - faulty, count) / C(size, count).

    Examples
    --------
    >>> detection_probability(100, 10, 100)
    1.0
    >>> round(detection_probability(1000, 100, 10), 3)
    0.653
    """
    missed = math.prod(max(0, size - count - i) / (size - i) for i in range(faulty))
    return 1.0 - missed
