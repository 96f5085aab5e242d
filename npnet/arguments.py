"""Checks of the numbers that constructors are given, with one wording for all errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from npnet.errors import ArgumentError


def real_number(
    owner: Any, name: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return a finite number from `low` to `high`.

    Parameters
    ----------
    owner : object
        Whose argument it is; its class opens the error.
    name : str
        The argument.
    value : float
    low, high : float
        Both included.

    Returns
    -------
    float

    Raises
    ------
    ArgumentError
        If it is no number, not finite, or out of range.
    """
    is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and low <= value <= high:
        return float(value)
    bounds = [f"from {low:g}"] if low > -math.inf else []
    bounds += [f"to {high:g}"] if high < math.inf else []
    kind = " ".join(["a finite number", *bounds])
    raise ArgumentError(f"{type(owner).__name__} expects {name} to be {kind}, got {value!r}")


def whole_number(owner: Any, name: str, value: Any, low: int | None = None) -> int:
    """Return an integer of at least `low`.

    Parameters
    ----------
    owner : object
        Whose argument it is; its class opens the error.
    name : str
        The argument.
    value : int
    low : int, optional

    Returns
    -------
    int

    Raises
    ------
    ArgumentError
        If it is no integer, or too small.
    """
    is_integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if is_integer and (low is None or value >= low):
        return int(value)
    kind = "a positive integer" if low == 1 else "an integer"
    kind += f" of at least {low}" if low not in (None, 1) else ""
    raise ArgumentError(f"{type(owner).__name__} expects {name} to be {kind}, got {value!r}")
