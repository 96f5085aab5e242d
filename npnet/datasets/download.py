"""Finds the files of a published data set on this machine, or downloads them.

A downloaded file appears under its name only when it is whole and its checksum is right.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from npnet.arguments import flag, path
from npnet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 16


class Source(NamedTuple):
    """What a data set's files are called and where they are published.

    Parameters
    ----------
    title : str
        The data set's name in messages.
    folder : str
        Its folder within ``NPNET_DATA`` and the cache.
    checksums : dict of str to str
        SHA-256 of every file, by file name.
    mirrors : tuple of str
        Addresses that a file name is appended to, in the order of trial.
    """

    title: str
    folder: str
    checksums: dict[str, str]
    mirrors: tuple[str, ...]


def locate(
    source: Source, folder: str | os.PathLike[str] | None = None, download: bool = True
) -> Path:
    """Return the folder that holds all files of a data set.

    Searched are, in this order, `folder`, the folder that the environment variable ``NPNET_DATA``
    names, and the cache: ``NPNET_CACHE``, else ``XDG_CACHE_HOME/npnet``, else ``~/.cache/npnet``.
    In each the files lie in the data set's own sub-folder; in `folder` they may also lie directly.

    Parameters
    ----------
    source : Source
        The data set.
    folder : str, path-like or None
        Where to look first, and to put what is downloaded. None puts it into the cache.
    download : bool
        Fetch what is missing.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ArgumentError
        If `folder` is no path, or `download` no boolean.
    DataError
        If files are missing and cannot or may not be downloaded; the text says which files to put
        where.
    """
    may_download = flag(source.title, "download", download)
    places = [_cache_folder() / source.folder]
    if data := os.environ.get("NPNET_DATA"):
        places.insert(0, _path(data) / source.folder)
    target = places[-1]
    if folder is not None:
        given = _path(path(source.title, "folder", folder))
        target = given / source.folder
        places[:0] = [target, given]
    for place in places:
        if all(os.path.isfile(place / name) for name in source.checksums):
            return place
    if not may_download:
        problem = "; download=False forbids to fetch it"
        raise DataError(_how_to_install(source, target, places, problem))
    try:
        target.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
        problem = f", and {target} cannot be created ({getattr(error, 'strerror', None) or error})"
        raise DataError(_how_to_install(source, target, places, problem)) from error
    for name in source.checksums:
        if not os.path.isfile(target / name):
            failures = _fetch(source, name, target)
            if failures:
                problem = ", and the download failed:\n" + "\n".join(failures)
                raise DataError(_how_to_install(source, target, places, problem))
    return target


def _cache_folder() -> Path:
    if cache := os.environ.get("NPNET_CACHE"):
        return _path(cache)
    return _path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "npnet"


def _path(text: str) -> Path:
    from pathlib import Path

    return Path(os.path.expanduser(text))  # leaves "~nobody" as it is


def _how_to_install(source: Source, target: Path, places: list[Path], problem: str) -> str:
    """Tell what is missing and which files to put where."""
    lines = [
        f"{source.title} is not on this machine{problem}",
        "Put these files, as they were published,",
        *(f"  {name}" for name in source.checksums),
        f"into {target}",
        f"or into {source.folder}/ below a folder that the environment variable NPNET_DATA names,",
        "or pass the folder that holds them as folder=.",
        "Published at: " + " ".join(source.mirrors),
        "Searched: " + " ".join(map(str, places)),
    ]
    return "\n".join(lines)


def _fetch(source: Source, name: str, target: Path) -> list[str]:
    """Download one file from the first mirror that has it; return why all failed, if all did."""
    from http.client import HTTPException

    failures = []
    for mirror in source.mirrors:
        try:
            _download(mirror + name, target / name, source.checksums[name])
        except (OSError, HTTPException, DataError) as error:
            failures.append(f"  {mirror}{name}: {error}")
        else:
            return []
    return failures


def _download(url: str, target: Path, checksum: str) -> None:
    """Fetch `url` into the file `target`: whole and checked, or not at all."""
    import hashlib
    from urllib.request import urlopen

    partial = target.with_name(f"{target.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    digest = hashlib.sha256()
    received = 0
    try:
        with urlopen(url, timeout=_TIMEOUT) as response, partial.open("wb") as file:
            announced = int(response.headers.get("Content-Length") or 0)
            with _progress(target.name, announced) as advance:
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    received += len(chunk)
                    advance(len(chunk))
        if received < announced:
            raise DataError(f"the connection ended after {received} of {announced} bytes")
        if digest.hexdigest() != checksum:
            raise DataError(
                "wrong checksum, the file was thrown away "
                f"(SHA-256 {digest.hexdigest()}, expected {checksum})"
            )
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _progress(name: str, total: int) -> Iterator[Callable[[int], Any]]:
    """Yield a function to be called with the size of every piece; it draws a bar on a terminal."""
    from importlib.util import find_spec

    # Without a console, as under pythonw, there is no stderr at all.
    if not (sys.stderr and sys.stderr.isatty() and find_spec("tqdm")):
        yield lambda size: None
        return
    from tqdm import tqdm

    with tqdm(desc=name, total=total or None, unit="B", unit_scale=True) as bar:
        yield bar.update
