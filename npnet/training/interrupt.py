"""`DeferredInterrupt` holds Ctrl-C back until a batch is done, so that no update is torn."""

from __future__ import annotations

import threading
from typing import Any, Self


class DeferredInterrupt:
    """While entered, note the first Ctrl-C instead of raising it; a second one raises at once.

    Only in the main thread, and only where Python's own handler is in charge: not where somebody
    else handles the signal or it is ignored, as in a shell's background job. Python's handler is
    back when the block is left.

    Attributes
    ----------
    pending : bool
        Whether Ctrl-C was pressed.

    Examples
    --------
    >>> with DeferredInterrupt() as interrupt:
    ...     for batch in range(3):
    ...         interrupt.check()
    """

    __slots__ = ("_installed", "pending")

    def __init__(self) -> None:
        self.pending = False
        self._installed = False

    def __enter__(self) -> Self:
        """Take over the signal."""
        import signal

        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._installed = True
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        """Hand it back."""
        if self._installed:
            import signal

            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _note(self, number: int, frame: Any) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.pending:
            raise KeyboardInterrupt
