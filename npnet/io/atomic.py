"""`replace_file`: a file that is complete or not there at all, and no litter beside it.

What is written goes into a temporary file in the same folder, which takes the place of the old
file once it is on the disk. Its writer holds a lock on it until then. The system gives the lock
back when the process ends, however it ends: whoever can take it knows that the writer is dead.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import IO, TYPE_CHECKING

from npnet.errors import DataError

try:
    import fcntl
except ImportError:  # Windows: an open file can be neither deleted nor moved, which protects it too
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAY = 24 * 3600.0
_TEMPORARY = re.compile(r"(\.npnet-.*-)[0-9a-f]{12}\.tmp")


@contextlib.contextmanager
def replace_file(path: str) -> Iterator[IO[bytes]]:
    """Yield a file to write, which takes the place of `path` when the block ends well.

    If the block raises, Ctrl-C included, the old file stays as it was. What killed writers left in
    the folder is deleted.

    Parameters
    ----------
    path : str
        Links are followed, as `open` does.

    Yields
    ------
    binary file

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        raise DataError(f"cannot write {path}: it is not a regular file")
    folder = os.path.dirname(target)
    _sweep(folder)
    try:
        while True:
            beside = os.path.join(folder, f"{_prefix()}{os.urandom(6).hex()}.tmp")
            try:
                with open(beside, "xb") as file:
                    if fcntl:
                        with contextlib.suppress(OSError):  # no locks there, so nobody sweeps
                            fcntl.flock(file, fcntl.LOCK_EX)
                    if not os.path.exists(beside):
                        continue  # another save swept it before it was locked
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    if not fcntl:
                        file.close()
                    os.replace(beside, target)  # still locked: a sweep cannot come before
                    return
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(beside)
                raise
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def _sweep(folder: str) -> None:
    """Delete the temporary files of writers that are surely dead."""
    try:
        entries = list(os.scandir(folder))
    except OSError:  # a folder may be written to but not listed; if it is missing, `open` tells
        return
    for entry in entries:
        found = _TEMPORARY.fullmatch(entry.name)
        if not found:
            continue
        # The user asked for a save, which does not fail because of another user's file.
        with contextlib.suppress(OSError):
            if not entry.is_file(follow_symlinks=False):  # opening a pipe would wait
                continue
            # Some network shares do not tell one machine of another's locks.
            lock_tells = fcntl and found[1] == _prefix()
            if lock_tells or time.time() - entry.stat().st_mtime > _DAY:
                with open(entry.path, "r+b") as file:  # NFS locks only what is open for writing
                    if fcntl:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError if it is alive
                    else:
                        file.close()
                    os.unlink(entry.path)


def _prefix() -> str:
    """Return how this machine's temporary files begin."""
    machine = os.uname().nodename if hasattr(os, "uname") else ""
    return f".npnet-{re.sub('[^A-Za-z0-9]', '_', machine)}-"
