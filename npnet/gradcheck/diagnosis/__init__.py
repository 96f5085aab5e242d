"""From wrong numbers to what is probably wrong in the code.

A pattern looks at two matrices (elements of a tensor x outputs), what backward says and what is
true, and is believed if it says the same at a second point. An experiment changes what is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

import numpy as np

from npnet.gradcheck.diagnosis import (
    experiments,
    factors,
    order,
    places,
    regions,
    terms,
    whole,
)
from npnet.gradcheck.diagnosis.case import Case, cut, remade
from npnet.gradcheck.diagnosis.example import smallest
from npnet.gradcheck.diagnosis.matrices import Budget, Jacobians, jacobians, nearby
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Diagnosis, Example

Found = tuple[str, str]  # a kind, and a text: after "the gradient of x ", or with {} in its place
_Experiment = Callable[[Case], Found | None]
_Pattern = Callable[[Jacobians], Iterator[Found]]

_PASSES, _OF_EXAMPLE = 6_000, 1_500  # that are run, forward or backward
_WHERE: tuple[_Pattern, ...] = (
    places.repeated, places.rows, places.through, places.distances, places.overlap,
)  # fmt: skip
_FORMULAS: tuple[_Pattern, ...] = (
    places.coupling, factors.missing, terms.product_rule, factors.partner, regions.inverted,
    order.permuted, terms.statistics, regions.region, places.elements, regions.masked,
    places.shares, terms.added, terms.within_samples,
)  # fmt: skip
# Said of the wrong part alone, or of one position along an axis, where less plays a part.
_INSIDE = (factors.factor, factors.missing, terms.product_rule, factors.partner, factors.unnamed)
_ALONE = (*_INSIDE[:1], places.through, *_INSIDE[1:4], regions.region, factors.unnamed)
_LAST = (terms.invariance, terms.small, factors.unnamed, *_WHERE)
_EXACT = re.compile("; there|lacks|summed|holds only|alone")


def diagnose(
    point: Point, evidence: list[Evidence], known: Collection[str] = ()
) -> list[Diagnosis]:
    """Explain every wrong gradient, apart from tensors whose fault is `known` otherwise."""
    cases = _cases(point, evidence, _PASSES)
    found = []
    for case in cases:
        if case.wrong.any() and case.name not in known:
            case.budget.left = _PASSES // (1 + len(found))
            found.append((*_explained(case, cases), case.name))
    found.sort(key=lambda one: one[0])
    clear = [one for one in found if one[0] < len(_STEPS)]  # of what one fault does, the clearest
    groups: dict[Found, list[str]] = {}
    for _, what, name in clear or found:
        groups.setdefault(what, []).append(name)
    return [_diagnosis(*what, names, len(cases)) for what, names in groups.items()]


def example(point: Point, evidence: list[Evidence]) -> Example | None:
    """Return the smallest example that shows one of the wrong gradients."""
    wrong = (case for case in _cases(point, evidence, _OF_EXAMPLE) if case.wrong.any())
    return next(filter(None, map(smallest, wrong)), None)


def _cases(point: Point, evidence: list[Evidence], passes: int) -> list[Case]:
    subject, budget = remade(point.function), Budget(passes)
    subject.upstream = point.function.upstream
    return [Case(point, e, subject, budget) for e in evidence]


def _diagnosis(kind: str, text: str, names: list[str], count: int) -> Diagnosis:
    """Say once what is true of several tensors."""
    who = f"the gradient of {names[0]}"
    if len(names) > 1:
        who = f"each of the gradients of {', '.join(names[:-1])} and {names[-1]}"
        who = "every gradient" if len(names) == count else who
    sentence = "{}" in text or text.startswith("the gradient of ")
    message = text.replace("{}", who) if sentence else f"{who} {text}"
    return Diagnosis(kind, "" if len(names) == count > 1 else names[0], message)


def _explained(case: Case, cases: list[Case]) -> tuple[int, Found]:
    """Return the first that fits, and its rank; or that there is none."""
    swapped = order.swapped(case, cases)
    if swapped:
        return 0, swapped
    for rank, step in enumerate(_STEPS):
        try:
            found = step(case)
        except Exception:  # of the layer, at other numbers; or the budget is spent
            continue
        if found is not None:
            return rank, found
    count, size = int(case.wrong.sum()), case.wrong.size
    text = f"{count} of {size} elements of {{}} are wrong"
    if count <= 3 < size:
        at = np.array(np.unravel_index(case.indices[case.wrong], case.variable.shape)).T.tolist()
        return len(_STEPS), ("elements", f"{text}, at {' and '.join(map(str, at))}")
    return len(_STEPS), ("formula", f"{text}, in no pattern known here")


def _confirmed(pattern: _Pattern) -> _Experiment:
    """Keep what a pattern says if it says the same, but for numbers, at a second point."""
    where = pattern in _WHERE

    def found(case: Case) -> Found | None:
        if case.is_loss and where:  # whose sentences number the samples
            return _twice(pattern, case.plain, None, where)
        return _twice(pattern, case.here, case.elsewhere, where)

    return found


def _exact(pattern: _Pattern) -> _Experiment:
    """Keep from a pattern of places what also says how it is wrong there."""

    def found(case: Case) -> Found | None:
        said = _confirmed(pattern)(case)
        return said if said and _EXACT.search(said[1]) else None

    return found


def _twice(
    pattern: _Pattern, here: Jacobians, there: Jacobians | None, where: bool = False
) -> Found | None:
    again = None if there is None else {_words(text) for _, text in pattern(there)}
    for kind, text in pattern(here):
        if again is None or _words(text) in again:
            return kind, text + (_within(text, here, there) if where else "")
    return None


def _words(text: str) -> str:
    return re.sub(r"[-+]?\d[\d.e+-]*", "0", text)


def _within(text: str, here: Jacobians, there: Jacobians | None) -> str:
    """Say what is true of the wrong part alone, if it is wrong in some rows or columns only."""
    parts = []
    for p in (here, here if there is None else there):
        rows, columns = p.wrong.any(axis=1), p.wrong.any(axis=0)
        if "; there" in text or (rows.all() and columns.all()):
            return ""
        parts.append(p.part(rows, columns))
    for pattern in _INSIDE:
        more = _twice(pattern, *parts)
        if more is not None:
            return f"; there it {more[1]}"
    return ""


def _smaller(case: Case) -> Found | None:
    """Look at one position along an axis, where fewer things play a part."""
    for axis in range(1, 1 if case.is_loss else max(x.ndim for x in case.subject.inputs)):
        try:
            subject = remade(case.subject, inputs=cut(case.subject, axis))
            number = subject.names.index(case.name)
            indices = np.arange(subject.variables[number].size)
            here = jacobians(subject, number, indices, case.budget)
            there = nearby(subject, number, indices, case.budget)
        except Exception:  # the layer takes no such input
            continue
        if not here.wrong.any() or not there.wrong.any() or here.t.size < 4:
            continue
        if np.nanmax(np.abs(here.t)) < 1e-3 * np.nanmax(np.abs(case.here.t)):
            continue
        for pattern in _ALONE:
            found = _twice(pattern, here, there)
            if found is not None:
                return found[0], f"{found[1]} (seen at one position along axis {axis})"
    return None


# From the most to the least specific.
_STEPS: tuple[_Experiment, ...] = (
    whole.non_finite, whole.zero, whole.flat, whole.forward_in_float32, whole.rounded,
    whole.not_linear, whole.constant_factor, order.sampled,
    *map(_confirmed, (order.tensor, order.upstream, order.neighbour)),
    experiments.chain, experiments.children, experiments.parameter_turned,
    _confirmed(order.forward_again),
    *map(_exact, _WHERE), *map(_confirmed, _FORMULAS),
    _smaller, experiments.made_trivial, *map(_confirmed, _LAST),
)  # fmt: skip
