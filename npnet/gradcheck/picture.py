"""The picture of a report: analytic against numerical gradients, and how far they are apart."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.errors import ArgumentError
from npnet.gradcheck.report import Report, TensorReport, Verdict
from npnet.plot.figure import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Distinguishable without colour vision, and by their shape.
_STYLE = {
    Verdict.OK: ("#0072b2", "o", 14),
    Verdict.KINK: ("#e69f00", "D", 22),
    Verdict.NOISE: ("#999999", "v", 26),
    Verdict.WRONG: ("#d55e00", "X", 40),
}
_MOST = 8  # tensors drawn; failing ones first


def draw(report: Report, path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw one column for each tensor.

    Above, the analytic gradient over the numerical one, with its error bar: right elements lie on
    the diagonal. Below, the distance of the two over the error bar, sorted: right elements lie
    under the line at 1.

    Parameters
    ----------
    report : Report
    path : path-like, optional
        Where to save it.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    failing = report.failing
    tensors = failing + [t for t in report.tensors if not any(t is f for f in failing)]
    tensors = [t for t in tensors if t.indices.size][:_MOST]
    if not tensors:
        raise ArgumentError("there is nothing to draw: the check ended before any gradient")
    figure = Figure(figsize=(max(6.0, 0.6 + 2.9 * len(tensors)), 5.8), layout="constrained")
    axes = figure.subplots(2, len(tensors), squeeze=False, height_ratios=(3, 2))
    for column, tensor in enumerate(tensors):
        _scatter(axes[0, column], tensor)
        _distances(axes[1, column], tensor)
    axes[0, 0].set_ylabel("analytic (backward)")
    axes[1, 0].set_ylabel("distance / error bar")
    shown = {Verdict(int(v)) for t in tensors for v in np.unique(t.verdicts)}
    handles = [
        Line2D([], [], linestyle="", marker=_STYLE[v][1], color=_STYLE[v][0], label=v.name.lower())
        for v in _STYLE
        if v in shown
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    title = " ".join(report.subject.split())
    title = title if len(title) <= 60 else title[:57] + "..."
    figure.suptitle(f"{title}: {'passed' if report.ok else 'FAILED'}")
    if path is not None:
        save_figure(figure, path, dpi=120)
    return figure


def _scatter(axes: Any, tensor: TensorReport) -> None:
    low, high = _limits(tensor)
    axes.plot([low, high], [low, high], color="#bbbbbb", linewidth=1, zorder=0)
    for verdict, (colour, marker, size) in _STYLE.items():
        at = (tensor.verdicts == verdict) & np.isfinite(tensor.analytic + tensor.numeric)
        if not at.any():
            continue
        x, y, bar = tensor.numeric[at], tensor.analytic[at], tensor.error[at]
        bar = np.where(np.isfinite(bar), bar, 0)
        axes.errorbar(x, y, xerr=bar, linestyle="", ecolor=colour, elinewidth=0.8, zorder=1)
        axes.scatter(x, y, s=size, c=colour, marker=marker, linewidths=0, zorder=2)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="numerical")
    axes.set_title(f"{tensor.name} {tuple(tensor.shape)}", fontsize="medium")
    axes.ticklabel_format(scilimits=(-3, 4), useMathText=True)
    axes.locator_params(nbins=5)


def _distances(axes: Any, tensor: TensorReport) -> None:
    with np.errstate(all="ignore"):
        off = np.abs(tensor.analytic - tensor.numeric)
        bars = np.where(off == 0, 0.0, off / tensor.error)
    bars = np.nan_to_num(bars, nan=0.0, posinf=1e18)
    order = np.argsort(bars, kind="stable")
    floor = 1e-4
    axes.axhline(1, color="#bbbbbb", linewidth=1, zorder=0)
    rank = np.arange(order.size)
    for verdict, (colour, marker, size) in _STYLE.items():
        at = tensor.verdicts[order] == verdict
        axes.scatter(rank[at], np.maximum(bars[order][at], floor), s=size, c=colour,
                     marker=marker, linewidths=0)  # fmt: skip
    axes.set_yscale("log")
    axes.set(ylim=(floor / 2, max(10.0, 5 * float(bars.max()))), xlabel="elements, sorted")
    axes.locator_params(axis="x", nbins=5, integer=True)


def _limits(tensor: TensorReport) -> tuple[float, float]:
    values = np.concatenate([tensor.analytic, tensor.numeric])
    values = values[np.isfinite(values)]
    if values.size == 0:
        return -1.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 0.1 * max(abs(high), 1e-300)
    return low - margin, high + margin
