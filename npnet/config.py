"""`show_config` tells what npnet computes with on this machine."""

from __future__ import annotations

import os
import platform
from typing import Any

import numpy as np

from npnet import ops
from npnet._version import __version__

_VARIABLES = ("NPNET_OPS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def config() -> dict[str, Any]:
    """Collect versions, BLAS, threads and which kernels run.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> config()["kernels"] in ("numpy", "numba")
    True
    """
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {
        "npnet": __version__,
        "Python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
        "NumPy": np.__version__,
        "SciPy": _version("scipy"),
        "Numba": _version("numba"),
        "BLAS": f"{blas.get('name')} {blas.get('version')}",
        "BLAS threads": _blas_threads(),
        "kernels": ops.active(),
    }
    return found | {name: os.environ[name] for name in _VARIABLES if name in os.environ}


def show_config() -> None:
    """Print versions, BLAS, threads and which kernels run.

    Examples
    --------
    >>> import npnet
    >>> npnet.show_config()  # doctest: +ELLIPSIS
    npnet ...
    """
    for name, value in config().items():
        print(f"{name:14} {value}")


def _version(distribution: str) -> str:
    from importlib import metadata  # loads much

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _blas_threads() -> str:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown (threadpoolctl, which can tell, is not installed)"
    pools = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
    return ", ".join(f"{pool['num_threads']} ({pool['internal_api']})" for pool in pools)
