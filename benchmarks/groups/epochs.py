"""Whole epochs over MNIST, which every contender holds in memory and shuffles each time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from benchmarks import problem
from benchmarks.case import Case, Measure, Options, timed
from benchmarks.check import accuracy
from benchmarks.contenders import NAMES, Contender
from benchmarks.isolate import Children
from benchmarks.problem import MLP
from benchmarks.results import Result
from benchmarks.timing import Run, reason

PAIRS = ("npnet/torch-fused", "npnet-fast/torch-fused", "npnet/bare", "npnet-fast/bare")
ROUNDS, QUICK_ROUNDS = 7, 3
"""At most so many: an epoch is long, and already an average over hundreds of steps."""


def cases(options: Options) -> Iterator[Case]:
    """Yield a case for each network that MNIST fits; in a hurry with a twentieth of the images."""
    images = 3000 if options.quick else None
    for mlp in options.mlps or [MLP((784, 256, 128, 10), 128)]:
        if mlp.sizes[0] == 784 and mlp.sizes[-1] >= 10:
            name = f"mnist-{mlp}" + (f"-first-{images}" if images else "")
            yield Case("epochs", name, NAMES, _measure(mlp, images), PAIRS)


def _measure(mlp: MLP, images: int | None) -> Measure:
    def measure(
        case: Case, ready: dict[str, Contender], options: Options, children: Children
    ) -> dict[str, Result]:
        try:
            _, test = problem.mnist(images)
        except Exception as error:  # without data there is nothing to measure
            return {name: Result("skipped", f"no MNIST: {reason(error)}") for name in ready}

        def learned(run: Run) -> str:
            if run.result is None:
                return ""
            return f"test accuracy {accuracy(run.result(), *test):.3f} in the end"

        rounds = min(options.pace.rounds, QUICK_ROUNDS if options.quick else ROUNDS)
        # A turn is one epoch, and none is thrown away before it.
        pace = dataclasses.replace(options.pace, rounds=rounds, turn=0, least=1, settle=0, warm=0)
        race = timed("epoch", mlp, images, after=learned)
        return race(case, ready, dataclasses.replace(options, pace=pace), children)

    return measure
