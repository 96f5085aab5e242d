"""Cases: what several contenders do side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.check import check
from benchmarks.contenders import Contender
from benchmarks.isolate import Children
from benchmarks.results import Figure, Outcome, Result, Skip
from benchmarks.timing import Pace, Run, race, ratio, reason
from benchmarks.workloads import MLP, Workload

OURS = ("npnet", "npnet-fast")


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    pace: Pace = field(default_factory=Pace)  # how long to measure
    quick: bool = False  # fewer and smaller cases, no contender that takes long to get ready
    networks: tuple[MLP, ...] = ()  # to measure instead of the usual ones; empty for those


Measure = Callable[[dict[str, Contender], Options, Children], dict[str, Result]]


@dataclass(frozen=True)
class Case:
    """Something that several contenders do; ``group/name`` identifies it."""

    group: str
    name: str
    contenders: tuple[str, ...]  # who may take part
    measure: Measure  # lets those it is given do it
    pairs: tuple[str, ...] = ()  # figures: "npnet/torch" is a ratio, "npnet" a plain value
    targets: dict[str, float] = field(default_factory=dict)  # the most that a figure may be
    unit: str = "s"  # or "B"

    def label(self, contender: str) -> str:
        """Return what ``--filter`` looks at: group/case/contender."""
        return f"{self.group}/{self.name}/{contender}"


def run_case(
    case: Case, contenders: Sequence[Contender], options: Options, children: Children
) -> Outcome:
    """Measure a case; whoever is missing or fails has a result that says so."""
    results: dict[str, Result] = {}
    ready: dict[str, Contender] = {}
    for who in contenders:
        absent = who.missing()
        if absent:
            results[who.name] = Result("missing", absent)
        elif options.quick and who.slow:
            results[who.name] = Result("skipped", "takes long to get ready; left out of --quick")
        else:
            ready[who.name] = who
    results.update(case.measure(ready, options, children))
    order = [*(who.name for who in contenders), *results]
    results = {name: results[name] for name in dict.fromkeys(order)}
    return Outcome(case.group, case.name, case.unit, results, figures(case, results))


def figures(case: Case, results: dict[str, Result]) -> list[Figure]:
    """Return those of the case's figures that its results allow."""
    found = []
    for name in case.pairs:
        parts = [results.get(part) for part in name.split("/")]
        if all(part is not None and part.ok for part in parts):
            a, *b = [part.samples for part in parts if part is not None]
            low, value, high = ratio(a, b[0] if b else [1.0])
            found.append(Figure(name, value, low, high, case.targets.get(name)))
    return found


def timed(workload: Workload, pace: Pace | None = None) -> Measure:
    """Return a measurement that races those whose results are right; at the options' own pace."""

    def measure(
        ready: dict[str, Contender], options: Options, children: Children
    ) -> dict[str, Result]:
        runs: dict[str, Run] = {}

        def prepare(who: Contender) -> Result:
            run = children.build(who, workload)
            check(run, workload)
            runs[who.name] = run
            return Result("ok")

        def finish(who: Contender) -> Result:
            run = runs[who.name]
            notes = [run.note, workload.remark(run.result)]
            return Result("ok", "", seconds[who.name], "; ".join(filter(None, notes)))

        results = {name: attempt(prepare, who) for name, who in ready.items()}
        seconds, failed = race(runs, pace or options.pace)
        results |= {name: Result("failed", why) for name, why in failed.items()}
        results |= {name: attempt(finish, ready[name]) for name in seconds}
        return results

    return measure


def attempt(measure: Callable[[Contender], Result], who: Contender) -> Result:
    """Return what `measure` says of a contender; its failure is a result, too."""
    try:
        return measure(who)
    except Skip as skip:
        return Result("skipped", str(skip))
    except Exception as error:
        return Result("failed", reason(error))
