"""What checks of gradients say in a report."""

from __future__ import annotations

import numpy as np

from npnet.gradcheck.diagnosis import diagnose, example
from npnet.gradcheck.error_text import describe
from npnet.gradcheck.numeric.places import Finding
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.numeric.rounding import Mismatch
from npnet.gradcheck.report import Diagnosis, Report, TensorReport, Verdict

_CHANGING = ("stale state", "non-deterministic")
_VAGUE = ("formula", "unknown", "elements", "rows")


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
    changing = {d.tensor for d in report.diagnosis if d.kind in _CHANGING}
    for d in diagnose(point, evidence, changing):
        if not known or d.kind not in _VAGUE:
            report.diagnosis.append(d._replace(message=prefix + d.message))


def add_mismatch(report: Report, found: Mismatch, place: str = "") -> None:
    """Say what float32 gets wrong."""
    where = f" at {list(found.index)}" if found.index else ""
    text = f"{place}: " if place else ""
    text += f"in float32 the {found.name} is "
    if not np.isfinite(found.single):
        text += f"{found.single}{where}, in float64 {found.double:.6g}: something overflows on the "
        text += "way, or is divided by what has become zero"
    elif found.factor is not None:
        text += f"{found.factor:.7g} times that in float64: does the code depend on the dtype?"
    else:
        text += f"{found.single:.9g}{where}, in float64 {found.double:.9g}: more than rounding "
        text += "explains"
    report.violate("float32", text)
    report.diagnosis.append(Diagnosis("float32", found.name.removeprefix("gradient of "), text))


def add_finding(report: Report, found: Finding | None, where: str = "") -> None:
    """Say what is wrong at another point; `where` describes the numbers at which it is."""
    if found is None:
        return
    place = found.place
    rule = "gradients in evaluation mode" if "evaluation" in place else "gradients elsewhere"
    if found.error is not None:
        text = f"{place} backward raised {describe(found.error)}"
        report.violate(rule, text)
        report.diagnosis.append(Diagnosis("raised", "", text))
        report.cause = report.cause or found.error
        return
    point = found.point
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
