"""Inference: the outputs of a network for 1, 32 and 1,024 rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.contenders import NAMES
from benchmarks.workloads import MIDDLE, Inference

PAIRS = ("npnet/torch", "npnet-fast/torch", "npnet/bare", "npnet-fast/bare")
TARGETS = {"784-256-128-10@1": {"npnet/torch": 0.35, "npnet-fast/torch": 0.35}}
ROWS = (1, 32, 1024)


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each number of rows."""
    contenders = tuple(name for name in NAMES if name != "torch-fused")
    for network in options.networks or [MIDDLE]:
        for rows in ROWS:
            workload = Inference(dataclasses.replace(network, batch=rows))
            name = str(workload)
            yield Case("inference", name, contenders, timed(workload), PAIRS, TARGETS.get(name, {}))
