"""`plot_curves` draws learning curves: one panel for each quantity, training beside validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.arguments import refusal
from npnet.convert import real_array
from npnet.errors import ArgumentError, DataError
from npnet.plot.figure import check_path, new_figure, save_figure

if TYPE_CHECKING:
    import os

    from npnet.typing import Array


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
        If there is no epoch or no column to draw, or an argument is of another kind.
    DataError
        If the columns have different lengths, or the file cannot be written.
    MissingDependency
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = plot_curves({"epoch": [1, 2], "loss": [0.9, 0.5], "val_loss": [0.8, 0.6]})
    >>> [line.get_label() for line in figure.axes[0].lines]
    ['training', 'validation']
    """
    values_of = _checked(columns)
    check_path("plot_curves", path)
    epochs = values_of["epoch"]
    panels = [name for name in values_of if not name.startswith("val_") and name != "epoch"]
    if len(panels) > 1 and "lr" in panels and len(set(values_of["lr"].tolist())) == 1:
        panels.remove("lr")
    if not panels:
        raise ArgumentError("there is no column to plot beside the epochs")
    figure = new_figure(4.8 * len(panels), 3.6)
    from matplotlib.ticker import MaxNLocator

    marker = "o" if len(epochs) <= 25 else ""  # a single epoch is a point, which a line hides
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        curves = {"training": values_of[name]}
        if f"val_{name}" in values_of:
            curves["validation"] = values_of[f"val_{name}"]
        for label, values in curves.items():
            axes.plot(epochs, values, label=label, marker=marker, markersize=3.5, linewidth=1.6)
        axes.set_xlabel("epoch")
        axes.set_ylabel("learning rate" if name == "lr" else name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if name != "lr":
            axes.legend(frameon=False)
        if _is_wide(np.concatenate(list(curves.values()))):
            axes.set_yscale("log")
    if path is not None:
        save_figure(figure, path)
    return figure


def _checked(columns: Any) -> dict[str, Array]:
    """Return the columns as vectors of the same length."""
    if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns):
        raise refusal("plot_curves", "columns", "a History, or lists of numbers by name", columns)
    if "epoch" not in columns:
        raise refusal("plot_curves", "columns", "values with their 'epoch'", list(columns))
    checked = {name: real_array(values, name) for name, values in columns.items()}
    shapes = {name: array.shape for name, array in checked.items()}
    if set(shapes.values()) != {(np.size(checked["epoch"]),)}:
        raise DataError(f"expected one value of each column for each epoch, got shapes {shapes}")
    if not len(checked["epoch"]):
        raise ArgumentError("there is no epoch to plot; train first")
    return checked


def _is_wide(values: Array) -> bool:
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() > 100 * finite.min())
