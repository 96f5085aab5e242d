"""From wrong numbers to what is probably wrong in the code: the patterns, in the order tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import partial

from npnet.gradcheck.diagnosis import factors, order, paths, places, precision, scale, terms
from npnet.gradcheck.diagnosis.evidence import Case, Jacobians
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Diagnosis

# From the most to the least specific; the first that fits is the diagnosis of a tensor.
_AT_ONCE: tuple[Callable[[Case], Diagnosis | None], ...] = (
    scale.non_finite,
    precision.forward_in_float32,
    scale.zero,
    scale.flat,
    precision.rounded,
    scale.not_linear,
)
# A pattern of the two matrices is believed only if it says the same at a second point; an
# experiment runs what is checked in another way.
_MEASURED: tuple[Callable[[Jacobians], Diagnosis | None], ...] = (
    scale.factor,
    order.transposed,
    order.upstream_transposed,
    order.moved,
    order.upstream_moved,
    order.permuted,
)
_MEASURED_NEXT: tuple[Callable[[Jacobians], Diagnosis | None], ...] = (
    places.repeated,
    places.outputs,
    places.one_sample,
    places.pairs,
    factors.missing,
    terms.product_rule,
    factors.partner,
    places.inverted,
    places.masked,
    terms.statistics,
    places.rows,
    scale.scattered,
    places.region,
    places.upstream_positions,
    factors.by_position,
    terms.added,
)
_MEASURED_LAST: tuple[Callable[[Jacobians], Diagnosis | None], ...] = (
    terms.two_added,
    places.partly_zero,
)
_Pattern = Callable[[Case], Diagnosis | None]


def diagnose(
    point: Point, evidence: list[Evidence], known: Collection[str] = ()
) -> list[Diagnosis]:
    """Explain every wrong gradient, apart from tensors whose fault is `known` otherwise."""
    cases = [Case(point, e) for e in evidence]
    wrong = [case for case in cases if case.wrong.any() and case.name not in known]
    found = [order.swapped(case, cases) or explain(case) for case in wrong]
    return _merged(found, len(cases))


def explain(case: Case) -> Diagnosis:
    """Return the first pattern that fits a tensor, or say that there is none."""
    for pattern in _patterns():
        try:
            found = pattern(case)
        except Exception as error:  # of the layer, in an experiment; the report notes it
            case.subject.refusals[:] = [error]
            continue
        if found is not None:
            return found
    count, size = int(case.wrong.sum()), case.wrong.size
    text = f"{count} of {size} elements of the gradient of {case.name} are wrong"
    return Diagnosis("formula", case.name, f"{text}, in no pattern known here")


def _patterns() -> Iterator[_Pattern]:
    """Yield the patterns and experiments in the order tried."""
    yield from _AT_ONCE
    yield from (partial(_confirmed, pattern=p) for p in _MEASURED)
    yield paths.children
    yield paths.parameter_turned
    yield from (partial(_confirmed, pattern=p) for p in _MEASURED_NEXT)
    yield paths.made_trivial
    yield from (partial(_confirmed, pattern=p) for p in _MEASURED_LAST)


def _confirmed(case: Case, pattern: Callable[[Jacobians], Diagnosis | None]) -> Diagnosis | None:
    """Return what a pattern says if it says the same, but for numbers, at a second point."""
    here = pattern(case.here)
    if here is None or case.elsewhere is None:
        return here
    there = pattern(case.elsewhere)
    same = there is not None and _words(there.message) == _words(here.message)
    return here if same else None


def _words(text: str) -> str:
    return re.sub(r"[-+]?\d[\d.e+-]*", "0", text)


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
