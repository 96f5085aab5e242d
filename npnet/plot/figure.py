"""An empty matplotlib figure, apart from `pyplot` and its backends."""

from __future__ import annotations

from typing import Any

from npnet.errors import MissingDependency


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure.

    Parameters
    ----------
    width, height : float
        In inches.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependency
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            'pictures need matplotlib: pip install "npnet-framework[plot]"'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")
