"""The picture of a gradient check: analytic against numerical gradients, and how far apart."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.errors import ArgumentError
from npnet.plot.figure import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# By the number of the verdict: distinguishable without colour vision, and by their shape.
_STYLE = {
    0: ("ok", "#0072b2", "o", 14),
    2: ("kink", "#e69f00", "D", 22),
    3: ("noise", "#999999", "v", 26),
    1: ("wrong", "#d55e00", "X", 40),
}
_MOST = 8  # tensors drawn
_FLOOR = 1e-4  # the smallest distance drawn, in error bars


def plot_gradients(
    tensors: Sequence[Any], title: str, path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw one column for each of at most 8 `TensorReport`; save the figure if there is a path.

    Above, the analytic over the numerical gradient with its error bar. Below, their distances in
    error bars, sorted: right elements lie under the line at 1.
    """
    tensors = [t for t in tensors if t.indices.size][:_MOST]
    if not tensors:
        raise ArgumentError("there is nothing to draw: the check ended before any gradient")
    figure: Figure = new_figure(max(6.0, 0.6 + 2.9 * len(tensors)), 5.8)
    axes = figure.subplots(2, len(tensors), squeeze=False, height_ratios=(3, 2))
    dots: dict[str, Any] = {}
    for above, below, tensor in zip(*axes, tensors, strict=True):
        dots |= _draw(above, below, tensor)
    axes[0, 0].set_ylabel("analytic (backward)")
    axes[1, 0].set_ylabel("distance / error bar")
    figure.legend(dots.values(), dots, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(title)
    if path is not None:
        save_figure(figure, path, dpi=120)
    return figure


def _draw(above: Any, below: Any, tensor: Any) -> dict[str, Any]:
    """Draw one tensor; return the dots of each verdict in it."""
    x, y = tensor.numeric, tensor.analytic
    values = np.append(x, y)
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if values.size else (-1.0, 1.0)
    margin = 0.08 * (high - low) or 0.1 * max(abs(high), 1e-300)
    ends = (low - margin, high + margin)
    above.plot(ends, ends, color="#bbbbbb", linewidth=1, zorder=0)
    below.axhline(1, color="#bbbbbb", linewidth=1, zorder=0)
    bars = np.nan_to_num(tensor.distances(), nan=0.0, posinf=1e18)
    order, widths = np.argsort(bars, kind="stable"), np.nan_to_num(tensor.error, posinf=0)
    dots = {}
    for verdict, (name, colour, marker, size) in _STYLE.items():
        style: Any = {"s": size, "c": colour, "marker": marker, "linewidths": 0, "zorder": 2}
        at = (tensor.verdicts == verdict) & np.isfinite(x + y)
        rank = np.flatnonzero(tensor.verdicts[order] == verdict)
        above.errorbar(x[at], y[at], xerr=widths[at], linestyle="", ecolor=colour, elinewidth=0.8)
        above.scatter(x[at], y[at], **style)
        drawn = below.scatter(rank, np.maximum(bars[order][rank], _FLOOR), **style)
        if rank.size:
            dots[name] = drawn
    above.set(xlim=ends, ylim=ends, xlabel="numerical")
    above.set_title(f"{tensor.name} {tuple(tensor.shape)}", fontsize="medium")
    above.ticklabel_format(scilimits=(-3, 4), useMathText=True)
    above.locator_params(nbins=5)
    below.set_yscale("log")
    below.set(ylim=(_FLOOR / 2, max(10.0, 5 * bars.max())), xlabel="elements, sorted")
    below.locator_params(axis="x", nbins=5, integer=True)
    return dots
