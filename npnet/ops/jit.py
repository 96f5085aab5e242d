"""When loops are compiled, for which dtypes, and what happens if that fails."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from npnet.ops.tell import say_once

# Without checks that would keep the loops from being vectorised.
_OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}
NOT_COMPILED = (TypeError, RuntimeError)
"""What a loop raises for other arguments; the latter if another thread is about to compile it."""

ready: set[str] = set()
"""Characters of the dtypes that all loops are compiled for."""
refused: set[str] = set()
"""Those of dtypes that they cannot be compiled for."""

_samples: dict[tuple[str, str], Callable[[Any], tuple[Any, ...]]] = {}
_lock = threading.Lock()  # one thread compiles at a time


def jit(sample: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], Any]:
    """Compile a loop, when it is needed, for the types of ``sample(dtype)``."""
    njit: Any = numba.njit

    def decorate(function: Any) -> Any:
        _samples[function.__module__, function.__name__] = sample
        try:
            return njit(cache=True, **_OPTIONS)(function)
        except RuntimeError:  # there is no folder that it may write to
            say_once("Numba finds no folder for compiled kernels; set NUMBA_CACHE_DIR to one")
            return njit(**_OPTIONS)(function)

    return decorate


def prepare(dtype: Any) -> None:
    """Compile all loops for a dtype, or load them from the cache, and say so if it took long.

    Parameters
    ----------
    dtype : dtype or None
        None stands for float32; for others than float32 and float64 there are no loops.
    """
    dtype = np.dtype(dtype or np.float32)
    try:
        prepare_or_raise(dtype)
    except Exception as error:  # whatever is wrong, NumPy works
        refused.add(dtype.char)
        say_once(
            f"Numba cannot be used for {dtype} ({type(error).__name__}: {error}), "
            "NumPy computes instead"
        )


def prepare_or_raise(dtype: np.dtype[Any]) -> None:
    """Do what `prepare` does, and raise what Numba raises."""
    if dtype.char not in "fd":
        return
    with _lock:
        if dtype.char in ready:
            return
        start = time.perf_counter()
        for place, sample in _samples.items():
            _compile(*place, sample, dtype.char)
        ready.add(dtype.char)
        seconds = time.perf_counter() - start
    if seconds > 0.5:
        say_once(f"prepared {len(_samples)} compiled kernels for {dtype} in {seconds:.1f} s")


def _compile(module: str, name: str, sample: Callable[[Any], tuple[Any, ...]], char: str) -> None:
    """Compile one loop for a dtype, without the cache if that is corrupt or the disk is full."""
    loop = getattr(sys.modules[module], name)
    loop.disable_compile(False)
    try:
        loop(*sample(np.dtype(char).type))
    except Exception as error:
        folder = loop.stats.cache_path
        loop = numba.njit(**_OPTIONS)(loop.py_func)  # type: ignore[call-overload]
        for each in (*ready, char):
            loop(*sample(np.dtype(each).type))
        setattr(sys.modules[module], name, loop)
        say_once(
            f"compiled kernels cannot be read from or written to {folder} "
            f"({type(error).__name__}: {error}), so they are compiled each time; empty the folder"
        )
    loop.disable_compile()  # other arrays raise, and NumPy takes them
