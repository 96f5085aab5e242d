"""`read_idx` reads the IDX format, in which MNIST and its relatives are published."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from npnet.arguments import path as as_path
from npnet.errors import DataError

if TYPE_CHECKING:
    import os

    from npnet.typing import Array

_GZIP_MAGIC = b"\x1f\x8b"
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike[str]) -> Array:
    """Read an IDX file, plain or compressed with gzip.

    The format is two zero bytes, a type code, the number of dimensions, one four-byte size per
    dimension, then the values in C order; all numbers are big-endian. Compression is recognised
    by content, not by name.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ndarray
        A new array in the machine's byte order: uint8, int8, int16, int32, float32 or float64.

    Raises
    ------
    ArgumentError
        If `path` is no path.
    DataError
        If the file is missing, not IDX, corrupt, too short or too long; the text says which.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits".

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels.idx")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    path = as_path("read_idx", "path", path)
    content = _read_bytes(path)
    if len(content) < 4 or content[:2] != b"\x00\x00":
        raise DataError(
            f"{path} is not an IDX file: it begins with {content[:4]!r}, not with two zero bytes, "
            "a type code and the number of dimensions"
        )
    code, ndim = content[2], content[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02X}" for known in _DTYPES)
        raise DataError(f"{path} is not an IDX file: type code 0x{code:02X} is none of {known}")
    dtype = np.dtype(_DTYPES[code])
    start = 4 + 4 * ndim
    if len(content) < start:
        raise DataError(f"{path} is truncated: it ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", ndim, offset=4))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        problem = "is truncated" if len(content) < expected else "has trailing bytes"
        raise DataError(
            f"{path} {problem}: its header announces shape {shape} of {dtype.name}, "
            f"{expected} bytes in all, but it holds {len(content)}"
        )
    try:
        values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:
        raise DataError(f"{path} has an impossible shape in its header: {error}") from error
    return values.astype(dtype.newbyteorder("="))


def _read_bytes(path: str) -> bytes:
    """Return the content of a file, decompressed if it is gzip's."""
    import gzip
    import zlib
    from pathlib import Path

    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from error
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise DataError(f"{path} is truncated: its gzip stream ends too early") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is corrupt: {error}") from error
