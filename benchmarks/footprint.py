"""What a contender costs besides time: its import, its files on disk, its memory at work."""

from __future__ import annotations

import gc
import importlib.util
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.results import Skip
from benchmarks.workloads import Workload

ROOT = Path(__file__).resolve().parent.parent
CALLS = 3

_IMPORT = """
import time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import {module}
print(middle - start, time.perf_counter() - middle)
"""


def import_seconds(module: str, backend: str | None = None) -> tuple[float, float]:
    """Import NumPy, then `module`, in a fresh process.

    Parameters
    ----------
    module : str
    backend : str, optional
        Keras's.

    Returns
    -------
    tuple of float
        Seconds of the first and of the second.

    Raises
    ------
    RuntimeError
        If it cannot be imported.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"KERAS_BACKEND": backend} if backend else {}
    run = subprocess.run(
        [sys.executable, "-c", _IMPORT.format(module=module)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
    )
    if run.returncode:
        raise RuntimeError(run.stderr.strip().splitlines()[-1])
    # The framework may print something of its own before.
    numpy, over = map(float, run.stdout.split()[-2:])
    return numpy, over


def installed_bytes(distributions: Iterable[str], package: str | None = None) -> int:
    """Add up the files of distributions and of all that they require.

    Parameters
    ----------
    distributions : iterable of str
    package : str, optional
        An importable package to count besides, whose distribution may not be installed.

    Returns
    -------
    int
        Compiled bytecode is left out: not every installer writes it.
    """
    files = set() if package is None else _package_files(package)
    for name in _closure(distributions):
        files |= _files(name)
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file))


def not_installed(distributions: Iterable[str]) -> list[str]:
    """Return those of the distributions that are not installed."""
    return sorted({*distributions} - _closure(distributions))


def requirements_of_npnet(extra: str | None = None) -> list[str]:
    """Read what npnet requires, and what its extra adds, from its metadata or pyproject.toml."""
    try:
        lines = metadata.requires("npnet-framework") or []
        wanted = [line for line in lines if "extra ==" not in line]
        wanted += [line for line in lines if extra and re.search(f"extra == .{extra}.", line)]
    except metadata.PackageNotFoundError:
        import tomllib

        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        wanted = list(project["dependencies"])
        wanted += project["optional-dependencies"][extra] if extra else []
    return [_name(line) for line in wanted]


def peak_rss(who: Contender, workload: Workload, small: Workload) -> int:
    """Return by how many bytes the process grows at most while it builds and runs a workload.

    To be called in a fresh process. The data and the initial values are there before, as is
    everything that the small workload loads.

    Raises
    ------
    Skip
        Where the system does not tell.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise Skip("the peak of a process's memory is only read on Linux")

    def read(field: str) -> int:
        lines = (line.partition(":") for line in status.read_text().splitlines())
        kilobytes, _ = next(value.split() for key, _, value in lines if key == field)
        return int(kilobytes) * 1024

    _prepare(who, workload, small)
    before = read("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    who.build(workload).turn(CALLS)
    return read("VmHWM") - before


def peak_traced(who: Contender, workload: Workload, small: Workload) -> int:
    """Return how many bytes `tracemalloc` sees at most, otherwise like `peak_rss`.

    It sees NumPy's arrays, and not those of frameworks with memory of their own.
    """
    _prepare(who, workload, small)
    tracemalloc.start()
    try:
        who.build(workload).turn(CALLS)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _prepare(who: Contender, workload: Workload, small: Workload) -> None:
    who.build(small).turn(CALLS)
    workload.initial()
    workload.batches()
    gc.collect()


def _closure(distributions: Iterable[str]) -> set[str]:
    """Return the distributions and what they require, as far as it is installed."""
    found: set[str] = set()
    todo = list(distributions)
    while todo:
        name = _name(todo.pop())
        if name in found:
            continue
        try:
            lines = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # required on another system only
            continue
        found.add(name)
        todo += [line for line in lines if "extra ==" not in line]
    return found


def _name(requirement: str) -> str:
    name = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name[0] if name else requirement).lower()


def _files(distribution: str) -> set[str]:
    files = metadata.files(distribution) or []
    return {str(file.locate()) for file in files if file.suffix != ".pyc"}


def _package_files(package: str) -> set[str]:
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return {
        str(file)
        for folder in folders or []
        for file in Path(folder).rglob("*")
        if "__pycache__" not in file.parts
    }
