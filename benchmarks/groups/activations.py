"""Activations alone, of 128 rows of 512 float32 numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.workloads import ACTIVATIONS, Activation

CONTENDERS = ("npnet", "npnet-fast", "torch")
PAIRS = ("npnet/torch", "npnet-fast/torch")
TARGETS = dict.fromkeys(PAIRS, 1.2)
_TURN = 0.02


def cases(options: Options) -> Iterator[Case]:
    """Yield two cases for each activation; for few of them in a hurry, none for a given network."""
    if options.networks:
        return
    pace = dataclasses.replace(options.pace, turn=min(options.pace.turn, _TURN))
    for name in ("ReLU", "GELU", "Tanh") if options.quick else ACTIVATIONS:
        for backward in (False, True):
            workload = Activation(name, backward)
            measure = timed(workload, pace)
            yield Case("activations", str(workload), CONTENDERS, measure, PAIRS, TARGETS)
