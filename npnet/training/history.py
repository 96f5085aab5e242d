"""History, the record of a training: one value of everything for each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os


class History(Mapping[str, list[float]]):
    """Values by epoch: ``history["val_loss"]`` is a list with one number for each epoch.

    The keys are ``"epoch"`` (counted from 1), ``"loss"``, the metrics' names, each of these with
    ``"val_"`` before it where there are validation data, and ``"lr"``, the learning rate with
    which the epoch began. All lists have the same length; an epoch without a value has NaN.

    Attributes
    ----------
    interrupted : bool
        Whether the last `Trainer.fit` was ended by Ctrl-C.

    Examples
    --------
    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 0.5})
    >>> history.append({"epoch": 2, "loss": 0.25, "val_loss": 0.375})
    >>> history["val_loss"]
    [nan, 0.375]
    >>> history
    History of 2 epochs
    epoch  loss  val_loss
        1   0.5       nan
        2  0.25     0.375
    """

    __slots__ = ("_columns", "interrupted")

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {"epoch": []}
        self.interrupted = False

    def append(self, logs: Mapping[str, float]) -> None:
        """Add an epoch.

        Parameters
        ----------
        logs : mapping of str to float
            Its values, ``"epoch"`` among them.
        """
        before = len(self._columns["epoch"])
        for name in logs:
            self._columns.setdefault(name, [math.nan] * before)
        for name, column in self._columns.items():
            column.append(logs.get(name, math.nan))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the learning curves, training beside validation.

        Parameters
        ----------
        path : str or path-like, optional
            Where to save the picture; the suffix decides on the format.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ArgumentError
            If there is no epoch yet.
        MissingDependency
            If matplotlib is not installed.
        """
        from npnet.plot.curves import plot_curves

        return plot_curves(self, path)

    def __getitem__(self, name: str) -> list[float]:
        if name not in self._columns:
            raise KeyError(f"the history has no {name!r}; it has {', '.join(self._columns)}")
        return list(self._columns[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        count = len(self._columns["epoch"])
        title = f"History of {count} epoch{'' if count == 1 else 's'}"
        if self.interrupted:
            title += ", interrupted"
        if not count:
            return title
        shown = list(range(count)) if count <= 10 else [0, 1, 2, -3, -2, -1]
        rows = [list(self)]
        rows += [[_text(column[i]) for column in self._columns.values()] for i in shown]
        if len(shown) < count:
            rows.insert(4, ["..."] * len(self))
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.rjust, row, widths)) for row in rows)
        return "\n".join([title, *lines])


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"
