"""Cases, what is measured side by side, and the results of the contenders."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.contenders import Contender, Skip
from benchmarks.isolate import Children
from benchmarks.problem import MLP
from benchmarks.timing import Pace, Run, race, ratio, reason

OURS = ("npnet", "npnet-fast")


@dataclass(frozen=True)
class Options:
    """What the command line asked for.

    Attributes
    ----------
    pace : Pace
        How long to measure.
    quick : bool
        Fewer and smaller cases, no contender that takes long to get ready.
    mlps : tuple of MLP
        Networks to measure instead of the usual ones; empty for those.
    """

    pace: Pace = field(default_factory=Pace)
    quick: bool = False
    mlps: tuple[MLP, ...] = ()


@dataclass
class Result:
    """One contender at one case.

    Attributes
    ----------
    status : str
        "ok", "missing", "skipped" or "failed".
    reason : str
        Why, if it is not ok.
    samples : list of float
        One value a round, in the case's unit.
    note : str
        What a reader must know.
    """

    status: str
    reason: str = ""
    samples: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def median(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)


@dataclass
class Figure:
    """A number to look at: one contender's over another's, or over nothing, with its target.

    ``low`` and ``high`` are the quartiles over the rounds; ``target`` is the most that it may be.
    """

    name: str
    value: float
    low: float
    high: float
    target: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the target holds; "?" where it lies within the spread."""
        if self.target is None:
            return ""
        sure = "?" if self.low <= self.target <= self.high and self.low < self.high else ""
        return ("holds" if self.value <= self.target else "misses") + sure


Measure = Callable[["Case", dict[str, Contender], Options, Children], dict[str, Result]]


@dataclass(frozen=True)
class Case:
    """Something that several contenders do.

    Attributes
    ----------
    group, name : str
        ``group/name`` identifies it.
    contenders : tuple of str
        Who may take part.
    measure : callable
        Lets them; returns the results of those it was given.
    pairs : tuple of str
        Figures to report: ``"npnet/torch"`` is a ratio, ``"npnet"`` a plain value.
    targets : dict of str to float
        The most that a figure may be.
    unit : str
        "s" or "B".
    """

    group: str
    name: str
    contenders: tuple[str, ...]
    measure: Measure
    pairs: tuple[str, ...] = ()
    targets: dict[str, float] = field(default_factory=dict)
    unit: str = "s"

    def label(self, contender: str) -> str:
        """Return what ``--filter`` looks at: group/case/contender."""
        return f"{self.group}/{self.name}/{contender}"


@dataclass
class Outcome:
    """A case with the results of its contenders."""

    group: str
    name: str
    unit: str
    results: dict[str, Result]
    figures: list[Figure] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the medians and verdicts included."""
        plain = asdict(self)
        for name, result in self.results.items():
            if result.status == "ok":
                plain["results"][name]["median"] = result.median
        for entry, figure in zip(plain["figures"], self.figures, strict=True):
            entry["verdict"] = figure.verdict
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Outcome:
        """Undo `to_dict`."""
        results = {
            name: Result(**{key: value for key, value in entry.items() if key != "median"})
            for name, entry in plain["results"].items()
        }
        figures = [
            Figure(**{key: value for key, value in entry.items() if key != "verdict"})
            for entry in plain["figures"]
        ]
        return cls(plain["group"], plain["name"], plain["unit"], results, figures)


def run_case(
    case: Case, contenders: Sequence[Contender], options: Options, children: Children
) -> Outcome:
    """Measure a case; whoever is missing or fails has a result that says so.

    Parameters
    ----------
    case : Case
    contenders : sequence of Contender
        Who shall take part.
    options : Options
    children : Children
        Where isolated contenders live.

    Returns
    -------
    Outcome
    """
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
    results.update(case.measure(case, ready, options, children))
    order = [*(who.name for who in contenders), *results]
    results = {name: results[name] for name in dict.fromkeys(order)}
    return Outcome(case.group, case.name, case.unit, results, figures(case, results))


def figures(case: Case, results: dict[str, Result]) -> list[Figure]:
    """Return those of the case's figures that its results allow."""
    found = []
    for name in case.pairs:
        parts = [results.get(part) for part in name.split("/")]
        if all(part is not None and part.status == "ok" for part in parts):
            a, *b = [part.samples for part in parts if part is not None]
            low, value, high = ratio(a, b[0] if b else [1.0])
            found.append(Figure(name, value, low, high, case.targets.get(name)))
    return found


def timed(
    kind: str,
    *args: Any,
    check: Callable[[Run], None] | None = None,
    after: Callable[[Run], str] | None = None,
) -> Measure:
    """Return a measurement that races the contenders' runs.

    Parameters
    ----------
    kind : str
        The contenders' method that prepares a run.
    *args
        Its arguments.
    check : callable, optional
        Given each fresh run; raises if the contender computes something else than it should.
    after : callable, optional
        Given each run after the race; returns a note.

    Returns
    -------
    callable
    """

    def measure(
        case: Case, ready: dict[str, Contender], options: Options, children: Children
    ) -> dict[str, Result]:
        results, runs = {}, {}
        for name, who in ready.items():
            try:
                run = children.build(who, kind, *args)
                if check is not None:
                    check(run)
                runs[name] = run
            except Skip as skip:
                results[name] = Result("skipped", str(skip))
            except Exception as error:  # a rival's failure is a result
                results[name] = Result("failed", reason(error))
        seconds, failed = race(runs, options.pace)
        for name, why in failed.items():
            results[name] = Result("failed", why)
        for name, samples in seconds.items():
            notes = [runs[name].note, after(runs[name]) if after else ""]
            results[name] = Result("ok", "", samples, "; ".join(filter(None, notes)))
        return results

    return measure
