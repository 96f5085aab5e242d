"""The machine, the versions and the thread settings that a table was taken with."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

BUSY_BEFORE, BUSY_MEANWHILE = 0.5, 0.2
"""Load average, and processors used by others, from which on a report warns."""


def usable_cpus() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int) -> None:
    """Give every thread pool the same size; it counts for libraries that are loaded later."""
    for name in _VARIABLES:
        os.environ[name] = str(count)


def threads() -> int:
    """Return the size that `set_threads` gave."""
    return int(os.environ.get("OMP_NUM_THREADS") or usable_cpus())


def load() -> float | None:
    """Return the load average of the last minute, where the system tells."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


class Watch:
    """How much the rest of the machine computes meanwhile; it starts when it is made."""

    def __init__(self) -> None:
        self._load = load()
        self._start = time.perf_counter()
        self._others = _others_seconds()

    def stop(self) -> dict[str, float | None]:
        """Return the load average before, and how many processors others used since, if known."""
        elapsed = time.perf_counter() - self._start
        now = _others_seconds()
        used = None
        if now is not None and self._others is not None and elapsed > 1:
            used = round(max(0.0, now - self._others) / elapsed, 2)
        return {"load_before": self._load, "used_by_others": used}


def busy(described: dict[str, Any]) -> str:
    """Return what was wrong if the machine was too busy to measure, or an empty text.

    Parameters
    ----------
    described : dict
        With the entries of `Watch.stop`. The load average counts only where it is all that is
        known: it still holds what was over before the start.
    """
    before, others = described.get("load_before"), described.get("used_by_others")
    if others is not None:
        few = others <= BUSY_MEANWHILE
        return "" if few else f"others used {others} of its processors meanwhile"
    few = before is None or before <= BUSY_BEFORE
    return "" if few else f"its load average was {before} before the start"


def _others_seconds() -> float | None:
    """Return the processor time of everything but this process and its ended children."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, *rest = map(int, stat.read_text().split()[1:9])
    everyone = (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")
    return everyone - sum(os.times()[:4])


def describe() -> dict[str, Any]:
    """Return what is known about the machine and NumPy, for the report.

    Returns
    -------
    dict
        Plain values, so that it can be stored as JSON.
    """
    from npnet.config import config

    npnet = config()
    return {
        "processor": _processor(),
        "cpus": usable_cpus(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": npnet["NumPy"],
        "blas": npnet["BLAS"],
        "threads": threads(),
        "variables": {name: os.environ.get(name) for name in _VARIABLES},
        "thread_pools": _thread_pools(),
        "npnet": npnet,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    lines = (line.partition(":") for line in info.read_text().splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    simd = next((name for name in ("avx512f", "avx2", "avx", "asimd") if name in flags), "")
    return " ".join(filter(None, [fields.get("model name", platform.machine()), simd]))


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):  # not known here
        return None


def _thread_pools() -> list[str] | None:
    """Return the sizes that the loaded libraries themselves report, if threadpoolctl is there."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    return [
        " ".join(
            str(pool[key])
            for key in ("internal_api", "version", "architecture", "num_threads")
            if pool.get(key) is not None
        )
        for pool in threadpool_info()
    ]
