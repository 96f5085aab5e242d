"""Kernels are functions with two forms, NumPy's and a compiled one; here it is chosen which runs.

A kernel is written in NumPy and marked with `kernel`. The kernels of one file are a family. Their
loops for Numba stand in the file beside it, ``<file>_compiled.py``, under the same names, and are
compiled when a kernel of the family is first called. The form that runs is bound to the kernel's
name in its own module, so nobody else knows of the two.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from npnet.arguments import choice
from npnet.ops.warn import warn_once

F = TypeVar("F", bound=Callable[..., Any])

_NAMES = ("numpy", "numba", "auto")
_active: str | None = None  # chosen when the first kernel is called, or by `use`


class Family:
    """The kernels of one module: by name in NumPy, before they are compiled, and compiled."""

    def __init__(self, module: str) -> None:
        self.module = sys.modules[module]
        self.numpy: dict[str, Callable[..., Any]] = {}
        self.fallback: dict[str, Callable[..., Any]] = {}
        self.compiled: dict[str, Callable[..., Any]] = {}
        self.dtypes = ""  # characters of those that it is compiled for

    def compile(self, dtype: np.dtype[Any]) -> bool:
        """Compile the kernels for a dtype if they are Numba's; return whether anything changed."""
        if dtype.char in self.dtypes or dtype.char not in "fd":
            return False
        if active() == "numba":
            from npnet.ops import jit

            try:
                jit.compile_family(self, dtype.char)
            except Exception as error:  # whatever is wrong with Numba, NumPy works
                _bind("numpy")
                _warn(error)
        else:
            self.bind()  # which a family that is read later than the choice was not
        return True

    def bind(self) -> None:
        """Bind the form that runs to the name of each kernel."""
        forms = self.numpy if _active == "numpy" else self.fallback | self.compiled
        vars(self.module).update(forms)


families: dict[str, Family] = {}
"""The families by the name of their module."""


def kernel(function: F) -> F:
    """Mark a function as a kernel.

    Parameters
    ----------
    function : callable
        The NumPy form; its first argument is an array. Callers reach the kernel through its module
        (``elementwise.relu``), where the form that runs is bound to its name.

    Returns
    -------
    callable
        The NumPy form where NumPy was chosen already. Otherwise a function that is called until the
        kernel is compiled, and then for what it was not compiled for: it compiles the family for
        the dtype of the first argument, or lets NumPy compute.
    """
    name, module = function.__name__, function.__module__
    family = families.setdefault(module, Family(module))

    @functools.wraps(function)
    def fallback(*args: Any, **kwargs: Any) -> Any:
        if family.compile(next(iter((*args, *kwargs.values()))).dtype):
            return getattr(family.module, name)(*args, **kwargs)
        return function(*args, **kwargs)

    family.numpy[name], family.fallback[name] = function, fallback
    # A family that is read after the choice finds what is bound.
    return function if _active == "numpy" else fallback  # type: ignore[return-value]


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
    name = choice("npnet.ops.use", "name", name, _NAMES)
    if name != "numpy":
        try:
            from npnet.ops import jit  # noqa: F401
        except Exception as error:  # whatever is wrong with Numba, NumPy works
            missing = isinstance(error, ModuleNotFoundError) and error.name == "numba"
            if name == "numba" or not missing:
                hint = '; pip install "npnet-framework[fast]" installs Numba' if missing else ""
                _warn(error, hint)
            name = "numpy"
    _bind("numpy" if name == "numpy" else "numba")


def _bind(name: str) -> None:
    """Let an implementation run."""
    global _active
    _active = name
    for family in families.values():
        family.bind()


def _warn(error: Exception, hint: str = "") -> None:
    """Say that Numba does not work."""
    warn_once(
        f"Numba cannot be used ({type(error).__name__}: {error}), NumPy computes instead{hint}"
    )


def active() -> str:
    """Return the implementation that runs, making the choice if it was not made.

    Returns
    -------
    str
        ``"numpy"`` or ``"numba"``.
    """
    if _active is None:
        name = os.environ.get("NPNET_OPS") or "auto"
        use(choice("the environment", "NPNET_OPS", name, _NAMES))
    return _active or "numpy"


def prepare(dtype: Any, *users: object) -> None:
    """Compile kernels for a dtype now, or load them from disk, rather than when first called.

    Parameters
    ----------
    dtype : dtype or None
        None stands for float32.
    *users : object
        Layers, losses, optimizers: only the families that the modules of their classes import are
        compiled. All families without them.
    """
    modules = {sys.modules.get(cls.__module__) for user in users for cls in type(user).__mro__}
    imported = {id(value) for module in modules if module for value in vars(module).values()}
    for family in families.values():
        if not users or id(family.module) in imported:
            family.compile(np.dtype(dtype or np.float32))
