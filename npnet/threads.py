"""limit_threads, which decides how many threads matrix products use.

The BLAS library beneath NumPy takes one thread for tiny products by itself, and on a machine that
does nothing else its further threads never cost more than they give. Beside other work they do: two
threads that wait for each other, and for a processor, can be slower many times over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from npnet.arguments import whole_number
from npnet.errors import MissingDependency

_MOST = 2**31 - 1  # what BLAS libraries can be told
_ROUNDS = 7
_GAIN = 1.05  # by less the further threads are not worth having


def limit_threads(count: int | None = None) -> AbstractContextManager[int]:
    """Limit the threads of matrix products inside a ``with`` block, for the whole process.

    Parameters
    ----------
    count : int, optional
        The largest number of threads. Without it the block takes one thread, unless all of them
        compute a product of medium size (128 x 784 by 784 x 256) faster at this moment, which
        takes some milliseconds to find out.

    Returns
    -------
    context manager
        Gives the limit chosen.

    Raises
    ------
    MissingDependency
        If threadpoolctl (extra ``fast``) is not installed. The environment variables
        ``OPENBLAS_NUM_THREADS`` and ``MKL_NUM_THREADS``, set before Python starts, do the same.
    ArgumentError
        If `count` is not a positive integer.

    References
    ----------
    https://github.com/joblib/threadpoolctl

    Examples
    --------
    >>> import npnet
    >>> with npnet.limit_threads(1) as count:  # doctest: +SKIP
    ...     print(count)
    1
    """
    if count is not None:
        count = whole_number("limit_threads", "count", count, 1, _MOST)
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError as error:
        raise MissingDependency(
            "limit_threads needs threadpoolctl: pip install threadpoolctl; or set "
            "OPENBLAS_NUM_THREADS (or MKL_NUM_THREADS) before Python starts"
        ) from error
    return _limited(ThreadpoolController().select(user_api="blas"), count)


@contextmanager
def _limited(pools: Any, count: int | None) -> Iterator[int]:
    chosen = _fastest(pools) if count is None else count
    with pools.limit(limits=chosen):
        yield chosen


def _fastest(pools: Any) -> int:
    """Return 1, or the present number of threads if it is clearly faster."""
    present = max((pool["num_threads"] for pool in pools.info()), default=1)
    if present == 1:
        return 1
    x, w = np.ones((128, 784), np.float32), np.ones((784, 256), np.float32)
    y = np.empty((128, 256), np.float32)
    seconds: dict[int, list[float]] = {1: [], present: []}
    for _ in range(_ROUNDS):
        for count, taken in seconds.items():
            with pools.limit(limits=count):
                np.dot(x, w, out=y)
                start = time.perf_counter()
                np.dot(x, w, out=y)
                taken.append(time.perf_counter() - start)
    one, all_of_them = (float(np.median(taken)) for taken in seconds.values())
    return present if all_of_them * _GAIN < one else 1
