"""What the command does: choose the cases, measure them, write the report, compare."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import fnmatch
import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmarks import compare, machine, pictures
from benchmarks.case import Case, Options, run_case
from benchmarks.contenders import NAMES, Contender, contender
from benchmarks.groups import all_cases
from benchmarks.isolate import Children
from benchmarks.report import Report, one_line
from benchmarks.results import Outcome
from benchmarks.timing import Pace
from benchmarks.workloads import MLP

BATCH = 128
QUICK = Pace(rounds=3, turn=0.05, settle=0.01, warm=0.02, limit=3.0)

Chosen = list[tuple[Case, list[Contender]]]


class UsageError(Exception):
    """The command line asks for what cannot be."""


def run(args: argparse.Namespace, argv: Sequence[str]) -> int:
    """Do what the command line asks for.

    Parameters
    ----------
    args : Namespace
        As `benchmarks.__main__.arguments` reads them.
    argv : sequence of str
        The same before they were read, for the report.

    Returns
    -------
    int
        The exit code: 0, 1 after a regression, 130 when interrupted.

    Raises
    ------
    UsageError
        Before anything is measured.
    """
    try:
        networks = tuple(MLP.parse(text, args.batch or BATCH) for text in args.mlp)
        old = Report.load(args.compare) if args.compare else None
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from error
    pace = QUICK if args.quick else Pace()
    if args.rounds:
        pace = dataclasses.replace(pace, rounds=args.rounds)
    options = Options(pace, args.quick, networks)
    chosen = choose(options, args.filter)
    if old and not {(o.group, o.name) for o in old.outcomes} & {
        (c.group, c.name) for c, _ in chosen
    }:
        raise UsageError(f"--compare: {args.compare} has none of the cases that would be measured")
    if args.list:
        for case, contenders in chosen:
            for who in contenders:
                absent = who.missing()
                print(case.label(who.name) + (f" (missing: {absent})" if absent else ""))
        return 0
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out: {error}") from error

    settings = {
        "command": shlex.join(["python", "-m", "benchmarks", *argv]),
        "taken": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "rounds": pace.rounds,
        "quick": args.quick,
    }
    report = Report(settings, {}, versions(chosen))
    watch = machine.Watch()
    try:
        measure(chosen, options, report.outcomes)
    except KeyboardInterrupt:
        print("interrupted; what was measured so far is reported")
        write(report, watch, args.out)
        return 130
    write(report, watch, args.out)
    return regressions(old, report, chosen, options) if old else 0


def choose(options: Options, text: str) -> Chosen:
    """Return the cases, and for each the contenders, whose label contains `text`.

    Raises
    ------
    UsageError
        If there are none.
    """
    everyone = {name: contender(name) for name in NAMES}
    pattern = f"*{text.lower()}*"
    chosen = []
    for case in all_cases(options):
        names = [n for n in case.contenders if fnmatch.fnmatchcase(case.label(n).lower(), pattern)]
        if names:
            chosen.append((case, [everyone[name] for name in names]))
    if not chosen:
        raise UsageError(f"--filter {text!r} matches nothing; --list shows what there is")
    return chosen


def versions(chosen: Chosen) -> dict[str, str]:
    """Return each contender's version, or that it is missing."""
    found = {who.name: who for _, contenders in chosen for who in contenders}
    return {
        name: f"missing: {absent}" if (absent := found[name].missing()) else found[name].version()
        for name in NAMES
        if name in found
    }


def measure(chosen: Chosen, options: Options, outcomes: list[Outcome]) -> None:
    """Append the outcome of each case, and print it."""
    with Children() as children:
        for case, contenders in chosen:
            outcomes.append(run_case(case, contenders, options, children))
            print(one_line(outcomes[-1]), flush=True)


def write(report: Report, watch: machine.Watch, folder: Path) -> None:
    """Write the report in all its forms, and print it."""
    report.machine = machine.describe() | watch.stop()
    report.save(folder / "report.json")
    text = report.markdown()
    (folder / "report.md").write_text(text, encoding="utf-8")
    drawn = pictures.draw(report.outcomes, folder)
    print(f"\n{text}")
    print(f"{folder}: report.md, report.json", *(path.name for path in drawn), sep=", ")
    if not drawn:
        print("no pictures: matplotlib is not installed, or there is nothing to draw")


def regressions(old: Report, new: Report, chosen: Chosen, options: Options) -> int:
    """Compare with an earlier report, measure again what looks slower, and print the verdicts.

    Returns
    -------
    int
        1 if a regression is confirmed, otherwise 0.
    """
    changes = compare.compare(old, new)
    slower = {change.label for change in changes if change.verdict == "regression"}
    if slower:
        print("\n# Measured again, because it looked slower\n")
        suspects = [
            (case, contenders)
            for case, contenders in chosen
            if slower.intersection(case.label(who.name) for who in contenders)
        ]
        again: list[Outcome] = []
        measure(suspects, options, again)
        repeated = dataclasses.replace(new, outcomes=again)
        changes = compare.confirm(changes, compare.compare(old, repeated))
    print(f"\n# Compared with {old.settings['taken']}: {old.settings['command']}\n")
    for line in compare.differences(old, new):
        print(f"- {line}")
    print(compare.describe(changes))
    return int(any(change.verdict == "regression" for change in changes))
