"""Messages to the user that are no errors."""

import sys

_shown: set[str] = set()


def warn_once(message: str) -> None:
    """Print a message on the standard error stream, but never the same one again."""
    if message not in _shown:
        _shown.add(message)
        print(f"npnet: {message}", file=sys.stderr, flush=True)
