"""Training steps: forward, softmax cross-entropy, backward, Adam, in float32."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.contenders import NAMES
from benchmarks.workloads import MLP

PAIRS = ("npnet/torch-fused", "npnet-fast/torch-fused", "npnet/bare", "npnet-fast/bare")

TARGETS = {
    "2-16-16-2@32": (0.18, 0.07, None),
    "64-64-10@64": (0.20, 0.10, None),
    "784-128-10@128": (0.85, 0.45, 1.25),
    "784-256-128-10@128": (0.95, 0.55, 1.25),
    "100-200-100-10@500": (0.85, 0.50, 1.25),
    "784-512-512-10@256": (1.15, 0.85, 1.15),
    "784-1024-1024-1024-10@512": (1.15, 0.95, 1.10),
}
"""At most: npnet over torch-fused, npnet-fast over torch-fused, npnet-fast over bare."""

LARGEST = "784-1024-1024-1024-10@512"


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each network; in a hurry without the largest one."""
    names = [name for name in TARGETS if not (options.quick and name == LARGEST)]
    usual = (name.split("@") for name in names)
    for network in options.networks or [MLP.parse(sizes, int(batch)) for sizes, batch in usual]:
        name = str(network)
        numpy, fast, limit = TARGETS.get(name, (None, None, None))
        wanted = {PAIRS[0]: numpy, PAIRS[1]: fast, PAIRS[3]: limit}
        targets = {pair: most for pair, most in wanted.items() if most is not None}
        yield Case("steps", name, NAMES, timed(network), PAIRS, targets)
