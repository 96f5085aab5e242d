"""What came of a case: the contenders' results, and the figures that are computed from them."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


class Skip(Exception):
    """Raised by whoever does not offer what is asked, or cannot here, with the reason."""


@dataclass
class Result:
    """One contender at one case."""

    status: str  # "ok", "missing", "skipped" or "failed"
    reason: str = ""  # why, if it is not ok
    samples: list[float] = field(default_factory=list)  # one value a round, in the case's unit
    note: str = ""  # what a reader must know

    @property
    def ok(self) -> bool:
        """Whether there are samples."""
        return self.status == "ok"

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


@dataclass
class Outcome:
    """A case with the results of its contenders."""

    group: str
    name: str
    unit: str
    results: dict[str, Result]
    figures: list[Figure] = field(default_factory=list)

    def ok(self, contender: str) -> bool:
        """Whether a contender was measured."""
        return contender in self.results and self.results[contender].ok

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, the medians and verdicts included."""
        plain = asdict(self)
        for name, result in self.results.items():
            if result.ok:
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
