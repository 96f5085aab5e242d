"""`plot_curves` draws learning curves: one panel for each quantity, training beside validation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from npnet.errors import ArgumentError
from npnet.plot.figure import new_figure

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence


def plot_curves(
    columns: Mapping[str, Sequence[float]], path: str | os.PathLike[str] | None = None
) -> Any:
    """Draw every column over the epochs, ``"val_..."`` in the panel of what it validates.

    The learning rate has a panel if it changes. A quantity that spans more than two orders of
    magnitude gets a logarithmic axis. Neither the backend nor the figures of ``pyplot`` are
    touched.

    Parameters
    ----------
    columns : mapping of str to sequence of float
        A `History`: ``"epoch"`` and columns of the same length, NaN where there is no value.
    path : str or path-like, optional
        Where to save the picture; the suffix decides on the format.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If there is no epoch to draw.
    MissingDependency
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = plot_curves({"epoch": [1, 2], "loss": [0.9, 0.5], "val_loss": [0.8, 0.6]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation']
    """
    epochs = columns["epoch"]
    if not len(epochs):
        raise ArgumentError("there is no epoch to plot; train first")
    panels = [name for name in columns if not name.startswith("val_") and name != "epoch"]
    if "lr" in panels and len(set(columns["lr"])) == 1:
        panels.remove("lr")
    figure = new_figure(4.8 * len(panels), 3.6)
    from matplotlib.ticker import MaxNLocator

    marker = "o" if len(epochs) <= 25 else ""  # a single epoch is a point, which a line hides
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        curves = {"training": columns[name]}
        if f"val_{name}" in columns:
            curves["validation"] = columns[f"val_{name}"]
        for label, values in curves.items():
            axes.plot(epochs, values, label=label, marker=marker, markersize=3.5, linewidth=1.6)
        axes.set_xlabel("epoch")
        axes.set_ylabel("learning rate" if name == "lr" else name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if name != "lr":
            axes.legend(frameon=False)
        if _is_wide([value for values in curves.values() for value in values]):
            axes.set_yscale("log")
    if path is not None:
        figure.savefig(path, dpi=150)
    return figure


def _is_wide(values: Sequence[float]) -> bool:
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) > 100 * min(finite)
