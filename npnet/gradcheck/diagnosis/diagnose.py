"""From wrong numbers to what is probably wrong in the code.

A pattern looks at what backward says and what is true, and must say the same at a second point.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from npnet.gradcheck.diagnosis import order, paths, places, whole
from npnet.gradcheck.diagnosis.example import smallest
from npnet.gradcheck.diagnosis.matrices import Budget, Case, Found, Jacobians, remade
from npnet.gradcheck.numeric.point import Evidence, Point
from npnet.gradcheck.report import Diagnosis, Example

_Experiment = Callable[[Case], Found]
_Pattern = Callable[[Jacobians], Any]  # returns one or yields several of what is found

_PASSES, _OF_EXAMPLE = 6_000, 1_500  # that are run, forward or backward
_WHERE: tuple[_Pattern, ...] = (places.overlap, places.rows, places.through)


@np.errstate(all="ignore")
def diagnose(
    point: Point, evidence: list[Evidence], known: Collection[str] = ()
) -> list[Diagnosis]:
    """Explain every wrong gradient, apart from tensors whose fault is `known` otherwise."""
    with warnings.catch_warnings():  # of expressions that are changed
        warnings.simplefilter("ignore")
        return _diagnoses(_cases(point, evidence, _PASSES), known)


def _diagnoses(cases: list[Case], known: Collection[str]) -> list[Diagnosis]:
    found: list[tuple[int, tuple[str, str], str]] = []
    for case in cases:
        if case.wrong.any() and case.name not in known:
            case.budget.refill(_PASSES // (1 + len(found)))
            found.append((*_explained(case), case.name))
    found.sort(key=lambda one: one[0])
    clear = [one for one in found if one[0] < len(_STEPS)]  # of what one fault does, the clearest
    groups: dict[tuple[str, str], list[str]] = {}
    for _, what, name in clear or found:
        groups.setdefault(what, []).append(name)
    return [_diagnosis(*what, names, len(cases)) for what, names in groups.items()]


@np.errstate(all="ignore")
def example(point: Point, evidence: list[Evidence]) -> Example | None:
    """Return the smallest example that shows one of the wrong gradients."""
    wrong = (case for case in _cases(point, evidence, _OF_EXAMPLE) if case.wrong.any())
    return next(filter(None, map(smallest, wrong)), None)


def _cases(point: Point, evidence: list[Evidence], passes: int) -> list[Case]:
    budget = Budget(passes)
    try:
        subject = remade(point.function)
    except Exception:  # what cannot be copied and run again cannot be explained
        return []
    subject.upstream = point.function.upstream
    cases = [Case(point, e, subject, budget) for e in evidence]
    for case in cases:
        case.others = cases
    return cases


def _diagnosis(kind: str, text: str, names: list[str], count: int) -> Diagnosis:
    who = f"the gradient of {names[0]}"
    if len(names) > 1:
        who = f"each of the gradients of {', '.join(names[:-1])} and {names[-1]}"
        who = "every gradient" if len(names) == count else who
    whole_sentence = "{}" in text or text.startswith("the ")
    message = text.replace("{}", who) if whole_sentence else f"{who} {text}"
    return Diagnosis(kind, "" if len(names) == count > 1 else names[0], message)


def _explained(case: Case) -> tuple[int, tuple[str, str]]:
    """Return the first that fits, and its rank; or that there is none."""
    for rank, step in enumerate(_STEPS):
        try:
            found = step(case)
        except Exception:  # of the layer, at other numbers; or the budget is spent
            continue
        if found is not None:
            return rank, found
    text = f"{case.wrong.sum()} of {case.wrong.size} elements of {{}} are wrong"
    return len(_STEPS), ("formula", f"{text}, in no pattern known here")


def _confirmed(pattern: _Pattern, exact: bool = False) -> _Experiment:
    """Keep what a pattern says twice; if `exact`, only if it says how it is wrong there."""

    def found(case: Case) -> Found:
        here, away = case.here, case.elsewhere
        said = _twice(pattern, here, away)
        if said is None and not here.is_input and here.x.size > 1 and np.ptp(here.x) == 0:
            said = _twice(pattern, case.moved(5), case.moved(7))  # as zeros or ones little is seen
        definite = said is None or re.search("; there|lacks|holds only|alone|takes only", said[1])
        return said if definite or not exact else None

    return found


def _twice(pattern: _Pattern, here: Jacobians | None, away: Jacobians | None) -> Found:
    """Keep what a pattern says if it says the same, but for numbers, at a second point."""
    both: list[dict[str, tuple[str, str]]] = []
    for p in (here, away):
        found = None if p is None else pattern(p)
        several = [] if found is None else [found] if isinstance(found, tuple) else found
        both.append({re.sub(r"[-+]?\d[\d.e+-]*", "0", text): (k, text) for k, text in several})
    for words, found in both[0].items():
        texts = (found[1], both[1].get(words, found)[1])
        low, high = (np.array(re.findall(r"about (-?[\d.e+-]+\d)", t), float) for t in texts)
        if words in both[1] and np.allclose(low, high, 0.4, 0.05):
            return found
    return None


# From the most to the least specific.
_STEPS: tuple[_Experiment, ...] = (
    whole.non_finite, order.swapped, whole.zero, whole.forward_is_flat,
    whole.not_linear, whole.constant_factor, _confirmed(order.tensor), _confirmed(order.upstream),
    paths.expression, order.chain, _confirmed(order.forward_again),
    *(_confirmed(pattern, exact=True) for pattern in _WHERE),
    *map(_confirmed, (places.inverted, whole.statistics, places.region, places.elements,
                      places.masked, places.rows, places.shares, whole.invariance,
                      whole.unnamed)),
    *map(_confirmed, _WHERE),
)  # fmt: skip
