"""From wrong numbers to what is probably wrong in the code: the patterns, in the order tried."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from npnet.gradcheck import experiments, patterns
from npnet.gradcheck.case import Case
from npnet.gradcheck.point import Evidence, Point
from npnet.gradcheck.report import Diagnosis


def _not_linear(case: Case) -> Diagnosis | None:
    """A factor or term that does not belong is a better name than what it does."""
    found = experiments.not_linear(case)
    if found is None or case.only_loud:
        return found
    return patterns.missing_factor(case) or patterns.missing_term(case) or found


# From the most to the least specific; the first that fits is the diagnosis of a tensor.
_ORDER: tuple[Callable[[Case], Diagnosis | None], ...] = (
    patterns.non_finite,
    experiments.forward_in_float32,
    patterns.zero,
    patterns.upstream_ignored,
    _not_linear,
    patterns.single_precision,
    patterns.factor,
    patterns.transposed,
    patterns.permuted,
    experiments.flat,
    experiments.wrong_axis,
    patterns.inverted,
    patterns.region,
    patterns.rows,
    patterns.scattered,
    patterns.partly_zero,
    experiments.other_transposed,
    experiments.one_sample,
    experiments.coupling,
    patterns.statistics,
    experiments.child_left_out,
    patterns.missing_factor,
    patterns.product_rule,
    patterns.missing_term,
)


def diagnose(
    point: Point, evidence: list[Evidence], known: Collection[str] = ()
) -> list[Diagnosis]:
    """Explain every wrong gradient.

    Parameters
    ----------
    point : Point
    evidence : list of Evidence
        On every variable.
    known : collection of str
        Names of tensors whose fault was found otherwise.

    Returns
    -------
    list of Diagnosis
        One for each tensor with wrong elements; one for all if they share it.
    """
    cases = [Case(point, e) for e in evidence]
    wrong = [case for case in cases if case.wrong.any() and case.name not in known]
    found = []
    for case in wrong:
        found.append(_swapped(case, cases) or _first(case))
    return _merged(found, len(cases))


def _first(case: Case) -> Diagnosis:
    for pattern in _ORDER:
        try:
            diagnosis = pattern(case)
        except Exception as error:  # of the layer, in an experiment; the report notes it
            case.point.reference.refusals[:] = [error]
            continue
        if diagnosis is not None:
            return diagnosis
    count, size = int(case.wrong.sum()), case.wrong.size
    text = (
        f"{count} of {size} elements of the gradient of {case.name} are wrong, in no pattern "
        "known here"
    )
    if count == np.count_nonzero(case.numeric):
        return Diagnosis("formula", case.name, f"{text}: some part of its formula is wrong")
    return Diagnosis("unknown", case.name, text)


def _swapped(case: Case, cases: list[Case]) -> Diagnosis | None:
    """Recognise the gradient of one tensor in the place of another's."""
    for other in cases:
        if other is case or other.numeric.shape != case.numeric.shape:
            continue
        if not (case.complete and other.complete) or not other.usable.all():
            continue
        if other.variable.shape != case.variable.shape or case.close(case.numeric, other.numeric):
            continue
        if case.close(case.analytic, other.numeric):
            return Diagnosis("swapped", case.name, f"the gradient of {other.name} is stored as "
                             f"that of {case.name}")  # fmt: skip
        if not other.analytic.any() and case.close(case.analytic, case.numeric + other.numeric):
            return Diagnosis("swapped", case.name, f"the gradient of {other.name} is added to "
                             f"that of {case.name}")  # fmt: skip
        if not case.analytic.any() and other.close(other.analytic, case.numeric + other.numeric):
            return Diagnosis("swapped", case.name, f"the gradient of {case.name} is added to "
                             f"that of {other.name}")  # fmt: skip
        if not case.analytic.any() and other.close(other.analytic, case.numeric):
            return Diagnosis("swapped", case.name, f"the gradient of {case.name} is stored as "
                             f"that of {other.name}")  # fmt: skip
    return None


def _merged(found: list[Diagnosis], tensors: int) -> list[Diagnosis]:
    """Say once what is true of several tensors."""
    groups: dict[tuple[str, str], list[Diagnosis]] = {}
    for d in found:
        start = f"the gradient of {d.tensor} is "
        rest = d.message.removeprefix(start) if d.message.startswith(start) else ""
        groups.setdefault((d.kind, rest or d.message), []).append(d)
    merged = []
    for (kind, rest), same in groups.items():
        names = list(dict.fromkeys(d.tensor for d in same))
        if len(same) == 1 or same[0].message == rest:
            merged.append(same[0])
        elif len(names) == tensors:
            merged.append(Diagnosis(kind, "", f"every gradient is {rest}"))
        else:
            listed = ", ".join(names[:-1]) + " and " + names[-1]
            merged.append(Diagnosis(kind, names[0], f"the gradients of {listed} are {rest}"))
    return merged
