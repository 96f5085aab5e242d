"""The contenders by name; one file a framework."""

from __future__ import annotations

import importlib

from benchmarks.contenders.base import Contender

_FILES = {
    "npnet": "npnet",
    "npnet-fast": "npnet",
    "bare": "bare",
    "torch": "torch",
    "torch-fused": "torch",
    "torch-compile": "torch",
    "sklearn": "sklearn",
    "jax": "jax",
    "keras": "keras",
}

NAMES = tuple(_FILES)
"""Every contender, in the order of the tables."""


def contender(name: str) -> Contender:
    """Return a contender; its framework is not imported yet."""
    file = importlib.import_module(f"benchmarks.contenders.{_FILES[name]}")
    found: Contender = file.make(name)
    return found


__all__ = ["NAMES", "Contender", "contender"]
