"""Which implementation of the kernels runs: the NumPy reference or the compiled one.

A kernel is written in NumPy and marked with `kernel`. `npnet.ops.compiled` may hold a twin of the
same name and arguments for Numba; `use` binds one or the other to the kernel's name in its own
module. Nobody else knows of the two.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from npnet.errors import ArgumentError
from npnet.ops.tell import say_once

F = TypeVar("F", bound=Callable[..., Any])

reference: dict[str, Callable[..., Any]] = {}
"""The NumPy kernels by name."""

_NAMES = ("numpy", "numba", "auto")
_active: str | None = None  # chosen when the first kernel is called, or by `use`


def kernel(function: F) -> F:
    """Mark a function as a kernel; the first call of any kernel chooses the implementation.

    Parameters
    ----------
    function : callable
        The NumPy reference. Callers must reach it through its module (``elementwise.relu``), where
        the chosen implementation is bound to its name.

    Returns
    -------
    callable
        Stands in until the choice is made.
    """
    name, module = function.__name__, sys.modules[function.__module__]
    reference[name] = function

    def choose_first(*args: Any, **kwargs: Any) -> Any:
        if _active is None:
            _use_default(next(iter((*args, *kwargs.values()))).dtype)
        return getattr(module, name)(*args, **kwargs)

    choose_first.__doc__ = function.__doc__
    choose_first.__wrapped__ = function  # type: ignore[attr-defined]
    return choose_first  # type: ignore[return-value]


def use(name: str) -> None:
    """Choose the implementation of the kernels, for the whole process.

    Parameters
    ----------
    name : {"numpy", "numba", "auto"}
        ``"auto"`` takes Numba where it is installed. It is the default unless the environment
        variable ``NPNET_OPS`` names another. Where Numba is asked for or installed but does not
        work, npnet says so once on standard error and NumPy computes; see `active`.

    Raises
    ------
    ArgumentError
        If there is no such implementation.

    Examples
    --------
    >>> import npnet
    >>> npnet.ops.use("numpy")
    >>> npnet.ops.active()
    'numpy'
    >>> npnet.ops.use("auto")
    """
    if name not in _NAMES:
        raise ArgumentError(f"npnet.ops has 'numpy', 'numba' and 'auto', not {name!r}")
    _use(name, np.dtype(np.float32))


def _use_default(dtype: np.dtype[Any]) -> None:
    """Make the choice of the environment, or npnet's own."""
    name = os.environ.get("NPNET_OPS") or "auto"
    if name not in _NAMES:
        raise ArgumentError(
            f"the environment variable NPNET_OPS is {name!r}; it may be 'numpy', 'numba' or 'auto'"
        )
    _use(name, dtype)


def _use(name: str, dtype: np.dtype[Any]) -> None:
    """Bind the kernels; compile them for a dtype if they are Numba's."""
    global _active
    chosen, twins = "numpy", {}
    if name != "numpy":
        try:
            from npnet.ops import compiled

            chosen, twins = "numba", compiled.twins(reference, dtype)
        except Exception as error:  # whatever is wrong with Numba, NumPy works
            missing = isinstance(error, ModuleNotFoundError) and error.name == "numba"
            hint = '; pip install "npnet-framework[fast]" installs Numba' if missing else ""
            if name == "numba" or not missing:
                say_once(
                    f"Numba cannot be used ({type(error).__name__}: {error}), NumPy computes "
                    f"instead{hint}"
                )
    for kernel_name, function in reference.items():
        module = sys.modules[function.__module__]
        setattr(module, kernel_name, twins.get(kernel_name, function))
    _active = chosen


def active() -> str:
    """Return the implementation that runs, making the choice if it was not made.

    Returns
    -------
    str
        ``"numpy"`` or ``"numba"``.
    """
    if _active is None:
        _use_default(np.dtype(np.float32))
    return _active or "numpy"


def prepare(dtype: Any) -> None:
    """Compile the kernels for a dtype now, or load them from disk, rather than when first needed.

    Parameters
    ----------
    dtype : dtype or None
        None stands for float32.
    """
    if _active is None:
        _use_default(np.dtype(dtype or np.float32))
    if _active == "numba":
        from npnet.ops import jit

        jit.prepare(dtype)
