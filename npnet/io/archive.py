"""Arrays and a JSON tree in one NPZ file, which weights, model files and checkpoints share.

The arrays are what ``numpy.savez`` writes: ``<name>.npy`` members of a zip file, without pickle.
The tree is the member ``npnet.json``, which no array can be called. A file is not trusted: its
names are known before anything is read, an array's shape and dtype before its numbers are
inflated, and no more is inflated than they say.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Mapping
from functools import cached_property
from io import BufferedReader, FileIO
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from npnet.arguments import path as as_path
from npnet.arguments import shown
from npnet.errors import ArgumentError, DataError, DtypeError
from npnet.io.atomic import replace_file

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator

    from npnet.typing import Array

_TREE = "npnet.json"
_LIMIT = 1 << 24  # bytes of the tree and of the zip directory; parsed they take 20 times as much
_CHUNK = 1 << 18
_NUMBERS = "fiubc"  # kinds of dtypes

# How a member begins: the version decides how many bytes the length of its header takes.
_LENGTH_BYTES = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4, b"\x93NUMPY\3\0": 4}
_MAX_HEADER = 4096  # 64 axes of 20 digits fit
_HEADER = re.compile(
    rb"\{\s*(?:'(?:descr'\s*:\s*'([<>|=][" + _NUMBERS.encode() + rb"]\d+)'"
    rb"|fortran_order'\s*:\s*(True|False)"
    rb"|shape'\s*:\s*\(([\d\s,]*)\))\s*(?:,\s*)?){3}\}\s*"
)


def write_archive(path: str | os.PathLike[str], arrays: Mapping[str, Array], tree: Any) -> None:
    """Write arrays and a JSON tree to a file that is complete or not there at all.

    Parameters
    ----------
    path : str or path-like
        Used as it is given: no ``.npz`` is appended.
    arrays : mapping of str to ndarray
        Numbers and booleans, kept bit for bit with their dtype, byte order and shape.
    tree : None, bool, int, float, str, or a list or dict (with str keys) of such
        Kept exactly, with infinities and NaN; None writes no tree. What JSON would change
        (a tuple, a NumPy number, a key that is no text) is refused.

    Raises
    ------
    ArgumentError
        If a name or a part of the tree cannot be kept.
    DtypeError
        If an array holds something else than numbers.
    DataError
        If the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "run.npz")
    ...     write_archive(path, {"weight": np.eye(2)}, {"epoch": 3})
    ...     with read_archive(path) as (arrays, tree):
    ...         print(tree, arrays["weight"].shape, np.asarray(arrays["weight"])[0])
    {'epoch': 3} (2, 2) [1. 0.]
    """
    import zipfile

    name = as_path("npnet", "path", path)
    for key, array in arrays.items():
        _check_array(key, array)
    text = _to_json(tree)
    with replace_file(name) as file:
        # Not numpy.savez: it appends a suffix, and its own arguments are names no array can have.
        archive = zipfile.ZipFile(file, "w")
        try:
            for key, array in arrays.items():
                info = zipfile.ZipInfo()
                info.filename = f"{key}.npy"  # ZipInfo(name) would cut it at a null character
                with archive.open(info, "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            if tree is not None:
                archive.writestr(zipfile.ZipInfo(_TREE), text)
            archive.close()
        except BaseException:
            archive.fp = None  # else it would write on, or raise something else than this
            raise
        if file.tell() - archive.start_dir > _LIMIT:
            raise DataError(f"cannot write {name}: {len(arrays)} arrays are too many for one file")


@contextlib.contextmanager
def read_archive(
    path: str | os.PathLike[str],
) -> Iterator[tuple[dict[str, StoredArray], Any]]:
    """Open what `write_archive` or ``numpy.savez`` wrote.

    Parameters
    ----------
    path : str or path-like

    Yields
    ------
    arrays : dict of str to StoredArray
        Read one with ``numpy.asarray``, inside the ``with`` block.
    tree : JSON value
        None if there is no tree.

    Raises
    ------
    DataError
        If the file is missing, not NPZ, or corrupt.
    """
    import zipfile

    name = as_path("npnet", "path", path)
    tree = None
    arrays: dict[str, StoredArray] = {}
    with contextlib.ExitStack() as stack:
        with _data_errors(name):
            if os.path.exists(name) and not (os.path.isfile(name) or os.path.isdir(name)):
                raise DataError(f"cannot read {name}: it is not a regular file")
            file = stack.enter_context(_PiecewiseReader(FileIO(name)))
            archive = stack.enter_context(zipfile.ZipFile(file))
            infos = {info.orig_filename: info for info in archive.infolist()}
            if len(infos) < len(archive.infolist()):
                raise DataError(f"{name} is corrupt: several of its entries have the same name")
            for entry, info in infos.items():
                if entry == _TREE:
                    tree = _read_tree(archive, info)
                elif entry.endswith(".npy"):
                    arrays[entry.removesuffix(".npy")] = StoredArray(name, archive, info)
                else:
                    raise DataError(
                        f"{name} is not an NPZ file: it is a zip archive whose entry {entry!r} "
                        "is not an array"
                    )
        yield arrays, tree


class StoredArray:
    """An array in an open file: shape and dtype are known before its numbers are read.

    Compare them with what is expected, then read it with ``numpy.asarray``.
    """

    def __init__(self, path: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._path, self._archive, self._info = path, archive, info

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape, as the header tells it."""
        return self._header.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype with its byte order, as the header tells it."""
        return self._header.dtype

    @cached_property
    def _header(self) -> _Header:
        with _data_errors(self._path), _open_member(self._archive, self._info) as member:
            return _read_header(member, self._info)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        with _data_errors(self._path), _open_member(self._archive, self._info) as member:
            header = _read_header(member, self._info)
            raw = np.empty(header.size, np.uint8)
            for start in range(0, header.size, _CHUNK):
                chunk = raw[start : start + _CHUNK].data
                if member.readinto(chunk) < len(chunk):  # type: ignore[attr-defined]
                    raise EOFError(f"{self._info.orig_filename} is truncated")
            array = raw.view(header.dtype)
            if header.fortran_order:
                return array.reshape(header.shape[::-1]).T
            return array.reshape(header.shape)


class _Header(NamedTuple):
    """What a member's header tells of its array."""

    dtype: np.dtype[Any]
    fortran_order: bool
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class _PiecewiseReader(BufferedReader):
    """A file whose zip directory is not read if it is too long to be one of ours."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size > _LIMIT:
            raise ValueError(f"it asks for {size} bytes in one piece")
        return super().read(size)


@contextlib.contextmanager
def _data_errors(path: str) -> Iterator[None]:
    """Turn whatever zipfile, zlib, NumPy and json raise on bytes that nobody vouches for."""
    try:
        yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:
        raise DataError(f"{path} is corrupt, or not an NPZ file of numbers: {error}") from error


def _open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.compress_type not in (0, 8):  # others inflate without a bound
        raise ValueError(f"{info.orig_filename} is neither stored nor deflated")
    return archive.open(info)


def _read_header(member: IO[bytes], info: zipfile.ZipInfo) -> _Header:
    """Read a member up to its numbers; the header must agree with the member's size."""
    name = info.orig_filename
    start = member.read(8)
    if start not in _LENGTH_BYTES:
        raise ValueError(f"{name} begins with {start!r}, not as an array does")
    width = _LENGTH_BYTES[start]
    length = int.from_bytes(member.read(width), "little")
    text = member.read(length) if length <= _MAX_HEADER else b""
    found = _HEADER.fullmatch(text)
    if not found or None in found.groups():
        raise ValueError(
            f"{name} holds no numbers, and text and object arrays cannot be loaded: "
            f"its header of {length} bytes is {text[:200].strip()!r}"
        )
    descr, order, shape = found.groups()
    sizes = tuple(map(int, re.findall(rb"\d+", shape)))
    header = _Header(np.dtype(descr.decode()), order == b"True", sizes)
    if 8 + width + length + header.size != info.file_size:
        raise ValueError(
            f"{name} has {info.file_size} bytes, which is not the size of an array of shape "
            f"{header.shape} and dtype {header.dtype}"
        )
    return header


