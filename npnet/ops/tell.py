"""Messages to the user that are no errors."""

import sys

_told: set[str] = set()


def say_once(message: str) -> None:
    """Print a message on the standard error stream, but never the same one again.

    Parameters
    ----------
    message : str
    """
    if message not in _told:
        _told.add(message)
        print(f"npnet: {message}", file=sys.stderr, flush=True)
