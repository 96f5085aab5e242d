"""The report: everything as JSON, and for people as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import busy
from benchmarks.results import Figure, Outcome

FORMAT = 1
_MANY = 5  # more figures than this stand in rows
_FEW = 3  # so many cases are named


@dataclass
class Report:
    """What was measured, with what, on what."""

    settings: dict[str, Any]  # the command, the date and the pace
    machine: dict[str, Any]  # as `machine.describe` returns it
    contenders: dict[str, str]  # versions, or why one is missing
    outcomes: list[Outcome] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write JSON."""
        plain = {
            "format": FORMAT,
            "settings": self.settings,
            "machine": self.machine,
            "contenders": self.contenders,
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
        }
        path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Report:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If it is no such file.
        """
        text = path.read_text(encoding="utf-8")
        try:
            plain = json.loads(text)
            if plain["format"] != FORMAT:
                raise ValueError(f"its format is {plain['format']}, not {FORMAT}")
            outcomes = [Outcome.from_dict(entry) for entry in plain["outcomes"]]
            return cls(plain["settings"], plain["machine"], plain["contenders"], outcomes)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is no report.json of this suite: {error}") from error

    def markdown(self) -> str:
        """Return the report as Markdown: targets first, then a table for each group."""
        groups: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            groups.setdefault(outcome.group, []).append(outcome)
        parts = ["# Benchmarks", *self._head(), *_targets(self.outcomes)]
        for name, outcomes in groups.items():
            parts += [f"## {name}", _medians(outcomes), *_ratios(outcomes)]
        return "\n\n".join([*parts, *_remarks(self.outcomes)]) + "\n"

    def _head(self) -> list[str]:
        machine, settings = self.machine, self.settings
        numpy = f"NumPy {machine['numpy']} with {machine['blas']}"
        lines = [
            f"Taken {settings['taken']} by `{settings['command']}`: {settings['rounds']} rounds, "
            f"{machine['threads']} threads in each pool.",
            f"{machine['processor']}, {machine['cpus']} processors, {machine['memory_gib']} GiB; "
            f"{machine['system']}; Python {machine['python']}, {numpy}.",
        ]
        if busy(machine):
            lines.append(
                f"**The machine was busy**: {busy(machine)}. Do not trust these numbers; repeat on "
                "a quiet machine."
            )
        pools = machine.get("thread_pools")
        lines += [f"Thread pools here: {'; '.join(pools)}."] if pools else []
        return [*lines, table(["contender", "version"], self.contenders.items())]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose first column is text and the others numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def quantity(value: float, unit: str) -> str:
    """Return a value with three digits and its unit: ``"1.18 ms"``, ``"52.3 MB"``."""
    scales = {
        "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
        "B": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")),
    }[unit]
    scale, name = next((pair for pair in scales if abs(value) >= 0.9995 * pair[0]), scales[-1])
    return f"{_digits(value / scale)} {name}"


def one_line(outcome: Outcome) -> str:
    """Return one line on a case for the terminal, and one on each of its figures."""
    parts = [
        f"{name} {quantity(result.median, outcome.unit) if result.samples else result.status}"
        for name, result in outcome.results.items()
    ]
    figures = [
        f"\n    {figure.name} {figure_text(figure, outcome.unit)} {figure.verdict}".rstrip()
        for figure in outcome.figures
    ]
    return f"{outcome.group}/{outcome.name}: {', '.join(parts)}" + "".join(figures)


def figure_text(figure: Figure, unit: str) -> str:
    """Return a figure with its quartiles: ``"0.92 (0.90 to 0.95)"``."""
    if "/" not in figure.name:
        low, value, high = (quantity(v, unit) for v in (figure.low, figure.value, figure.high))
    else:
        low, value, high = (_digits(v) for v in (figure.low, figure.value, figure.high))
    return value if low == high else f"{value} ({low} to {high})"


def _digits(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"


def _targets(outcomes: list[Outcome]) -> list[str]:
    rows = [
        (
            f"{outcome.group}/{outcome.name}",
            figure.name,
            figure_text(figure, outcome.unit),
            str(figure.target) if "/" in figure.name else quantity(figure.target, outcome.unit),
            figure.verdict,
        )
        for outcome in outcomes
        for figure in outcome.figures
        if figure.target is not None
    ]
    if not rows:
        return []
    return [
        "## Targets",
        "The median of the rounds, with the quartiles beside it; `?` where the target lies between "
        "these.",
        table(["case", "figure", "measured", "at most", "verdict"], rows),
    ]


def _medians(outcomes: list[Outcome]) -> str:
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.results))
    rows = []
    for outcome in outcomes:
        cells = []
        for name in names:
            result = outcome.results.get(name)
            if result is None:
                cells.append("")
            elif result.ok:
                cells.append(quantity(result.median, outcome.unit))
            else:
                cells.append(result.status)
        rows.append((outcome.name, *cells))
    return table(["median", *names], rows)


def _ratios(outcomes: list[Outcome]) -> list[str]:
    texts = {
        outcome.name: {f.name: figure_text(f, outcome.unit) for f in outcome.figures}
        for outcome in outcomes
    }
    names = list(dict.fromkeys(name for found in texts.values() for name in found))
    if not names:
        return []
    if len(names) > _MANY:
        head = ["figure (quartiles)", *texts]
        rows = [(name, *(found.get(name, "") for found in texts.values())) for name in names]
    else:
        head = ["figure (quartiles)", *names]
        rows = [(case, *(found.get(name, "") for name in names)) for case, found in texts.items()]
    return [table(head, rows)]


def _remarks(outcomes: list[Outcome]) -> list[str]:
    """List who did not take part and why, and what to know of those who did."""
    where: dict[tuple[str, str], list[str]] = {}  # (name, what) -> cases
    for outcome in outcomes:
        for name, result in outcome.results.items():
            what = f" {result.status}: {result.reason}"
            if result.ok:
                what = f": {result.note}" if result.note else ""
            if what:
                where.setdefault((name, what), []).append(f"{outcome.group}/{outcome.name}")
    who: dict[tuple[str, str], list[str]] = {}  # (what, cases) -> names
    for (name, what), cases in where.items():
        few = ", ".join(cases) if len(cases) <= _FEW else f"{len(cases)} cases"
        who.setdefault((what, few), []).append(name)
    lines = [f"- {', '.join(names)}{what} ({cases})" for (what, cases), names in who.items()]
    return ["## Remarks", "\n".join(lines)] if lines else []