def _read_tree(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    if info.file_size > _LIMIT:
        raise ValueError(f"its {_TREE} has {info.file_size} bytes")
    import json

    with _open_member(archive, info) as member:
        return json.loads(member.read(info.file_size).decode())


def _check_array(name: Any, array: Any) -> None:
    if not isinstance(name, str):
        raise ArgumentError(f"expected the names of arrays as text, got {shown(name)}")
    if type(array) is not np.ndarray:  # a masked array would lose its mask
        raise ArgumentError(f"expected {name} to be a NumPy array, got {type(array).__name__}")
    if array.dtype.kind not in _NUMBERS:
        raise DtypeError(f"a file holds numbers, but {name} has dtype {array.dtype}")
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise ArgumentError(f"the name {name!r} is not valid text: {error.reason}") from error
    if length > 60_000:
        raise ArgumentError(f"the name {name[:40]!r}... is too long for a file: {length} bytes")


def _to_json(tree: Any) -> bytes:
    import json

    try:
        _check_tree(tree, "tree")
        text = json.dumps(tree, ensure_ascii=False).encode()
    except ArgumentError:
        raise
    except (ValueError, RecursionError) as error:
        # Surrogates, integers of thousands of digits, what contains itself.
        raise ArgumentError(f"the tree cannot be kept as JSON: {error}") from error
    if len(text) > _LIMIT:
        raise ArgumentError(
            f"the tree takes {len(text)} bytes as JSON, and at most {_LIMIT} fit; "
            "keep many numbers in an array"
        )
    return text


def _check_tree(value: Any, place: str) -> None:
    """Refuse what JSON would change, or could not read back."""
    if type(value) is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise ArgumentError(f"{place} has the key {shown(key)}; JSON has text keys only")
            _check_tree(item, f"{place}[{key!r}]")
    elif type(value) is list:
        for i, item in enumerate(value):
            _check_tree(item, f"{place}[{i}]")
    elif value is not None and type(value) not in (bool, int, float, str):
        raise ArgumentError(
            f"{place} is a {type(value).__name__}; JSON keeps None, bool, int, float, str, "
            "and lists and dicts of them"
        )
