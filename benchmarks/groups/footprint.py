"""Import time over NumPy's, size on disk, and peak memory of training."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from benchmarks import footprint
from benchmarks.case import OURS, Case, Measure, Options, attempt
from benchmarks.contenders import NAMES, Contender
from benchmarks.isolate import Child, Children
from benchmarks.results import Result
from benchmarks.timing import reason
from benchmarks.workloads import MLP, Workload

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
SMALL = MLP((784, 64, 10), 128)
"""What is trained before memory is watched, so that everything is loaded."""


def cases(options: Options) -> Iterator[Case]:
    """Yield the cases; peak memory for a large network and for a large batch."""
    targets = {"npnet": IMPORT_TARGET}
    pairs = ("npnet", "npnet/torch")
    yield Case("footprint", "import-time", tuple(MODULES), _imports, pairs, targets)
    sized = (*MODULES, "npnet-fast")
    pairs = ("npnet/torch", "npnet-fast/torch")
    yield Case("footprint", "installed-size", sized, _sizes, pairs, unit="B")
    large, wide = MLP((784, 1024, 1024, 1024, 10), 512), MLP((784, 256, 128, 10), 16384)
    for network in options.networks or ([large] if options.quick else [large, wide]):
        yield from memory_cases(network, SMALL, options.quick)


def memory_cases(workload: Workload, small: Workload, quick: bool) -> Iterator[Case]:
    """Yield the cases of a workload's peak memory, where the small workload ran before."""
    ways = [("peak-rss", footprint.peak_rss)]
    if not quick:
        ways.append(("tracemalloc", footprint.peak_traced))
    targets = {f"{name}/needed": MEMORY_TARGET for name in OURS}
    for way, function in ways:
        # The arrays of the others are not Python's memory.
        rivals = () if way == "tracemalloc" else RIVALS
        contenders = (*OURS, *rivals)
        pairs = tuple(f"{name}/needed" for name in contenders)
        measure = _memory(function, workload, small)
        yield Case("footprint", f"{way}-{workload}", contenders, measure, pairs, targets, unit="B")


def _imports(
    ready: dict[str, Contender], options: Options, children: Children
) -> dict[str, Result]:
    """Import in fresh processes; NumPy's own import stands beside the times over it."""
    order = random.Random(0)
    results = {name: Result("ok") for name in ready}
    numpy: list[float] = []
    rounds = min(options.pace.rounds, QUICK_ROUNDS if options.quick else IMPORT_ROUNDS)
    if options.quick and "npnet" in ready:  # a fresh clone has no bytecode yet
        footprint.import_seconds("npnet")
    # The first round only fills the file cache; in a hurry the groups before have done that.
    for round_ in range(rounds) if options.quick else range(-1, rounds):
        alone = []
        for name in order.sample(list(ready), len(ready)):
            if results[name].ok:
                try:
                    before, over = footprint.import_seconds(MODULES[name], _backend(ready[name]))
                except Exception as error:  # a rival's failure is a result
                    results[name] = Result("failed", reason(error))
                    continue
                alone.append(before)
                if round_ >= 0:
                    results[name].samples.append(over)
        if alone and round_ >= 0:
            numpy.append(min(alone))
    return results | ({"numpy": Result("ok", "", numpy)} if numpy else {})


def _sizes(ready: dict[str, Contender], options: Options, children: Children) -> dict[str, Result]:
    def size(who: Contender) -> Result:
        distributions, package = [who.distribution], None
        if who.name in OURS:
            extra = "fast" if who.name == "npnet-fast" else None
            distributions, package = footprint.requirements_of_npnet(extra), "npnet"
        if backend := _backend(who):
            distributions.append(backend)
        absent = footprint.not_installed(distributions)
        note = f"without {', '.join(absent)}, not installed here" if absent else ""
        total = footprint.installed_bytes(distributions, package)
        return Result("ok", "", [float(total)], note)

    return {name: attempt(size, who) for name, who in ready.items()}


def _backend(who: Contender) -> str | None:
    return getattr(who, "backend", None)


def _memory(function: Callable[..., int], workload: Workload, small: Workload) -> Measure:
    def peak(who: Contender) -> Result:
        child = Child(who.name)
        try:
            return Result("ok", "", [float(child.ask(function, workload, small))])
        finally:
            child.close()

    def measure(
        ready: dict[str, Contender], options: Options, children: Children
    ) -> dict[str, Result]:
        results = {name: attempt(peak, who) for name, who in ready.items()}
        return results | {"needed": Result("ok", "", [float(workload.needed)])}

    return measure
