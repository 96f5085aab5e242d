"""Curves: the time of a training step over width, depth and batch size, beside the limit."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.groups.steps import PAIRS
from benchmarks.workloads import MIDDLE, MLP

CONTENDERS = ("npnet", "npnet-fast", "bare", "torch-fused")
QUICK_CONTENDERS = CONTENDERS[:3]  # they share their threads, and need not wait for each other
WIDTHS, MORE_WIDTHS = (16, 128, 1024), (32, 64, 256, 512)
DEPTHS, MORE_DEPTHS = (1, 4, 16), (2, 8)
BATCHES, MORE_BATCHES = (1, 32, 1024), (4, 16, 64, 128, 256, 512)


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each point; fewer points and contenders in a hurry.

    The width and the depth are those of 256-...-10 networks at batch 128; the batch size is that
    of 784-256-128-10, or of the networks that were asked for.
    """
    full = not options.quick
    contenders = CONTENDERS if full else QUICK_CONTENDERS
    for width in sorted(WIDTHS + MORE_WIDTHS * full):
        yield _case(contenders, "width", width, MLP((256, width, width, 10), 128))
    for depth in sorted(DEPTHS + MORE_DEPTHS * full):
        yield _case(contenders, "depth", depth, MLP((256, *[128] * depth, 10), 128))
    for network in options.networks or [MIDDLE]:
        for batch in sorted(BATCHES + MORE_BATCHES * full):
            yield _case(contenders, "batch", batch, MLP(network.sizes, batch))


def _case(contenders: tuple[str, ...], curve: str, value: int, network: MLP) -> Case:
    """Return one point; its name is curve=value:network, as `pictures` reads it."""
    name = {"width": "256-w-w-10", "depth": "256-128*d-10"}.get(curve, network.name)
    return Case("scaling", f"{curve}={value}:{name}", contenders, timed(network), PAIRS)
