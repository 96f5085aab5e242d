"""``python -m benchmarks``: measure, report, compare.

Nothing that computes is imported before the thread settings stand.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import fnmatch
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure npnet and what else is installed side by side.",
    )
    parser.add_argument("--quick", action="store_true", help="a rough picture within a minute")
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only what matches group/case/contender"
    )
    parser.add_argument("--rounds", type=int, help="turns of each contender")
    parser.add_argument(
        "--mlp",
        action="append",
        default=[],
        metavar="784-300-10",
        help="measure this network instead of the usual ones; may be repeated",
    )
    parser.add_argument("--batch", type=int, default=128, help="its batch size")
    parser.add_argument("--threads", type=int, help="of every thread pool; all processors if not")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), help="folder to fill")
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="OLD.json",
        help="flag regressions against an earlier report; the exit code is then 1",
    )
    parser.add_argument("--list", action="store_true", help="say what would run, and run nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        The exit code: 0, 1 after a regression, 130 when interrupted.
    """
    parser = arguments()
    args = parser.parse_args(argv)
    for name in ("rounds", "batch", "threads"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f"--{name} must be positive")
    machine.set_threads(args.threads or machine.usable_cpus())

    from benchmarks import compare, pictures
    from benchmarks.case import Case, Options, run_case
    from benchmarks.contenders import NAMES, contender
    from benchmarks.groups import all_cases
    from benchmarks.isolate import Children
    from benchmarks.problem import MLP
    from benchmarks.report import Report
    from benchmarks.timing import Pace

    try:
        mlps = tuple(MLP.parse(text, args.batch) for text in args.mlp)
        old = Report.load(args.compare) if args.compare else None
    except (OSError, ValueError) as error:
        parser.error(str(error))
    rounds = args.rounds or (5 if args.quick else Pace.rounds)
    pace = Pace(rounds)
    if args.quick:
        pace = Pace(rounds, turn=0.012, settle=0.012, warm=0.03, limit=1.2)
    options = Options(pace, args.quick, mlps)

    def wanted(case: Case) -> list[str]:
        pattern = f"*{args.filter.lower()}*"
        return [
            name
            for name in case.contenders
            if fnmatch.fnmatchcase(case.label(name).lower(), pattern)
        ]

    cases = [case for case in all_cases(options) if wanted(case)]
    if not cases:
        parser.error(f"--filter {args.filter!r} matches nothing; --list shows what there is")
    needed = [name for name in NAMES if any(name in wanted(case) for case in cases)]
    everyone = {name: contender(name) for name in needed}
    absent = {name: who.missing() for name, who in everyone.items()}
    if args.list:
        for case in cases:
            for name in wanted(case):
                print(case.label(name) + (f" (missing: {absent[name]})" if absent[name] else ""))
        return 0

    versions = {
        name: f"missing: {absent[name]}" if absent[name] else who.version()
        for name, who in everyone.items()
    }
    settings = {
        "command": shlex.join(
            ["python", "-m", "benchmarks", *(sys.argv[1:] if argv is None else argv)]
        ),
        "taken": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "rounds": rounds,
        "quick": args.quick,
    }
    report = Report(settings, {}, versions)
    watch = machine.Watch()
    interrupted = False
    with Children() as children:
        try:
            for case in cases:
                outcome = run_case(case, [everyone[n] for n in wanted(case)], options, children)
                report.outcomes.append(outcome)
                print(_line(outcome), flush=True)
        except KeyboardInterrupt:
            interrupted = True
            print("interrupted; what was measured so far is reported", file=sys.stderr)
        changes = compare.compare(old, report) if old and not interrupted else []
        slower = {change.label for change in changes if change.verdict == "regression"}
        repeated = [
            run_case(case, [everyone[n] for n in wanted(case)], options, children)
            for case in cases
            if slower.intersection(case.label(name) for name in wanted(case))
        ]
    report.machine = machine.describe() | watch.stop()

    args.out.mkdir(parents=True, exist_ok=True)
    report.save(args.out / "report.json")
    (args.out / "report.md").write_text(report.markdown(), encoding="utf-8")
    drawn = pictures.draw(report.outcomes, args.out)
    print(f"\n{report.markdown()}")
    print(f"{args.out}: report.md, report.json", *(path.name for path in drawn), sep=", ")
    if not drawn:
        print("no pictures: matplotlib is not installed, or there is nothing to draw")
    if interrupted:
        return 130
    if old is None:
        return 0

    again = compare.compare(old, dataclasses.replace(report, outcomes=repeated))
    changes = compare.confirm(changes, again)
    print(f"\n# Compared with {args.compare}\n")
    for line in compare.differences(old, report):
        print(f"- {line}")
    print(compare.describe(changes))
    return int(any(change.verdict == "regression" for change in changes))


def _line(outcome) -> str:
    """Return one line on a case for the terminal."""
    from benchmarks.report import figure_text, quantity

    parts = [
        f"{name} {quantity(result.median, outcome.unit) if result.samples else result.status}"
        for name, result in outcome.results.items()
    ]
    ratios = [f"{f.name} {figure_text(f, outcome.unit)} {f.verdict}" for f in outcome.figures]
    return f"{outcome.group}/{outcome.name}: {', '.join(parts)}" + "".join(
        f"\n    {text.rstrip()}" for text in ratios
    )


if __name__ == "__main__":
    sys.exit(main())
