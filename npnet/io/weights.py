"""`save_weights` and `load_weights`: a model's state dictionary as an NPZ file, without pickle."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from npnet.errors import ArgumentError, DataError, DtypeError, StateError
from npnet.layer import Layer
from npnet.state import LoadResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from npnet.typing import Array


def save_weights(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write a model's parameters and buffers to an NPZ file, bit for bit.

    The file is complete or not there at all: it is written beside its place and moved there when
    it is on the disk, so a failing or interrupted save leaves an older file as it was.

    Parameters
    ----------
    model : Layer
        Its `state_dict` is saved, under the same keys.
    path : str or path-like
        The file, used as it is given: no ``.npz`` is appended.

    Raises
    ------
    DataError
        If the file cannot be written.
    DtypeError
        If a buffer holds something else than numbers.

    Examples
    --------
    >>> import pathlib, tempfile, npnet
    >>> model, other = npnet.Linear(3, 2), npnet.Linear(3, 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "model.npz")
    ...     save_weights(model, path)
    ...     load_weights(other, path)
    LoadResult(missing=[], unexpected=[])
    >>> bool((other.weight.data == model.weight.data).all())
    True
    """
    state = _model(model, "save_weights").state_dict()
    for name, array in state.items():
        if array.dtype.kind not in "fiubc":
            raise DtypeError(f"save_weights writes numbers, but {name} has dtype {array.dtype}")
    target = os.path.realpath(_name(path))  # through a link, as open() would
    if os.path.exists(target) and not os.path.isfile(target):
        raise DataError(f"cannot write {path}: it is not a regular file")
    beside = os.path.join(os.path.dirname(target), f".npnet-{os.urandom(6).hex()}.tmp")
    try:
        try:
            _write(beside, state)
            os.replace(beside, target)
        except BaseException:  # Ctrl-C too: no litter
            if os.path.exists(beside):
                os.unlink(beside)
            raise
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def load_weights(model: Layer, path: str | os.PathLike[str], strict: bool = True) -> LoadResult:
    """Read what `save_weights` wrote into a model of the same structure.

    Files of ``numpy.savez`` and ``numpy.savez_compressed`` with the keys of the model's
    `state_dict` are read as well. Nothing is changed if anything is wrong.

    Parameters
    ----------
    model : Layer
        Receives the values, converted to the dtypes of its parameters.
    path : str or path-like
        The file, used as it is given.
    strict : bool
        False passes over names that are missing in the file or unknown to the model.

    Returns
    -------
    LoadResult
        The names passed over: ``missing`` and ``unexpected``.

    Raises
    ------
    DataError
        If the file is missing, not NPZ, corrupt, or needs pickle.
    StateError
        If it belongs to another model; the text lists what does not fit.
    """
    _model(model, "load_weights")
    state = _read(_name(path))
    try:
        return model.load_state_dict(state, strict)
    except StateError as error:
        raise StateError(f"{path}: {error}") from None


def _write(path: str, state: Mapping[str, Array]) -> None:
    # Not numpy.savez: it appends a suffix, and its own arguments are names no array can have.
    import zipfile

    with open(path, "xb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in state.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _read(path: str) -> dict[str, Array]:
    import struct
    import zipfile
    import zlib

    # What zipfile and NumPy are known to raise on bytes that are not what they should be.
    broken = (ValueError, EOFError, KeyError, RuntimeError, OverflowError, MemoryError,
              struct.error, zlib.error, zipfile.BadZipFile)  # fmt: skip
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise DataError(f"{path} is not an NPZ file, or it is truncated")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                content: dict[str, Any] = {name: archive[name] for name in archive.files}
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except broken as error:
        raise DataError(f"{path} is corrupt, or not an NPZ file of numbers: {error}") from error
    for name, value in content.items():
        if not isinstance(value, np.ndarray):
            raise DataError(
                f"{path} is not an NPZ file: it is a zip archive whose entry {name!r} "
                "is not an array"
            )
    return content


def _model(model: Any, function: str) -> Layer:
    if not isinstance(model, Layer):
        raise ArgumentError(f"{function} expects a Layer first and then a path, got {model!r}")
    return model


def _name(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError as error:
        raise ArgumentError(f"expected a path, as str or path-like, got {path!r}") from error
