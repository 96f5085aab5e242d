"""Compiles the loops of a family of kernels with Numba, and makes the kernels that call them.

A loop runs once over memory, serially. It does not check its indices: it returns False where shapes
do not fit, and NumPy takes over, as for arrays that are not contiguous or of another dtype.
"""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numba
import numpy as np

from npnet.ops.kernels import Family
from npnet.ops.warn import warn_once

# Without checks that would keep the loops from being vectorised.
_OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}

Signature = Callable[[Any], tuple[Any, ...]]


class _Loop(NamedTuple):
    """A loop in Python, what it is compiled for, and the options of `loop`."""

    function: Any
    signatures: tuple[Signature, ...]
    any_shape: bool
    any_order: bool


_loops: dict[str, dict[str, _Loop]] = {}  # by module and name
_lock = threading.Lock()  # one thread compiles at a time


def loop(
    *signatures: Signature, any_shape: bool = False, any_order: bool = False
) -> Callable[[Any], Any]:
    """Mark a loop that Numba compiles when its family is first used.

    A loop that has the name of a kernel takes the kernel's arguments by position and returns True,
    or False where their shapes do not fit. The kernel returns `out` if that is among them.

    Parameters
    ----------
    *signatures : callable
        Each gives Numba's types of the arguments for a dtype: ``lambda t: (t[:, ::1], t[::1])``.
    any_shape : bool
        Compiled for two axes, the kernel takes contiguous arrays of any one shape; `out` is among
        its arguments.
    any_order : bool
        Sums may be added up in any order, so that they are vectorised. NaN and infinity stay.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function: Any) -> Any:
        loops = _loops.setdefault(function.__module__, {})
        loops[function.__name__] = _Loop(function, signatures, any_shape, any_order)
        return function

    return decorate


def compile_family(family: Family, char: str) -> None:
    """Compile a family for a dtype, or load it from the cache, and bind its kernels."""
    with _lock:
        if char in family.dtypes:
            return
        start = time.perf_counter()
        compiled = import_module(f"{family.module.__name__}_compiled")
        loops = _loops[compiled.__name__]
        dtypes = family.dtypes + char
        for name, each in loops.items():
            setattr(compiled, name, _compile(each, dtypes))
        for name, fallback in family.fallback.items():
            any_shape = name in loops and loops[name].any_shape
            family.compiled[name] = _with_fallback(getattr(compiled, name), fallback, any_shape)
        family.dtypes = dtypes
        family.bind()
        seconds = time.perf_counter() - start
    if seconds > 0.5:
        name = family.module.__name__.rpartition(".")[2]
        warn_once(f"compiled the {name} kernels for {np.dtype(char)} in {seconds:.1f} s")


def _compile(uncompiled: _Loop, dtypes: str) -> Any:
    """Compile a loop for dtypes, without the cache if that is corrupt or the disk is full."""
    function, njit = uncompiled.function, functools.partial(numba.njit, **_OPTIONS)
    if uncompiled.any_order:
        njit = functools.partial(njit, fastmath={"reassoc", "nsz"})
    signatures = [
        signature(numba.from_dtype(np.dtype(char)))
        for char in dtypes
        for signature in uncompiled.signatures
    ]
    try:
        compiled: Any = njit(cache=True)(function)
    except RuntimeError:
        warn_once("Numba finds no folder for compiled kernels; set NUMBA_CACHE_DIR to one")
        return njit(signatures)(function)
    try:
        for signature in signatures:
            compiled.compile(signature)
    except Exception as error:
        warn_once(
            "compiled kernels cannot be read from or written to "
            f"{compiled.stats.cache_path} ({type(error).__name__}: {error}), "
            "so they are compiled each time; empty the folder"
        )
        return njit(signatures)(function)
    compiled.disable_compile()  # arguments of other types raise TypeError
    return compiled


_WITH_FALLBACK = """
def {name}{signature}:
    try:
        result = {call}
        if result:
            return {returned}
    except TypeError:
        pass
    return fallback({arguments})
"""


def _with_fallback(compiled: Any, fallback: Any, any_shape: bool) -> Any:
    """Make a kernel that hands over to `fallback` what the compiled one does not take.

    It is made from text, as ``collections.namedtuple`` is: ``*args, **kwargs`` would be slower.
    """
    signature = inspect.signature(fallback)
    parameters = signature.parameters
    names = ", ".join(parameters)
    call = f"compiled({names})"
    if any_shape:
        call += f" if out.ndim == 2 else compiled(*two_axes({names}))"
    returned = "None" if signature.return_annotation == "None" else "result"
    text = _WITH_FALLBACK.format(
        name=fallback.__name__,
        signature=signature,
        call=call,
        returned="out" if "out" in parameters else returned,
        arguments=", ".join(
            f"{name}={name}" if each.kind is each.KEYWORD_ONLY else name
            for name, each in parameters.items()
        ),
    )
    namespace = {"compiled": compiled, "fallback": fallback, "two_axes": _two_axes}
    exec(text, namespace)
    return functools.wraps(fallback)(namespace[fallback.__name__])


def flat(*arrays: Any) -> list[Any]:
    """Return contiguous arrays of one shape as vectors, views of them; others raise TypeError."""
    return [a.reshape(-1) for a in _two_axes(*arrays)]


def _two_axes(*args: Any) -> list[Any]:
    """Reshape contiguous arrays of one shape to two axes; others raise TypeError."""
    shape, reshaped = args[0].shape, []
    for a in args:
        if isinstance(a, np.ndarray):
            if a.shape != shape or not a.flags.c_contiguous:
                raise TypeError("not contiguous arrays of one shape")
            a = a.reshape(1, -1)
        reshaped.append(a)
    return reshaped
