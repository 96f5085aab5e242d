"""History, the record of a training: one value of everything for each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from npnet.arguments import checked_call, instance, refusal, shown
from npnet.configured import Configured
from npnet.errors import ArgumentError, UnknownNameError
from npnet.training.names import suggest

if TYPE_CHECKING:
    import os


_AXES = "the figure is returned: figure.axes[0] has matplotlib's methods, such as set_yscale"
_PLOT = {
    "log": f"what spans two orders of magnitude gets a logarithmic axis; {_AXES}",
    **dict.fromkeys(("logy", "ax", "figsize", "title", "y", "x", "metrics"), _AXES),
    "filename": "it is called path",
}


class History(Configured, dict[str, list[float]]):
    """Values by epoch: ``history["val_loss"]`` is a list with one number for each epoch.

    The keys are ``"epoch"`` (counted from 1), ``"loss"``, the metrics' names, each of these with
    ``"val_"`` before it where there are validation data, and ``"lr"``, the learning rate with
    which the epoch began. All lists have the same length; an epoch without a value has NaN.
    ``pandas.DataFrame(history)`` is the same as a table. The lists are copies.

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

    habits: ClassVar[Mapping[str, str]] = {
        "history": 'it is the record itself: history["loss"]',
        "epoch": 'the epochs\' numbers are history["epoch"]',
        "loss": 'the losses are history["loss"]',
        "params": "it keeps values by epoch alone",
        "model": "it is trainer.model",
    }

    def __init__(self) -> None:
        self.interrupted = False
        dict.__setitem__(self, "epoch", [])

    def append(self, logs: Mapping[str, float]) -> None:
        """Add an epoch.

        Parameters
        ----------
        logs : mapping of str to float
            Its values, ``"epoch"`` among them.

        Raises
        ------
        ArgumentError
            If it is something else.
        """
        columns = dict(instance(self, "logs", logs, Mapping))
        if "epoch" not in columns:
            raise refusal(self, "logs", "values with the number of their 'epoch'", logs)
        for name, value in columns.items():
            number = np.ndim(value) == 0 and np.asarray(value).dtype.kind in "fiu"
            if not isinstance(name, str) or not number:
                raise refusal(self, f"logs[{name!r}]", "a number under a name", value)
        before = len(dict.__getitem__(self, "epoch"))
        for name in columns:
            dict.setdefault(self, name, [math.nan] * before)
        for name, column in dict.items(self):
            column.append(columns.get(name, math.nan))

    @checked_call("history.plot", _PLOT)
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
        DataError
            If the file cannot be written.
        MissingDependency
            If matplotlib is not installed.
        """
        from npnet.plot.curves import plot_curves

        return plot_curves(self, path)

    def __getitem__(self, name: str) -> list[float]:
        if not isinstance(name, str) or name not in self:
            text = f"the history has no {shown(name)}; it has {', '.join(self)}"
            hint = suggest(name, self.keys())
            raise UnknownNameError(f"{text}; {hint}" if hint else text)
        return list(super().__getitem__(name))

    def __iter__(self) -> Iterator[str]:
        return super().__iter__()  # without it, dict(history) would not copy the lists

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ArgumentError("Trainer.fit writes the history; change a copy: dict(history)")

    if not TYPE_CHECKING:
        get, items, values = Mapping.get, Mapping.items, Mapping.values  # by way of __getitem__
        __setitem__ = __delitem__ = __ior__ = _refuse
        clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (dict(self), self.interrupted)

    def __repr__(self) -> str:
        count = len(self["epoch"])
        title = f"History of {count} epoch{'' if count == 1 else 's'}"
        if self.interrupted:
            title += ", interrupted"
        if not count:
            return title
        chosen = list(range(count)) if count <= 10 else [0, 1, 2, -3, -2, -1]
        rows = [list(self)]
        rows += [[_text(column[i]) for column in dict.values(self)] for i in chosen]
        if len(chosen) < count:
            rows.insert(4, ["..."] * len(self))
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = ("  ".join(map(str.rjust, row, widths)) for row in rows)
        return "\n".join([title, *lines])


def _restore(columns: Mapping[str, list[float]], interrupted: bool) -> History:
    history = History()
    dict.update(history, columns)
    history.interrupted = interrupted
    return history


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"
