"""Names of a package whose files are read when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def attach(
    package: str, files: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return a package's ``__getattr__``, ``__dir__`` and ``__all__``.

    Parameters
    ----------
    package : str
        Its ``__name__``.
    files : mapping of str to str
        The public names in each of its files, separated by blanks.

    Returns
    -------
    tuple

    References
    ----------
    PEP 562; the ``lazy_loader`` of scikit-image does the same for a stub file.
    """
    home = {name: file for file, names in files.items() for name in names.split()}

    def getattr_(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{home[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def dir_() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return getattr_, dir_, list(home)


def names(package: ModuleType) -> list[str]:
    """Return a package's public names."""
    return list(vars(package)["__all__"])
