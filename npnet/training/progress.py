"""Progress, a bar over all batches of a training, or nothing where nobody would see it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from npnet.arguments import flag
from npnet.training.warn import warn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npnet.training.metric_tracker import MetricTracker


class Progress:
    """Show epoch, speed, loss and metrics by tqdm on stderr.

    Parameters
    ----------
    show : bool or None
        None shows the bar if stderr is a terminal and tqdm is installed.
    total : int or None
        Number of batches to come, if it is known.
    """

    __slots__ = ("_bar", "_logs")

    def __init__(self, show: bool | None, total: int | None) -> None:
        self._bar = _make_bar(show, total)
        self._logs: dict[str, float] = {}

    def begin_epoch(self, number: int, last: int) -> None:
        """Name the epoch that begins."""
        if self._bar is not None:
            self._bar.set_description(f"epoch {number}/{last}", refresh=False)

    def advance(self, tracker: MetricTracker) -> None:
        """Count a batch; the running loss is only written out when the bar is drawn."""
        if self._bar is not None and self._bar.update():
            self._set(loss=tracker.loss)

    def end_epoch(self, logs: Mapping[str, float]) -> None:
        """Note the results of an epoch."""
        if self._bar is not None:
            self._logs = {name: logs[name] for name in logs if name not in ("epoch", "lr")}
            self._set()

    def close(self) -> None:
        """Draw the bar a last time and leave it."""
        if self._bar is not None:
            self._bar.close()

    def _set(self, **running: float) -> None:
        logs = {**self._logs, **running}
        text = ", ".join(f"{name} {value:.4g}" for name, value in logs.items())
        self._bar.set_postfix_str(text, refresh=False)


def _make_bar(show: bool | None, total: int | None) -> Any:
    if show is None:
        wanted = sys.stderr is not None and sys.stderr.isatty()
    else:
        wanted = flag("Trainer.fit", "progress", show)
    if not wanted:
        return None
    try:
        from tqdm import tqdm
    except ImportError:  # a bar is a comfort; training goes on without it
        if show:
            warn("progress=True needs tqdm, which is not installed: pip install tqdm")
        return None
    return tqdm(total=total, unit="batch", dynamic_ncols=True)
