"""Training steps of small convolutional networks, and their layers alone, in float32."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.case import Case, Options, timed
from benchmarks.workloads import CNN, CONVOLUTIONS, LAYERS, NETWORKS, Convolution, LayerPass

CONTENDERS = ("npnet", "npnet-fast", "bare", "torch")
PAIRS = ("npnet/torch", "npnet-fast/torch", "npnet/bare", "npnet-fast/bare")
TARGETS = {"cnn-3x3": (1.1, 0.8), "cnn-5x5-batch-norm": (1.5, 1.1), "cnn-strided": (1.5, 1.1)}
"""At most: npnet over torch, npnet-fast over torch."""


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each; in a hurry for one of both, none for a given network."""
    if options.networks:
        return
    for name in ("cnn-strided",) if options.quick else NETWORKS:
        workload = CNN(name)
        targets = dict(zip(PAIRS, TARGETS[name], strict=False))
        yield Case("convolutions", str(workload), CONTENDERS, timed(workload), PAIRS, targets)
    for name in ("1x1",) if options.quick else CONVOLUTIONS:
        convolution = Convolution(name)
        yield Case("convolutions", str(convolution), CONTENDERS, timed(convolution), PAIRS)
    for name in () if options.quick else LAYERS:
        layer = LayerPass(name)
        yield Case("convolutions", str(layer), CONTENDERS, timed(layer), PAIRS)
