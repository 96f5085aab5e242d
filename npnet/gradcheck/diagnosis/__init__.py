"""From wrong numbers to what is probably wrong in the code: the patterns, in the order tried."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

import numpy as np

from npnet.gradcheck.diagnosis import (
    children,
    factors,
    order,
    paths,
    places,
    precision,
    regions,
    scale,
    terms,
)
from npnet.gradcheck.diagnosis.evidence import Case, remade
from npnet.gradcheck.diagnosis.example import smallest
from npnet.gradcheck.diagnosis.matrices import Jacobians, jacobians, nearby
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Diagnosis, Example

# From the most to the least specific; the first that fits is the diagnosis of a tensor.
_AT_ONCE: tuple[Callable[[Case], Diagnosis | None], ...] = (
    scale.non_finite,
    precision.forward_in_float32,
    scale.zero,
    scale.flat,
    precision.rounded,
    scale.not_linear,
)
_Measured = Callable[[Jacobians], Diagnosis | list[Diagnosis] | None]
# A pattern of the two matrices is believed only if it says the same at a second point; an
# experiment runs what is checked in another way.
_ORDERS: tuple[_Measured, ...] = (
    order.transposed,
    order.upstream_transposed,
    order.moved,
    order.upstream_moved,
    order.outputs_exchanged,
    order.neighbour,
)
_WHERE: tuple[_Measured, ...] = (
    places.repeated,
    places.rows,
    places.one_sample,
    places.outputs,
    places.pairs,
    places.overlap,
)
_FORMULAS: tuple[_Measured, ...] = (
    places.coupling,
    factors.missing,
    terms.product_rule,
    factors.partner,
    factors.partner_of_matrix,
    regions.inverted,
    order.permuted,
    terms.statistics,
    terms.constant_along,
    regions.region,
    scale.scattered,
    regions.masked,
    places.shares,
    terms.added,
    terms.within_samples,
    factors.by_position,
)
# Tried on one position along an axis, where less plays a part.
_ALONE: tuple[_Measured, ...] = (
    scale.factor,
    places.one_sample,
    factors.missing,
    terms.product_rule,
    factors.partner,
    factors.partner_of_matrix,
    regions.region,
    factors.by_position,
)
_LAST: tuple[_Measured, ...] = (
    terms.invariance,
    terms.small,
    factors.unnamed,
)
# Said of the wrong part alone, where a pattern says which part that is.
_INSIDE = (scale.factor, factors.missing, terms.product_rule, factors.partner, factors.unnamed)
_VAGUE = 1000  # the rank of a gradient in which no pattern was found
_EXACT = re.compile("; there|lacks|summed|holds only|alone")
_Pattern = Callable[[Case], Diagnosis | None]


def diagnose(
    point: Point, evidence: list[Evidence], known: Collection[str] = ()
) -> list[Diagnosis]:
    """Explain every wrong gradient, apart from tensors whose fault is `known` otherwise."""
    cases = [Case(point, e) for e in evidence]
    found: list[tuple[int, Diagnosis]] = []
    for case in cases:
        case.patience /= 1 + len([rank for rank, _ in found if rank < _VAGUE])
        if case.wrong.any() and case.name not in known:
            swapped = None if _factor(case) else order.swapped(case, cases)
            found.append((0, swapped) if swapped else explain(case))
    found.sort(key=lambda pair: pair[0])
    clear = [d for rank, d in found if rank < _VAGUE]  # of what one fault does, the clearest
    return _merged(clear or [d for _, d in found], len(cases))


def example(point: Point, evidence: list[Evidence]) -> Example | None:
    """Return the smallest example that shows one of the wrong gradients."""
    wrong = (case for case in (Case(point, e) for e in evidence) if case.wrong.any())
    return next(filter(None, map(smallest, wrong)), None)


def _factor(case: Case) -> bool:
    """Whether the first column is a multiple of the true one."""
    a, t = case.analytic[case.usable, 0], case.numeric[case.usable, 0]
    c = float(a @ t) / float(t @ t) if t.any() else 0.0
    return bool(a.size and np.abs(a - c * t).max() <= 1e-7 * np.abs(a).max())


def explain(case: Case) -> tuple[int, Diagnosis]:
    """Return the first pattern that fits a tensor, or that there is none, and how vague that is."""
    for rank, pattern in enumerate(_patterns()):
        if case.tired():
            break
        try:
            found = pattern(case)
        except Exception as error:  # of the layer, in an experiment; the report notes it
            case.subject.refusals[:] = [error]
            continue
        if found is not None:
            return rank, found
    count, size = int(case.wrong.sum()), case.wrong.size
    text = f"{count} of {size} elements of the gradient of {case.name} are wrong"
    if count <= 3 < size:
        shape = case.subject.variables[case.number].shape
        at = np.array(np.unravel_index(case.indices[case.wrong], shape)).T.tolist()
        text += f", at {' and '.join(map(str, at))}"
        return _VAGUE, Diagnosis("elements", case.name, text)
    return _VAGUE, Diagnosis("formula", case.name, f"{text}, in no pattern known here")


def _patterns() -> Iterator[_Pattern]:
    """Yield the patterns and experiments in the order tried."""
    yield from _AT_ONCE
    yield scale.named_factor
    yield order.sampled
    yield from map(_confirmed, _ORDERS)
    yield children.children
    yield paths.parameter_turned
    yield _confirmed(order.forward_again)
    yield from map(_exact, _WHERE)
    yield from map(_confirmed, _FORMULAS)
    yield _smaller
    yield paths.made_trivial
    yield from map(_confirmed, _LAST)
    yield from map(_confirmed, _WHERE)


def _exact(pattern: _Measured) -> _Pattern:
    """Keep from a pattern of places what also says how it is wrong there."""

    def found(case: Case) -> Diagnosis | None:
        diagnosis = _confirmed(pattern)(case)
        return diagnosis if diagnosis and _EXACT.search(diagnosis.message) else None

    return found


def _confirmed(pattern: _Measured) -> _Pattern:
    """Keep what a pattern says if it says the same, but for numbers, at a second point."""

    def found(case: Case) -> Diagnosis | None:
        if case.is_loss and pattern in _WHERE:  # whose sentences number the samples
            return _twice(pattern, case.plain, None)
        return _twice(pattern, case.here, case.elsewhere)

    return found


def _twice(pattern: _Measured, here: Jacobians, there: Jacobians | None) -> Diagnosis | None:
    if there is None:
        found = next(iter(_listed(pattern(here))), None)
    else:
        again = {_words(d.message) for d in _listed(pattern(there))}
        found = next((d for d in _listed(pattern(here)) if _words(d.message) in again), None)
    if found is None:
        return None
    return _refined(found, here, there) if pattern in _WHERE else found


def _listed(found: Diagnosis | list[Diagnosis] | None) -> list[Diagnosis]:
    """Return what fits: nothing, one or several explanations."""
    return found if isinstance(found, list) else [] if found is None else [found]


def _refined(found: Diagnosis, here: Jacobians, there: Jacobians | None) -> Diagnosis:
    """Add what is true of the wrong part alone, if it is wrong in some rows or columns only."""
    parts = []
    for p in (here, there):
        if p is None:
            continue
        rows, columns = p.wrong.any(axis=1), p.wrong.any(axis=0)
        if "; there" in found.message or (rows.all() and columns.all()):
            return found
        parts.append(p.part(rows, columns))
    for pattern in _INSIDE:
        more = _twice(pattern, parts[0], parts[-1])
        if more is not None:
            text = more.message.removeprefix(f"the gradient of {here.name} ")
            return found._replace(message=f"{found.message}; there it {text}")
    return found


def _smaller(case: Case) -> Diagnosis | None:
    """Look at one position along an axis, where fewer things play a part."""
    if case.is_loss:
        return None
    for axis in range(1, max(x.ndim for x in case.subject.inputs)):
        try:
            subject = remade(case.subject, lambda layer: None, paths.cut(case.subject, axis))
            number = subject.names.index(case.name)
            indices = np.arange(subject.variables[number].size)
            here = jacobians(subject, number, indices, None)
            there = nearby(subject, number, indices)
        except Exception as error:  # the layer takes no such input
            case.subject.refusals[:] = [error]
            continue
        if not here.wrong.any() or not there.wrong.any() or here.t.size < 4:
            continue
        if np.nanmax(np.abs(here.t)) < 1e-3 * np.nanmax(np.abs(case.here.t)):
            continue
        for pattern in _ALONE:
            found = _twice(pattern, here, there)
            if found is not None:
                text = f"{found.message} (seen at one position along axis {axis})"
                return found._replace(message=text)
    return None


def _words(text: str) -> str:
    return re.sub(r"[-+]?\d[\d.e+-]*", "0", text)


def _merged(found: list[Diagnosis], tensors: int) -> list[Diagnosis]:
    """Say once what is true of several tensors."""
    groups: dict[tuple[str, str], list[str]] = {}
    for d in found:
        text = re.sub(rf"\bthe gradient of {re.escape(d.tensor)}\b", "{}", d.message, count=1)
        names = groups.setdefault((d.kind, text), [])
        names += [d.tensor] * (d.tensor not in names)
    merged = []
    for (kind, text), names in groups.items():
        who = f"the gradient of {names[0]}"
        if len(names) == tensors > 1:
            who = "every gradient"
        elif len(names) > 1:
            who = "the gradients of " + ", ".join(names[:-1]) + " and " + names[-1]
            for verb, plural in (("is", "are"), ("has", "have"), ("lacks", "lack")):
                text = re.sub(rf"^\{{\}} {verb} ", f"{{}} {plural} ", text)
        tensor = names[0] if len(names) == 1 or len(names) < tensors else ""
        merged.append(Diagnosis(kind, tensor, text.replace("{}", who)))
    return merged
