"""A matplotlib figure, made and saved apart from `pyplot` and its backends."""

from __future__ import annotations

import os
from typing import Any

from npnet.arguments import refusal
from npnet.errors import DataError, MissingDependency


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of a size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependency(
            'pictures need matplotlib: pip install "npnet-framework[plot]"'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def check_path(owner: str, path: Any) -> None:
    """Refuse what is no path of a picture, before anything is drawn."""
    if path is None:
        return
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise refusal(owner, "path", "a path, such as 'curves.png'", path)
    known = new_figure(1, 1).canvas.get_supported_filetypes()
    suffix = os.path.splitext(os.fspath(path))[1].lstrip(".").lower()
    if suffix not in ("", *known):
        kind = f"a path that ends with .{', .'.join(sorted(known))}"
        raise refusal(owner, "path", kind, path)


def save_figure(figure: Any, path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write a figure to a file.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or path-like
        The suffix decides on the format.
    dpi : int
        Pixels of an inch.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=dpi)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot write {os.fspath(path)}: {reason}") from error
