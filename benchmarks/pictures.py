"""Pictures of a report, if matplotlib is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.contenders import NAMES
from benchmarks.results import Outcome
from benchmarks.timing import ratio

REFERENCES = ("torch-fused", "torch", "bare", "npnet")
_MARKERS = dict(zip(NAMES, "oDXsv^P*h", strict=True))


def draw(outcomes: list[Outcome], folder: Path) -> list[Path]:
    """Draw a picture for each group of times and each curve; return the files, if any.

    There are none without matplotlib.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return []
    figures = {}
    for group in dict.fromkeys(o.group for o in outcomes):
        mine = [o for o in outcomes if o.group == group and _reference(o)]
        if mine and group not in ("footprint", "scaling"):
            figures[group] = _dots(group, mine)
    curves: dict[tuple[str, str], list[tuple[int, Outcome]]] = {}
    for outcome in outcomes:
        if outcome.group == "scaling":
            point, network = outcome.name.split(":")
            curve, value = point.split("=")
            curves.setdefault((curve, network), []).append((int(value), outcome))
    for (curve, network), points in curves.items():
        name = f"scaling-{curve}" if curve != "batch" else f"scaling-batch-{network}"
        figures[name] = _curve(curve, network, points)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths


def _reference(outcome: Outcome) -> str | None:
    return next((name for name in REFERENCES if outcome.ok(name)), None)


def _color(name: str) -> str:
    return f"C{NAMES.index(name)}"


def _dots(group: str, outcomes: list[Outcome]) -> Any:
    """One line a case, one dot a contender, relative to the reference; a bar is a target."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.5 * len(outcomes)), layout="constrained")
    axes = figure.subplots()
    seen = set()
    for row, outcome in enumerate(outcomes):
        reference = outcome.results[str(_reference(outcome))].samples
        for name, result in outcome.results.items():
            if result.ok:
                axes.plot(
                    ratio(result.samples, reference)[1],
                    row,
                    _MARKERS[name],
                    color=_color(name),
                    label=None if name in seen else name,
                )
                seen.add(name)
        for target in outcome.figures:
            mine, _, other = target.name.partition("/")
            if target.target is not None and other == _reference(outcome):
                axes.plot(target.target, row, "|", color=_color(mine), markersize=18)
    names = sorted({str(_reference(outcome)) for outcome in outcomes})
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(f"time relative to {' or '.join(names)} (a bar is the target of its colour)")
    axes.axvline(1, color="0.7", zorder=0)
    axes.grid(axis="y", color="0.9")
    axes.set_yticks(range(len(outcomes)), [outcome.name for outcome in outcomes])
    axes.set_ylim(len(outcomes) - 0.5, -0.5)
    axes.set_title(group)
    figure.legend(loc="outside right upper")
    return figure


def _curve(curve: str, network: str, points: list[tuple[int, Outcome]]) -> Any:
    """Time per step, and its ratio to the limit, over width, depth or batch size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    times, ratios = figure.subplots(1, 2)
    points = sorted(points, key=lambda point: point[0])
    for name in NAMES:
        ok = {value: outcome.results[name].median for value, outcome in points if outcome.ok(name)}
        style = {"marker": _MARKERS[name], "color": _color(name), "label": name}
        if ok:
            times.plot(list(ok), list(ok.values()), **style)
        over = [
            (value, found.value)
            for value, outcome in points
            for found in outcome.figures
            if found.name == f"{name}/bare"
        ]
        if over:
            ratios.plot(*zip(*over, strict=True), **style)
    times.set_ylabel("seconds per step")
    times.set_yscale("log")
    times.legend()
    ratios.set_ylabel("ratio to the bare products")
    ratios.axhline(1, color="0.7", zorder=0)
    for axes in (times, ratios):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(curve)
        axes.grid(color="0.9")
    figure.suptitle(network)
    return figure
