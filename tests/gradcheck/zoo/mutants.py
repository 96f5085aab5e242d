"""The register of planted bugs: npnet's own layers and losses, each with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Mutant(NamedTuple):
    """A layer with one bug.

    `says` are the kinds of diagnosis or the names of broken rules of which at least one must be
    in the report; empty if the bug has no name, so that finding it is enough.
    """

    make: Callable[[], Any]
    inputs: tuple[Any, ...]
    says: tuple[str, ...]
    bug: str


MUTANTS: dict[str, Mutant] = {}


def planted(*inputs: Any, says: tuple[str, ...] | str = (), bug: str = "") -> Callable[[Any], Any]:
    """Register the decorated class or function as a mutant that is checked with `inputs`."""

    def register(make: Any) -> Any:
        name = make.__name__
        assert name not in MUTANTS, name
        names = (says,) if isinstance(says, str) else says
        MUTANTS[name] = Mutant(make, inputs, names, bug or (make.__doc__ or "").strip())
        return make

    return register


def normal(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Any:
    return shift + scale * np.random.default_rng(7).normal(size=shape)
