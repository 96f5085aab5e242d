"""The rule about gradients: check_gradients, at the places where mistakes show."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from npnet.gradcheck.check import check_gradients
from npnet.gradcheck.contract.loss_specimen import LossSpecimen
from npnet.gradcheck.contract.specimen import Specimen
from npnet.gradcheck.report import Diagnosis, Report

_MANY = 2000  # elements, above which gradients are checked along a direction

# Rules of check_gradients that have another name here.
_SAME = {
    "gradient": "shapes and dtypes",
    "dtype": "precision",
    "deterministic": "repeatable",
}


def add_gradients(
    report: Report,
    specimen: Specimen | LossSpecimen,
    given: Collection[Any],
    mode: str,
    options: dict[str, Any],
    skipped: Collection[str],
) -> None:
    """Check gradients and add to the report what is found.

    Parameters
    ----------
    report : Report
    specimen : Specimen or LossSpecimen
    given : sequence of ndarray
        The inputs.
    mode : str
    options : dict
        For `check_gradients`.
    skipped : collection of str
        Rules that the user does not want to hear of.
    """
    if mode == "auto":
        mode = "full" if _size(specimen) <= _MANY else "directional"
    if isinstance(specimen, LossSpecimen):
        found = check_gradients(specimen.loss, *given, mode=mode, **options)
        _adopt(report, found, skipped)
        return
    if not specimen.copies:
        report.notes.append("gradients were not checked: the check runs on a copy")
        return
    layer = specimen.plain()
    _adopt(report, _of_layer(specimen, given, mode, options), skipped)
    if specimen.is_random:
        still = check_gradients(layer, *given, mode=mode, training=False, **options)
        for tensor in still.failing:
            worst = tensor.worst(1)[0]
            report.violate(
                "gradients in evaluation mode",
                f"the gradient of {tensor.name} is {worst.analytic:.6g} instead of "
                f"{worst.numeric:.6g} at {list(worst.index)}",
            )


def diagnosis(
    specimen: Specimen | LossSpecimen, given: Collection[Any], seed: int
) -> list[Diagnosis]:
    """Say what is wrong with a gradient that ends the check because its shape does not fit.

    Parameters
    ----------
    specimen : Specimen or LossSpecimen
    given : sequence of ndarray
        The inputs.
    seed : int

    Returns
    -------
    list of Diagnosis
    """
    if isinstance(specimen, LossSpecimen) or not specimen.copies:
        return []
    found = check_gradients(specimen.plain(), *given, mode="sample", rng=seed, raises=False)
    return [d for d in found.diagnosis if d.kind == "not summed"]


def _of_layer(
    specimen: Specimen, given: Collection[Any], mode: str, options: dict[str, Any]
) -> Report:
    """Check at the layer's own parameters; if all is well, where ones and zeros hide nothing."""
    layer = specimen.plain()
    found = check_gradients(layer, *given, mode=mode, **options)
    if found.ok and specimen.has_moved:
        moved = check_gradients(specimen.fresh(), *given, mode="directional", **options)
        moved.notes.append("constant parameters were moved; with them as they are, all is well")
        found = found if moved.ok else moved
    repeated = specimen.repeated()
    if found.ok and repeated is not None:
        twice = check_gradients(layer, *repeated, mode=mode, **options)
        twice.notes.append("indices were repeated; where each occurs once, all is well")
        found = found if twice.ok else twice
    return found


def _size(specimen: Specimen | LossSpecimen) -> int:
    if isinstance(specimen, LossSpecimen):
        return specimen.pred.size
    sizes = [x.size for x in specimen.inputs] + [p.size for p in specimen.layer.parameters()]
    return sum(sizes)


def _adopt(report: Report, found: Report, skipped: Collection[str]) -> None:
    """Take over what check_gradients found, apart from what a rule here has said already."""
    broken = {v.rule for v in report.violations}
    broken |= {other for other, rule in _SAME.items() if rule in broken}
    unwanted = {v.message for v in found.violations if v.rule in skipped}
    new = [v for v in found.violations if v.rule not in broken and v.message not in unwanted]
    if unwanted and not found.tensors:  # the check ended there
        report.violate("gradients", f"not checked, because {min(unwanted)}")
    report.tensors = found.tensors
    report.violations[:0] = new
    report.diagnosis += [d for d in found.diagnosis if d.message not in unwanted]
    report.notes += found.notes
    report.allow_kinks, report.max_noise = found.allow_kinks, found.max_noise
    report.cause = report.cause or found.cause
