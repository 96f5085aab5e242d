"""`DeferredInterrupt` holds Ctrl-C back until a batch is done, so that no update is torn."""

from __future__ import annotations

import threading
from typing import Any, Self


class DeferredInterrupt:
    """While entered, note the first Ctrl-C instead of raising it; a second one raises at once.

    Only in the main thread, and only if nobody else handles the signal; Python's own handler is
    back when the block is left.

    Attributes
    ----------
    pending : bool
        Whether Ctrl-C was pressed.

    Examples
    --------
    >>> import signal
    >>> with DeferredInterrupt() as interrupt:
    ...     signal.raise_signal(signal.SIGINT)
    ...     interrupt.pending
    True
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
