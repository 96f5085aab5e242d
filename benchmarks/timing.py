"""How every time here is taken: turns of many calls, in interleaved rounds, after a warm-up.

The contenders take turns in a new random order each round, so that whatever else the machine does
meets all of them alike, and no one always follows the same other. Before another library takes
over, the threads of the one before must have gone to sleep: see `rest`.
"""

from __future__ import annotations

import contextlib
import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CHUNKS = 7
_NAP = 0.02  # two ticks of the slowest clocks that count processor time


def nothing() -> None:
    """Do nothing."""


@dataclass
class Run:
    """One contender, ready to do one thing again and again."""

    call: Callable[..., Any]  # what is timed: one step, one prediction, one epoch
    # Makes a context manager that a whole turn runs in, outside the clock.
    around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    finish: Callable[[], None] = nothing  # waits, inside the clock, for what is not done yet
    result: Callable[[], Any] | None = None  # what came of it: a list of arrays
    note: str = ""  # what a reader must know about this contender here
    pool: str = "NumPy"  # whose threads compute

    def turn(self, calls: int, settle: float = 0.0) -> float:
        """Time `calls` calls, in some chunks of equal length.

        Parameters
        ----------
        calls : int
            Rounded up to full chunks.
        settle : float
            Seconds of calls before the clock starts, at least one call: the caches fill and the
            threads wake up. 0 for none.

        Returns
        -------
        float
            Seconds per call: the median of the chunks, so that a short interruption by something
            else on the machine does not count, but what recurs does, like garbage collection.
        """
        call = self.call
        chunks = min(CHUNKS, calls)
        each = -(-calls // chunks)
        means = []
        with self.around():
            if settle:
                until = time.perf_counter() + settle
                call()
                while time.perf_counter() < until:
                    call()
                self.finish()
            for _ in range(chunks):
                start = time.perf_counter()
                for _ in range(each):
                    call()
                self.finish()
                means.append((time.perf_counter() - start) / each)
        return statistics.median(means)


def rest(limit: float = 1.0) -> None:
    """Wait until no thread of this process computes any more.

    Worker threads without work spin for a while, in case more of it comes: OpenBLAS's for more than
    0.1 s, libgomp's for some 10 ms. Meanwhile whoever else computes is short of a processor.

    Parameters
    ----------
    limit : float
        Seconds to wait at most, for a process that never sleeps.
    """
    late = time.perf_counter() + limit
    spent = time.process_time()
    while time.perf_counter() < late:
        time.sleep(_NAP)
        before, spent = spent, time.process_time()
        if spent - before < _NAP / 10:
            return


@dataclass(frozen=True)
class Pace:
    """How long to measure; times are in seconds."""

    rounds: int = 15  # turns of each contender
    turn: float = 0.06  # what a turn should take
    least: int = 3  # calls that a turn has at least
    settle: float = 0.02  # calls before each turn, not timed
    warm: float = 0.2  # calls before the first round
    limit: float = 45.0  # after which no further round begins, once there are three


def race(
    runs: Mapping[str, Run], pace: Pace, seed: int = 0
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Measure several contenders side by side; the seed is that of the order in the rounds.

    Returns
    -------
    seconds : dict of str to list of float
        Seconds per call, one entry a round; the same index is the same round for all.
    failed : dict of str to str
        The reason, for those that raised an error.
    """
    failed: dict[str, str] = {}
    seconds: dict[str, list[float]] = {}
    calls: dict[str, int] = {}
    pool = ""

    def attempt(name: str, calls: int, settle: float) -> float:
        nonlocal pool
        if runs[name].pool != pool:
            rest()
        pool = runs[name].pool
        try:
            return runs[name].turn(calls, settle)
        except Exception as error:  # a rival's failure is a result
            failed[name] = reason(error)
            seconds.pop(name, None)
            return 0.0

    # What was imported and built so far shall not make the collector's work dearer in a turn.
    gc.collect()
    gc.freeze()
    try:
        for name in runs:
            once = attempt(name, pace.least, pace.warm)
            if name not in failed:
                calls[name] = max(pace.least, round(pace.turn / max(once, 1e-9)))
                seconds[name] = []
        order = random.Random(seed)
        late = time.perf_counter() + pace.limit
        for round_ in range(pace.rounds):
            if round_ >= 3 and time.perf_counter() > late:
                break
            for name in order.sample(list(seconds), len(seconds)):
                taken = attempt(name, calls[name], pace.settle)
                if name in seconds:
                    seconds[name].append(taken)
    finally:
        gc.unfreeze()
    return seconds, failed


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile of at least one value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Return the quartiles of a / b over the same rounds; `b` may be a single value.

    What slows a whole round down cancels, unlike in a ratio of medians.
    """
    pairs = zip(a, b if len(b) > 1 else [b[0]] * len(a), strict=True)
    return quartiles([x / y for x, y in pairs])


def reason(error: BaseException) -> str:
    """Return an error's type and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
