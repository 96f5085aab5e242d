"""Optimizers alone: updates with fixed gradients, of as many parameters as a network has."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.check import check_updates
from benchmarks.contenders import NAMES
from benchmarks.problem import MLP, OPTIMIZERS

PAIRS = ("npnet/torch-fused", "npnet-fast/torch-fused")


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each method; for Adam alone in a hurry."""
    contenders = tuple(name for name in NAMES if name not in ("bare", "torch-compile", "keras"))
    for mlp in options.mlps or [MLP((784, 256, 128, 10), 128)]:
        for method in ("adam",) if options.quick else OPTIMIZERS:
            check = functools.partial(check_updates, method=method, mlp=mlp)
            measure = timed("optimize", method, mlp, check=check)
            yield Case("optimizers", f"{method}@{mlp.parameters}", contenders, measure, PAIRS)
