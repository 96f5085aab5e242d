"""Optimizers alone: updates with fixed gradients, of as many parameters as a network has."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.contenders import NAMES
from benchmarks.workloads import MIDDLE, OPTIMIZERS, Updates

PAIRS = ("npnet/torch-fused", "npnet-fast/torch-fused")


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each method; for Adam alone in a hurry."""
    contenders = tuple(name for name in NAMES if name not in ("bare", "torch-compile", "keras"))
    for network in options.networks or [MIDDLE]:
        for method in ("adam",) if options.quick else OPTIMIZERS:
            workload = Updates(method, network.shapes)
            yield Case("optimizers", str(workload), contenders, timed(workload), PAIRS)
