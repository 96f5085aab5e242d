"""Two reports side by side: where npnet became slower or larger, beyond the spread.

A machine is not equally fast on two days. So a time is taken relative to a rival that both reports
have in the same rounds, best the bare products; only without any does the plain time count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.case import OURS
from benchmarks.machine import busy
from benchmarks.report import Report, table
from benchmarks.results import Outcome
from benchmarks.timing import ratio

TOLERANCE = 0.05
UNANCHORED = 4.0
"""Times the tolerance, where there is no rival to tell a slower machine from slower code."""
FEW_ROUNDS = 5
ANCHORS = ("bare", "torch-fused", "torch", "numpy")


@dataclass(frozen=True)
class Change:
    """What became of one contender at one case.

    ``verdict`` is "regression", "improvement", "within the spread" or "not confirmed"; ``measure``
    says what was compared, ``old`` and ``new`` how it came out.
    """

    label: str
    verdict: str
    measure: str
    old: str
    new: str


def compare(old: Report, new: Report, tolerance: float = TOLERANCE) -> list[Change]:
    """Compare npnet's results in the cases that both reports have.

    Parameters
    ----------
    old, new : Report
    tolerance : float
        The share by which the median must have changed at least; besides, the quartiles of the one
        must lie clear of the other's.
    """
    before = {(outcome.group, outcome.name): outcome for outcome in old.outcomes}
    return [
        _change(before[outcome.group, outcome.name], outcome, name, tolerance)
        for outcome in new.outcomes
        if (outcome.group, outcome.name) in before
        for name in OURS
        if before[outcome.group, outcome.name].ok(name) and name in outcome.results
    ]


def confirm(changes: list[Change], again: list[Change]) -> list[Change]:
    """Take back each regression that a second measurement does not show.

    Within a run all rounds are close in time: their spread does not hold what differs between two
    hours on a machine.

    Parameters
    ----------
    changes : list of Change
    again : list of Change
        From measuring the regressed cases once more.
    """
    still = {change.label for change in again if change.verdict == "regression"}
    return [
        replace(change, verdict="not confirmed")
        if change.verdict == "regression" and change.label not in still
        else change
        for change in changes
    ]


def differences(old: Report, new: Report) -> list[str]:
    """Return what else bears on a comparison: another machine or version, or a busy machine."""
    keys = ("processor", "cpus", "python", "numpy", "blas", "threads")
    pairs = [(key, old.machine.get(key), new.machine.get(key)) for key in keys]
    pairs += [
        (name, old.contenders[name], version)
        for name, version in new.contenders.items()
        if name in old.contenders
    ]
    texts = [f"{key}: {was} -> {now}" for key, was, now in pairs if was != now]
    texts += [
        f"{run.settings['rounds']} rounds in the {name} run are too few to know its spread"
        for name, run in (("old", old), ("new", new))
        if run.settings["rounds"] < FEW_ROUNDS
    ]
    texts += [
        f"the machine was busy in the {name} run: {busy(run.machine)}"
        for name, run in (("old", old), ("new", new))
        if busy(run.machine)
    ]
    return texts


def describe(changes: list[Change]) -> str:
    """Return the changes beyond the spread as Markdown, and the count of the others."""
    shown = [change for change in changes if change.verdict != "within the spread"]
    shown.sort(key=lambda change: change.verdict, reverse=True)
    rows = [(c.label, c.verdict, c.measure, c.old, c.new) for c in shown]
    text = f"{len(changes) - len(shown)} of {len(changes)} results within the spread."
    if any(change.verdict == "not confirmed" for change in shown):
        text += " What is not confirmed looked slower once, but not when measured again."
    head = ["result", "verdict", "measure", "old (quartiles)", "new (quartiles)"]
    return f"{text}\n\n{table(head, rows)}" if rows else text


def _change(old: Outcome, new: Outcome, name: str, tolerance: float) -> Change:
    label = f"{new.group}/{new.name}/{name}"
    if not new.ok(name):
        result = new.results[name]
        # What is not installed any more, or was left out, did not become slower.
        verdict = "regression" if result.status == "failed" else "within the spread"
        return Change(label, verdict, "status", "ok", f"{result.status}: {result.reason}")
    anchors = [a for a in ANCHORS if old.ok(a) and new.ok(a)]
    anchor = anchors[0] if anchors and new.unit == "s" else None
    (low0, was, high0), (low, now, high) = (
        ratio(o.results[name].samples, o.results[anchor].samples if anchor else [1.0])
        for o in (old, new)
    )
    if new.unit == "s" and anchor is None:
        tolerance *= UNANCHORED
    verdict = "within the spread"
    if low > high0 and now > was * (1 + tolerance):
        verdict = "regression"
    elif high < low0 and now < was * (1 - tolerance):
        verdict = "improvement"
    measure = f"time / {anchor}" if anchor else {"s": "seconds", "B": "bytes"}[new.unit]
    return Change(label, verdict, measure, _spread(low0, was, high0), _spread(low, now, high))


def _spread(low: float, value: float, high: float) -> str:
    return f"{value:.4g} ({low:.4g} to {high:.4g})"
