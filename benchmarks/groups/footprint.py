"""Import time over NumPy's, size on disk, and peak memory of training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import footprint
from benchmarks.case import OURS, Case, Measure, Options, Result
from benchmarks.contenders import NAMES, Contender, Skip
from benchmarks.isolate import Child, Children
from benchmarks.problem import MLP
from benchmarks.timing import reason

MODULES = {
    "npnet": "npnet",
    "torch": "torch",
    "sklearn": "sklearn.neural_network",
    "jax": "jax",
    "keras": "keras",
}
RIVALS = tuple(name for name in NAMES if name not in (*OURS, "bare", "torch"))
IMPORT_ROUNDS, QUICK_ROUNDS = 7, 2
IMPORT_TARGET = 0.030
MEMORY_TARGET = 1.3


def cases(options: Options) -> Iterator[Case]:
    """Yield the cases; peak memory for a large network and for a large batch."""
    targets = {"npnet": IMPORT_TARGET}
    pairs = ("npnet", "npnet/torch")
    yield Case("footprint", "import-time", tuple(MODULES), _imports, pairs, targets)
    sized = (*MODULES, "npnet-fast")
    pairs = ("npnet/torch", "npnet-fast/torch")
    yield Case("footprint", "installed-size", sized, _sizes, pairs, unit="B")
    large, wide = MLP((784, 1024, 1024, 1024, 10), 512), MLP((784, 256, 128, 10), 16384)
    for mlp in options.mlps or ([large] if options.quick else [large, wide]):
        yield from _memory_cases(mlp)


def _memory_cases(mlp: MLP) -> Iterator[Case]:
    ways = (("peak-rss", footprint.peak_rss), ("tracemalloc", footprint.peak_traced))
    targets = {f"{name}/needed": MEMORY_TARGET for name in OURS}
    for way, function in ways:
        # The arrays of the others are not Python's memory.
        rivals = () if way == "tracemalloc" else RIVALS
        contenders = (*OURS, *rivals)
        pairs = tuple(f"{name}/needed" for name in contenders)
        measure = _memory(function, mlp)
        yield Case("footprint", f"{way}-{mlp}", contenders, measure, pairs, targets, unit="B")


def _imports(
    case: Case, ready: dict[str, Contender], options: Options, children: Children
) -> dict[str, Result]:
    """Import in fresh processes; NumPy's own import stands beside the times over it."""
    results = {name: Result("ok") for name in ready}
    numpy = Result("ok")
    order = random.Random(0)
    rounds = min(options.pace.rounds, QUICK_ROUNDS if options.quick else IMPORT_ROUNDS)
    # The first round only fills the file cache; in a hurry the groups before have done that.
    skip = 0 if options.quick else 1
    for round_ in range(rounds + skip):
        alone: list[float] = []
        running = [name for name in ready if results[name].status == "ok"]
        for name in order.sample(running, len(running)):
            try:
                before, over = footprint.import_seconds(MODULES[name], _backend(ready[name]))
            except Exception as error:  # a rival's failure is a result
                results[name] = Result("failed", reason(error))
                continue
            if round_ >= skip:
                results[name].samples.append(over)
                alone.append(before)
        if alone:
            numpy.samples.append(min(alone))
    return {**results, "numpy": numpy} if numpy.samples else results


def _sizes(
    case: Case, ready: dict[str, Contender], options: Options, children: Children
) -> dict[str, Result]:
    results = {}
    for name, who in ready.items():
        if name in ("npnet", "npnet-fast"):
            extra = "fast" if name == "npnet-fast" else None
            size = footprint.installed_bytes(footprint.requirements_of_npnet(extra), "npnet")
        else:
            parts = filter(None, [who.distribution, _backend(who)])
            size = footprint.installed_bytes(parts)
        results[name] = Result("ok", "", [float(size)])
    return results


def _backend(who: Contender) -> str | None:
    return getattr(who, "backend", None)


def _memory(function: Callable[..., Any], mlp: MLP) -> Measure:
    def measure(
        case: Case, ready: dict[str, Contender], options: Options, children: Children
    ) -> dict[str, Result]:
        results = {}
        for name in ready:
            child = Child(name)
            try:
                results[name] = Result("ok", "", [float(child.ask(function, mlp))])
            except Skip as skip:
                results[name] = Result("skipped", str(skip))
            except Exception as error:  # a rival's failure is a result
                results[name] = Result("failed", reason(error))
            finally:
                child.close()
        return {**results, "needed": Result("ok", "", [float(mlp.needed)])}

    return measure
