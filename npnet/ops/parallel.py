"""Runs parts of one computation in threads, where NumPy's BLAS lets its own threads be counted.

Between matrix products there is work that BLAS does not spread over its threads. Where that matters
the images of a batch are divided instead, and every thread computes its products alone.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from npnet.typing import Array

T = TypeVar("T")

_NAMES = (  # in NumPy's wheels, and in OpenBLAS as systems install it
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
)

_WORTH = 1e-3  # seconds of work that are worth a thread

_lock = threading.Lock()
_users = 0  # how many calls keep BLAS at one thread
_before = 1  # its threads without them


@functools.cache
def _blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Return what gets and what sets the number of BLAS's threads, if that is OpenBLAS."""
    try:
        library = ctypes.CDLL(sys.modules["numpy._core._multiarray_umath"].__file__ or "")
    except (KeyError, OSError):  # built into the interpreter, say
        return None
    for get, put in _NAMES:
        # The libraries that it is linked to are searched as well.
        if hasattr(library, get) and hasattr(library, put):
            return getattr(library, get), getattr(library, put)
    return None


def threads() -> int:
    """Return how many threads matrix products use, or 1 where that cannot be changed.

    Returns
    -------
    int
    """
    blas = _blas()
    if blas is None:
        return 1
    with _lock:
        return _before if _users else blas[0]()


def _after_fork() -> None:
    """Forget, in a new process, what threads of the old one were doing: here they do not run."""
    global _lock, _users
    _lock = threading.Lock()
    blas = _blas() if _users else None
    _users = 0
    if blas is not None:
        blas[1](_before)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep BLAS at one thread; the last of several users at once puts the number back."""
    global _users, _before
    blas = _blas()
    if blas is None:
        raise RuntimeError("the number of BLAS's threads cannot be changed")
    get, put = blas
    with _lock:
        if not _users:
            _before = get()
            put(1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                put(_before)


def in_parts(function: Callable[[int, int], T], count: int, seconds: float) -> list[T]:
    """Call ``function(start, stop)`` for consecutive parts of ``range(count)``, at the same time.

    Parameters
    ----------
    function : callable
        May run in several threads at once.
    count : int
    seconds : float
        About how long one of them takes. What is done in a millisecond is not divided: to start a
        thread takes a tenth of that.

    Returns
    -------
    list
        What the parts returned, in their order. How many there are depends on `threads`.
    """
    parts = min(threads(), count, int(count * seconds / _WORTH))
    if parts < 2:
        return [function(0, count)]
    from concurrent.futures import ThreadPoolExecutor  # loads much

    bounds = [count * i // parts for i in range(parts + 1)]
    with _single_threaded(), ThreadPoolExecutor(parts - 1) as pool:
        # NumPy's floating-point warnings are switched off in a context.
        others: list[Any] = [
            pool.submit(copy_context().run, function, start, stop)
            for start, stop in itertools.pairwise(bounds[1:])
        ]
        first = function(0, bounds[1])
        return [first, *(each.result() for each in others)]


def sum_of(arrays: list[Array]) -> Array:
    """Add arrays up in their order, in the memory of the first."""
    total, *others = arrays
    for array in others:
        total += array
    return total
