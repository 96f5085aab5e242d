"""How every time here is taken: turns of many calls, in interleaved rounds, after a warm-up.

The contenders take turns in a new random order each round, so that whatever else the machine does
meets all of them alike, and no one always follows the same other.
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


def nothing() -> None:
    """Do nothing."""


@dataclass
class Run:
    """One contender, ready to do one thing again and again.

    Attributes
    ----------
    call : callable
        What is timed: one step, one prediction, one epoch.
    around : callable
        Makes a context manager that a whole turn runs in, outside the clock.
    finish : callable
        Ends a turn inside the clock: waits for what goes on in the background.
    result : callable or None
        Tells what came of it, for comparison with a reference.
    note : str
        What a reader must know about this contender here.
    """

    call: Callable[[], Any]
    around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    finish: Callable[[], None] = nothing
    result: Callable[[], Any] | None = None
    note: str = ""

    def turn(self, calls: int, settle: float = 0.0) -> float:
        """Time `calls` calls, in some chunks of equal length.

        Parameters
        ----------
        calls : int
            Rounded down to full chunks.
        settle : float
            Seconds of calls before the clock starts, at least one call: the caches fill, and the
            predecessor's idle threads stop spinning. 0 for none.

        Returns
        -------
        float
            Seconds per call: the median of the chunks, so that a short interruption by something
            else on the machine does not count, but what recurs does, like garbage collection.
        """
        call = self.call
        chunks = min(CHUNKS, calls)
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
                for _ in range(calls // chunks):
                    call()
                self.finish()
                means.append((time.perf_counter() - start) / (calls // chunks))
        return statistics.median(means)


@dataclass(frozen=True)
class Pace:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        Turns of each contender.
    turn : float
        Seconds that a turn should take; it is at least one call.
    settle : float
        Seconds of calls before each turn, not timed.
    warm : float
        Seconds of calls before the first round.
    limit : float
        Seconds after which no further round begins, once there are three.
    """

    rounds: int = 15
    turn: float = 0.05
    settle: float = 0.03
    warm: float = 0.3
    limit: float = 60.0


def race(
    runs: Mapping[str, Run], pace: Pace, seed: int = 0
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Measure several contenders side by side.

    Parameters
    ----------
    runs : mapping of str to Run
    pace : Pace
    seed : int
        Of the order in the rounds.

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

    def attempt(name: str, *args: Any) -> float:
        try:
            return runs[name].turn(*args)
        except Exception as error:  # a rival's failure is a result
            failed[name] = reason(error)
            seconds.pop(name, None)
            return 0.0

    # What was imported and built so far shall not make the collector's work dearer in a turn.
    gc.collect()
    gc.freeze()
    try:
        for name in runs:
            once = attempt(name, 1, pace.warm)
            if name not in failed:
                calls[name] = max(1, round(pace.turn / max(once, 1e-9)))
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
    """Return the lower quartile, the median and the upper quartile.

    Parameters
    ----------
    values : sequence of float
        At least one.

    Returns
    -------
    tuple of float
    """
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Return the quartiles of a / b, round by round.

    What slows a whole round down cancels, unlike in a ratio of medians.

    Parameters
    ----------
    a, b : sequence of float
        Of equal length: the same rounds; or `b` holds a single value.

    Returns
    -------
    tuple of float
        Lower quartile, median, upper quartile.
    """
    pairs = zip(a, b if len(b) > 1 else [b[0]] * len(a), strict=True)
    return quartiles([x / y for x, y in pairs])


def reason(error: BaseException) -> str:
    """Return an error's type and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
