"""`warn`, the one way in which training speaks of what is no error."""

from __future__ import annotations

import sys
import warnings


def warn(message: str) -> None:
    """Issue a RuntimeWarning at the line of the user's code that called npnet."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "npnet":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, RuntimeWarning, stacklevel=level)
