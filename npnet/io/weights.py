"""`save_weights` and `load_weights`: a model's state dictionary as an NPZ file, without pickle."""

from __future__ import annotations

import os

from npnet.arguments import checked_call, instance
from npnet.errors import StateError
from npnet.io.archive import read_archive, write_archive
from npnet.layer import Layer
from npnet.state import LoadResult

_ORDER = "the model comes first, and then the path"
_HABITS = {
    "map_location": "npnet computes on the CPU",
    "weights_only": "nothing else is read, and nothing is unpickled",
    "overwrite": "an older file is replaced",
    "by_name": "names always decide; strict=False passes over those that differ",
    "filename": "it is called path",
    "filepath": "it is called path",
    "state_dict": "the model itself comes first: save_weights(model, path)",
}


@checked_call("save_weights", _HABITS)
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
    instance("save_weights", "model", model, Layer, _ORDER)
    write_archive(path, model.state_dict(), tree=None)


@checked_call("load_weights", _HABITS)
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
    instance("load_weights", "model", model, Layer, _ORDER)
    with read_archive(path) as (arrays, _):
        try:
            return model.load_state_dict(arrays, strict)
        except StateError as error:
            raise StateError(f"{path}: {error}") from None
