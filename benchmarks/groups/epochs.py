"""Whole epochs over MNIST, which every contender holds in memory and shuffles each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.contenders import NAMES
from benchmarks.workloads import MIDDLE, Epochs

PAIRS = ("npnet/torch-fused", "npnet-fast/torch-fused", "npnet/bare", "npnet-fast/bare")
ROUNDS, QUICK_ROUNDS = 7, 3
"""At most so many: an epoch is long, and already an average over hundreds of steps."""


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each network that MNIST fits; in a hurry with a twentieth of the images."""
    rounds = min(options.pace.rounds, QUICK_ROUNDS if options.quick else ROUNDS)
    # A turn is one epoch, and none is thrown away before it.
    pace = dataclasses.replace(options.pace, rounds=rounds, turn=0, least=1, settle=0, warm=0)
    for network in options.networks or [MIDDLE]:
        if network.sizes[0] == 784 and network.sizes[-1] >= 10:
            workload = Epochs(network, 3000 if options.quick else None)
            yield Case("epochs", str(workload), NAMES, timed(workload, pace), PAIRS)
