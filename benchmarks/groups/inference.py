"""Inference: the outputs of a network for 1, 32 and 1,024 rows."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.check import check_outputs
from benchmarks.contenders import NAMES
from benchmarks.problem import MLP

PAIRS = ("npnet/torch", "npnet-fast/torch", "npnet/bare", "npnet-fast/bare")
TARGETS = {"784-256-128-10@1": {"npnet/torch": 0.35, "npnet-fast/torch": 0.35}}
ROWS = (1, 32, 1024)


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each number of rows."""
    contenders = tuple(name for name in NAMES if name != "torch-fused")
    for network in options.mlps or [MLP((784, 256, 128, 10), 1)]:
        for rows in ROWS:
            mlp = MLP(network.sizes, rows)
            measure = timed("predict", mlp, check=functools.partial(check_outputs, mlp=mlp))
            targets = TARGETS.get(str(mlp), {})
            yield Case("inference", str(mlp), contenders, measure, PAIRS, targets)
