"""The groups of cases; one file a group, each with ``cases(options)``."""

from __future__ import annotations

from benchmarks.case import Case, Options
from benchmarks.groups import (
    activations,
    convolutions,
    epochs,
    footprint,
    inference,
    optimizers,
    scaling,
    steps,
)


def all_cases(options: Options) -> list[Case]:
    """Return every case, in the order of the report."""
    groups = (steps, convolutions, epochs, inference, activations, optimizers, footprint, scaling)
    return [case for group in groups for case in group.cases(options)]
