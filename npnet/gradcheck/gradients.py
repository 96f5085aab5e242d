"""The gradients of a layer or loss at the given point: by element, by sample, along a direction."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from npnet.gradcheck.comparison import not_finite
from npnet.gradcheck.diagnosis.diagnose import diagnose, example
from npnet.gradcheck.numeric.differences import Judged
from npnet.gradcheck.numeric.function import sample
from npnet.gradcheck.numeric.places import suspects
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.passes import Fault
from npnet.gradcheck.report import Diagnosis, Report, TensorReport, Verdict
from npnet.gradcheck.under_test import UnderTest
from npnet.typing import Array

MODES = ("full", "sample", "directional")
_CHANGING = ("stale state", "non-deterministic")
_ROUNDED = "was rounded to float32"
_VAGUE = ("formula", "unknown", "elements", "rows")


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
    """The check at the given point; it fills a report."""

    def __init__(self, report: Report, under_test: UnderTest, options: Options) -> None:
        self.report, self.under_test, self.options = report, under_test, options
        self.rng = np.random.default_rng((options.seed, 17))

    def check(self) -> bool:
        """Judge the gradients at the given point; tell whether all are right."""
        report, options = self.report, self.options
        try:
            point = self._point()
            if options.mode == "directional":
                self._along_direction(point)
            else:
                largest = max((v.size for v in point.function.variables), default=0)
                count = options.samples if options.mode == "sample" else largest
                self._by_elements(point, self._sampled(point, count))
        except Fault as fault:
            report.violate("gradients", str(fault))
            report.diagnosis.append(Diagnosis("raised", "", str(fault)))
            report.cause = fault.__cause__ if isinstance(fault.__cause__, Exception) else None
            return False
        return not report.failing

    def _point(self) -> Point:
        options, function = self.options, self.under_test.function(dtype=self.options.dtype)
        if odd := not_finite(function.here):
            raise Fault(f"in {function.dtype} forward returned {odd} of all outputs")
        if function.dtype == np.float64:
            return Point(function, self.rng, complex_step=options.complex_step)
        pair = self.under_test.pair(single=function)
        return Point(function, self.rng, pair.double, pair.allowances(), options.complex_step)

    def _by_elements(self, point: Point, chosen: dict[int, Array]) -> None:
        from tqdm import tqdm

        report, total = self.report, sum(c.size for c in chosen.values())
        with tqdm(total=total, desc=report.check, unit=" elements", delay=2, leave=False) as bar:
            evidence = point.elements(chosen, bar.update)
        report.tensors += [tensor_report(point, e) for e in evidence]
        if done := point.confirmed:
            report.notes.append(f"complex steps confirm {done} of {point.tried} elements tried")
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


def tensor_report(point: Point, e: Evidence) -> TensorReport:
    """Return the verdicts on the elements of one variable."""
    name, shape = point.function.names[e.variable], point.function.variables[e.variable].shape
    return TensorReport(name, shape, e.indices, *e.judged[1:4], e.judged.verdicts)


def add_diagnoses(
    report: Report, point: Point, evidence: list[Evidence], prefix: str = "", known: bool = False
) -> None:
    """Add what the patterns say; if something is `known` already, only what is definite."""
    for i, text in point.at_kinks.items():
        name = point.function.names[i]
        message = f"{prefix}at a kink (ties, or a corner of forward) the gradient of {name} {text}"
        report.diagnosis.append(Diagnosis("kink", name, message))
    if point.at_kinks:
        return
    report.example = report.example or example(point, evidence)
    # Of what changes from pass to pass, or is rounded, numbers say no more.
    unsure = {d.tensor for d in report.diagnosis if d.kind in _CHANGING or _ROUNDED in d.message}
    known |= any(_ROUNDED in d.message for d in report.diagnosis)
    for d in diagnose(point, evidence, unsure):
        if not known or d.kind not in _VAGUE:
            report.diagnosis.append(d._replace(message=prefix + d.message))


def _what_shows(point: Point, judged: Judged, moves: list[Array]) -> str:
    pairs = zip(moves, point.analytic, strict=True)
    size = sum(float(np.abs(v.reshape(-1)) @ np.abs(a[:, 0])) for v, a in pairs)
    total, whole = sum(v.size for v in moves), float(judged.error[0]) / size if size else 0.0
    return (
        f"all {total} elements were moved at once; an error shows if it is more than {whole:.1g} "
        f"of all of them together, {min(whole * total, 1):.1g} of one of typical size"
    )


def detection_probability(size: int, count: int, faulty: int) -> float:
    """Compute how probably a sample of `count` of `size` meets one of the faulty elements.

    Examples
    --------
    >>> round(detection_probability(1000, 100, 10), 3)
    0.653
    """
    # One minus C(size - faulty, count) / C(size, count), the probability to miss all.
    missed = math.prod(max(0, size - count - i) / (size - i) for i in range(faulty))
    return 1.0 - missed
